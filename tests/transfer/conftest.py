"""A folder of archives, and two kinds of registries to push them into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.registry.address import RegistryAddress
from indexer.registry.layout import LayoutRegistry
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport
from tests.registry.help import VirtualTime
from tests.support.rig import Rig
from tests.support.validator import Validator
from tests.transfer.help import Shop
from tests.transfer.marking import ALPHA, ALPHA_BZ2, BETA, Desk


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
