from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import pytest

from demo.run import Places, fill
from demo.shelf import shelf
from indexer.cli import main
from indexer.config import PREFIX, Config, load_config
from indexer.errors import ConfigError

ROOT = Path(__file__).parent.parent
DOCS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "contrib").rglob("*.md")),
]
OPERATORS = ROOT / "docs" / "operators.md"
REGISTRY = ROOT / "docs" / "registry.md"
TRUST = ROOT / "docs" / "trust.md"

# What every rebuild needs, where a line of the docs leaves it to the settings file.
NEEDED = {"registry": "oci://registry.example/acme", "channel": "forge", "output": Path("site")}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_RUNNABLE = re.compile(r"<!-- runnable[^>]*-->\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    path: Path
    language: str
    text: str
    runnable: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}: {self.text.splitlines()[0]}"

    def commands(self, program: str) -> list[list[str]]:
        """The arguments of every line that calls a program."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
        return [line[1:] for line in words if line and line[0] == program]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of whoever runs the tests has a say."""
    monkeypatch.chdir(tmp_path)


def blocks(*languages: str) -> list[Block]:
    return [
        Block(
            path, match[1], match[2], _RUNNABLE.search(text[: match.start()].rstrip()) is not None
        )
        for path in DOCS
        for text in [path.read_text(encoding="utf-8")]
        for match in _FENCE.finditer(text)
        if match[1] in languages
    ]


SHELL = blocks("sh", "console")


def parse(arguments: Sequence[str]) -> Mapping[str, Any]:
    """What the real command line makes of the arguments, without running anything."""
    words = list(arguments)
    known = {flag for option in main.params for flag in option.opts}
    while words[0].startswith("-"):
        assert words.pop(0) in known, arguments
    name, *rest = words
    assert name in main.commands, arguments
    return main.commands[name].make_context(name, rest).params


def is_setting(parameter: str) -> bool:
    """Whether a flag is a setting; some are of one command alone."""
    return parameter in {field.name for field in fields(Config)} | {"all"}


def rebuild_options() -> list[click.Option]:
    options = [item for item in main.commands["rebuild"].params if isinstance(item, click.Option)]
    assert len(options) > 20
    return options


def file_keys(tmp_path: Path) -> list[str]:
    """The keys of the settings file, as the error for an unknown one lists them."""
    file = tmp_path / "cf-index.toml"
    file.write_text("no-such-setting = 1\n")
    with pytest.raises(ConfigError, match="Known are: ") as caught:
        load_config({}, {}, file)
    return str(caught.value).partition("Known are: ")[2].rstrip(".").split(", ")


def test_the_docs_have_commands_to_check() -> None:
    assert sum(len(block.commands("cf-index")) for block in SHELL) > 10
    assert any(block.runnable for block in SHELL)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_no_command_in_the_docs_is_refused_by_the_real_program(block: Block) -> None:
    for arguments in block.commands("cf-index"):
        if arguments == ["--version"]:
            continue
        params = dict(parse(arguments))
        if "config_file" in params:
            del params["config_file"]
            given = {k: v for k, v in params.items() if v is not None and is_setting(k)}
            load_config({**NEEDED, **given}, {}, None)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_no_settings_file_in_the_docs_is_refused(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "cf-index.toml"
    file.write_text(block.text, encoding="utf-8")
    assert tomllib.loads(block.text)
    assert load_config({}, {}, file).channel


@pytest.mark.parametrize("block", [block for block in SHELL if block.runnable], ids=str)
def test_lines_that_the_docs_call_runnable_run(block: Block, tmp_path: Path) -> None:
    fill(Places(tmp_path / "demo-output").registry, shelf())
    for arguments in block.commands("cf-index"):
        done = subprocess.run(
            [sys.executable, "-m", "indexer", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"cf-index {shlex.join(arguments)}\n{done.stderr}"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_make_target_in_the_docs_exists(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target, *_ in block.commands("make"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_no_flag_of_rebuild_is_missing_from_the_operators_page() -> None:
    text = OPERATORS.read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `--")]
    documented = {match for row in rows for match in re.findall(r"--[a-z-]+", row)}
    flags = {
        flag
        for option in rebuild_options()
        for flag in (*option.opts, *option.secondary_opts)
        if flag.startswith("--")
    }
    assert flags - {"--help"} - documented == set()
    values = {f"--base-url {value}" for value in ("auto", "oci", "none")}
    assert documented - flags - values == set(), "the page has flags that the program lacks"


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (REGISTRY, ("push", "mirror", "pull", "show", "publish")),
        (TRUST, ("keygen", "mark", "marks", "promote", "prune")),
    ],
)
def test_the_page_says_which_command_takes_which_flag(page: Path, names: Sequence[str]) -> None:
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `--")
    ]
    said = {
        name: {
            flag
            for row in rows
            if row[names.index(name) + 1] == "yes"
            for flag in re.findall(r"--[a-z-]+", row[0])
        }
        for name in names
    }
    for name in names:
        options = [item for item in main.commands[name].params if isinstance(item, click.Option)]
        flags = {flag for option in options for flag in option.opts if flag.startswith("--")}
        assert said[name] == flags - {"--help"}, name


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_in_the_docs_runs(
    block: Block, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(Places(tmp_path / "demo-output").registry, shelf())
    exec(compile(block.text, str(block.path), "exec"), {})  # noqa: S102  it is ours
    assert "sha256:" in capsys.readouterr().out


def test_no_key_and_no_variable_is_missing_from_the_operators_page(tmp_path: Path) -> None:
    text = OPERATORS.read_text(encoding="utf-8")
    for key in file_keys(tmp_path):
        variable = PREFIX + key.upper().replace("-", "_")
        assert re.search(rf"^\|.*\| `{variable}` \| `{key}` \|", text, re.MULTILINE), key


def test_every_key_on_the_operators_page_is_a_setting(tmp_path: Path) -> None:
    text = OPERATORS.read_text(encoding="utf-8")
    rows = re.findall(rf"^\|.+\| `{PREFIX}[A-Z_]+` \| `([a-z-]+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(file_keys(tmp_path))


def test_defaults_on_the_operators_page_are_those_of_the_program() -> None:
    config = load_config(NEEDED, {}, None)
    text = OPERATORS.read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in text.splitlines()]
    said = {row[3]: row[4] for row in rows if len(row) > 5 and row[2].startswith(PREFIX)}
    assert said["state"] == str(config.state)
    assert said["base-url"] == config.base_url
    assert said["policy"] == config.policy.name
    assert said["status-key"] == config.policy.key
    assert said["status-value"] == config.policy.value
    assert said["max-drop"] == f"{config.max_drop:.0%}"
    assert said["recheck"] == str(config.recheck)
    assert said["jobs"] == str(config.jobs)
    assert said["retry-for"] == f"{config.retry_for:.0f}"


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    titles = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text))
    return {title.replace(" ", "-") for title in titles}


def links(path: Path) -> Iterator[str]:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    return (link for link in _LINK.findall(text) if "://" not in link)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_in_the_docs_leads_nowhere(path: Path) -> None:
    for link in links(path):
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_exit_code_is_on_both_pages() -> None:
    for path in (ROOT / "README.md", OPERATORS):
        codes = re.findall(r"^\| (\d+) \|", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert {"0", "1", "2", "3", "4", "5"} <= set(codes), path
