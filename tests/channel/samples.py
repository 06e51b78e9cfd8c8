"""Plain values that the tests of the pure modules start from, and change in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from indexer.channel.artifact import INDEX_JSON_TYPE, MD5_ANNOTATION
from indexer.channel.index_json import IndexJson, parse_index_json
from indexer.channel.record import Record
from indexer.registry.content import Descriptor, Digest, ImageManifest

TITLE = "org.opencontainers.image.title"
CONDA_TYPE = "application/vnd.conda.package.v2"
TARBZ2_TYPE = "application/vnd.conda.package.v1"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def index(**changes: Any) -> dict[str, Any]:
    """A sound index.json, with changes."""
    return {
        "arch": "x86_64",
        "build": "h1_0",
        "build_number": 0,
        "constrains": ["gamma <3"],
        "depends": ["beta >=1.0,<2.0a0", "libzlib 1.*"],
        "license": "MIT",
        "license_family": "MIT",
        "name": "alpha",
        "platform": "linux",
        "subdir": "linux-64",
        "timestamp": 1_700_000_000_000,
        "version": "1.0",
    } | changes


def parsed(**changes: Any) -> IndexJson:
    """A checked index.json."""
    return parse_index_json(orjson.dumps(index(**changes)))


def without(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The same without some keys."""
    return {key: value for key, value in document.items() if key not in keys}


def sha256(text: str) -> str:
    """Some sha256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def record(
    name: str = "alpha",
    version: str = "1.0",
    build: str = "h1_0",
    *,
    end: str = ".conda",
    content: str | None = None,
    **fields: Any,
) -> Record:
    """A record whose sha256 is that of ``content``; without it, of the file name."""
    file_name = f"{name}-{version}-{build}{end}"
    document = without(index(), "arch", "platform", "constrains")
    hashes = {"md5": None, "sha256": sha256(content or file_name), "size": 1000}
    identity = {"name": name, "version": version, "build": build}
    return Record.make(file_name, document | identity | hashes | fields)


def published(item: Record, entered: int = 1_000) -> dict[str, Record]:
    """The same record as an earlier run published it, by file name."""
    return {item.file_name: item.indexed(entered)}


def layer(
    title: str | None, media_type: str = CONDA_TYPE, content: str = "archive", md5: str | None = MD5
) -> Descriptor:
    """A layer's descriptor; without a title, the annotation is absent."""
    annotations = {} if title is None else {TITLE: title}
    if md5 is not None:
        annotations[MD5_ANNOTATION] = md5
    return Descriptor(media_type, Digest(sha256(content)), 1234, annotations)


def index_layer(content: str = "index") -> Descriptor:
    """The descriptor of an index.json layer as conda-oci-mirror writes it."""
    title = "alpha-1.0-h1_0/info/index.json"
    return layer(title, INDEX_JSON_TYPE, content, md5=None)


def manifest(*layers: Descriptor) -> ImageManifest:
    """An image manifest of these layers and an index.json."""
    return ImageManifest((*layers, index_layer()), {})
