"""The command as a person or a scheduler meets it: exit codes, messages, streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.packages import build
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.rig import Rig, records_in


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with FakeRegistry() as fake:
        made = Rig(fake, tmp_path)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "cf-index.toml").write_text(
            f'registry = "oci+{fake.http}/acme"\nchannel = "forge"\noutput = "site"\n'
            "retry-for = 0.2\n"
        )
        yield made


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "indexer", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"COLUMNS": "80"} | environ,
    )


def test_with_a_settings_file_the_scheduled_command_is_short(rig: Rig) -> None:
    rig.push(build("alpha", subdir="linux-64"))
    rig.push(build("beta", subdir="osx-64"))

    done = run("rebuild", "--subdir", "linux-64")

    assert done.returncode == 0, done.stderr
    assert list(records_in(rig.site, "linux-64")) == ["alpha-1.0-0.conda"]
    assert not (rig.site / "osx-64").exists()
    assert "Published: site" in done.stdout
    assert max(map(len, done.stdout.splitlines()[1:6])) <= 80


def test_the_environment_stands_over_the_file_and_flags_over_both(rig: Rig) -> None:
    rig.push(build("alpha"), validated=False)
    assert run("rebuild", CF_INDEX_OUTPUT="other", CF_INDEX_ALL="true").returncode == 0
    assert len(records_in(rig.root / "other", "noarch")) == 1
    assert run("rebuild", "--output", "third", CF_INDEX_OUTPUT="other").returncode == 0
    assert records_in(rig.root / "third", "noarch") == {}


def test_a_second_run_says_that_nothing_changed(rig: Rig) -> None:
    rig.push(build("alpha"))
    run("rebuild")
    done = run("rebuild")
    assert done.returncode == 0
    assert "Unchanged: site" in done.stdout
    assert "1 catalog, 1 tags" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rebuild", "--registry", "ghcr.io/acme"], "oci://host/namespace"),
        (["rebuild", "--channel", "../etc"], "--channel"),
        (["rebuild", "--max-drop", "lots"], "percentage"),
        (["rebuild", "--recheck", "1/0"], "--recheck"),
        (["rebuild", "--subdir", "../x"], "--subdir"),
        (["rebuild", "--base-url", "oci"], "port 443"),
        (["rebuild", "--names", "no-such-file"], "no-such-file"),
        (["rebuild", "--previous", ""], "--previous"),
        (["rebuild", "--output", "/dev/null/x"], "/dev/null/x"),
        (["rebuild", "--config", "no-such.toml"], "no-such.toml"),
        (["rebuild", "--no-such-flag"], "no-such-flag"),
        (["check", "no-such-folder"], "no-such-folder"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(
    rig: Rig, arguments: list[str], words: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not rig.site.exists()


def test_an_unavailable_registry_exits_3(rig: Rig) -> None:
    rig.fake.knobs.faults = [faults.status(503)]
    done = run("rebuild")
    assert done.returncode == 3
    assert "503" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "Traceback" in run("--debug", "rebuild").stderr


def test_the_guard_exits_4(rig: Rig) -> None:
    rig.push(build("alpha"))
    run("rebuild")
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "1.0-0")
    rig.fake.knobs.faults = [
        faults.replace_body(b'{"repositories": []}', match=faults.is_catalog())
    ]
    done = run("rebuild")
    assert done.returncode == 4
    assert "--allow-drop" in done.stderr


def test_strict_exits_5_when_artifacts_were_left_out_and_publishes_the_rest(rig: Rig) -> None:
    rig.push(build("openssl"), repository="foo")
    rig.push(build("alpha"))
    assert run("rebuild").returncode == 0
    done = run("rebuild", "--strict", "--report", "report.json")
    assert done.returncode == 5
    assert "noarch/foo:1.0-0" in done.stdout
    report = json.loads((rig.root / "report.json").read_bytes())
    assert report["left_out"] == [
        {
            "subdir": "noarch",
            "repository": "foo",
            "tag": "1.0-0",
            "file_name": "openssl-1.0-0.conda",
            "reason": "index.json names openssl, whose repository would be openssl, not foo",
        }
    ]
    assert len(records_in(rig.site, "noarch")) == 1


def test_a_log_in_json_is_one_object_a_line_on_stderr(rig: Rig) -> None:
    rig.push(build("openssl"), repository="foo")
    done = run("rebuild", "--log-format", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert lines[-1]["event"] == "report"
    assert lines[-1]["outcome"] == "published"
    assert [line["repository"] for line in lines if line["event"] == "left_out"] == ["foo"]


def test_an_error_is_an_object_in_a_log_in_json(rig: Rig) -> None:
    rig.fake.knobs.faults = [faults.status(503)]
    done = run("rebuild", "--log-format", "json", "--report", "report.json")
    last = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, last["event"], last["exit_code"]) == (3, "error", 3)
    assert json.loads((rig.root / "report.json").read_bytes())["outcome"].startswith("failed: ")


def test_a_report_that_cannot_be_written_is_told_before_anything_is_published(rig: Rig) -> None:
    done = run("rebuild", "--report", "no/such/folder/report.json")
    assert done.returncode == 2
    assert not rig.site.exists()


def test_a_report_that_is_a_folder_is_told_before_anything_is_published(rig: Rig) -> None:
    (rig.root / "report").mkdir()
    assert run("rebuild", "--report", "report").returncode == 2
    assert not rig.site.exists()
    run("rebuild")
    before = rig.tree()
    assert run("rebuild", "--report", "site/noarch/repodata.json").returncode == 2
    assert rig.tree() == before


@pytest.mark.usefixtures("rig")
def test_an_error_in_the_settings_is_an_object_in_a_log_in_json() -> None:
    done = run("rebuild", "--log-format", "json", "--max-drop", "many")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--max-drop" in json.loads(done.stderr)["message"]
    done = run("rebuild", "--max-drop", "many", CF_INDEX_LOG_FORMAT="json")
    assert json.loads(done.stderr)["exit_code"] == 2


def test_an_interrupt_waits_for_no_server(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.fake.knobs.faults = [faults.hang(match=faults.is_manifest())]
    # A shell starts its background jobs deaf to SIGINT, and these tests may run in one.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from indexer.cli import main; main(['rebuild'])"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while rig.fake.count("manifests") == 0:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    # Its own timeout would free it after 30 seconds.
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Interrupted" in errors


def test_hostile_names_do_not_reach_the_terminal_as_control_codes(rig: Rig) -> None:
    rig.push(build("alpha", extra_index={"license": "\x1b[31mred"}))
    done = run("rebuild")
    assert "\x1b" not in done.stdout + done.stderr


def test_check_exits_0_for_a_sound_channel_and_1_for_a_broken_one(rig: Rig) -> None:
    rig.push(build("alpha"))
    run("rebuild")
    assert run("check", "site").returncode == 0
    (rig.site / "noarch/repodata.json").write_bytes(b"{}")
    done = run("check", "site")
    assert done.returncode == 1
    assert "noarch/repodata.json" in done.stdout


def test_credentials_are_never_printed(rig: Rig) -> None:
    rig.fake.knobs.auth = "basic"
    rig.fake.knobs.users = {"me": "right"}
    secret = {"ORAS_USER": "me", "ORAS_PASS": "s3cret-w0rd"}
    done = run("--debug", "rebuild", "--log-format", "json", **secret)
    assert done.returncode == 3
    assert "s3cret" not in done.stdout + done.stderr
    assert "bWU6czNjcmV0" not in done.stdout + done.stderr


def test_names_may_come_from_stdin(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    done = subprocess.run(
        [sys.executable, "-m", "indexer", "rebuild", "--names", "-"],
        input="noarch/alpha\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(records_in(rig.site, "noarch")) == ["alpha-1.0-0.conda"]


@pytest.mark.parametrize(
    "words",
    [
        ["mark", "-", "--as", "validated", "--registry", "ocidir://x"],
        ["marks", "-", "--registry", "ocidir://x"],
        ["promote", "-", "--from", "ocidir://x", "--to", "ocidir://y"],
        ["prune", "--restore", "-", "--registry", "ocidir://x"],
    ],
    ids=lambda words: words[0],
)
def test_a_stdin_that_is_closed_is_named(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "indexer", *words, "--channel", "forge"]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "Error: - stands for the lines of stdin, and stdin is closed.\n",
    )


@pytest.mark.parametrize("command", [[], ["rebuild"], ["check"]])
def test_help_stands_alone(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout
