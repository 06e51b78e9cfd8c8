"""Packages for a storage: manifests as ``cf-index push`` makes them, with or without an archive."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.storage import Storage
from demo.packages import Package
from indexer.channel.codec import repository_name, tag_name
from indexer.channel.manifest import CONFIG, Archive, with_archives
from indexer.registry.content import Digest
from indexer.transfer.packing import hash_file

SUBDIR = "linux-64"
STATUS = ("org.conda-forge.status", "validated")
CREATED = "2026.11.21.120000"
_DEPENDS = ["__glibc >=2.17,<3.0.a0", "libgcc >=14", "libstdcxx >=14", "python >=3.12,<3.13.0a0"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A package as a registry holds it; ``blobs`` may lack what nobody is going to ask for."""

    name: str
    tag: str
    manifest: bytes
    index_json: Digest
    blobs: dict[Digest, bytes | Path]


def imagined(
    name: str, version: str, build: str, number: int, *, embedded: bool, held: Path | None = None
) -> Artifact:
    """A package with an index.json as they usually are, whose archive nobody has ever made.

    ``held`` is a file that the registry is to have in its place.
    """
    stem = f"{name}-{version}-{build}"
    index = {
        "arch": "x86_64",
        "build": build,
        "build_number": number,
        "constrains": ["libnothing <0.a0"],
        "depends": _DEPENDS,
        "license": "MIT",
        "license_family": "MIT",
        "name": name,
        "platform": "linux",
        "subdir": SUBDIR,
        "timestamp": 1_700_000_000_000 + number,
        "version": version,
    }
    data = orjson.dumps(index, option=orjson.OPT_INDENT_2)
    said = hashlib.sha256(stem.encode()).hexdigest()
    size = 100_000 + number
    if held is not None:
        hashes = hash_file(held)
        said, size = hashes.sha256, hashes.size
    archive = Archive(
        file_name=f"{stem}.conda",
        sha256=said,
        md5=said[:32],
        size=size,
        index_json=data,
        info_digest=Digest(said[::-1]),
        info_size=2000,
        created=CREATED,
    )
    artifact = _artifact(archive, name, version, build, embedded=embedded)
    if held is not None:
        artifact.blobs[archive.digest] = held
    return artifact


def real(package: Package, path: Path, *, embedded: bool) -> Artifact:
    """A package whose archive, in a file, and info/ are to be there too."""
    archive = Archive(
        file_name=package.file_name,
        sha256=package.sha256,
        md5=package.md5,
        size=package.size,
        index_json=package.index_json,
        info_digest=Digest.of(package.info_tar_gz),
        info_size=len(package.info_tar_gz),
        created=CREATED,
    )
    artifact = _artifact(archive, package.name, package.version, package.build, embedded=embedded)
    artifact.blobs[archive.digest] = path
    artifact.blobs[archive.info_digest] = package.info_tar_gz
    return artifact


def channel(names: int, builds: int, *, embedded: bool) -> Iterator[Artifact]:
    """So many imagined packages of so many builds each."""
    for name in range(names):
        for build in range(builds):
            yield imagined(
                f"package-{name:05}", "1.0", f"h{build:07}_{build}", build, embedded=embedded
            )


def store(storage: Storage, place: str, artifact: Artifact) -> None:
    """Put a package below ``place``, which is ``<namespace>/<channel>/<subdir>``."""
    repository = f"{place}/{repository_name(artifact.name)}"
    storage.put(repository, artifact.tag, artifact.manifest, artifact.blobs)


def _artifact(archive: Archive, name: str, version: str, build: str, *, embedded: bool) -> Artifact:
    key, value = STATUS
    document: dict[str, Any] = orjson.loads(with_archives(None, [archive], key))
    document["annotations"][key] = value
    for layer in document["layers"]:
        held = layer.pop("data", None)
        if held is not None and embedded:
            layer["data"] = base64.b64encode(archive.index_json).decode()
    digest = Digest.of(archive.index_json)
    blobs: dict[Digest, bytes | Path] = {CONFIG.digest: b"{}", digest: archive.index_json}
    return Artifact(name, tag_name(version, build), orjson.dumps(document), digest, blobs)
