"""A manifest that is asked for only where it isn't the known one any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.layers import MANIFEST
from indexer.errors import ContentError, NotFoundError, RefusedError
from indexer.registry import RegistryAddress
from indexer.registry.content import MAX_MANIFEST, Digest
from indexer.registry.layout import LayoutRegistry
from indexer.registry.transport import Transport
from tests.registry.help import REPOSITORY, remote
from tests.support.fake_registry import FakeRegistry
from tests.support.faults import is_manifest, status, tampered

BODY = b'{"schemaVersion":2,"layers":[]}'
OTHER = Digest.of(b"another")


@pytest.fixture
def filled(fake: FakeRegistry) -> FakeRegistry:
    fake.add_manifest(REPOSITORY, "latest", BODY, MANIFEST)
    return fake


@pytest.mark.parametrize("known", [None, OTHER])
def test_another_one_comes_whole(
    filled: FakeRegistry, transport: Transport, known: Digest | None
) -> None:
    raw = remote(filled, transport).manifest_unless(REPOSITORY, "latest", known)
    assert raw is not None
    assert (raw.body, raw.media_type) == (BODY, MANIFEST)


def test_a_registry_that_heeds_no_condition_is_seen_through(
    filled: FakeRegistry, transport: Transport
) -> None:
    known = Digest.of(BODY)
    assert remote(filled, transport).manifest_unless(REPOSITORY, "latest", known) is None
    assert filled.requests[-1].headers["if-none-match"] == f'"{known}"'


def test_not_modified_is_the_known_one(filled: FakeRegistry, transport: Transport) -> None:
    filled.knobs.faults.append(status(304, match=is_manifest()))
    assert remote(filled, transport).manifest_unless(REPOSITORY, "latest", OTHER) is None


def test_not_modified_without_a_condition_is_refused(
    filled: FakeRegistry, transport: Transport
) -> None:
    filled.knobs.faults.append(status(304, match=is_manifest()))
    registry = remote(filled, transport)
    with pytest.raises(RefusedError, match="304"):
        registry.manifest_unless(REPOSITORY, "latest", None)
    with pytest.raises(RefusedError, match="304"):
        registry.manifest(REPOSITORY, "latest")


def test_bytes_that_have_not_their_digest_are_asked_for_once_more(
    filled: FakeRegistry, transport: Transport
) -> None:
    filled.knobs.faults.append(tampered(match=is_manifest(), times=1))
    assert remote(filled, transport).manifest_unless(REPOSITORY, "latest", OTHER) is not None
    filled.knobs.faults.append(tampered(match=is_manifest()))
    with pytest.raises(ContentError):
        remote(filled, transport).manifest_unless(REPOSITORY, "latest", OTHER)


def test_larger_ones_come_to_those_who_take_them(fake: FakeRegistry, transport: Transport) -> None:
    body = BODY + b" " * MAX_MANIFEST
    fake.add_manifest(REPOSITORY, "latest", body, MANIFEST)
    registry = remote(fake, transport)
    with pytest.raises(ContentError):
        registry.manifest_unless(REPOSITORY, "latest", None)
    raw = registry.manifest_unless(REPOSITORY, "latest", None, limit=len(body))
    assert raw is not None
    assert raw.body == body


def test_a_layout_knows_by_its_index(tmp_path: Path) -> None:
    registry = LayoutRegistry(RegistryAddress.parse(f"ocidir://{tmp_path}"))
    digest = registry.put_manifest("repo", "latest", BODY, MANIFEST)
    assert registry.manifest_unless("repo", "latest", digest) is None
    raw = registry.manifest_unless("repo", "latest", OTHER)
    assert raw is not None
    assert raw.body == BODY
    registry.blob_file("repo", digest).unlink()
    assert registry.manifest_unless("repo", "latest", digest) is None
    with pytest.raises(NotFoundError):
        registry.manifest_unless("repo", "latest", None)
