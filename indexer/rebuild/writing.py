"""Writes what a plan says into a staged tree: the files of its subdirs, then the channel's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

from indexer.channel.plan import Change
from indexer.channel.record import name_version_build
from indexer.progress import Progress, counted
from indexer.rebuild.look import Look
from indexer.rebuild.planning import SubdirPlan
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import Staged
from indexer.render import channeldata, history, repodata, shards, summary
from indexer.render.history import (
    ChangeEntry,
    FileEntry,
    LastChange,
    PagesEntry,
    Snapshot,
    SubdirEntry,
)
from indexer.render.sorted_lines import SortedLines


def expire(plan: SubdirPlan, previous: Previous, now: datetime) -> tuple[dict[str, str], list[str]]:
    """Superseded shards of a subdir that stay (until when), and paths of those that go."""
    entry = previous.snapshot.subdirs.get(plan.subdir) if previous.snapshot else None
    # Also those that nobody knows any more, because an index or a snapshot was lost.
    there = previous.subdir(plan.subdir).shard_sizes()
    stay, expired = history.supersede(
        entry.superseded if entry else {},
        [*plan.replaced, *sorted(there)],
        plan.shards.values(),
        now,
    )
    place = f"{plan.subdir}/{shards.FOLDER}"
    return stay, [f"{place}/{digest}{shards.SUFFIX}" for digest in expired]


def write_subdir(
    staged: Staged,
    plan: SubdirPlan,
    previous: Previous,
    look: Look,
    superseded: Mapping[str, str],
    progress: Progress,
    timed: Callable[[str], AbstractContextManager[None]],
) -> SubdirEntry:
    """Write one subdir: shards, then repodata, and the shard index last."""
    subdir, base_url = plan.subdir, look.base_url_of(plan.subdir)
    sizes = dict(previous.subdir(subdir).shard_sizes())
    with timed("shards"):
        for digest, data in plan.spool.shards():
            staged.write(f"{subdir}/{shards.FOLDER}/{digest}{shards.SUFFIX}", data)
            sizes[digest] = len(data)
    names = [f"{subdir}/{name}" for name in (repodata.FILE_NAME, repodata.ZST_NAME)]
    for name in names:
        staged.make_room(name)
    with timed("repodata"):
        written = _write_repodata(staged.root / subdir, plan, previous, base_url, progress)
    files = {
        name: FileEntry(item.sha256, item.size) for name, item in zip(names, written, strict=True)
    }
    with timed("summaries"):
        data = summary.encode_summaries(plan.summaries)
        _write(staged, files, f"{history.FOLDER}/{subdir}/{summary.FILE_NAME}", data)
    with timed("shards"):
        index = shards.pack_index(subdir, base_url, plan.shards)
        _write(staged, files, f"{subdir}/{shards.INDEX_NAME}", index)
    return SubdirEntry(
        records=plan.count.after,
        names=len(plan.shards),
        shard_bytes=sum(sizes.get(digest, 0) for digest in plan.shards.values()),
        files=files,
        superseded=superseded,
        rendering=look.of_subdir(subdir),
    )


def _write_repodata(
    folder: Path,
    plan: SubdirPlan,
    previous: Previous,
    base_url: str | None,
    progress: Progress,
) -> tuple[repodata.Written, repodata.Written]:
    with ExitStack() as stack:
        sections: dict[str, Iterator[bytes]] = {}
        lines = None
        if not plan.rewrites:
            path = previous.subdir(plan.subdir).repodata
            lines = SortedLines(stack.enter_context(path.open("rb")))
        for section in repodata.SECTIONS:
            changes = plan.spool.section(section)
            blocks = lines.merged(section, changes) if lines else repodata.lines(_there(changes))
            sections[section] = counted(blocks, progress, lambda block: 1 + block.count(b"\n"))
        return repodata.write_repodata(folder, plan.subdir, base_url, sections)


def _there(changes: Iterable[tuple[str, bytes | None]]) -> Iterator[tuple[str, bytes]]:
    return ((file_name, body) for file_name, body in changes if body is not None)


@dataclass(frozen=True, slots=True)
class ChannelFiles:
    """What the channel-wide files were made of, and what is listed of them in the snapshot.

    ``summaries`` are all names' by subdir, ``recent`` the last changes.
    """

    look: Look
    entries: Mapping[str, SubdirEntry]
    summaries: Mapping[str, Mapping[str, summary.NameSummary]]
    recent: Sequence[ChangeEntry]
    change: LastChange | None
    files: Mapping[str, FileEntry]

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
    plans: Sequence[SubdirPlan],
    entries: Mapping[str, SubdirEntry],
    now: datetime,
    rejections: bytes,
) -> ChannelFiles:
    """Write the channel-wide files over what the staged tree's subdirs hold, pages apart.

    ``rejections`` is what the site remembers of them; empty where there never was one.
    """
    planned = {plan.subdir: plan.summaries for plan in plans}
    summaries = {
        subdir: planned[subdir] if subdir in planned else previous.subdir(subdir).summaries()
        for subdir in sorted(entries)
    }
    recent = [*_recent(plans, now), *previous.changes()][: history.MAX_CHANGES]
    counts = previous.counts()
    records: dict[str, object] = {subdir: entry.records for subdir, entry in entries.items()}
    if not counts or counts[-1]["records"] != records:
        counts.append({"time": history.rfc3339(now), "records": records})
    files: dict[str, FileEntry] = {}
    _write(staged, files, channeldata.FILE_NAME, channeldata.render_channeldata(summaries))
    _write(staged, files, history.CHANGES, history.encode_changes(recent))
    _write(staged, files, history.COUNTS, history.encode_counts(counts))
    # Should it be damaged, it isn't carried along.
    staged.make_room(history.REJECTIONS)
    if rejections:
        _write(staged, files, history.REJECTIONS, rejections)
    change = _last_change(plans, now)
    if change is None and previous.snapshot is not None:
        change = previous.snapshot.change
    return ChannelFiles(look, entries, summaries, recent, change, files)


def write_snapshot(staged: Staged, snapshot: Snapshot) -> None:
    """Write the snapshot, last of all: it lists what was written."""
    staged.write(history.SNAPSHOT, history.encode_snapshot(snapshot))


def _last_change(plans: Sequence[SubdirPlan], now: datetime) -> LastChange | None:
    counts = [plan.count for plan in plans]
    if not any(count.total for count in counts):
        return None
    return LastChange(
        history.rfc3339(now),
        sum(count.added for count in counts),
        sum(count.removed for count in counts),
        sum(count.changed for count in counts),
    )


def _recent(plans: Sequence[SubdirPlan], now: datetime) -> Iterator[ChangeEntry]:
    """The changes of a run, the subdirs' in turn: none of them crowds the others out."""
    time = history.rfc3339(now)
    parts = [
        [
            describe(time, plan.subdir, name, change)
            for name, change in plan.spool.changes(history.MAX_CHANGES, first="added")
        ]
        for plan in plans
    ]
    for entries in zip_longest(*parts):
        yield from (entry for entry in entries if entry is not None)


def describe(time: str, subdir: str, name: str, change: Change) -> ChangeEntry:
    """A change as history tells it, by its file's name: what was removed has no record."""
    _, version, build = name_version_build(change.file_name)
    return ChangeEntry(
        time=time,
        kind=change.kind,
        subdir=subdir,
        file_name=change.file_name,
        name=name,
        version=version,
        build=build,
    )


def _write(staged: Staged, files: dict[str, FileEntry], path: str, data: bytes) -> None:
    staged.write(path, data)
    files[path] = FileEntry(hashlib.sha256(data).hexdigest(), len(data))
