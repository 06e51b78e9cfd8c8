"""The bench's packages, written to disk, are what a real registry serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.packages import SUBDIR, channel, real, store
from bench.storage import Storage
from demo.packages import build
from indexer.channel.artifact import index_json_layer
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Digest, ImageManifest, parse_manifest
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport
from tests.conftest import skip_unless
from tests.support.registry_process import RegistryProcess, missing_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = f"acme/forge/{SUBDIR}"


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(jobs=1)
    yield made
    made.close()


@pytest.mark.parametrize("embedded", [True, False])
def test_what_was_written_to_disk_is_served(
    tmp_path: Path, transport: Transport, *, embedded: bool
) -> None:
    skip_unless(missing_reason())
    archive = build("foo", subdir=SUBDIR)
    path = tmp_path / archive.file_name
    path.write_bytes(archive.data)
    artifacts = [*channel(2, 3, embedded=embedded), real(archive, path, embedded=embedded)]
    storage = Storage(tmp_path / "registry/data")
    for artifact in artifacts:
        store(storage, PLACE, artifact)
    with RegistryProcess(tmp_path / "registry") as process:
        address = RegistryAddress.parse(f"oci+{process.http}/acme")
        registry = RemoteRegistry(address, transport)
        names = [f"{PLACE}/{name}" for name in ("foo", "package-00000", "package-00001")]
        assert sorted(registry.repositories()) == names
        for artifact in artifacts:
            repository = f"{PLACE}/{artifact.name}"
            assert artifact.tag in registry.tags(repository)
            raw = registry.manifest(repository, artifact.tag)
            assert raw.body == artifact.manifest
            manifest = parse_manifest(raw)
            assert isinstance(manifest, ImageManifest)
            layer = index_json_layer(manifest)
            assert (layer.data is not None) == embedded
            assert registry.blob(repository, layer) == artifact.blobs[layer.digest]
            assert registry.manifest(repository, str(raw.digest)) == raw
        assert registry.has_blob(f"{PLACE}/foo", Digest(archive.sha256))
        assert len(registry.tags(names[1])) == 3
