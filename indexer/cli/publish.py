"""``cf-index publish``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from indexer.cli import options
from indexer.errors import ConfigError
from indexer.published import Folder, open_published
from indexer.transfer.publish import Publish


@click.command(short_help="Put the index itself into the registry.")
@click.argument("site", metavar="DIR|URL")
@options.in_order(
    options.config_file,
    options.registry,
    options.channel,
    options.subdir(
        "Publish this subdir; repeatable.  "
        "[default: all of a folder; at an address all that are known]"
    ),
    click.option("--all", "again", is_flag=True, help="Push every shard again, there or not."),
    options.dry_run("Say what would be pushed, and push nothing."),
    options.jobs,
    options.retry_for,
)
def publish(site: str, config_file: Path | None, *, again: bool, **flags: Any) -> None:
    """Put a site's index into the registry, where oci:// clients look for it.

    With it, a channel needs no web host: its address is oci://HOST/NAMESPACE/CHANNEL. Each subdir
    gets a repository CHANNEL/SUBDIR/repodata.json with the tags latest and a UTC timestamp, of
    repodata.json, repodata.json.zst and the shard index; shards come before it, only those that
    are new. Nothing is written where nothing has changed.

    \b
    Example:
      cf-index publish site --registry oci://ghcr.io/acme --channel forge
    """
    config = options.read_config(flags, config_file)
    with (
        options.session(config, writing=True) as session,
        open_published(site, session.transport) as published,
    ):
        if isinstance(published, Folder) and not published.root.is_dir():
            raise ConfigError(f"There is no folder {site}.")
        job = Publish(session.job(config), published, again=again)
        with options.shown(job.outcome, session, "published"):
            job.run()
