"""Blobs taken over from another repository, where the registry does it; else they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexer.registry.content import Digest
from tests.registry.help import REPOSITORY, basic, content_of, remote
from tests.support import faults

if TYPE_CHECKING:
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

SOURCE = "acme/forge/noarch/source"
DATA = b"the bytes of a package"
CONTENT = content_of(DATA)


@pytest.fixture
def filled(fake: FakeRegistry) -> FakeRegistry:
    """A registry that has the blob, elsewhere."""
    fake.add_blob(SOURCE, DATA)
    return fake


def is_stored(fake: FakeRegistry) -> bool:
    return fake.blob_of(REPOSITORY, str(Digest.of(DATA))) == DATA


def test_a_blob_of_another_repository_is_not_sent(
    filled: FakeRegistry, transport: Transport
) -> None:
    assert remote(filled, transport).put_blob(REPOSITORY, CONTENT, SOURCE) == "mounted"
    assert (filled.count("uploads", "POST"), filled.count("uploads", "PUT")) == (1, 0)
    assert is_stored(filled)


def test_what_can_t_be_mounted_is_sent(filled: FakeRegistry, transport: Transport) -> None:
    filled.knobs.mounts = False
    assert remote(filled, transport).put_blob(REPOSITORY, CONTENT, SOURCE) == "sent"
    assert is_stored(filled)


def test_a_blob_that_its_source_lost_is_sent(fake: FakeRegistry, transport: Transport) -> None:
    assert remote(fake, transport).put_blob(REPOSITORY, CONTENT, SOURCE) == "sent"
    assert is_stored(fake)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409])
def test_a_refused_mount_costs_nothing_but_itself(
    filled: FakeRegistry, transport: Transport, status: int
) -> None:
    refused = faults.status(status, match=faults.is_mount())
    filled.knobs.faults = [refused]
    assert remote(filled, transport).put_blob(REPOSITORY, CONTENT, SOURCE) == "sent"
    assert (refused.fired, filled.count("uploads", "PUT")) == (1, 1)
    assert is_stored(filled)


def test_a_mount_that_fails_in_passing_is_tried_again(
    filled: FakeRegistry, transport: Transport
) -> None:
    filled.knobs.faults = [
        faults.status(503, match=faults.is_mount(), times=1),
        faults.closed(match=faults.is_mount(), times=1),
    ]
    assert remote(filled, transport).put_blob(REPOSITORY, CONTENT, SOURCE) == "mounted"
    assert filled.count("uploads", "PUT") == 0


def test_a_mount_whose_answer_was_lost_is_found_done(
    filled: FakeRegistry, transport: Transport
) -> None:
    filled.knobs.faults = [faults.closed(match=faults.is_mount(), times=1, stored=True)]
    assert remote(filled, transport).put_blob(REPOSITORY, CONTENT, SOURCE) == "there"
    assert filled.count("uploads") == 1


def test_a_mount_asks_for_the_right_to_read_its_source(
    filled: FakeRegistry, transport: Transport
) -> None:
    filled.knobs.auth, filled.knobs.users = "token", {"ann": "hunter2"}
    registry = remote(filled, transport, basic("ann", "hunter2"), writing=True)
    assert registry.put_blob(REPOSITORY, CONTENT, SOURCE) == "mounted"
    own, source = f"repository:{REPOSITORY}:pull,push", f"repository:{SOURCE}:pull"
    scopes = [request.query["scope"] for request in filled.requests if request.kind == "token"]
    assert scopes == [own, f"{own} {source}"]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_source_that_may_not_be_read_costs_the_mount_alone(
    filled: FakeRegistry, transport: Transport, status: int
) -> None:
    filled.knobs.auth, filled.knobs.users = "token", {"ann": "hunter2"}
    refused = faults.status(status, match=lambda request: SOURCE in request.query.get("scope", ""))
    filled.knobs.faults = [refused]
    registry = remote(filled, transport, basic("ann", "hunter2"), writing=True)
    assert registry.put_blob(REPOSITORY, CONTENT, SOURCE) == "sent"
    assert refused.fired == 1
    assert is_stored(filled)
