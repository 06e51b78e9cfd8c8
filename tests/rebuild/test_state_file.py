"""The state's file: what a run finds that was killed, or whose state isn't its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from indexer.errors import ConfigError
from indexer.rebuild.state import Known, State
from indexer.rebuild.state_file import Identity, borrow_state, open_state
from indexer.registry.content import Digest
from tests.channel.samples import record, sha256
from tests.rebuild.test_state import IDENTITY, SUBDIR, place, put

FILE = "state.sqlite"


def reopened(folder: Path, identity: Identity = IDENTITY) -> tuple[dict[str, Known], str | None]:
    """What is remembered of alpha by a new run, and why an old state was set aside."""
    with open_state(folder, identity) as (state, why):
        return state.tags(SUBDIR, "alpha"), why


def test_a_new_run_reads_what_the_last_one_left(tmp_path: Path) -> None:
    with open_state(tmp_path, IDENTITY) as (state, why):
        put(state, place("1.0-0"), record())
        assert why is None
    assert reopened(tmp_path) == ({"1.0-0": Known(Digest(sha256("one")), "indexed")}, None)


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


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (Identity("oci://elsewhere.invalid", "forge", "1; none"), "registry"),
        (Identity("oci://ghcr.io/acme", "other", "1; none"), "channel"),
        (Identity("oci://ghcr.io/acme", "forge", "1; annotation a=b"), "policy"),
        (Identity("oci://ghcr.io/acme", "forge", "2; none"), "version"),
    ],
)
def test_the_state_of_another_channel_or_policy_is_not_believed(
    tmp_path: Path, identity: Identity, reason: str
) -> None:
    fill(tmp_path)
    tags, why = reopened(tmp_path, identity)
    assert tags == {}
    assert why is not None
    assert reason in why


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


def test_a_run_with_another_policy_costs_no_second_reading(tmp_path: Path) -> None:
    fill(tmp_path)
    other = Identity(IDENTITY.registry, IDENTITY.channel, "1; annotation a=b")
    assert reopened(tmp_path, other)[0] == {}
    tags, why = reopened(tmp_path)
    assert list(tags) == ["1.0-0"]
    assert why is not None
    assert reopened(tmp_path, other)[0] == {}
    assert list(reopened(tmp_path)[0]) == ["1.0-0"]


def test_full_takes_up_no_state_at_all(tmp_path: Path) -> None:
    fill(tmp_path)
    reopened(tmp_path, Identity("x", "y", "z"))
    with open_state(tmp_path, IDENTITY, fresh=True) as (state, _):
        assert state.tags(SUBDIR, "alpha") == {}
