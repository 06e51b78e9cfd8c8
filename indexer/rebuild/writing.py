"""Writes the channel-wide files over what a staged tree's subdirs hold, pages apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from indexer.rebuild.generations import keep_generations
from indexer.rebuild.look import Look
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import Staged
from indexer.rebuild.share import Share
from indexer.render import channeldata, generations, history, shards, summary
from indexer.render.history import (
    ChangeEntry,
    FileEntry,
    LastChange,
    PagesEntry,
    Snapshot,
    SubdirEntry,
)


def expire(share: Share, previous: Previous, now: datetime) -> tuple[dict[str, str], list[str]]:
    """Superseded shards of a subdir that stay (until when), and paths of those that go."""
    entry = previous.snapshot.subdirs.get(share.subdir) if previous.snapshot else None
    # Also those that nobody knows any more, because an index or a snapshot was lost.
    there = previous.subdir(share.subdir).shard_sizes()
    stay, expired = history.supersede(
        entry.superseded if entry else {},
        [*share.replaced, *sorted(there)],
        share.shards.values(),
        now,
    )
    place = f"{share.subdir}/{shards.FOLDER}"
    return stay, [f"{place}/{digest}{shards.SUFFIX}" for digest in expired]


@dataclass(frozen=True, slots=True)
class ChannelFiles:
    """What the channel-wide files were made of, and what is listed of them in the snapshot.

    ``summaries`` are all names' by subdir, ``recent`` the last changes; ``notes`` is what there is
    to tell of the making.
    """

    look: Look
    entries: Mapping[str, SubdirEntry]
    summaries: Mapping[str, Mapping[str, summary.NameSummary]]
    recent: Sequence[ChangeEntry]
    change: LastChange | None
    files: Mapping[str, FileEntry]
    notes: Sequence[str] = ()

    def snapshot(self, pages: PagesEntry | None, size: int) -> Snapshot:
        """The site's snapshot; ``size`` is the site's, in bytes."""
        return Snapshot(
            registry=self.look.info.registry,
            channel=self.look.info.channel,
            rendering=self.look.of_channel(),
            subdirs=dict(sorted(self.entries.items())),
            files=self.files,
            pages=pages,
            change=self.change,
            size=size,
        )


def write_channel(
    staged: Staged,
    look: Look,
    previous: Previous,
    shares: Sequence[Share],
    entries: Mapping[str, SubdirEntry],
    now: datetime,
    rejections: bytes,
    *,
    in_place: bool,
) -> ChannelFiles:
    """Write the channel-wide files over what the staged tree's subdirs hold, pages apart.

    ``rejections`` is what the site remembers of them; empty where there never was one.
    ``in_place``: the previous site is the one that is replaced.
    """
    written = {share.subdir: share.summaries for share in shares}
    summaries = {
        subdir: written[subdir] if subdir in written else previous.subdir(subdir).summaries()
        for subdir in sorted(entries)
    }
    recent = [*_recent(shares), *previous.changes()][: history.MAX_CHANGES]
    counts = previous.counts()
    records: dict[str, object] = {subdir: entry.records for subdir, entry in entries.items()}
    if not counts or counts[-1]["records"] != records:
        counts.append({"time": history.rfc3339(now), "records": records})
    files: dict[str, FileEntry] = {}
    _write(staged, files, channeldata.FILE_NAME, channeldata.render_channeldata(summaries))
    _write(staged, files, history.CHANGES, history.encode_changes(recent))
    _write(staged, files, history.COUNTS, history.encode_counts(counts))
    data, note = keep_generations(staged, previous, entries, now, closely=not in_place)
    _write(staged, files, generations.GENERATIONS, data)
    # Should it be damaged, it isn't carried along.
    staged.make_room(history.REJECTIONS)
    if rejections:
        _write(staged, files, history.REJECTIONS, rejections)
    change = _last_change(shares, now)
    if change is None and previous.snapshot is not None:
        change = previous.snapshot.change
    return ChannelFiles(look, entries, summaries, recent, change, files, [note] if note else [])


def write_snapshot(staged: Staged, snapshot: Snapshot) -> None:
    """Write the snapshot, last of all: it lists what was written."""
    staged.write(history.SNAPSHOT, history.encode_snapshot(snapshot))


def _last_change(shares: Sequence[Share], now: datetime) -> LastChange | None:
    counts = [share.count for share in shares]
    if not any(count.total for count in counts):
        return None
    return LastChange(
        history.rfc3339(now),
        sum(count.added for count in counts),
        sum(count.removed for count in counts),
        sum(count.changed for count in counts),
    )


def _recent(shares: Sequence[Share]) -> Iterator[ChangeEntry]:
    """The changes of a run, the subdirs' in turn: none of them crowds the others out."""
    for entries in zip_longest(*(share.recent for share in shares)):
        yield from (entry for entry in entries if entry is not None)


def _write(staged: Staged, files: dict[str, FileEntry], path: str, data: bytes) -> None:
    staged.write(path, data)
    files[path] = FileEntry(hashlib.sha256(data).hexdigest(), len(data))
