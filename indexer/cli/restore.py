"""``cf-index restore``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from indexer.cli import options, site_options
from indexer.cli.telling import run_told
from indexer.config import load_config
from indexer.rebuild import rollback


@click.command(short_help="Publish the channel as it was after an earlier publication.")
@click.argument("time", required=False, metavar="[TIME]")
@click.option("--list", "only_list", is_flag=True, help="Print the generations that are kept.")
@site_options.of_site
@options.dry_run("Say what would come of it and write nothing.")
def restore(time: str | None, *, only_list: bool, config_file: Path | None, **flags: Any) -> None:
    """Publish an earlier generation of the channel again, into a folder.

    A generation is the channel as it was after one publication. The last five are kept, and the
    last one of each of the last seven days, as long as their shards are there. TIME is that of
    one, or how it begins; without it, the last one that isn't published now.

    Its records are put back as they were, with their times of entry, but for those that were
    rejected since then. The guard isn't asked, and neither is the registry: the next rebuild
    publishes what the registry holds. What is published now becomes a generation itself, so
    this can be undone by another restore.

    \b
    Example:
      cf-index restore --list --previous https://acme.github.io/forge/
      cf-index restore 2026-11-22T02:07 --output site
    """
    if only_list:
        lines = rollback.list_generations(load_config(flags, os.environ, config_file))
        click.echo("\n".join(lines) or "No generation is kept.")
        return
    run_told("restore", flags, config_file, lambda config, run: rollback.restore(config, time, run))
