"""How the artifacts stand that are remembered, for who reports of them: counts, and who waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from indexer.channel.artifact import Fault, Place, Status
from indexer.channel.record import LAST_SECOND
from indexer.rebuild.decoding import decoding


@dataclass(frozen=True, slots=True)
class Told:
    """A remembered artifact with something to say in the report.

    ``since`` is when it came to be in the index, or not to be, in seconds since 1970.
    """

    place: Place
    status: Status
    since: int
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


class Standings:
    """What a state's tables say of that; changes nothing in them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def counts(self, subdir: str) -> dict[str, int]:
        """How many artifacts there are of each status."""
        rows = self._db.execute(
            "SELECT status, COUNT(*) FROM tag WHERE subdir = ? GROUP BY status", (subdir,)
        )
        return dict(rows)

    def told(self, subdir: str) -> Iterator[Told]:
        """Artifacts with faults or notes, in order."""
        return self._told(
            "artifact INDEXED BY artifact_told JOIN tag",
            subdir,
            "(faults IS NOT NULL OR notes IS NOT NULL)",
            "repository, tag",
        )

    def waiting(self, subdir: str, limit: int) -> Iterator[Told]:
        """The first artifacts that nobody has validated yet, the longest waiting first."""
        order = f"since, repository, tag LIMIT {limit}"
        return self._told(
            "tag INDEXED BY tag_checked JOIN artifact", subdir, "tag.status = 'waiting'", order
        )

    def unsettled(self) -> dict[tuple[str, str, str], int]:
        """Since when each artifact isn't in the index, in seconds since 1970, by where it is."""
        rows = self._db.execute(
            "SELECT subdir, repository, tag, since FROM tag WHERE status <> 'indexed'"
        )
        return {(subdir, repository, tag): since for subdir, repository, tag, since in rows}

    def _told(self, tables: str, subdir: str, condition: str, order: str) -> Iterator[Told]:
        # The indexes are named, because SQLite would rather go through all artifacts.
        rows = self._db.execute(
            f"SELECT tag.repository, tag.tag, tag.status, since, faults, notes FROM {tables}"  # noqa: S608  constants
            " USING (subdir, repository, tag)"
            f" WHERE subdir = ? AND tag.artifact = artifact.id AND {condition} ORDER BY {order}",
            (subdir,),
        )
        with decoding():
            for repository, tag, status, since, faults, notes in rows:
                if not 0 <= since <= LAST_SECOND:
                    raise ValueError("a time that was altered")
                yield Told(
                    Place(subdir, repository, tag),
                    status,
                    int(since),
                    tuple(Fault(*item) for item in orjson.loads(faults or b"[]")),
                    tuple(map(str, orjson.loads(notes or b"[]"))),
                )
