"""Puts the stages of ``rebuild`` together: names, reading, plan, guard, files, check, swap."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import indexer
from indexer.channel import codec
from indexer.channel.plan import Count, Guard, matches
from indexer.config import Config
from indexer.errors import CfIndexError, ConfigError
from indexer.files import replace_file
from indexer.parallel import in_order
from indexer.progress import Progress
from indexer.rebuild.beginning import Beginning, note_site, scratch_folder
from indexer.rebuild.decoding import DamagedStateError
from indexer.rebuild.look import look_of
from indexer.rebuild.naming import Names, is_repository_selected, is_selected, read_names_file
from indexer.rebuild.planning import Blob, Rules, SubdirPlan, plan_mending, plan_subdir
from indexer.rebuild.previous import Previous, load_previous
from indexer.rebuild.publish import Output, open_output, told
from indexer.rebuild.reading import Reader, Selection
from indexer.rebuild.rejections import Rejections
from indexer.rebuild.report import STATUS, Report, status_bytes
from indexer.rebuild.room import room_notes
from indexer.rebuild.site import KEPT, Site
from indexer.rebuild.spool import Spool
from indexer.rebuild.state import State
from indexer.rebuild.state_file import Identity, borrow_state, open_state
from indexer.rebuild.status_page import refresh_status
from indexer.rebuild.tally import Tally, refuse_if_all_denied
from indexer.rebuild.telling import tell, tell_of_changes
from indexer.rebuild.trusting import Trust, Words
from indexer.rebuild.unsettled import note_unsettled
from indexer.registry import Registry, Transport, open_registry
from indexer.registry.content import Digest
from indexer.registry.github import APIS
from indexer.registry.names import Listing
from indexer.render import history
from indexer.trust.keys import load_keyring

# Goes up when the same registry content makes other records: what is remembered is read anew.
RULES = 1
# Seconds. What a change leaves as it is is looked at this often, all at once.
_LOOKED_WHOLE_EVERY = 86_400
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_BASE_URL = (
    "no base_url is published: clients will ask for packages beside the index, where a gateway "
    "has to answer; or say --base-url https://..."
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gets from outside besides its configuration."""

    now: datetime
    environ: Mapping[str, str]
    progress: Progress
    # Gets the report of a run that fails, as far as it came.
    failed: Callable[[Report], None] = lambda _: None
    # Addresses of the APIs that tell what has changed, by the registry's host.
    apis: Mapping[str, str] = field(default_factory=lambda: APIS)

    @classmethod
    def ordinary(cls, progress: Progress, failed: Callable[[Report], None]) -> Run:
        """A run now, in this process's environment."""
        return cls(datetime.now(UTC), os.environ, progress, failed)


def rebuild(config: Config, run: Run) -> Report:
    """Make the channel's index from its registry and publish it into the output folder.

    Raises ConfigError, RegistryError or GuardError; the published site is then as it was.
    """
    lines = read_names_file(config.names)
    try:
        return _Rebuild(config, run, lines).go(fresh=config.full)
    except DamagedStateError as error:
        damage: Exception = error
    except sqlite3.DatabaseError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _DAMAGED:
            raise ConfigError(
                f"The state in {config.state}, or a temporary file, can't be used: {error}."
            ) from error
        damage = error
    # A state file that opens may still be damaged inside. It is a cache: begin again.
    report = _Rebuild(config, run, lines).go(fresh=True)
    report.notes.append(f"the state was damaged ({damage}); everything was read again")
    return report


class _Rebuild:
    """One run, stage by stage."""

    def __init__(self, config: Config, run: Run, names: tuple[str, ...] | None) -> None:
        self._config = config
        self._run = run
        self._names = names
        self._transport = Transport(jobs=config.jobs, retry_for=config.retry_for)
        self._registry: Registry = open_registry(config.registry, self._transport)
        self._look = look_of(config)
        self._keyring = load_keyring(config.trust if config.policy.asks_verdict else ())
        self._trust: Trust | None = None
        self._was_there = False
        self._report = Report(
            time=history.rfc3339(run.now),
            version=indexer.__version__,
            registry=str(config.registry),
            channel=config.channel,
            policy=str(config.policy),
            output=str(config.output),
            trusted=[key.name for key in self._keyring.keys],
        )

    def go(self, *, fresh: bool) -> Report:
        """Do it. ``fresh`` reads everything anew."""
        try:
            self._go(fresh=fresh)
        except CfIndexError as error:
            self._report.outcome = f"failed: {error}"
            self._tell_requests()
            self._run.failed(self._report)
            raise
        return self._report

    def _go(self, *, fresh: bool) -> None:
        config, report = self._config, self._report
        identity = Identity(str(config.registry), config.channel, f"{RULES}; {config.policy}")
        with ExitStack() as stack:
            stack.callback(self._transport.close)
            apart = [path for path in (config.state, config.registry.folder) if path is not None]
            output = stack.enter_context(
                open_output(config.output, only_look=config.dry_run, apart_from=apart, kept=KEPT)
            )
            if self._look.base_url is None and config.base_url == "auto":
                report.notes.append(_NO_BASE_URL)
            with self._report.timed("previous"):
                beginning = Beginning(config, output.folder, self._transport)
                scratch = stack.enter_context(scratch_folder(output, apart=config.dry_run))
                previous = beginning.find(scratch)
                self._was_there = previous.folder is not None
            opened = borrow_state if config.dry_run else open_state
            state, why = stack.enter_context(opened(config.state, identity, fresh=fresh))
            if why:
                report.notes.append(f"the state was set aside: {why}")
            previous = beginning.not_anew(previous)
            report.notes += previous.notes
            rejections = self._remember(state, previous)
            with self._report.timed("names"):
                run = self._run
                names = Names(
                    config, self._registry, self._transport, run.environ, self._names, run.apis
                )
                listing = names.find(previous, state.repositories)
                report.names_from, report.notes = listing.source, [*report.notes, *listing.notes]
            with self._report.timed("reading"):
                reader = self._reader(state, rejections)
                tallies = self._read(reader, state, previous, listing)
            with self._report.timed("planning"):
                plans = self._plan(reader, state, previous, tallies)
                mending = plan_mending(
                    previous, set(tallies), state, run.progress, allow_drop=config.allow_drop
                )
            if "noarch" not in {*tallies, *previous.subdirs()}:
                # Clients ask every channel for it; CEP 26 has it always there.
                plans.append(SubdirPlan("noarch", Spool(), Count(), {}, {}, rewrites=True))
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
            self._publish(output, state, previous, [*plans, *mending], rejections)
            self._tell_requests()

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
        for subdir, repositories in listing.repositories.items():
            progress.begin(f"Reading {subdir}", len(repositories))
            published = previous.subdir(subdir).names()
            named = bool(self._config.packages)
            selection = Selection(
                subdir,
                repositories,
                due={} if named else state.due(subdir, self._config.recheck),
                indexed={codec.repository_name(name) for name in published},
                allow_drop=self._config.allow_drop,
                named=named,
                stamps=listing.stamps.get(subdir, {}),
            )
            tallies[subdir] = reader.read(selection)
            reader.forget_others(
                subdir, set(repositories), lambda name: is_repository_selected(self._config, name)
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
        self,
        output: Output,
        state: State,
        previous: Previous,
        plans: list[SubdirPlan],
        rejections: Rejections,
    ) -> None:
        config, report, run = self._config, self._report, self._run
        changed = [plan for plan in plans if self._differs(plan, previous)]
        same_look = (
            previous.snapshot is not None
            and previous.snapshot.rendering == self._look.of_channel()
            and previous.looks_whole()
        )
        in_place = previous.folder == output.folder
        if in_place:
            same_look = same_look and previous.pages_look_whole()
        is_same = same_look and not changed and rejections.known == rejections.published
        report.outcome = "unchanged" if is_same else "published"
        if config.dry_run:
            report.outcome = f"dry run: would be {report.outcome}"
            return
        if report.outcome == "unchanged" and not in_place:
            report.notes.append(f"the output was made a copy of {config.previous}")
        outside = previous.outside()
        if report.outcome == "published" or not in_place:
            new = Site(config, self._look, report, run.now, run.progress)
            new.publish(output, previous, changed, rejections.encoded())
        for plan in plans:
            state.mark_published(plan.subdir, plan.published)
        for plan in changed:
            if not plan.by_changes:
                state.note_looked_whole(plan.subdir, int(self._run.now.timestamp()))
        state.sweep(int(self._run.now.timestamp()))
        state.commit()
        if config.previous is None or self._was_there:
            # What this run made for another address is there only once it is deployed.
            note_site(config)
        self._tell_requests()
        site = load_previous(output.folder)
        with told(output.folder):
            refresh_status(site, self._look, report, outside, whole=not config.packages)
        read = {plan.subdir for plan in plans}
        note_unsettled(
            output.folder,
            previous,
            state,
            lambda subdir, name: subdir in read and is_repository_selected(config, name),
        )
        if site.snapshot is not None:
            level = site.snapshot.pages.level if site.snapshot.pages else None
            report.notes += room_notes(level, site.snapshot.size, config.max_site_size)
        replace_file(output.folder / STATUS, status_bytes(report))

    def _differs(self, plan: SubdirPlan, previous: Previous) -> bool:
        return plan.changes_files() or self._redraws(plan.subdir, previous)
