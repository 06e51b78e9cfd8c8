"""Rights to write: asked for by scope, refused with what to do, renewed in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from indexer.errors import DeniedError, LoginError
from indexer.registry.auth import Authorizer
from indexer.registry.base import Requests
from indexer.registry.content import OCI_MANIFEST, Digest
from indexer.registry.exchange import Answer
from tests.registry.help import LARGE, REPOSITORY, basic, content_of, remote
from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexer.registry.remote import RemoteRegistry
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

DATA = b"the bytes of a package"
CONTENT = content_of(DATA)
BODY = b'{"layers": []}'
ANN = basic("ann", "hunter2")
Auth = Literal["token", "basic"]


@pytest.fixture
def guarded(fake: FakeRegistry) -> FakeRegistry:
    """A registry that anyone may read by tokens, and Ann write to."""
    fake.knobs.auth, fake.knobs.users = "token", {"ann": "hunter2"}
    fake.add_repository(REPOSITORY)
    return fake


def scopes(fake: FakeRegistry) -> list[str]:
    return [request.query["scope"] for request in fake.requests if request.kind == "token"]


def is_stored(fake: FakeRegistry) -> bool:
    return fake.blob_of(REPOSITORY, str(Digest.of(DATA))) == DATA


def write(registry: RemoteRegistry) -> None:
    registry.put_blob(REPOSITORY, CONTENT)
    registry.put_manifest(REPOSITORY, "1-0", BODY, OCI_MANIFEST, replaces=None)


def test_one_token_is_enough_for_all_of_a_push(guarded: FakeRegistry, transport: Transport) -> None:
    write(remote(guarded, transport, ANN, writing=True))
    assert scopes(guarded) == [f"repository:{REPOSITORY}:pull,push"]
    assert is_stored(guarded)


def test_whoever_only_reads_asks_for_no_more(guarded: FakeRegistry, transport: Transport) -> None:
    remote(guarded, transport, ANN).has_blob(REPOSITORY, CONTENT.digest)
    assert scopes(guarded) == [f"repository:{REPOSITORY}:pull"]


def test_a_deletion_asks_for_the_right_to_delete(
    guarded: FakeRegistry, transport: Transport
) -> None:
    guarded.knobs.delete_action = "delete"
    digest = guarded.add_manifest(REPOSITORY, "1-0", BODY, OCI_MANIFEST)
    registry = remote(guarded, transport, ANN, writing=True)
    registry.delete_manifest(REPOSITORY, Digest.parse(digest))
    assert scopes(guarded) == [f"repository:{REPOSITORY}:pull,delete"]
    assert guarded.tags_of(REPOSITORY) == []


@pytest.mark.parametrize("anonymous", [True, False])
@pytest.mark.parametrize("auth", ["token", "basic"])
def test_who_is_not_logged_in_is_told_how_to(
    guarded: FakeRegistry, transport: Transport, auth: Auth, *, anonymous: bool
) -> None:
    guarded.knobs.auth, guarded.knobs.anonymous = auth, anonymous
    with pytest.raises(LoginError, match="docker login, or set ORAS_USER and ORAS_PASS"):
        remote(guarded, transport, writing=True).put_blob(REPOSITORY, CONTENT)
    assert not is_stored(guarded)


WRITES: dict[str, Callable[[RemoteRegistry], object]] = {
    "blob": lambda registry: registry.put_blob(REPOSITORY, CONTENT),
    "manifest": lambda registry: registry.put_manifest(REPOSITORY, "1-0", BODY, OCI_MANIFEST),
    "deletion": lambda registry: registry.delete_manifest(REPOSITORY, CONTENT.digest),
}


@pytest.mark.parametrize("kind", WRITES)
def test_every_write_without_a_login_says_so(
    guarded: FakeRegistry, transport: Transport, kind: str
) -> None:
    guarded.knobs.anonymous = False
    with pytest.raises(LoginError, match="docker login"):
        WRITES[kind](remote(guarded, transport, writing=True))


# "push" and "delete" are words that a name may hold.
@pytest.mark.parametrize("name", [REPOSITORY, "acme/forge/noarch/push-delete"])
def test_who_only_reads_is_no_writer_who_forgot_to_log_in(
    guarded: FakeRegistry, transport: Transport, name: str
) -> None:
    guarded.knobs.anonymous = False
    with pytest.raises(DeniedError) as caught:
        remote(guarded, transport).tags(name)
    assert not isinstance(caught.value, LoginError)


@pytest.mark.parametrize("auth", ["token", "basic"])
def test_who_may_only_read_is_refused_and_not_told_to_log_in(
    guarded: FakeRegistry, transport: Transport, auth: Auth
) -> None:
    guarded.knobs.auth, guarded.knobs.readers = auth, {"ann"}
    registry = remote(guarded, transport, ANN, writing=True)
    with pytest.raises(DeniedError, match=f"check the credentials for {guarded.address}") as caught:
        registry.put_blob(REPOSITORY, CONTENT)
    assert not isinstance(caught.value, LoginError)
    assert "hunter2" not in str(caught.value)
    assert ANN not in str(caught.value)
    assert not is_stored(guarded)


def test_a_write_that_is_forbidden_is_refused_at_once(
    guarded: FakeRegistry, transport: Transport
) -> None:
    forbidden = faults.status(403, match=faults.is_upload())
    guarded.knobs.faults = [forbidden]
    with pytest.raises(DeniedError, match="answered 403; check the credentials"):
        remote(guarded, transport, ANN, writing=True).put_blob(REPOSITORY, CONTENT)
    assert forbidden.fired == 1


@pytest.mark.parametrize("data", [DATA, LARGE])
def test_a_token_that_expires_during_an_upload_is_renewed(
    guarded: FakeRegistry, transport: Transport, data: bytes
) -> None:
    # Good for HEAD and POST.
    guarded.knobs.token_uses = 2
    told: list[int] = []
    registry = remote(guarded, transport, ANN, writing=True)
    assert registry.put_blob(REPOSITORY, content_of(data, told.append)) == "sent"
    assert guarded.blob_of(REPOSITORY, str(Digest.of(data))) == data
    assert (guarded.count("token"), guarded.count("uploads", "POST")) == (2, 1)
    assert (told.count(0), told[-1]) == (2, len(data))


def test_a_token_that_expires_before_a_manifest_is_renewed(
    guarded: FakeRegistry, transport: Transport
) -> None:
    guarded.knobs.token_uses = 1
    registry = remote(guarded, transport, ANN, writing=True)
    registry.put_manifest(REPOSITORY, "1-0", BODY, OCI_MANIFEST, replaces=None)
    assert guarded.tags_of(REPOSITORY) == ["1-0"]


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        ("repository:acme/zlib:pull", "Bearer QQ=="),
        ("repository:acme/push-delete:pull", "Bearer QQ=="),
        ("repository:acme/zlib:pull,push", None),
        ("repository:acme/zlib:pull,delete", None),
        ("repository:acme/zlib:pull,push repository:acme/other:pull", None),
    ],
)
def test_the_token_that_opens_what_is_public_is_for_reading_alone(
    transport: Transport, scope: str, sent: str | None
) -> None:
    auth = Authorizer(transport, host="ghcr.io", basic=None, requests=Requests())
    assert auth.header(scope) == sent


@responses.activate
def test_each_of_several_scopes_is_asked_for_by_itself(transport: Transport) -> None:
    # By the token specification; some services read a list in one as a single, unknown scope.
    responses.add("GET", "https://auth.example/token", json={"token": "t"})
    said = {"WWW-Authenticate": 'Bearer realm="https://auth.example/token",service="x"'}
    auth = Authorizer(transport, host="example.org", basic=ANN, requests=Requests())
    scopes = ["repository:acme/zlib:pull,push", "repository:acme/other:pull"]
    assert auth.answer(Answer(401, said, b"", "https://example.org/v2/"), " ".join(scopes))
    (call,) = responses.calls
    assert parse_qs(urlsplit(call.request.url or "").query)["scope"] == scopes
    assert auth.header(" ".join(scopes)) == "Bearer t"
