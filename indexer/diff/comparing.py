"""Two subdirs' records beside each other: which came, which went, which changed, and in what.

Pure but for its spool: of all records only a hash and a position are held in memory, and what
changed lies in the spool until somebody tells of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from indexer.channel.record import encode
from indexer.diff.fields import Change, changes
from indexer.diff.spool import Spool
from indexer.errors import ContentError

_DIGEST = 16
_POSITION = 8


@dataclass(slots=True)
class SubdirDiff:
    """How one subdir differs: file names, and for each that changed its fields.

    ``old`` and ``new`` are the forms of the index that were compared, by their file names; empty
    where a channel lacks the subdir. ``info`` is what changed in the index's own ``info``.
    """

    subdir: str
    old: str
    new: str
    spool: Spool
    info: Mapping[str, Change] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    _changed: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def is_same(self) -> bool:
        """Whether there is no difference at all."""
        lists = (self.added, self.removed, self._changed, self.info)
        return not any(lists) and bool(self.old) == bool(self.new)

    @property
    def changed_count(self) -> int:
        """How many files are in both, with other fields."""
        return len(self._changed)

    def changed(self) -> Iterator[tuple[str, dict[str, Change]]]:
        """Each file that changed, with its fields, in order of file names."""
        for file_name in sorted(self._changed):
            fields = orjson.loads(self.spool.get(self._changed[file_name]))
            yield file_name, {key: Change(*value) for key, value in fields.items()}

    def compare_few(self, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> None:
        """Add the differences of some spelt records, by file name."""
        self.removed += old.keys() - new.keys()
        self.added += new.keys() - old.keys()
        for file_name in old.keys() & new.keys():
            self._compare(file_name, old[file_name], new[file_name])

    def compare_many(
        self, old: Iterable[tuple[str, bytes]], new: Iterable[tuple[str, bytes]]
    ) -> None:
        """Add the differences of two streams of spelt records, in any order.

        Raises ContentError where one has a file twice: which of the two counts, nobody can say.
        """
        known: dict[str, bytes | None] = {}
        for file_name, body in old:
            if file_name in known:
                raise ContentError(f"The old channel lists {self._place(file_name)} twice.")
            known[file_name] = _digest(body) + self.spool.put(body).to_bytes(_POSITION)
        came: dict[str, None] = {}
        for file_name, body in new:
            before = known.get(file_name)
            if file_name in came or (before is None and file_name in known):
                raise ContentError(f"The new channel lists {self._place(file_name)} twice.")
            if before is None:
                came[file_name] = None
                continue
            known[file_name] = None
            if before[:_DIGEST] != _digest(body):
                was = self.spool.get(int.from_bytes(before[_DIGEST:]))
                self._compare(file_name, was, body)
        self.added += came
        self.removed += (name for name, before in known.items() if before is not None)

    def finish(self) -> None:
        """Put everything in order."""
        self.added.sort()
        self.removed.sort()

    def _compare(self, file_name: str, old: bytes, new: bytes) -> None:
        if old == new:
            return
        if found := changes(old, new):
            fields: dict[str, Any] = {
                key: (value.old, value.new, value.was_absent, value.is_absent)
                for key, value in found.items()
            }
            self._changed[file_name] = self.spool.put(encode(fields))

    def _place(self, file_name: str) -> str:
        return f"{self.subdir}/{file_name[:200]}"


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()
