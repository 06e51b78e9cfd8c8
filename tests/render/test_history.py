"""What the published site remembers, read back after any accident."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ConfigError, ContentError
from indexer.render import history
from indexer.render.history import ChangeEntry, FileEntry, Snapshot, SubdirEntry, supersede
from tests.channel.samples import sha256

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
SECOND = timedelta(seconds=1)
FILE = FileEntry(sha256("x"), 12)
SNAPSHOT = Snapshot(
    registry="oci://ghcr.io/acme",
    channel="forge",
    rendering="look",
    subdirs={
        "noarch": SubdirEntry(3, 2, 99, {"noarch/repodata.json": FILE}, {"ab": "2026-11-08"}, "1 -")
    },
    files={"index.html": FILE},
)
CHANGE = ChangeEntry("2026-11-01T12:00:00Z", "added", "noarch", "a-1-0.conda", "a", "1", "0")


def test_a_replaced_shard_stays_for_seven_days_for_clients_with_yesterdays_index() -> None:
    stay, expired = supersede({}, ["old"], ["new"], NOW)
    assert (stay, expired) == ({"old": "2026-11-08T12:00:00Z"}, [])
    for later, gone in ((WEEK - SECOND, []), (WEEK, ["old"]), (WEEK + SECOND, ["old"])):
        remaining, expired = supersede(stay, [], ["new"], NOW + later)
        assert expired == gone
        assert set(remaining) | set(expired) == {"old"}


def test_a_shard_that_returns_is_current_and_never_expires() -> None:
    stay, expired = supersede({"back": "2026-01-01T00:00:00Z"}, [], ["back"], NOW)
    assert (stay, expired) == ({}, [])
    assert supersede({}, ["kept"], ["kept"], NOW) == ({}, [])


def test_a_shard_that_was_replaced_again_does_not_stay_longer_each_time() -> None:
    stay, _ = supersede({"old": "2026-11-02T00:00:00Z"}, ["old"], [], NOW)
    assert stay == {"old": "2026-11-02T00:00:00Z"}


@given(
    before=st.dictionaries(st.sampled_from("abcdef"), st.integers(-10, 10)),
    replaced=st.sets(st.sampled_from("abcdef")),
    current=st.sets(st.sampled_from("abcdef")),
)
def test_no_shard_that_is_in_the_index_is_ever_deleted(
    before: dict[str, int], replaced: set[str], current: set[str]
) -> None:
    times = {name: history.rfc3339(NOW + timedelta(days=days)) for name, days in before.items()}
    stay, expired = supersede(times, replaced, current, NOW)
    assert not set(expired) & current
    assert not set(expired) & set(stay)
    assert set(stay) | set(expired) == (set(before) | replaced) - current
    assert (list(stay), expired) == (sorted(stay), sorted(expired))
    assert all(time > history.rfc3339(NOW) for time in stay.values())


def test_times_are_utc_whatever_the_clock_says() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=-7)))
    assert history.rfc3339(there) == history.rfc3339(NOW) == "2026-11-01T12:00:00Z"


def test_a_snapshot_is_read_back() -> None:
    assert history.decode_snapshot(history.encode_snapshot(SNAPSHOT)) == SNAPSHOT


def test_a_snapshot_is_the_same_bytes_in_whatever_order() -> None:
    files = {"b": FILE, "a": FILE}
    backwards = dict(reversed(files.items()))
    one, other = (
        history.encode_snapshot(Snapshot("r", "c", "l", {}, item)) for item in (files, backwards)
    )
    assert one == other


def snapshot_with(change: Any, *path: str) -> bytes:
    document = orjson.loads(history.encode_snapshot(SNAPSHOT))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change
    return orjson.dumps(document)


def test_a_newer_programs_site_is_not_taken_for_damage_and_written_over() -> None:
    with pytest.raises(ConfigError, match="newer"):
        history.decode_snapshot(snapshot_with(history.FORMAT + 1, "format"))


@pytest.mark.parametrize("change", [None, "x", -5, [], ["x"], {"x": 1}])
@pytest.mark.parametrize(
    "path",
    [
        ("format",),
        ("files",),
        ("files", "index.html"),
        ("files", "index.html", "size"),
        ("subdirs",),
        ("subdirs", "noarch"),
        ("subdirs", "noarch", "files"),
        ("subdirs", "noarch", "superseded"),
    ],
)
def test_a_snapshot_of_another_shape_is_refused_and_nothing_worse(
    path: tuple[str, ...], change: object
) -> None:
    if (path[-1] == "size" and change == -5) or (path[-1] == "superseded" and change == {"x": 1}):
        return  # of the right shape, after all
    with pytest.raises(ContentError):
        history.decode_snapshot(snapshot_with(change, *path))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"format":0}'])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError):
        history.decode_snapshot(data)


def test_changes_are_read_back_and_only_the_last_are_kept() -> None:
    many = [ChangeEntry(**asdict(CHANGE) | {"version": str(n)}) for n in range(500)]
    kept = history.decode_changes(history.encode_changes(many))
    assert kept == many[: history.MAX_CHANGES]
    assert history.decode_changes(history.encode_changes([])) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b"{}",
        b'"x"',
        b'["x"]',
        b"[{}]",
        b"[[]]",
        orjson.dumps([asdict(CHANGE) | {"more": 1}]),
        orjson.dumps([asdict(CHANGE) | {"time": 5}]),
        orjson.dumps([asdict(CHANGE) | {"name": None}]),
    ],
)
def test_changes_that_the_page_could_not_show_are_refused(data: bytes) -> None:
    with pytest.raises(ContentError):
        history.decode_changes(data)


def test_counts_keep_the_recent_past_whole_and_thin_out_the_rest() -> None:
    counts: list[dict[str, Any]] = [{"time": n, "records": {"noarch": n}} for n in range(5_000)]
    kept = history.decode_counts(history.encode_counts(counts))
    assert len(kept) <= history.MAX_COUNTS
    times = [item["time"] for item in kept]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-500:] == list(range(4_500, 5_000))


def test_few_counts_are_kept_whole() -> None:
    counts: list[dict[str, Any]] = [{"time": "t", "records": {}}] * history.MAX_COUNTS
    assert history.decode_counts(history.encode_counts(counts)) == counts


def test_thinning_out_run_by_run_keeps_the_first_and_the_last() -> None:
    counts: list[dict[str, Any]] = [{"time": n, "records": {}} for n in range(history.MAX_COUNTS)]
    for number in range(history.MAX_COUNTS, history.MAX_COUNTS + 20):
        counts.append({"time": number, "records": {}})
        counts = history.decode_counts(history.encode_counts(counts))
    assert (counts[0]["time"], counts[-1]["time"]) == (0, history.MAX_COUNTS + 19)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"null", b"{}", b"[1]", b"[{}]", b'[{"time":"t"}]', b'[{"records":1}]']
)
def test_counts_that_cannot_be_continued_are_refused(data: bytes) -> None:
    with pytest.raises(ContentError):
        history.decode_counts(data)


SEEN = {
    ("noarch", "alpha", "2.0-0"): 1_793_534_400,
    ("linux-64", "zzz_x", "1.0-0"): 0,
    ("noarch", "alpha", "10.0-0"): 1_793_534_401,
}


def test_when_builds_were_first_seen_is_read_back() -> None:
    data = history.encode_unsettled(SEEN)
    assert history.decode_unsettled(data) == SEEN
    assert history.decode_unsettled(history.encode_unsettled({})) == {}
    assert data.decode().splitlines() == [
        "[",
        '["linux-64","zzz_x","1.0-0","1970-01-01T00:00:00Z"],',
        '["noarch","alpha","10.0-0","2026-11-01T12:00:01Z"],',
        '["noarch","alpha","2.0-0","2026-11-01T12:00:00Z"]',
        "]",
    ]


ROW = ["noarch", "alpha", "1.0-0", "2026-11-01T12:00:00Z"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        7,
        {"noarch": ROW},
        [None],
        [{}],
        ["abcd"],
        [ROW[:3]],
        [[*ROW, "more"]],
        [["noarch", "alpha", "1.0-0", 1_793_534_400]],
        [["noarch", None, "1.0-0", ROW[3]]],
        [["../x", *ROW[1:]]],
        [["noarch", "", "1.0-0", ROW[3]]],
        [["noarch", "alpha", "", ROW[3]]],
        [ROW, ROW],
        [[*ROW[:3], "2026-11-01"]],
        [[*ROW[:3], "2026-11-01T12:00:00"]],
        [[*ROW[:3], "2026-11-01T12:00:00+00:00"]],
        [[*ROW[:3], "2026-02-30T12:00:00Z"]],
        [[*ROW[:3], "2026-1-1T12:00:00Z"]],
        [[*ROW[:3], "1969-12-31T23:59:59Z"]],
        [[*ROW[:3], "0001-01-01T00:00:00Z"]],
    ],
    ids=str,
)
def test_anything_else_is_no_memory_of_builds(document: object) -> None:
    with pytest.raises(ContentError, match=r"unsettled\.json"):
        history.decode_unsettled(orjson.dumps(document))


def test_no_json_is_no_memory_of_builds() -> None:
    with pytest.raises(ContentError, match="is not JSON"):
        history.decode_unsettled(b"[")
