"""What is remembered of verdicts, in the state's file: which there are, and what came of each.

A verdict's tag names its content, so one that was read once is never read again, nor is its
signature checked again; unless other keys are trusted, with which everything is forgotten.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from indexer.channel.record import INDEXED, Record, encode
from indexer.rebuild.compact import expand, record_of
from indexer.rebuild.decoding import DamagedStateError, decoding
from indexer.registry.content import Digest
from indexer.trust.judging import Claim, Held
from indexer.trust.storage import VerdictTag
from indexer.trust.verdict import Verdict

_KEYS = "trusted keys"
_VOID = "void"


@dataclass(frozen=True, slots=True)
class Known:
    """A verdict's tag as it is remembered, and what came of it.

    ``later``: it counts some day. ``is_due``: it has to be read again.
    """

    tag: VerdictTag
    result: str
    later: bool
    is_due: bool


@dataclass(frozen=True, slots=True)
class Voided:
    """A verdict that counts for nothing, and why."""

    repository: str
    tag: str
    reason: str


class RememberedVerdicts:
    """The verdicts' tables, for one thread; made by the state."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def begin(self, keys: str) -> None:
        """Forget all that was found with other keys than these, by their fingerprint."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (_KEYS,)).fetchone()
        if row is not None and row[0] == keys:
            return
        for table in ("verdict", "judged", "repository"):
            # What a feed calls unchanged has to be listed once more, for its verdicts.
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608  constants
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEYS, keys))

    def known(self, subdir: str, repository: str, now: datetime) -> list[Known]:
        """The verdicts' tags of a repository, in order. Raises DamagedStateError."""
        # All of it stands in an index: every run asks this of every repository.
        rows = self._db.execute(
            "SELECT tag, result, result = 'PASSED' AND time > ?1,"
            " result = 'void' AND time > 0 AND time <= ?1 FROM verdict"
            " WHERE subdir = ?2 AND repository = ?3 ORDER BY tag",
            (_microseconds(now), subdir, repository),
        )
        with decoding():
            return [
                Known(_tag(packed), result, bool(later), bool(is_due))
                for packed, result, later, is_due in rows
            ]

    def put(
        self,
        subdir: str,
        repository: str,
        tag: VerdictTag,
        found: Held | str,
        until: datetime | None = None,
    ) -> None:
        """Remember what a tag came to: a verdict, or why it is none that counts.

        The latter ``until`` it is to be read again; without it, for good.
        """
        if isinstance(found, str):
            time = _microseconds(until) if until is not None else 0
            result, body = _VOID, orjson.dumps(found)
        else:
            result = "PASSED" if found.verdict.passed else "FAILED"
            time, body = _microseconds(found.verdict.time), orjson.dumps(_fields(found))
        row = (subdir, repository, _packed(tag), result, time, body)
        self.forget(subdir, repository, [tag])
        self._db.execute("INSERT INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _crc(row)))

    def forget(self, subdir: str, repository: str, tags: Iterable[VerdictTag]) -> None:
        """These tags are gone."""
        self._db.executemany(
            "DELETE FROM verdict WHERE subdir = ? AND repository = ? AND tag = ?",
            [(subdir, repository, _packed(tag)) for tag in tags],
        )

    def repositories(self, subdir: str) -> list[str]:
        """Every repository that has verdicts."""
        # From one to the next by the index, as in the state.
        rows = self._db.execute(
            "WITH RECURSIVE found(name) AS (SELECT min(repository) FROM verdict WHERE subdir = ?1"
            " UNION ALL SELECT (SELECT min(repository) FROM verdict WHERE subdir = ?1"
            "  AND repository > name) FROM found WHERE name IS NOT NULL)"
            " SELECT name FROM found WHERE name IS NOT NULL",
            (subdir,),
        )
        return [row[0] for row in rows]

    def forget_repository(self, subdir: str, repository: str) -> None:
        """A repository is gone, and what was said in it."""
        for table in ("verdict", "judged"):
            self._db.execute(
                f"DELETE FROM {table} WHERE subdir = ? AND repository = ?",  # noqa: S608  constants
                (subdir, repository),
            )

    def held(self, subdir: str, repository: str) -> list[Held]:
        """The verdicts of a repository that count. Raises DamagedStateError."""
        return self._held("subdir = ? AND repository = ?", subdir, repository)

    def rejections(self) -> list[Held]:
        """Every verdict that says no. Raises DamagedStateError."""
        # Said twice, so that the index over what isn't PASSED will do.
        return self._held("result = 'FAILED' AND result <> 'PASSED'")

    def void(self, subdir: str) -> Iterator[Voided]:
        """The verdicts that count for nothing, in order. Raises DamagedStateError."""
        rows = self._db.execute(
            "SELECT * FROM verdict WHERE subdir = ? AND result = 'void' AND result <> 'PASSED'"
            " ORDER BY repository, tag",
            (subdir,),
        )
        with decoding():
            for row in rows:
                yield Voided(row[1], str(_tag(row[2])), str(_body(row)))

    def count(self, subdir: str) -> int:
        """How many there are, of whatever worth."""
        count: int = self._db.execute(
            "SELECT COUNT(*) FROM verdict WHERE subdir = ?", (subdir,)
        ).fetchone()[0]
        return count

    def ground(self, subdir: str, repository: str) -> str:
        """On what ground a repository was judged last; empty where it never was."""
        row = self._db.execute(
            "SELECT ground FROM judged WHERE subdir = ? AND repository = ?", (subdir, repository)
        ).fetchone()
        return "" if row is None else str(row[0])

    def note_ground(self, subdir: str, repository: str, ground: str) -> None:
        """Remember that all of a repository was judged, and on what ground."""
        self._db.execute(
            "INSERT OR REPLACE INTO judged VALUES (?, ?, ?)", (subdir, repository, ground)
        )

    def claims(self, subdir: str, repository: str) -> Iterator[tuple[str, Claim]]:
        """What is indexed of a repository, by its tags, as what it claimed to be."""
        rows = self._db.execute(
            "SELECT tag.tag, index_json, artifact, file_name, record.name, sha256, body, crc"
            " FROM tag JOIN record USING (artifact)"
            " WHERE tag.subdir = ? AND tag.repository = ?",
            (subdir, repository),
        )
        with decoding():
            for tag, index_json, *row in rows:
                made_of = Digest(index_json.hex()) if index_json is not None else None
                yield tag, Claim.of_record(record_of(tuple(row)), made_of)

    def claims_of(self, subdir: str, repository: str, record: Record) -> list[Claim]:
        """What a published record was made of, as far as that is remembered."""
        fields = record.fields()
        fields.pop(INDEXED, None)
        rows = self._db.execute(
            "SELECT body, index_json FROM artifact JOIN record ON record.artifact = artifact.id"
            " WHERE subdir = ? AND repository = ? AND file_name = ? AND sha256 = ?",
            (subdir, repository, record.file_name, bytes.fromhex(record.sha256)),
        )
        with decoding():
            return [
                Claim.of_record(record, Digest(index_json.hex()))
                for body, index_json in rows
                if index_json is not None and expand(body) == encode(fields)
            ]

    def _held(self, condition: str, *values: str) -> list[Held]:
        rows = self._db.execute(
            f"SELECT * FROM verdict WHERE {condition} AND result <> 'void'",  # noqa: S608  constants
            values,
        )
        with decoding():
            return [_read(row, _body(row)) for row in rows]


def _fields(held: Held) -> list[Any]:
    """What a row doesn't say by itself. Of a yes nobody asks who gave it, and why."""
    verdict = held.verdict
    time = verdict.time.isoformat()
    fields: list[Any] = [verdict.file_name, verdict.index_json.hex, time, held.key_id]
    fields += [verdict.md5, verdict.size]
    return fields if verdict.passed else [*fields, verdict.verifier, verdict.policy, verdict.reason]


def _read(row: tuple[Any, ...], fields: list[Any]) -> Held:
    file_name, index_json, time, key, md5, size, *rest = fields
    verifier, policy, reason = rest or ("", "", "")
    tag = _tag(row[2])
    verdict = Verdict(
        subdir=row[0],
        file_name=file_name,
        archive=tag.archive,
        index_json=Digest(index_json),
        passed=row[3] == "PASSED",
        time=datetime.fromisoformat(time),
        verifier=verifier,
        policy=policy,
        reason=reason,
        md5=md5,
        size=size,
    )
    return Held(verdict, key, str(tag))


def _packed(tag: VerdictTag) -> bytes:
    """A verdict's tag in half of its length."""
    return bytes.fromhex(tag.archive.hex + tag.envelope)


def _tag(packed: bytes) -> VerdictTag:
    return VerdictTag(Digest(packed[:32].hex()), packed[32:].hex())


def _body(row: tuple[Any, ...]) -> Any:
    """What a row holds; what a disk or an editor did to it would let packages in."""
    if row[-1] != _crc(row[:-1]):
        raise DamagedStateError(f"a verdict of {row[0]}/{row[1]} was altered")
    return orjson.loads(row[5])


def _crc(row: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(row).encode())


def _microseconds(time: datetime) -> int:
    return int((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
