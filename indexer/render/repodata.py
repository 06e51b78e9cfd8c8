"""repodata.json (CEP 36), one record a line, so that it can be read and compared as a stream.

A new file is the previous one with this run's changes put in: what didn't change is copied
as it is and never parsed (sorted_lines.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import orjson

from indexer.channel.record import encode
from indexer.errors import ContentError
from indexer.render.zstd import packer, zstd

FILE_NAME = "repodata.json"
ZST_NAME = "repodata.json.zst"
SECTIONS = ("packages", "packages.conda")
# More than a record can have: index.json is bounded.
MAX_LINE = 4 * 1024 * 1024
_FLUSH_AT = 1024 * 1024
# Between two lines of a section.
SEPARATOR = b",\n"
# Printable ASCII without quote and backslash: what a file name of ours can hold, and more.
_FILE_NAME = re.compile(rb'"[ !#-\[\]-~]+')


@dataclass(frozen=True, slots=True)
class Written:
    """What a written file came to."""

    sha256: str
    size: int


class _Sink:
    """Writes a file and its compressed twin at once, and hashes both."""

    def __init__(self, plain: BinaryIO, packed: BinaryIO) -> None:
        self._files = (plain, packed)
        self._hashes = (hashlib.sha256(), hashlib.sha256())
        self._sizes = [0, 0]
        self._packer = packer()
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= _FLUSH_AT:
            self._flush(zstd.ZstdCompressor.CONTINUE)

    def close(self) -> tuple[Written, Written]:
        self._flush(zstd.ZstdCompressor.FLUSH_FRAME)
        plain, packed = (
            Written(digest.hexdigest(), size)
            for digest, size in zip(self._hashes, self._sizes, strict=True)
        )
        return plain, packed

    def _flush(self, mode: Literal[0, 2]) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        for number, chunk in enumerate((data, self._packer.compress(data, mode))):
            self._files[number].write(chunk)
            self._hashes[number].update(chunk)
            self._sizes[number] += len(chunk)


def write_repodata(
    folder: Path,
    subdir: str,
    base_url: str | None,
    sections: Mapping[str, Iterable[bytes]],
) -> tuple[Written, Written]:
    """Write repodata.json and its .zst into ``folder`` from blocks of lines, as ``lines`` makes.

    Each section comes in order of file names. Both files must not exist yet.
    """
    info = {"subdir": subdir} | ({"base_url": base_url} if base_url else {})
    with (folder / FILE_NAME).open("xb") as plain, (folder / ZST_NAME).open("xb") as packed:
        sink = _Sink(plain, packed)
        sink.write(b'{\n"info":' + encode(info) + b",\n")
        for section in SECTIONS:
            sink.write(b'"' + section.encode() + b'":{')
            separator = b"\n"
            for block in sections[section]:
                sink.write(separator)
                sink.write(block)
                separator = SEPARATOR
            sink.write(b"\n},\n")
        version = b"2" if base_url else b"1"
        sink.write(b'"removed":[],\n"repodata_version":' + version + b"\n}\n")
        return sink.close()


def line(file_name: str, body: bytes) -> bytes:
    """One record's line, without what separates it from the next."""
    return b'"' + file_name.encode() + b'":' + body


def lines(records: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Encoded records, by file name, as the writer takes them."""
    return (line(file_name, body) for file_name, body in records)


class Lines:
    """A repodata.json of this program, line by line. Raises ContentError where it isn't one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        if file.read(2) != b"{\n" or not (head := self._line()).startswith(b'"info":'):
            raise ContentError("not a repodata.json of one record a line")
        self.info = parse(_but_comma(head.removeprefix(b'"info":')))

    def section(self, name: str) -> Iterator[tuple[str, bytes]]:
        """File names and encoded records of the section that comes next, in order."""
        if self._line() != b'"' + name.encode() + b'":{':
            raise ContentError(f"repodata.json has no section {name} where it should be")
        line, more = self._line(), True
        while line != b"},":
            if not more:
                raise ContentError("repodata.json has two records without a comma between them")
            name_part, colon, body = line.partition(b'":')
            if not colon or not _FILE_NAME.fullmatch(name_part):
                raise ContentError("repodata.json has a line that is no record")
            more = body.endswith(b",")
            following = self._line()
            if more and following == b"},":
                raise ContentError("repodata.json has a comma after its last record")
            yield name_part[1:].decode(), body.removesuffix(b",")
            line = following

    def rest(self) -> tuple[object, object]:
        """``removed`` and ``repodata_version``, after both sections; then the file must end."""
        removed, version, end = self._line(), self._line(), self._file.read(3)
        if (
            not removed.startswith(b'"removed":')
            or not version.startswith(b'"repodata_version":')
            or end != b"}\n"
        ):
            raise ContentError("repodata.json doesn't end as it should")
        names = parse(_but_comma(removed.removeprefix(b'"removed":')))
        if not isinstance(names, list):
            raise ContentError("repodata.json's removed is no list")
        return names, parse(version.removeprefix(b'"repodata_version":'))

    def _line(self) -> bytes:
        line = self._file.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise ContentError("repodata.json breaks off")
        return line[:-1]


def _but_comma(line: bytes) -> bytes:
    if not line.endswith(b","):
        raise ContentError("repodata.json lacks a comma")
    return line[:-1]


def parse(data: bytes) -> Any:
    """A piece of the file as JSON. Raises ContentError where it isn't."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ContentError(f"repodata.json is not JSON: {error}") from error
