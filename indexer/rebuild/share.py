"""One run's share of the next site: the files of a subdir, written apart, and put in place later.

Shards, repodata and the shard index; what the channel-wide files need to know of them goes with
them. A share is made from a plan in the same run, or comes from a run elsewhere (rebuild/part.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from indexer.channel.plan import Change, Count
from indexer.channel.record import name_version_build
from indexer.progress import Progress, counted
from indexer.rebuild.look import Look
from indexer.rebuild.planning import SubdirPlan
from indexer.rebuild.previous import Previous, PreviousSubdir
from indexer.rebuild.publish import Staged
from indexer.rebuild.report import Report
from indexer.render import history, repodata, shards, summary
from indexer.render.history import ChangeEntry, FileEntry, SubdirEntry
from indexer.render.sorted_lines import SortedLines


@dataclass(frozen=True, slots=True)
class Share:
    """A subdir as it is to be published; its files lie in ``folder`` by their paths in the site.

    ``entry`` is what the snapshot says of it, superseded shards apart. ``shards`` are all shard
    hashes (hex) by name, of which the folder has those that are new; ``replaced`` are those that
    the subdir no longer has. ``recent`` are its last changes, the newest builds first.
    ``by_changes``: changes were put into files that were found to be sound.
    """

    folder: Path
    subdir: str
    entry: SubdirEntry
    count: Count
    shards: Mapping[str, str]
    replaced: Sequence[str]
    summaries: Mapping[str, summary.NameSummary]
    recent: Sequence[ChangeEntry]
    by_changes: bool = False

    def new_shards(self) -> list[str]:
        """Paths of the shards that it brings."""
        place = f"{self.subdir}/{shards.FOLDER}"
        there = self.folder / place
        names = sorted(path.name for path in there.iterdir()) if there.is_dir() else []
        return [f"{place}/{name}" for name in names]

    def settle(self, staged: Staged) -> None:
        """Move its files into a staged tree, the shard index last."""
        for path in [*self.new_shards(), *self.entry.files]:
            (self.folder / path).replace(staged.make_room(path))


def write_share(
    folder: Path,
    plan: SubdirPlan,
    site: Previous,
    look: Look,
    report: Report,
    progress: Progress,
) -> Share:
    """Write one subdir over the previous ``site``'s, into a folder that has nothing of it.

    Its changes are of the report's time, which is told how long that takes.
    """
    subdir, base_url = plan.subdir, look.base_url_of(plan.subdir)
    previous, timed = site.subdir(subdir), report.timed
    apart = Staged(folder)
    sizes = dict(previous.shard_sizes())
    with timed("shards"):
        for digest, data in plan.spool.shards():
            apart.write(f"{subdir}/{shards.FOLDER}/{digest}{shards.SUFFIX}", data)
            sizes[digest] = len(data)
    names = [f"{subdir}/{name}" for name in (repodata.FILE_NAME, repodata.ZST_NAME)]
    for name in names:
        apart.make_room(name)
    with timed("repodata"):
        progress.begin(f"Writing {subdir}", plan.count.after)
        written = _write_repodata(folder / subdir, plan, previous, base_url, progress)
        progress.end()
    files = {
        name: FileEntry(item.sha256, item.size) for name, item in zip(names, written, strict=True)
    }
    with timed("summaries"):
        data = summary.encode_summaries(plan.summaries)
        _write(apart, files, f"{history.FOLDER}/{subdir}/{summary.FILE_NAME}", data)
    with timed("shards"):
        index = shards.pack_index(subdir, base_url, plan.shards)
        _write(apart, files, f"{subdir}/{shards.INDEX_NAME}", index)
    entry = SubdirEntry(
        records=plan.count.after,
        names=len(plan.shards),
        shard_bytes=sum(sizes.get(digest, 0) for digest in plan.shards.values()),
        files=files,
        rendering=look.of_subdir(subdir),
    )
    return Share(
        folder=folder,
        subdir=subdir,
        entry=entry,
        count=plan.count,
        shards=plan.shards,
        replaced=plan.replaced,
        summaries=plan.summaries,
        recent=[
            describe(report.time, subdir, name, change)
            for name, change in plan.spool.changes(history.MAX_CHANGES, first="added")
        ],
        by_changes=plan.by_changes,
    )


def _write_repodata(
    folder: Path,
    plan: SubdirPlan,
    previous: PreviousSubdir,
    base_url: str | None,
    progress: Progress,
) -> tuple[repodata.Written, repodata.Written]:
    with ExitStack() as stack:
        sections: dict[str, Iterator[bytes]] = {}
        lines = None
        if not plan.rewrites:
            lines = SortedLines(stack.enter_context(previous.repodata.open("rb")))
        for section in repodata.SECTIONS:
            changes = plan.spool.section(section)
            blocks = lines.merged(section, changes) if lines else repodata.lines(_there(changes))
            sections[section] = counted(blocks, progress, lambda block: 1 + block.count(b"\n"))
        return repodata.write_repodata(folder, plan.subdir, base_url, sections)


def _there(changes: Iterable[tuple[str, bytes | None]]) -> Iterator[tuple[str, bytes]]:
    return ((file_name, body) for file_name, body in changes if body is not None)


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


def _write(apart: Staged, files: dict[str, FileEntry], path: str, data: bytes) -> None:
    apart.write(path, data)
    files[path] = FileEntry(hashlib.sha256(data).hexdigest(), len(data))
