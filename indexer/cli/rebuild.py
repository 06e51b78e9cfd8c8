"""``cf-index rebuild``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from indexer.cli import options, site_options
from indexer.cli.telling import run_told
from indexer.rebuild import pipeline

_STRICT_EXIT = 5


@click.command(short_help="Read the registry, write the index, publish it into a folder.")
@site_options.of_site
@options.subdir("Read this subdir; repeatable.  [default: all that the registry has]")
@options.package("Refresh only packages of these names; repeatable. All others stay.")
@options.names
@click.option(
    "--allow-changed",
    multiple=True,
    metavar="GLOB",
    help="Files that may come with other bytes than before; repeatable.",
)
@click.option(
    "--recheck",
    metavar="SHARE",
    help="Look again at this share of the validated artifacts, such as 1/96.",
)
@click.option(
    "--list-all",
    is_flag=True,
    help="List every repository's tags, whatever GitHub says has changed.",
)
@click.option(
    "--first",
    multiple=True,
    metavar="NAME",
    help="Look at this package again, before all others; repeatable. All others are read as ever.",
)
@click.option("--full", is_flag=True, help="Read everything anew, without the state.")
@click.option(
    "--part",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write no site, but what this run makes of its subdirs, for cf-index join. Needs --run.",
)
@options.dry_run("Print the plan and write nothing.")
@click.option("--strict", is_flag=True, help="Exit 5 when artifacts were left out.")
@options.jobs
def rebuild(config_file: Path | None, **flags: Any) -> None:
    """Make the channel's index from its registry, and publish it into a folder.

    Lists the packages' repositories and tags, reads each new artifact's manifest and
    index.json, keeps what is validated, and writes repodata (monolithic and sharded)
    whose sha256 values point at the registry's blobs.

    What is validated is said by an annotation, which anybody who may push can write (policy
    annotation), or by a verdict that is signed with a key you --trust (policy attestation), or by
    both together (policy both).

    Most options may also stand in cf-index.toml (max-drop = "10%") or in the environment
    (CF_INDEX_MAX_DROP); options win over the environment, and that over the file. Those for
    one run alone (--package, --full, --allow-drop, --dry-run) can't stand in the file.

    \b
    Example:
      cf-index rebuild --registry oci://ghcr.io/acme --channel forge --output site
    """
    config, report = run_told("rebuild", flags, config_file, pipeline.rebuild)
    if config.strict and report.left_out:
        sys.exit(_STRICT_EXIT)
