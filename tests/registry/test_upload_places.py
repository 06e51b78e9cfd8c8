"""Where an upload goes on: never without the TLS it began with, never with another's password."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import requests
import responses

from indexer.errors import DeniedError, RefusedError, RegistryError
from indexer.registry.address import RegistryAddress
from indexer.registry.remote import RemoteRegistry
from tests.registry.help import REPOSITORY, basic, content_of, remote
from tests.support import faults
from tests.support.faults import Answer, Request
from tests.support.loopback import Loopback

if TYPE_CHECKING:
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

DATA = b"the bytes of a package"
CONTENT = content_of(DATA)
ANN = basic("ann", "hunter2")
BLOBS = f"https://example.org/v2/{REPOSITORY}/blobs"
DIGEST = f"digest=sha256%3A{CONTENT.digest.hex}"


class Store(Loopback):
    """A store that takes whatever is put into it, or gives another answer."""

    ready = Answer(201)

    def answer(self, request: Request) -> Answer:
        return self.ready if request.method == "PUT" else Answer(404)


def put(transport: Transport, location: str) -> list[tuple[str, str | None]]:
    """Where a blob was sent to, and with whose word, by a registry with TLS."""
    sent: list[tuple[str, str | None]] = []

    def take(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        sent.append((request.url or "", request.headers.get("Authorization")))
        return 201, {}, ""

    # Each wants the password, so that it would be sent to wherever it may go.
    wants = {"WWW-Authenticate": 'Basic realm="x"'}
    responses.add("HEAD", f"{BLOBS}/{CONTENT.digest}", status=401, headers=wants)
    responses.add("HEAD", f"{BLOBS}/{CONTENT.digest}", status=404)
    responses.add("POST", f"{BLOBS}/uploads/", status=202, headers={"Location": location})
    responses.add_callback("PUT", re.compile(".*"), take)
    address = RegistryAddress.parse("oci://example.org/acme")
    registry = RemoteRegistry(address, transport, basic=ANN, writing=True)
    assert registry.put_blob(REPOSITORY, CONTENT) == "sent"
    return sent


@responses.activate
@pytest.mark.usefixtures("by_requests")
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/u/1", "https://example.org/u/1?"),
        ("1", f"{BLOBS}/uploads/1?"),
        ("?_state=a", f"{BLOBS}/uploads/?_state=a&"),
        ("https://example.org/u/1?_state=a%2Bb%3D", "https://example.org/u/1?_state=a%2Bb%3D&"),
        ("//example.org/u/1", "https://example.org/u/1?"),
        # Behind a proxy that does TLS for it, the registry doesn't know of it.
        ("http://example.org/u/1?_state=a", "https://example.org/u/1?_state=a&"),
        ("http://example.org:5000/u/1", "https://example.org/u/1?"),
        ("http://EXAMPLE.org/u/1", "https://example.org/u/1?"),
    ],
)
def test_an_upload_within_the_registry_keeps_tls_and_password(
    transport: Transport, location: str, target: str
) -> None:
    assert put(transport, location) == [(target + DIGEST, f"Basic {ANN}")]


@responses.activate
@pytest.mark.usefixtures("by_requests")
@pytest.mark.parametrize(
    "place",
    [
        "https://store.example/u/1",
        "https://example.org:8443/u/1",
        "https://example.org.evil.example/u/1",
        "//store.example/u/1",
    ],
)
def test_an_upload_to_another_host_goes_without_the_password(
    transport: Transport, place: str
) -> None:
    ((url, authorization),) = put(transport, place)
    assert url.endswith(f"{place}?{DIGEST}")
    assert authorization is None


@responses.activate
@pytest.mark.usefixtures("by_requests")
@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://store.example/u/1",
        "http://example.org.evil.example/u/1",
        "ftp://example.org/u/1",
        "file:///etc/passwd",
        "https://:443/u/1",
        "https://[::1/u/1",
    ],
)
def test_an_upload_that_would_leave_tls_is_refused(transport: Transport, location: str) -> None:
    with pytest.raises(RefusedError, match=r"https://example.org began an upload"):
        put(transport, f"{location}?sig=hunter2" if location else location)
    assert [call.request.method for call in responses.calls] == ["HEAD", "HEAD", "POST"]


def test_a_store_beside_the_registry_gets_the_bytes_and_no_password(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    with Store() as store:
        place = f"{store.http.replace('127.0.0.1', 'localhost')}/u/1?sig=x"
        begun = faults.status(202, match=faults.is_upload_start(), headers={"Location": place})
        fake.knobs.faults = [begun]
        registry = remote(fake, transport, ANN, writing=True)
        assert registry.put_blob(REPOSITORY, CONTENT) == "sent"
    (request,) = store.requests
    assert (request.body, request.query["sig"]) == (DATA, "x")
    assert request.query["digest"] == str(CONTENT.digest)
    assert "authorization" not in request.headers
    assert "authorization" in fake.requests[-1].headers


def test_a_store_that_wants_a_password_is_not_given_one(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    with Store() as store:
        store.ready = Answer(401, {"WWW-Authenticate": 'Basic realm="x"'})
        place = f"{store.http.replace('127.0.0.1', 'localhost')}/u/1"
        begun = faults.status(202, match=faults.is_upload_start(), headers={"Location": place})
        fake.knobs.faults = [begun]
        with pytest.raises(DeniedError, match="answered 401"):
            remote(fake, transport, ANN, writing=True).put_blob(REPOSITORY, CONTENT)
    assert ["authorization" in request.headers for request in store.requests] == [False]


@pytest.mark.parametrize("code", [307, 308])
def test_an_upload_that_is_redirected_is_sent_whole_again_without_the_password(
    fake: FakeRegistry, transport: Transport, code: int
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    with Store() as store:
        fake.knobs.faults = [
            faults.redirect(f"{store.http}/u/1", match=faults.is_upload(), code=code)
        ]
        registry = remote(fake, transport, ANN, writing=True)
        assert registry.put_blob(REPOSITORY, CONTENT) == "sent"
    (request,) = store.requests
    assert (request.method, request.body) == ("PUT", DATA)
    assert "authorization" not in request.headers


@pytest.mark.parametrize("code", [301, 302, 303])
def test_a_redirect_that_would_make_a_read_of_a_write_is_not_followed(
    fake: FakeRegistry, transport: Transport, code: int
) -> None:
    with Store() as store:
        fake.knobs.faults = [
            faults.redirect(f"{store.http}/u/1", match=faults.is_upload(), code=code)
        ]
        with pytest.raises(RegistryError, match="redirects to where none may follow"):
            remote(fake, transport, writing=True).put_blob(REPOSITORY, CONTENT)
    assert store.requests == []
