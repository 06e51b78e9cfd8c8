"""What GitHub's workflows are told of a run: annotations, and the outputs of its step.

A step may have ten annotations of each kind, and fifty are shown of a job: each of ours stands for
all of its sort, and says how many there are.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from indexer.cli.explaining import REMEDIES
from indexer.errors import printable
from indexer.rebuild.report import Report
from indexer.rebuild.tally import LeftOut

_NAMED = 5
_MAX_TEXT = 300


def annotation(kind: str, title: str, message: str) -> str:
    """A line that the runner makes an annotation of; ``kind`` is error, warning or notice."""
    return f"::{kind} title={_property(title)}::{_data(message)}"


def annotations_of(command: str, report: Report) -> Iterator[str]:
    """At most seven, of a run that came to its end or not."""
    title = f"cf-index {command}"
    held = sum(part.count.held for part in report.subdirs.values())
    if held:
        text = f"{held:,} files have other bytes than they were published with, and are held back"
        yield annotation("warning", title, f"{text}; they are among what is left out.")
    for what, items in (("left out", report.left_out), ("rejected", report.rejected)):
        if items:
            told = [_told(item) for item in items[:_NAMED]]
            yield annotation("warning", title, _some(what, told, len(items)))
    for what, texts in (
        ("repositories passed over", report.passed_over),
        ("servers that limited requests", report.limited),
    ):
        if texts:
            yield annotation("warning", title, _some(what, texts, len(texts)))
    if report.policy == "none":
        yield annotation("warning", title, "Policy none: everything is let in, validated or not.")
    if report.notes:
        yield annotation("notice", title, _some("notes", report.notes, len(report.notes)))


def annotation_of_failure(command: str, code: int, text: str) -> str:
    """The one about what ended a run."""
    remedy = f"\n{REMEDIES[code]}" if code in REMEDIES else ""
    return annotation("error", f"cf-index {command}: exit {code}", printable(text, 2000) + remedy)


def write_outputs(environ: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Append a step's outputs to the file that the workflow named, if it did. Raises OSError."""
    if not (name := environ.get("GITHUB_OUTPUT")):
        return
    # A value can't end itself: nobody knows the word that does.
    end = f"end-{secrets.token_hex(16)}"
    text = "".join(f"{key}<<{end}\n{value}\n{end}\n" for key, value in outputs.items())
    with Path(name).open("a", encoding="utf-8") as file:
        file.write(text)


def _some(what: str, texts: Sequence[str], total: int) -> str:
    lines = [printable(text, _MAX_TEXT) for text in texts[:_NAMED]]
    more = [f"and {total - _NAMED:,} more"] if total > _NAMED else []
    counted = (
        f"1 {what.removesuffix('s')}" if total == 1 and what == "notes" else f"{total:,} {what}"
    )
    return "\n".join([f"{counted}:", *lines, *more])


def _told(item: LeftOut) -> str:
    return f"{item.place}: {item.reason}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
