"""The manifest of a build, as it is written: the layout in use, with index.json embedded.

Media types, annotations and order as conda-oci-mirror 0.3.0 writes them, so that both can share a
registry; ``data`` by the OCI image specification 1.1, "Embedded Content".
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from indexer.channel.artifact import (
    ARCHIVE_TYPES,
    INDEX_JSON_TYPE,
    MD5_ANNOTATION,
    archive_layers,
)
from indexer.channel.record import CONDA, EXTENSIONS, TARBZ2
from indexer.errors import ContentError, printable
from indexer.registry.content import (
    MAX_MANIFEST,
    OCI_MANIFEST,
    Content,
    Descriptor,
    Digest,
    ImageManifest,
    RawManifest,
    parse_descriptor,
    parse_manifest,
)

INFO_TYPE = "application/vnd.conda.info.v1.tar+gzip"
TITLE = "org.opencontainers.image.title"
CREATED = "creationTime"
# Some registries refuse a config of no bytes; nobody reads it.
CONFIG = Content.of_bytes(b"{}")
_CONFIG_TYPE = "application/vnd.unknown.config.v1+json"
# A larger one is a blob of its own only: registries take manifests of 4 MiB, readers less.
_MAX_EMBEDDED = 8 * 1024
_TYPES = {extension: media_type for media_type, extension in ARCHIVE_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that is to be pushed, and what is said of it beside its bytes.

    ``created`` is the time of the upload in the peer's spelling, ``%Y.%m.%d.%H%M%S``;
    ``annotations`` are those of its manifest that say what the package is about.
    """

    file_name: str
    sha256: str
    md5: str
    size: int
    index_json: bytes
    info_digest: Digest
    info_size: int
    created: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def extension(self) -> str:
        """``.conda`` or ``.tar.bz2``."""
        return CONDA if self.file_name.endswith(CONDA) else TARBZ2

    @property
    def digest(self) -> Digest:
        """The digest of the archive's blob."""
        return Digest(self.sha256)


def holds(raw: RawManifest, file_name: str, sha256: str) -> bool:
    """Whether a manifest has exactly this archive, with what belongs beside it."""
    try:
        found = layers(raw)
    except ContentError:
        return False
    return {INFO_TYPE, INDEX_JSON_TYPE} <= {layer.media_type for layer in found} and any(
        layer.digest.hex == sha256 and layer.title == file_name for layer in found
    )


def layers(raw: RawManifest) -> tuple[Descriptor, ...]:
    """All layers. Raises ContentError where it is no image manifest."""
    return _image(raw).layers


def archives(raw: RawManifest) -> list[Descriptor]:
    """The layers that are archives. Raises ContentError where the tag holds an image index."""
    return archive_layers(_image(raw))


def has_archive(raw: RawManifest, file_name: str) -> bool:
    """Whether an archive of this name is there, whatever its bytes. Raises no error."""
    try:
        return any(layer.title == file_name for layer in archives(raw))
    except ContentError:
        return False


def archive_hashes(raw: RawManifest, file_name: str) -> tuple[str, str | None] | None:
    """The sha256 and, where it is known, md5 (hex) of an archive; None where it isn't there whole.

    As with ``holds``: what belongs beside it must be there, too.
    """
    try:
        layers = {layer.title: layer for layer in archives(raw)}
    except ContentError:
        return None
    layer = layers.get(file_name)
    if layer is None or not holds(raw, file_name, layer.digest.hex):
        return None
    return layer.digest.hex, layer.annotations.get(MD5_ANNOTATION)


def with_archives(previous: RawManifest | None, new: Sequence[Archive], status_key: str) -> bytes:
    """The manifest of a tag once some archives are in it; what is there already stays.

    The archives are those of one build; the info layers, and what is said of the package, are
    those of the last. The other format's archive, layers of other kinds and annotations are kept.
    Content that is new under this tag is never born validated: then the annotation ``status_key``
    goes. The same content gives the same bytes. Raises ContentError where the tag can't hold it.
    """
    *earlier, last = new
    old = _document(previous) if previous is not None else {}
    if previous is not None:
        _check_owner(previous, last)
    old_layers: list[dict[str, Any]] = old.get("layers", [])
    made = [*_layers(last), *(_layers(archive)[0] for archive in earlier)]
    layers = [_keep_known(layer, old_layers) for layer in made]
    types = {layer["mediaType"] for layer in layers}
    names = {archive.file_name for archive in new}
    kept = [layer for layer in old_layers if not _gives_way(layer, types, names)]
    annotations = {**(old.get("annotations") or {}), **last.annotations}
    # The info archive is made of the archive, and another tool makes it of other bytes.
    judged = {*(str(archive.digest) for archive in new), str(Digest.of(last.index_json))}
    if not judged <= {layer["digest"] for layer in old_layers}:
        annotations.pop(status_key, None)
    return _encode(old, [*layers, *kept], annotations)


def without_archives(raw: RawManifest, file_names: Iterable[str]) -> bytes | None:
    """The manifest without some of its archives; None where no archive would be left."""
    names = set(file_names)
    if all(layer.title in names for layer in archives(raw)):
        return None
    document = _document(raw)
    layers = [layer for layer in document["layers"] if _title(layer) not in names]
    return _encode(document, layers, document.get("annotations") or {})


def only_archives(raw: RawManifest, keep: Collection[tuple[str, str]]) -> RawManifest:
    """The manifest with those of its archives alone that are in ``keep``: file name and sha256.

    An archive without a title goes by its digest and the ending its media type stands for. Its
    very bytes where all of them stay. Raises ContentError where it is an image index.
    """
    image = _image(raw)
    others = [layer for layer in archive_layers(image) if not _is_among(layer, keep)]
    if not others:
        return raw
    document = _document(raw)
    layers = [
        item
        for item, layer in zip(document["layers"], image.layers, strict=True)
        if layer not in others
    ]
    body = _encode(document, layers, document.get("annotations") or {})
    return RawManifest(body, raw.media_type or OCI_MANIFEST)


def blobs(raw: RawManifest) -> list[Descriptor]:
    """The blobs that a manifest names, its config among them, each once.

    Raises ContentError where it is an image index.
    """
    found = {layer.digest: layer for layer in _image(raw).layers}
    config = _document(raw).get("config")
    if config is not None:
        item = parse_descriptor(config)
        found.setdefault(item.digest, item)
    return list(found.values())


def with_annotations(raw: RawManifest, changes: Mapping[str, str | None]) -> bytes:
    """The manifest with some annotations set, or taken out (None); all else stays.

    Its very bytes where that changes nothing. The same content gives the same bytes. Raises
    ContentError where the tag holds an image index, or there would be too much of it.
    """
    document = _document(raw)
    known = document.get("annotations") or {}
    annotations = {key: text for key, text in known.items() if changes.get(key, text) is not None}
    annotations |= {key: text for key, text in changes.items() if text is not None}
    if annotations == known:
        return raw.body
    return _checked_body(document | {"annotations": annotations})


def names_own_config(body: bytes) -> bool:
    """Whether a manifest of ours needs CONFIG; one that was there before keeps its own."""
    return str(CONFIG.digest).encode() in body


def plain_manifest(layers: Sequence[Mapping[str, Any]]) -> bytes:
    """The bytes of a manifest with these layers, and nothing of interest beside them."""
    return _encode({}, layers, {})


def descriptor(
    media_type: str, digest: Digest, size: int, title: str, created: str | None = None
) -> dict[str, Any]:
    """A layer, by its media type, digest, size in bytes, title and time of upload."""
    annotations = {TITLE: title} | ({CREATED: created} if created is not None else {})
    return {
        "mediaType": media_type,
        "size": size,
        "digest": str(digest),
        "annotations": annotations,
    }


def _document(raw: RawManifest) -> dict[str, Any]:
    """A manifest's JSON, to be changed. Raises ContentError where it can't be added to."""
    _image(raw)
    document: dict[str, Any] = orjson.loads(raw.body)
    return document


def _image(raw: RawManifest) -> ImageManifest:
    parsed = parse_manifest(raw)
    if not isinstance(parsed, ImageManifest):
        raise ContentError("its tag leads to an image index, which cf-index doesn't change")
    return parsed


def _check_owner(raw: RawManifest, archive: Archive) -> None:
    """Raise ContentError where a tag is another build's: ``_x`` and ``zzz_x`` are spelt alike."""
    stem = archive.file_name.removesuffix(archive.extension)
    for layer in archives(raw):
        title = layer.title
        if title is not None and title not in {stem + end for end in EXTENSIONS}:
            raise ContentError(f"its tag is already that of {printable(title, 200)}")


def _layers(archive: Archive) -> list[dict[str, Any]]:
    stem = archive.file_name.removesuffix(archive.extension)
    index_json = descriptor(
        INDEX_JSON_TYPE,
        Digest.of(archive.index_json),
        len(archive.index_json),
        f"{stem}/info/index.json",
    )
    if len(archive.index_json) <= _MAX_EMBEDDED:
        index_json["data"] = base64.b64encode(archive.index_json).decode()
    layers = [
        descriptor(_TYPES[archive.extension], archive.digest, archive.size, archive.file_name),
        descriptor(INFO_TYPE, archive.info_digest, archive.info_size, f"{stem}/info.tar.gz"),
        index_json,
    ]
    layers[0]["annotations"][MD5_ANNOTATION] = archive.md5
    for layer in layers:
        layer["annotations"][CREATED] = archive.created
    return layers


def _is_among(layer: Descriptor, keep: Collection[tuple[str, str]]) -> bool:
    if layer.title is not None:
        return (layer.title, layer.digest.hex) in keep
    extension = ARCHIVE_TYPES[layer.media_type]
    return any(name.endswith(extension) and sha256 == layer.digest.hex for name, sha256 in keep)


def _keep_known(layer: dict[str, Any], old: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A layer that was there keeps its annotations, the time of its upload among them."""
    same = (layer["mediaType"], layer["digest"], layer["size"])
    for known in old:
        if (known.get("mediaType"), known["digest"], known["size"]) == same:
            ours, theirs = layer["annotations"], known.get("annotations") or {}
            created = {CREATED: theirs.get(CREATED, ours[CREATED])}
            return known | layer | {"annotations": theirs | ours | created}
    return layer


def _gives_way(layer: Mapping[str, Any], types: set[str], names: set[str]) -> bool:
    """Whether a layer is replaced: one of the same kind, by media type or, in old ones, title."""
    media_type, title = layer.get("mediaType"), _title(layer) or ""
    is_index_json = title.endswith("/info/index.json") and media_type not in ARCHIVE_TYPES
    return media_type in types or title in names or is_index_json


def _title(layer: Mapping[str, Any]) -> str | None:
    annotations: Mapping[str, str] = layer.get("annotations") or {}
    return annotations.get(TITLE)


def _encode(
    old: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]
) -> bytes:
    config = {"mediaType": _CONFIG_TYPE, "size": CONFIG.size, "digest": str(CONFIG.digest)}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, **old}
    return _checked_body(document | {"layers": layers, "annotations": annotations})


def _checked_body(document: Mapping[str, Any]) -> bytes:
    body = orjson.dumps(document)
    if len(body) > MAX_MANIFEST:
        raise ContentError(f"its manifest would have {len(body)} bytes (at most {MAX_MANIFEST})")
    # Nothing is written that couldn't be read.
    parse_manifest(RawManifest(body, OCI_MANIFEST))
    return body
