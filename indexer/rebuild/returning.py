"""Plans for a subdir to have the records of an earlier generation again, name by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from indexer.channel import codec
from indexer.channel.about import NOTHING_KNOWN, About
from indexer.channel.index_json import NAME
from indexer.channel.plan import Count, plan_return
from indexer.channel.record import Record, name_version_build
from indexer.errors import ContentError
from indexer.progress import Progress, counted
from indexer.rebuild.planning import SubdirPlan, put_name
from indexer.rebuild.previous import PreviousSubdir, PublishedRecords
from indexer.rebuild.spool import Spool
from indexer.render import summary
from indexer.trust.judging import Held


@dataclass(slots=True)
class Goal:
    """What a subdir is to become: ``shards`` are their hashes (hex) by name.

    What is in ``rejections`` doesn't come back by it; ``left_out`` names such files, each with its
    repository, once the subdir is planned.
    """

    subdir: str
    shards: Mapping[str, str]
    rejections: Collection[Held] = ()
    left_out: list[tuple[str, str]] = field(default_factory=list)
    _rejected: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for item in self.rejections:
            if item.verdict.subdir == self.subdir:
                self._rejected.add((item.verdict.file_name, item.verdict.archive.hex))

    def admitted(
        self, before: Mapping[str, Record], after: Mapping[str, Record]
    ) -> dict[str, Record]:
        """The records of a name without those rejected; what is published now is let in by now."""
        kept = {}
        for file_name, record in after.items():
            now = before.get(file_name)
            is_new = now is None or now.sha256 != record.sha256
            if is_new and (file_name, record.sha256) in self._rejected:
                self.left_out.append((codec.repository_name(record.name), file_name))
            else:
                kept[file_name] = record
        return kept


def plan_goal(now: PreviousSubdir, goal: Goal, spool: Spool, progress: Progress) -> SubdirPlan:
    """The plan by which a subdir becomes what it is to be, with an empty ``spool``.

    Raises ContentError where a shard is missing or isn't what its index says.
    """
    wanted = replace(now, shards=goal.shards)
    published = PublishedRecords(now)
    plan = SubdirPlan(
        subdir=now.subdir,
        spool=spool,
        count=Count(before=now.entry.records if now.entry else 0),
        shards=dict(goal.shards),
        summaries={},
        rewrites=True,
    )
    summaries = _summaries(now)
    found = 0
    names = sorted({*goal.shards, *published.names()})
    progress.begin(f"Planning {now.subdir}", len(names))
    for name in counted(names, progress):
        _, before = published.of(name)
        found += len(before)
        packed, after = _load(wanted, name) if name in goal.shards else (b"", {})
        result = plan_return(before, goal.admitted(before, after))
        put_name(plan, name, result, packed, partial(_about, summaries.get(name)))
    progress.end()
    # What damage took is counted as gone.
    plan.count.before = max(plan.count.before, found)
    plan.count.removed += plan.count.before - found
    return plan


def _load(wanted: PreviousSubdir, name: str) -> tuple[bytes, dict[str, Record]]:
    """A shard of the generation, before compression, and its records. Raises ContentError."""
    # The paths of pages are made of it.
    if not NAME.fullmatch(name):
        raise ContentError(f"{name[:80]!r} in the index of {wanted.subdir} is no name")
    shard = wanted.shard(name)
    if shard is None:
        raise ContentError(f"the shard of {name} in {wanted.subdir} is missing or damaged")
    for file_name, record in shard[1].items():
        if record.name != name or not _is_file_name(file_name):
            raise ContentError(f"{file_name[:200]!r} is in the shard of {name} in {wanted.subdir}")
    return shard


def _about(told: summary.NameSummary | None, file_name: str) -> About:
    """What a file says of its package, where that is the one that was summed up."""
    return told.about if told is not None and told.file_name == file_name else NOTHING_KNOWN


def _is_file_name(file_name: str) -> bool:
    try:
        name_version_build(file_name)
    except ValueError:
        return False
    return True


def _summaries(now: PreviousSubdir) -> Mapping[str, summary.NameSummary]:
    try:
        return now.summaries()
    except ContentError:
        return {}
