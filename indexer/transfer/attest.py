"""A verdict on an archive: checked against the archive itself, dated, and signed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from indexer.channel.artifact import (
    MD5_ANNOTATION,
    Place,
    check_name,
    index_json_layer,
    place_of_identity,
)
from indexer.channel.index_json import MAX_BYTES, parse_identity, parse_index_json
from indexer.errors import ContentError, printable
from indexer.registry import Registry
from indexer.registry.content import Descriptor, Digest, ImageManifest, parse_manifest
from indexer.transfer.files import fetch_into
from indexer.transfer.finding import Found
from indexer.transfer.packing import hash_file, only_index_json
from indexer.trust.envelope import open_envelope
from indexer.trust.judging import Held, check_place
from indexer.trust.keys import Keyring
from indexer.trust.storage import VerdictTag, verdict_tag
from indexer.trust.verdict import Verdict

# So many keys of an index.json that differ are named.
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """In whose name verdicts are signed.

    ``keyring`` has the public part of the key that ``sign`` uses; ``verifier`` and ``policy`` are
    URIs: who judges, and by which rules.
    """

    sign: Callable[[Verdict], bytes]
    keyring: Keyring
    verifier: str
    policy: str

    @property
    def key_id(self) -> str:
        """The id of the key."""
        return self.keyring.keys[0].key_id

    def signed(self, verdict: Verdict, repository: str) -> tuple[VerdictTag, bytes]:
        """A verdict's tag and envelope, to be put beside a package in ``repository``.

        That is the last component of its name. Raises ContentError where no indexer would let it
        count: the file's name is none, or that of another package.
        """
        try:
            envelope = self.sign(verdict)
            tag = verdict_tag(verdict.archive, envelope)
            check_place(
                open_envelope(envelope, self.keyring).verdict, tag, verdict.subdir, repository
            )
        except ContentError as error:
            raise ContentError(f"no verdict on it would count: {error}") from error
        return tag, envelope


def time_of(now: datetime, layer: Descriptor, known: Iterable[Held], *, passed: bool) -> datetime:
    """When a verdict is to be dated, so that it is the last word of its key on this archive.

    Raises ContentError where it can't be: PASSED in the future is void.
    """
    mine = [
        item
        for item in known
        if (item.verdict.file_name, item.verdict.archive) == (layer.title, layer.digest)
    ]
    if not passed:
        return max([now, *(item.verdict.time for item in mine)])
    for item in mine:
        if not item.verdict.passed and item.verdict.time >= now:
            raise ContentError(
                f"it was rejected {item.when_and_who}, and it is only {now:%Y-%m-%d %H:%M:%S} UTC "
                "here: a verdict of now would change nothing"
            )
    return now


def index_json_of(found: Found) -> Digest | None:
    """The digest of the index.json beside the archives; None where that can't be told."""
    try:
        return index_json_layer(_image(found)).digest
    except ContentError:
        return None


def check_archive(
    registry: Registry, found: Found, layer: Descriptor, scratch: Path
) -> tuple[str, str | None]:
    """Look into an archive whether its manifest tells the truth about it. Raises ContentError.

    Gives its md5, and what its reader should know, such as that no index will have it all the same.
    """
    if layer.title is None:
        raise ContentError("its layer has no title, by which a verdict could name it")
    beside = _index_json(registry, found)
    _check_identity(beside, layer.title, found.place)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / layer.title
        fetch_into(registry, found.full_name, layer, path)
        own = only_index_json(path)
        md5 = hash_file(path).md5
    _check_identity(own, layer.title, found.place)
    _compare(orjson.loads(own), orjson.loads(beside), found.place.subdir)
    said = layer.annotations.get(MD5_ANNOTATION)
    if said is not None and said != md5:
        raise ContentError(f"its {MD5_ANNOTATION} is {printable(said, 80)!r}, but its md5 is {md5}")
    try:
        parse_index_json(beside)
    except ContentError as error:
        return md5, f"no index will have it: {error}"
    return md5, None


def _image(found: Found) -> ImageManifest:
    parsed = parse_manifest(found.raw)
    if not isinstance(parsed, ImageManifest):
        raise ContentError("its tag leads to an image index, not to a package")
    return parsed


def _index_json(registry: Registry, found: Found) -> bytes:
    """What stands beside the archives as index.json, which is what an index is made of."""
    layer = index_json_layer(_image(found))
    if layer.size > MAX_BYTES:
        raise ContentError(f"index.json has {layer.size} bytes (at most {MAX_BYTES})")
    return layer.data if layer.data is not None else registry.blob(found.full_name, layer)


def _check_identity(index_json: bytes, file_name: str, place: Place) -> None:
    identity = parse_identity(index_json)
    check_name(file_name, identity)
    if place_of_identity(identity, place.subdir) != place:
        raise ContentError(f"its index.json makes it {identity.subdir}/{identity.stem}")


def _compare(own: Mapping[str, Any], beside: Mapping[str, Any], subdir: str) -> None:
    """Raise ContentError unless both say the same, the subdir of their place understood."""
    if "subdir" not in own and "subdir" in beside:
        own = {**own, "subdir": subdir}
    other = sorted(
        key
        for key in own.keys() | beside.keys()
        if (key in own) != (key in beside) or _spelt(own[key]) != _spelt(beside[key])
    )
    if other:
        names = ", ".join(other[:_NAMED]) + (" and more" if len(other) > _NAMED else "")
        raise ContentError(
            "the index.json layer isn't the archive's own info/index.json; they differ in "
            f"{printable(names, 300)}"
        )


def _spelt(value: object) -> bytes:
    """One spelling of a JSON value; to Python, true is 1."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
