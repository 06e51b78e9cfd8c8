"""``restore``: puts an earlier generation of the channel back. No registry is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.channel.plan import Count
from indexer.config import Config
from indexer.errors import ConfigError, ContentError, GuardError, printable
from indexer.published import open_published
from indexer.published.history import is_ours, read_generations
from indexer.rebuild.beginning import Beginning, scratch_folder
from indexer.rebuild.finishing import Finish, Unsettled
from indexer.rebuild.generations import earlier_generations, is_at, read_index
from indexer.rebuild.look import Look, look_of
from indexer.rebuild.planning import SubdirPlan
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import open_output, told
from indexer.rebuild.rejections import Rejections
from indexer.rebuild.report import Report, SubdirReport
from indexer.rebuild.returning import Goal, plan_goal
from indexer.rebuild.run import Run
from indexer.rebuild.share import write_share
from indexer.rebuild.site import KEPT
from indexer.rebuild.spool import Spool
from indexer.rebuild.state_file import told_of_databases
from indexer.rebuild.tally import LeftOut
from indexer.rebuild.telling import name_changes
from indexer.registry import Transport
from indexer.render.generations import Generation
from indexer.trust.judging import Held


def list_generations(config: Config) -> list[str]:
    """The generations that the published site keeps, newest first, each in a line for people.

    Raises ConfigError where there is no site, RegistryError and ContentError where its list can't
    be read.
    """
    transport = Transport(retry_for=config.retry_for)
    try:
        with open_published(config.previous or str(config.output), transport) as site:
            if not is_ours(site):
                raise ConfigError(f"There is no site of cf-index at {site.location}.")
            known = read_generations(site)
    finally:
        transport.close()
    return [_line(item, known[:place], known[place + 1 :]) for place, item in enumerate(known)]


def _line(item: Generation, later: Sequence[Generation], earlier: Sequence[Generation]) -> str:
    """One of several generations: its time, what it has, and which other one is like it."""
    parts = ", ".join(f"{name} {index.records:,}" for name, index in item.indexes.items())
    same = next((other.time for other in earlier if other.is_like(item)), None)
    notes = "" if later else "; published now"
    notes += f"; the same as {same}" if same else ""
    return f"{item.time}  {item.records:,} records ({parts}){notes}"


def restore(config: Config, time: str | None, run: Run) -> Report:
    """Publish an earlier generation again, and tell what came of it.

    ``time`` is that of the generation, or how it begins; without it, the last one that isn't
    published now. Raises ConfigError, RegistryError or GuardError; the published site is then as
    it was.
    """
    # It is always the whole channel.
    config = replace(config, subdirs=(), packages=(), part=None)
    with run.reporting(config) as report:
        _Restore(config, run, report).go(time)
    return report


@dataclass(frozen=True, slots=True)
class _Restore:
    """One restoration, stage by stage."""

    config: Config
    run: Run
    report: Report

    def go(self, time: str | None) -> None:
        """Do it."""
        config, report, run = self.config, self.report, self.run
        look = look_of(config)
        with ExitStack() as stack:
            stack.enter_context(told_of_databases(config.state))
            transport = Transport(jobs=config.jobs, retry_for=config.retry_for)
            stack.callback(transport.close)
            others = (config.state, config.registry.folder)
            output = stack.enter_context(
                open_output(
                    config.output,
                    only_look=config.dry_run,
                    apart_from=[path for path in others if path is not None],
                    kept=KEPT,
                )
            )
            with report.timed("previous"):
                scratch = stack.enter_context(scratch_folder(output, apart=config.dry_run))
                previous = Beginning(config, output.folder, transport).find(scratch)
            if previous.folder is None:
                place = config.previous or config.output
                raise ConfigError(f"There is no site at {place}, so nothing can be restored.")
            report.notes += previous.notes
            generation = _choose(previous, time)
            rejections = Rejections(config, previous, report.notes)
            with report.timed("planning"):
                no = rejections.known if config.policy.asks_verdict else []
                plans = self._plan(stack, previous, previous.folder, generation, look, no)
            finish = Finish(
                config, look, report, run.now, run.progress, output, previous, rejections,
                was_there=True, asks_registry=False,
            )  # fmt: skip
            report.outcome = finish.outcome(plans)
            self._tell(generation, plans)
            if config.dry_run:
                report.outcome = f"dry run: would be {report.outcome}"
                return
            with told(output.folder):
                shares = [
                    write_share(scratch / "shares", plan, previous, look, report, run.progress)
                    for plan in plans
                ]
            finish.publish(shares, Unsettled({}, lambda *_: False))

    def _plan(
        self,
        stack: ExitStack,
        previous: Previous,
        site: Path,
        generation: Generation,
        look: Look,
        rejections: Collection[Held],
    ) -> list[SubdirPlan]:
        """Plans for the subdirs that aren't what they are to be. Raises GuardError."""
        plans = []
        for subdir in sorted({*previous.subdirs(), *generation.indexes}):
            now = previous.subdir(subdir)
            goal = Goal(subdir, self._shards(site, generation, subdir), rejections)
            report = self.report.subdirs.setdefault(subdir, SubdirReport())
            is_so = goal.shards == now.shards and now.can_be_linked()
            if is_so and now.entry is not None and now.entry.rendering == look.of_subdir(subdir):
                report.count = Count(before=now.entry.records)
                report.indexed = report.count.after
                continue
            spool = Spool()
            stack.callback(spool.close)
            try:
                plan = plan_goal(now, goal, spool, self.run.progress)
            except ContentError as error:
                raise _refusal(generation, str(error)) from error
            report.count, report.indexed = plan.count, plan.count.after
            self._tell_plan(plan, goal)
            plans.append(plan)
        return plans

    def _shards(self, site: Path, generation: Generation, subdir: str) -> Mapping[str, str]:
        """A subdir's shards; none where it came later: what it has now goes then."""
        index = generation.indexes.get(subdir)
        if index is None:
            return {}
        try:
            return read_index(site, subdir, index.sha256)
        except ContentError as error:
            raise _refusal(generation, str(error)) from error

    def _tell_plan(self, plan: SubdirPlan, goal: Goal) -> None:
        name_changes(self.report, plan)
        for repository, file_name in goal.left_out:
            reason = "rejected since then, so it stays out"
            item = LeftOut(plan.subdir, repository, "", file_name, reason)
            self.report.rejected.append(item)

    def _tell(self, generation: Generation, plans: Sequence[SubdirPlan]) -> None:
        counts = [plan.count for plan in plans]
        came = sum(count.added for count in counts)
        went = sum(count.removed for count in counts)
        changed = sum(count.changed for count in counts)
        self.report.names_from = f"the generation of {generation.time}"
        self.report.notes.append(
            f"this is the channel as it was published at {generation.time}: {came:,} records come, "
            f"{went:,} go, {changed:,} change"
        )
        self.report.notes.append(
            "the next rebuild publishes what the registry holds then: mend that first, or pause "
            "the schedule"
        )
        if left_out := len(self.report.rejected):
            self.report.notes.append(
                f"{left_out:,} of its records were rejected since then, and stay out"
            )


def _choose(previous: Previous, time: str | None) -> Generation:
    """The generation that is meant. Raises ConfigError where none is, or more than one."""
    try:
        known = earlier_generations(previous)
    except ContentError as error:
        raise ConfigError(
            f"{previous.folder}: {error}. So it isn't known which generations there were; the next "
            "publication begins a new list."
        ) from error
    if time is None:
        found = [item for item in known if not is_at(previous.snapshot, item)][:1]
        if not found:
            raise ConfigError(
                "No earlier generation is kept: there is nothing that could be restored."
            )
    else:
        text = time.strip()
        found = [item for item in known if item.time == text]
        found = found or [item for item in known if text and item.time.startswith(text)]
    if len(found) == 1:
        return found[0]
    times = ", ".join(item.time for item in found or known) or "none at all"
    what = "More than one generation begins with" if found else "There is no generation of"
    raise ConfigError(f"{what} '{printable(str(time), 80)}'; there are: {times}.")


def _refusal(generation: Generation, reason: str) -> GuardError:
    return GuardError(
        f"The generation of {generation.time} can't be restored: {reason}. The site is as it was. "
        "Choose another one: --list names them; or name a site by --previous that still has it."
    )
