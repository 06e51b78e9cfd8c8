"""From a tag's manifests and its index.json to records, with identity checked (DESIGN decision 5).

Anyone who may push ``foo`` could otherwise publish ``openssl``: so the repository's name,
the tag, the layer's title and index.json must say the same, or the artifact is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from indexer.channel import codec
from indexer.channel.about import NOTHING_KNOWN, About, about_of
from indexer.channel.index_json import Identity, IndexJson
from indexer.channel.record import CONDA, EXTENSIONS, TARBZ2, Record, name_version_build
from indexer.errors import ContentError, printable
from indexer.registry.address import is_repository, is_tag
from indexer.registry.content import Descriptor, ImageManifest

ARCHIVE_TYPES = {
    "application/vnd.conda.package.v2": CONDA,
    "application/vnd.conda.package.v1": TARBZ2,
}
INDEX_JSON_TYPE = "application/vnd.conda.info.index.v1+json"
MD5_ANNOTATION = "org.conda.md5"
_MD5 = re.compile(r"[0-9a-f]{32}")


# Indexed: it has records. Waiting: nobody has said anything of it. Rejected: the validator says no.
# Unsound: it is let in, but can't be indexed.
Status = Literal["indexed", "waiting", "rejected", "unsound"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an artifact was found: by its subdir, its repository's last component, and its tag."""

    subdir: str
    repository: str
    tag: str


def place_of(subdir: str, file_name: str) -> Place:
    """Where the artifact that holds a package file belongs."""
    name, version, build = name_version_build(file_name)
    return Place(subdir, codec.repository_name(name), codec.tag_name(version, build))


def place_of_identity(identity: Identity, fallback: str | None) -> Place:
    """Where a package belongs, by what its index.json says. Raises ContentError.

    ``fallback`` is the subdir of one that doesn't say.
    """
    subdir = identity.subdir or fallback
    if subdir is None:
        raise ContentError("its index.json names no subdir: say --subdir")
    repository = codec.repository_name(identity.name)
    tag = codec.tag_name(identity.version, identity.build)
    if not is_repository(repository):
        raise ContentError(f"{identity.name!r} can't be spelt as a repository's name")
    if not is_tag(tag):
        raise ContentError(
            f"its version and build would be the tag {tag[:200]!r}, which no registry takes: "
            "a tag has at most 128 letters, digits, and . _ - in it"
        )
    return Place(subdir, repository, tag)


def check_name(file_name: str, identity: Identity) -> None:
    """Raise ContentError where a file isn't called as its index.json has it."""
    if file_name not in {identity.stem + end for end in EXTENSIONS}:
        raise ContentError(f"its index.json makes it {identity.stem}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one file of an artifact (or, without a file, all of it) is left out.

    Whatever an uploader made of them, both are short and printable.
    """

    reason: str
    file_name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))
        object.__setattr__(self, "file_name", printable(self.file_name, 200))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one manifest means: its records, what is left out of it, and what was odd.

    Whatever an uploader made of them, notes are short and printable, as faults are.

    ``index_json`` has, by file name, the digest (hex) of the index.json that a record was made of.
    ``about`` is what the package says of itself.
    """

    records: tuple[Record, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    index_json: Mapping[str, str] = field(default_factory=dict)
    about: About = NOTHING_KNOWN

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(map(printable, self.notes)))


def archive_layers(manifest: ImageManifest) -> list[Descriptor]:
    """The layers that are archives, by media type or, for old artifacts, by title."""
    return [layer for layer in manifest.layers if _extension(layer) is not None]


def index_json_layer(manifest: ImageManifest) -> Descriptor:
    """The one layer that is index.json. Raises ContentError where there is none, or several."""
    found = {layer.digest: layer for layer in manifest.layers if _is_index_json(layer)}
    if len(found) != 1:
        count = len(found) or "no"
        raise ContentError(f"{count} index.json layers, where there must be one")
    return next(iter(found.values()))


def read_artifact(place: Place, manifest: ImageManifest, index: IndexJson) -> Reading:
    """The records of one manifest. Raises ContentError where its identity doesn't hold."""
    _check_identity(place, index)
    faults: list[Fault] = []
    notes = [f"index.json sets {key}, which the index decides" for key in index.dropped]
    records: dict[str, Record] = {}
    for layer in archive_layers(manifest):
        try:
            file_name = _file_name(layer, index, notes)
            record = _record(place, layer, file_name, index)
        except ContentError as error:
            faults.append(Fault(str(error), layer.title or ""))
            continue
        known = records.setdefault(file_name, record)
        if known.sha256 != record.sha256:
            raise ContentError(f"two different archives called {file_name}")
    made_of = dict.fromkeys(records, index_json_layer(manifest).digest.hex)
    about = about_of(manifest.annotations)
    return Reading(tuple(records.values()), tuple(faults), tuple(notes), made_of, about)


def merge_readings(readings: Sequence[Reading]) -> Reading:
    """One reading of several manifests under one tag. Raises ContentError where they disagree."""
    records: dict[str, Record] = {}
    for record in (record for reading in readings for record in reading.records):
        if records.setdefault(record.file_name, record) != record:
            raise ContentError(f"an image index with two different {record.file_name}")
    faults = tuple(fault for reading in readings for fault in reading.faults)
    notes = tuple(note for reading in readings for note in reading.notes)
    made_of = {name: item for reading in readings for name, item in reading.index_json.items()}
    about = next((reading.about for reading in readings if reading.about), NOTHING_KNOWN)
    return Reading(tuple(records.values()), faults, notes, made_of, about)


def _is_index_json(layer: Descriptor) -> bool:
    title = layer.title or ""
    return layer.media_type == INDEX_JSON_TYPE or (
        title.endswith("/info/index.json") and layer.media_type not in ARCHIVE_TYPES
    )


def _extension(layer: Descriptor) -> str | None:
    if layer.media_type in ARCHIVE_TYPES:
        return ARCHIVE_TYPES[layer.media_type]
    title = layer.title or ""
    return next((end for end in (CONDA, TARBZ2) if title.endswith(end)), None)


def _check_identity(place: Place, index: IndexJson) -> None:
    spelt = codec.repository_name(index.name)
    if spelt != place.repository:
        raise ContentError(
            f"index.json names {index.name}, whose repository would be {spelt}, "
            f"not {place.repository}"
        )
    tag = codec.tag_name(index.version, index.build)
    if tag != place.tag:
        raise ContentError(f"index.json's version and build give the tag {tag}, not {place.tag}")
    if index.subdir is not None and index.subdir != place.subdir:
        raise ContentError(f"index.json's subdir is {index.subdir}, not {place.subdir}")


def _file_name(layer: Descriptor, index: IndexJson, notes: list[str]) -> str:
    by_type = ARCHIVE_TYPES.get(layer.media_type)
    title = layer.title
    if title is None:
        file_name = index.stem + (by_type or "")
        notes.append(f"{file_name}: its layer has no title")
        return file_name
    if title not in {index.stem + CONDA, index.stem + TARBZ2}:
        raise ContentError(
            f"the layer's title is {title[:200]!r}, where index.json gives {index.stem}"
        )
    if by_type is None or not title.endswith(by_type):
        notes.append(f"{title}: its layer has media type {layer.media_type[:100]!r}")
    return title


def _record(place: Place, layer: Descriptor, file_name: str, index: IndexJson) -> Record:
    md5 = layer.annotations.get(MD5_ANNOTATION)
    if md5 is not None and not _MD5.fullmatch(md5):
        raise ContentError(f"the annotation {MD5_ANNOTATION} is {md5[:80]!r}, not an md5")
    fields = dict(index.fields)
    fields["subdir"] = place.subdir
    fields["md5"] = md5
    fields["sha256"] = layer.digest.hex
    fields["size"] = layer.size
    return Record.make(file_name, fields)
