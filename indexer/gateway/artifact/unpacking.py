"""From a layer in a registry to a tar on the disk, of which is known where its files are."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from indexer.errors import ConfigError, ContentError, printable
from indexer.gateway.artifact.listing import Folder, LeftOut
from indexer.gateway.artifact.members import Member, read_members
from indexer.gateway.artifact.room import Claim, Room
from indexer.gateway.found import UnavailableError
from indexer.registry.base import Registry
from indexer.registry.content import Digest
from indexer.render import zstd

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PIECE = 1024 * 1024
# In bytes a second, and the seconds before that counts: who sends less holds up what comes after.
_SLOWEST = 50_000
_AT_FIRST = 60.0


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A tar on the disk, its share of the room, and its files by name."""

    path: Path
    claim: Claim
    members: dict[str, Member]

    def delete(self) -> None:
        """Take it off the disk."""
        self.path.unlink(missing_ok=True)
        self.claim.release()


def unpack(
    registry: Registry,
    repository: str,
    folder: Folder,
    room: Room,
    left_out: LeftOut,
    go_on: Callable[[], None],
) -> Unpacked:
    """Fetch a layer, check it, and decompress it into a file in the room's folder.

    Both count in the room until it is done. ``go_on`` raises where nobody wants it any more.
    Raises ContentError where it isn't what its digest or its kind says, RegistryError where it
    can't be had, or there is no room for it, just now.
    """
    room.check(folder.layer.size)
    claim = room.claim()
    path: Path | None = None
    found: Unpacked | None = None
    try:
        with _Arriving(room.folder, claim, go_on) as source:
            registry.download(repository, folder.layer, source)
            handle, name = tempfile.mkstemp(dir=room.folder, suffix=".tar")
            path = Path(name)
            with room.turn, os.fdopen(handle, "w+b") as target:
                size, digest = _decompress(source, target, claim, go_on)
                said = folder.content_digest
                if said is not None and said != str(digest):
                    raise ContentError(f"it unpacks to {digest}, not to {printable(said, 100)}")
                members = read_members(target, size, left_out, folder.serves, go_on)
        claim.settle(size, len(members), sum(map(sys.getsizeof, members)))
        found = Unpacked(path, claim, members)
    except (OSError, ConfigError) as error:
        text = printable(getattr(error, "strerror", None) or str(error), 200)
        raise UnavailableError(f"It can't be unpacked in {room.folder}: {text}.") from error
    finally:
        if found is None:
            claim.release()
            if path is not None:
                with suppress(OSError):
                    path.unlink()
    return found


class _Arriving(io.BufferedRandom):
    """A nameless file for a download, which ends where that is too slow, or isn't wanted.

    It takes room as bytes arrive: what a descriptor says may never come.
    """

    def __init__(self, folder: Path, claim: Claim, go_on: Callable[[], None]) -> None:
        # Closed as this is.
        super().__init__(tempfile.TemporaryFile(dir=folder, buffering=0))  # noqa: SIM115
        self._claim = claim
        self._go_on = go_on
        self._start = time.monotonic()

    def write(self, data: ReadableBuffer) -> int:
        """Raises RegistryError where it ends, and as ``Room.take`` does."""
        self._go_on()
        end = self.tell() + len(memoryview(data))
        seconds = time.monotonic() - self._start
        if seconds > _AT_FIRST + end / _SLOWEST:
            raise UnavailableError(f"It comes too slowly: {end} bytes in {seconds:.0f} seconds.")
        self._claim.reach(end)
        return super().write(data)


def _decompress(
    source: IO[bytes], target: IO[bytes], claim: Claim, go_on: Callable[[], None]
) -> tuple[int, Digest]:
    hasher, size = hashlib.sha256(), 0
    packed = source.seek(0, os.SEEK_END)
    stream = _opened(source)
    while piece := _read(stream):
        go_on()
        claim.reach(packed + size + len(piece))
        target.write(piece)
        hasher.update(piece)
        size += len(piece)
    target.flush()
    return size, Digest(hasher.hexdigest())


def _opened(source: IO[bytes]) -> IO[bytes]:
    """The bytes of a tar. Their beginning tells more surely than a media type how to get them."""
    source.seek(0)
    beginning = source.read(4)
    source.seek(0)
    if beginning.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=source))
    if beginning == b"\x28\xb5\x2f\xfd":
        return cast("IO[bytes]", zstd.reader(source))
    return source


def _read(stream: Any) -> bytes:
    try:
        data: bytes = stream.read(_PIECE)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstd.zstd.ZstdError) as error:
        raise ContentError(f"it can't be decompressed ({printable(str(error), 200)})") from error
    return data
