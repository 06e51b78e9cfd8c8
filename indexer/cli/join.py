"""``cf-index join``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from indexer.cli import options, site_options
from indexer.cli.telling import run_told
from indexer.rebuild.joining import join as join_parts


@click.command(short_help="Join what runs of rebuild --part made, and publish it.")
@click.argument(
    "parts", nargs=-1, required=True, metavar="PART...", type=click.Path(path_type=Path)
)
@site_options.of_site
@options.dry_run("Say what would come of it and write nothing.")
def join(parts: tuple[Path, ...], config_file: Path | None, **flags: Any) -> None:
    """Join parts of one run into a site, and publish it into a folder.

    Each PART is the folder that a cf-index rebuild --part made of one subdir or more, so that
    many machines can read a channel beside each other. Subdirs without a part stay as they were
    published. The channel-wide files are made, and the whole is checked, before anything is
    replaced.

    Parts of different runs, registries, channels, policies or versions of cf-index are refused,
    and so are those that were made upon another index than is published now.

    \b
    Example, in three jobs of a CI system:
      cf-index rebuild --subdir linux-64 --part parts/linux-64 --run 4711
      cf-index rebuild --subdir noarch --part parts/noarch --run 4711
      cf-index join parts/linux-64 parts/noarch --output site
    """
    run_told("join", flags, config_file, lambda config, run: join_parts(config, parts, run))
