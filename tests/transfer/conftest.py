"""Archives and registries to push them into; namespaces to promote between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.registry.address import RegistryAddress
from indexer.registry.layout import LayoutRegistry
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport
from tests.registry.help import VirtualTime
from tests.support.fake_registry import FakeRegistry
from tests.support.rig import Rig
from tests.support.validator import Validator
from tests.transfer.help import Shop
from tests.transfer.marking import ALPHA, ALPHA_BZ2, BETA, Desk
from tests.transfer.promotion import Ways, address_of


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def transport(time: VirtualTime) -> Iterator[Transport]:
    made = Transport(clock=time.clock)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "packages"
    made.mkdir()
    return made


@pytest.fixture
def remote(rig: Rig, transport: Transport, folder: Path) -> Shop:
    """Pushes over HTTP."""
    return Shop(rig, RemoteRegistry(rig.config().registry, transport, writing=True), folder)


@pytest.fixture
def local(rig: Rig, tmp_path: Path, folder: Path) -> Shop:
    """Pushes into a folder."""
    address = RegistryAddress.parse(f"ocidir://{tmp_path / 'layouts'}")
    return Shop(rig, LayoutRegistry(address), folder)


@pytest.fixture(params=["remote", "local"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """Either."""
    made: Shop = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def elsewhere() -> Iterator[FakeRegistry]:
    """A second registry, on another port."""
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def one(rig: Rig, tmp_path: Path) -> Ways:
    """Both namespaces in one registry."""
    return ways_between(rig, f"oci+{rig.fake.http}/staging", f"oci+{rig.fake.http}/acme", tmp_path)


@pytest.fixture
def two(rig: Rig, elsewhere: FakeRegistry, tmp_path: Path) -> Ways:
    """Staging in a registry of its own."""
    return ways_between(rig, f"oci+{elsewhere.http}/acme", f"oci+{rig.fake.http}/acme", tmp_path)


@pytest.fixture
def folders(rig: Rig, tmp_path: Path) -> Ways:
    """Both in folders."""
    return ways_between(rig, tmp_path / "staging", tmp_path / "production", tmp_path)


@pytest.fixture
def into(rig: Rig, tmp_path: Path) -> Ways:
    """From a folder into a registry."""
    return ways_between(rig, tmp_path / "staging", f"oci+{rig.fake.http}/acme", tmp_path)


@pytest.fixture
def out(rig: Rig, tmp_path: Path) -> Ways:
    """From a registry into a folder."""
    return ways_between(rig, f"oci+{rig.fake.http}/acme", tmp_path / "production", tmp_path)


@pytest.fixture(params=["one", "two", "folders", "into", "out"])
def ways(request: pytest.FixtureRequest) -> Ways:
    """Any of them."""
    made: Ways = request.getfixturevalue(request.param)
    return made


def ways_between(rig: Rig, source: str | Path, target: str | Path, root: Path) -> Ways:
    keys = root / "keys"
    keys.mkdir()
    return Ways(rig, address_of(source), address_of(target), Validator(keys), root / "audit.jsonl")


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    """A validator at work on either."""
    keys = tmp_path / "keys"
    keys.mkdir()
    return Desk(shop, Validator(keys), tmp_path)


@pytest.fixture
def stocked(desk: Desk) -> Desk:
    """With both formats of alpha, and beta, in the registry."""
    desk.shop.lay(ALPHA, ALPHA_BZ2, BETA)
    desk.shop.push()
    return desk
