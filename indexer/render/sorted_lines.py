"""A repodata.json of this program on disk: a file's line is found without reading the others.

Its lines are in order, so a search by halves finds one in some thirty short reads; what lies
between two changes is copied, or compared, as the bytes that it is.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from indexer.channel.record import TARBZ2
from indexer.errors import ContentError
from indexer.render.repodata import MAX_LINE, SECTIONS, SEPARATOR, line, parse

# What is read at once while searching, and while copying.
_PEEK = 4096
_HEAD = 64 * 1024
_BLOCK = 1024 * 1024
# More than a file name can have.
_MAX_NAME = 2048

_BEGIN = b'{\n"info":'
_FIRST, _SECOND = (b'"%s":{\n' % name.encode() for name in SECTIONS)
_BRACE = b"},\n"
_REST = b'"removed":'


@dataclass(frozen=True, slots=True)
class Found:
    """Where a file's line begins, or would, and where the one after it does."""

    start: int
    following: int

    @property
    def is_there(self) -> bool:
        """Whether there is such a line."""
        return self.start != self.following


class SortedLines:
    """The lines of both sections, of a file that was written by ``write_repodata``.

    Positions are offsets at which a line begins; after a section's last line, the one at which
    the next would. Raises ContentError where that can't be told.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        size = file.seek(0, io.SEEK_END)
        self.info, first = self._read_head()
        self.rest, last_brace = self._read_rest(max(first, size - _BLOCK), size)
        if self._read(first, len(_BRACE)) == _BRACE:
            header = first + len(_BRACE)
        else:
            header = self._first(first, last_brace, self._is_after_first)
        if self._read(header, len(_SECOND)) != _SECOND:
            raise ContentError(f"repodata.json has no section {SECTIONS[1]} where it should be")
        second = header + len(_SECOND)
        self._sections = {
            SECTIONS[0]: (first, _end(first, header - len(_BRACE))),
            SECTIONS[1]: (second, _end(second, last_brace)),
        }

    def section(self, name: str) -> tuple[int, int]:
        """The positions of a section's first line and after its last."""
        return self._sections[name]

    def find(self, file_name: str, start: int, end: int) -> Found:
        """A file's line between two positions."""
        wanted = file_name.encode()
        position = self._first(start, end, lambda place: self._name_at(place) >= wanted)
        if position < end and self._name_at(position) == wanted:
            return Found(position, self._next(position, end))
        return Found(position, position)

    def blocks(self, start: int, end: int, size: int = _BLOCK) -> Iterator[bytes]:
        """The lines between two positions, as blocks of whole lines of about this size."""
        while start < end:
            stop = self._next(min(start + size, end), end)
            yield self._read(start, stop - len(SEPARATOR) - start)
            start = stop

    def merged(self, section: str, changes: Iterable[tuple[str, bytes | None]]) -> Iterator[bytes]:
        """A section with changes put in, in order of file names; None takes a line out."""
        position, end = self.section(section)
        for file_name, body in changes:
            found = self.find(file_name, position, end)
            yield from self.blocks(position, found.start)
            if body is not None:
                yield line(file_name, body)
            position = found.following
        yield from self.blocks(position, end)

    def _read_head(self) -> tuple[Any, int]:
        """What ``info`` says, and the position of the first line."""
        head = self._read(0, _HEAD)
        where = head.find(b",\n" + _FIRST)
        if not head.startswith(_BEGIN) or where < 0:
            raise ContentError("not a repodata.json of one record a line")
        return parse(head[len(_BEGIN) : where]), where + len(b",\n" + _FIRST)

    def _read_rest(self, start: int, size: int) -> tuple[Any, int]:
        """What comes after both sections, and where the second one's closing brace stands."""
        tail = self._read(start, size - start)
        where = tail.rfind(_BRACE + _REST)
        if where < 0:
            raise ContentError("repodata.json doesn't end as it should")
        return parse(b"{" + tail[where + len(_BRACE) :]), start + where

    def _is_after_first(self, position: int) -> bool:
        """Whether the line at a position comes after the first section's lines."""
        return not self._name_at(position).endswith(TARBZ2.encode())

    def _first(self, start: int, end: int, reached: Callable[[int], bool]) -> int:
        """The first position that is ``reached``: so are all after it. ``end`` where none is."""
        if start >= end or reached(start):
            return start
        low, high, step = start, end, _PEEK
        # With growing steps first: the next change is often near.
        while low + step < high:
            middle = self._next(low + step, high)
            if middle >= high or reached(middle):
                high = middle
                break
            low, step = middle, 2 * step
        # No line begins after ``limit`` and before ``high``.
        limit = high
        while limit - low > _PEEK:
            half = (low + limit) // 2
            middle = self._next(half, high)
            if middle < high and not reached(middle):
                low = middle
                continue
            # A line that begins one byte after ``half`` is passed over by ``_next``.
            high, limit = middle, half + 1
        position = self._next(low, high)
        while position < high and not reached(position):
            position = self._next(position, high)
        return position

    def _next(self, position: int, end: int) -> int:
        """The position of the first line that begins after any offset; ``end`` where none does."""
        last, size = end - len(SEPARATOR), _PEEK
        while position < last:
            size = min(size, last - position)
            where = self._read(position, size).find(SEPARATOR)
            if where >= 0:
                return position + where + len(SEPARATOR)
            if size > MAX_LINE:
                raise ContentError("repodata.json has a line that is no record")
            # The separator may begin with the last byte.
            position += max(size - 1, 1)
            size *= 4
        return end

    def _name_at(self, position: int) -> bytes:
        """The file name of the line at a position; of a line that is no record, what it has."""
        start = self._read(position, _MAX_NAME)
        return start[1:].partition(b'"')[0] if start[:1] == b'"' else b""

    def _read(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        return self._file.read(size)


def _end(start: int, brace: int) -> int:
    """The position after a section's last line, by where its closing brace stands."""
    # A line break comes before it, where a comma would come first; in an empty section none does.
    return start if brace <= start else brace - 1 + len(SEPARATOR)
