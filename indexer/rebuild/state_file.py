"""The state's file: opened for one run at a time, set aside where it can't be relied on."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import ConfigError
from indexer.files import locked
from indexer.rebuild.state import SCHEMA, State

_APPLICATION = 0x6366_6978  # "cfix"
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose state this is. ``rules`` changes with the policy and with the indexer's own rules."""

    registry: str
    channel: str
    rules: str


@contextlib.contextmanager
def open_state(
    folder: Path, identity: Identity, *, fresh: bool = False
) -> Iterator[tuple[State, str | None]]:
    """The state in ``folder`` and, where an earlier one was set aside, why.

    Raises ConfigError where another run is using it. ``fresh`` starts from nothing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The state folder {folder} can't be made: {error.strerror}.") from error
    with locked(folder / "lock", f"the state in {folder}"):
        path = folder / "state.sqlite"
        why = "--full was asked for" if fresh else _against(path, identity)
        if why is not None:
            _set_aside(path, None if fresh else identity)
        connection = sqlite3.connect(path)
        try:
            if not path.exists() or not path.stat().st_size:
                _create(connection, identity)
            yield State(connection), None if fresh or why == "" else why
            connection.commit()
        finally:
            connection.close()


@contextlib.contextmanager
def borrow_state(
    folder: Path, identity: Identity, *, fresh: bool = False
) -> Iterator[tuple[State, str | None]]:
    """A copy of the state in ``folder``, for a run that must write nothing."""
    with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
        path = folder / "state.sqlite"
        if not fresh and _against(path, identity) is None:
            with (
                contextlib.closing(sqlite3.connect(path)) as source,
                contextlib.closing(sqlite3.connect(Path(scratch) / path.name)) as target,
            ):
                source.backup(target)
        with open_state(Path(scratch), identity) as (state, _):
            yield state, None


def _set_aside(path: Path, identity: Identity | None) -> None:
    """Put a state file out of the way; take up again the one that was, where it is this run's.

    A run with another policy, or a mistyped channel, then costs no second reading.
    """
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if not path.exists():
        return
    aside = path.with_name(path.name + ".set-aside")
    returning = path.with_name(path.name + ".returning")
    if identity is not None and _against(aside, identity) is None:
        aside.replace(returning)
    path.replace(aside)
    if returning.exists():
        returning.replace(path)


def _against(path: Path, identity: Identity) -> str | None:
    """Why a state file can't be used; an empty string where there is none; None where it can."""
    if not path.exists():
        return ""
    connection = sqlite3.connect(path)
    try:
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            return "it was not made by cf-index"
        if connection.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            return "it has the format of another version"
        stored = dict(connection.execute("SELECT key, value FROM meta"))
        _check_schema(connection)
    except sqlite3.DatabaseError as error:
        return f"it is damaged ({error})"
    finally:
        connection.close()
    for key, value in _meta(identity).items():
        if stored.get(key) != value:
            return f"it was made for another {key} ({stored.get(key)}, not {value})"
    return None


def _schema(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {row[0] for row in rows}


def _check_schema(connection: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(SCHEMA)
        if _schema(connection) != _schema(fresh):
            raise sqlite3.DatabaseError("it has other tables")


def _meta(identity: Identity) -> dict[str, str]:
    return {
        "registry": identity.registry,
        "channel": identity.channel,
        "policy or version": identity.rules,
    }


def _create(connection: sqlite3.Connection, identity: Identity) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_FORMAT}")
    connection.executescript(SCHEMA)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", _meta(identity).items())
    connection.commit()
