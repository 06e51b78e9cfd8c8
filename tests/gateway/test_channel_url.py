"""A site published elsewhere: fetched when it has changed, and served on while it is down."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.packages import build
from indexer.errors import ConfigError
from indexer.gateway.channel.source import Origin
from indexer.registry import RegistryAddress
from indexer.registry.transport import Transport
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.running import Running
from tests.support.faults import Answer, Fault, closed, is_path, status, truncated
from tests.support.loopback import FileHost
from tests.support.rig import Rig

ALPHA = package_of(10_000)
BETA = build("beta")
BETA_PATH = "noarch/beta-1.0-0.conda"
SNAPSHOT = "/history/snapshot.json"

ServeUrl = Callable[..., Running]


@pytest.fixture
def host(rig: Rig, stack: ExitStack) -> FileHost:
    return stack.enter_context(FileHost(rig.site))


@pytest.fixture
def serve_url(rig: Rig, host: FileHost, stack: ExitStack) -> Iterator[ServeUrl]:
    transport = Transport(retry_for=0)

    def run(origin: Origin | None = None, **settings: Any) -> Running:
        scratch = Path(tempfile.mkdtemp(dir=rig.root, prefix="scratch-"))
        registry = Origin(RegistryAddress.parse(f"oci+{rig.fake.http}/acme"))
        made = Running.of_address(
            f"{host.http}/", scratch, origin or registry, transport, **settings
        )
        return stack.enter_context(made)

    yield run
    transport.close()


def names(gateway: Running) -> set[str]:
    document = json.loads(gateway.get("noarch/repodata.json").content)
    return set(document["packages"] | document["packages.conda"])


def asked(host: FileHost) -> list[str]:
    return [request.path for request in host.requests]


def is_up(gateway: Running, *packages: Any) -> bool:
    return names(gateway) == {package.file_name for package in packages} and all(
        gateway.get(f"noarch/{package.file_name}").content == package.data for package in packages
    )


def test_all_of_a_site_elsewhere_is_served(rig: Rig, host: FileHost, serve_url: ServeUrl) -> None:
    publish(rig, ALPHA, BETA)
    gateway = serve_url()

    assert is_up(gateway, ALPHA, BETA)
    for shard in (rig.site / "noarch" / "shards").iterdir():
        assert gateway.get(f"noarch/shards/{shard.name}").content == shard.read_bytes()
    # What the index has no copy of is where it is published.
    for path in ("status.json", "history/snapshot.json"):
        answer = gateway.get(path)
        assert answer.status_code == 307
        assert answer.headers["Location"] == f"{host.http}/{path}"
    # This one has none.
    for path in ("index.html", "", "..%2fx", ".%2e/x", "a%20b", "a%0d%0ab"):
        assert gateway.get(path).status_code == 404


def test_when_nothing_is_new_one_conditional_request_is_all(
    rig: Rig, host: FileHost, serve_url: ServeUrl
) -> None:
    publish(rig, ALPHA)
    gateway = serve_url()
    host.clear_requests()

    for _ in range(3):
        assert not gateway.look()
    assert is_up(gateway, ALPHA)

    assert asked(host) == [SNAPSHOT] * 3
    assert all(request.headers["if-none-match"] for request in host.requests)
    assert gateway.told == []


def test_of_a_new_build_what_is_new_is_fetched(
    rig: Rig, host: FileHost, serve_url: ServeUrl
) -> None:
    publish(rig, ALPHA, build("native", subdir="linux-64"))
    gateway = serve_url()
    publish(rig, BETA)
    host.clear_requests()

    assert gateway.look()

    assert is_up(gateway, ALPHA, BETA)
    paths = asked(host)
    assert sum("/shards/" in path for path in paths) == 1
    assert not any(path.startswith("/linux-64/") for path in paths)
    assert "/noarch/repodata.json" not in paths
    assert gateway.told == ["A new state is served."]


def test_while_the_host_is_down_the_last_good_one_is_served(
    rig: Rig, host: FileHost, serve_url: ServeUrl
) -> None:
    publish(rig, ALPHA)
    gateway = serve_url()
    (shard,) = (rig.site / "noarch" / "shards").iterdir()
    publish(rig, BETA)
    host.faults.append(closed())

    for _ in range(3):
        assert not gateway.look()
    assert is_up(gateway, ALPHA)
    assert gateway.get(f"noarch/shards/{shard.name}").content == shard.read_bytes()
    assert gateway.get("-/ready").status_code == 200
    assert [line.partition(":")[0] for line in gateway.told] == ["Not fresh"]

    host.faults.clear()
    assert gateway.look()
    assert is_up(gateway, ALPHA, BETA)
    assert len(gateway.told) == 2


@pytest.mark.parametrize("code", [304, 403, 404, 500, 503])
def test_a_host_that_says_no_takes_nothing_away(
    rig: Rig, host: FileHost, serve_url: ServeUrl, code: int
) -> None:
    publish(rig, ALPHA)
    gateway = serve_url()
    publish(rig, BETA)
    host.faults.append(status(code, match=is_path(SNAPSHOT)))

    assert not gateway.look()

    assert is_up(gateway, ALPHA)
    assert gateway.number("faults_total") == 0


@pytest.mark.parametrize("what", ["repodata.json.zst", "repodata_shards.msgpack.zst", "shards/"])
def test_a_build_that_is_half_there_is_not_taken(
    rig: Rig, host: FileHost, serve_url: ServeUrl, what: str
) -> None:
    publish(rig, ALPHA)
    gateway = serve_url()
    publish(rig, BETA)
    for fault in (
        status(404, match=lambda r: what in r.path),
        truncated(match=lambda r: what in r.path),
    ):
        host.faults[:] = [fault]
        assert not gateway.look()
        assert fault.fired
        assert is_up(gateway, ALPHA)

    host.faults.clear()
    assert gateway.look()
    assert is_up(gateway, ALPHA, BETA)


def test_a_host_without_etags_is_no_reason_to_fetch_all_again(
    rig: Rig, host: FileHost, serve_url: ServeUrl
) -> None:
    publish(rig, ALPHA)
    host.faults.append(_bare(host, SNAPSHOT))
    gateway = serve_url()
    host.clear_requests()

    assert not gateway.look()
    assert asked(host) == [SNAPSHOT]

    publish(rig, BETA)
    assert gateway.look()
    assert is_up(gateway, ALPHA, BETA)


def _bare(host: FileHost, path: str) -> Any:
    """Answers without an ETag."""

    def action(_request: Any, _ready: Answer) -> Answer:
        assert host.root is not None
        return Answer(200, {}, (host.root / path.lstrip("/")).read_bytes())

    return Fault(is_path(path), None, action)


@pytest.mark.parametrize("registry", ["oci+http://127.0.0.1:6379/acme", "ocidir:///etc"])
def test_a_site_elsewhere_leads_nobody_inside(rig: Rig, serve_url: ServeUrl, registry: str) -> None:
    publish(rig, ALPHA)
    snapshot = rig.site / "history" / "snapshot.json"
    document = json.loads(snapshot.read_text())
    document["registry"] = registry
    snapshot.unlink()
    snapshot.write_text(json.dumps(document))

    with pytest.raises(ConfigError, match="--registry"):
        serve_url(Origin())


def test_a_registry_that_only_the_site_names_must_be_public(rig: Rig, serve_url: ServeUrl) -> None:
    publish(rig, ALPHA)
    snapshot = rig.site / "history" / "snapshot.json"
    document = json.loads(snapshot.read_text())
    document["registry"] = f"oci://{rig.fake.address}/acme"
    snapshot.unlink()
    snapshot.write_text(json.dumps(document))

    answer = serve_url(Origin()).get(PATH)

    assert answer.status_code == 502
    assert rig.fake.connections == 0


def test_before_the_index_has_been_read_nothing_is_served_and_ready_says_why(
    rig: Rig, host: FileHost, serve_url: ServeUrl
) -> None:
    publish(rig, ALPHA)
    host.faults.append(closed())
    gateway = serve_url()

    for path in (PATH, "noarch/repodata.json", "", "x"):
        answer = gateway.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
    ready = gateway.get("-/ready")
    assert ready.status_code == 503
    assert host.http in ready.text
    assert gateway.get("-/healthy").status_code == 200

    host.faults.clear()
    gateway.look()
    assert gateway.get("-/ready").status_code == 200
    assert is_up(gateway, ALPHA)


def test_what_is_no_longer_of_use_leaves_the_disk(
    rig: Rig, serve_url: ServeUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, ALPHA)
    monkeypatch.setattr("indexer.gateway.channel.source._STAYS", -1.0)
    gateway = serve_url()
    scratch = next(rig.root.glob("scratch-*"))

    for number in range(4):
        publish(rig, build(f"name{number}"))
        assert gateway.look()
    gateway.look()

    assert len(list(scratch.glob("generation-*"))) <= 2
    shutil.rmtree(rig.site)
    assert gateway.get("noarch/repodata.json").status_code == 200
