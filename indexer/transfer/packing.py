"""From an archive on the disk to what is pushed beside it: its info folder and its index.json.

conda-package-streaming goes through their members. Archives come from strangers, so what is
read of them is bounded here: in members, in bytes, and in bytes between two members.
"""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import hashlib
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self, cast

from conda_package_streaming.package_streaming import TarfileNoSameOwner, tar_generator

from indexer.channel.index_json import MAX_BYTES
from indexer.channel.record import CONDA
from indexer.errors import ContentError, printable
from indexer.render import zstd

_INFO = "info/"
_INDEX_JSON = "info/index.json"
_ABOUT_JSON = "info/about.json"
MAX_INFO = 512 * 1024 * 1024
_MAX_TOTAL = 64 * 1024**3
_MAX_MEMBERS = 1_000_000
# Long names and extended headers stand before a member; real ones have a few kB. Pythons before
# 3.11.10 and 3.12.6 take time by the square of a header's size (CVE-2024-6232).
_MAX_HEADER = 64 * 1024
_MAX_BETWEEN = 1024 * 1024
# The directory of a zip is read whole; that of an archive has three entries.
_MAX_GULP = 1024 * 1024
_BLOCK = 1 << 20
_LATEST_TIME = 2**32 - 1
_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
# typeshed knows their base alone.
_Broken = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
_End = (tarfile.EOFHeaderError, tarfile.EmptyHeaderError)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Hashes:
    """The sha256 and md5 (hex) of a file, and its size in bytes."""

    sha256: str
    md5: str
    size: int


@dataclass(frozen=True, slots=True)
class Info:
    """What was read of an archive's info folder; no ``about_json`` is an empty one."""

    index_json: bytes
    about_json: bytes = b""


# Unpacking is work for a processor, and may take as much memory as zstd allows, 128 MiB.
_UNPACKING = threading.BoundedSemaphore(os.cpu_count() or 2)


def hash_file(path: Path) -> Hashes:
    """Read a file once. Raises ContentError where it can't be read."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_BLOCK):
                sha256.update(chunk)
                md5.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise ContentError(f"it can't be read: {error.strerror}") from error
    return Hashes(sha256.hexdigest(), md5.hexdigest(), size)


def read_index_json(path: Path) -> bytes:
    """The bytes of an archive's ``info/index.json``; reads no further than that.

    Raises ContentError for an archive that can't be read, or has none.
    """
    with _UNPACKING, contextlib.closing(_members(path)) as members:
        for tar, member in members:
            if member.name == _INDEX_JSON and member.isreg():
                return _read_small(tar, member)
    raise ContentError(f"it has no {_INDEX_JSON}")


def only_index_json(path: Path) -> bytes:
    """The same of an archive that is read to its end, and has no second one under that name.

    Which of two a client would unpack is its own affair. Raises ContentError.
    """
    found: bytes | None = None
    with _UNPACKING, contextlib.closing(_members(path)) as members:
        for tar, member in members:
            if member.name != _INDEX_JSON:
                continue
            if found is not None or not member.isreg():
                raise ContentError(f"it has two of {_INDEX_JSON}, or a link in its place")
            found = _read_small(tar, member)
    if found is None:
        raise ContentError(f"it has no {_INDEX_JSON}")
    return found


def pack_info(
    path: Path, target: IO[bytes], *, stopped: Callable[[], bool] = lambda: False
) -> Info:
    """Write an archive's info folder as tar.gz into ``target``; give what is needed of it.

    Names are relative to the folder, as conda-oci-mirror has them; only regular files are
    taken, with one owner and mode, so that the same archive gives the same bytes. Raises
    ContentError for an archive that can't be read whole, or has more in it than any real one.
    """
    small: dict[str, bytes] = {}
    size = 0
    with (
        _UNPACKING,
        gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as out,
    ):
        for tar, member in _members(path):
            if stopped():
                raise ContentError("given up, the run has ended")
            if not member.name.startswith(_INFO) or not member.isreg():
                continue
            size += member.size
            if size > MAX_INFO:
                raise ContentError(f"its info folder has more than {MAX_INFO} bytes")
            if member.name == _INDEX_JSON and _INDEX_JSON in small:
                raise ContentError(f"it has two of {_INDEX_JSON}")
            if member.name == _INDEX_JSON or _is_readable_about(member):
                data = small[member.name] = _read_small(tar, member)
                out.addfile(_entry(member), io.BytesIO(data))
            else:
                out.addfile(_entry(member), cast("IO[bytes]", _Data(tar, member)))
    if _INDEX_JSON not in small:
        raise ContentError(f"it has no {_INDEX_JSON}")
    return Info(small[_INDEX_JSON], small.get(_ABOUT_JSON, b""))


def _is_readable_about(member: tarfile.TarInfo) -> bool:
    """One that is too large says nothing, which must not keep an archive back."""
    return member.name == _ABOUT_JSON and member.size <= MAX_BYTES


def read_info(packed: IO[bytes]) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """The files of an info layer: name, size in bytes, and how to read it while it is its turn.

    The other end of ``pack_info``; other tools make the names begin otherwise. Raises ContentError.
    """
    with _explained(), gzip.GzipFile(fileobj=packed) as tar_bytes:
        size = 0
        for tar, member in _checked(_Bounded(cast("IO[bytes]", tar_bytes))):
            size += member.size
            if size > MAX_INFO:
                raise ContentError(f"it unpacks to more than {MAX_INFO} bytes")
            if member.isreg():
                name = PurePosixPath(member.name.removeprefix("./").removeprefix(_INFO))
                yield str(name), member.size, partial(_contents, tar, member)


def _contents(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return _Data(tar, member).read(member.size)


def _entry(member: tarfile.TarInfo) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(member.name.removeprefix(_INFO))
    entry.size = member.size
    with _explained():
        # An extended header may say "nan".
        entry.mtime = min(max(int(member.mtime), 0), _LATEST_TIME)
    return entry


def _read_small(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_BYTES:
        raise ContentError(f"its {member.name} has {member.size} bytes (at most {MAX_BYTES})")
    return _contents(tar, member)


def _members(path: Path) -> Generator[tuple[tarfile.TarFile, tarfile.TarInfo], None, None]:
    """The members of an archive's tar (of .conda: of its info part), each checked."""
    with _explained(), contextlib.ExitStack() as stack:
        yield from _checked(_Bounded(_opened(path, stack)))


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Whatever an archive's own bytes bring about is said of the archive."""
    try:
        yield
    except (ContentError, MemoryError):
        raise
    except Exception as error:
        # A dozen kinds, from zip, bz2, zstd, tar and the library between them.
        text = printable(str(error), 200) or type(error).__name__
        raise ContentError(f"it is no archive that can be read ({text})") from error


def _opened(path: Path, stack: contextlib.ExitStack) -> IO[bytes]:
    """The tar in an archive, decompressed as a stream."""
    if not path.name.endswith(CONDA):
        return stack.enter_context(bz2.open(path))
    archive = zipfile.ZipFile(stack.enter_context(_NoGulp(path)))
    stack.enter_context(archive)
    stem = path.name.removesuffix(CONDA)
    info = _part(archive, f"info-{stem}.tar.zst")
    # What it installs isn't unpacked; but without it nobody could.
    _part(archive, f"pkg-{stem}.tar.zst")
    inner = stack.enter_context(archive.open(info))
    return cast("IO[bytes]", stack.enter_context(zstd.reader(inner)))


def _part(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """One of the two parts of a .conda."""
    parts = [part for part in archive.infolist() if part.filename == name]
    if len(parts) != 1:
        count = f"{len(parts)} of" if parts else "no"
        raise ContentError(f"it has {count} {printable(name, 200)}")
    if parts[0].compress_type != zipfile.ZIP_STORED:
        # Clients refuse it; and Python's own LZMA takes as much memory as the zip says.
        raise ContentError("its parts are compressed by the zip, which a .conda only stores")
    return parts[0]


def _checked(bounded: _Bounded) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    total = 0
    for count, (tar, member) in enumerate(tar_generator(bounded, _open)):
        total += member.size
        if count >= _MAX_MEMBERS or total > _MAX_TOTAL or member.size < 0:
            raise ContentError(
                f"it unpacks to more than {_MAX_MEMBERS} files or {_MAX_TOTAL} bytes"
            )
        place = PurePosixPath(member.name)
        is_info = place.parts[:1] == ("info",)
        if (
            place.is_absolute()
            or ".." in place.parts
            or "\0" in member.name
            # Without its first part "info//etc" is absolute; "info/./index.json" is a second one.
            or (is_info and str(place) != member.name)
        ):
            raise ContentError(f"it has a path that leads out: {printable(member.name, 100)}")
        if sum(len(key) + len(value) for key, value in tar.pax_headers.items()) > _MAX_HEADER:
            raise ContentError(f"it has global headers of more than {_MAX_HEADER} bytes")
        # By the place of the next header: a link or a sparse file has fewer bytes than it claims.
        bounded.allow(tar.offset - member.offset_data)
        yield tar, member
        # The tar would hold on to every member.
        tar.members.clear()


class _Data:
    """The bytes of a member. Its reader also writes, and those failures aren't the archive's."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._file = tar.extractfile(member)

    def read(self, size: int) -> bytes:
        """So many of the next bytes, all of which must be there."""
        with _explained():
            data = self._file.read(size) if self._file is not None else b""
        if len(data) != size:
            raise ContentError("it breaks off")
        return data


class _Strict(tarfile.TarInfo):
    """A member whose header must be one: tarfile takes one that it can't read for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Refuses what would be held in memory before it is."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _HEADERS and found.size > _MAX_HEADER:
            raise ContentError(f"it has a header of more than {_MAX_HEADER} bytes")
        return found

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """The next one. Raises ContentError where neither one nor the end comes."""
        try:
            return super().fromtarfile(tarfile)
        except _Broken as error:
            raise ContentError(f"it is damaged or breaks off ({error})") from error
        except _End:
            # To the end, where bz2 and zstd look whether all has come.
            while rest := cast("IO[bytes]", tarfile.fileobj).read(_BLOCK):
                if rest.strip(b"\0"):
                    raise ContentError("it goes on after its end") from None
            raise


_open = functools.partial(TarfileNoSameOwner.open, tarinfo=_Strict)


class _Bounded:
    """Gives no more than a member and what may stand before the next one."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner
        self._left = _MAX_BETWEEN
        self._total = 0

    def allow(self, size: int) -> None:
        """A member of this size comes now."""
        self._left = size + _MAX_BETWEEN

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._inner.read(size)
        self._left -= len(data)
        self._total += len(data)
        if self._total > _MAX_TOTAL:
            raise ContentError(f"it unpacks to more than {_MAX_TOTAL} bytes")
        if self._left < 0:
            # Headers are held in memory whole.
            raise ContentError(f"it has headers of more than {_MAX_BETWEEN} bytes")
        return data


class _NoGulp(io.FileIO):
    """A file of which nobody takes too much at once."""

    def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]  # as zipfile asks
        """The next bytes."""
        rest = os.fstat(self.fileno()).st_size - self.tell()
        wanted = rest if size is None or size < 0 else size
        if wanted > _MAX_GULP:
            raise ContentError("its zip has a directory that no archive has")
        return super().read(wanted)
