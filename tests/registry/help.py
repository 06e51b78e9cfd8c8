"""What the tests of this folder share: time that nobody waits for, and registries to read."""

from __future__ import annotations

import base64
import io
import traceback
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from indexer.registry.address import RegistryAddress
from indexer.registry.content import Content, Digest
from indexer.registry.exchange import Clock
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_registry import FakeRegistry

# Examples alone decide, not how busy the machine is.
STEADY = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

REPOSITORY = "acme/forge/linux-64/zlib"
# More than any buffer holds, and no part of it like another.
LARGE = b"".join(number.to_bytes(4, "big") for number in range(900_000))


class VirtualTime:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.start = self.seconds = 1000.0
        self.slept: list[float] = []
        self.clock = Clock(now=lambda: self.seconds, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    @property
    def passed(self) -> float:
        return self.seconds - self.start


def basic(user: str, word: str) -> str:
    """What stands behind ``Basic`` in the header."""
    return base64.b64encode(f"{user}:{word}".encode()).decode()


class Pieces(io.BytesIO):
    """A file that nobody may read whole, however much memory there is."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= 1 << 20
        return super().read(size)


def content_of(data: bytes, at: Callable[[int], None] = lambda _: None) -> Content:
    """Bytes to be sent, to be read in pieces."""
    return Content(Digest.of(data), len(data), lambda: Pieces(data), at)


def remote(
    fake: FakeRegistry, transport: Transport, login: str | None = None, *, writing: bool = False
) -> RemoteRegistry:
    """The product's view of a fake registry."""
    address = RegistryAddress.parse(f"oci+http://{fake.address}/acme")
    return RemoteRegistry(address, transport, basic=login, writing=writing)


def whole_text(error: BaseException) -> str:
    """All that ``--debug`` could ever print of an error, its causes included."""
    return "".join(traceback.format_exception(error)) + repr(error)
