"""Tokens: asked for by scope, renewed in time, never had for a password without TLS."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import responses

from indexer.errors import DeniedError, NotFoundError, RegistryError
from indexer.registry.address import RegistryAddress
from indexer.registry.auth import Authorizer
from indexer.registry.base import Requests
from indexer.registry.exchange import Answer
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport
from tests.registry.help import REPOSITORY, VirtualTime, basic, remote
from tests.support import faults

if TYPE_CHECKING:
    from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost

OTHER = "acme/forge/noarch/other"
SCOPE = f"repository:{REPOSITORY}:pull"
ANN = basic("ann", "hunter2")


@pytest.fixture
def guarded(fake: FakeRegistry) -> FakeRegistry:
    """A registry that wants a token for everything."""
    fake.knobs.auth = "token"
    fake.add_repository(REPOSITORY)
    fake.add_repository(OTHER)
    return fake


def challenge(fake: FakeRegistry, value: str | None = None) -> Answer:
    """What a registry says to someone without a token."""
    value = value or f'Bearer realm="{fake.http}/token",service="x"'
    return Answer(401, {"WWW-Authenticate": value}, b"", f"{fake.http}/v2/")


def authorizer(transport: Transport, time: VirtualTime, login: str | None = None) -> Authorizer:
    return Authorizer(
        transport, host="example.org", basic=login, requests=Requests(), clock=time.clock
    )


def test_anyone_may_read_what_is_public(guarded: FakeRegistry, transport: Transport) -> None:
    assert remote(guarded, transport).tags(REPOSITORY) == []
    asked = guarded.requests[1]
    assert (asked.kind, asked.query["scope"], asked.query["service"]) == (
        "token",
        SCOPE,
        guarded.address,
    )
    assert "authorization" not in asked.headers


def test_whether_a_token_has_to_be_asked_for(
    guarded: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    auth = authorizer(transport, time)
    # Nobody has said that it takes one.
    assert not auth.has_to_ask(SCOPE)

    auth.answer(challenge(guarded), SCOPE)
    assert not auth.has_to_ask(SCOPE)
    assert auth.has_to_ask(f"repository:{OTHER}:pull")
    guarded.clear_requests()
    assert auth.header(SCOPE)
    assert guarded.requests == []

    time.sleep(10_000)
    assert auth.has_to_ask(SCOPE)
    auth.header(SCOPE)
    assert len(guarded.requests) == 1
    assert not auth.has_to_ask(SCOPE)


def test_a_password_is_sent_without_asking(
    guarded: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    auth = authorizer(transport, time, "cGFzcw==")
    auth.answer(challenge(guarded, 'Basic realm="x"'), SCOPE)

    assert not auth.has_to_ask(SCOPE)
    assert auth.header(SCOPE) == "Basic cGFzcw=="


def test_a_token_serves_its_own_repository_alone(
    guarded: FakeRegistry, transport: Transport
) -> None:
    registry = remote(guarded, transport)
    for repository in (REPOSITORY, OTHER, REPOSITORY, OTHER):
        assert registry.tags(repository) == []
    tokens = [request.query["scope"] for request in guarded.requests if request.kind == "token"]
    assert tokens == [SCOPE, f"repository:{OTHER}:pull"]
    # Once the registry has said where tokens are, nobody runs into its 401 again.
    assert guarded.count("tags") == 5


def test_many_threads_never_mix_their_tokens_up(
    guarded: FakeRegistry, transport: Transport
) -> None:
    names = [f"acme/forge/noarch/p{number}" for number in range(24)]
    for name in names:
        guarded.add_repository(name)
    registry = remote(guarded, transport)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(registry.tags, names * 3)) == [[]] * 72


def test_a_spent_token_is_renewed(guarded: FakeRegistry, transport: Transport) -> None:
    guarded.knobs.token_uses = 2
    registry = remote(guarded, transport)
    assert [registry.tags(REPOSITORY) for _ in range(6)] == [[]] * 6
    assert guarded.count("token") == 3


@pytest.mark.parametrize("life", [300, 60, 5])
def test_a_token_is_renewed_before_it_expires(
    guarded: FakeRegistry, transport: Transport, time: VirtualTime, life: int
) -> None:
    guarded.knobs.expires_in = life
    auth = authorizer(transport, time)
    assert auth.answer(challenge(guarded), SCOPE)
    assert auth.header(SCOPE) == "Bearer token-1"
    time.seconds += max(life - 10, life / 2) - 0.1
    assert auth.header(SCOPE) == "Bearer token-1"
    time.seconds += 0.2
    assert auth.header(SCOPE) == "Bearer token-2"


@pytest.mark.parametrize("life", [None, 0, -1, "300", [], False])
def test_a_token_that_says_nothing_of_its_life_is_kept_for_a_minute_at_most(
    guarded: FakeRegistry, transport: Transport, time: VirtualTime, life: object
) -> None:
    body = json.dumps({"token": "t", "expires_in": life}).encode()
    guarded.knobs.faults = [faults.replace_body(body, match=faults.is_token())]
    auth = authorizer(transport, time)
    assert auth.answer(challenge(guarded), SCOPE)
    assert auth.header(SCOPE) == "Bearer t"
    assert guarded.count("token") == 1
    time.seconds += 60
    assert auth.header(SCOPE) == "Bearer t"
    assert guarded.count("token") == 2


def test_access_token_is_another_name_for_it(
    guarded: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    body = b'{"access_token": "t"}'
    guarded.knobs.faults = [faults.replace_body(body, match=faults.is_token())]
    auth = authorizer(transport, time)
    assert auth.answer(challenge(guarded), SCOPE)
    assert auth.header(SCOPE) == "Bearer t"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"token": ""}',
        b'{"token": 7}',
        b'{"token": null, "access_token": null}',
        b'{"token": "a\\r\\nX-Injected: b"}',
        '{"token": "höhö"}'.encode(),
        b'{"token": "a\\u0000"}',
    ],
)
def test_what_is_no_token_is_never_sent(
    guarded: FakeRegistry, transport: Transport, body: bytes
) -> None:
    guarded.knobs.faults = [faults.replace_body(body, match=faults.is_token())]
    with pytest.raises(RegistryError, match="token"):
        remote(guarded, transport).tags(REPOSITORY)
    assert guarded.count("tags") == 1


def test_the_password_goes_to_the_token_service_alone(
    guarded: FakeRegistry, transport: Transport
) -> None:
    guarded.knobs.anonymous, guarded.knobs.users = False, {"ann": "hunter2"}
    assert remote(guarded, transport, ANN).tags(REPOSITORY) == []
    sent = {(request.kind, request.headers.get("authorization")) for request in guarded.requests}
    assert sent == {("tags", None), ("token", f"Basic {ANN}"), ("tags", "Bearer token-1")}


@pytest.mark.parametrize(
    ("login", "words"), [(None, "no credentials are known"), (basic("ann", "wrong"), "credentials")]
)
def test_a_refused_token_says_who_refused_what(
    guarded: FakeRegistry, transport: Transport, login: str | None, words: str
) -> None:
    guarded.knobs.anonymous, guarded.knobs.users = False, {"ann": "hunter2"}
    with pytest.raises(DeniedError, match=f"{guarded.http}/token .*{SCOPE}.*{words}.*401"):
        remote(guarded, transport, login).tags(REPOSITORY)


def test_an_absent_repository_s_token_is_refused_and_the_others_go_on(
    guarded: FakeRegistry, transport: Transport
) -> None:
    guarded.knobs.absent_status = 403
    registry = remote(guarded, transport)
    with pytest.raises(DeniedError):
        registry.tags("acme/forge/noarch/absent")
    assert registry.tags(REPOSITORY) == []


def test_a_token_service_that_is_down_is_no_refusal(
    guarded: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    guarded.knobs.faults = [faults.status(503, match=faults.is_token())]
    with pytest.raises(RegistryError, match="answered 503") as caught:
        remote(guarded, transport).tags(REPOSITORY)
    assert not isinstance(caught.value, DeniedError)
    assert 20 < time.passed <= 60


def test_a_token_service_that_is_gone_is_not_taken_for_an_absent_repository(
    guarded: FakeRegistry, transport: Transport
) -> None:
    # Absent and refused repositories are passed over: with all of them, the channel would be empty.
    guarded.knobs.faults = [faults.status(404, match=faults.is_token())]
    with pytest.raises(RegistryError) as caught:
        remote(guarded, transport).tags(REPOSITORY)
    assert not isinstance(caught.value, NotFoundError | DeniedError)


def test_a_token_that_opens_nothing_ends_the_asking(
    guarded: FakeRegistry, transport: Transport
) -> None:
    guarded.knobs.token_uses = 0
    with pytest.raises(DeniedError, match=f"no credentials are known for {guarded.address}"):
        remote(guarded, transport).tags(REPOSITORY)
    assert len(guarded.requests) <= 4


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer service=x",
        'Digest realm="http://127.0.0.1/"',
        "Negotiate",
        'Bearer realm="token"',
        'Bearer realm="http://[::1"',
        'Bearer realm="ftp://127.0.0.1/token"',
        'Bearer realm="http://127.0.0.1:port/token"',
    ],
)
def test_a_challenge_that_can_not_be_met_is_an_error_of_the_registry_s(
    fake: FakeRegistry, impatient: Transport, value: str
) -> None:
    headers = {"WWW-Authenticate": value}
    fake.knobs.faults = [faults.status(401, match=faults.is_tags(), headers=headers)]
    with pytest.raises(RegistryError):
        remote(fake, impatient, ANN).tags(REPOSITORY)
    assert fake.count("tags") == 1


@responses.activate
@pytest.mark.usefixtures("by_requests")
@pytest.mark.parametrize("realm", ["http://example.org/token", "ftp://example.org/x", "/token"])
def test_a_password_is_never_sent_without_tls_for_a_registry_with_tls(
    transport: Transport, realm: str
) -> None:
    responses.add(
        "GET",
        f"https://example.org/v2/{REPOSITORY}/tags/list",
        status=401,
        headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'},
    )
    registry = RemoteRegistry(RegistryAddress.parse("oci://example.org"), transport, basic=ANN)
    with pytest.raises(DeniedError, match="without TLS: refused"):
        registry.tags(REPOSITORY)
    assert len(responses.calls) == 1


def test_a_token_service_elsewhere_is_asked_where_the_registry_says_so(
    guarded: FakeRegistry, elsewhere: FileHost, transport: Transport
) -> None:
    elsewhere.put("/token", b'{"token": "t"}')
    guarded.knobs.realm_to = elsewhere.http
    with pytest.raises(DeniedError):
        remote(guarded, transport, ANN).tags(REPOSITORY)
    assert elsewhere.requests[0].headers["authorization"] == f"Basic {ANN}"
    assert guarded.requests[-1].headers["authorization"] == "Bearer t"


@responses.activate
@pytest.mark.usefixtures("by_requests")
def test_ghcr_s_public_packages_cost_no_token(transport: Transport) -> None:
    url = f"https://ghcr.io/v2/{REPOSITORY}/tags/list"
    responses.add("GET", url, json={"tags": ["1-0"]})
    registry = RemoteRegistry(RegistryAddress.parse("oci://ghcr.io/acme"), transport)
    assert registry.tags(REPOSITORY) == ["1-0"]
    sent = [call.request.headers.get("Authorization") for call in responses.calls]
    assert sent == ["Bearer QQ=="]
