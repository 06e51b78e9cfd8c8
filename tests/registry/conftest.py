"""Registries to read from, and a transport to read with, whose time nobody waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexer.registry.transport import Transport
from tests.registry.help import VirtualTime
from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OF_THE_MACHINE = (
    "NETRC",
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ``~`` is; no proxy and no authority of whoever runs the tests reaches them."""
    for name in _OF_THE_MACHINE:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def transport(time: VirtualTime) -> Iterator[Transport]:
    made = Transport(clock=time.clock)
    yield made
    made.close()


@pytest.fixture
def impatient(time: VirtualTime) -> Iterator[Transport]:
    """A transport that doesn't ask twice."""
    made = Transport(clock=time.clock, retry_for=0)
    yield made
    made.close()


@pytest.fixture
def by_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions go by requests, where `responses` answers them: as they do with a proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def elsewhere() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host
