"""``cf-index diff``."""

from __future__ import annotations

import sys

import click

from indexer.cli import options
from indexer.cli.display import Terminal
from indexer.diff import ChannelDiff, Spool, compare_channels
from indexer.diff.document import as_json
from indexer.diff.telling import as_markdown, as_text
from indexer.errors import ConfigError
from indexer.published import open_published
from indexer.registry import Transport
from indexer.settings import read_seconds

DIFFERENT_EXIT = 1


@click.command(short_help="Say how two published channels differ.")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@options.in_order(
    options.subdir("Compare this subdir; repeatable.  [default: all that either has]"),
    click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "markdown"]),
        default="text",
        show_default=True,
        help="json has all of it; the others are cut to what a person reads.",
    ),
    click.option(
        "--allow-missing",
        is_flag=True,
        help="Take an OLD that isn't there for an empty channel, as before a first publication.",
    ),
    click.option(
        "--retry-for",
        default="60",
        show_default=True,
        metavar="SECONDS",
        help="How long a failing request is tried.",
    ),
)
def diff(
    old: str, new: str, subdirs: tuple[str, ...], form: str, *, allow_missing: bool, retry_for: str
) -> None:
    """Say how the channel NEW differs from the channel OLD: each a folder or an http(s) address.

    Made by cf-index or by any other tool. Says which files came, which went, and which fields of
    which files changed. Exits 0 when they are the same, 1 when they differ.

    Of each subdir one form of the index is compared, and the output says which: the sharded index
    where both channels have it (then only the shards that differ are read), else
    repodata.json.zst or repodata.json. Whether a channel's own forms agree is what check is for.

    \b
    Example:
      cf-index diff https://acme.github.io/forge/ site/
      cf-index diff --allow-missing --format markdown https://acme.github.io/forge/ site/
    """
    try:
        seconds = read_seconds(retry_for)
    except ValueError as error:
        raise ConfigError(f"--retry-for is {retry_for!r}: {error}.") from error
    transport = Transport(retry_for=seconds)
    bars = Terminal()
    try:
        with (
            Spool() as spool,
            open_published(old, transport) as before,
            open_published(new, transport) as after,
        ):
            found = compare_channels(
                before,
                after,
                spool,
                subdirs=subdirs,
                allow_missing=allow_missing,
                progress=bars,
            )
            bars.end()
            _show(found, form)
    finally:
        bars.end()
        transport.close()
    if not found.is_same:
        sys.exit(DIFFERENT_EXIT)


def _show(found: ChannelDiff, form: str) -> None:
    if form == "json":
        sys.stdout.writelines(as_json(found))
        sys.stdout.flush()
        return
    click.echo(as_text(found) if form == "text" else as_markdown(found), nl=False)
