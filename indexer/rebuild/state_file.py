"""The state's file: opened for one run at a time, set aside where it can't be relied on."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import ConfigError
from indexer.files import locked
from indexer.rebuild.state import KEPT_FOR, State

_APPLICATION = 0x6366_6978  # "cfix"
_FORMAT = 5

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE artifact (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    subdir TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    status TEXT NOT NULL,
    faults BLOB,
    notes BLOB,
    left INTEGER,
    ground TEXT NOT NULL,
    about BLOB,
    UNIQUE (subdir, repository, tag, digest)
);
CREATE INDEX artifact_left ON artifact (left) WHERE left IS NOT NULL;
CREATE INDEX artifact_told ON artifact (subdir) WHERE faults IS NOT NULL OR notes IS NOT NULL;
CREATE TABLE tag (
    subdir TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    artifact INTEGER NOT NULL,
    status TEXT NOT NULL,
    since INTEGER NOT NULL,
    checked INTEGER NOT NULL,
    PRIMARY KEY (subdir, repository, tag)
) WITHOUT ROWID;
CREATE INDEX tag_checked ON tag (subdir, status, checked);
CREATE TABLE repository (
    subdir TEXT NOT NULL,
    repository TEXT NOT NULL,
    listed INTEGER NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (subdir, repository)
) WITHOUT ROWID;
CREATE TABLE record (
    artifact INTEGER NOT NULL,
    file_name TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL,
    index_json BLOB,
    PRIMARY KEY (artifact, file_name)
) WITHOUT ROWID;
CREATE TABLE name (
    subdir TEXT NOT NULL,
    name TEXT NOT NULL,
    repository TEXT NOT NULL,
    published TEXT,
    PRIMARY KEY (subdir, name)
) WITHOUT ROWID;
CREATE TABLE verdict (
    subdir TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag BLOB NOT NULL,
    result TEXT NOT NULL,
    time INTEGER NOT NULL,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL
);
CREATE INDEX verdict_tag ON verdict (subdir, repository, tag, result, time);
CREATE INDEX verdict_told ON verdict (subdir, result) WHERE result <> 'PASSED';
CREATE TABLE judged (
    subdir TEXT NOT NULL,
    repository TEXT NOT NULL,
    ground TEXT NOT NULL,
    PRIMARY KEY (subdir, repository)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose state this is. ``rules`` changes with the policy and with the indexer's own rules.

    Each has a file of its own: a run with another policy costs no second reading.
    """

    registry: str
    channel: str
    rules: str

    @property
    def file_name(self) -> str:
        """The name of its file in the state's folder."""
        text = repr((self.registry, self.channel, self.rules))
        return f"state-{hashlib.sha256(text.encode()).hexdigest()[:12]}.sqlite"


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
        path = folder / identity.file_name
        _delete_old(folder, path)
        why = "--full was asked for" if fresh else _against(path, identity)
        if why is not None:
            _set_aside(path)
        connection = sqlite3.connect(path)
        try:
            if why is not None:
                _create(connection, identity)
            yield State(connection), None if fresh or why == "" else why
            connection.commit()
        finally:
            connection.close()


@contextlib.contextmanager
def told_of_databases(folder: Path) -> Iterator[None]:
    """Tell of a database that can't be used, such as on a full disk, as what it is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise unusable(folder, error) from error


def unusable(folder: Path, error: sqlite3.DatabaseError) -> ConfigError:
    """The error for a database that isn't damaged and can't be used all the same."""
    return ConfigError(f"The state in {folder}, or a temporary file, can't be used: {error}.")


@contextlib.contextmanager
def borrow_state(
    folder: Path, identity: Identity, *, fresh: bool = False
) -> Iterator[tuple[State, str | None]]:
    """A copy of the state in ``folder``, for a run that must write nothing."""
    with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
        path = folder / identity.file_name
        if not fresh and _against(path, identity) is None:
            with (
                contextlib.closing(sqlite3.connect(path)) as source,
                contextlib.closing(sqlite3.connect(Path(scratch) / path.name)) as target,
            ):
                source.backup(target)
        with open_state(Path(scratch), identity) as (state, _):
            yield state, None


def _set_aside(path: Path) -> None:
    """Move a state file out of the way, over the one that was set aside before it."""
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if path.exists():
        path.replace(path.with_name(path.name + ".set-aside"))


def _delete_old(folder: Path, current: Path) -> None:
    """Delete the states of other channels and policies that nobody used for a month."""
    for path in folder.glob("state-*.sqlite*"):
        if not path.name.startswith(current.name):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - KEPT_FOR:
                    path.unlink()


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
        fresh.executescript(_SCHEMA)
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
    connection.executescript(_SCHEMA)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", _meta(identity).items())
    connection.commit()
