"""Where in a tar its files are: header by header, in bounded memory (POSIX pax, ustar, GNU).

Python's own reader isn't used, because it takes into memory what headers tell it to: the map of a
sparse file, a name of any length, one header within another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, NamedTuple

from indexer.errors import ContentError
from indexer.gateway.artifact.listing import LeftOut
from indexer.gateway.artifact.paths import clean

_BLOCK = 512
# Long names and extended headers; real ones have a few kB.
_MAX_HEADER = 64 * 1024
MAX_MEMBERS = 200_000
# Folders, and headers that only say more of the next member, count here.
MAX_HEADERS = 3 * MAX_MEMBERS
# In memory, where a character may take four bytes.
MAX_NAMES = 32 * 1024 * 1024
# In all extended headers together.
MAX_EXTENDED = 128 * 1024 * 1024
MAX_RECORDS = 15 * MAX_MEMBERS

_FOLDER = b"5"
_FILES = {b"0", b"7", b"\0"}
_SPARSE = b"S"
_WITHOUT_DATA = {b"1", b"2", b"3", b"4", _FOLDER, b"6"}
_WHY = {b"1": "links", b"2": "links", b"3": "devices", b"4": "devices", b"6": "pipes"}
_SPARSE_FILES = "sparse files"
_LENGTH = re.compile(rb"([1-9][0-9]{0,6}) ")


class Member(NamedTuple):
    """The bytes of a file in a tar."""

    offset: int
    size: int


@dataclass(slots=True)
class _Extended:
    """What the headers before a member's own say of it."""

    name: str | None = None
    size: int | None = None
    is_sparse: bool = False


def read_members(
    file: IO[bytes],
    end: int,
    left_out: LeftOut,
    serves: Callable[[str], bool],
    go_on: Callable[[], None],
) -> dict[str, Member]:
    """The files of a tar of ``end`` bytes by their clean names; of two of one name the last.

    Raises ContentError for what is no tar, breaks off, or has more in it than any real one, and
    what ``go_on`` raises, which is called for each header.
    """
    walk, members, names = _Walk(file, end, go_on), dict[str, Member](), 0
    while (found := walk.next()) is not None:
        kind, name, member, is_sparse = found
        path = clean(name)
        if kind == _FOLDER or name.endswith("/"):
            continue
        if path:
            # What a link replaces isn't there any more for whoever unpacks it.
            members.pop(path, None)
        if kind not in _FILES or is_sparse:
            left_out.add(name, _SPARSE_FILES if is_sparse else _WHY.get(kind, "unknown kinds"))
        elif not path:
            left_out.add(name, "names that are no paths in a folder")
        elif not serves(path):
            left_out.add(name, "members that aren't below the layer's title")
        else:
            members[path] = member
            names += sys.getsizeof(path)
        if len(members) > MAX_MEMBERS or names > MAX_NAMES:
            raise ContentError(
                f"its tar has more in it than is taken ({MAX_MEMBERS} files, {MAX_NAMES} bytes "
                "of names)"
            )
    return members


class _Walk:
    """Goes from one member to the next."""

    def __init__(self, file: IO[bytes], end: int, go_on: Callable[[], None]) -> None:
        self._file = file
        self._end = end
        self._go_on = go_on
        self._position = 0
        self._headers = 0
        self._extended = 0
        self._records = 0

    def next(self) -> tuple[bytes, str, Member, bool] | None:
        """Kind, name, bytes, and whether it is sparse; None at the end."""
        extended = _Extended()
        while (header := self._header()) is not None:
            kind, size = header[156:157], _number(header[124:136])
            if kind in {b"x", b"g", b"L", b"K"}:
                self._records += _extend(extended, kind, self._data(size))
                if self._records > MAX_RECORDS:
                    raise ContentError(f"its tar has more than {MAX_RECORDS} extended fields")
                continue
            is_sparse = kind == _SPARSE or extended.is_sparse
            if kind == _SPARSE:
                self._skip_map(header)
            size = size if extended.size is None else extended.size
            member = self._take(0 if kind in _WITHOUT_DATA else size)
            name = _name(header) if extended.name is None else extended.name
            return kind, name, member, is_sparse
        return None

    def _block(self) -> bytes:
        self._go_on()
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise ContentError(f"its tar has more than {MAX_HEADERS} headers")
        self._file.seek(self._take(_BLOCK).offset)
        return self._file.read(_BLOCK)

    def _header(self) -> bytes | None:
        """The next header; None where the tar ends, as it should or without its empty blocks."""
        if 0 < self._end <= self._position:
            return None
        block = self._block()
        if not block.strip(b"\0"):
            return None
        if not _is_checked(block):
            raise ContentError("it is no tar, or a damaged one")
        return block

    def _data(self, size: int) -> bytes:
        """Of a header that goes on."""
        if size > _MAX_HEADER:
            raise ContentError(f"its tar has a header of more than {_MAX_HEADER} bytes")
        self._extended += size
        if self._extended > MAX_EXTENDED:
            raise ContentError(f"its tar has more than {MAX_EXTENDED} bytes of extended headers")
        member = self._take(size)
        self._file.seek(member.offset)
        return self._file.read(size)

    def _skip_map(self, header: bytes) -> None:
        """The map of a sparse file goes on in blocks that its size doesn't count."""
        has_more = header[482] != 0
        while has_more:
            has_more = self._block()[504] != 0

    def _take(self, size: int) -> Member:
        """The next bytes, and the place after them, in whole blocks."""
        member = Member(self._position, size)
        if size > self._end - self._position:
            raise ContentError("its tar breaks off")
        self._position += -(-size // _BLOCK) * _BLOCK
        return member


def _is_checked(block: bytes) -> bool:
    said = _number(block[148:156])
    others = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    # Old programs took the bytes for signed ones.
    return said == others or said == others - 256 * sum(
        byte > 127 for byte in block[:148] + block[156:]
    )


def _extend(extended: _Extended, kind: bytes, data: bytes) -> int:
    """Understand an extended header; gives the number of its fields."""
    if kind == b"L":
        extended.name = _text(data.partition(b"\0")[0])
    if kind not in {b"x", b"g"}:
        return 0
    records = _records(data)
    for key, value in records:
        is_sparse = key.startswith(b"GNU.sparse.")
        if kind == b"g" and (is_sparse or key in {b"path", b"size"}):
            raise ContentError("its tar has a header that gives all members one name or size")
        extended.is_sparse |= is_sparse
        if key == b"path":
            extended.name = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise ContentError("its tar has a size that is no number")
            extended.size = int(value)
    return len(records)


def _records(data: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of an extended header: ``<length> <key>=<value>`` and a line break each."""
    found, start = list[tuple[bytes, bytes]](), 0
    while start < len(data):
        length = _LENGTH.match(data, start)
        end = start + int(length[1]) if length else start
        if length is None or not length.end() < end <= len(data):
            raise ContentError("its tar has an extended header that can't be read")
        key, equals, value = data[length.end() : end].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise ContentError("its tar has an extended header that can't be read")
        found.append((key, value[:-1]))
        start = end
    return found


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    # GNU's format keeps times where this one keeps what stands before the name.
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the first bit says so. Raises ContentError."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not re.fullmatch(rb"[0-7]+", digits):
        raise ContentError("it is no tar, or a damaged one")
    return int(digits, 8)
