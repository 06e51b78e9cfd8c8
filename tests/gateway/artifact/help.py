"""A source of artifacts that lie in a registry of this process, and a clock for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from indexer.gateway.artifact.layers import Layers
from indexer.gateway.artifact.reference import ArtifactReference
from indexer.gateway.artifact.source import Artifact, Artifacts
from indexer.gateway.found import Blob, Found, LocalFile
from indexer.registry import open_registry
from indexer.registry.transport import Transport
from tests.support.artifacts import Layer, image
from tests.support.fake_registry import FakeRegistry

REPOSITORY = "acme/repo"


@dataclass
class Shelf:
    """A registry, the source that reads it, and what it said of it."""

    fake: FakeRegistry
    scratch: Path
    source: Artifacts
    layers: Layers
    reports: list[str]
    seconds: list[float] = field(default_factory=lambda: [1000.0])

    def push(self, *layers: Layer, tag: str = "latest", repository: str = REPOSITORY) -> str:
        """Have a tag lead to some layers."""
        return self.fake.add(repository, image(layers, tag))

    def serve(self, *layers: Layer) -> None:
        """The same, and have the source notice."""
        self.push(*layers)
        assert self.source.refresh()

    def bytes_at(self, path: str) -> bytes | None:
        """What a client would get."""
        found = self.source.find(path)
        return None if found is None else self.bytes_of(found)

    def bytes_of(self, found: Found) -> bytes:
        """The bytes of what was found."""
        if isinstance(found, LocalFile):
            with found.path.open("rb") as file:
                file.seek(found.offset)
                return file.read(found.size)
        assert isinstance(found, Blob)
        data = self.fake.blob_of(found.repository, str(found.digest))
        assert data is not None
        return data

    def files(self) -> list[Path]:
        """What lies in the scratch folder."""
        return [path for path in self.scratch.rglob("*") if path.is_file()]

    def told(self, text: str) -> bool:
        """Whether it was reported."""
        return any(text in line for line in self.reports)

    def blobs_asked(self) -> int:
        """How many blobs the registry was asked for."""
        return self.fake.count("blobs", "GET")


@contextmanager
def shelf(
    scratch: Path, references: Sequence[str] = (), limit: int = 10_000_000
) -> Iterator[Shelf]:
    """A source of artifacts; of one under ``latest`` where none is named.

    In ``references`` the words HOST are where the registry is.
    """
    scratch.mkdir(exist_ok=True)
    transport, reports, seconds = Transport(retry_for=0), list[str](), [1000.0]
    with FakeRegistry() as fake:
        layers = Layers(scratch, limit, reports.append, lambda: seconds[0])
        named = references or [f"oci+http://HOST/{REPOSITORY}"]
        made = [ArtifactReference.parse(one.replace("HOST", fake.address)) for one in named]
        artifacts = [
            Artifact(
                one,
                open_registry(one.registry, transport),
                layers,
                reports.append,
                lambda: seconds[0],
            )
            for one in made
        ]
        source = Artifacts(artifacts, layers, transport, reports.append)
        try:
            yield Shelf(fake, scratch, source, layers, reports, seconds)
        finally:
            source.close()
            transport.close()
