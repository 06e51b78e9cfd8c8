"""The state's file: what a run finds that was killed, or whose state isn't its own."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from indexer.channel.artifact import Status
from indexer.errors import ConfigError
from indexer.rebuild.decoding import DamagedStateError
from indexer.rebuild.state import State
from indexer.rebuild.state_file import Identity, borrow_state, open_state
from tests.channel.samples import record
from tests.rebuild.test_state import IDENTITY, SUBDIR, place, put

FILE = IDENTITY.file_name


def reopened(folder: Path, identity: Identity = IDENTITY) -> tuple[dict[str, Status], str | None]:
    """What is remembered of alpha by a new run, and why an old state was set aside."""
    with open_state(folder, identity) as (state, why):
        return state.tags(SUBDIR, "alpha"), why


def test_a_new_run_reads_what_the_last_one_left(tmp_path: Path) -> None:
    with open_state(tmp_path, IDENTITY) as (state, why):
        put(state, place("1.0-0"), record())
        assert why is None
    assert reopened(tmp_path) == ({"1.0-0": "indexed"}, None)


def test_an_interrupted_run_leaves_what_it_had_committed(tmp_path: Path) -> None:
    def run() -> None:
        with open_state(tmp_path, IDENTITY) as (state, _):
            put(state, place("1.0-0"), record())
            state.commit()
            put(state, place("2.0-0"), record(version="2.0"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert list(reopened(tmp_path)[0]) == ["1.0-0"]


def fill(folder: Path) -> None:
    with open_state(folder, IDENTITY) as (state, _):
        put(state, place("1.0-0"), record())


def execute(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


ACCIDENTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another program's": (lambda f: execute(f, "PRAGMA application_id = 1"), "cf-index"),
    "an older format": (lambda f: execute(f, "PRAGMA user_version = 0"), "another version"),
    "a newer format": (lambda f: execute(f, "PRAGMA user_version = 99"), "another version"),
    "cut short": (lambda f: (f / FILE).write_bytes((f / FILE).read_bytes()[:5_000]), "damaged"),
    "no database": (lambda f: (f / FILE).write_bytes(b"not a database " * 100), "damaged"),
    "a table less": (lambda f: execute(f, "DROP TABLE meta"), "damaged"),
    "empty": (lambda f: (f / FILE).write_bytes(b""), "cf-index"),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_state_that_cannot_be_relied_on_is_set_aside_with_the_reason(
    tmp_path: Path, accident: str
) -> None:
    fill(tmp_path)
    happen, reason = ACCIDENTS[accident]
    happen(tmp_path)
    left = (tmp_path / FILE).read_bytes()
    tags, why = reopened(tmp_path)
    assert tags == {}
    assert why is not None
    assert reason in why
    assert (tmp_path / f"{FILE}.set-aside").read_bytes() == left
    assert reopened(tmp_path)[1] is None


OTHERS = [
    (Identity("oci://elsewhere.invalid", "forge", "1; none"), "registry"),
    (Identity("oci://ghcr.io/acme", "other", "1; none"), "channel"),
    (Identity("oci://ghcr.io/acme", "forge", "1; annotation a=b"), "policy"),
    (Identity("oci://ghcr.io/acme", "forge", "2; none"), "version"),
]


@pytest.mark.parametrize(("identity", "reason"), OTHERS)
def test_the_state_of_another_channel_or_policy_is_not_believed(
    tmp_path: Path, identity: Identity, reason: str
) -> None:
    fill(tmp_path)
    shutil.copy(tmp_path / FILE, tmp_path / identity.file_name)
    tags, why = reopened(tmp_path, identity)
    assert tags == {}
    assert why is not None
    assert reason in why


@pytest.mark.parametrize("identity", [identity for identity, _ in OTHERS])
def test_a_run_with_another_policy_or_channel_costs_no_second_reading(
    tmp_path: Path, identity: Identity
) -> None:
    fill(tmp_path)
    assert reopened(tmp_path, identity) == ({}, None)
    assert reopened(tmp_path) == ({"1.0-0": "indexed"}, None)


def test_the_states_of_others_are_deleted_when_nobody_used_them_for_a_month(
    tmp_path: Path,
) -> None:
    fill(tmp_path)
    for age, name in ((29, "state-young.sqlite"), (31, "state-old.sqlite"), (31, "notes.txt")):
        (tmp_path / name).write_text("x")
        then = time.time() - age * 86400
        os.utime(tmp_path / name, (then, then))
    os.utime(tmp_path / FILE, (0, 0))
    reopened(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [FILE, "lock", "notes.txt", "state-young.sqlite"]
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tag SET artifact = (SELECT id FROM artifact WHERE repository = 'beta')",
        "UPDATE tag SET artifact = 99",
        "UPDATE tag SET status = 'waiting'",
        "UPDATE artifact SET repository = 'gamma'",
    ],
)
def test_a_tag_that_points_at_anything_else_is_damage(tmp_path: Path, statement: str) -> None:
    with open_state(tmp_path, IDENTITY) as (state, _):
        put(state, place("1.0-0"), record())
        put(state, place("1.0-0", "beta"), record("beta"), digest="two")
    execute(tmp_path, statement)
    with pytest.raises(DamagedStateError):
        reopened(tmp_path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tag SET artifact = (SELECT id FROM artifact WHERE repository = 'beta')",
        "UPDATE tag SET artifact = 99",
        "UPDATE tag SET status = 'waiting'",
        "UPDATE artifact SET repository = 'gamma'",
        "UPDATE repository SET listed = 'soon'",
    ],
)
def test_damage_is_seen_in_a_repository_that_is_not_listed_again(
    tmp_path: Path, statement: str
) -> None:
    with open_state(tmp_path, IDENTITY) as (state, _):
        put(state, place("1.0-0"), record())
        put(state, place("1.0-0", "beta"), record("beta"), digest="two")
        state.note_listed(SUBDIR, [("alpha", 1, "then")])
    execute(tmp_path, statement)
    with open_state(tmp_path, IDENTITY) as (state, _), pytest.raises(DamagedStateError):
        list(state.listed(SUBDIR))


def test_records_that_change_places_are_damage(tmp_path: Path) -> None:
    with open_state(tmp_path, IDENTITY) as (state, _):
        put(state, place("1.0-0"), record())
        put(state, place("1.0-0", "beta"), digest="two")
    execute(tmp_path, "UPDATE record SET artifact = 2")
    with open_state(tmp_path, IDENTITY) as (state, _), pytest.raises(DamagedStateError):
        state.records(SUBDIR, "beta", "alpha")


def test_a_state_that_was_set_aside_on_purpose_is_no_cause_for_alarm(tmp_path: Path) -> None:
    fill(tmp_path)
    with open_state(tmp_path, IDENTITY, fresh=True) as (state, why):
        assert state.tags(SUBDIR, "alpha") == {}
        assert why is None


def test_a_second_run_on_the_same_state_is_told_to_wait(tmp_path: Path) -> None:
    with (
        open_state(tmp_path, IDENTITY) as (state, _),
        pytest.raises(ConfigError, match="Another run"),
        open_state(tmp_path, IDENTITY),
    ):
        pytest.fail("two runs had the same state")
    assert isinstance(state, State)
    assert reopened(tmp_path)[1] is None


def test_a_state_folder_that_cannot_be_made_is_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="file"), open_state(tmp_path / "file", IDENTITY):
        pass


def test_a_borrowed_state_is_read_and_never_written(tmp_path: Path) -> None:
    fill(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with borrow_state(tmp_path, IDENTITY) as (state, _):
        assert list(state.tags(SUBDIR, "alpha")) == ["1.0-0"]
        put(state, place("2.0-0"), record(version="2.0"))
        state.commit()
    assert list(reopened(tmp_path)[0]) == ["1.0-0"]
    with borrow_state(tmp_path, IDENTITY, fresh=True) as (state, _):
        assert state.tags(SUBDIR, "alpha") == {}
    with borrow_state(tmp_path, Identity("x", "y", "z")) as (state, _):
        assert state.tags(SUBDIR, "alpha") == {}
    assert before[FILE] == (tmp_path / FILE).read_bytes()
