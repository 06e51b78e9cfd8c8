"""Compares what the registry holds with what was published, name by name, into plan and spool.

Names whose remembered content is the published one aren't looked at: cost follows the change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from indexer.channel import codec
from indexer.channel.plan import Count, Held, NamePlan, as_before, plan_name
from indexer.channel.record import Record
from indexer.previous import PreviousSubdir
from indexer.render import shards, summary, zstd
from indexer.spool import Spool
from indexer.state import State

# msgpack is a little shorter than JSON, so a shard of these stays below what clients read.
_MAX_BODIES = shards.MAX_SHARD


@dataclass(slots=True)
class SubdirPlan:
    """What is going to become of one subdir.

    ``shards`` are all shard hashes (hex) by name as they will be, ``replaced`` those that no
    longer are, ``summaries`` all names' summaries. ``rewrites`` says that the spool holds every
    record, not only changes. ``published`` are the names to be remembered as published;
    ``oversize`` those whose records (bytes of JSON) no client would read, which stay as they
    were.
    """

    subdir: str
    spool: Spool
    count: Count
    shards: dict[str, str]
    summaries: dict[str, summary.NameSummary]
    rewrites: bool
    replaced: list[str] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    published: dict[str, str | None] = field(default_factory=dict)
    oversize: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides over a single file. Times are in milliseconds."""

    now: int
    may_change: Callable[[str], bool]
    blob_stays: Callable[[str, Record], bool]
    selected: Callable[[str], bool]


def plan_subdir(previous: PreviousSubdir, state: State, rules: Rules) -> SubdirPlan:
    """Plan one subdir; changes nothing."""
    subdir = previous.subdir
    known = state.names(subdir)
    unclean = [
        name
        for name in sorted(previous.shards.keys() | known.keys())
        if known.get(name) is None or known[name] != previous.shards.get(name)
    ]
    chosen = [name for name in unclean if rules.selected(name)]
    # Building upon files that aren't what they should be would carry the damage on.
    rewrites = not (previous.is_whole() if chosen else previous.looks_whole())
    names: Iterable[str] = sorted(previous.shards.keys() | known.keys()) if rewrites else chosen
    before = 0 if rewrites or previous.entry is None else previous.entry.records
    plan = SubdirPlan(
        subdir=subdir,
        spool=Spool(),
        count=Count(before=before),
        shards=dict(previous.shards),
        summaries={} if rewrites else previous.summaries(),
        rewrites=rewrites,
    )
    for name in names:
        _plan_name(plan, name, previous, state, rules)
    return plan


def _plan_name(
    plan: SubdirPlan, name: str, previous: PreviousSubdir, state: State, rules: Rules
) -> None:
    repository = codec.repository_name(name)
    shard = previous.shard(name)
    packed, before = shard or (b"", {})
    stays = not rules.selected(name)
    after = before if stays else state.records(plan.subdir, repository, name)
    result = plan_name(
        before,
        after,
        now=rules.now,
        may_change=rules.may_change,
        blob_stays=lambda record: rules.blob_stays(repository, record),
    )
    size = sum(len(record.body) for record in result.records.values())
    if size > _MAX_BODIES:
        # No client would read its shard: one name must not stop the whole channel.
        plan.oversize[name] = size
        result = as_before(before)
    if plan.rewrites:
        plan.count.before += len(before)
    plan.count.add(result)
    for change in result.changes:
        if change.kind != "kept" or (plan.rewrites and change.record is not None):
            plan.spool.add(name, change)
    plan.held += result.held
    _plan_shard(plan, name, packed, result)
    if not stays:
        waits = result.held or name in plan.oversize
        plan.published[name] = None if waits else plan.shards.get(name)


def _plan_shard(plan: SubdirPlan, name: str, old: bytes, result: NamePlan) -> None:
    before = plan.shards.pop(name, None)
    plan.summaries.pop(name, None)
    if result.records:
        packed = shards.pack_shard(result.records.values())
        if packed == old and before is not None:
            # Another libzstd may compress the same bytes otherwise; clients need not notice.
            plan.shards[name] = before
        else:
            data = zstd.compress(packed)
            plan.shards[name] = hashlib.sha256(data).hexdigest()
            plan.spool.add_shard(plan.shards[name], data)
        plan.summaries[name] = summary.summarize(result.records.values())
    if before is not None and before != plan.shards.get(name):
        plan.replaced.append(before)
