"""What a step says to the runner: commands in its log, and lines in the files it is given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.workflow.values import HarnessError

LEVELS = ("error", "warning", "notice")
MAX_ANNOTATIONS = 10
MAX_SUMMARY = 1024 * 1024
# The runner also takes this older form, anywhere in a line.
_OLD = re.compile(r"##\[(?P<command>[a-z-]+)(?: (?P<about>[^\]]*))?\](?P<rest>.*)")
_NEW = re.compile(r"\s*::(?P<command>[a-z-]+)(?: (?P<about>.*?))?::(?P<rest>.*)")
_PLAIN = {"group", "endgroup", "debug", "echo"}
_SETTING = re.compile(r"(?P<name>[^=<]+?)(?:=(?P<value>.*)|<<(?P<end>.+))")
_FORBIDDEN = re.compile(r"(?:GITHUB|RUNNER|ACTIONS)_.*|CI|NODE_OPTIONS")


@dataclass(frozen=True)
class Annotation:
    """What GitHub shows beside a run."""

    level: str
    message: str
    title: str = ""


@dataclass(frozen=True)
class Said:
    """All that was found in a step's log."""

    annotations: tuple[Annotation, ...]
    masks: tuple[str, ...]


class FormatError(Exception):
    """A file of settings isn't in the format, which fails the step."""


def read_log(log: str) -> Said:
    """Find the commands in a log. Raises HarnessError for unknown ones, and for too many."""
    annotations: list[Annotation] = []
    masks: list[str] = []
    stopped = ""
    for line in log.splitlines():
        if stopped:
            stopped = "" if line.strip() == f"::{stopped}::" else stopped
            continue
        found = _NEW.match(line) or _OLD.search(line)
        if found is None:
            continue
        command, rest = found["command"], _unescaped(found["rest"])
        if command in LEVELS:
            annotations.append(Annotation(command, rest, _title(found["about"] or "")))
        elif command == "add-mask":
            masks.append(rest)
        elif command == "stop-commands":
            stopped = rest
        elif command not in _PLAIN:
            raise HarnessError(f"the harness doesn't know the command in {line!r}")
    if len(annotations) > MAX_ANNOTATIONS:
        raise HarnessError(f"{len(annotations)} annotations in one step: GitHub drops some")
    return Said(tuple(annotations), tuple(mask for mask in masks if mask))


def _title(about: str) -> str:
    found = dict(part.split("=", 1) for part in about.split(",") if "=" in part)
    return _unescaped(found.get("title", "")).replace("%3A", ":").replace("%2C", ",")


def _unescaped(value: str) -> str:
    return value.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def read_settings(file: Path) -> dict[str, str]:
    """The names and values in a file as $GITHUB_OUTPUT and $GITHUB_ENV are. Raises FormatError."""
    lines = iter(file.read_text(encoding="utf-8").splitlines())
    settings: dict[str, str] = {}
    for line in lines:
        if not line:
            continue
        found = _SETTING.fullmatch(line)
        if found is None:
            raise FormatError(f"Invalid format '{line}'")
        value = found["value"] if found["end"] is None else _until(lines, found["end"])
        settings[found["name"]] = value
    return settings


def _until(lines: Iterable[str], end: str) -> str:
    value: list[str] = []
    for line in lines:
        if line == end:
            return "\n".join(value)
        value.append(line)
    raise FormatError(f"Invalid value. Matching delimiter not found '{end}'")


def read_environment(file: Path) -> dict[str, str]:
    """What a step sets for those after it. Raises FormatError for what a step may not set."""
    settings = read_settings(file)
    for name in settings:
        if _FORBIDDEN.fullmatch(name):
            raise FormatError(f"Can't store {name} output parameter using '$GITHUB_ENV' command")
    return settings


def read_summary(file: Path) -> str:
    """What a step wrote for the run's page. Raises HarnessError where GitHub would drop it."""
    data = file.read_bytes()
    if len(data) > MAX_SUMMARY:
        raise HarnessError(f"a summary of {len(data):,} bytes: GitHub takes 1 MiB")
    return data.decode("utf-8")
