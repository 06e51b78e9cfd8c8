"""Plain questions don't go by requests: what it does for others, they must have all the same.

Bounds, drips and deadlines are those of all answers, and tested as theirs.
"""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import requests

from indexer.errors import ConfigError, ContentError, RegistryError, UnansweredError
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Descriptor, Digest
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport
from tests.conftest import skip_unless
from tests.registry.help import REPOSITORY, VirtualTime, basic, remote, whole_text
from tests.registry.test_tls import serving
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.registry_process import Tls, make_ca, missing_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loopback import FileHost

SECRET = "hunter2-hunter2"  # noqa: S105
DATA = b"content" * 30
DESCRIPTOR = Descriptor("", Digest.of(DATA), len(DATA))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    skip_unless(missing_reason())
    return make_ca(tmp_path_factory.mktemp("ca"))


@contextmanager
def nothing_by_requests() -> Iterator[None]:
    """Whatever would go by requests fails."""

    def send(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("this went by requests")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", send)
        yield


def test_what_a_reading_asks_does_not_go_by_requests(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    with nothing_by_requests():
        registry = remote(fake, transport)
        assert registry.tags(REPOSITORY) == []
        assert registry.blob(REPOSITORY, DESCRIPTOR) == DATA
        assert registry.has_blob(REPOSITORY, DESCRIPTOR.digest)
        assert not registry.has_blob(REPOSITORY, Digest.of(b""))
    assert {request.headers["accept-encoding"] for request in fake.requests} == {"identity"}
    assert all(r.headers["user-agent"].startswith("cf-index/") for r in fake.requests)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_not_passed_by(
    fake: FakeRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with FakeRegistry() as proxy:
        monkeypatch.setenv(name, proxy.http)
        proxy.add_blob(REPOSITORY, DATA)
        assert remote(fake, transport).blob(REPOSITORY, DESCRIPTOR) == DATA
        # Asked for the whole address, as proxies are, and not for a path of their own.
        assert [request.headers["host"] for request in proxy.requests] == [fake.address]
    assert fake.requests == []


@pytest.mark.parametrize(("proxy_for", "excepted"), [("HTTP", "127.0.0.1"), ("HTTPS", "")])
def test_no_proxy_is_asked_for_what_it_is_not_for(
    fake: FakeRegistry,
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
    proxy_for: str,
    excepted: str,
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    with FakeRegistry() as proxy, nothing_by_requests():
        monkeypatch.setenv(f"{proxy_for}_PROXY", proxy.http)
        monkeypatch.setenv("NO_PROXY", excepted)
        assert remote(fake, transport).blob(REPOSITORY, DESCRIPTOR) == DATA
        assert proxy.requests == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_one_s_own_is_believed(
    tls: Tls, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tls.ca_pem))
    with serving(tls) as (_, address), nothing_by_requests(), closing(Transport()) as transport:
        assert RemoteRegistry(address, transport).tags(REPOSITORY) == ["1-0"]


def test_a_stranger_s_authority_is_not_believed(tls: Tls, transport: Transport) -> None:
    with (
        serving(tls) as (_, address),
        nothing_by_requests(),
        pytest.raises(UnansweredError, match="certificate was not accepted"),
    ):
        RemoteRegistry(address, transport).tags(REPOSITORY)


def test_a_certificate_of_another_host_is_not_believed(
    tls: Tls, time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_pem))
    with (
        serving(tls) as (server, _),
        nothing_by_requests(),
        closing(Transport(clock=time.clock)) as transport,
    ):
        # The same address; but the certificate is for localhost and 127.0.0.1.
        address = RegistryAddress.parse(f"oci://127.1:{server.server_port}/acme")
        with pytest.raises(UnansweredError, match="certificate was not accepted"):
            RemoteRegistry(address, transport).tags(REPOSITORY)


def test_an_ssl_cert_file_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/mine.pem")
    address = RegistryAddress.parse("oci://localhost:1/acme")
    with (
        nothing_by_requests(),
        closing(Transport()) as transport,
        pytest.raises(RegistryError, match=r"names /nowhere/mine\.pem"),
    ):
        RemoteRegistry(address, transport).tags(REPOSITORY)


def test_credentials_don_t_come_back_by_way_of_another_host(
    fake: FakeRegistry, elsewhere: FileHost, transport: Transport
) -> None:
    # Whoever sends us back chose the address: it gets what a stranger would.
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    fake.add_blob(REPOSITORY, DATA)
    home = f"{fake.http}/v2/{REPOSITORY}/blobs/{DESCRIPTOR.digest}"
    elsewhere.faults = [faults.redirect(home, match=faults.anything)]
    target = f"{elsewhere.http}/somewhere"
    fake.knobs.faults = [faults.redirect(target, match=faults.is_blob(), times=1)]
    with pytest.raises(RegistryError, match="401"):
        remote(fake, transport, basic("ann", "hunter2")).blob(REPOSITORY, DESCRIPTOR)
    assert ["authorization" in r.headers for r in fake.requests] == [False, True, False]
    assert ["authorization" in r.headers for r in elsewhere.requests] == [False]


def test_a_password_that_can_not_be_sent_is_not_repeated(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.knobs.auth = "basic"
    with pytest.raises(ConfigError, match="can't be sent") as caught:
        remote(fake, transport, f"{SECRET}\n{SECRET}").tags(REPOSITORY)
    assert SECRET not in whole_text(caught.value)


def test_a_connection_with_an_unread_answer_is_not_used_again(
    fake: FakeRegistry, impatient: Transport
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    fake.knobs.faults = [faults.replace_body(DATA * 10_000, match=faults.is_blob(), times=2)]
    registry = remote(fake, impatient)
    with pytest.raises(ContentError, match="more than"):
        registry.blob(REPOSITORY, DESCRIPTOR)
    assert registry.blob(REPOSITORY, DESCRIPTOR) == DATA


def test_many_threads_share_the_connections_of_a_server(fake: FakeRegistry) -> None:
    fake.add_blob(REPOSITORY, DATA)
    found: list[bytes] = []
    with closing(Transport(jobs=4)) as transport:
        registry = remote(fake, transport)

        def ask() -> None:
            found.extend(registry.blob(REPOSITORY, DESCRIPTOR) for _ in range(10))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [DATA] * 40
