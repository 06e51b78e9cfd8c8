"""The channel's last generations: kept as long as they can be restored, and read back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from indexer.errors import ContentError
from indexer.files import names_in
from indexer.published import Folder, read_bytes
from indexer.published.history import read_generations
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import Staged
from indexer.render import generations, history, shards
from indexer.render.generations import Generation, Index
from indexer.render.history import Snapshot, SubdirEntry


def earlier_generations(previous: Previous) -> list[Generation]:
    """Those of the previous site, newest first: what it is itself, and those that it lists.

    Raises ContentError where the list is damaged, ConfigError for a newer site.
    """
    return read_generations(Folder(previous.folder)) if previous.folder is not None else []


def published_now(previous: Previous) -> Generation | None:
    """The previous site as a generation, by its snapshot; None where nobody knows since when."""
    snapshot = previous.snapshot
    if snapshot is None or snapshot.change is None:
        return None
    return _generation(snapshot.change.time, snapshot.subdirs)


def read_index(site: Path, subdir: str, sha256: str) -> dict[str, str]:
    """The shard hashes (hex) by name of a shard index, published now or kept.

    Raises ContentError where there is none to rely on.
    """
    return _unpack(_bytes_of(site, subdir, sha256), subdir)


def keep_generations(
    staged: Staged,
    previous: Previous,
    entries: Mapping[str, SubdirEntry],
    now: datetime,
    *,
    closely: bool,
) -> tuple[bytes, str]:
    """Have the staged tree hold the indexes of all generations that can be restored from it.

    ``entries`` are what is published of the subdirs now. ``closely`` looks for every shard of
    every one; else for those alone that may have gone by their time. Gives the list's bytes, and a
    note where there was a list that can't be read: that costs the earlier generations, and nothing
    else.
    """
    note = ""
    try:
        earlier = earlier_generations(previous)
    except ContentError as error:
        earlier, note = [], f"{error}: of earlier generations none can be restored"
    before = published_now(previous)
    if before is not None and not (earlier and earlier[0].is_like(before)):
        # Made by an earlier version, or the list was lost.
        earlier = generations.begin_generation(before, earlier)
    current = _generation(history.rfc3339(now), entries)
    found = generations.begin_generation(current, earlier)
    indexes = _Indexes(staged, previous, current)
    worth = generations.worth_keeping(found, now)
    stay = 0 if closely or note else generations.surely_there(found, now)
    kept = [item for item in worth if indexes.are_there(item, closely=item not in found[:stay])]
    indexes.settle(kept)
    return generations.encode_generations(kept), note


def _generation(time: str, entries: Mapping[str, SubdirEntry]) -> Generation:
    indexes = {
        subdir: Index(item.sha256, entry.records, entry.names)
        for subdir, entry in sorted(entries.items())
        if (item := entry.files.get(f"{subdir}/{shards.INDEX_NAME}")) is not None
    }
    return Generation(time, indexes)


@dataclass(frozen=True, slots=True)
class _Indexes:
    """The superseded shard indexes of a staged tree, of which ``current`` is what it publishes."""

    staged: Staged
    previous: Previous
    current: Generation
    # Their bytes, None of those that are missing or damaged, by subdir and hash.
    _found: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    # Whether all their shards will be there.
    _whole: dict[tuple[str, str], bool] = field(default_factory=dict)
    # The hashes of all shards that will be there, by subdir.
    _shards: dict[str, frozenset[str]] = field(default_factory=dict)

    def are_there(self, generation: Generation, *, closely: bool) -> bool:
        """Whether a generation's indexes are there and, where that is asked, its shards will be."""
        others = [
            (subdir, index.sha256)
            for subdir, index in generation.indexes.items()
            if not self._is_current(subdir, index.sha256)
        ]
        return all(
            self._find(*key) is not None and (not closely or self._is_whole(*key)) for key in others
        )

    def settle(self, kept: Sequence[Generation]) -> None:
        """Have the tree hold the indexes of these generations, and no others."""
        wanted = {
            generations.path_of(subdir, index.sha256): self._find(subdir, index.sha256)
            for generation in kept
            for subdir, index in generation.indexes.items()
            if not self._is_current(subdir, index.sha256)
        }
        for place in names_in(self.staged.root / history.FOLDER):
            for name in names_in(self.staged.root / history.FOLDER / place):
                path = f"{history.FOLDER}/{place}/{name}"
                if generations.is_kept_index(name) and path not in wanted:
                    self.staged.remove(path)
        for path, data in wanted.items():
            if data is not None:
                self.staged.put(path, data)

    def _is_current(self, subdir: str, sha256: str) -> bool:
        index = self.current.indexes.get(subdir)
        return index is not None and index.sha256 == sha256

    def _find(self, subdir: str, sha256: str) -> bytes | None:
        key, folder = (subdir, sha256), self.previous.folder
        if key not in self._found:
            self._found[key] = None
            with contextlib.suppress(ContentError, OSError):
                self._found[key] = _bytes_of(folder, *key) if folder is not None else None
        return self._found[key]

    def _is_whole(self, subdir: str, sha256: str) -> bool:
        key, data = (subdir, sha256), self._find(subdir, sha256)
        if key not in self._whole:
            self._whole[key] = False
            with contextlib.suppress(ContentError):
                hashes = _unpack(data or b"", subdir).values()
                self._whole[key] = self._there(subdir).issuperset(hashes)
        return self._whole[key]

    def _there(self, subdir: str) -> frozenset[str]:
        if subdir not in self._shards:
            names = names_in(self.staged.root / subdir / shards.FOLDER)
            self._shards[subdir] = frozenset(name.removesuffix(shards.SUFFIX) for name in names)
        return self._shards[subdir]


def _bytes_of(site: Path, subdir: str, sha256: str) -> bytes:
    """A shard index by its hash, from where it is published or from where it is kept."""
    for path in (f"{subdir}/{shards.INDEX_NAME}", generations.path_of(subdir, sha256)):
        data = read_bytes(Folder(site), path, shards.MAX_INDEX)
        if data is not None and hashlib.sha256(data).hexdigest() == sha256:
            return data
    raise ContentError(f"the shard index {sha256} of {subdir} is missing or damaged")


def _unpack(data: bytes, subdir: str) -> dict[str, str]:
    info, hashes = shards.unpack_index(data)
    if (info["subdir"], info["shards_base_url"]) != (subdir, f"{shards.FOLDER}/"):
        raise ContentError(f"the shard index isn't that of {subdir}")
    return hashes


def is_at(snapshot: Snapshot | None, generation: Generation) -> bool:
    """Whether this is what is published now."""
    return snapshot is not None and _generation("", snapshot.subdirs).is_like(generation)
