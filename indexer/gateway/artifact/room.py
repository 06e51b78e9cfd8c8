"""How much of the disk and of memory unpacked layers may take together."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from indexer.errors import ContentError
from indexer.gateway.found import UnavailableError

# Left to others on the same disk.
_RESERVE = 64 * 1024 * 1024
# Where each lies is kept in memory: some 250 bytes for one, and its name.
_MAX_MEMBERS = 500_000
_MAX_NAMES = 128 * 1024 * 1024
# Each takes a processor and, of zstd, up to 128 MiB of memory.
_AT_ONCE = 2


class Room:
    """At most ``limit`` bytes below a folder, used by several threads."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._used = 0
        self._members = 0
        self._names = 0
        self._lock = threading.Lock()
        # Whose turn it is to decompress.
        self.turn = threading.Semaphore(_AT_ONCE)

    def claim(self) -> Claim:
        """A share of it, of no bytes yet."""
        return Claim(self)

    def check(self, size: int) -> None:
        """Raises ContentError where a single layer needs more than there may ever be."""
        if size > self.limit:
            raise ContentError(
                f"it takes more than {self.limit} bytes to unpack, which is the limit for all "
                "folders together; a higher one can be given"
            )

    def take(self, size: int, own: int) -> None:
        """Take more. ``own`` is what the same layer has taken already.

        Raises as ``check`` does, and RegistryError where there isn't as much just now.
        """
        self.check(own + size)
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise UnavailableError(f"{self.folder} can't be used: {error.strerror}.") from error
        if free < size + _RESERVE:
            raise UnavailableError(
                f"The disk of {self.folder} is full ({free} bytes are left): "
                "a folder can't be unpacked."
            )
        with self._lock:
            if self._used + size > self.limit:
                raise UnavailableError(
                    f"Folders that are unpacked in {self.folder} take {self._used} bytes, and "
                    f"{self.limit} is the limit: another one has to wait until an old one goes, or "
                    "for a higher limit."
                )
            self._used += size

    def take_members(self, count: int, names: int) -> None:
        """Take so many files in tars, with ``names`` bytes of names.

        Raises RegistryError where there is no memory for them.
        """
        with self._lock:
            if self._members + count > _MAX_MEMBERS or self._names + names > _MAX_NAMES:
                raise UnavailableError(
                    f"The folders that are unpacked have {self._members} files, and no more than "
                    f"{_MAX_MEMBERS} are taken, with {_MAX_NAMES} bytes of names: another one has "
                    "to wait until an old one goes."
                )
            self._members += count
            self._names += names

    def give_back(self, size: int, members: int = 0, names: int = 0) -> None:
        """Others may have it."""
        with self._lock:
            self._used -= size
            self._members -= members
            self._names -= names

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        with self._lock:
            return self._used


class Claim:
    """What one layer takes. Used by one thread at a time."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0
        self._members = 0
        self._names = 0

    def reach(self, size: int) -> None:
        """See to it that so many bytes in all may be written. Raises as ``Room.take`` does."""
        if size > self._taken:
            self._room.take(size - self._taken, self._taken)
            self._taken = size

    def settle(self, size: int, members: int, names: int) -> None:
        """Only so many bytes are needed, and so many files kept in mind.

        Raises as ``Room.take_members`` does.
        """
        self._room.take_members(members, names)
        self._members, self._names = members, names
        self._room.give_back(self._taken - size)
        self._taken = size

    def release(self) -> None:
        """Nothing is needed any more."""
        self._room.give_back(self._taken, self._members, self._names)
        self._taken = self._members = self._names = 0
