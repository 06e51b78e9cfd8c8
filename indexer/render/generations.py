"""``history/generations.json``: the channel as it was after its last publications.

A generation names the shard index that each subdir had. Those that are superseded are kept beside
it, by their hashes; the shards that they name stay for a while anyway, because clients may hold
yesterday's index (``history.supersede``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import orjson

from indexer.errors import ContentError
from indexer.render import shards
from indexer.render.history import FOLDER, SUPERSEDED_FOR, read_seconds, read_subdir

GENERATIONS = f"{FOLDER}/generations.json"
# In bytes; twelve generations of thirty subdirs have less than a hundredth of it.
MAX_FILE = 8 * 1024 * 1024
# As many of the last ones, whenever they were.
_NEWEST = 5
# And the last one of each of as many days, today among them.
_DAYS = 7
# No list that was written here is longer.
_MAX_LISTED = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Index:
    """A subdir's shard index: its sha256 (hex), and how many records and names it leads to."""

    sha256: str
    records: int
    names: int


@dataclass(frozen=True, slots=True)
class Generation:
    """The channel after one publication: when it was (RFC 3339, in UTC), and its indexes."""

    time: str
    indexes: Mapping[str, Index]

    @property
    def records(self) -> int:
        """How many records it has in all."""
        return sum(index.records for index in self.indexes.values())

    def is_like(self, other: Generation) -> bool:
        """Whether both have the very same indexes."""
        return _hashes(self) == _hashes(other)


def path_of(subdir: str, sha256: str) -> str:
    """Where a superseded shard index is kept."""
    return f"{FOLDER}/{subdir}/{sha256}{shards.SUFFIX}"


def is_kept_index(file_name: str) -> bool:
    """Whether a file in a subdir's folder under history/ is a superseded shard index."""
    stem = file_name.removesuffix(shards.SUFFIX)
    return stem != file_name and bool(_SHA256.fullmatch(stem))


def begin_generation(new: Generation, earlier: Sequence[Generation]) -> list[Generation]:
    """All generations, newest first, with the new one; where nothing changed it is none.

    A time names one generation: of two the later one has it.
    """
    if earlier and earlier[0].is_like(new):
        return list(earlier)
    return [new, *(item for item in earlier if item.time != new.time)]


def worth_keeping(generations: Sequence[Generation], now: datetime) -> list[Generation]:
    """Of all generations, newest first, those that are kept while their shards are there.

    They are in the order in which they were published: a clock may have gone back.
    """
    today = now.astimezone(UTC).date()
    days: set[date] = set()
    kept = []
    for place, item in enumerate(generations):
        day = datetime.fromtimestamp(read_seconds(item.time), UTC).date()
        is_last = day not in days and 0 <= (today - day).days < _DAYS
        days.add(day)
        if place < _NEWEST or is_last:
            kept.append(item)
    return kept


def surely_there(generations: Sequence[Generation], now: datetime) -> int:
    """How many of all generations, newest first, have shards none of which can have expired.

    By time alone: a shard stays for a while from when the first later generation lacks it. A time
    that lies ahead says nothing.
    """
    count = 1
    for later in generations:
        at = datetime.fromtimestamp(read_seconds(later.time), UTC)
        if not timedelta(0) <= now - at < SUPERSEDED_FOR:
            break
        count += 1
    return count


def encode_generations(generations: Iterable[Generation]) -> bytes:
    """The file's bytes, one generation a line."""
    lines = [orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in generations]
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def decode_generations(data: bytes) -> list[Generation]:
    """Read what ``encode_generations`` wrote. Raises ContentError for anything else."""
    try:
        items = orjson.loads(data)
        if not isinstance(items, list) or len(items) > _MAX_LISTED:
            raise TypeError("not a list, or too long a one")  # noqa: TRY301  one way out
        found = [_generation(item) for item in items]
        if len({item.time for item in found}) != len(found):
            raise ValueError("a time that is there twice")  # noqa: TRY301
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ContentError(f"{GENERATIONS} can't be read: {error!r:.300}") from error
    return found


def _generation(item: Mapping[str, object]) -> Generation:
    time, indexes = item["time"], item["indexes"]
    # Every channel has noarch, if nothing else.
    if not isinstance(time, str) or not isinstance(indexes, dict) or not indexes:
        raise TypeError("no generation")
    read_seconds(time)
    return Generation(time, {read_subdir(name): _index(value) for name, value in indexes.items()})


def _index(value: Mapping[str, object]) -> Index:
    sha256 = value["sha256"]
    # The path of a file is made of it.
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("no sha256")
    return Index(sha256, _count(value["records"]), _count(value["names"]))


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"{str(value)[:80]!r} is no count")
    return value


def _hashes(generation: Generation) -> dict[str, str]:
    return {subdir: index.sha256 for subdir, index in generation.indexes.items()}
