"""In a workflow: annotations, outputs, a summary; and no command that a registry wrote."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.packages import build
from indexer.cli import main
from indexer.cli.display import Terminal
from indexer.cli.explaining import TerminatedError
from indexer.cli.github import annotation, annotation_of_failure, annotations_of, write_outputs
from indexer.errors import inert, printable
from indexer.rebuild.report import Report, SubdirReport
from indexer.rebuild.tally import LeftOut
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.rig import Rig

# As the runner finds them: at a line's start after any white space, or, the old form, anywhere.
_NEW = re.compile(r"^\s*::([a-z-]+)[^:]*::", re.MULTILINE)
_OLD = re.compile(r"##\[")
HOSTILE = [
    "::add-mask::a",
    "  ::error file=x::y",
    "\u00a0::stop-commands::x",
    "\n::error::y",
    "\r\n::set-env name=PATH::/tmp",
    "see ##[add-mask]a",
    "####[add-path]/tmp",
    "%0A::error::y",
]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with FakeRegistry() as fake:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "cf-index.toml").write_text(
            f'registry = "oci+{fake.http}/acme"\nchannel = "forge"\noutput = "site"\n'
            "retry-for = 0.2\n"
        )
        yield Rig(fake, tmp_path)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "indexer", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"COLUMNS": "80", "CF_INDEX_LOG_FORMAT": "github"} | environ,
    )


def commands(text: str) -> list[str]:
    assert not _OLD.search(text)
    return _NEW.findall(text)


def outputs(path: Path) -> dict[str, str]:
    """As the runner reads the file."""
    found, lines = {}, iter(path.read_text().splitlines())
    for line in lines:
        key, _, end = line.partition("<<")
        value: list[str] = []
        for text in lines:
            if text == end:
                break
            value.append(text)
        found[key] = "\n".join(value)
    return found


def full_report(text: str, count: int = 1) -> Report:
    made = Report("2026-11-01T12:00:00Z", "0", "oci://r/a", "forge", "none", "site")
    made.subdirs["noarch"] = SubdirReport()
    made.subdirs["noarch"].count.held = 3
    items = [LeftOut("noarch", text, text, text, text) for _ in range(count)]
    made.left_out, made.rejected = items, list(items)
    made.notes, made.passed_over, made.limited = ([text] * count for _ in range(3))
    return made


@pytest.mark.parametrize("enemy", HOSTILE)
def test_no_line_of_a_registry_is_a_command(enemy: str) -> None:
    for line in (printable(enemy), inert(enemy.replace("\n", " ").replace("\r", " "))):
        assert commands(line) == []
        assert inert(line) == line
    lines = [*annotations_of("rebuild", full_report(enemy)), annotation_of_failure("x", 3, enemy)]
    for line in lines:
        assert len(line.splitlines()) == 1
        assert len(commands(line)) == 1


@pytest.mark.parametrize("enemy", HOSTILE)
def test_no_line_of_the_report_is_a_command(enemy: str, capsys: pytest.CaptureFixture[str]) -> None:
    # What a report holds went through printable when it was quoted: it is one line.
    made = full_report(printable(enemy))
    made.changes = [{"kind": "added", "subdir": "noarch", "file_name": printable(enemy)}]
    made.names_from = made.changes_from = "##[add-mask]x"
    made.notes.append("##[add-mask]x")
    Terminal().show(made, site=Path("site"))
    assert commands(capsys.readouterr().out) == []


def test_however_much_went_wrong_ten_annotations_are_enough() -> None:
    lines = list(annotations_of("rebuild", full_report("bad", 10_000)))
    assert len(lines) + 1 <= 10
    assert len({line.partition(":")[2] for line in lines}) == len(lines)
    assert max(map(len, lines)) < 4000
    assert sum("10,000 left out" in line for line in lines) == 1
    assert sum("and 9,995 more" in line for line in lines) == 5


def test_a_run_without_trouble_has_no_annotation() -> None:
    made = Report("2026-11-01T12:00:00Z", "0", "oci://r/a", "forge", "annotation", "site")
    assert list(annotations_of("rebuild", made)) == []


def test_what_has_a_meaning_in_an_annotation_is_escaped() -> None:
    line = annotation("error", "a: 100%, b", "50% of\r\nx: y, z")
    assert line == "::error title=a%3A 100%25%2C b::50%25 of%0D%0Ax: y, z"


def test_an_output_cannot_write_another_one(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    environ = {"GITHUB_OUTPUT": str(file)}
    write_outputs(environ, {"outcome": "published\nexit=0\nend-0", "exit": "3"})
    write_outputs(environ, {"more": "1"})
    assert outputs(file) == {"outcome": "published\nexit=0\nend-0", "exit": "3", "more": "1"}


def test_outside_of_a_workflow_no_output_is_written(tmp_path: Path) -> None:
    write_outputs({}, {"outcome": "published"})
    write_outputs({"GITHUB_OUTPUT": ""}, {"outcome": "published"})
    assert list(tmp_path.iterdir()) == []


def test_a_run_tells_the_workflow_whether_there_is_something_to_deploy(rig: Rig) -> None:
    rig.push(build("alpha"))
    for number, outcome in enumerate(("published", "unchanged")):
        file = rig.root / f"outputs{number}"
        done = run("rebuild", "--summary", "summary.md", GITHUB_OUTPUT=str(file))
        assert done.returncode == 0, done.stderr
        assert outputs(file) == {"outcome": outcome}
        assert f"{outcome.capitalize()}: site" in done.stdout
        # The one about the missing base_url.
        assert commands(done.stdout + done.stderr) == ["notice"]
    text = (rig.root / "summary.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## cf-index rebuild: published",
        "## cf-index rebuild: unchanged",
    ]


def test_what_was_left_out_is_one_warning_in_all(rig: Rig) -> None:
    rig.push(build("good"))
    for name in ("one", "two", "three"):
        rig.push(build("bad"), repository=name)
    done = run("rebuild", "--summary", "summary.md")
    assert done.returncode == 0
    assert commands(done.stdout).count("warning") == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("::warning")]
    assert "3 left out" in line
    assert "### Left out: 3" in (rig.root / "summary.md").read_text()


def test_a_failure_is_an_error_an_output_and_a_summary(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.fake.knobs.faults = [faults.status(503)]
    file = rig.root / "outputs"
    done = run("rebuild", "--summary", "summary.md", GITHUB_OUTPUT=str(file))
    assert done.returncode == 3
    assert commands(done.stdout) == ["error", "notice"]
    assert "Error: " in done.stderr
    assert outputs(file) == {"outcome": "failed", "exit": "3"}
    text = (rig.root / "summary.md").read_text()
    assert text.startswith("## cf-index rebuild: failed (exit 3)\n")
    assert "503" in text


def test_the_guards_no_comes_with_how_far_the_run_came(rig: Rig) -> None:
    for number in range(30):
        rig.push(build(f"pkg{number}"))
    assert run("rebuild").returncode == 0
    for number in range(29):
        rig.fake.remove_tag(rig.repository("noarch", f"pkg{number}"), "1.0-0")
    done = run("rebuild", "--summary", "summary.md")
    assert done.returncode == 4
    text = (rig.root / "summary.md").read_text()
    assert "failed (exit 4)" in text
    assert "--allow-drop" in text
    assert "| noarch | 30 | 1 |" in text
    assert "- and 9 more" in text


@pytest.mark.parametrize("where", ["flag", "environment"])
def test_settings_that_are_wrong_are_told_to_the_workflow(where: str, tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    arguments = ["--summary", str(file)] if where == "flag" else []
    environ = {"CF_INDEX_SUMMARY": str(file)} if where == "environment" else {}
    done = run("rebuild", "--registry", "nonsense", *arguments, **environ)
    assert done.returncode == 2
    assert file.read_text().startswith("## cf-index rebuild: failed (exit 2)")
    assert commands(done.stdout) == ["error"]


def test_an_interruption_is_in_the_summary(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise TerminatedError

    monkeypatch.setattr("indexer.rebuild.pipeline.rebuild", ended)
    done = CliRunner().invoke(main, ["rebuild", "--summary", "summary.md"])
    assert done.exit_code == 143
    assert "failed (exit 143)" in (rig.root / "summary.md").read_text()


def test_a_fault_of_ours_is_told_on_lines_that_are_no_commands(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("odd\n::add-mask::a ##[add-mask]b")

    monkeypatch.setattr("indexer.rebuild.pipeline.rebuild", broken)
    done = CliRunner().invoke(main, ["rebuild", "--summary", "summary.md"])
    assert done.exit_code == 1
    assert "A fault in cf-index" in done.output
    assert commands(done.output) == []
    assert "failed (exit 1)" in (rig.root / "summary.md").read_text()


def test_a_summary_that_cannot_be_written_is_told_before_anything_is_published(rig: Rig) -> None:
    rig.push(build("alpha"))
    for place in ("missing/summary.md", "site/summary.md", "."):
        done = run("rebuild", "--summary", place)
        assert done.returncode == 2
        assert "--summary" in done.stderr
    assert not rig.site.exists()


def test_a_summary_is_put_behind_what_others_wrote(rig: Rig) -> None:
    (rig.root / "summary.md").write_text("# Others\n")
    assert run("rebuild", "--summary", "summary.md").returncode == 0
    text = (rig.root / "summary.md").read_text()
    assert text.startswith("# Others\n## cf-index rebuild: published\n")


def test_a_log_in_json_is_no_command_and_still_json() -> None:
    done = run("rebuild", "--registry", "oci://a##[add-mask]b/c", CF_INDEX_LOG_FORMAT="json")
    assert done.returncode == 2
    assert commands(done.stderr) == []
    for line in done.stderr.splitlines():
        json.loads(line)
