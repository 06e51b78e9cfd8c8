"""What a run gets from outside besides its configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import indexer
from indexer.config import Config
from indexer.errors import CfIndexError
from indexer.progress import Progress
from indexer.rebuild.report import Report
from indexer.registry.github import APIS
from indexer.render.history import rfc3339


@dataclass(frozen=True, slots=True)
class Run:
    """The time, the environment, and who is told."""

    now: datetime
    environ: Mapping[str, str]
    progress: Progress
    # Gets the report of a run that fails, as far as it came.
    failed: Callable[[Report], None] = lambda _: None
    # Addresses of the APIs that tell what has changed, by the registry's host.
    apis: Mapping[str, str] = field(default_factory=lambda: APIS)

    @classmethod
    def ordinary(cls, progress: Progress, failed: Callable[[Report], None]) -> Run:
        """A run now, in this process's environment."""
        return cls(datetime.now(UTC), os.environ, progress, failed)

    @contextlib.contextmanager
    def reporting(self, config: Config) -> Iterator[Report]:
        """The report of a run, begun; where it fails, whoever asked gets it as far as it came."""
        report = Report(
            time=rfc3339(self.now),
            version=indexer.__version__,
            registry=str(config.registry),
            channel=config.channel,
            policy=str(config.policy),
            output=str(config.output),
            run=config.run,
        )
        try:
            yield report
        except CfIndexError as error:
            report.outcome = f"failed: {error}"
            self.failed(report)
            raise
