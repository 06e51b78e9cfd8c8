"""Conditional and range requests (RFC 9110, sections 13 and 14), of what has one strong ETag."""

from __future__ import annotations

import re
from dataclasses import dataclass

# One range. Several are answered by the whole, as RFC 9110, 14.2 lets a server do.
_RANGE = re.compile(
    r"bytes=[ \t]*(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))[ \t]*", re.IGNORECASE | re.ASCII
)
_TAG = re.compile(r'(?:W/)?"([!#-~\x80-\xff]*)"')


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from ``start`` up to, and without, ``end``, of ``size``."""

    start: int
    end: int
    size: int

    @property
    def length(self) -> int:
        """How many bytes these are."""
        return self.end - self.start

    @property
    def is_whole(self) -> bool:
        """Whether these are all bytes."""
        return self.length == self.size

    def __str__(self) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"

    def asked(self) -> str:
        """The value of Range that asks for it."""
        return f"bytes={self.start}-{self.end - 1}"


def wanted(header: str | None, size: int, etag: str, if_range: str | None) -> Part | None:
    """The part of ``size`` bytes that a Range header asks for; None for the whole.

    Raises ValueError for a part that there isn't (416).
    """
    match = _RANGE.fullmatch(header) if header else None
    if match is None or (if_range is not None and if_range.strip() != f'"{etag}"'):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size
    else:
        start = int(first)
        end = size if last is None else min(int(last) + 1, size)
        if last is not None and int(last) < start:
            # No range at all, so there is nothing to be refused.
            return None
    if start >= end:
        raise ValueError(f"no bytes there, of {size}")
    return Part(start, end, size)


def is_known(header: str | None, etag: str) -> bool:
    """Whether If-None-Match says that the client has it."""
    if header is None:
        return False
    return header.strip() == "*" or etag in _TAG.findall(header)
