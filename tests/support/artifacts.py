"""Artifacts as two tools push them: manifests by hand in the Go tool's form, and oras-py itself."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import oras.provider

from demo.layers import MANIFEST, TITLE, Image, digest_of

FILE_TYPE = "application/vnd.oci.image.layer.v1.tar"
"""What both tools give to a file of which nobody says what it is."""
FOLDER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
UNPACK = "io.deis.oras.content.unpack"
CONTENT_DIGEST = "io.deis.oras.content.digest"

Layer = tuple[dict[str, Any], bytes]


def file_layer(title: str | None, data: bytes, media_type: str = FILE_TYPE) -> Layer:
    """A file, as both tools push it."""
    return _layer(media_type, data, {} if title is None else {TITLE: title})


def folder_layer(
    title: str, members: Mapping[str, bytes] | bytes, annotations: Mapping[str, str] | None = None
) -> Layer:
    """A folder, as the Go tool pushes it: by the names in the tar, or by the tar's own bytes."""
    tar = members if isinstance(members, bytes) else make_tar(members)
    said = {CONTENT_DIGEST: digest_of(tar), UNPACK: "true", TITLE: title} | dict(annotations or {})
    return _layer(FOLDER_TYPE, gzip.compress(tar, mtime=0), said)


def plain_layer(media_type: str, data: bytes, annotations: Mapping[str, str]) -> Layer:
    """Any layer at all."""
    return _layer(media_type, data, annotations)


def image(layers: Sequence[Layer], tag: str = "latest") -> Image:
    """The manifest of some layers, as the Go tool writes it."""
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": config | {"digest": digest_of(b"{}")},
        "layers": [descriptor for descriptor, _ in layers],
        "annotations": {"org.opencontainers.image.created": "2026-11-01T12:00:00Z"},
    }
    blobs = {descriptor["digest"]: data for descriptor, data in layers}
    return Image(json.dumps(manifest).encode(), {digest_of(b"{}"): b"{}"} | blobs, "", tag)


def make_tar(members: Mapping[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """A tar of regular files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def folder_members(folder: Path, title: str) -> dict[str, bytes]:
    """What the Go tool puts into the tar of a folder."""
    return {
        f"{title}/{path.relative_to(folder)}" if title != "." else str(path.relative_to(folder)): (
            path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def push_with_oras(address: str, repository: str, tag: str, paths: Sequence[Path | str]) -> None:
    """Push files and folders by oras-py to a registry without TLS."""
    client = oras.provider.Registry(address, insecure=True)
    try:
        client.push(
            f"{address}/{repository}:{tag}",
            files=[str(path) for path in paths],
            disable_path_validation=True,
            quiet=True,
        )
    finally:
        client.session.close()


def _layer(media_type: str, data: bytes, annotations: Mapping[str, str]) -> Layer:
    descriptor = {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
    return descriptor | {"annotations": dict(annotations)}, data
