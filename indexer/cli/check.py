"""``cf-index check``."""

from __future__ import annotations

import sys

import click

from indexer.check import check_channel
from indexer.cli.display import Terminal
from indexer.errors import ConfigError
from indexer.published import Folder, open_published
from indexer.registry import Transport
from indexer.settings import read_seconds


@click.command(short_help="Read a published channel back and say what is wrong with it.")
@click.argument("channel", metavar="DIR|URL")
@click.option(
    "--subdir",
    "subdirs",
    multiple=True,
    metavar="SUBDIR",
    help="Check this subdir; repeatable.  [default: all that the channel has]",
)
@click.option(
    "--retry-for",
    default="60",
    show_default=True,
    metavar="SECONDS",
    help="How long a failing request is tried.",
)
def check(channel: str, subdirs: tuple[str, ...], retry_for: str) -> None:
    """Check a published channel, made by cf-index or by any other tool.

    Every file parses, every shard in the shard index exists and has its hash, all forms hold
    the same records, every record has the fields that clients need. Exits 0 when nothing is
    wrong, 1 when something is, with one line for each problem.

    \b
    Example:
      cf-index check site/
      cf-index check https://acme.github.io/forge/
    """
    try:
        seconds = read_seconds(retry_for)
    except ValueError as error:
        raise ConfigError(f"--retry-for is {retry_for!r}: {error}.") from error
    transport = Transport(retry_for=seconds)
    with open_published(channel, transport) as published:
        if isinstance(published, Folder) and not published.root.is_dir():
            raise ConfigError(f"There is no folder {channel}.")
        bars = Terminal()
        try:
            findings = check_channel(published, subdirs or None, bars)
        finally:
            bars.end()
    for problem in findings.problems:
        click.echo(str(problem))
    if findings.uncounted:
        click.echo(f"... and {findings.uncounted} more problems")
    for subdir, count in findings.records.items():
        click.echo(f"{subdir}: {count:,} records")
    if findings.problems:
        sys.exit(1)
    click.echo("Nothing is wrong.")
