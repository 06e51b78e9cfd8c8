"""``prune --restore``: taking back what was taken out, where the registry can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from indexer.errors import LoginError, RegistryError, UnansweredError, UnsupportedError
from indexer.registry import Registry
from indexer.registry.content import Digest
from indexer.registry.removal import Remover
from indexer.registry.versions import Found
from indexer.transfer.audit import AuditLog
from indexer.transfer.outcome import Failure, Outcome
from indexer.transfer.references import Reference

_OF_ALL = (LoginError, UnansweredError, UnsupportedError)


@dataclass(frozen=True, slots=True)
class Lost:
    """A manifest that somebody wants back, and where it is."""

    reference: Reference
    full_name: str
    digest: Digest
    found: Found


@dataclass(slots=True)
class Restore:
    """Puts manifests back one by one, as GitHub wants it; what can't be is in ``outcome``."""

    registry: Registry
    channel: str
    remover: Remover
    outcome: Outcome = field(default_factory=Outcome)
    restored: int = 0

    def plan(self, references: Sequence[Reference]) -> list[Lost]:
        """Where each of them is. Each needs a subdir and a digest.

        Raises UnsupportedError where nothing can be taken back.
        """
        found = []
        for reference in dict.fromkeys(references):
            if reference.subdir is None or reference.digest is None:
                raise ValueError(f"{reference} names no manifest")
            full_name = self.registry.address.repository(
                self.channel, reference.subdir, reference.repository
            )
            try:
                where = self.remover.find(full_name, reference.digest)
            except _OF_ALL:
                raise
            except RegistryError as error:
                self.outcome.fail(Failure(str(reference), str(error)))
            else:
                found.append(Lost(reference, full_name, reference.digest, where))
        return found

    def carry_out(self, plan: Sequence[Lost], log: AuditLog) -> None:
        """Put back what isn't there."""
        for lost in plan:
            if lost.found == "there":
                continue
            reference = lost.reference
            try:
                with log.doing(
                    "restored",
                    registry=str(self.registry.address),
                    channel=self.channel,
                    subdir=reference.subdir or "",
                    repository=reference.repository,
                    tag=reference.tag,
                    digest=str(lost.digest),
                    reference=str(reference),
                    reason=f"it was {lost.found}",
                ):
                    self.remover.restore(lost.full_name, lost.digest)
            except _OF_ALL:
                raise
            except RegistryError as error:
                self.outcome.fail(Failure(str(reference), str(error)))
            else:
                self.restored += 1
