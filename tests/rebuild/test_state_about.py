"""What packages say of themselves, as it is remembered: never another's, never out of date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from indexer.channel.about import NOTHING_KNOWN, About
from indexer.channel.artifact import Reading, Status
from indexer.rebuild.decoding import DamagedStateError
from indexer.rebuild.state import State
from indexer.rebuild.state_file import open_state
from indexer.registry.content import Digest
from tests.channel.samples import record, sha256
from tests.rebuild.test_state import IDENTITY, SUBDIR, look, place

WHERE = place("1.0-0")
ONE, OTHER = About(summary="one"), About("other", home="https://example.org")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state", IDENTITY) as (opened, _):
        yield opened


def put(
    known: State, about: About, digest: str = "one", status: Status = "indexed", ground: str = ""
) -> None:
    records = (record(),) if status == "indexed" else ()
    reading = Reading(records, about=about)
    known.put(WHERE, Digest(sha256(digest)), status, reading, 100, ground)


def publish(known: State) -> None:
    known.mark_published(SUBDIR, {"alpha": "shard"})
    assert known.names(SUBDIR) == {"alpha": "shard"}


def test_what_a_package_says_is_remembered(state: State) -> None:
    put(state, OTHER)
    assert state.about(WHERE) == OTHER


def test_a_package_that_says_nothing_is_not_one_that_is_unknown(state: State) -> None:
    put(state, NOTHING_KNOWN)
    assert state.about(WHERE) == NOTHING_KNOWN
    assert state.about(place("2.0-0")) is None
    assert state.about(place("1.0-0", "beta")) is None
    assert state.about(place("1.0-0", subdir="linux-64")) is None


@pytest.mark.parametrize("status", ["waiting", "rejected", "unsound"])
def test_what_is_not_let_in_says_nothing(state: State, status: Status) -> None:
    put(state, ONE, status=status)
    assert state.about(WHERE) is None


def test_other_words_alone_make_a_name_be_looked_at(state: State) -> None:
    put(state, ONE)
    publish(state)
    put(state, OTHER, "two")
    assert state.names(SUBDIR) == {"alpha": None}
    assert state.about(WHERE) == OTHER


def test_words_that_come_back_make_a_name_be_looked_at(state: State) -> None:
    put(state, ONE)
    put(state, OTHER, "two")
    publish(state)
    look(state, WHERE, 200, "one")
    assert state.names(SUBDIR) == {"alpha": None}
    assert state.about(WHERE) == ONE


def test_the_same_words_under_another_manifest_cost_nothing(state: State) -> None:
    put(state, ONE)
    publish(state)
    put(state, ONE, "two")
    look(state, WHERE, 300, "two")
    assert state.names(SUBDIR) == {"alpha": "shard"}


def test_what_is_judged_anew_is_read_anew(state: State) -> None:
    put(state, ONE, ground="a")
    put(state, OTHER, ground="b")
    assert state.about(WHERE) == OTHER


@pytest.mark.parametrize("value", ["{", "[]", '{"summary": 1}', '{"x": "y"}', '{"home": "data:,"}'])
def test_words_that_were_altered_are_damage(tmp_path: Path, value: str) -> None:
    with open_state(tmp_path, IDENTITY) as (known, _):
        put(known, ONE)
    with closing(sqlite3.connect(next(tmp_path.glob("*.sqlite")))) as connection:
        connection.execute("UPDATE artifact SET about = ?", (value,))
        connection.commit()
    with open_state(tmp_path, IDENTITY) as (known, _), pytest.raises(DamagedStateError):
        known.about(WHERE)


def test_a_state_of_before_is_set_aside(tmp_path: Path) -> None:
    with open_state(tmp_path, IDENTITY) as (known, _):
        put(known, ONE)
    with closing(sqlite3.connect(next(tmp_path.glob("*.sqlite")))) as connection:
        connection.execute("PRAGMA user_version = 4")
        connection.commit()
    with open_state(tmp_path, IDENTITY) as (known, why):
        assert why == "it has the format of another version"
        assert known.about(WHERE) is None
