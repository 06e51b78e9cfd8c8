"""What has been read before, in SQLite: a cache, whose loss costs time and nothing else.

Artifacts are kept by the digest of the manifest that they were read from: content under a
digest never changes, so what is remembered is never stale. A tag only points at one of them,
and what it pointed at before is kept for a while, should it come back.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import orjson

from indexer.channel.about import About, remembered
from indexer.channel.artifact import Place, Reading, Status
from indexer.channel.record import Record
from indexer.rebuild.compact import record_of, row_of
from indexer.rebuild.decoding import DamagedStateError, decoding
from indexer.rebuild.standings import Standings
from indexer.rebuild.verdicts import RememberedVerdicts
from indexer.registry.content import Digest

# Seconds for which what nothing needs any more is kept: artifacts without a tag, whole states.
KEPT_FOR = 30 * 86400
_WHOLE = "looked whole at "
# What a tag holds: records by file name, and what is said of the package.
_Content = tuple[Mapping[str, Record], About | None]


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository whose tags were listed and all read.

    ``at`` is when, in seconds since 1970, and ``updated`` what the registry's change feed said of
    it then. ``tags`` are remembered of it; ``unsettled`` says that some of them aren't indexed.
    """

    repository: str
    at: int
    updated: str
    tags: int
    unsettled: bool


class State:
    """The state file, for one thread; made by ``open_state``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.verdicts = RememberedVerdicts(connection)
        self.standings = Standings(connection)
        self._seen: Mapping[tuple[str, str, str], int] = {}

    def recall(self, seen: Mapping[tuple[str, str, str], int]) -> None:
        """When artifacts that aren't indexed were first seen, by where they are, as others know."""
        self._seen = seen

    def commit(self) -> None:
        """Keep what was read so far, whatever happens next."""
        self._db.commit()

    def tags(self, subdir: str, repository: str) -> dict[str, Status]:
        """The tags of a repository that are remembered, and what came of each.

        Raises DamagedStateError where one points at something else than its own artifact.
        """
        rows = self._db.execute(
            "SELECT tag.tag, tag.status, artifact.status, artifact.subdir, artifact.repository,"
            " artifact.tag FROM tag LEFT JOIN artifact ON artifact.id = tag.artifact"
            " WHERE tag.subdir = ? AND tag.repository = ?",
            (subdir, repository),
        )
        found = {}
        with decoding():
            for tag, status, *pointed_at in rows:
                if pointed_at != [status, subdir, repository, tag]:
                    raise DamagedStateError(f"{subdir}/{repository}:{tag} was altered")
                found[tag] = status
        return found

    def checked(self, place: Place) -> int | None:
        """When a tag was looked at last, in seconds since 1970; None where it isn't known."""
        row = self._db.execute(
            "SELECT checked FROM tag WHERE subdir = ? AND repository = ? AND tag = ?",
            _where(place),
        ).fetchone()
        return None if row is None else row[0]

    def digests(self, place: Place, ground: str | None = None) -> set[Digest]:
        """Every manifest that this tag led to; those alone that were judged on this ground."""
        rows = self._db.execute(
            "SELECT digest FROM artifact WHERE subdir = ?1 AND repository = ?2 AND tag = ?3"
            " AND (?4 IS NULL OR ground = ?4)",
            (*_where(place), ground),
        )
        with decoding():
            return {Digest(row[0].hex()) for row in rows}

    def put(
        self,
        place: Place,
        digest: Digest,
        status: Status,
        reading: Reading,
        now: int,
        ground: str = "",
    ) -> None:
        """Remember what a tag led to; names of which it changes anything become unpublished.

        ``ground`` names the verdicts that it was judged by.
        """
        faults = [(fault.reason, fault.file_name) for fault in reading.faults]
        about = reading.about.as_dict()
        columns = (
            bytes.fromhex(digest.hex),
            *_where(place),
            status,
            orjson.dumps(faults) if faults else None,
            orjson.dumps(reading.notes) if reading.notes else None,
            orjson.dumps(about) if about else None,
            ground,
        )
        if not self.digests(place):
            # The one case of a first run: nothing to compare with, and nothing to take back.
            artifact = self._add(columns, reading)
            self._set_tag(place, artifact, status, now)
            self._unpublish(place, {record.name for record in reading.records})
            return
        before = self._content_of(place)
        self._db.execute(
            "DELETE FROM record WHERE artifact IN (SELECT id FROM artifact WHERE digest = ?"
            " AND subdir = ? AND repository = ? AND tag = ?)",
            columns[:4],
        )
        artifact = self._add(columns, reading)
        self._point(place, artifact, status, before, now)

    def _add(self, columns: Sequence[object], reading: Reading) -> int:
        """Store an artifact and its records; gives its id."""
        artifact: int
        (artifact,) = self._db.execute(
            "INSERT INTO artifact (digest, subdir, repository, tag, status, faults, notes, about,"
            " ground) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " status = excluded.status, faults = excluded.faults, notes = excluded.notes,"
            " about = excluded.about, ground = excluded.ground RETURNING id",
            columns,
        ).fetchone()
        # Nobody asks for it where no verdict was asked.
        made_of = reading.index_json if columns[-1] else {}
        self._db.executemany(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)",
            [row_of(artifact, record, made_of) for record in reading.records],
        )
        return artifact

    def look(self, place: Place, digest: Digest, now: int) -> None:
        """Remember that a tag leads (still, or again) to a manifest that is known."""
        artifact, status = self._db.execute(
            "SELECT id, status FROM artifact"
            " WHERE subdir = ? AND repository = ? AND tag = ? AND digest = ?",
            (*_where(place), bytes.fromhex(digest.hex)),
        ).fetchone()
        still = self._db.execute(
            "UPDATE tag SET checked = ?"
            " WHERE subdir = ? AND repository = ? AND tag = ? AND artifact = ?",
            (now, *_where(place), artifact),
        )
        # All that waits is looked at in every run: what stays as it is costs no more than that.
        if not still.rowcount:
            self._point(place, artifact, status, self._content_of(place), now)

    def _point(
        self, place: Place, artifact: int, status: Status, before: _Content, now: int
    ) -> None:
        self._leave(place, now)
        self._db.execute("UPDATE artifact SET left = NULL WHERE id = ?", (artifact,))
        self._set_tag(place, artifact, status, now)
        after = self._content_of(place)
        if before != after:
            changed = [*before[0].values(), *after[0].values()]
            self._unpublish(place, {record.name for record in changed})

    def _set_tag(self, place: Place, artifact: int, status: Status, now: int) -> None:
        # A waiting one that is rejected has been there all the time.
        since = now if status == "indexed" else min(now, self._seen.get(_where(place), now))
        self._db.execute(
            "INSERT INTO tag VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " since = iif((status = 'indexed') = (excluded.status = 'indexed'), since, ?),"
            " artifact = excluded.artifact, status = excluded.status, checked = excluded.checked",
            (*_where(place), artifact, status, since, now, now),
        )

    def _leave(self, place: Place, now: int) -> None:
        self._db.execute(
            "UPDATE artifact SET left = ? WHERE id ="
            " (SELECT artifact FROM tag WHERE subdir = ? AND repository = ? AND tag = ?)",
            (now, *_where(place)),
        )

    def forget(self, place: Place, now: int) -> None:
        """A tag is gone, and with it its records."""
        self._unpublish(place, {record.name for record in self._records_of(place).values()})
        self._leave(place, now)
        self._db.execute(
            "DELETE FROM tag WHERE subdir = ? AND repository = ? AND tag = ?", _where(place)
        )

    def sweep(self, now: int) -> None:
        """Delete the artifacts that no tag has pointed at for a month, and what is as old."""
        old = "SELECT id FROM artifact WHERE left < ?"
        for table, key in (("record", "artifact"), ("artifact", "id")):
            self._db.execute(f"DELETE FROM {table} WHERE {key} IN ({old})", (now - KEPT_FOR,))  # noqa: S608  constants
        self._db.execute("DELETE FROM repository WHERE listed < ?", (now - KEPT_FOR,))

    def looked_whole(self, subdir: str) -> int | None:
        """When a subdir's published files were looked at whole, in seconds since 1970."""
        row = self._db.execute(
            "SELECT value FROM meta WHERE key = ?", (_WHOLE + subdir,)
        ).fetchone()
        return int(row[0]) if row and row[0].isdecimal() else None

    def note_looked_whole(self, subdir: str, now: int) -> None:
        """Remember that they were."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_WHOLE + subdir, str(now)))

    def repositories(self, subdir: str) -> list[str]:
        """Every repository that is remembered, in order."""
        # From one to the next by the index: DISTINCT would go through every tag.
        rows = self._db.execute(
            "WITH RECURSIVE found(name) AS (SELECT min(repository) FROM tag WHERE subdir = ?1"
            " UNION ALL SELECT (SELECT min(repository) FROM tag WHERE subdir = ?1"
            "  AND repository > name) FROM found WHERE name IS NOT NULL)"
            " SELECT name FROM found WHERE name IS NOT NULL",
            (subdir,),
        )
        return [row[0] for row in rows]

    def listed(self, subdir: str) -> Iterator[Listed]:
        """The repositories that were listed and read to the end, as far as a feed told of them.

        Raises DamagedStateError where a tag points at something else than its own artifact.
        """
        rows = self._db.execute(
            "SELECT r.repository, listed, updated, COUNT(tag.tag), SUM(tag.status <> 'indexed'),"
            " SUM((artifact.status, artifact.subdir, artifact.repository, artifact.tag)"
            " IS NOT (tag.status, tag.subdir, tag.repository, tag.tag))"
            " FROM repository r LEFT JOIN tag USING (subdir, repository)"
            " LEFT JOIN artifact ON artifact.id = tag.artifact"
            " WHERE r.subdir = ? GROUP BY r.repository",
            (subdir,),
        )
        with decoding():
            for repository, at, updated, tags, unsettled, altered in rows:
                if altered:
                    raise DamagedStateError(f"a tag of {subdir}/{repository} was altered")
                yield Listed(repository, int(at), str(updated), tags, bool(unsettled))

    def note_listed(self, subdir: str, listed: Iterable[tuple[str, int, str]]) -> None:
        """Remember repositories that were listed and read: their names, when, and the stamps."""
        self._db.executemany(
            "INSERT INTO repository VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " listed = excluded.listed, updated = excluded.updated",
            [(subdir, *item) for item in listed],
        )

    def doubt(self, subdir: str, repository: str) -> None:
        """A repository has to be listed at the next run, whatever a feed says of it."""
        self._db.execute(
            "DELETE FROM repository WHERE subdir = ? AND repository = ?", (subdir, repository)
        )

    def names(self, subdir: str) -> dict[str, str | None]:
        """Every package name, with the shard that holds what is remembered, once published."""
        rows = self._db.execute(
            "SELECT name, published FROM name WHERE subdir = ? ORDER BY name", (subdir,)
        )
        with decoding():
            names = dict(rows)
        if not all(isinstance(name, str) for name in names):
            raise DamagedStateError("the name of a package was altered")
        return names

    def records(self, subdir: str, repository: str, name: str) -> dict[str, Record]:
        """The records of one package, by file name."""
        return self._records("repository = ? AND name = ?", subdir, repository, name)

    def mark_published(self, subdir: str, shards: Mapping[str, str | None]) -> None:
        """Remember in which shard a name's records were published; None forgets it."""
        self._db.executemany(
            "UPDATE name SET published = ? WHERE subdir = ? AND name = ?",
            [(shard, subdir, name) for name, shard in shards.items()],
        )
        self._db.execute(
            "DELETE FROM name WHERE subdir = ? AND published IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM tag JOIN record USING (artifact) WHERE tag.subdir = name.subdir"
            "  AND tag.repository = name.repository AND record.name = name.name)",
            (subdir,),
        )

    def due(self, subdir: str, share: Fraction) -> dict[str, set[str]]:
        """The share of indexed tags that was looked at longest ago, by repository."""
        query = "SELECT COUNT(*) FROM tag WHERE subdir = ? AND status = 'indexed'"
        total: int = self._db.execute(query, (subdir,)).fetchone()[0]
        rows = self._db.execute(
            "SELECT repository, tag FROM tag WHERE subdir = ? AND status = 'indexed'"
            " ORDER BY checked LIMIT ?",
            (subdir, math.ceil(total * share)),
        )
        due: dict[str, set[str]] = {}
        for repository, tag in rows:
            due.setdefault(repository, set()).add(tag)
        return due

    def about(self, place: Place) -> About | None:
        """What a package says of itself; None where no such tag is remembered as indexed."""
        row = self._db.execute(
            "SELECT about FROM tag JOIN artifact ON artifact.id = tag.artifact"
            " WHERE tag.subdir = ? AND tag.repository = ? AND tag.tag = ?"
            " AND tag.status = 'indexed'",
            _where(place),
        ).fetchone()
        if row is None:
            return None
        with decoding():
            return remembered(orjson.loads(row[0] or b"{}"))

    def _content_of(self, place: Place) -> _Content:
        return self._records_of(place), self.about(place)

    def _records_of(self, place: Place) -> dict[str, Record]:
        return self._records("repository = ? AND tag = ?", *_where(place))

    def _records(self, condition: str, *values: str) -> dict[str, Record]:
        rows = self._db.execute(
            "SELECT artifact, file_name, record.name, sha256, body, crc"  # noqa: S608  constants
            " FROM tag JOIN record USING (artifact)"
            f" WHERE subdir = ? AND {condition} ORDER BY file_name",
            values,
        )
        records = {}
        with decoding():
            for row in rows:
                record = record_of(row)
                records[record.file_name] = record
        return records

    def _unpublish(self, place: Place, names: Iterable[str]) -> None:
        self._db.executemany(
            "INSERT INTO name VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET published = NULL",
            [(place.subdir, name, place.repository) for name in names],
        )


def _where(place: Place) -> tuple[str, str, str]:
    return place.subdir, place.repository, place.tag
