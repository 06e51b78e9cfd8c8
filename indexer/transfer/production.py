"""What a promotion may do to a tag, by what production has there already. Pure.

What counts is what an index is made of: archives by file name and digest, and index.json.
Annotations and other layers may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from indexer.channel.artifact import archive_layers, index_json_layer
from indexer.channel.policy import Policy
from indexer.errors import ContentError, printable
from indexer.registry.content import Digest, ImageManifest, RawManifest, parse_manifest

Presence = Literal["lacking", "there"]


@dataclass(frozen=True, slots=True)
class Offer:
    """What is to be promoted: a manifest, and the digest of the one it was made of in staging."""

    raw: RawManifest
    origin: Digest

    @property
    def image(self) -> ImageManifest:
        """What is read of it. Raises ContentError where it is an image index."""
        parsed = parse_manifest(self.raw)
        if not isinstance(parsed, ImageManifest):
            raise ContentError("its tag leads to an image index, which is not promoted")
        return parsed


@dataclass(frozen=True, slots=True)
class _Held:
    """What a manifest has; an archive without a title goes by its media type."""

    archives: frozenset[tuple[str, Digest]]
    index_json: Digest | None


def compare(offer: Offer, theirs: RawManifest | None, policy: Policy) -> Presence:
    """Whether production lacks what is offered, its annotation included where that is asked for.

    Raises ContentError where production has something else there, or says no to it: then nothing
    may be written.
    """
    if theirs is None:
        return "lacking"
    found = parse_manifest(theirs)
    if not isinstance(found, ImageManifest):
        raise ContentError(_other(offer, theirs, "an image index is there"))
    ours, held = _held(offer.image), _held(found)
    is_known, is_part = ours.archives <= held.archives, held.archives <= ours.archives
    if ours.index_json != held.index_json or not (is_known or is_part):
        raise ContentError(_other(offer, theirs, _difference(ours, held)))
    standing = policy.standing(found.annotations)
    if is_known and (not policy.asks_annotation or standing == "validated"):
        return "there"
    if standing == "rejected":
        said = found.annotations.get(policy.reason_key)
        why = f": {printable(said, 300)}" if said else ""
        raise ContentError(f"it is marked as rejected in production ({theirs.digest}){why}")
    if not is_part:
        # The mark would speak of what nobody judged, or what is there would be lost.
        raise ContentError(_other(offer, theirs, _difference(ours, held)))
    return "lacking"


def names_in(raw: RawManifest) -> frozenset[tuple[str, str]]:
    """The archives of a manifest by file name and sha256 (hex); none of an image index."""
    found = parse_manifest(raw)
    if not isinstance(found, ImageManifest):
        return frozenset()
    return frozenset((name, digest.hex) for name, digest in _held(found).archives)


def _held(image: ImageManifest) -> _Held:
    archives = frozenset(
        (layer.title or layer.media_type, layer.digest) for layer in archive_layers(image)
    )
    try:
        return _Held(archives, index_json_layer(image).digest)
    except ContentError:
        return _Held(archives, None)


def _other(offer: Offer, theirs: RawManifest, what: str) -> str:
    return (
        f"production has other content under this tag: {what} (manifests: {theirs.digest} there, "
        f"{offer.origin} in staging); it is not overwritten"
    )


def _difference(ours: _Held, held: _Held) -> str:
    """What differs, with its digests; archives of one name first."""
    mine, theirs = dict(sorted(ours.archives)), dict(sorted(held.archives))
    for name, digest in mine.items():
        if theirs.get(name, digest) != digest:
            return f"{printable(name, 200)} is {theirs[name]} there, {digest} in staging"
    if ours.index_json != held.index_json:
        return (
            f"info/index.json is {held.index_json or 'missing'} there, {ours.index_json} in staging"
        )
    extra = [f"{printable(name, 200)} ({theirs[name]})" for name in theirs if name not in mine]
    return f"{', '.join(extra[:4])} is there, and not in staging"
