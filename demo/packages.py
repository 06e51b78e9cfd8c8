"""Tiny conda packages in the real archive formats, built in memory.

`build` is a pure function of its arguments: the same arguments give the same bytes, so that
digests can be compared between runs. What it builds installs with any conda client and puts
one script, `bin/<name>`, into the environment.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import shlex
import sys
import tarfile
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

EPOCH = 1_700_000_000
"""The modification time of every file, in seconds: a clock would change the digests."""

ZIP_DATE = (2023, 11, 14, 22, 13, 20)
SUFFIXES = (".conda", ".tar.bz2")
ARCHITECTURES = {"64": "x86_64", "32": "x86"}


@dataclass(frozen=True, slots=True)
class Package:
    """One package archive, and the parts of it which a registry keeps beside it.

    Name, version and build are those of the file name. `index` may say something else: that is
    how a test makes a dishonest package.
    """

    file_name: str
    data: bytes = field(repr=False)
    index: dict[str, Any] = field(compare=False)
    index_json: bytes = field(repr=False)
    info_tar_gz: bytes = field(repr=False)
    subdir: str

    @property
    def stem(self) -> str:
        """The file name without its archive suffix: `<name>-<version>-<build>`."""
        for suffix in SUFFIXES:
            if self.file_name.endswith(suffix):
                return self.file_name.removesuffix(suffix)
        raise ValueError(f"{self.file_name!r} ends in none of {SUFFIXES}")

    @property
    def name(self) -> str:
        """The package name, which may itself contain hyphens."""
        return self.stem.rsplit("-", 2)[0]

    @property
    def version(self) -> str:
        """The version, as spelled in the file name."""
        return self.stem.rsplit("-", 2)[1]

    @property
    def build(self) -> str:
        """The build string."""
        return self.stem.rsplit("-", 2)[2]

    @property
    def sha256(self) -> str:
        """Hex digest of the archive."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def md5(self) -> str:
        """Hex digest of the archive, for `org.conda.md5`."""
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    @property
    def size(self) -> int:
        """Length of the archive in bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    data: bytes
    mode: int = 0o644


def build(
    name: str,
    version: str = "1.0",
    build: str = "0",
    *,
    subdir: str = "noarch",
    archive: Literal["conda", "tar.bz2"] = "conda",
    build_number: int = 0,
    depends: Sequence[str] = (),
    extra_index: Mapping[str, Any] | None = None,
    drop: Collection[str] = (),
    message: str | None = None,
) -> Package:
    """Build one package.

    `extra_index` overrides or adds keys of index.json and `drop` takes keys out of it; neither
    changes the file name. `message` is what the script prints in place of
    "<name> <version> <build>": two messages make two archives of one file name.
    """
    stem = f"{name}-{version}-{build}"
    index = _index(name, version, build, subdir, build_number, depends)
    index.update(extra_index or {})
    index = {key: value for key, value in index.items() if key not in drop}
    index_json = _json(index)
    payload = _payload(name, message or f"{name} {version} {build}")
    info = _info(name, index_json, payload)
    in_archive = [_File(f"info/{file.path}", file.data, file.mode) for file in info]
    data = (
        _conda(stem, in_archive, payload)
        if archive == "conda"
        else bz2.compress(_tar([*in_archive, *payload]))
    )
    return Package(
        file_name=f"{stem}.{archive}",
        data=data,
        index=index,
        index_json=index_json,
        info_tar_gz=_gzip(_tar(info)),
        subdir=subdir,
    )


def _index(
    name: str, version: str, build: str, subdir: str, build_number: int, depends: Sequence[str]
) -> dict[str, Any]:
    index: dict[str, Any] = {
        "build": build,
        "build_number": build_number,
        "depends": list(depends),
        "license": "MIT",
        "name": name,
        "subdir": subdir,
        "timestamp": EPOCH * 1000,
        "version": version,
    }
    if subdir == "noarch":
        return index | {"arch": None, "noarch": "generic", "platform": None}
    platform, _, machine = subdir.partition("-")
    return index | {"arch": ARCHITECTURES.get(machine, machine), "platform": platform}


def _payload(name: str, message: str) -> list[_File]:
    script = f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(message)}\n"
    return [
        _File(f"bin/{name}", script.encode(), 0o755),
        _File(f"share/{name}/id.txt", f"{message}\n".encode()),
    ]


def _info(name: str, index_json: bytes, payload: Sequence[_File]) -> list[_File]:
    """Make the files of `info/`, named by their path below it."""
    paths = [
        {
            "_path": file.path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(file.data).hexdigest(),
            "size_in_bytes": len(file.data),
        }
        for file in payload
    ]
    about = {
        "home": f"https://example.invalid/{name}",
        "license": "MIT",
        "summary": f"A demonstration package called {name}",
    }
    return [
        _File("about.json", _json(about)),
        _File("files", "".join(f"{file.path}\n" for file in payload).encode()),
        _File("index.json", index_json),
        _File("paths.json", _json({"paths": paths, "paths_version": 1})),
    ]


def _conda(stem: str, info: Sequence[_File], payload: Sequence[_File]) -> bytes:
    members = (
        ("metadata.json", b'{"conda_pkg_format_version": 2}'),
        (f"pkg-{stem}.tar.zst", zstd.compress(_tar(payload))),
        (f"info-{stem}.tar.zst", zstd.compress(_tar(info))),
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), data)
    return buffer.getvalue()


def _tar(files: Iterable[_File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.path)
            member.size, member.mtime, member.mode = len(file.data), EPOCH, file.mode
            archive.addfile(member, io.BytesIO(file.data))
    return buffer.getvalue()


def _gzip(data: bytes) -> bytes:
    # GzipFile and not gzip.compress: the latter's header names the operating system, and how
    # differs between Python versions.
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream:
        stream.write(data)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()
