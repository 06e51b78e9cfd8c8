"""Options that several commands share, and what they come to."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from indexer.cli.display import Terminal, show_outcome
from indexer.config import ChannelConfig, check_trust, load_channel_config
from indexer.errors import ConfigError, LoginError
from indexer.published import Published, open_published
from indexer.published.history import is_ours, read_rejections
from indexer.registry import Registry, Transport, open_registry
from indexer.registry.auth import HOW_TO_LOG_IN
from indexer.transfer.audit import AuditLog, whoever_runs_this
from indexer.transfer.job import Job
from indexer.transfer.outcome import Outcome
from indexer.transfer.standing import Inspector
from indexer.trust.keys import load_keyring

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

FAILED_EXIT = 5

config_file = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings file.  [default: cf-index.toml, where there is one]",
)
registry = click.option(
    "--registry",
    metavar="URL",
    help="oci://host/namespace, oci+http://host:port/namespace or ocidir://path.",
)
channel = click.option(
    "--channel", metavar="NAME", help="The channel's name, the part after the namespace."
)
output = click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The site's folder. It is replaced whole at each publication.",
)
previous_site = click.option(
    "--previous", metavar="DIR|URL", help="The site as published last.  [default: the output]"
)
names = click.option(
    "--names",
    metavar="FILE",
    help="Names of the channel's packages, one a line (NAME or SUBDIR/NAME); - is stdin.",
)
jobs = click.option(
    "--jobs", type=int, metavar="N", help="Requests under way at once.  [default: 32]"
)
retry_for = click.option(
    "--retry-for",
    type=float,
    metavar="SECONDS",
    help="How long a failing request is tried.  [default: 60]",
)
summary = click.option(
    "--summary",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append an account of the run for people to this file, as Markdown, also when it fails.",
)
log_format = click.option(
    "--log-format",
    metavar="text|json|github",
    help="json: one object a line on stderr. github: annotations of a workflow, and outputs of its "
    "step.  [default: text]",
)
run = click.option(
    "--run",
    metavar="ID",
    help="What the scheduler calls this run, such as its number; status.json says it.",
)
policy = click.option(
    "--policy",
    metavar="POLICY",
    help="Who says what is validated: annotation, attestation, both or none.  "
    "[default: annotation]",
)
trust = click.option(
    "--trust",
    "trust",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A public key whose verdicts count; repeatable.",
)
previous = click.option(
    "--previous",
    metavar="DIR|URL",
    help="The site as published last, which remembers rejections and waiting times.  "
    "[default: the output]",
)
audit = click.option(
    "--audit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append what is done to this log.  [default: .cf-index/audit.jsonl]",
)


def subdir(text: str) -> Callable[[F], F]:
    """``--subdir``, repeatable."""
    return click.option("--subdir", "subdirs", multiple=True, metavar="SUBDIR", help=text)


def package(text: str) -> Callable[[F], F]:
    """``--package``, repeatable."""
    return click.option("--package", "packages", multiple=True, metavar="GLOB", help=text)


def dry_run(text: str) -> Callable[[F], F]:
    """``--dry-run``."""
    return click.option("--dry-run", is_flag=True, help=text)


def in_order(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options, in the order in which they are to stand in the help."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def read_config(flags: Mapping[str, Any], file: Path | None) -> ChannelConfig:
    """Flags, environment and settings file together. Raises ConfigError."""
    return load_channel_config(flags, os.environ, file)


def stdin_lines() -> Iterator[str]:
    """The lines of stdin, read when they are asked for; what isn't UTF-8 gets marks for it.

    Raises ConfigError where it can't be read.
    """
    # Whoever starts a program with its stdin closed leaves it without one.
    if sys.stdin is None:
        raise ConfigError("- stands for the lines of stdin, and stdin is closed.")
    try:
        for line in sys.stdin.buffer:
            yield line.decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"stdin can't be read: {error.strerror}.") from error


@dataclass(frozen=True, slots=True)
class Session:
    """An open registry, and somebody who shows how far it is."""

    registry: Registry
    transport: Transport
    bars: Terminal

    def job(self, config: ChannelConfig) -> Job:
        """What a transfer is given."""
        return Job(
            registry=self.registry,
            channel=config.channel,
            now=datetime.now(UTC),
            subdirs=config.subdirs,
            globs=config.packages,
            status_key=config.policy.key,
            dry_run=config.dry_run,
            jobs=config.jobs,
            progress=self.bars,
            abort=self.transport.close,
        )


def open_audit(config: ChannelConfig) -> AuditLog:
    """The audit log. Raises ConfigError where it can't be written."""
    log = AuditLog(config.audit, whoever_runs_this(os.environ))
    log.check()
    return log


def inspector(config: ChannelConfig, session: Session, registry: Registry) -> Inspector:
    """Who says how builds in a registry stand, by the configured policy and the keys trusted.

    With the rejections that the published site remembers, where one is configured. Raises
    ConfigError, RegistryError, GuardError.
    """
    check_trust(config)
    rejections = from_site(config, session, read_rejections)
    return Inspector(
        registry=registry,
        channel=config.channel,
        policy=config.policy,
        keyring=load_keyring(config.trust),
        now=datetime.now(UTC),
        rejections=rejections or [],
    )


def site_of(config: ChannelConfig) -> str | None:
    """Where the published site is, by folder or address; None where none is configured."""
    return config.previous or (str(config.output) if config.output is not None else None)


def from_site(config: ChannelConfig, session: Session, read: Callable[[Published], T]) -> T | None:
    """What the published site remembers; None where there is none.

    Raises ConfigError where one was named and isn't there.
    """
    site = site_of(config)
    if site is None:
        return None
    with open_published(site, session.transport) as published:
        if not is_ours(published):
            if config.previous is None:
                return None
            raise ConfigError(
                f"There is no site at --previous {published.location}: what it remembers of "
                "rejections would be passed over."
            )
        return read(published)


@contextlib.contextmanager
def session(config: ChannelConfig, *, writing: bool) -> Iterator[Session]:
    """Open a channel's registry for the length of a command."""
    transport = Transport(jobs=config.jobs, retry_for=config.retry_for)
    bars = Terminal()
    try:
        yield Session(open_registry(config.registry, transport, writing=writing), transport, bars)
    finally:
        bars.end()
        transport.close()


@contextlib.contextmanager
def shown(
    outcome: Outcome,
    session: Session,
    verb: str,
    *,
    writing: bool = True,
    show: Callable[[Outcome, str], None] = show_outcome,
) -> Iterator[None]:
    """Show what became of a transfer, however it ends; exit 5 where something couldn't be done."""
    try:
        yield
    except BaseException:
        session.bars.end()
        _note_limits(outcome, session)
        if outcome.moved.count or outcome.failed or outcome.noted:
            show(outcome, verb)
        raise
    session.bars.end()
    _note_limits(outcome, session)
    show(outcome, verb)
    if writing and outcome.dry_run and session.registry.needs_login:
        raise LoginError(
            f"{session.registry.address} asks who is writing, and no credentials are known: "
            f"without --dry-run nothing would be {verb}. {HOW_TO_LOG_IN}"
        )
    if outcome.failed:
        sys.exit(FAILED_EXIT)


def _note_limits(outcome: Outcome, session: Session) -> None:
    for limited in session.transport.limited():
        outcome.note(str(limited))
