"""What has been read before, in SQLite: a cache, whose loss costs time and nothing else.

An artifact is remembered with the digest of the manifest that its records were read from;
content under a digest never changes, so what is remembered is never stale.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import orjson

from indexer.channel.artifact import Fault, Place, Reading, Status
from indexer.channel.record import Record
from indexer.errors import ConfigError
from indexer.files import locked
from indexer.registry.content import Digest

_APPLICATION = 0x6366_6978  # "cfix"
_FORMAT = 1
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE artifact (
    subdir TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest BLOB NOT NULL,
    status TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    checked INTEGER NOT NULL,
    faults BLOB,
    notes BLOB,
    PRIMARY KEY (subdir, repository, tag)
) WITHOUT ROWID;
CREATE INDEX artifact_checked ON artifact (subdir, status, checked);
CREATE INDEX artifact_told ON artifact (subdir) WHERE faults IS NOT NULL OR notes IS NOT NULL;
CREATE TABLE record (
    subdir TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    file_name TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (subdir, repository, tag, file_name)
) WITHOUT ROWID;
CREATE TABLE name (
    subdir TEXT NOT NULL,
    name TEXT NOT NULL,
    repository TEXT NOT NULL,
    published TEXT,
    PRIMARY KEY (subdir, name)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose state this is. ``rules`` changes with the policy and with the indexer's own rules."""

    registry: str
    channel: str
    rules: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a tag: the manifest it led to, and what came of it."""

    digest: Digest
    status: Status


@dataclass(frozen=True, slots=True)
class Told:
    """A remembered artifact with something to say in the report; times in seconds since 1970."""

    place: Place
    first_seen: int
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


class State:
    """The state file, for one thread; made by ``open_state``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def commit(self) -> None:
        """Keep what was read so far, whatever happens next."""
        self._db.commit()

    def tags(self, subdir: str, repository: str) -> dict[str, Known]:
        """The tags of a repository that are remembered."""
        rows = self._db.execute(
            "SELECT tag, digest, status FROM artifact WHERE subdir = ? AND repository = ?",
            (subdir, repository),
        )
        return {tag: Known(Digest(digest.hex()), status) for tag, digest, status in rows}

    def put(self, place: Place, digest: Digest, status: Status, reading: Reading, now: int) -> None:
        """Remember what a tag led to; names whose records it changes become unpublished."""
        where = (place.subdir, place.repository, place.tag)
        before = self._records_of(place)
        after = {record.file_name: record for record in reading.records}
        if before != after:
            self._db.execute(
                "DELETE FROM record WHERE subdir = ? AND repository = ? AND tag = ?", where
            )
            self._db.executemany(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(*where, r.file_name, r.name, r.sha256, r.body) for r in after.values()],
            )
            changed = [*before.values(), *after.values()]
            self._unpublish(place, {record.name for record in changed})
        faults = [(fault.reason, fault.file_name) for fault in reading.faults]
        self._db.execute(
            "INSERT INTO artifact VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET digest = excluded.digest, status = excluded.status,"
            " checked = excluded.checked, faults = excluded.faults, notes = excluded.notes",
            (
                *where,
                bytes.fromhex(digest.hex),
                status,
                now,
                now,
                orjson.dumps(faults) if faults else None,
                orjson.dumps(reading.notes) if reading.notes else None,
            ),
        )

    def touch(self, place: Place, now: int) -> None:
        """Remember that a tag still leads where it led."""
        self._db.execute(
            "UPDATE artifact SET checked = ? WHERE subdir = ? AND repository = ? AND tag = ?",
            (now, place.subdir, place.repository, place.tag),
        )

    def forget(self, place: Place) -> None:
        """A tag is gone, and with it its records."""
        where = (place.subdir, place.repository, place.tag)
        self._unpublish(place, {record.name for record in self._records_of(place).values()})
        for table in ("record", "artifact"):
            self._db.execute(
                f"DELETE FROM {table} WHERE subdir = ? AND repository = ? AND tag = ?",  # noqa: S608  a constant
                where,
            )

    def repositories(self, subdir: str) -> list[str]:
        """Every repository that is remembered, in order."""
        rows = self._db.execute(
            "SELECT DISTINCT repository FROM artifact WHERE subdir = ? ORDER BY 1", (subdir,)
        )
        return [row[0] for row in rows]

    def has_published(self) -> bool:
        """Whether anything was published from this state."""
        query = "SELECT 1 FROM name WHERE published IS NOT NULL LIMIT 1"
        return self._db.execute(query).fetchone() is not None

    def names(self, subdir: str) -> dict[str, str | None]:
        """Every package name, with the shard that holds what is remembered, once published."""
        rows = self._db.execute(
            "SELECT name, published FROM name WHERE subdir = ? ORDER BY name", (subdir,)
        )
        return dict(rows)

    def records(self, subdir: str, repository: str, name: str) -> dict[str, Record]:
        """The records of one package, by file name."""
        rows = self._db.execute(
            "SELECT file_name, name, sha256, body FROM record"
            " WHERE subdir = ? AND repository = ? AND name = ? ORDER BY file_name",
            (subdir, repository, name),
        )
        return {row[0]: Record(*row) for row in rows}

    def mark_published(self, subdir: str, shards: Mapping[str, str | None]) -> None:
        """Remember in which shard a name's records were published; None forgets it."""
        self._db.executemany(
            "UPDATE name SET published = ? WHERE subdir = ? AND name = ?",
            [(shard, subdir, name) for name, shard in shards.items()],
        )
        self._db.execute(
            "DELETE FROM name WHERE subdir = ? AND published IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM record WHERE record.subdir = name.subdir"
            "  AND record.repository = name.repository AND record.name = name.name)",
            (subdir,),
        )

    def due(self, subdir: str, share: Fraction) -> dict[str, set[str]]:
        """The share of indexed tags that was looked at longest ago, by repository."""
        query = "SELECT COUNT(*) FROM artifact WHERE subdir = ? AND status = 'indexed'"
        total: int = self._db.execute(query, (subdir,)).fetchone()[0]
        rows = self._db.execute(
            "SELECT repository, tag FROM artifact WHERE subdir = ? AND status = 'indexed'"
            " ORDER BY checked LIMIT ?",
            (subdir, math.ceil(total * share)),
        )
        due: dict[str, set[str]] = {}
        for repository, tag in rows:
            due.setdefault(repository, set()).add(tag)
        return due

    def counts(self, subdir: str) -> dict[str, int]:
        """How many artifacts there are of each status."""
        rows = self._db.execute(
            "SELECT status, COUNT(*) FROM artifact WHERE subdir = ? GROUP BY status", (subdir,)
        )
        return dict(rows)

    def told(self, subdir: str) -> Iterator[Told]:
        """Artifacts with faults or notes, in order."""
        return self._told(subdir, "(faults IS NOT NULL OR notes IS NOT NULL)")

    def waiting(self, subdir: str, limit: int) -> Iterator[Told]:
        """The first artifacts that nobody has validated yet, the longest waiting first."""
        return self._told(
            subdir, "status = 'waiting'", f"first_seen, repository, tag LIMIT {limit}"
        )

    def _told(self, subdir: str, condition: str, order: str = "repository, tag") -> Iterator[Told]:
        rows = self._db.execute(
            "SELECT repository, tag, first_seen, faults, notes FROM artifact"  # noqa: S608  constants
            f" WHERE subdir = ? AND {condition} ORDER BY {order}",
            (subdir,),
        )
        for repository, tag, first_seen, faults, notes in rows:
            yield Told(
                Place(subdir, repository, tag),
                first_seen,
                tuple(Fault(*item) for item in orjson.loads(faults or b"[]")),
                tuple(orjson.loads(notes or b"[]")),
            )

    def _records_of(self, place: Place) -> dict[str, Record]:
        rows = self._db.execute(
            "SELECT file_name, name, sha256, body FROM record"
            " WHERE subdir = ? AND repository = ? AND tag = ?",
            (place.subdir, place.repository, place.tag),
        )
        return {row[0]: Record(*row) for row in rows}

    def _unpublish(self, place: Place, names: Iterable[str]) -> None:
        self._db.executemany(
            "INSERT INTO name VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET published = NULL",
            [(place.subdir, name, place.repository) for name in names],
        )


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


def _set_aside(path: Path) -> None:
    """Move a state file out of the way, over the one that was set aside before it."""
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if path.exists():
        path.replace(path.with_name(path.name + ".set-aside"))


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
    except sqlite3.DatabaseError as error:
        return f"it is damaged ({error})"
    finally:
        connection.close()
    for key, value in _meta(identity).items():
        if stored.get(key) != value:
            return f"it was made for another {key} ({stored.get(key)}, not {value})"
    return None


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
