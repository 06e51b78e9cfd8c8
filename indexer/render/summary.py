"""What the channel-wide files need of each package name, kept beside the index.

``history/<subdir>/names.json``, one name a line: so that a run of one subdir can write the
files of the whole channel without reading the others' records.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson
from rattler import Version

from indexer.channel.record import INDEXED, LAST_SECOND, encode
from indexer.errors import ContentError

FILE_NAME = "names.json"


@dataclass(frozen=True, slots=True)
class NameSummary:
    """One name in one subdir: how many builds, and the newest of them by conda's version order.

    ``timestamp`` is the newest build time of all, in seconds; 0 where none says. ``entered`` is
    the file that entered the index last, and ``entered_at`` when, in milliseconds (CEP 47).
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


def summarize(records: Mapping[str, Mapping[str, Any]]) -> NameSummary:
    """The summary of one name's records, by file name, of which there is at least one."""
    newest = max(records, key=lambda file_name: (*_order(records[file_name]), file_name))
    latest = records[newest]
    entered = max(records, key=lambda file_name: (records[file_name].get(INDEXED) or 0, file_name))
    return NameSummary(
        builds=len(records),
        version=latest["version"],
        build=latest["build"],
        build_number=latest["build_number"],
        file_name=newest,
        license=latest.get("license"),
        timestamp=max(_seconds(item.get("timestamp") or 0) for item in records.values()),
        entered=entered,
        entered_at=records[entered].get(INDEXED) or 0,
    )


# Not asdict, which copies all values deeply: there is one for each name of a channel.
_KEYS = tuple(item.name for item in fields(NameSummary))


def _as_dict(item: NameSummary) -> dict[str, Any]:
    return {key: getattr(item, key) for key in _KEYS}


def newest_of(summaries: Iterable[NameSummary]) -> NameSummary:
    """The one with the newest version."""
    return max(summaries, key=lambda item: (*_order(_as_dict(item)), item.file_name))


def encode_summaries(summaries: Mapping[str, NameSummary]) -> bytes:
    """The file's bytes."""
    lines = [
        orjson.dumps(name) + b":" + encode(_as_dict(summaries[name])) for name in sorted(summaries)
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def decode_summaries(data: bytes) -> dict[str, NameSummary]:
    """Read the file's bytes. Raises ContentError where they aren't ours."""
    try:
        return {
            name: _checked(NameSummary(**fields)) for name, fields in orjson.loads(data).items()
        }
    except (orjson.JSONDecodeError, TypeError, AttributeError) as error:
        raise ContentError(f"{FILE_NAME} can't be read: {error}") from error


def _checked(item: NameSummary) -> NameSummary:
    texts = (item.version, item.build, item.file_name, item.entered, item.license or "")
    numbers = (item.builds, item.build_number, item.timestamp, item.entered_at)
    if not all(isinstance(text, str) for text in texts) or not all(
        type(number) is int for number in numbers
    ):
        raise TypeError("a field of another type")
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


def _order(fields: Mapping[str, Any]) -> tuple[Version, int, int]:
    seconds = _seconds(fields.get("timestamp") or 0)
    return _version(fields["version"]), fields["build_number"], seconds


@functools.lru_cache(maxsize=65536)
def _version(text: str) -> Version:
    return Version(text)
