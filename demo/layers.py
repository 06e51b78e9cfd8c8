"""Packages as OCI images, in the layout that conda-oci-mirror 0.3.0 pushes.

Pure: nothing here talks to a registry. The order of layers and of JSON keys is the peer's too,
as read back from a registry it had pushed to, so that a test can compare the two.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from demo.packages import Package

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.unknown.config.v1+json"
ARCHIVES = {
    ".conda": "application/vnd.conda.package.v2",
    ".tar.bz2": "application/vnd.conda.package.v1",
}
INFO = "application/vnd.conda.info.v1.tar+gzip"
INDEX = "application/vnd.conda.info.index.v1+json"
TITLE = "org.opencontainers.image.title"

VALIDATED = {"org.conda-forge.status": "validated"}
"""The manifest annotations that mark a build as fit to be published."""

CREATED = "2023.11.14.221320"
"""A fixed creation time, in the peer's spelling: a clock would change the digests."""


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest, every blob it names, and where the layout wants it kept."""

    manifest: bytes = field(repr=False)
    blobs: Mapping[str, bytes] = field(repr=False)
    repository_name: str
    tag: str
    media_type: str = MANIFEST

    @property
    def digest(self) -> str:
        """The manifest's own digest."""
        return digest_of(self.manifest)


def digest_of(data: bytes) -> str:
    """Spell a sha256 as OCI does: `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def repository_name(name: str) -> str:
    """Name the last component of the repository, which may not begin with `_`."""
    return f"zzz{name}" if name.startswith("_") else name


def tag_of(version: str, build: str) -> str:
    """Name the tag of one build, with what a tag may not contain spelled out."""
    text = f"{version}-{build}"
    return text.replace("+", "__p__").replace("!", "__e__").replace("=", "__eq__")


def package_manifest(
    packages: Sequence[Package], *, annotations: Mapping[str, str] | None = None
) -> Image:
    """Put the archives of one build, in the order of their upload, into one image.

    The info layers are those of the last archive: the peer writes them anew with every upload
    and keeps only the archive layer of the other format.
    """
    _require_one_build(packages)
    *earlier, latest = packages
    blobs: dict[str, bytes] = {}
    layers = [
        _archive(latest, blobs),
        _layer(INFO, latest.info_tar_gz, f"{latest.stem}/info.tar.gz", blobs),
        _layer(INDEX, latest.index_json, f"{latest.stem}/info/index.json", blobs),
        *(_archive(package, blobs) for package in earlier),
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, b"", blobs),
        "layers": layers,
        "annotations": dict(annotations or {}),
    }
    return Image(
        manifest=json.dumps(manifest).encode(),
        blobs=blobs,
        repository_name=repository_name(latest.name),
        tag=tag_of(latest.version, latest.build),
    )


def _require_one_build(packages: Sequence[Package]) -> None:
    stems = {package.stem for package in packages}
    names = {package.file_name for package in packages}
    if len(stems) != 1 or len(names) != len(packages):
        raise ValueError(
            "an image holds one archive of each format of one build, not "
            f"{[package.file_name for package in packages]}"
        )


def _archive(package: Package, blobs: dict[str, bytes]) -> dict[str, Any]:
    media_type = ARCHIVES[package.file_name.removeprefix(package.stem)]
    layer = _layer(media_type, package.data, package.file_name, blobs)
    layer["annotations"] = {"org.conda.md5": package.md5, **layer["annotations"]}
    return layer


def _layer(media_type: str, data: bytes, title: str, blobs: dict[str, bytes]) -> dict[str, Any]:
    annotations = {"creationTime": CREATED, TITLE: title}
    return {**_descriptor(media_type, data, blobs), "annotations": annotations}


def _descriptor(media_type: str, data: bytes, blobs: dict[str, bytes]) -> dict[str, Any]:
    digest = digest_of(data)
    blobs[digest] = data
    return {"mediaType": media_type, "size": len(data), "digest": digest}
