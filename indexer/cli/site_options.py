"""The options of commands that write a site: which channel, where it is, how it looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from indexer.cli import options

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    options.config_file,
    options.registry,
    options.channel,
    options.output,
    click.option(
        "--state",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="What was read before, a cache.  [default: .cf-index]",
    ),
    options.previous_site,
    click.option(
        "--base-url",
        metavar="auto|oci|none|URL",
        help="Where clients find packages. auto: the registry, where oci:// clients can "
        "reach it, else none. URL: a channel address that answers /SUBDIR/FILE.",
    ),
    click.option(
        "--site-url",
        metavar="URL",
        help="The site's own address: for commands, feeds and the sitemap.",
    ),
    click.option(
        "--gateway-url",
        metavar="URL",
        help="Where `cf-index serve` answers for this channel's index and packages: for the "
        "commands of conda and mamba.",
    ),
    click.option(
        "--pages/--no-pages",
        default=None,
        help="Write pages and the JSON API beside the index, or the index alone.  [default: pages]",
    ),
    click.option(
        "--max-site-size",
        metavar="SIZE",
        help="What the host takes. Above it pages are left out, then the API, never the index.  "
        "[default: 1 GB]",
    ),
    options.policy,
    options.trust,
    click.option(
        "--all", "all", is_flag=True, help="Let everything in, validated or not (policy none)."
    ),
    click.option(
        "--max-drop",
        metavar="PERCENT",
        help="Refuse to publish when more of a subdir's records would go.  [default: 10%]",
    ),
    click.option("--allow-drop", is_flag=True, help="Publish even so."),
    options.retry_for,
    click.option(
        "--report",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write all that was found as JSON.",
    ),
    options.summary,
    options.log_format,
    options.run,
)


def of_site(command: F) -> F:
    """Give a command these options, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
