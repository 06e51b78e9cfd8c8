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
from tests.transfer.help import Shop


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
