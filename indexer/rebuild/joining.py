"""``join``: puts parts, made beside each other, over the published site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

import indexer
from indexer.channel.plan import Count, Guard
from indexer.config import Config
from indexer.errors import ConfigError
from indexer.rebuild.beginning import Beginning, scratch_folder
from indexer.rebuild.finishing import Finish, Unsettled
from indexer.rebuild.fitting import fit
from indexer.rebuild.look import Look, look_of
from indexer.rebuild.part import Maker, Part, read_part
from indexer.rebuild.planning import SubdirPlan, plan_empty, plan_mending
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import open_output, told
from indexer.rebuild.rejections import Rejections
from indexer.rebuild.report import Report, SubdirReport
from indexer.rebuild.run import Run
from indexer.rebuild.share import Share, write_share
from indexer.rebuild.site import KEPT
from indexer.rebuild.state_file import Identity, open_state, told_of_databases
from indexer.registry import Transport


def join(config: Config, folders: Sequence[Path], run: Run) -> Report:
    """Join the parts in ``folders`` over the previous site, and publish it into the output.

    Subdirs without a part stay as they are. Raises ConfigError for parts that don't go together,
    GuardError for those made upon another site than is published now; the output is then as it was.
    """
    with run.reporting(config) as report:
        _Join(config, run, report).go(folders)
    return report


class _Join:
    """One joining, stage by stage."""

    def __init__(self, config: Config, run: Run, report: Report) -> None:
        self._config = config
        self._run = run
        self._report = report
        self._look: Look = look_of(config)

    def go(self, folders: Sequence[Path]) -> None:
        """Do it."""
        config, report, run = self._config, self._report, self._run
        with ExitStack() as stack:
            stack.enter_context(told_of_databases(config.state))
            transport = Transport(retry_for=config.retry_for)
            stack.callback(transport.close)
            apart = [config.state, *folders]
            output = stack.enter_context(
                open_output(config.output, only_look=config.dry_run, apart_from=apart, kept=KEPT)
            )
            scratch = stack.enter_context(scratch_folder(output, apart=config.dry_run))
            with told(output.folder), report.timed("parts"):
                parts = self._read(folders, scratch)
            _tell_parts(report, parts)
            with report.timed("previous"):
                beginning = Beginning(config, output.folder, transport)
                previous = beginning.find(scratch)
                was_there = previous.folder is not None
                previous = beginning.not_anew(previous)
            # What was made of a part said most of this already.
            report.notes += [note for note in previous.notes if note not in report.notes]
            rejections = Rejections(config, previous, report.notes)
            rejections.add(held for part in parts for held in part.rejections)
            shares = self._fit(parts, previous, rejections)
            plans = self._plan_others(stack, {share.subdir for share in shares}, previous, scratch)
            counts = {share.subdir: share.count for share in shares}
            counts |= {plan.subdir: plan.count for plan in plans}
            Guard(config.max_drop, config.allow_drop).raise_if_unsafe(counts, unlisted=())
            finish = Finish(
                config, self._look, report, run.now, run.progress, output, previous, rejections,
                was_there,
            )  # fmt: skip
            report.outcome = finish.outcome(counts)
            if config.dry_run:
                report.outcome = f"dry run: would be {report.outcome}"
                return
            with told(output.folder):
                shares += [
                    write_share(
                        scratch / "mended", plan, previous, self._look, report, run.progress
                    )
                    for plan in plans
                ]
            since = {place: at for part in parts for place, at in part.unsettled.items()}
            read = {subdir for part in parts for subdir in part.bases}
            finish.publish(shares, Unsettled(since, lambda subdir, _: subdir in read))

    def _plan_others(
        self, stack: ExitStack, joined: Collection[str], previous: Previous, scratch: Path
    ) -> list[SubdirPlan]:
        """Plans for subdirs that no share is of: what is damaged in them here, and noarch."""
        config = self._config
        identity = Identity(str(config.registry), config.channel, "join")
        state, _ = stack.enter_context(open_state(scratch / "state", identity))
        plans = plan_mending(
            previous, joined, state, self._run.progress, allow_drop=config.allow_drop
        )
        if "noarch" not in {*joined, *previous.subdirs()}:
            plans.append(plan_empty("noarch"))
            self._report.subdirs.setdefault("noarch", SubdirReport())
        for plan in plans:
            stack.callback(plan.spool.close)
        return plans

    def _read(self, folders: Sequence[Path], scratch: Path) -> list[Part]:
        parts = [
            read_part(folder, scratch / "parts" / str(number))
            for number, folder in enumerate(folders)
        ]
        config, first = self._config, parts[0].maker
        own = Maker(
            config.run or first.run,
            indexer.__version__,
            str(config.registry),
            config.channel,
            str(config.policy),
        )
        self._report.run = own.run
        for folder, part in zip(folders, parts, strict=True):
            for what in ("run", "version", "registry", "channel", "policy"):
                theirs, ours = getattr(part.maker, what), getattr(own, what)
                if theirs != ours:
                    raise ConfigError(
                        f"The part {folder} is of {what} {theirs}, not of {ours}: parts of one "
                        "run, made with the same settings, can be joined."
                    )
        twice = [name for name, n in Counter(s for p in parts for s in p.bases).items() if n > 1]
        if twice:
            raise ConfigError(f"There is more than one part of {', '.join(sorted(twice))}.")
        return parts

    def _fit(
        self, parts: Sequence[Part], previous: Previous, rejections: Rejections
    ) -> list[Share]:
        """The shares that go over the published site; of the others nothing comes or goes."""
        asks = self._config.policy.asks_verdict
        fitted = fit(parts, previous, self._look, rejections.known if asks else ())
        report = self._report
        report.notes += fitted.notes
        for subdir in fitted.passed_over:
            entry = previous.subdir(subdir).entry
            report.subdirs[subdir].count = Count(before=entry.records if entry else 0)
        report.changes = [
            change for change in report.changes if change["subdir"] not in fitted.passed_over
        ]
        return fitted.shares


def _tell_parts(report: Report, parts: Sequence[Part]) -> None:
    """Put what the parts tell into one report. They ran beside each other: the longest counts."""
    report.go_on_from(max(part.report.seconds for part in parts))
    sources: dict[str, None] = {}
    feeds: dict[str, None] = {}
    for part in parts:
        told = part.report
        report.subdirs |= told.subdirs
        report.changes += told.changes
        report.left_out += told.left_out
        report.rejected += told.rejected
        report.waiting += told.waiting
        report.passed_over += told.passed_over
        report.notes += [note for note in told.notes if note not in report.notes]
        report.limited += [text for text in told.limited if text not in report.limited]
        report.trusted = sorted({*report.trusted, *told.trusted})
        sources[told.names_from] = None
        feeds[told.changes_from] = None
        for kind, count in told.requests.items():
            report.requests[kind] = report.requests.get(kind, 0) + count
        for stage, seconds in told.durations.items():
            report.durations[stage] = max(report.durations.get(stage, 0.0), seconds)
    report.names_from = "; ".join(filter(None, sources))
    report.changes_from = "; ".join(filter(None, feeds))
