"""What reading a subdir came to, and how what is left out is told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from indexer.channel.artifact import Fault, Place
from indexer.errors import RegistryError, printable


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An artifact (or one file of it) that is not in the index, and why."""

    subdir: str
    repository: str
    tag: str
    file_name: str
    reason: str

    @property
    def place(self) -> str:
        """Where it is, for people."""
        tag = f":{self.tag}" if self.tag else ""
        file_name = f" ({self.file_name})" if self.file_name else ""
        return f"{self.subdir}/{self.repository}{tag}{file_name}"


@dataclass(slots=True)
class Tally:
    """What reading a subdir came to.

    Of the ``repositories``, those ``unchanged`` by a change feed weren't listed. ``untold`` had
    other tags than were remembered, though by the feed they were unchanged, too. ``verdicts`` are
    those that were read.
    """

    repositories: int = 0
    unchanged: int = 0
    untold: int = 0
    tags: int = 0
    verdicts: int = 0
    read: int = 0
    looked_again: int = 0
    denied: int = 0
    passed_over: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def refuse_if_all_denied(tallies: Sequence[Tally], *, named: bool) -> None:
    """Raise RegistryError where not one repository of a subdir answers: then none is absent.

    With ``named`` packages, where not one of all subdirs' does.
    """
    for part in [tallies] if named else [[tally] for tally in tallies]:
        asked = sum(tally.repositories for tally in part)
        if asked and sum(tally.denied for tally in part) == asked:
            reason = next(text for tally in part for text in tally.passed_over)
            raise RegistryError(
                f"Not one of {asked} repositories could be read ({reason}). Check the "
                "registry's address, the channel and the credentials."
            )


def void_verdict(reason: str) -> Fault:
    """How a verdict that counts for nothing is told of."""
    return Fault(f"a verdict that counts for nothing: {reason}")


def left_out_of(place: Place, fault: Fault) -> LeftOut:
    """What is left out of an artifact, or all of it."""
    tag = printable(place.tag, 128)
    return LeftOut(place.subdir, place.repository, tag, fault.file_name, fault.reason)
