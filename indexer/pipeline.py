"""Puts the stages of ``rebuild`` together: names, reading, plan, guard, files, check, swap."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import orjson

import indexer
from indexer.channel import codec
from indexer.channel.index_json import SUBDIR
from indexer.channel.plan import Count, Guard, matches
from indexer.channel.record import Record
from indexer.check import check_channel
from indexer.config import Config
from indexer.errors import CfIndexError, ConfigError, RegistryError, UnsupportedError
from indexer.planning import Rules, SubdirPlan, plan_subdir
from indexer.previous import Previous, load_previous, restore
from indexer.publish import Output, open_output, replace_file
from indexer.published import Folder, Website
from indexer.reading import LeftOut, Reader, Selection, Tally
from indexer.registry import Registry, Transport, open_registry
from indexer.registry import names as sources
from indexer.registry.content import Digest
from indexer.registry.github import token_from
from indexer.render import history, pages
from indexer.report import Progress, Report, Silence, SubdirReport, Waiting
from indexer.site import Look, describe, expire, write_channel, write_subdir
from indexer.spool import Spool
from indexer.state import Identity, State, open_state, set_aside

# Goes up when the same registry content makes other records: what is remembered is read anew.
RULES = 1
STATUS = "status.json"
_MAX_REPORTED_CHANGES = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gets from outside besides its configuration."""

    now: datetime
    environ: Mapping[str, str]
    progress: Progress

    @classmethod
    def ordinary(cls, progress: Progress | None = None) -> Run:
        """A run now, in this process's environment."""
        return cls(datetime.now(UTC), os.environ, progress or Silence())


def rebuild(config: Config, run: Run | None = None) -> Report:
    """Make the channel's index from its registry and publish it into the output folder.

    Raises ConfigError, RegistryError or GuardError; the published site is then as it was.
    """
    run = run or Run.ordinary()
    try:
        return _Rebuild(config, run).go()
    except sqlite3.DatabaseError as error:
        # A state file that opens may still be damaged inside. It is a cache: begin again.
        set_aside(config.state / "state.sqlite")
        report = _Rebuild(config, run).go()
        report.notes.append(f"the state was damaged ({error}); everything was read again")
        return report


class _Rebuild:
    """One run, stage by stage."""

    def __init__(self, config: Config, run: Run) -> None:
        self._config = config
        self._run = run
        self._transport = Transport(jobs=config.jobs, retry_for=config.retry_for)
        self._registry: Registry = open_registry(config.registry, self._transport)
        self._look = look_of(config)
        self._report = Report(
            time=history.rfc3339(run.now),
            version=indexer.__version__,
            registry=str(config.registry),
            channel=config.channel,
            policy=str(config.policy),
            output=str(config.output),
        )

    def go(self) -> Report:
        config, report = self._config, self._report
        identity = Identity(
            str(config.registry), config.channel, f"{RULES}; {config.policy}"
        )
        with ExitStack() as stack:
            stack.callback(self._transport.close)
            output = stack.enter_context(open_output(config.output))
            state, why = stack.enter_context(
                open_state(config.state, identity, fresh=config.full)
            )
            if why:
                report.notes.append(f"the state was set aside: {why}")
            with self._timed("previous"):
                previous = self._previous(output, stack)
            with self._timed("names"):
                listing = self._names(previous)
            with self._timed("reading"):
                tallies = self._read(state, previous, listing)
            with self._timed("planning"):
                plans = self._plan(state, previous, list(tallies))
            for plan in plans:
                stack.callback(plan.spool.close)
            self._tell(state, tallies, plans)
            guard = Guard(config.max_drop, config.allow_drop)
            guard.raise_if_unsafe(
                {plan.subdir: plan.count for plan in plans},
                unlisted=() if config.packages else _unlisted(listing),
            )
            self._publish(output, state, previous, plans)
            report.requests = self._registry.requests.as_dict()
        return report

    def _previous(self, output: Output, stack: ExitStack) -> Previous:
        location = self._config.previous
        if location is None:
            previous = load_previous(output.folder)
        elif location.startswith(("http://", "https://")):
            scratch = output.folder.with_name(f".{output.folder.name}.previous")
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            scratch.mkdir(parents=True, exist_ok=True)
            website = Website(location, self._transport, scratch)
            previous = restore(website, scratch / "site", output.folder)
        elif not Path(location).is_dir():
            raise ConfigError(f"--previous {location}: there is no such folder.")
        else:
            previous = load_previous(Path(location).absolute())
        self._report.notes += previous.notes
        snapshot = previous.snapshot
        if snapshot and (snapshot.registry, snapshot.channel) != (
            str(self._config.registry),
            self._config.channel,
        ):
            self._report.notes.append(
                f"the previous index was made from {snapshot.registry}, channel {snapshot.channel}"
            )
        return previous

    def _names(self, previous: Previous) -> sources.Listing:
        config = self._config
        channel = sources.Channel(
            config.channel, config.subdirs, SUBDIR, frozenset({codec.REPODATA_REPOSITORY})
        )
        listing = self._listing(channel, previous)
        self._report.names_from = listing.source
        self._report.notes += listing.notes
        if listing.ignored:
            shown = ", ".join(listing.ignored[:5])
            self._report.notes.append(
                f"{len(listing.ignored)} repositories can't be packages and are ignored: {shown}"
            )
        if not listing.shows_new:
            self._report.notes.append(
                "names come from the previous index alone: new packages can't be seen"
            )
        # A subdir that was published and is listed no more is still looked at, by the guard.
        found = dict(listing.repositories)
        for subdir in config.subdirs or previous.subdirs():
            found.setdefault(subdir, ())
        if config.packages:
            found = {
                subdir: tuple(item for item in items if self._selects_repository(item))
                for subdir, items in found.items()
            }
        return sources.Listing(listing.source, found, listing.shows_new)

    def _listing(self, channel: sources.Channel, previous: Previous) -> sources.Listing:
        config = self._config
        subdirs = config.subdirs or tuple(previous.subdirs())
        if config.names is not None:
            with _names_file(config.names) as lines:
                return sources.from_lines(lines, channel, codec.repository_name)
        if config.packages and subdirs and not any(set("*?[") & set(p) for p in config.packages):
            spelt = tuple(sorted({codec.repository_name(name) for name in config.packages}))
            return sources.Listing("--package", dict.fromkeys(subdirs, spelt))
        token = token_from(self._run.environ)
        try:
            return sources.from_registry(self._registry, channel, self._transport, token)
        except UnsupportedError as error:
            known = {
                subdir: [codec.repository_name(name) for name in previous.subdir(subdir).shards]
                for subdir in subdirs
            }
            if not any(known.values()):
                raise RegistryError(
                    f"{error} There is no previous index to take names from either; "
                    "use --names FILE."
                ) from error
            return sources.from_previous(known, [str(error)])

    def _read(
        self, state: State, previous: Previous, listing: sources.Listing
    ) -> dict[str, Tally]:
        progress = self._run.progress
        reader = Reader(
            self._registry,
            self._config.channel,
            state,
            policy=self._config.policy,
            jobs=self._config.jobs,
            now=int(self._run.now.timestamp()),
            advance=progress.step,
        )
        tallies = {}
        for subdir, repositories in listing.repositories.items():
            progress.begin(f"Reading {subdir}", len(repositories))
            published = previous.subdir(subdir).shards
            named = bool(self._config.packages)
            selection = Selection(
                subdir,
                repositories,
                again=repositories if named else (),
                due={} if named else state.due(subdir, self._config.recheck),
                indexed={codec.repository_name(name) for name in published},
                allow_drop=self._config.allow_drop,
                named=named,
            )
            tallies[subdir] = reader.read(selection)
            if not named:
                reader.forget_others(subdir, set(repositories))
            progress.end()
        return tallies

    def _plan(self, state: State, previous: Previous, subdirs: list[str]) -> list[SubdirPlan]:
        config = self._config

        def blob_stays(subdir: str) -> Callable[[str, Record], bool]:
            def check(repository: str, record: Record) -> bool:
                full = config.registry.repository(config.channel, subdir, repository)
                return self._registry.has_blob(full, Digest(record.sha256))

            return check

        plans = []
        for subdir in subdirs:
            self._run.progress.begin(f"Planning {subdir}", 1)
            rules = Rules(
                now=int(self._run.now.timestamp() * 1000),
                may_change=lambda file: any(matches(p, file) for p in config.allow_changed),
                blob_stays=blob_stays(subdir),
                selected=self._selects,
            )
            plans.append(plan_subdir(previous.subdir(subdir), state, rules))
            self._run.progress.end()
        return plans

    def _tell(
        self, state: State, tallies: Mapping[str, Tally], plans: list[SubdirPlan]
    ) -> None:
        report, time_now = self._report, self._report.time
        for plan in plans:
            subdir, tally = plan.subdir, tallies[plan.subdir]
            statuses = state.counts(subdir)
            report.subdirs[subdir] = SubdirReport(
                repositories=tally.repositories,
                tags=tally.tags,
                read=tally.read,
                looked_again=tally.looked_again,
                indexed=statuses.get("indexed", 0),
                waiting=statuses.get("waiting", 0),
                rejected=statuses.get("rejected", 0),
                count=plan.count,
            )
            report.passed_over += tally.passed_over
            report.left_out += tally.left_out
            for told in state.told(subdir):
                place = told.place
                where = (place.subdir, place.repository, place.tag)
                report.left_out += [LeftOut(*where, f.file_name, f.reason) for f in told.faults]
                report.notes += [f"{'/'.join(where[:2])}:{where[2]}: {n}" for n in told.notes]
            for told in state.waiting(subdir):
                since = datetime.fromtimestamp(told.first_seen, UTC)
                place = told.place
                report.waiting.append(
                    Waiting(place.subdir, place.repository, place.tag, history.rfc3339(since))
                )
            report.left_out += _held(plan)
            room = _MAX_REPORTED_CHANGES - len(report.changes)
            for name, change in plan.spool.changes(max(room, 0)):
                entry = describe(time_now, subdir, name, change)
                report.changes.append(
                    {"kind": entry.kind, "subdir": subdir, "file_name": entry.file_name}
                )

    def _publish(
        self, output: Output, state: State, previous: Previous, plans: list[SubdirPlan]
    ) -> None:
        config, report = self._config, self._report
        changed = [plan for plan in plans if self._differs(plan, previous)]
        snapshot = previous.snapshot
        same_look = snapshot is not None and snapshot.rendering == self._look.of_channel()
        in_place = previous.folder == output.folder
        report.outcome = "published"
        if not changed and same_look and in_place:
            report.outcome = "unchanged"
        if config.dry_run:
            report.outcome = f"dry run: would be {report.outcome}"
            return
        with self._timed("writing"):
            if report.outcome == "published":
                self._write(output, previous, changed)
        for plan in plans:
            state.mark_published(plan.subdir, plan.published)
        state.commit()
        report.requests = self._registry.requests.as_dict()
        replace_file(output.folder / STATUS, status_bytes(report))

    def _differs(self, plan: SubdirPlan, previous: Previous) -> bool:
        entry = previous.subdir(plan.subdir).entry
        return (
            entry is None
            or plan.rewrites
            or plan.count.differs
            or entry.rendering != self._look.of_subdir(plan.subdir)
        )

    def _write(self, output: Output, previous: Previous, plans: list[SubdirPlan]) -> None:
        now = self._run.now
        entries = dict(previous.snapshot.subdirs) if previous.snapshot else {}
        leftovers = {plan.subdir: expire(plan, previous, now) for plan in plans}
        expired = {path for _, paths in leftovers.values() for path in paths}
        staged = output.stage(previous.folder, without=expired)
        try:
            for plan in plans:
                stay, _ = leftovers[plan.subdir]
                entries[plan.subdir] = write_subdir(staged, plan, previous, self._look, stay)
            if "noarch" not in entries:
                empty = _empty_plan("noarch")
                entries["noarch"] = write_subdir(staged, empty, Previous(), self._look, {})
                empty.spool.close()
                plans = [*plans, empty]
            write_channel(staged, self._look, previous, plans, entries, now)
            staged.write(STATUS, status_bytes(self._report))
            with self._timed("checking"):
                findings = check_channel(
                    Folder(staged.root), [plan.subdir for plan in plans], whole=True
                )
            if findings.problems:
                raise CfIndexError(
                    "The new index failed its own check and was not published: "
                    f"{findings.problems[0]} ({len(findings.problems)} problems). "
                    "Please report this."
                )
            output.swap()
        finally:
            output.discard()

    def _selects(self, name: str) -> bool:
        patterns = self._config.packages
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

    def _selects_repository(self, repository: str) -> bool:
        return any(self._selects(name) for name in codec.possible_names(repository))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._report.durations[stage] = round(time.perf_counter() - start, 3)


def look_of(config: Config) -> Look:
    """How the site looks by its configuration; where clients are told to find packages."""
    if config.base_url == "none":
        base_url = None
    elif config.base_url in {"auto", "oci"}:
        base_url = config.registry.client_url(config.channel)
    else:
        base_url = config.base_url
    info = pages.SiteInfo(
        channel=config.channel,
        registry=str(config.registry),
        policy=str(config.policy),
        validated_only=config.policy.name != "none",
        site_url=config.site_url,
        installs=_installs(base_url),
    )
    return Look(info, base_url)


def _installs(base_url: str | None) -> pages.Installs:
    if base_url is None:
        return "none"
    return "oci" if base_url.startswith("oci://") else "https"


def status_bytes(report: Report) -> bytes:
    """status.json: the only published file with the time of the run in it."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(report.as_status(), option=options)


def _unlisted(listing: sources.Listing) -> list[str]:
    return [subdir for subdir, found in listing.repositories.items() if not found]


def _held(plan: SubdirPlan) -> Iterator[LeftOut]:
    for held in plan.held:
        stem = held.file_name.removesuffix(".conda").removesuffix(".tar.bz2")
        name, version, build = stem.rsplit("-", 2)
        what = "the old record stays" if held.old_stays else "the old archive is gone, too"
        yield LeftOut(
            plan.subdir,
            codec.repository_name(name),
            codec.tag_name(version, build),
            held.file_name,
            f"its sha256 changed from {held.old_sha256} to {held.new_sha256}; {what}. "
            f"If the new one is meant, say --allow-changed '{held.file_name}'",
        )


def _empty_plan(subdir: str) -> SubdirPlan:
    return SubdirPlan(subdir, Spool(), Count(), {}, {}, rewrites=True)


@contextmanager
def _names_file(path: str) -> Iterator[Iterator[str]]:
    if path == "-":
        yield iter(sys.stdin)
        return
    try:
        with Path(path).open(encoding="utf-8") as file:
            yield iter(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The names file {path} can't be read: {error}.") from error
