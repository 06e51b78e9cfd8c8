"""Verdicts in a registry: an OCI 1.1 artifact each, under a tag of its own.

The tag is ``sha256-<the archive's sha256>.<32 hex digits of the envelope's sha256>``: listings
show tags, so a new verdict is seen in the listing that an indexer reads anyway; and since the
content is named in it, a tag that was read once never has to be read again. The package's manifest
is its ``subject`` (OCI image spec 1.1), for whoever asks for referrers; nothing here relies on it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

import orjson

from indexer.errors import ContentError
from indexer.registry.base import Registry
from indexer.registry.content import (
    OCI_MANIFEST,
    Content,
    Descriptor,
    Digest,
    ImageManifest,
    RawManifest,
    parse_manifest,
)
from indexer.trust.envelope import MAX_ENVELOPE
from indexer.trust.verdict import PREDICATE_TYPE

ARTIFACT_TYPE = "application/vnd.in-toto+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = Content.of_bytes(b"{}")
_TAG = re.compile(r"sha256-([0-9a-f]{64})\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class VerdictTag:
    """A verdict's tag: of which archive, and the first half of the envelope's sha256 (hex)."""

    archive: Digest
    envelope: str

    def __str__(self) -> str:
        return f"sha256-{self.archive.hex}.{self.envelope}"


def verdict_tag(archive: Digest, envelope: bytes) -> VerdictTag:
    """The tag of a signed verdict."""
    return VerdictTag(archive, Digest.of(envelope).hex[:32])


def parse_tag(tag: str) -> VerdictTag | None:
    """A verdict's tag; None for any other."""
    match = _TAG.fullmatch(tag)
    return VerdictTag(Digest(match.group(1)), match.group(2)) if match else None


class OddVerdictError(ContentError):
    """A verdict's tag leads to something else than it names. Somebody may put it right."""


def fetch_envelope(registry: Registry, repository: str, tag: VerdictTag) -> bytes:
    """The envelope under a tag.

    Raises OddVerdictError where something else is there, NotFoundError and ContentError where it
    can't be had.
    """
    raw = registry.manifest(repository, str(tag))
    layer = _layer(raw, tag)
    return layer.data if layer.data is not None else registry.blob(repository, layer)


def _layer(raw: RawManifest, tag: VerdictTag) -> Descriptor:
    try:
        image = parse_manifest(raw)
    except ContentError as error:
        raise OddVerdictError(str(error)) from error
    layers = image.layers if isinstance(image, ImageManifest) else ()
    if len(layers) != 1 or layers[0].media_type != ENVELOPE_TYPE:
        raise OddVerdictError("its manifest is not that of a verdict")
    layer = layers[0]
    if layer.size > MAX_ENVELOPE:
        raise OddVerdictError(f"its envelope has {layer.size} bytes (at most {MAX_ENVELOPE})")
    if layer.digest.hex[: len(tag.envelope)] != tag.envelope:
        raise OddVerdictError(f"its envelope has sha256 {layer.digest.hex}, not what its tag says")
    return layer


def put_verdict(
    registry: Registry, repository: str, tag: VerdictTag, envelope: bytes, subject: RawManifest
) -> None:
    """Store an envelope as a verdict on the package whose manifest is ``subject``.

    The tag is written last: whoever finds it finds all of the verdict.
    """
    content = Content.of_bytes(envelope)
    registry.put_blob(repository, _EMPTY)
    registry.put_blob(repository, content)
    body = _manifest(content, envelope, subject)
    registry.put_manifest(repository, str(tag), body, OCI_MANIFEST)


def _manifest(content: Content, envelope: bytes, subject: RawManifest) -> bytes:
    """The artifact's manifest, by OCI image spec 1.1, "Guidelines for Artifact Usage"."""
    return orjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": {
                "mediaType": _EMPTY_TYPE,
                "digest": str(_EMPTY.digest),
                "size": _EMPTY.size,
                "data": "e30=",
            },
            "layers": [
                {
                    "mediaType": ENVELOPE_TYPE,
                    "digest": str(content.digest),
                    "size": content.size,
                    "data": base64.b64encode(envelope).decode(),
                    "annotations": {"in-toto.io/predicate-type": PREDICATE_TYPE},
                }
            ],
            "subject": {
                "mediaType": subject.media_type or OCI_MANIFEST,
                "digest": str(subject.digest),
                "size": len(subject.body),
            },
        }
    )
