"""Redirects: followed to where the bytes are, with nothing that belongs to the registry alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import responses

from indexer.errors import RegistryError
from indexer.registry.content import Descriptor, Digest
from indexer.registry.urls import origin_of
from tests.registry.help import REPOSITORY, basic, remote
from tests.support import faults

if TYPE_CHECKING:
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost

DATA = b"the bytes of a package, longer than any error of the fake registry: " + b"." * 200
DESCRIPTOR = Descriptor("", Digest.of(DATA), len(DATA))
SECRET = {"Authorization": "Bearer hunter2"}


def sent_credentials() -> list[bool]:
    """Which of the mocked requests carried any."""
    return ["Authorization" in call.request.headers for call in responses.calls]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_credentials_do_not_follow_a_redirect_to_another_host(
    fake: FakeRegistry, elsewhere: FileHost, transport: Transport, code: int
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    fake.add_blob(REPOSITORY, DATA)
    target = elsewhere.put("/store/blob", DATA)
    fake.knobs.faults = [faults.redirect(target, match=faults.is_blob(), code=code)]
    registry = remote(fake, transport, basic("ann", "hunter2"))
    assert registry.blob(REPOSITORY, DESCRIPTOR) == DATA
    assert "authorization" in fake.requests[-1].headers
    assert [set(request.headers) & {"authorization"} for request in elsewhere.requests] == [set()]


def test_a_token_does_not_follow_a_redirect_to_another_host(
    fake: FakeRegistry, elsewhere: FileHost, transport: Transport
) -> None:
    fake.knobs.auth = "token"
    fake.add_blob(REPOSITORY, DATA)
    target = elsewhere.put("/store/blob", DATA)
    fake.knobs.faults = [faults.redirect(target, match=faults.is_blob())]
    assert remote(fake, transport).blob(REPOSITORY, DESCRIPTOR) == DATA
    assert fake.requests[-1].headers["authorization"].startswith("Bearer token-")
    assert "authorization" not in elsewhere.requests[0].headers


@responses.activate
@pytest.mark.usefixtures("by_requests")
def test_credentials_do_not_come_back_with_a_redirect_home(transport: Transport) -> None:
    # Whoever sends us back chose the address: it gets what a stranger would.
    there = {"Location": "https://elsewhere.example/b"}
    home = {"Location": "https://example.org/c"}
    responses.add("GET", "https://example.org/a", status=307, headers=there)
    responses.add("GET", "https://elsewhere.example/b", status=307, headers=home)
    responses.add("GET", "https://example.org/c", body=b"home")
    answer = transport.request("GET", "https://example.org/a", headers=SECRET, limit=1000)
    assert answer.body == b"home"
    assert sent_credentials() == [True, False, False]


def test_credentials_do_follow_a_redirect_within_the_registry(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    fake.add_blob(REPOSITORY, DATA)
    fake.knobs.faults = [faults.redirect(lambda r: r.path, match=faults.is_blob(), times=2)]
    registry = remote(fake, transport, basic("ann", "hunter2"))
    assert registry.blob(REPOSITORY, DESCRIPTOR) == DATA
    assert all("authorization" in request.headers for request in fake.requests[1:])


def test_what_a_redirect_leads_to_is_checked_all_the_same(
    fake: FakeRegistry, elsewhere: FileHost, transport: Transport
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    good = elsewhere.put("/good", DATA)
    bad = elsewhere.put("/bad", DATA[::-1])
    fake.knobs.faults = [
        faults.redirect(bad, match=faults.is_blob(), times=1),
        faults.redirect(good, match=faults.is_blob(), times=1),
    ]
    assert remote(fake, transport).blob(REPOSITORY, DESCRIPTOR) == DATA
    assert [request.path for request in elsewhere.requests] == ["/bad", "/good"]


@responses.activate
@pytest.mark.usefixtures("by_requests")
@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/b",
        "http://elsewhere.example/b",
        "file:///etc/passwd",
        "ftp://example.org/b",
        "javascript:alert(1)",
        "https://:443/b",
        "https://[::1/b",
        "//[/b",
        "https://example.org:port/b",
    ],
)
def test_a_redirect_out_of_https_is_refused(transport: Transport, location: str) -> None:
    responses.add(
        "GET", "https://example.org/a", status=307, headers={"Location": f"{location}?sig=hunter2"}
    )
    with pytest.raises(RegistryError, match=r"https://example.org/a redirects") as caught:
        transport.request("GET", "https://example.org/a", headers=SECRET, limit=1000)
    assert "hunter2" not in str(caught.value)
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.usefixtures("by_requests")
def test_a_redirect_into_https_is_followed_without_credentials(transport: Transport) -> None:
    responses.add(
        "GET", "http://example.org/a", status=307, headers={"Location": "https://example.org/b"}
    )
    responses.add("GET", "https://example.org/b", body=b"there")
    answer = transport.request("GET", "http://example.org/a", headers=SECRET, limit=1000)
    assert (answer.body, answer.url) == (b"there", "https://example.org/b")
    assert sent_credentials() == [True, False]


@responses.activate
@pytest.mark.usefixtures("by_requests")
@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("https://example.org:443/b", True),
        ("//EXAMPLE.org/b", True),
        ("/b", True),
        ("https://example.org:8443/b", False),
        ("https://example.org.evil.example/b", False),
        ("https://evil.example/example.org/b", False),
        ("https://example.org@evil.example/b", False),
        ("https://api.example.org/b", False),
    ],
)
def test_only_the_very_same_origin_is_the_same(
    transport: Transport, location: str, *, kept: bool
) -> None:
    responses.add("GET", "https://example.org/a", status=302, headers={"Location": location})
    responses.add("GET", re.compile(".*"), body=b"there")
    transport.request("GET", "https://example.org/a", headers=SECRET, limit=1000)
    assert sent_credentials() == [True, kept]


def test_a_redirect_to_no_text_at_all_is_no_fault_of_ours(
    fake: FakeRegistry, impatient: Transport
) -> None:
    fake.knobs.faults = [faults.redirect("/v2/\xff", match=faults.is_tags())]
    with pytest.raises(RegistryError):
        remote(fake, impatient).tags(REPOSITORY)


def test_a_circle_of_redirects_ends(fake: FakeRegistry, transport: Transport) -> None:
    fake.knobs.faults = [faults.redirect(lambda r: r.path, match=faults.is_blob())]
    fake.add_blob(REPOSITORY, DATA)
    with pytest.raises(RegistryError, match="redirects more than 5 times"):
        remote(fake, transport).blob(REPOSITORY, DESCRIPTOR)
    assert fake.count("blobs") == 6


def test_a_redirect_without_a_target_is_no_answer(fake: FakeRegistry, transport: Transport) -> None:
    fake.knobs.faults = [faults.status(307, match=faults.is_tags())]
    with pytest.raises(RegistryError, match="answered 307"):
        remote(fake, transport).tags(REPOSITORY)


def test_default_ports_make_no_other_origin() -> None:
    assert origin_of("https://Host/x") == origin_of("https://host:443/y")
    assert origin_of("http://host/x") == origin_of("http://host:80")
    assert origin_of("https://host") != origin_of("http://host")
    assert origin_of("https://host:443") != origin_of("http://host:443")


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("https://host/v2/@elsewhere/", "host", 443),
        ("https://host@elsewhere/x", "elsewhere", 443),
        ("https://host:80@elsewhere/x", "elsewhere", 443),
        ("https://host?@elsewhere/x", "host", 443),
        ("https://host#@elsewhere/x", "host", 443),
        ("https://host:8443", "host", 8443),
        ("HTTPS://Host:8443/x", "host", 8443),
    ],
)
def test_an_origin_is_that_of_the_server_however_it_is_spelt(
    address: str, host: str, port: int
) -> None:
    assert origin_of(address) == ("https", host, port)


def test_a_port_that_is_none_makes_no_origin() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="ort"):
            origin_of("https://host:99999/x")
