"""``cf-index push``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from indexer.cli import options
from indexer.registry import Transport
from indexer.transfer.notify import Notifier, check_notify
from indexer.transfer.push import Push


@click.command(short_help="Push archives from this machine into the registry.")
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@options.in_order(
    options.config_file,
    options.registry,
    options.channel,
    options.subdir(
        "Push archives of this subdir; repeatable. One alone is also that of archives whose "
        "index.json names none.  [default: all]"
    ),
    click.option("--all", "again", is_flag=True, help="Push everything again, there or not."),
    click.option(
        "--notify", metavar="URL", help="Post what was pushed, as JSON, to a validation service."
    ),
    options.dry_run("Say what would be pushed, and push nothing."),
    options.jobs,
    options.retry_for,
)
def push(
    paths: tuple[Path, ...],
    config_file: Path | None,
    *,
    again: bool,
    notify: str | None,
    **flags: Any,
) -> None:
    """Push archives (.conda, .tar.bz2) into the channel's registry.

    A PATH is an archive, or a folder in the shape of a channel (SUBDIR/FILE). What the registry
    has already, by sha256, is not sent again. The subdir comes from the archive's index.json.
    Both formats of a build share one tag, and neither takes the other's place. What is new under
    a tag is never validated: the mark that was there goes.

    Run it again after an interruption: it goes on where it was. Exits 5 when some archives
    couldn't be pushed, each named with its reason.

    \b
    Example:
      cf-index push build_artifacts/ --registry oci://ghcr.io/acme --channel forge
    """
    config = options.read_config(flags, config_file)
    url = check_notify(notify) if notify is not None else None
    with options.session(config, writing=True) as session:
        job = Push(session.job(config), again=again)
        # One of its own: it has to tell even after the other was cut off.
        teller = Transport(retry_for=config.retry_for)
        notifier = Notifier(teller, url, config.channel, job.outcome) if url else None
        try:
            with options.shown(job.outcome, session, "pushed"):
                job.run(paths, notifier)
        finally:
            teller.close()
