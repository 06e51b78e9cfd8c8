"""Archives made piece by piece, so that each piece can be wrong."""

from __future__ import annotations

import bz2
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from demo.packages import Package
from indexer.render.zstd import zstd
from indexer.transfer.packing import pack_info

STEM = "alpha-1.0-0"
FORMATS = (".conda", ".tar.bz2")
END = bytes(2 * tarfile.BLOCKSIZE)
_ZEROS = 16 * 1024 * 1024


def padded(data: bytes) -> bytes:
    """Filled up to whole blocks of a tar."""
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


def header(
    name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, *, link: str = "", mtime: int = 0
) -> bytes:
    """A header that claims what it likes."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mtime = size, kind, link, mtime
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, *, link: str = "") -> bytes:
    """A member with its data."""
    return header(name, len(data), kind, link=link) + padded(data)


def extended(records: Mapping[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A pax header with these records, for the next member or (``g``) for all that follow."""
    data = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        size = len(rest) + 1
        while len(str(size)) + len(rest) != size:
            size = len(str(size)) + len(rest)
        data += str(size).encode() + rest
    return header("pax", len(data), kind) + padded(data)


def path_of(folder: Path, end: str, stem: str = STEM) -> Path:
    return folder / f"{stem}{end}"


def archive(folder: Path, end: str, *members: bytes, then: bytes = END, stem: str = STEM) -> Path:
    """An archive of these members: of a .conda's info part, or of a whole .tar.bz2."""
    return compressed(folder, end, [b"".join(members) + then], stem=stem)


def compressed(folder: Path, end: str, parts: Iterable[bytes | int], *, stem: str = STEM) -> Path:
    """An archive whose tar is these bytes, a number standing for so many MiB of zeros."""
    pack = zstd.compress if end == ".conda" else bz2.compress
    zeros = pack(bytes(_ZEROS))
    data = b"".join(
        zeros * (part * 1024 * 1024 // _ZEROS) if isinstance(part, int) else pack(part)
        for part in parts
    )
    path = path_of(folder, end, stem)
    path.write_bytes(zipped({f"info-{stem}.tar.zst": data}) if end == ".conda" else data)
    return path


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members, and before each info part the other one that belongs to it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name in members:
            if name.startswith("info-"):
                file.writestr(name.replace("info-", "pkg-", 1), zstd.compress(END))
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def written(folder: Path, package: Package) -> Path:
    """A package as a file."""
    path = folder / package.file_name
    path.write_bytes(package.data)
    return path


def packed(path: Path) -> tuple[bytes, bytes]:
    """An archive's index.json, and its info folder as tar.gz."""
    target = io.BytesIO()
    return pack_info(path, target).index_json, target.getvalue()


def files_in(info: bytes) -> dict[str, bytes]:
    """The members of a tar.gz, every one of which must be a regular file."""
    with tarfile.open(fileobj=io.BytesIO(info), mode="r:gz") as tar:
        members = tar.getmembers()
        assert all(member.isreg() for member in members)
        found = {m.name: file.read() for m in members if (file := tar.extractfile(m))}
    assert len(found) == len(members)
    return found


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Nothing in a folder, or beside it, is written meanwhile."""
    before = sorted(folder.parent.rglob("*"))
    yield
    assert sorted(folder.parent.rglob("*")) == before
