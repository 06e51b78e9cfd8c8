"""Records on their way from plan to files, on disk and in order of file names.

So that memory doesn't grow with the channel: a first run of 600,000 records plans as many.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from indexer.channel.plan import Change, Kind
from indexer.channel.record import Record, section_of


class Spool:
    """The changes of one subdir, in a private temporary database that ends with this object."""

    def __init__(self) -> None:
        # An empty name: a file that SQLite makes when its cache is full, and deletes itself.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("BEGIN")
        self._db.execute(
            "CREATE TABLE change (section TEXT, file_name TEXT, kind TEXT, name TEXT,"
            " sha256 TEXT, body BLOB, built INTEGER,"
            " PRIMARY KEY (section, file_name)) WITHOUT ROWID"
        )
        self._db.execute("CREATE TABLE shard (digest TEXT PRIMARY KEY, data BLOB)")

    def close(self) -> None:
        """Give the disk space back."""
        self._db.close()

    def add(self, name: str, changes: Iterable[tuple[Change, int]]) -> None:
        """Put the changes of a name's files in their places, each with its build time.

        A removed file has no record.
        """
        self._db.executemany(
            "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    section_of(change.file_name),
                    change.file_name,
                    change.kind,
                    name,
                    change.record.sha256 if change.record else None,
                    change.record.body if change.record else None,
                    built,
                )
                for change, built in changes
            ),
        )

    def add_shard(self, digest: str, data: bytes) -> None:
        """Keep a new shard's bytes until they are written."""
        self._db.execute("INSERT OR IGNORE INTO shard VALUES (?, ?)", (digest, data))

    def shards(self) -> Iterator[tuple[str, bytes]]:
        """The new shards: sha256 (hex) and bytes."""
        return iter(self._db.execute("SELECT digest, data FROM shard ORDER BY digest"))

    def section(self, section: str) -> Iterator[tuple[str, bytes | None]]:
        """File names and new bodies of one section of repodata.json; None takes a file out."""
        return iter(
            self._db.execute(
                "SELECT file_name, body FROM change WHERE section = ? ORDER BY file_name",
                (section,),
            )
        )

    def changes(self, limit: int, *, first: Kind) -> Iterator[tuple[str, Change]]:
        """Up to ``limit`` files that come, go or change, with their package's name.

        Those of the kind ``first`` come first, and of each kind the newest builds.
        """
        rows = self._db.execute(
            "SELECT kind, file_name, name, sha256, body FROM change WHERE kind != 'kept'"
            " ORDER BY kind != ?, kind DESC, built DESC, file_name LIMIT ?",
            (first, limit),
        )
        for kind, file_name, name, sha256, body in rows:
            record = None if body is None else Record(file_name, name, sha256, body)
            yield name, Change(kind, file_name, record)


class RecordStore:
    """The records of one subdir by package name, on disk, for when its shards can't say."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("BEGIN")
        self._db.execute(
            "CREATE TABLE record (name TEXT, file_name TEXT, sha256 TEXT, body BLOB,"
            " PRIMARY KEY (name, file_name)) WITHOUT ROWID"
        )

    def add(self, record: Record) -> None:
        """Keep a record."""
        self._db.execute(
            "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)",
            (record.name, record.file_name, record.sha256, record.body),
        )

    def names(self) -> list[str]:
        """Every name, in order."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT name FROM record ORDER BY 1")]

    def records(self, name: str) -> dict[str, Record]:
        """One name's records, by file name."""
        rows = self._db.execute(
            "SELECT file_name, name, sha256, body FROM record WHERE name = ? ORDER BY 1", (name,)
        )
        return {row[0]: Record(*row) for row in rows}
