"""``cf-index status``."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
import orjson

from indexer.cli import github, options
from indexer.cli.summary import code_span
from indexer.config import PREFIX
from indexer.errors import ConfigError, inert, printable
from indexer.published import Folder, open_published
from indexer.registry import Transport
from indexer.registry.exchange import Clock
from indexer.settings import read_duration, read_run, read_seconds
from indexer.watching.look import Asked, Seen, State, for_people, watch

T = TypeVar("T")

_DEFAULT_AGE = "90m"
# Seconds that a look may take, besides what is waited.
_LONGEST = 180.0
# A month; timers know no time that is much further.
_FAR = 30 * 86_400.0
CLOCK = Clock()


@click.command(short_help="Say whether a published site is fresh and whole; for monitors.")
@click.argument("channel", metavar="DIR|URL")
@click.option(
    "--max-age",
    metavar="DURATION",
    help="How old it may be, such as 45s, 90m, 2h or 1d.  "
    f"[default: {_DEFAULT_AGE}; with --run any]",
)
@click.option("--run", "run_id", metavar="ID", help="It has to be the site of this run.")
@click.option(
    "--wait",
    default="0s",
    show_default=True,
    metavar="DURATION",
    help="Ask again every ten seconds, for so long, until all is well.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all that was seen, as JSON.")
@click.option(
    "--retry-for",
    default="30",
    show_default=True,
    metavar="SECONDS",
    help="How long a failing request is tried.",
)
@options.summary
@options.log_format
def status(
    channel: str,
    max_age: str | None,
    run_id: str | None,
    wait: str,
    retry_for: str,
    summary: Path | None,
    log_format: str | None,
    *,
    as_json: bool,
) -> None:
    """Look at a published site from outside, past all caches, and say whether it is well.

    Its status.json must be no older than --max-age, or be that of --run; its snapshot must be the
    one that status.json names; and the files of each subdir those that the snapshot lists: the
    shard index by its hash, repodata.json by its size. Prints one line.

    \b
    Exit codes: 0 all is well; 1 stale, inconsistent, or another run's; 2 usage;
    3 it can't be reached.

    \b
    Example:
      cf-index status https://acme.github.io/forge/ --max-age 90m
      cf-index status https://acme.github.io/forge/ --run 1234-1 --wait 10m
    """
    age = max_age or (_DEFAULT_AGE if run_id is None else None)
    asked = Asked(
        max_age=_read("--max-age", age, read_duration) if age else None,
        run=_read("--run", run_id, read_run) if run_id is not None else None,
    )
    patience = _read("--wait", wait, read_duration)
    transport = Transport(retry_for=_read("--retry-for", retry_for, read_seconds))
    # Whoever sends a byte a second would be listened to for months.
    limit = min(patience.total_seconds() + _LONGEST, _FAR)
    end = threading.Timer(limit, transport.close)
    end.daemon = True
    end.start()
    with (
        contextlib.closing(transport),
        open_published(channel, transport, fresh=True) as published,
    ):
        if isinstance(published, Folder) and not published.root.is_dir():
            raise ConfigError(f"There is no folder {channel}.")
        seen = watch(
            published,
            asked,
            wait=patience,
            clock=CLOCK,
            now=lambda: datetime.now(UTC),
            still=_Waiting().tell,
        )
    end.cancel()
    _tell(seen, as_json=as_json)
    _tell_workflow(seen, log_format, summary)
    sys.exit(seen.state.exit_code)


def line_of(seen: Seen) -> str:
    """What was seen, in one line."""
    served = f"served is {seen.stamp}, {_age(seen)}" if seen.stamp else "no stamp is served"
    if seen.state is State.FINE:
        return f"OK: {seen.location}: {served}{_counts(seen)}."
    first, *others = map(str, seen.findings.problems)
    more = len(others) + seen.findings.uncounted
    told = f"{first} (and {more:,} more)" if more else first
    word = seen.state.value.replace("-", " ").upper()
    return inert(f"{word}: {seen.location}: {told.rstrip('.')}; {served}.")


class _Waiting:
    """Says what is waited for, once each time that it changes."""

    def __init__(self) -> None:
        self._said: object = None

    def tell(self, seen: Seen) -> None:
        """On stderr: stdout is for the one line at the end."""
        stamp = seen.stamp and (seen.stamp.time, seen.stamp.run)
        if (seen.state, stamp) != self._said:
            self._said = seen.state, stamp
            click.echo(f"Waiting. {line_of(seen)}", err=True)


def _age(seen: Seen) -> str:
    age = seen.age or 0
    if age < 0:
        return f"{for_people(timedelta(seconds=-age))} in the future"
    return f"{for_people(timedelta(seconds=age))} old"


def _counts(seen: Seen) -> str:
    stamp = seen.stamp
    if stamp is None or stamp.records is None:
        return ""
    waiting = f", {stamp.waiting:,} waiting" if stamp.waiting is not None else ""
    return f": {stamp.records:,} record{'' if stamp.records == 1 else 's'}{waiting}"


def _tell(seen: Seen, *, as_json: bool) -> None:
    if as_json:
        text = orjson.dumps(seen.as_dict(), option=orjson.OPT_INDENT_2).decode()
        click.echo(text.replace("##[", "##\\u005b"))
    else:
        click.echo(line_of(seen))


def _tell_workflow(seen: Seen, log_format: str | None, summary: Path | None) -> None:
    named = summary or os.environ.get(PREFIX + "SUMMARY")
    line = line_of(seen)
    try:
        if named and seen.state is not State.FINE:
            with Path(named).open("a", encoding="utf-8") as file:
                file.write(f"## cf-index status: {seen.state.value}\n\n{code_span(line, 2000)}\n\n")
        if (log_format or os.environ.get(PREFIX + "LOG_FORMAT")) == "github":
            if seen.state is not State.FINE:
                click.echo(github.annotation("error", "cf-index status", printable(line, 2000)))
            github.write_outputs(os.environ, {"state": seen.state.value})
    except OSError as error:
        raise ConfigError(f"{error.filename} can't be written: {error.strerror}.") from error


def _read(flag: str, text: str, reader: Callable[[str], T]) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise ConfigError(f"{flag} is {text!r}: {error}.") from error
