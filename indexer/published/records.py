"""The records of any repodata.json, whatever tool wrote it, as a stream."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

import ijson
import orjson

from indexer.errors import ContentError
from indexer.render import repodata
from indexer.render.zstd import reader, zstd

# A record's own depth (64) and that of where it stands in the document.
_MAX_DEPTH = 68
_MAX_INFO = 100
# conda-forge's largest has half a gigabyte.
_MAX_UNPACKED = 2 * 1024**3


def read_records(
    path: Path, subdir: str, *, packed: bool
) -> Generator[tuple[str, str, dict[str, Any]], None, None]:
    """Section, file name and fields of every record, whatever tool wrote the file."""
    try:
        with path.open("rb") as raw:
            stream = _stream(raw, packed=packed)
            yield from _own_records(stream, subdir)
            return
    except _OtherLayoutError:
        pass
    except (OSError, zstd.ZstdError, EOFError) as error:
        raise ContentError(f"can't be read: {error}") from error
    try:
        yield from _foreign_records(path, subdir, packed=packed)
    except (ijson.JSONError, OSError, zstd.ZstdError, EOFError, UnicodeError) as error:
        raise ContentError(f"is not JSON: {error}") from error


def read_info(path: Path, *, packed: bool) -> dict[str, Any]:
    """The plain values in ``info`` of a repodata.json; none where it has none.

    Raises ContentError.
    """
    try:
        with path.open("rb") as raw:
            stream = _stream(raw, packed=packed)
            info: dict[str, Any] = {}
            # Not built whole: nobody has looked yet how large it is.
            for prefix, event, value in ijson.parse(stream, use_float=True):
                if prefix.startswith("info.") and not event.startswith(("end", "map")):
                    # Of a list or an object it is enough that it is there.
                    found = [event] if event.startswith("start") else value
                    info.setdefault(prefix.removeprefix("info."), found)
                if (prefix, event) == ("info", "end_map") or len(info) > _MAX_INFO:
                    break
    except (ijson.JSONError, OSError, zstd.ZstdError, EOFError, UnicodeError) as error:
        raise ContentError(f"is not JSON: {error}") from error
    return info


def _foreign_records(
    path: Path, subdir: str, *, packed: bool
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The same from another tool's layout, by a streaming parser, once for each section."""
    with path.open("rb") as raw:
        _check_depth(ijson.basic_parse(_stream(raw, packed=packed)))
    with path.open("rb") as raw:
        _check_shape(ijson.parse(_stream(raw, packed=packed)), subdir)
    for section in repodata.SECTIONS:
        with path.open("rb") as raw:
            stream = _stream(raw, packed=packed)
            for file_name, fields in ijson.kvitems(stream, section, use_float=True):
                if not isinstance(fields, dict):
                    raise ContentError(f"{file_name[:200]!r} is no record")
                yield section, file_name, fields


def _check_depth(events: Iterable[tuple[str, Any]]) -> None:
    """Nothing is nested deeper than a record may be: parsers need more than constant memory."""
    depth = 0
    for event, _ in events:
        depth += event.startswith("start_")
        depth -= event.startswith("end_")
        if depth > _MAX_DEPTH:
            raise ContentError(f"is nested deeper than {_MAX_DEPTH}")


def _check_shape(events: Iterable[tuple[str, str, Any]], subdir: str) -> None:
    """The whole document is an object, its sections are too, and it is of this subdir."""
    for number, (prefix, event, value) in enumerate(events):
        if number == 0 and event != "start_map":
            raise ContentError("is no JSON object")
        if prefix in repodata.SECTIONS and event not in {"start_map", "map_key", "end_map"}:
            raise ContentError(f"{prefix} is no object")
        if prefix == "info.subdir" and value != subdir:
            raise ContentError(f"info.subdir is not {subdir}")


class _OtherLayoutError(Exception):
    """A repodata.json that isn't one record a line."""


def _own_records(stream: IO[bytes], subdir: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    try:
        lines = repodata.Lines(stream)
    except ContentError as error:
        raise _OtherLayoutError from error
    info = lines.info
    if not isinstance(info, dict) or info.get("subdir") != subdir:
        raise ContentError(f"info.subdir is not {subdir}")
    for section in repodata.SECTIONS:
        before = ""
        for file_name, body in lines.section(section):
            if file_name <= before:
                raise ContentError(f"{file_name} is there twice, or out of order")
            before = file_name
            try:
                fields = orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise ContentError(f"{file_name}: not JSON: {error}") from error
            if not isinstance(fields, dict):
                raise ContentError(f"{file_name}: no record")
            yield section, file_name, fields
    _, version = lines.rest()
    if version != (2 if info.get("base_url") else 1):
        raise ContentError("repodata_version must be 2 with a base_url, and 1 without")


def _stream(raw: BinaryIO, *, packed: bool) -> IO[bytes]:
    return io.BufferedReader(_Unpacked(raw)) if packed else raw


class _Unpacked(io.RawIOBase):
    """What a compressed file unpacks to, and no more than any channel's index has."""

    def __init__(self, raw: BinaryIO) -> None:
        self._inner = reader(raw)
        self._left = _MAX_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._inner.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise ContentError(f"unpacks to more than {_MAX_UNPACKED} bytes")
        return count


def is_json(path: Path) -> bool:
    """Whether a file parses, read as a stream."""
    try:
        with path.open("rb") as file:
            _check_depth(ijson.basic_parse(file, use_float=True))
    except (ijson.JSONError, OSError, UnicodeError, ContentError):
        return False
    return True


def same_when_unpacked(plain: Path, packed: Path) -> bool:
    """Whether a compressed file holds exactly the bytes of a plain one."""
    try:
        with plain.open("rb") as one, packed.open("rb") as raw, reader(raw) as other:
            while chunk := one.read(1 << 20):
                rest = len(chunk)
                while rest:
                    piece = other.read(rest)
                    if not piece or piece != chunk[len(chunk) - rest :][: len(piece)]:
                        return False
                    rest -= len(piece)
            return not other.read(1)
    except (OSError, zstd.ZstdError, EOFError):
        return False
