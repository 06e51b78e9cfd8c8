"""What was read before: a cache that is never stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from indexer.channel.artifact import Fault, Place, Reading, Status
from indexer.channel.record import Record
from indexer.rebuild.state import KEPT_FOR, State
from indexer.rebuild.state_file import Identity, open_state
from indexer.registry.content import Digest
from tests.channel.samples import record, sha256

IDENTITY = Identity("oci://ghcr.io/acme", "forge", "1; none")
SUBDIR = "noarch"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state", IDENTITY) as (opened, _):
        yield opened


def place(tag: str, repository: str = "alpha", subdir: str = SUBDIR) -> Place:
    return Place(subdir, repository, tag)


def put(
    state: State,
    where: Place,
    *records: Record,
    digest: str = "one",
    status: Status = "indexed",
    now: int = 100,
) -> None:
    state.put(where, Digest(sha256(digest)), status, Reading(records), now)


def look(state: State, where: Place, now: int, digest: str = "one") -> None:
    state.look(where, Digest(sha256(digest)), now)


def test_what_a_tag_led_to_is_remembered_with_its_records(state: State) -> None:
    one, other = record(version="1.0"), record(version="2.0")
    put(state, place("1.0-0"), one)
    put(state, place("2.0-0"), other, digest="two")
    assert state.tags(SUBDIR, "alpha") == {
        "1.0-0": "indexed",
        "2.0-0": "indexed",
    }
    assert state.records(SUBDIR, "alpha", "alpha") == {
        one.file_name: one,
        other.file_name: other,
    }


def test_subdirs_and_repositories_are_kept_apart(state: State) -> None:
    put(state, place("1.0-0"), record())
    put(state, place("1.0-0", subdir="linux-64"), record(), digest="two")
    put(state, place("1.0-0", "beta"), record("beta"))
    assert state.repositories(SUBDIR) == ["alpha", "beta"]
    state.forget(place("1.0-0"), 500)
    assert state.tags(SUBDIR, "alpha") == {}
    assert set(state.tags("linux-64", "alpha")) == {"1.0-0"}
    assert set(state.tags(SUBDIR, "beta")) == {"1.0-0"}


def test_two_names_that_share_a_repository_keep_their_own_records(state: State) -> None:
    put(state, place("1.0-0", "zzz_x"), record("_x"))
    put(state, place("2.0-0", "zzz_x"), record("zzz_x", "2.0"))
    assert list(state.records(SUBDIR, "zzz_x", "_x")) == ["_x-1.0-h1_0.conda"]
    assert list(state.names(SUBDIR)) == ["_x", "zzz_x"]


def test_a_tag_that_moved_leaves_nothing_of_what_it_led_to(state: State) -> None:
    put(state, place("1.0-0"), record(), record(end=".tar.bz2"))
    put(state, place("1.0-0"), record(content="new"), digest="two")
    records = state.records(SUBDIR, "alpha", "alpha")
    assert [item.sha256 for item in records.values()] == [sha256("new")]


def test_a_tag_that_vanished_takes_its_records_along(state: State) -> None:
    put(state, place("1.0-0"), record())
    state.forget(place("1.0-0"), 500)
    assert state.records(SUBDIR, "alpha", "alpha") == {}
    assert state.repositories(SUBDIR) == []


PUBLISHED = sha256("shard")
CHANGING: dict[str, Callable[[State], None]] = {
    "another build": lambda state: put(state, place("2.0-0"), record(version="2.0")),
    "other bytes": lambda state: put(state, place("1.0-0"), record(content="x")),
    "other metadata": lambda state: put(state, place("1.0-0"), record(license="GPL-2.0-only")),
    "a format more": lambda state: put(state, place("1.0-0"), record(), record(end=".tar.bz2")),
    "validation taken back": lambda state: put(state, place("1.0-0"), status="waiting"),
    "a tag gone": lambda state: state.forget(place("1.0-0"), 500),
}
KEEPING: dict[str, Callable[[State], None]] = {
    "another manifest": lambda state: put(state, place("1.0-0"), record(), digest="two"),
    "another look": lambda state: look(state, place("1.0-0"), 500),
    "another name": lambda state: put(state, place("1.0-0", "beta"), record("beta")),
    "an unvalidated build": lambda state: put(state, place("2.0-0"), status="waiting"),
    "a rejected build": lambda state: put(state, place("2.0-0"), status="unsound"),
    "another subdir": lambda state: put(state, place("1.0-0", subdir="linux-64"), record()),
    "an unknown tag gone": lambda state: state.forget(place("9.0-0"), 500),
}


@pytest.mark.parametrize("event", CHANGING)
def test_a_name_whose_records_change_is_published_no_more(state: State, event: str) -> None:
    put(state, place("1.0-0"), record())
    state.mark_published(SUBDIR, {"alpha": PUBLISHED})
    CHANGING[event](state)
    assert state.names(SUBDIR)["alpha"] is None


@pytest.mark.parametrize("event", KEEPING)
def test_a_name_whose_records_stay_stays_published(state: State, event: str) -> None:
    put(state, place("1.0-0"), record())
    state.mark_published(SUBDIR, {"alpha": PUBLISHED})
    KEEPING[event](state)
    assert state.names(SUBDIR)["alpha"] == PUBLISHED


def test_a_name_is_forgotten_once_its_absence_is_published(state: State) -> None:
    put(state, place("1.0-0"), record())
    put(state, place("1.0-0", "beta"), record("beta"))
    state.mark_published(SUBDIR, {"alpha": PUBLISHED, "beta": PUBLISHED})
    state.forget(place("1.0-0"), 500)
    assert set(state.names(SUBDIR)) == {"alpha", "beta"}
    state.mark_published(SUBDIR, {"alpha": None})
    assert state.names(SUBDIR) == {"beta": PUBLISHED}


def test_a_name_with_held_files_stays_to_be_looked_at(state: State) -> None:
    put(state, place("1.0-0"), record())
    state.mark_published(SUBDIR, {"alpha": None})
    assert state.names(SUBDIR) == {"alpha": None}


def test_every_artifact_has_its_turn_oldest_first(state: State) -> None:
    for number in range(10):
        put(state, place(f"{number}.0-0"), record(version=f"{number}.0"), now=100 - number)
    seen: list[str] = []
    for turn in range(5):
        tags = sorted(state.due(SUBDIR, Fraction(1, 5))["alpha"])
        assert len(tags) == 2
        for tag in tags:
            look(state, place(tag), 200 + turn)
        seen += tags
    assert seen == [f"{number}.0-0" for number in (8, 9, 6, 7, 4, 5, 2, 3, 0, 1)]


@pytest.mark.parametrize(
    ("share", "count"),
    [(Fraction(0), 0), (Fraction(1, 96), 1), (Fraction(1, 3), 4), (Fraction(1), 10)],
)
def test_the_share_is_rounded_up_so_that_few_artifacts_have_their_turn_too(
    state: State, share: Fraction, count: int
) -> None:
    for number in range(10):
        put(state, place(f"{number}.0-0", f"p{number % 3}"), record(f"p{number % 3}", f"{number}"))
    assert sum(len(tags) for tags in state.due(SUBDIR, share).values()) == count


def test_only_what_is_in_the_index_has_its_turn(state: State) -> None:
    put(state, place("1.0-0"), status="waiting")
    put(state, place("2.0-0"), status="unsound")
    put(state, place("3.0-0", subdir="linux-64"), record())
    assert state.due(SUBDIR, Fraction(1)) == {}


def test_since_when_an_artifact_waits_survives_new_manifests(state: State) -> None:
    put(state, place("1.0-0"), status="waiting", now=100)
    put(state, place("1.0-0"), status="waiting", digest="two", now=900)
    (told,) = state.standings.waiting(SUBDIR, 10)
    assert (told.place, told.since) == (place("1.0-0"), 100)
    assert state.standings.counts(SUBDIR) == {"waiting": 1}


def test_faults_and_notes_are_told_in_every_run_until_they_are_mended(state: State) -> None:
    reading = Reading((record(),), (Fault("no md5", "a.conda"),), ("odd",))
    state.put(place("1.0-0"), Digest(sha256("x")), "indexed", reading, 100)
    put(state, place("2.0-0"), record(version="2.0"))
    (told,) = state.standings.told(SUBDIR)
    assert (told.faults, told.notes) == (reading.faults, reading.notes)
    put(state, place("1.0-0"), record(), digest="mended")
    assert list(state.standings.told(SUBDIR)) == []


def test_an_artifact_that_comes_back_need_not_be_read_again(state: State) -> None:
    put(state, place("1.0-0"), record(), digest="marked")
    put(state, place("1.0-0"), digest="unmarked", status="waiting", now=200)
    state.mark_published(SUBDIR, {"alpha": None})
    assert state.digests(place("1.0-0")) == {Digest(sha256("marked")), Digest(sha256("unmarked"))}
    look(state, place("1.0-0"), 300, "marked")
    assert list(state.records(SUBDIR, "alpha", "alpha").values()) == [record()]
    assert state.names(SUBDIR) == {"alpha": None}
    assert state.standings.counts(SUBDIR) == {"indexed": 1}


def test_what_no_tag_points_at_is_kept_for_a_month(state: State) -> None:
    put(state, place("1.0-0"), record(), now=100)
    put(state, place("2.0-0"), record(version="2.0"), now=100)
    state.forget(place("1.0-0"), 200)
    state.sweep(200 + KEPT_FOR)
    assert state.digests(place("1.0-0")) == {Digest(sha256("one"))}
    state.sweep(201 + KEPT_FOR)
    assert state.digests(place("1.0-0")) == set()
    assert state.digests(place("2.0-0")) == {Digest(sha256("one"))}
    assert list(state.records(SUBDIR, "alpha", "alpha").values()) == [record(version="2.0")]


def test_an_artifact_whose_mark_was_taken_back_waits_since_then(state: State) -> None:
    put(state, place("1.0-0"), record(), now=100)
    put(state, place("1.0-0"), status="waiting", digest="two", now=900)
    (told,) = state.standings.waiting(SUBDIR, 10)
    assert told.since == 900


def test_an_artifact_that_came_back_is_kept_however_long_ago_it_left(state: State) -> None:
    put(state, place("1.0-0"), record(), digest="one", now=100)
    put(state, place("1.0-0"), record(content="x"), digest="two", now=200)
    look(state, place("1.0-0"), 300, "one")
    state.sweep(10 * KEPT_FOR)
    assert state.digests(place("1.0-0")) == {Digest(sha256("one"))}
    assert list(state.records(SUBDIR, "alpha", "alpha").values()) == [record()]


def test_when_a_tag_was_looked_at_is_known(state: State) -> None:
    assert state.checked(place("1.0-0")) is None
    put(state, place("1.0-0"), record(), now=100)
    look(state, place("1.0-0"), 300)
    assert state.checked(place("1.0-0")) == 300


def listed_at(state: State, subdir: str = SUBDIR) -> dict[str, tuple[int, str, int, bool]]:
    found = state.listed(subdir)
    return {item.repository: (item.at, item.updated, item.tags, item.unsettled) for item in found}


def test_what_was_listed_is_remembered_with_what_is_known_of_its_tags(state: State) -> None:
    put(state, place("1.0-0"), record())
    put(state, place("2.0-0"), record(version="2.0"), digest="two")
    put(state, place("1.0-0", "beta"), digest="three", status="waiting")
    put(state, place("1.0-0", "beta", "linux-64"), digest="three")
    put(state, place("1.0-0", "gamma"), record("gamma"), digest="four")
    state.note_listed(SUBDIR, [("alpha", 1, "then"), ("beta", 2, "then"), ("empty", 3, "now")])
    state.note_listed(SUBDIR, [("alpha", 4, "now")])
    assert listed_at(state) == {
        "alpha": (4, "now", 2, False),
        "beta": (2, "then", 1, True),
        "empty": (3, "now", 0, False),
    }
    assert listed_at(state, "linux-64") == {}


def test_what_is_in_doubt_was_not_listed(state: State) -> None:
    state.note_listed(SUBDIR, [("alpha", 1, "then"), ("beta", 2, "then")])
    state.note_listed("linux-64", [("alpha", 1, "then")])
    state.doubt(SUBDIR, "alpha")
    assert list(listed_at(state)) == ["beta"]
    assert list(listed_at(state, "linux-64")) == ["alpha"]


def test_what_was_listed_long_ago_is_swept_away(state: State) -> None:
    state.note_listed(SUBDIR, [("alpha", 100, "then"), ("beta", 101, "then")])
    state.sweep(101 + KEPT_FOR)
    assert list(listed_at(state)) == ["beta"]
