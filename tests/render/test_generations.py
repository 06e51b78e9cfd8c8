"""Which generations are worth keeping, and a list of them that somebody spoilt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ContentError
from indexer.render.generations import (
    Generation,
    Index,
    begin_generation,
    decode_generations,
    encode_generations,
    is_kept_index,
    path_of,
    surely_there,
    worth_keeping,
)
from indexer.render.history import rfc3339, supersede
from tests.channel.samples import sha256

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
HASH = sha256("index")


def generation(time: datetime, text: str = "") -> Generation:
    return Generation(rfc3339(time), {"noarch": Index(sha256(text or str(time)), 3, 2)})


def every(step: timedelta, count: int, until: datetime = NOW) -> list[Generation]:
    return [generation(until - place * step) for place in range(count)]


def times(generations: list[Generation]) -> list[str]:
    return [item.time for item in generations]


def test_the_last_five_are_kept_and_the_last_one_of_each_of_seven_days() -> None:
    kept = times(worth_keeping(every(QUARTER, 4 * 24 * 12), NOW))
    assert kept[:5] == times(every(QUARTER, 5))
    assert kept[5:] == [f"2026-11-{day}T23:45:00Z" for day in (21, 20, 19, 18, 17, 16)]


def test_the_last_five_are_kept_however_old_they_are() -> None:
    found = every(timedelta(days=30), 9)
    assert worth_keeping(found, NOW) == found[:5]


def test_the_day_is_that_of_utc_wherever_the_run_is() -> None:
    found = every(timedelta(hours=1), 60)
    here = NOW.astimezone(datetime.strptime("+0900", "%z").tzinfo)
    assert worth_keeping(found, here) == worth_keeping(found, NOW)


@given(st.lists(st.integers(-40 * 86400, 40 * 86400), max_size=80, unique=True))
def test_whatever_a_clock_does_the_list_stays_short_and_has_the_newest(moments: list[int]) -> None:
    found = [generation(NOW + timedelta(seconds=moment)) for moment in moments]
    kept = worth_keeping(found, NOW)
    assert kept[:5] == found[:5]
    assert len(kept) <= 5 + 7
    assert times(kept) == [time for time in times(found) if time in times(kept)]


def test_what_is_kept_once_stays_as_long_as_it_is_worth_it() -> None:
    """Dropping in between must not lose what a later run would have kept."""
    kept: list[Generation] = []
    published: list[Generation] = []
    start = NOW - timedelta(days=9)
    for place in range(12 * 9):
        now = start + place * timedelta(hours=2)
        published.insert(0, generation(now))
        kept = worth_keeping([generation(now), *kept], now)
        assert kept == worth_keeping(published, now)


@given(st.lists(st.integers(-20 * 24, 3 * 24), min_size=1, max_size=20), st.integers(0, 9 * 24))
def test_what_is_surely_there_is_there_whatever_the_clock_did(hours: list[int], gap: int) -> None:
    """Against what becomes of shards: each generation has one, which the next one lacks."""
    moments = [NOW + timedelta(hours=hour) for hour in hours]
    now = NOW + timedelta(hours=gap)
    stay: dict[str, str] = {}
    for place, moment in enumerate([*moments, now]):
        replaced = [str(place - 1)] if place else []
        stay, _ = supersede(stay, replaced, [str(place)], moment)
    there = {*stay, str(len(moments))}
    found = [generation(moment) for moment in reversed([*moments, now])]
    sure = surely_there(found, now)
    assert sure >= 1
    names = [str(place) for place in reversed(range(len(found)))]
    assert there.issuperset(names[:sure])


def test_in_a_busy_channel_all_of_a_week_is_surely_there() -> None:
    assert surely_there(every(QUARTER, 4 * 24 * 9), NOW) == 4 * 24 * 7 + 1


def test_a_publication_that_changed_no_index_is_no_generation() -> None:
    first = generation(NOW, "same")
    assert begin_generation(generation(NOW + QUARTER, "same"), [first]) == [first]
    again = generation(NOW + QUARTER, "other")
    assert begin_generation(again, [first]) == [again, first]


def test_a_clock_that_stands_still_gives_no_two_generations_of_one_time() -> None:
    one, other, old = generation(NOW, "one"), generation(NOW, "other"), generation(NOW - QUARTER)
    assert begin_generation(other, [one, old]) == [other, old]


def test_a_list_reads_back_as_it_was_written() -> None:
    found = [
        Generation("2026-11-02T00:00:00Z", {"linux-64": Index(HASH, 1, 1)}),
        Generation("2026-11-01T00:00:00Z", {"noarch": Index(HASH, 0, 0)}),
    ]
    assert decode_generations(encode_generations(found)) == found
    assert decode_generations(encode_generations([])) == []


def entry(**changes: Any) -> dict[str, Any]:
    index = {"sha256": HASH, "records": 3, "names": 2}
    return {"time": "2026-11-01T00:00:00Z", "indexes": {"noarch": index}} | changes


def spoilt_indexes() -> Iterator[Any]:
    for sha in ("../../../etc/passwd", HASH.upper(), HASH[:-1], HASH + "\n", "", 7, None, [HASH]):
        yield {"noarch": {"sha256": sha, "records": 3, "names": 2}}
    for count in (-1, 1.0, True, "3", None, 2**53, 2**63):
        yield {"noarch": {"sha256": HASH, "records": count, "names": 2}}
        yield {"noarch": {"sha256": HASH, "records": 3, "names": count}}
    for subdir in ("..", "../noarch", "history", "/etc", "", "noarch/x"):
        yield {subdir: {"sha256": HASH, "records": 3, "names": 2}}
    yield from ({}, [], None, "noarch", {"noarch": HASH}, {"noarch": {"sha256": HASH}})


SPOILT: list[Any] = [
    *(entry(indexes=indexes) for indexes in spoilt_indexes()),
    *(entry(time=time) for time in ("", "today", "2026-11-01", 7, None, "2026-02-30T00:00:00Z")),
    *([], None, "x", {}, 7),
]


@pytest.mark.parametrize("item", SPOILT)
def test_a_spoilt_generation_is_refused(item: Any) -> None:
    with pytest.raises(ContentError, match="generations"):
        decode_generations(orjson.dumps([entry(time="2026-11-02T00:00:00Z"), item]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"a": 1}',
        orjson.dumps([entry(), entry()]),
        orjson.dumps([entry(time=rfc3339(NOW + place * QUARTER)) for place in range(101)]),
        b"\xff\xfe",
    ],
)
def test_a_spoilt_list_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError, match="generations"):
        decode_generations(data)


def test_only_what_is_called_by_a_hash_is_taken_for_a_kept_index() -> None:
    path = path_of("noarch", HASH)
    assert path == f"history/noarch/{HASH}.msgpack.zst"
    assert is_kept_index(path.rpartition("/")[2])
    for other in ("names.json", HASH, "x.msgpack.zst", f"{HASH}.msgpack.zst.bak", ".msgpack.zst"):
        assert not is_kept_index(other)
