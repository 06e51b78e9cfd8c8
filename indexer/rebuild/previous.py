"""The site as it was published last: what this run starts from and is compared with."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from indexer.channel.record import Record
from indexer.errors import ContentError
from indexer.files import has_sha256, names_in, sha256_of, size_of, sizes_in
from indexer.published import Folder, is_path, read_bytes
from indexer.rebuild.publish import UNFINISHED
from indexer.rebuild.spool import RecordStore
from indexer.render import history, package_files, repodata, shards, summary
from indexer.render.detail import detail_of
from indexer.render.status import Outside, decode_outside


@dataclass(frozen=True, slots=True)
class PreviousSubdir:
    """One subdir of the previous site.

    ``shards`` are empty where the shard index can't be trusted; ``entry`` is None where the
    snapshot can't. ``exists`` says that something of it is there, sound or not; ``foreign``
    that nothing of it is believed unread.
    """

    folder: Path
    subdir: str
    shards: Mapping[str, str] = field(default_factory=dict)
    entry: history.SubdirEntry | None = None
    exists: bool = False
    foreign: bool = False
    # What was found in its folder, once looked for.
    _sizes: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    # What was read of them, once asked.
    _summaries: list[Mapping[str, summary.NameSummary]] = field(
        default_factory=list, compare=False, repr=False
    )

    def is_whole(self) -> bool:
        """Whether its files are those that its snapshot lists, so that they can be built upon."""
        return self.entry is not None and all(map(self._has, self.entry.files))

    def looks_whole(self) -> bool:
        """The same by sizes alone, where that will do: cheap enough for every run."""
        if self.foreign:
            return self.is_whole()
        return self.entry is not None and _have_sizes(self.folder, self.entry.files)

    def can_be_linked(self) -> bool:
        """Whether a run that doesn't read it may carry it along, and tell of its packages."""
        return self.looks_whole() and self.has_summaries() and not self.unsound_shards()

    def unsound_shards(self, closely: Collection[str] = ()) -> set[str]:
        """Names whose shard is missing or isn't what the index says.

        The latter shows of those that are looked at ``closely``; of all where it is nobody's own
        site, or where their sizes don't add up.
        """
        sizes = self.shard_sizes()
        total = sum(sizes.get(digest, 0) for digest in self.shards.values())
        odd = self.entry is not None and total != self.entry.shard_bytes
        closely = self.shards if self.foreign or odd else closely
        folder = self.folder / self.subdir / shards.FOLDER
        return {
            name
            for name, digest in self.shards.items()
            if digest not in sizes
            or (name in closely and sha256_of(folder / f"{digest}{shards.SUFFIX}") != digest)
        }

    def shard_sizes(self) -> dict[str, int]:
        """The sizes of its shards' files in bytes, by the hashes (hex) that they are called by.

        Whether anybody still knows them or not.
        """
        if self.exists and not self._sizes:
            found = sizes_in(self.folder / self.subdir / shards.FOLDER)
            self._sizes.update(
                (name.removesuffix(shards.SUFFIX), size)
                for name, size in found.items()
                if name.endswith(shards.SUFFIX)
            )
        return self._sizes

    def has_summaries(self) -> bool:
        """Whether the file of the names' summaries is what was written."""
        return self._has(self._names_file)

    def summaries(self) -> Mapping[str, summary.NameSummary]:
        """The names' summaries, read once. Raises ContentError where they aren't sound."""
        if not self._summaries:
            self._summaries.append(self._read_summaries())
        return self._summaries[0]

    def _read_summaries(self) -> Mapping[str, summary.NameSummary]:
        name = self._names_file
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise ContentError(f"{name} can't be read: {error.strerror}") from error
        if self.entry is not None:
            _check(name, data, self.entry.files)
        return summary.decode_summaries(data)

    @property
    def _names_file(self) -> str:
        return f"{history.FOLDER}/{self.subdir}/{summary.FILE_NAME}"

    @property
    def repodata(self) -> Path:
        """Its repodata.json."""
        return self.folder / self.subdir / repodata.FILE_NAME

    def _has(self, name: str) -> bool:
        listed = self.entry.files.get(name) if self.entry is not None else None
        return listed is not None and has_sha256(self.folder / name, listed.sha256)

    def shard(self, name: str) -> tuple[bytes, dict[str, Record]] | None:
        """A name's shard, decompressed, and its records; None where there is none to rely on."""
        digest = self.shards.get(name)
        if digest is None:
            return None
        channel = Folder(self.folder / self.subdir / shards.FOLDER)
        try:
            data = read_bytes(channel, f"{digest}{shards.SUFFIX}", shards.MAX_SHARD)
            if data is None:
                return None
            packed = shards.open_shard(data, digest)
            return packed, shards.unpack_shard(packed)
        except ContentError:
            return None

    def names(self) -> set[str]:
        """Every name that was published, as far as it can be known."""
        return PublishedRecords(self).names()

    def load_store(self) -> RecordStore | None:
        """All records from repodata.json; None where that can't be relied on either."""
        name = f"{self.subdir}/{repodata.FILE_NAME}"
        if not self.repodata.is_file() or (self.entry is not None and not self._has(name)):
            return None
        store = RecordStore()
        try:
            with self.repodata.open("rb") as file:
                lines = repodata.Lines(file)
                for section in repodata.SECTIONS:
                    for file_name, body in lines.section(section):
                        store.add(Record.make(file_name, orjson.loads(body)))
                lines.rest()
        except (ContentError, KeyError, TypeError, orjson.JSONDecodeError):
            return None
        return store


class PublishedRecords:
    """A subdir's records as they were published: from its shards, else from repodata.json."""

    def __init__(self, previous: PreviousSubdir) -> None:
        self._previous = previous
        self._store: RecordStore | None = None
        self._asked = False
        self._names: set[str] | None = None

    def names(self) -> set[str]:
        """Every name that was published, as far as it can be known."""
        if self._names is None:
            self._names = set(self._previous.shards)
            if not self._names and self._previous.exists and (store := self._fallback()):
                self._names = set(store.names())
        return self._names

    def of(self, name: str) -> tuple[bytes, dict[str, Record]]:
        """A name's shard before compression (empty where there is none) and its records."""
        found = self._previous.shard(name)
        if found is not None:
            return found
        store = self._fallback() if self._previous.exists else None
        return b"", store.records(name) if store else {}

    def is_lost(self) -> bool:
        """Whether there was something, and neither form can tell what."""
        previous = self._previous
        was_empty = previous.entry is not None and previous.entry.records == 0
        return (
            previous.exists and not was_empty and not previous.shards and self._fallback() is None
        )

    def _fallback(self) -> RecordStore | None:
        if not self._asked:
            self._asked, self._store = True, self._previous.load_store()
        return self._store


@dataclass(frozen=True, slots=True)
class Previous:
    """The previous site, in a folder; empty (``folder`` is None) in a first run.

    ``foreign``: it isn't what this program swapped in itself, so its files' sizes say nothing.
    """

    folder: Path | None = None
    snapshot: history.Snapshot | None = None
    notes: tuple[str, ...] = ()
    foreign: bool = False
    _known: dict[str, PreviousSubdir] = field(default_factory=dict, compare=False, repr=False)

    def subdirs(self) -> list[str]:
        """The subdirs it has; by its folders where the snapshot can't be read."""
        if self.snapshot is not None:
            return sorted(self.snapshot.subdirs)
        if self.folder is None:
            return []
        files = (*self.folder.glob("*/repodata.json"), *self.folder.glob(f"*/{shards.INDEX_NAME}"))
        return sorted({path.parent.name for path in files if is_path(path.parent.name)})

    def subdir(self, subdir: str) -> PreviousSubdir:
        """What it has of one subdir, which may be nothing."""
        if subdir not in self._known:
            self._known[subdir] = self._read_subdir(subdir)
        return self._known[subdir]

    def _read_subdir(self, subdir: str) -> PreviousSubdir:
        if self.folder is None:
            return PreviousSubdir(Path(), subdir)
        entry = self.snapshot.subdirs.get(subdir) if self.snapshot else None
        path = self.folder / subdir / shards.INDEX_NAME
        exists = entry is not None or path.exists() or (path.parent / "repodata.json").exists()
        hashes: dict[str, str] = {}
        with contextlib.suppress(ContentError, OSError):
            data = path.read_bytes()
            expected = entry.files.get(f"{subdir}/{shards.INDEX_NAME}") if entry else None
            if expected is None or hashlib.sha256(data).hexdigest() == expected.sha256:
                _, hashes = shards.unpack_index(data)
        return PreviousSubdir(self.folder, subdir, hashes, entry, exists, self.foreign)

    def looks_whole(self) -> bool:
        """Whether the channel-wide files are there: by size or, of a foreign site, by hash."""
        folder, snapshot = self.folder, self.snapshot
        if folder is None or snapshot is None or not _have_sizes(folder, snapshot.files):
            return False
        return not self.foreign or all(
            has_sha256(folder / path, entry.sha256) for path, entry in snapshot.files.items()
        )

    def pages_look_whole(self) -> bool:
        """Whether the pages and the API are there: by sizes and, of single names, by count."""
        folder, snapshot = self.folder, self.snapshot
        if folder is None or snapshot is None or (entry := snapshot.pages) is None:
            return folder is not None
        if (folder / UNFINISHED).exists():
            return False
        return _have_sizes(folder, entry.files) and all(
            len(names_in(folder / place)) == (entry.names if wanted else 0)
            for place, (_, wanted) in package_files.folders(detail_of(entry.level)).items()
        )

    def changes(self) -> list[history.ChangeEntry]:
        """The recent changes; none where the file is damaged, which must not stop a channel."""
        with contextlib.suppress(ContentError):
            return history.decode_changes(self._read(history.CHANGES))
        return []

    def counts(self) -> list[dict[str, object]]:
        """The counts over time; none where the file is damaged."""
        with contextlib.suppress(ContentError):
            return history.decode_counts(self._read(history.COUNTS))
        return []

    def unsettled(self) -> dict[tuple[str, str, str], int]:
        """Since when artifacts wait; none where the file is damaged: then they wait since now."""
        if self.folder is not None:
            with contextlib.suppress(ContentError):
                data = read_bytes(Folder(self.folder), history.UNSETTLED, history.MAX_FILE)
                return history.decode_unsettled(data) if data is not None else {}
        return {}

    def outside(self) -> dict[str, Outside]:
        """What isn't in the index, by subdir; none where the file is damaged."""
        if self.folder is not None:
            with contextlib.suppress(ContentError, OSError):
                data = read_bytes(Folder(self.folder), history.LEFT_OUT, history.MAX_FILE)
                return decode_outside(data) if data is not None else {}
        return {}

    def _read(self, path: str) -> bytes:
        if self.folder is None:
            return b"[]"
        data = read_bytes(Folder(self.folder), path, history.MAX_FILE) or b"[]"
        if self.snapshot is not None:
            _check(path, data, self.snapshot.files)
        return data


def load_previous(folder: Path, *, foreign: bool = False) -> Previous:
    """The previous site in a folder. A snapshot that can't be read is noted, not trusted."""
    data = read_bytes(Folder(folder), history.SNAPSHOT, history.MAX_FILE)
    if data is None:
        return Previous()
    try:
        return Previous(folder, history.decode_snapshot(data), foreign=foreign)
    except ContentError as error:
        note = f"{folder / history.SNAPSHOT}: {error}; everything is written anew"
        return Previous(folder, None, (note,), foreign)


def _have_sizes(folder: Path, files: Mapping[str, history.FileEntry]) -> bool:
    return all(size_of(folder / path) == expected.size for path, expected in files.items())


def _check(path: str, data: bytes, files: Mapping[str, history.FileEntry]) -> None:
    expected = files.get(path)
    if expected is not None and hashlib.sha256(data).hexdigest() != expected.sha256:
        raise ContentError(f"{path} isn't what the snapshot lists")
