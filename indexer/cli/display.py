"""Showing a run: a progress bar and tables on a terminal, or JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

import click
import orjson
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from indexer.errors import CfIndexError, inert, printable
from indexer.progress import Unit
from indexer.rebuild.report import Report
from indexer.transfer.outcome import Outcome

_NAMED = 20
# Failures are what somebody has to do something about.
_FAILURES = 1000
_ORDER = ("removed", "changed", "added")


def _plain(text: str) -> str:
    """Text that is no markup to rich, and no command to who reads the log."""
    return escape(inert(text))


class _Console(Console):
    """Lets whoever calls know that nobody reads any more; rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Terminal:
    """Bars on stderr while it runs (on a terminal only), the report on stdout."""

    def __init__(self) -> None:
        self._errors = _Console(stderr=True)
        self._bars: Progress | None = None

    def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
        """Show a bar."""
        self.end()
        if not self._errors.is_terminal:
            return
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn() if unit == "items" else DownloadColumn(),
            *([TransferSpeedColumn()] if unit == "bytes" else []),
            TimeRemainingColumn(),
            console=self._errors,
            transient=True,
        )
        self._bars.add_task(_plain(what), total=total)
        self._bars.start()

    def step(self, count: int = 1) -> None:
        """Move the bar."""
        if self._bars is not None:
            self._bars.advance(self._bars.task_ids[0], count)

    def end(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def fail(self, error: CfIndexError) -> bool:
        """Leave it to where all errors are printed."""
        del error
        return False

    def show(self, report: Report, *, site: Path) -> None:
        """Print the report."""
        out = _Console(soft_wrap=True, highlight=False)
        out.print(_table(report))
        changes = sorted(report.changes, key=lambda change: _ORDER.index(change["kind"]))
        lines = [f"{c['kind']:<8}{c['subdir']}/{c['file_name']}" for c in changes[:_NAMED]]
        total = sum(part.count.total for part in report.subdirs.values())
        for line in [*lines, *_more(total, "changes")]:
            out.print(_plain(line))
        for text in [*report.notes[:_NAMED], *_more(len(report.notes), "notes")]:
            out.print(f"Note: {_plain(text)}")
        if report.policy == "none":
            out.print("Note: policy none: everything is let in, validated or not.")
        _print_some(out, "Passed over", report.passed_over)
        _print_some(out, "Rejected", [_left_out(item) for item in report.rejected])
        _print_some(out, "Left out", [_left_out(item) for item in report.left_out])
        requests = ", ".join(f"{count:,} {kind}" for kind, count in report.requests.items())
        out.print(f"Requests: {requests or 'none'}. Names from {_plain(report.names_from)}.")
        if report.changes_from:
            out.print(f"Changes from {_plain(report.changes_from)}.")
        for text in report.limited:
            out.print(f"Limited: {_plain(text)}.")
        seconds = sum(report.durations.values())
        outcome = report.outcome.partition(":")[0].capitalize()
        if report.outcome.startswith("dry run"):
            outcome = report.outcome.capitalize()
        out.print(f"[bold]{_plain(outcome)}[/]: {_plain(str(site))} ({seconds:.1f} s)")


def show_outcome(outcome: Outcome, verb: str) -> None:
    """Print what a transfer did, or would do; ``verb`` is what became of the files."""
    out = _Console(soft_wrap=True, highlight=False)
    would = "would be " if outcome.dry_run else ""
    first = "Would be {}" if outcome.dry_run else "{}"
    for files, done in ((outcome.moved, verb), (outcome.removed, "removed")):
        what = first.format(done).capitalize()
        lines = sorted(f"{item} ({_size(item.size)})" for item in files.first)
        for line in [*lines[:_NAMED], *_and_more(files.count)]:
            out.print(f"{what}: {_plain(line)}")
    show_trouble(outcome)
    count = outcome.moved.count
    text = f"{count:,} file{'' if count == 1 else 's'} {would}{verb} ({_size(outcome.moved.size)})"
    if outcome.removed.count:
        text += f", {outcome.removed.count:,} {would}removed"
    text += f"; {outcome.present:,} were there already"
    text += f"; {outcome.failed:,} failed" if outcome.failed else ""
    out.print(f"[bold]{text}[/].")


def show_marked(outcome: Outcome, verb: str) -> None:
    """Print what was said of which builds, each with what it was said of."""
    out = _Console(soft_wrap=True, highlight=False)
    would = "would be " if outcome.dry_run else ""
    lines = sorted(f"{item} ({item.detail})" for item in outcome.moved.first)
    for line in [*lines, *_and_more(outcome.moved.count, len(lines))]:
        out.print(f"{would}{verb}: ".capitalize() + _plain(line))
    show_trouble(outcome)
    count = outcome.moved.count
    text = f"{count:,} file{'' if count == 1 else 's'} {would}{verb}"
    text += f"; {outcome.present:,} were so already"
    text += f"; {outcome.failed:,} failed" if outcome.failed else ""
    out.print(f"[bold]{text}[/].")


def show_trouble(outcome: Outcome) -> None:
    """Print what there is to know, and what couldn't be done."""
    out = _Console(soft_wrap=True, highlight=False)
    for what, lines, count in (
        ("Note", outcome.notes, outcome.noted),
        ("Failed", sorted(f"{f.what}: {f.reason}" for f in outcome.failures), outcome.failed),
    ):
        for line in [*lines[:_FAILURES], *_and_more(count, _FAILURES)]:
            out.print(f"{what}: {_plain(line)}")


def show_text(data: bytes) -> None:
    """Print what a package holds: as it is to a program; on a terminal nothing in it acts."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    for line in data.decode(errors="replace").splitlines():
        click.echo(printable(line.replace("\t", "    "), len(line) * 4))


def _and_more(count: int, shown: int = _NAMED) -> list[str]:
    return [f"... and {count - shown:,} more"] if count > shown else []


def _size(count: int) -> str:
    """Bytes for people: decimal units, as registries and disks are sold."""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


class JsonLog:
    """One JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._part: dict[str, Any] = {}

    def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
        """Tell that a part begins."""
        self._part = {"part": what, "total": total, "unit": unit}
        self._line({"event": "begin", **self._part})

    def step(self, count: int = 1) -> None:
        """Say nothing: a line for each step would drown the rest."""

    def end(self) -> None:
        """Tell that a part is over."""
        if self._part:
            self._line({"event": "end", **self._part})
            self._part = {}

    def fail(self, error: CfIndexError) -> bool:
        """Tell of an error; True: nobody else needs to."""
        self._line({"event": "error", "exit_code": error.exit_code, "message": str(error)})
        return True

    def show(self, report: Report, *, site: Path) -> None:
        """Tell what was left out, then all the rest."""
        document = report.as_dict()
        for key in ("left_out", "rejected", "waiting", "notes", "passed_over"):
            for item in document.pop(key):
                self._line({"event": key, **(item if isinstance(item, dict) else {"text": item})})
        self._line({"event": "report", **document, "site": str(site)})

    def _line(self, document: dict[str, Any]) -> None:
        # GitHub's runner takes ##[ for a command, wherever it stands; in JSON it is in a string.
        text = orjson.dumps(document).decode().replace("##[", "##\\u005b")
        self._stream.write(text + "\n")
        self._stream.flush()


def _table(report: Report) -> Table:
    """Counts by subdir; narrow enough for 80 columns."""
    title = f"{_plain(report.channel)} from {_plain(report.registry)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("Subdir", no_wrap=True, min_width=13)
    for name in (
        "Repos",
        "Tags",
        "Read",
        "Wait",
        "Rej",
        "Bad",
        "New",
        "Gone",
        "Changed",
        "Held",
        "Records",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for subdir, part in report.subdirs.items():
        count = part.count
        numbers = (
            part.repositories,
            part.tags,
            part.read + part.looked_again,
            part.waiting,
            part.rejected,
            part.unsound,
            count.added,
            count.removed,
            count.changed,
            count.held,
            count.after,
        )
        table.add_row(_plain(subdir), *(f"{number:,}" for number in numbers))
    return table


def _print_some(out: Console, title: str, lines: list[str]) -> None:
    for line in lines[:_NAMED]:
        out.print(f"{title}: {_plain(line)}")
    for line in _more(len(lines), title.lower()):
        out.print(line)


def _more(total: int, what: str) -> list[str]:
    return (
        [f"... and {total - _NAMED:,} more {what}; --report FILE has more."]
        if total > _NAMED
        else []
    )


def _left_out(item: Any) -> str:
    file_name = f" ({item.file_name})" if item.file_name else ""
    return f"{item.subdir}/{item.repository}:{item.tag}{file_name}: {item.reason}"
