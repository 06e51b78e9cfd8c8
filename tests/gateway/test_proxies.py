"""A proxy of the environment: blobs come through it, wherever it isn't switched off."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from indexer.gateway.channel.source import Origin
from indexer.registry import RegistryAddress
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.support.rig import Rig

PACKAGE = package_of(1000)
# Nobody but a proxy could find it.
AWAY = Origin(RegistryAddress.parse("oci+http://registry.example/acme"), "forge")


@pytest.fixture(autouse=True)
def _no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_blobs_come_through_the_proxy_and_logins_of_netrc_go_nowhere(
    rig: Rig,
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    scheme: str,
    host: str,
) -> None:
    publish(rig, PACKAGE)
    netrc = tmp_path / "netrc"
    machines = ("registry.example", "127.0.0.1", "localhost")
    netrc.write_text("".join(f"machine {one} login ann password secret\n" for one in machines))
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    port = rig.fake.address.rpartition(":")[2]
    monkeypatch.setenv(name, f"{scheme}{host}:{port}")

    answer = serve(packages="stream", origin=AWAY).get(PATH)

    assert answer.content == PACKAGE.data
    (request,) = rig.fake.requests
    assert request.headers["host"] == "registry.example"
    assert not {"authorization", "proxy-authorization"} & request.headers.keys()


@pytest.mark.parametrize(
    ("exceptions", "is_found"),
    [("127.0.0.1", True), ("x.example,127.0.0.1", True), ("*", True), ("x.example", False)],
)
def test_where_no_proxy_is_wanted_none_is_asked(
    rig: Rig,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    exceptions: str,
    is_found: bool,  # noqa: FBT001  a parameter of a test
) -> None:
    publish(rig, PACKAGE)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", exceptions)

    answer = serve(packages="stream").get(PATH)

    assert answer.status_code == (200 if is_found else 503)
    assert len(rig.fake.requests) == is_found
