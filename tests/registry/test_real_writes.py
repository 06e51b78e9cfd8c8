"""Writing to a real registry, with all that it does in its own way."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from demo.layers import package_manifest
from demo.packages import build
from indexer.errors import ConflictError, ContentError, NotFoundError, RefusedError
from indexer.registry.address import RegistryAddress
from indexer.registry.content import OCI_MANIFEST, Content, Descriptor, Digest
from indexer.registry.remote import RemoteRegistry
from tests.registry.help import LARGE, Pieces, content_of

if TYPE_CHECKING:
    from indexer.registry.transport import Transport
    from tests.support.registry_process import RegistryProcess

IMAGE = package_manifest([build("zlib")])


@pytest.fixture
def registry(docker_registry: RegistryProcess, transport: Transport) -> RemoteRegistry:
    address = RegistryAddress.parse(f"oci+http://{docker_registry.address}/acme")
    return RemoteRegistry(address, transport, writing=True)


def push(registry: RemoteRegistry, repository: str) -> Digest:
    for data in IMAGE.blobs.values():
        registry.put_blob(repository, content_of(data))
    return registry.put_manifest(repository, IMAGE.tag, IMAGE.manifest, OCI_MANIFEST, replaces=None)


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "small", "large"])
def test_a_blob_is_sent_once_and_had_back(registry: RemoteRegistry, data: bytes) -> None:
    repository, content = f"acme/blobs{len(data)}", content_of(data)
    assert registry.put_blob(repository, content) == "sent"
    assert registry.put_blob(repository, content) == "there"
    assert registry.blob(repository, Descriptor("", content.digest, len(data))) == data


def test_a_blob_is_mounted_and_where_it_is_absent_sent(registry: RemoteRegistry) -> None:
    content = content_of(b"mounted")
    registry.put_blob("acme/source", content)
    assert registry.put_blob("acme/target", content, "acme/source") == "mounted"
    assert registry.has_blob("acme/target", content.digest)
    assert registry.put_blob("acme/another", content_of(b"absent"), "acme/source") == "sent"


def test_content_that_changed_is_not_stored(registry: RemoteRegistry) -> None:
    digest = Digest.of(b"right")
    with pytest.raises(RefusedError, match="answered 400"):
        registry.put_blob("acme/wrong", Content(digest, 5, lambda: Pieces(b"wrong")))
    with pytest.raises(ContentError, match="became shorter"):
        registry.put_blob("acme/wrong", Content(digest, 5, lambda: Pieces(b"righ")))
    assert not registry.has_blob("acme/wrong", digest)
    assert registry.put_blob("acme/wrong", content_of(b"right")) == "sent"


def test_a_package_is_put_found_and_deleted(registry: RemoteRegistry) -> None:
    digest = push(registry, "acme/zlib")
    assert registry.tags("acme/zlib") == [IMAGE.tag]
    assert registry.manifest("acme/zlib", IMAGE.tag).body == IMAGE.manifest
    assert push(registry, "acme/zlib") == digest
    registry.delete_manifest("acme/zlib", digest)
    registry.delete_manifest("acme/zlib", digest)
    with pytest.raises(NotFoundError):
        registry.manifest("acme/zlib", IMAGE.tag)


def test_what_somebody_else_wrote_stays(registry: RemoteRegistry) -> None:
    push(registry, "acme/conflict")
    other = IMAGE.manifest.replace(b"}", b" }", 1)
    for replaces in (None, Digest.of(b"old")):
        with pytest.raises(ConflictError, match=IMAGE.digest):
            registry.put_manifest(
                "acme/conflict", IMAGE.tag, other, OCI_MANIFEST, replaces=replaces
            )
    assert registry.manifest("acme/conflict", IMAGE.tag).body == IMAGE.manifest


def test_a_manifest_whose_blobs_are_missing_is_refused(registry: RemoteRegistry) -> None:
    with pytest.raises(RefusedError, match="BLOB_UNKNOWN"):
        registry.put_manifest("acme/missing", IMAGE.tag, IMAGE.manifest, OCI_MANIFEST)


def test_a_download_goes_on_where_it_broke_off(registry: RemoteRegistry) -> None:
    content = content_of(LARGE)
    registry.put_blob("acme/parts", content)
    file = io.BytesIO()
    # What was there is believed until the end, and read anew only where it was wrong.
    for held in (b"", LARGE[:1000], b"x" * 1000, LARGE, LARGE + b"x"):
        file.seek(0)
        file.truncate()
        file.write(held)
        registry.download("acme/parts", Descriptor("", content.digest, content.size), file)
        assert file.getvalue() == LARGE
    assert registry.requests.as_dict()["blobs"] == 5
