"""OCI artifacts, served as the plain directories that they were pushed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from indexer.gateway.artifact.layers import Layers
from indexer.gateway.artifact.reference import ArtifactReference
from indexer.gateway.artifact.source import Artifact, Artifacts
from indexer.registry import Transport, open_registry

DEFAULT_LIMIT = 8_000_000_000

__all__ = ["DEFAULT_LIMIT", "ArtifactReference", "Artifacts", "open_artifacts", "read_references"]


def read_references(references: Sequence[str]) -> list[ArtifactReference]:
    """What ``--artifact`` was given, each once. Raises ConfigError."""
    return list(dict.fromkeys(map(ArtifactReference.parse, references)))


def open_artifacts(
    references: Sequence[ArtifactReference],
    transport: Transport,
    scratch: Path,
    report: Callable[[str], None],
    *,
    limit: int = DEFAULT_LIMIT,
) -> Artifacts:
    """A source of the artifacts at these references; asks nothing of their registries yet.

    Folders are unpacked below ``scratch``, into at most ``limit`` bytes. ``report`` is told, from
    any thread, of what is left out. Raises ConfigError.
    """
    registries = {one.registry: open_registry(one.registry, transport) for one in references}
    layers = Layers(scratch, limit, report)
    artifacts = [Artifact(one, registries[one.registry], layers, report) for one in references]
    return Artifacts(artifacts, layers, transport, report)
