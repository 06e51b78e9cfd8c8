"""What every transfer is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from indexer.channel.policy import DEFAULT_POLICY
from indexer.progress import SILENCE, Progress
from indexer.registry import Registry


def _nothing() -> None:
    """Nothing is under way that could be ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Which channel in which registry, how much of it, and by what means.

    Without ``subdirs`` it is all of them, without ``globs`` (of package names) every package.
    ``now`` is the time of the transfer; ``status_key`` the annotation that new content loses;
    ``jobs`` how many artifacts are under way at once; ``abort`` ends what is.
    """

    registry: Registry
    channel: str
    now: datetime
    subdirs: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    status_key: str = DEFAULT_POLICY.key
    dry_run: bool = False
    jobs: int = 16
    progress: Progress = SILENCE
    abort: Callable[[], None] = _nothing
