"""Registries that want the password itself: they get it when they ask, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexer.errors import DeniedError
from tests.registry.help import REPOSITORY, basic, remote

if TYPE_CHECKING:
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

ANN = basic("ann", "hunter2")


def test_a_password_is_sent_only_where_it_is_asked_for(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.add_repository(REPOSITORY)
    assert remote(fake, transport, ANN).tags(REPOSITORY) == []
    assert "authorization" not in fake.requests[0].headers


def test_a_registry_that_wants_the_password_itself_gets_it(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    fake.add_repository(REPOSITORY)
    registry = remote(fake, transport, ANN)
    assert [registry.tags(REPOSITORY) for _ in range(2)] == [[], []]
    sent = [request.headers.get("authorization") for request in fake.requests]
    assert sent == [None, f"Basic {ANN}", f"Basic {ANN}"]


@pytest.mark.parametrize("login", [None, basic("ann", "wrong")])
def test_a_wrong_password_ends_the_asking(
    fake: FakeRegistry, transport: Transport, login: str | None
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    with pytest.raises(DeniedError, match=f"credentials .*for {fake.address}"):
        remote(fake, transport, login).tags(REPOSITORY)
    assert len(fake.requests) <= 2
