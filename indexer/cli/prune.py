"""``cf-index prune``."""

from __future__ import annotations

import os
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from indexer.cli import options
from indexer.cli.display import show_trouble
from indexer.config import ChannelConfig
from indexer.registry.github import APIS
from indexer.registry.removal import open_remover
from indexer.settings import read_share
from indexer.transfer.doomed import Limits, Plan
from indexer.transfer.naming import list_repositories
from indexer.transfer.prune import Prune
from indexer.transfer.references import parse_manifest_reference, read_lines
from indexer.transfer.restore import Restore
from indexer.transfer.surveying import read_first_seen

_DURATION = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(
    context: click.Context, option: click.Parameter, text: str | None
) -> timedelta | None:
    """A whole number of minutes, hours, days or weeks."""
    match = _DURATION.fullmatch(text) if text is not None else None
    if text is not None and match is None:
        raise click.BadParameter(
            f"{text!r} is no duration: write 90m, 24h, 7d or 2w.", context, option
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match is not None else None


def _share(context: click.Context, option: click.Parameter, text: str) -> float:
    """A percentage, as a share of one."""
    try:
        return read_share(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}.", context, option) from error


@click.command(short_help="Take out of the registry what nobody let in.")
@click.argument("refs", metavar="[REF...]", nargs=-1)
@options.in_order(
    options.config_file,
    options.registry,
    options.channel,
    click.option(
        "--unmarked-for",
        callback=_duration,
        metavar="DURATION",
        help="Take out builds that nobody validated or rejected within this time of their upload: "
        "90m, 24h, 7d, 2w.",
    ),
    click.option(
        "--rejected-for",
        callback=_duration,
        metavar="DURATION",
        help="Take out builds that were rejected, this time after their upload.",
    ),
    click.option(
        "--max-prune",
        callback=_share,
        metavar="PERCENT",
        default="30%",
        show_default=True,
        help="Refuse to take out more of the builds that were looked at.",
    ),
    click.option("--yes", is_flag=True, help="Do it. Without it the plan is printed alone."),
    click.option(
        "--restore",
        is_flag=True,
        help="Take back what was taken out (ghcr.io, for 30 days): every REF.",
    ),
    options.subdir("Look at this subdir; repeatable.  [default: all that the registry has]"),
    options.package("Look at packages of these names only; repeatable."),
    options.policy,
    options.trust,
    options.previous,
    options.audit,
    options.jobs,
    options.retry_for,
)
def prune(
    refs: tuple[str, ...],
    config_file: Path | None,
    *,
    unmarked_for: timedelta | None,
    rejected_for: timedelta | None,
    max_prune: float,
    yes: bool,
    restore: bool,
    **flags: Any,
) -> None:
    """Take out of a staging registry what nobody let in.

    A build is let in by the policy that rebuild has, too; what is let in stays, even where no
    index could have it. The age of the others counts from their upload, by the annotation
    creationTime of their archives (else org.opencontainers.image.created), or where there is
    none, from when the indexer first saw them, which the published site remembers (--previous).
    What has no time at all stays, and is named.

    Where no key is trusted, nobody can read verdicts: then none goes, and a build with verdicts on
    it stays. With --policy both, a build that a trusted key let in goes only when a verdict says
    no, whatever its annotation says.

    The plan is always printed; it is carried out with --yes. A manifest goes by its digest, and
    only where no tag that stays leads to it. Verdicts on what is gone go, too, once their own
    date is longer ago than the larger of the two durations; those that say no only where the
    published site remembers them (then along with their build, whatever their date); those that
    can't be read never.

    Everything has to be readable: where a repository or a tag can't be looked at, nothing goes, and
    it exits 3. It exits 4 past --max-prune, 5 when some couldn't be taken out. Run again after an
    interruption, it goes on.

    ghcr.io deletes by GitHub's API alone, with a token in CF_INDEX_GITHUB_TOKEN (or GITHUB_TOKEN,
    GH_TOKEN) that has read:packages and delete:packages; for --restore, write:packages. Whoever
    is the last version of a package there takes the package along.

    A REF, for --restore, is subdir/name:tag@sha256:... or subdir/name@sha256:..., as prune and
    its log name what went; - reads them from stdin, one a line.

    \b
    Examples:
      cf-index prune --unmarked-for 24h --rejected-for 7d --yes \\
        --registry oci://ghcr.io/acme --channel staging
      cf-index prune --restore noarch/alpha:1.0-0@sha256:0123... --yes
    """
    _check_usage(refs, restore=restore, limited=(unmarked_for, rejected_for) != (None, None))
    config = options.read_config(flags, config_file)
    yes = yes and not config.dry_run
    if restore:
        _restore(config, refs, yes=yes)
    else:
        _prune(config, Limits(unmarked_for, rejected_for), max_prune, yes=yes)


def _check_usage(refs: tuple[str, ...], *, restore: bool, limited: bool) -> None:
    if restore and not refs:
        raise click.UsageError("--restore needs to know what: name a REF, or - for stdin.")
    if restore and limited:
        raise click.UsageError("--restore goes without --unmarked-for and --rejected-for.")
    if refs and not restore:
        raise click.UsageError("A REF goes with --restore alone; --package names what to look at.")
    if not restore and not limited:
        raise click.UsageError("Say --unmarked-for, --rejected-for, or both.")


def _prune(config: ChannelConfig, limits: Limits, max_prune: float, *, yes: bool) -> None:
    log = options.open_audit(config) if yes else None
    # GitHub's API deletes; the registry itself is only read there.
    writing = yes and config.registry.host not in APIS
    with options.session(config, writing=writing) as session:
        registry = session.registry
        job = Prune(
            session.job(config),
            options.inspector(config, session, registry),
            open_remover(registry, session.transport, os.environ),
            limits,
            options.from_site(config, session, read_first_seen) or {},
        )
        try:
            listing = list_repositories(
                registry, session.transport, config.channel, config.subdirs, os.environ
            )
            plan = job.plan(listing)
            session.bars.end()
            _show_plan(plan, job.inspector.now)
            plan.raise_if_unsafe(max_prune)
            if log is not None:
                job.carry_out(plan, log)
        finally:
            session.bars.end()
            show_trouble(job.outcome)
            if log is not None:
                _show_removed(job)
        if log is None and (plan.packages or plan.verdicts):
            click.echo("Nothing was taken out: say --yes to do it.")
    if job.outcome.failed:
        sys.exit(options.FAILED_EXIT)


def _restore(config: ChannelConfig, refs: tuple[str, ...], *, yes: bool) -> None:
    lines = read_lines(refs, options.stdin_lines())
    references = [parse_manifest_reference(text) for text in lines]
    log = options.open_audit(config) if yes else None
    with options.session(config, writing=False) as session:
        remover = open_remover(session.registry, session.transport, os.environ)
        job = Restore(session.registry, config.channel, remover)
        try:
            plan = job.plan(references)
            for lost in plan:
                click.echo(f"{lost.reference}  # {lost.found}")
            if log is not None:
                job.carry_out(plan, log)
        finally:
            show_trouble(job.outcome)
        is_back = sum(lost.found == "there" for lost in plan)
        if log is not None:
            click.echo(f"{job.restored:,} taken back; {is_back:,} were there already.")
        else:
            click.echo(f"{len(plan) - is_back:,} can be taken back: say --yes to do it.")
    if job.outcome.failed:
        sys.exit(options.FAILED_EXIT)


def _show_plan(plan: Plan, now: datetime) -> None:
    """Print what is to go, in the words that --restore takes, and totals."""
    for removal in (*plan.packages, *plan.verdicts):
        age = ""
        if removal.since is not None:
            age = f", {removal.since}, {_age(now - removal.since.time)} ago"
        for reference in removal.references:
            click.echo(f"{reference}  # {removal.reason}{age}")
    share = f", {plan.builds / plan.looked_at:.1%}" if plan.looked_at else ""
    click.echo(
        f"To go: {plan.builds:,} of {plan.looked_at:,} builds{share} "
        f"({plan.count('unmarked'):,} unmarked, {plan.count('rejected'):,} rejected), and "
        f"{len(plan.verdicts):,} verdicts."
    )


def _show_removed(job: Prune) -> None:
    builds = sum(removal.builds for removal in job.removed)
    verdicts = sum(not removal.builds for removal in job.removed)
    failed = f"; {job.outcome.failed:,} failed" if job.outcome.failed else ""
    click.echo(f"{builds:,} builds and {verdicts:,} verdicts were taken out{failed}.")
    if job.removed and job.remover.can_restore:
        click.echo("For 30 days, cf-index prune --restore REF... takes them back.")


def _age(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
