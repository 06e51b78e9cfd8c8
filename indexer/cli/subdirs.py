"""``cf-index subdirs``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson

from indexer.cli import options
from indexer.cli.telling import Telling, settings_told
from indexer.progress import SILENCE
from indexer.rebuild.run import Run
from indexer.rebuild.splitting import find_subdirs


@click.command(short_help="Print the subdirs that a rebuild reads.")
@options.config_file
@options.registry
@options.channel
@options.output
@options.previous_site
@options.names
@options.retry_for
@options.summary
@options.log_format
@click.option("--json", "as_json", is_flag=True, help="Print one line with a JSON list.")
def subdirs(config_file: Path | None, *, as_json: bool, **flags: Any) -> None:
    """Print the subdirs that a rebuild reads: those of the settings, else all there are.

    That is what the registry (or the file of names) has and what was published before; noarch,
    where that is nothing. A CI system makes a job for each of them: see cf-index rebuild --part.
    With --log-format github, that list is the output "subdirs" of the workflow's step, too.

    \b
    Example:
      cf-index subdirs --json
    """
    config = settings_told("subdirs", flags, config_file)
    telling = Telling(
        "subdirs", output=config.output, log_format=config.log_format, summary=config.summary
    )
    with telling.failures():
        telling.check()
        found = find_subdirs(config, Run.ordinary(SILENCE, telling.failing))
        listed = orjson.dumps(found).decode()
        telling.hand_on({"subdirs": listed})
    click.echo(listed if as_json else "\n".join(found))
