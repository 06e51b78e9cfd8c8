"""TLS: who isn't trusted is named with what to do, and what only stumbled is asked again."""

from __future__ import annotations

import ssl
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from indexer.errors import ConfigError, RegistryError, UnansweredError
from indexer.registry.address import RegistryAddress
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport
from tests.conftest import skip_unless
from tests.registry.help import REPOSITORY, VirtualTime
from tests.support.registry_process import Tls, make_ca, missing_reason

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_registry import FakeRegistry


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    skip_unless(missing_reason())
    return make_ca(tmp_path_factory.mktemp("ca"))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"name": "x", "tags": ["1-0"]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(HTTPServer):
    """A registry of one repository, behind TLS; the first ``stumbles`` handshakes break off."""

    def __init__(self, tls: Tls, stumbles: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(tls.cert, tls.key)
        self.stumbles = stumbles
        self.handshakes = 0

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.handshakes += 1
        if self.handshakes <= self.stumbles:
            # The whole greeting is read, so that closing sends an end and no reset.
            connection.recv(65536)
            connection.close()
            raise ConnectionAbortedError
        connection.settimeout(10)
        try:
            return self.context.wrap_socket(connection, server_side=True), address
        except OSError:
            connection.close()
            raise


@contextmanager
def serving(tls: Tls, *, stumbles: int = 0) -> Iterator[tuple[_Server, RegistryAddress]]:
    with _Server(tls, stumbles) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            address = f"oci://localhost:{server.server_port}/acme"
            yield server, RegistryAddress.parse(address)
        finally:
            server.shutdown()
            thread.join()


def tags(address: RegistryAddress, time: VirtualTime) -> list[str]:
    with closing(Transport(clock=time.clock)) as transport:
        return RemoteRegistry(address, transport).tags(REPOSITORY)


def test_a_stranger_s_certificate_is_refused_at_once_with_what_to_do(
    tls: Tls, time: VirtualTime
) -> None:
    with serving(tls) as (_, address), pytest.raises(UnansweredError) as caught:
        tags(address, time)
    assert "certificate was not accepted" in str(caught.value)
    assert "SSL_CERT_FILE" in str(caught.value)
    assert str(address.origin) in str(caught.value)
    assert time.passed == 0


def test_an_authority_of_one_s_own_is_taken_from_ssl_cert_file(
    tls: Tls, time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_pem))
    with serving(tls) as (_, address):
        assert tags(address, time) == ["1-0"]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_ssl_cert_file_that_is_none_is_named(
    tls: Tls,
    time: VirtualTime,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str | None,
) -> None:
    bundle = tmp_path / "mine.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with serving(tls) as (_, address), pytest.raises((ConfigError, RegistryError)) as caught:
        tags(address, time)
    assert "SSL_CERT_FILE" in str(caught.value)
    assert time.passed == 0


def test_a_handshake_that_broke_off_is_tried_again(
    tls: Tls, time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_pem))
    with serving(tls, stumbles=2) as (server, address):
        assert tags(address, time) == ["1-0"]
    assert server.handshakes == 3


def test_a_handshake_that_keeps_breaking_off_is_not_blamed_on_the_certificate(
    tls: Tls, time: VirtualTime
) -> None:
    with serving(tls, stumbles=1000) as (_, address), pytest.raises(RegistryError) as caught:
        tags(address, time)
    assert "certificate was not accepted" not in str(caught.value)


def test_https_to_a_registry_without_tls_is_told_of_oci_http(
    fake: FakeRegistry, time: VirtualTime
) -> None:
    address = RegistryAddress.parse(f"oci://{fake.address}/acme")
    with pytest.raises(RegistryError, match=r"oci\+http://"):
        tags(address, time)
