"""What a path leads to, and the sources that know: the seam between content and HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from indexer.errors import RegistryError
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Digest

# In seconds, where nobody says it better.
RETRY_AFTER = 5.0


class UnavailableError(RegistryError):
    """The registry can't answer just now; in ``retry_after`` seconds it may.

    ``limited``: it wants nothing to be asked of it until then.
    """

    def __init__(
        self, problem: str, retry_after: float = RETRY_AFTER, *, limited: bool = False
    ) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        self.limited = limited


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Bytes on this machine: ``size`` bytes of a file from ``offset`` on.

    ``etag`` is without its quotes; ``cache`` is the Cache-Control. The file stays for a minute at
    least after it was given, and never changes. ``sandbox``: a stranger made it, and in a browser
    nothing in it may act.
    """

    path: Path
    size: int
    etag: str
    media_type: str
    cache: str
    offset: int = 0
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in a registry. ``repository`` is its full name there; ``sandbox`` as above."""

    registry: RegistryAddress
    repository: str
    digest: Digest
    size: int
    media_type: str
    cache: str
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another address has it; clients are sent there."""

    url: str


Found = LocalFile | Blob | Elsewhere


class Source(Protocol):
    """Knows what each path is. ``find`` may be called from several threads."""

    @property
    def name(self) -> str:
        """What is served, for people."""
        ...

    def find(self, path: str) -> Found | None:
        """What is at a path, decoded and without its first slash; None where nothing is.

        Raises ContentError where it is there and damaged, UnavailableError where that can't be
        had just now, RegistryError where it is refused.
        """
        ...

    def refresh(self) -> bool:
        """Look for something new, and take it over whole; True where there was something.

        Called before anything is asked, and again at intervals, never twice at once. Raises
        CfIndexError where it can't be had or isn't sound; what was there before stays then.
        """
        ...

    def close(self) -> None:
        """End what is under way, and delete what was kept."""
        ...
