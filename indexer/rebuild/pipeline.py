"""Puts the stages of ``rebuild`` together: names, reading, plan, guard, files, check, swap."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from indexer.channel import codec
from indexer.channel.plan import Guard, matches
from indexer.config import Config
from indexer.parallel import in_order
from indexer.rebuild.beginning import Beginning, note_site, scratch_folder
from indexer.rebuild.decoding import DamagedStateError
from indexer.rebuild.finishing import Finish, Unsettled
from indexer.rebuild.look import look_of
from indexer.rebuild.naming import (
    Names,
    is_repository_selected,
    is_selected,
    named_first,
    read_names_file,
)
from indexer.rebuild.part import Maker, Part, base_of, new_part, write_part
from indexer.rebuild.planning import (
    Blob,
    Rules,
    SubdirPlan,
    plan_empty,
    plan_mending,
    plan_subdir,
)
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import open_output, told
from indexer.rebuild.reading import Reader
from indexer.rebuild.rejections import Rejections
from indexer.rebuild.report import Report
from indexer.rebuild.run import Run
from indexer.rebuild.selection import Selection
from indexer.rebuild.share import Share, write_share
from indexer.rebuild.site import KEPT
from indexer.rebuild.state import State
from indexer.rebuild.state_file import Identity, borrow_state, open_state, unusable
from indexer.rebuild.tally import Tally, refuse_if_all_denied
from indexer.rebuild.telling import tell, tell_of_changes
from indexer.rebuild.trusting import Trust, Words
from indexer.registry import Registry, Transport, open_registry
from indexer.registry.content import Digest
from indexer.registry.names import Listing
from indexer.trust.keys import load_keyring

# Goes up when the same registry content makes other records: what is remembered is read anew.
RULES = 1
# Seconds. What a change leaves as it is is looked at this often, all at once.
_LOOKED_WHOLE_EVERY = 86_400
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_BASE_URL = (
    "no base_url is published: clients will ask for packages beside the index, where a gateway "
    "such as cf-index serve has to answer (say where by --gateway-url); or say --base-url https://..."
)


def rebuild(config: Config, run: Run) -> Report:
    """Make the channel's index from its registry and publish it into the output folder.

    Raises ConfigError, RegistryError or GuardError; the published site is then as it was.
    """
    lines = read_names_file(config.names)
    try:
        return _read_and_publish(config, run, lines, fresh=config.full)
    except DamagedStateError as error:
        damage: Exception = error
    except sqlite3.DatabaseError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _DAMAGED:
            raise unusable(config.state, error) from error
        damage = error
    # A state file that opens may still be damaged inside. It is a cache: begin again.
    report = _read_and_publish(config, run, lines, fresh=True)
    report.notes.append(f"the state was damaged ({damage}); everything was read again")
    return report


def _read_and_publish(
    config: Config, run: Run, names: tuple[str, ...] | None, *, fresh: bool
) -> Report:
    with run.reporting(config) as report:
        _Rebuild(config, run, names, report).go(fresh=fresh)
    return report


class _Rebuild:
    """One run, stage by stage."""

    def __init__(
        self, config: Config, run: Run, names: tuple[str, ...] | None, report: Report
    ) -> None:
        self._config = config
        self._run = run
        self._names = names
        self._transport = Transport(jobs=config.jobs, retry_for=config.retry_for)
        self._registry: Registry = open_registry(config.registry, self._transport)
        self._look = look_of(config)
        self._keyring = load_keyring(config.trust if config.policy.asks_verdict else ())
        self._trust: Trust | None = None
        report.trusted = [key.name for key in self._keyring.keys]
        self._report = report

    def go(self, *, fresh: bool) -> None:
        """Do it. ``fresh`` reads everything anew."""
        try:
            self._go(fresh=fresh)
        finally:
            self._tell_requests()

    def _go(self, *, fresh: bool) -> None:
        config, report = self._config, self._report
        identity = Identity(str(config.registry), config.channel, f"{RULES}; {config.policy}")
        with ExitStack() as stack:
            stack.callback(self._transport.close)
            others = (config.state, config.registry.folder, config.part)
            # A part is read beside others: none of them may change what all begin with.
            looks = config.dry_run or config.part is not None
            output = stack.enter_context(
                open_output(
                    config.output,
                    only_look=looks,
                    apart_from=[path for path in others if path is not None],
                    kept=KEPT,
                )
            )
            is_declined = config.base_url != "auto" or config.gateway_url
            if self._look.base_url is None and not is_declined:
                report.notes.append(_NO_BASE_URL)
            with self._report.timed("previous"):
                beginning = Beginning(config, output.folder, self._transport)
                scratch = stack.enter_context(scratch_folder(output, apart=looks))
                previous = beginning.find(scratch)
                was_there = previous.folder is not None
            opened = borrow_state if config.dry_run else open_state
            state, why = stack.enter_context(opened(config.state, identity, fresh=fresh))
            if why:
                report.notes.append(f"the state was set aside: {why}")
            previous = beginning.not_anew(previous)
            report.notes += previous.notes
            rejections = self._remember(state, previous)
            listing = self._find_names(state, previous)
            with self._report.timed("reading"):
                reader = self._reader(state, rejections)
                tallies = self._read(reader, state, previous, listing)
            with self._report.timed("planning"):
                plans = self._plan(reader, state, previous, tallies)
                mending = []
                if config.part is None:
                    read = set(tallies)
                    mending = plan_mending(
                        previous, read, state, self._run.progress, allow_drop=config.allow_drop
                    )
            if config.part is None and "noarch" not in {*tallies, *previous.subdirs()}:
                # Clients ask every channel for it; CEP 26 has it always there.
                plans.append(plan_empty("noarch"))
                tallies["noarch"] = Tally()
            for plan in [*plans, *mending]:
                stack.callback(plan.spool.close)
            tell(report, state, tallies, plans)
            tell_of_changes(report, tallies, listing)
            self._tell_requests()
            guard = Guard(config.max_drop, config.allow_drop)
            guard.raise_if_unsafe(
                {plan.subdir: plan.count for plan in [*plans, *mending]},
                unlisted=listing.unlisted,
            )
            if config.part is not None:
                self._hand_on(config.part, state, previous, plans, rejections)
                if was_there:
                    note_site(config)
                return
            finish = Finish(
                config, self._look, report, self._run.now, self._run.progress, output, previous,
                rejections, was_there,
            )  # fmt: skip
            self._publish(finish, state, [*plans, *mending], scratch)

    def _remember(self, state: State, previous: Previous) -> Rejections:
        """Take over what the registry doesn't hold."""
        rejections = Rejections(self._config, previous, self._report.notes)
        # Of a run that broke off, before anything of it is forgotten.
        rejections.add(state.verdicts.rejections())
        state.recall(previous.unsettled())
        if self._config.policy.asks_verdict:
            seen = rejections.known, rejections.published or []
            self._trust = Trust(state.verdicts, self._keyring, *seen, self._run.now)
        return rejections

    def _find_names(self, state: State, previous: Previous) -> Listing:
        config, report, run = self._config, self._report, self._run
        with report.timed("names"):
            names = Names(
                config, self._registry, self._transport, run.environ, self._names, run.apis
            )
            listing = names.find(previous, state.repositories)
        report.names_from = listing.source
        report.notes += listing.notes
        return listing

    def _tell_requests(self) -> None:
        self._report.requests = self._registry.requests.as_dict()
        self._report.limited = [str(limited) for limited in self._transport.limited()]

    def _reader(self, state: State, rejections: Rejections) -> Reader:
        trust = self._trust
        return Reader(
            self._registry,
            self._config.channel,
            state,
            policy=self._config.policy,
            jobs=self._config.jobs,
            now=int(self._run.now.timestamp()),
            trust=trust,
            # What was read must not be forgotten, whatever comes next.
            remember=lambda: rejections.add(trust.newly_rejected() if trust else ()),
            advance=self._run.progress.step,
            abort=self._transport.close,
        )

    def _read(
        self, reader: Reader, state: State, previous: Previous, listing: Listing
    ) -> dict[str, Tally]:
        progress = self._run.progress
        tallies = {}
        first, notes = named_first(self._config)
        self._report.notes += notes
        for subdir, repositories in listing.repositories.items():
            progress.begin(f"Reading {subdir}", len(repositories))
            published = previous.subdir(subdir).names()
            named = bool(self._config.packages)
            selection = Selection(
                subdir,
                [*sorted(first), *(name for name in repositories if name not in first)],
                due={} if named else state.due(subdir, self._config.recheck),
                indexed={codec.repository_name(name) for name in published},
                allow_drop=self._config.allow_drop,
                named=named,
                stamps=listing.stamps.get(subdir, {}),
                first=first,
                unlisted=first.difference(repositories),
            )
            tallies[subdir] = reader.read(selection)
            reader.forget_others(
                subdir,
                set(selection.repositories),
                lambda name: is_repository_selected(self._config, name),
            )
            progress.end()
        refuse_if_all_denied(list(tallies.values()), named=bool(self._config.packages))
        return tallies

    def _plan(
        self, reader: Reader, state: State, previous: Previous, tallies: Mapping[str, Tally]
    ) -> list[SubdirPlan]:
        config = self._config
        plans = []
        for subdir, tally in tallies.items():
            rules = Rules(
                now=int(self._run.now.timestamp() * 1000),
                may_change=lambda file: any(matches(p, file) for p in config.allow_changed),
                look_again=partial(reader.look_again, tally=tally),
                blobs_stay=partial(self._blobs_stay, subdir),
                selected=lambda name: is_selected(config, name),
                word=Words.of(self._trust, subdir),
                allow_drop=config.allow_drop,
                redraws=self._redraws(subdir, previous),
                thorough=self._is_thorough(subdir, state),
            )
            plans.append(plan_subdir(previous.subdir(subdir), state, rules, self._run.progress))
        return plans

    def _redraws(self, subdir: str, previous: Previous) -> bool:
        entry = previous.subdir(subdir).entry
        return entry is None or entry.rendering != self._look.of_subdir(subdir)

    def _is_thorough(self, subdir: str, state: State) -> bool:
        """Whether to look at everything, as is done once a day, should anything change at all."""
        looked = state.looked_whole(subdir)
        return looked is None or not 0 <= self._run.now.timestamp() - looked < _LOOKED_WHOLE_EVERY

    def _blobs_stay(self, subdir: str, blobs: Collection[Blob]) -> set[Blob]:
        config = self._config

        def stays(blob: Blob) -> bool:
            repository, record = blob
            full = config.registry.repository(config.channel, subdir, repository)
            return self._registry.has_blob(full, Digest(record.sha256))

        if (trust := self._trust) is not None:
            blobs = [blob for blob in blobs if trust.lets_stay(subdir, *blob)]
        answers = in_order(stays, blobs, jobs=config.jobs, abort=self._transport.close)
        return {blob for blob, there in zip(blobs, answers, strict=True) if there}

    def _publish(
        self, finish: Finish, state: State, plans: Sequence[SubdirPlan], scratch: Path
    ) -> None:
        report, previous = self._report, finish.previous
        changed = [plan for plan in plans if self._differs(plan, previous)]
        report.outcome = finish.outcome(changed)
        if self._config.dry_run:
            report.outcome = f"dry run: would be {report.outcome}"
            return
        with told(finish.output.folder):
            shares = [self._write(plan, previous, scratch / "shares") for plan in changed]
        read = {plan.subdir for plan in plans}
        unsettled = Unsettled(
            state.standings.unsettled(),
            lambda subdir, name: subdir in read and is_repository_selected(self._config, name),
        )
        self._tell_requests()
        finish.publish(shares, unsettled)
        self._settle(state, plans, changed)

    def _hand_on(
        self,
        place: Path,
        state: State,
        previous: Previous,
        plans: Sequence[SubdirPlan],
        rejections: Rejections,
    ) -> None:
        """Write what was made of the subdirs for ``join``, instead of a site."""
        config, report = self._config, self._report
        changed = [plan for plan in plans if self._differs(plan, previous)]
        report.outcome = "changed" if changed else "unchanged"
        if config.dry_run:
            report.outcome = f"dry run: would be {report.outcome}"
            return
        read = {plan.subdir for plan in plans}
        since = state.standings.unsettled()
        maker = Maker(config.run, report.version, report.registry, report.channel, report.policy)
        with new_part(place) as folder:
            shares = [self._write(plan, previous, folder) for plan in changed]
            self._tell_requests()
            part = Part(
                maker,
                report,
                {subdir: base_of(previous, subdir) for subdir in sorted(read)},
                shares,
                {key: seconds for key, seconds in since.items() if key[0] in read},
                rejections.known,
            )
            write_part(folder, part)
        self._settle(state, plans, changed)

    def _write(self, plan: SubdirPlan, previous: Previous, folder: Path) -> Share:
        return write_share(folder, plan, previous, self._look, self._report, self._run.progress)

    def _settle(
        self, state: State, plans: Sequence[SubdirPlan], changed: Sequence[SubdirPlan]
    ) -> None:
        """Remember what was published."""
        now = int(self._run.now.timestamp())
        for plan in plans:
            state.mark_published(plan.subdir, plan.published)
        for plan in changed:
            if not plan.by_changes:
                state.note_looked_whole(plan.subdir, now)
        state.sweep(now)
        state.commit()

    def _differs(self, plan: SubdirPlan, previous: Previous) -> bool:
        return plan.changes_files() or self._redraws(plan.subdir, previous)
