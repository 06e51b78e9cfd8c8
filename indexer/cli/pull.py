"""``cf-index pull``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from indexer.channel import codec
from indexer.cli import options
from indexer.config import ChannelConfig
from indexer.transfer.naming import list_repositories
from indexer.transfer.pull import Pull


@click.command(short_help="Copy a channel from the registry into a folder.")
@options.in_order(
    options.config_file,
    options.registry,
    options.channel,
    click.option(
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The folder; it gets the shape of a channel.",
    ),
    options.subdir("Pull this subdir; repeatable.  [default: all that the registry has]"),
    options.package("Pull packages of these names only; repeatable."),
    click.option(
        "--latest", is_flag=True, help="Only the newest version's last build of each package."
    ),
    options.dry_run("Say what would be pulled, and pull nothing."),
    options.jobs,
    options.retry_for,
)
def pull(config_file: Path | None, *, output: Path, latest: bool, **flags: Any) -> None:
    """Copy packages from the registry into a folder in the shape of a channel.

    Writes SUBDIR/FILE for each archive, and SUBDIR/repodata.json of all that is there. Every
    archive is checked against its digest; what is there already is not fetched again. Whether
    something is validated doesn't matter.

    Run it again after an interruption: it goes on where it was. Exits 5 when some archives
    couldn't be pulled, each named with its reason.

    \b
    Example:
      cf-index pull --registry oci://ghcr.io/acme --channel forge --subdir noarch \\
        --package zlib --output mirror/
    """
    config = options.read_config(flags, config_file)
    with options.session(config, writing=False) as session:
        job = Pull(session.job(config), output, latest=latest)
        with options.shown(job.outcome, session, "pulled", writing=False):
            whole = _whole_names(config)
            job.run(whole or _listed(config, session), is_listed=whole is None)


def _whole_names(config: ChannelConfig) -> Mapping[str, Sequence[str]] | None:
    """Whole names of known subdirs need no listing, which not every registry has."""
    whole = [name for name in config.packages if not set("*?[") & set(name)]
    if not config.subdirs or not whole or len(whole) != len(config.packages):
        return None
    return dict.fromkeys(config.subdirs, sorted({codec.repository_name(name) for name in whole}))


def _listed(config: ChannelConfig, session: options.Session) -> Mapping[str, Sequence[str]]:
    return list_repositories(
        session.registry, session.transport, config.channel, config.subdirs, os.environ
    ).repositories
