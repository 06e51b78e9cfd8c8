"""What the channel-wide files need of each package name, kept beside the index.

``history/<subdir>/names.json``, one name a line: so that a run of one subdir can write the
files of the whole channel without reading the others' records.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson
from rattler import Version

from indexer.channel.about import NOTHING_KNOWN, About, line_of, remembered
from indexer.channel.index_json import NAME, dependency_name
from indexer.channel.record import INDEXED, LAST_SECOND, encode
from indexer.errors import ContentError

FILE_NAME = "names.json"
# Each of them tells of it on its page: one package must not have all pages drawn.
_MAX_DEPENDS = 1000


@dataclass(frozen=True, slots=True)
class NameSummary:
    """One name in one subdir: how many builds, and the newest of them by conda's version order.

    ``timestamp`` is the newest build time of all, in seconds; 0 where none says. ``entered`` is
    the file that entered the index last, and ``entered_at`` when, in milliseconds (CEP 47).
    ``depends`` are the names, in order, of what the newest one depends on, without virtual
    packages; ``about`` is what it says of itself.
    """

    builds: int
    version: str
    build: str
    build_number: int
    file_name: str
    license: str | None
    timestamp: int
    entered: str
    entered_at: int
    depends: tuple[str, ...]
    about: About = NOTHING_KNOWN


def newest_file(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The file name of the newest of one name's records, of which there is at least one."""
    return max(records, key=lambda file_name: (*order_of(records[file_name]), file_name))


def summarize(
    records: Mapping[str, Mapping[str, Any]], about: About = NOTHING_KNOWN
) -> NameSummary:
    """The summary of one name's records, by file name, of which there is at least one.

    ``about`` is what the newest of them says of itself.
    """
    newest = newest_file(records)
    latest = records[newest]
    entered = max(records, key=lambda file_name: (records[file_name].get(INDEXED) or 0, file_name))
    return NameSummary(
        builds=len(records),
        version=latest["version"],
        build=latest["build"],
        build_number=latest["build_number"],
        file_name=newest,
        license=line_of(latest.get("license") or "") or None,
        timestamp=max(_seconds(item.get("timestamp") or 0) for item in records.values()),
        entered=entered,
        entered_at=records[entered].get(INDEXED) or 0,
        depends=_names(latest.get("depends") or ()),
        about=about,
    )


def _names(specs: Iterable[str]) -> tuple[str, ...]:
    names = {dependency_name(spec) for spec in specs}
    found = sorted(name for name in names if name and not name.startswith("__"))
    return tuple(found[:_MAX_DEPENDS])


# Not asdict, which copies all values deeply: there is one for each name of a channel.
_KEYS = tuple(item.name for item in fields(NameSummary) if item.name != "about")


def _as_dict(item: NameSummary) -> dict[str, Any]:
    found = {key: getattr(item, key) for key in _KEYS}
    if item.about:
        found["about"] = item.about.as_dict()
    return found


def newest_of(summaries: Iterable[NameSummary]) -> NameSummary:
    """The one with the newest version."""
    found = list(summaries)
    # As most names have it: their versions needn't be read.
    if len(found) == 1:
        return found[0]
    return max(found, key=lambda item: (*order_of(_as_dict(item)), item.file_name))


def encode_summaries(summaries: Mapping[str, NameSummary]) -> bytes:
    """The file's bytes."""
    lines = [
        orjson.dumps(name) + b":" + encode(_as_dict(summaries[name])) for name in sorted(summaries)
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def decode_summaries(data: bytes) -> dict[str, NameSummary]:
    """Read the file's bytes. Raises ContentError where they aren't ours."""
    try:
        return {_name(name): _summary(fields) for name, fields in orjson.loads(data).items()}
    except (orjson.JSONDecodeError, TypeError, AttributeError) as error:
        raise ContentError(f"{FILE_NAME} can't be read: {error}") from error


def _name(name: str) -> str:
    # The paths of pages are made of it.
    if not NAME.fullmatch(name):
        raise TypeError(f"{name[:80]!r} is no name")
    return name


def _summary(fields: dict[str, Any]) -> NameSummary:
    if "about" in fields:
        fields["about"] = remembered(fields["about"])
    if not isinstance(fields.get("depends"), list):
        raise TypeError("no list of what it depends on")
    # The same names again and again, each of them once in memory; it refuses what is no string.
    fields["depends"] = tuple(map(sys.intern, fields["depends"]))
    return _checked(NameSummary(**fields))


def _checked(item: NameSummary) -> NameSummary:
    texts = (item.version, item.build, item.file_name, item.entered, item.license or "")
    numbers = (item.builds, item.build_number, item.timestamp, item.entered_at)
    # As sets of types: of 25,000 names that takes half as long as looking at each.
    if {*map(type, texts)} != {str} or {*map(type, numbers)} != {int}:
        raise TypeError("a field of another type")
    if not item.entered.isprintable() or item.entered.count("-") < 2:
        raise TypeError(f"{item.entered[:80]!r} is no file name")
    if not 0 <= item.entered_at // 1000 <= LAST_SECOND:
        raise TypeError("a time that is none")
    try:
        _version(item.version)
    except Exception as error:  # rattler's errors have no public common base
        raise TypeError(f"{item.version[:80]!r} is no version") from error
    return item


def _seconds(timestamp: int) -> int:
    """A build time in seconds.

    Old packages have seconds, all others milliseconds; clients tell them apart by size, as
    is done here, by the end of the year 9999.
    """
    return timestamp // 1000 if timestamp > LAST_SECOND else timestamp


def order_of(fields: Mapping[str, Any]) -> tuple[Version, int, int]:
    """What the builds of one name are ordered by: version, build number, build time in seconds."""
    seconds = _seconds(fields.get("timestamp") or 0)
    return _version(fields["version"]), fields["build_number"], seconds


@functools.lru_cache(maxsize=65536)
def _version(text: str) -> Version:
    return Version(text)
