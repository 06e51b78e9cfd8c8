"""What differs between two channels, told to people: as text, or as Markdown for a job's summary.

Both are bounded, however much differs. All that comes from a channel is a stranger's text: it
stays in its place, on its line, and nothing in it acts on a terminal, in Markdown, or as a
workflow's command in a log.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

from indexer.channel.record import encode
from indexer.diff import ChannelDiff, SubdirDiff
from indexer.diff.fields import Change
from indexer.errors import printable
from indexer.markdown import fenced

# In bytes. A job's summary may have a megabyte of all its steps together.
MAX_TEXT = 100_000
MAX_MARKDOWN = 60_000
# Kept free for the line that says what was cut.
_END = 300
# Of one kind in one subdir, fields of one file, items of one list.
_FILES = 50
_FIELDS = 10
_ITEMS = 10
# In characters.
_NAME = 200
_VALUE = 100


class _Style(Protocol):
    """How headings, names and values are written."""

    limit: int
    before_end: tuple[str, ...]

    def quoted(self, text: str) -> str:
        """A stranger's text of one line."""
        ...

    def head(self, diff: ChannelDiff) -> Iterator[str]:
        """What comes first: both channels, and counts for each subdir."""
        ...

    def title(self, part: SubdirDiff) -> Iterator[str]:
        """What a subdir's lines begin with."""
        ...

    def item(self, text: str, depth: int) -> str:
        """A line of a list."""
        ...


class _Text:
    limit = MAX_TEXT
    before_end: tuple[str, ...] = ()

    def quoted(self, text: str) -> str:
        return text

    def head(self, diff: ChannelDiff) -> Iterator[str]:
        yield f"old: {printable(diff.old, _NAME)}"
        yield f"new: {printable(diff.new, _NAME)}"
        for part in diff.subdirs:
            yield f"{part.subdir}: {_counts(part)} ({_forms(part)})"

    def title(self, part: SubdirDiff) -> Iterator[str]:
        yield f"{part.subdir}:"

    def item(self, text: str, depth: int) -> str:
        return f"{'  ' * depth}{text}"


class _Markdown:
    limit = MAX_MARKDOWN
    before_end: tuple[str, ...] = ("",)

    def quoted(self, text: str) -> str:
        return fenced(text)

    def head(self, diff: ChannelDiff) -> Iterator[str]:
        old, new = (self.quoted(printable(location, _NAME)) for location in (diff.old, diff.new))
        yield f"From {old} to {new}:"
        yield ""
        if diff.subdirs:
            yield "| Subdir | Added | Removed | Changed | Compared |"
            yield "|---|--:|--:|--:|---|"
        for part in diff.subdirs:
            numbers = (len(part.added), len(part.removed), part.changed_count)
            columns = (part.subdir, *(f"{number:,}" for number in numbers), _forms(part))
            yield f"| {' | '.join(columns)} |"

    def title(self, part: SubdirDiff) -> Iterator[str]:
        yield from ("", f"**{part.subdir}**", "")

    def item(self, text: str, depth: int) -> str:
        return f"{'  ' * (depth - 1)}- {text}"


def as_text(diff: ChannelDiff) -> str:
    """The differences for a terminal or a log: at most ``MAX_TEXT`` bytes."""
    return _told(diff, _Text())


def as_markdown(diff: ChannelDiff) -> str:
    """The differences for a job's summary: at most ``MAX_MARKDOWN`` bytes."""
    return _told(diff, _Markdown())


def _told(diff: ChannelDiff, style: _Style) -> str:
    lines = list(style.head(diff))
    left = style.limit - _END - sum(map(_size, lines))
    end = _verdict(diff)
    for line in _details(diff, style):
        left -= _size(line)
        if left < 0:
            end = f"Cut here; --format json has all of it. {end}"
            break
        lines.append(line)
    return "".join(f"{line}\n" for line in (*lines, *style.before_end, end))


def _size(line: str) -> int:
    return len(line.encode()) + 1


def _verdict(diff: ChannelDiff) -> str:
    if not diff.subdirs:
        return "The same: neither has any subdir."
    if diff.is_same:
        return "The same."
    counts = (
        sum(len(part.added) for part in diff.subdirs),
        sum(len(part.removed) for part in diff.subdirs),
        sum(part.changed_count for part in diff.subdirs),
    )
    return "Different: {:,} added, {:,} removed, {:,} changed.".format(*counts)


def _counts(part: SubdirDiff) -> str:
    if part.is_same:
        return "the same"
    return (
        f"{len(part.added):,} added, {len(part.removed):,} removed, {part.changed_count:,} changed"
    )


def _forms(part: SubdirDiff) -> str:
    """Which forms of the index were compared, or where there is none; and how they differ."""
    if not part.old:
        return f"not in old; {part.new}"
    if not part.new:
        return f"{part.old}; not in new"
    forms = part.old if part.old == part.new else f"{part.old} with {part.new}"
    return f"{forms}; info changed" if part.info else forms


def _details(diff: ChannelDiff, style: _Style) -> Iterator[str]:
    """Every difference, but for those of which there are many of the same kind."""
    for part in diff.subdirs:
        if part.is_same:
            continue
        yield from style.title(part)
        for key, change in islice(part.info.items(), _FIELDS):
            yield style.item(f"info: {_field(key, change, style)}", 1)
        yield from _more(len(part.info), _FIELDS, "info", style, 1)
        yield from _names("removed", part.removed, style)
        for file_name, fields in islice(part.changed(), _FILES):
            yield style.item(f"changed {style.quoted(printable(file_name, _NAME))}", 1)
            for key, change in islice(fields.items(), _FIELDS):
                yield style.item(_field(key, change, style), 2)
            yield from _more(len(fields), _FIELDS, "fields", style, 2)
        yield from _more(part.changed_count, _FILES, "changed", style, 1)
        yield from _names("added", part.added, style)


def _names(kind: str, names: list[str], style: _Style) -> Iterator[str]:
    for name in names[:_FILES]:
        yield style.item(f"{kind} {style.quoted(printable(name, _NAME))}", 1)
    yield from _more(len(names), _FILES, kind, style, 1)


def _more(count: int, shown: int, kind: str, style: _Style, depth: int) -> Iterator[str]:
    if count > shown:
        yield style.item(f"... and {count - shown:,} more {kind}", depth)


def _field(key: str, change: Change, style: _Style) -> str:
    name = style.quoted(printable(key, _VALUE))
    items = _items(change)
    if items is None:
        old = "none" if change.was_absent else style.quoted(_value(change.old))
        new = "none" if change.is_absent else style.quoted(_value(change.new))
        return f"{name}: {old} -> {new}"
    shown = (f"{sign} {style.quoted(_value(item))}" for sign, item in items[:_ITEMS])
    more = len(items) - _ITEMS
    return f"{name}: {', '.join(shown)}" + (f", and {more:,} more" if more > 0 else "")


def _items(change: Change) -> list[tuple[str, Any]] | None:
    """What came into a list and what went, with its sign; None where that isn't all."""
    if not isinstance(change.old, list) or not isinstance(change.new, list):
        return None
    old, new = ({encode(item): item for item in items} for items in (change.old, change.new))
    gone = [("-", item) for key, item in old.items() if key not in new]
    came = [("+", item) for key, item in new.items() if key not in old]
    # Otherwise only the order changed, or how often something is there.
    return gone + came or None


def _value(value: Any) -> str:
    return printable(encode(value).decode(), _VALUE)
