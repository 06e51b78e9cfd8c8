"""Compares what the registry holds with what was published, name by name, into plan and spool.

Names whose remembered content is the published one aren't looked at: cost follows the change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from indexer.channel import codec
from indexer.channel.about import NOTHING_KNOWN, About
from indexer.channel.artifact import Place, place_of
from indexer.channel.plan import Count, Held, NamePlan, fit, in_question, plan_name
from indexer.channel.record import Record
from indexer.errors import ContentError, GuardError
from indexer.progress import Progress, counted
from indexer.rebuild.look import is_of_this_version
from indexer.rebuild.previous import Previous, PreviousSubdir, PublishedRecords
from indexer.rebuild.spool import Spool
from indexer.rebuild.state import State
from indexer.rebuild.trusting import NO_WORDS, Words
from indexer.render import shards, summary, zstd

# An archive's blob: its repository, and the record that was published of it.
Blob = tuple[str, Record]

# Up to so many shards are all hashed by a run that changes something; of more of them, those that
# it builds upon, unless it is to be thorough.
_FEW = 2000

# JSON is at least a third as long as msgpack: below this nothing needs to be measured.
_SURELY_FITS = shards.MAX_SHARD // 3


@dataclass(slots=True)
class SubdirPlan:
    """What is going to become of one subdir.

    ``shards`` are all shard hashes (hex) by name as they will be, ``replaced`` those that no
    longer are, ``summaries`` all names' summaries. ``rewrites`` says that the spool holds every
    record, not only changes. ``published`` are the names to be remembered as published;
    ``oversize`` are files that would make their name's shard larger than clients read.
    ``retold``: a summary is another one, whether a record is or not. ``by_changes``: it puts
    changes into files that were found to be sound, and no more was looked at than those.
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
    oversize: dict[str, tuple[str, ...]] = field(default_factory=dict)
    retold: bool = False
    by_changes: bool = False

    def changes_files(self) -> bool:
        """Whether anything that is published of it becomes another."""
        return self.rewrites or self.retold or self.count.total > 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides over a single file. Times are in milliseconds.

    ``look_again`` reads tags anew whose files changed, ``blobs_stay`` says which of many
    blobs are still in the registry and may stay; each is asked once a subdir. ``word`` is
    what the validator says of records.
    written even where no record changes. ``thorough``: all that is built upon is looked at.
    """

    now: int
    may_change: Callable[[str], bool]
    look_again: Callable[[Collection[Place]], None]
    blobs_stay: Callable[[Collection[Blob]], Collection[Blob]]
    selected: Callable[[str], bool]
    word: Words = NO_WORDS
    allow_drop: bool = False
    redraws: bool = False
    thorough: bool = False


def plan_subdir(
    previous: PreviousSubdir, state: State, rules: Rules, progress: Progress
) -> SubdirPlan:
    """Plan one subdir; changes nothing.

    Raises GuardError where what was published can't be known any more.
    """
    published = PublishedRecords(previous)
    if published.is_lost() and not rules.allow_drop:
        raise GuardError(
            f"The previous index of {previous.subdir} in {previous.folder} is damaged: neither its "
            "shards nor its repodata.json can be read. Put a sound copy there, name one by "
            "--previous, or begin anew by --allow-drop."
        )
    known = state.names(previous.subdir)
    every = sorted(published.names() | known.keys())
    unsound = previous.unsound_shards()
    chosen = [
        name
        for name in every
        if name in unsound or (rules.selected(name) and not _is_clean(name, known, previous.shards))
    ]
    # Building upon files that aren't what they should be would carry the damage on.
    whole = previous.looks_whole()
    if (chosen or rules.redraws) and whole and not previous.foreign:
        # A foreign site was looked at as closely already.
        every_shard = rules.thorough or len(previous.shards) <= _FEW
        closely = previous.shards if every_shard else set(chosen)
        whole = previous.is_whole() and not previous.unsound_shards(closely)
    idle = whole and not (chosen or unsound or rules.redraws)
    # Where nothing is to be written, nobody asks what they say.
    earlier = {} if idle and previous.has_summaries() else _summaries(previous)
    summaries = earlier if whole and not unsound else None
    plan = SubdirPlan(
        subdir=previous.subdir,
        spool=Spool(),
        count=Count(before=previous.entry.records if previous.entry else 0),
        shards=dict(previous.shards),
        summaries=dict(summaries or {}),
        rewrites=summaries is None,
    )
    names = every if plan.rewrites else chosen
    progress.begin(f"Planning {previous.subdir}", len(names))
    sources = _Sources(previous.subdir, published, state, earlier or {})
    found = _plan_names(plan, counted(names, progress), sources, rules)
    progress.end()
    wants_all = plan.rewrites or rules.thorough or rules.redraws or previous.foreign
    plan.by_changes = plan.changes_files() and not wants_all
    if plan.rewrites:
        # What damage took is counted as gone: the guard has to know of it.
        plan.count.before = max(plan.count.before, found)
        plan.count.removed += plan.count.before - found
    return plan


def plan_empty(subdir: str) -> SubdirPlan:
    """The plan of a subdir that has nothing."""
    return SubdirPlan(subdir, Spool(), Count(), {}, {}, rewrites=True)


def plan_mending(
    previous: Previous,
    read: Collection[str],
    state: State,
    progress: Progress,
    *,
    allow_drop: bool,
) -> list[SubdirPlan]:
    """Plans for subdirs that aren't ``read``, but whose files the channel's can't be made of.

    Some of those files were lost, or another version made them. Raises GuardError.
    """
    rules = Rules(
        now=0,
        may_change=lambda _: False,
        look_again=lambda _: None,
        blobs_stay=set,
        selected=lambda _: False,
        allow_drop=allow_drop,
        redraws=True,
    )
    subdirs = [previous.subdir(name) for name in previous.subdirs() if name not in read]
    return [
        plan_subdir(subdir, state, rules, progress)
        for subdir in subdirs
        if not (subdir.can_be_linked() and is_of_this_version(subdir.entry))
    ]


def _is_clean(name: str, known: Mapping[str, str | None], published: Mapping[str, str]) -> bool:
    return known.get(name) is not None and known[name] == published.get(name)


def _summaries(previous: PreviousSubdir) -> Mapping[str, summary.NameSummary] | None:
    try:
        return previous.summaries()
    except ContentError:
        return None


@dataclass(frozen=True, slots=True)
class _Name:
    """One name, published and as it is now. ``stays``: this run isn't to touch it.

    ``about`` tells what one of its files says of the package.
    """

    name: str
    repository: str
    packed: bytes
    before: Mapping[str, Record]
    after: Mapping[str, Record]
    stays: bool
    about: Callable[[str], About]


@dataclass(frozen=True, slots=True)
class _Sources:
    """What names are planned by: records and summaries as published, and what is remembered."""

    subdir: str
    published: PublishedRecords
    state: State
    summaries: Mapping[str, summary.NameSummary]

    def load(self, name: str, rules: Rules) -> _Name:
        """One name. Raises GuardError where what was published of it can't be read any more."""
        repository = codec.repository_name(name)
        packed, before = self.published.of(name)
        stays = not rules.selected(name)
        if not before and name in self.published.names() and not rules.allow_drop:
            raise GuardError(
                f"The published records of {name} in {self.subdir} can't be read any more, neither "
                "from its shard nor from repodata.json: their entry times would be lost. Put a "
                "sound copy of the site there, name one by --previous, or say --allow-drop."
            )
        after = before if stays else self.state.records(self.subdir, repository, name)
        return _Name(name, repository, packed, before, after, stays, partial(self._about, name))

    def _about(self, name: str, file_name: str) -> About:
        about = self.state.about(place_of(self.subdir, file_name))
        if about is not None:
            return about
        # A site outlives the state, and runs of some packages don't read the others.
        before = self.summaries.get(name)
        if before is None or before.file_name != file_name:
            return NOTHING_KNOWN
        return before.about


def _plan_names(
    plan: SubdirPlan,
    names: Iterable[str],
    sources: _Sources,
    rules: Rules,
) -> int:
    """Plan names; gives how many records they had.

    Those with a file of other bytes come last: their blobs are asked for together.
    """
    found = 0
    odd: dict[str, list[Place]] = {}
    for name in names:
        item = sources.load(name, rules)
        found += len(item.before)
        changed = in_question(item.before, item.after, may_change=lambda _: False)
        if changed:
            odd[name] = [place_of(plan.subdir, record.file_name) for record in changed]
        else:
            _plan_name(plan, item, (), rules)
    if odd:
        # What is remembered may be older than the site: look before a file is held or replaced.
        rules.look_again([place for places in odd.values() for place in places])
        items = [sources.load(name, rules) for name in odd]
        stay = rules.blobs_stay(
            [
                (item.repository, record)
                for item in items
                for record in in_question(item.before, item.after, rules.may_change)
            ]
        )
        for item in items:
            _plan_name(plan, item, stay, rules)
    return found


def _plan_name(plan: SubdirPlan, item: _Name, stay: Collection[Blob], rules: Rules) -> None:
    name, before = item.name, item.before
    result = plan_name(
        before,
        item.after,
        now=rules.now,
        may_change=rules.may_change,
        blob_stays=lambda record: (item.repository, record) in stay,
    )
    if sum(len(record.body) for record in result.records.values()) > _SURELY_FITS:
        # No client would read a larger shard: one name must not stop the whole channel.
        result, left_out = fit(
            result,
            before,
            size_of=shards.packed_size,
            limit=shards.MAX_SHARD,
            stands=lambda record: rules.word.stands(item.repository, record),
        )
        if left_out:
            plan.oversize[name] = left_out
    plan.count.withdrawn += sum(
        change.kind == "removed"
        and rules.word.is_rejected(item.repository, before[change.file_name])
        for change in result.changes
    )
    put_name(plan, name, result, item.packed, item.about)
    if not item.stays:
        waits = result.held or name in plan.oversize
        plan.published[name] = None if waits else plan.shards.get(name)


def put_name(
    plan: SubdirPlan, name: str, result: NamePlan, packed: bytes, about: Callable[[str], About]
) -> None:
    """Have a plan hold what becomes of a name.

    ``packed`` is the shard that the plan has of it, before compression; ``about`` tells what a
    file of it says of the package.
    """
    plan.count.add(result)
    # Parsed once for all that is made of them: most of a first run's time goes here.
    records = {file_name: record.fields() for file_name, record in result.records.items()}
    plan.spool.add(
        name,
        (
            (change, int(records[change.file_name].get("timestamp") or 0) if change.record else 0)
            for change in result.changes
            if change.kind != "kept" or (plan.rewrites and change.record is not None)
        ),
    )
    plan.held += result.held
    before = plan.shards.pop(name, None)
    told = plan.summaries.pop(name, None)
    if records:
        again = shards.pack_fields(records)
        if again == packed and before is not None:
            # Another libzstd may compress the same bytes otherwise; clients need not notice.
            plan.shards[name] = before
        else:
            data = zstd.compress(again)
            plan.shards[name] = hashlib.sha256(data).hexdigest()
            plan.spool.add_shard(plan.shards[name], data)
        plan.summaries[name] = summary.summarize(records, about(summary.newest_file(records)))
    plan.retold |= told != plan.summaries.get(name)
    if before is not None and before != plan.shards.get(name):
        plan.replaced.append(before)
