"""A run's account for people, as Markdown: the summary of a CI system's job.

Names and reasons come from a registry that anybody may push to. Each stands in a code span, in
which Markdown has no markup, no link, no mention and no HTML; none stands in the table, whose
cells a code span doesn't keep together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from indexer.channel.index_json import SUBDIR
from indexer.cli.explaining import REMEDIES
from indexer.errors import printable
from indexer.markdown import fenced
from indexer.rebuild.report import Report, SubdirReport
from indexer.rebuild.tally import LeftOut

MAX_BYTES = 60_000
_NAMED = 20
_MAX_ROWS = 100
_MAX_TEXT = 300
_MAX_ERROR = 2000
_CUT = "\nMore doesn't fit here; the report has it all.\n"
_COLUMNS = (
    "Subdir",
    "Repositories",
    "Tags",
    "Read",
    "Waiting",
    "Rejected",
    "Left out",
    "New",
    "Gone",
    "Changed",
    "In all",
)
_KINDS = {"removed": "gone", "changed": "changed", "added": "new"}


def summary_of(command: str, report: Report) -> str:
    """What a run did that came to its end; at most MAX_BYTES."""
    page = _Page()
    page.add(f"## cf-index {command}: {printable(report.outcome, 100)}", "")
    _tell(page, report)
    return page.text()


def summary_of_failure(command: str, code: int, text: str, report: Report | None = None) -> str:
    """What ended a run, what to do, and how far it came; at most MAX_BYTES."""
    page = _Page()
    page.add(f"## cf-index {command}: failed (exit {code})", "")
    page.add(code_span(text, _MAX_ERROR), "")
    if code in REMEDIES:
        page.add(REMEDIES[code], "")
    if report is not None and report.subdirs:
        page.add("What it had found until then:", "")
        _tell(page, report)
    return page.text()


def code_span(text: str, limit: int = _MAX_TEXT) -> str:
    """Text from outside as a code span, in which nothing acts."""
    return fenced(printable(text, limit).strip() or "(nothing)")


class _Page:
    """Lines, as many as fit."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._left = MAX_BYTES - len(_CUT)
        self._full = False

    def add(self, *lines: str) -> None:
        for line in lines:
            size = len(line.encode()) + 1
            self._full = self._full or size > self._left
            if self._full:
                return
            self._left -= size
            self._lines.append(line)

    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n" + (_CUT if self._full else "")


def _tell(page: _Page, report: Report) -> None:
    run = f", run {code_span(report.run, 100)}" if report.run else ""
    page.add(
        f"Channel {code_span(report.channel, 200)} of {code_span(report.registry, 200)}{run}, at "
        f"{printable(report.time, 40)}, in {report.took():,.1f} s.",
        "",
    )
    page.add(*_table(report), "")
    if report.policy == "none":
        page.add("Policy none: everything is let in, validated or not.", "")
    _changes(page, report)
    _list(page, "Left out", map(_left_out, report.left_out[:_NAMED]), len(report.left_out))
    _list(page, "Rejected", map(_left_out, report.rejected[:_NAMED]), len(report.rejected))
    _list(page, "Passed over", map(code_span, report.passed_over[:_NAMED]), len(report.passed_over))
    _list(page, "Notes", map(code_span, report.notes[:_NAMED]), len(report.notes))
    _list(page, "Limited by", map(code_span, report.limited[:_NAMED]), len(report.limited))
    requests = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.requests.items()))
    page.add(f"Requests: {requests or 'none'}.", "")
    if report.names_from:
        page.add(f"Names from {code_span(report.names_from)}.", "")


def _table(report: Report) -> Iterable[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---|" + "---:|" * (len(_COLUMNS) - 1)
    left_out = Counter(item.subdir for item in report.left_out)
    rows = {subdir: _row(part, left_out[subdir]) for subdir, part in report.subdirs.items()}
    for subdir, numbers in list(rows.items())[:_MAX_ROWS]:
        # What isn't one can't get here; a table isn't the place to find that out.
        yield _line(subdir if SUBDIR.fullmatch(subdir) else "?", numbers)
    if len(rows) > 1:
        yield _line("all", [sum(column) for column in zip(*rows.values(), strict=True)])


def _line(name: str, numbers: Sequence[int]) -> str:
    return f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} |"


def _row(part: SubdirReport, left_out: int) -> list[int]:
    count = part.count
    return [
        part.repositories,
        part.tags,
        part.read + part.looked_again,
        part.waiting,
        part.rejected,
        left_out,
        count.added,
        count.removed,
        count.changed,
        count.after,
    ]


def _changes(page: _Page, report: Report) -> None:
    order = list(_KINDS)
    changes = sorted(report.changes, key=lambda change: order.index(change["kind"]))
    lines = (
        f"{_KINDS[change['kind']]}: {code_span(change['subdir'] + '/' + change['file_name'])}"
        for change in changes[:_NAMED]
    )
    total = sum(part.count.total for part in report.subdirs.values())
    _list(page, "Changes", lines, total)


def _list(page: _Page, title: str, lines: Iterable[str], total: int) -> None:
    if not total:
        return
    page.add(f"### {title}: {total:,}", "", *(f"- {line}" for line in lines))
    if total > _NAMED:
        page.add(f"- and {total - _NAMED:,} more")
    page.add("")


def _left_out(item: LeftOut) -> str:
    return f"{code_span(item.place)}: {code_span(item.reason)}"
