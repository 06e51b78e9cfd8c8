"""``cf-index mirror``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from indexer.channel.plan import Guard
from indexer.cli import options
from indexer.config import ChannelConfig
from indexer.transfer.mirror import Mirror
from indexer.transfer.mirror_pruning import Pruner
from indexer.transfer.naming import list_repositories
from indexer.transfer.upstream import open_upstream


@click.command(short_help="Copy a conda channel into the registry.")
@options.in_order(
    options.config_file,
    click.option(
        "--from",
        "source",
        required=True,
        metavar="URL",
        help="The channel: an http(s) or file address, a folder (./channel), or a name such as "
        "conda-forge.",
    ),
    options.registry,
    options.channel,
    options.subdir(
        "Copy this subdir; repeatable.  "
        "[default: all of a folder; at an address all that are known]"
    ),
    options.package("Copy packages of these names only; repeatable."),
    click.option("--prune", is_flag=True, help="Take out of the registry what upstream removed."),
    click.option(
        "--max-drop",
        metavar="PERCENT",
        help="Refuse to prune more of a subdir's archives than that.  [default: 10%]",
    ),
    click.option("--allow-drop", is_flag=True, help="Prune even so."),
    options.dry_run("Say what would be copied and removed, and do nothing."),
    options.jobs,
    options.retry_for,
)
def mirror(config_file: Path | None, *, source: str, prune: bool, **flags: Any) -> None:
    """Copy what the registry lacks of a conda channel.

    Reads the channel's sharded repodata where it has it (only the shards of the packages that are
    asked for), else repodata.json.zst, else repodata.json. Every download is checked against its
    sha256, or md5, and its size; nothing wrong gets into the registry. What is there already is
    not downloaded.

    Run it again after an interruption: it goes on where it was. Exits 5 when some archives
    couldn't be copied, each named with its reason; 4 when --prune would remove too much.

    \b
    Example:
      cf-index mirror --from conda-forge --subdir noarch --package 'python-*' \\
        --registry oci://ghcr.io/acme --channel forge
    """
    config = options.read_config(flags, config_file)
    with (
        options.session(config, writing=True) as session,
        open_upstream(source, session.transport, config.registry) as upstream,
    ):
        job = Mirror(session.job(config), upstream)
        with options.shown(job.outcome, session, "mirrored"):
            job.run(_pruner(config, session, job) if prune else None)


def _pruner(config: ChannelConfig, session: options.Session, job: Mirror) -> Pruner:
    return Pruner(
        session.registry,
        job.outcome,
        Guard(config.max_drop, config.allow_drop),
        lambda subdirs: list_repositories(
            session.registry, session.transport, config.channel, subdirs, os.environ
        ),
        config.subdirs,
    )
