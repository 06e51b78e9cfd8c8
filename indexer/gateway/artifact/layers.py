"""Layers that are unpacked on this machine: each once, when it is first needed."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import CfIndexError, ConfigError, ContentError
from indexer.gateway.artifact.listing import Folder, LeftOut
from indexer.gateway.artifact.room import Room
from indexer.gateway.artifact.unpacking import Unpacked, unpack
from indexer.gateway.found import LocalFile, UnavailableError
from indexer.gateway.types import inert_type
from indexer.registry.address import RegistryAddress
from indexer.registry.base import Registry
from indexer.registry.content import Digest

_ENDING = "It isn't fetched any more: the gateway ends, or the tag leads elsewhere by now."
# Whoever waits for a layer holds a thread of the server; clients ask again.
_PATIENCE = 20.0
_WAITING = 16
# A layer that couldn't be had isn't asked for with every request; each pause is twice the last.
_PAUSE = 10.0
_LONGEST_PAUSE = 300.0
# A file that was given stays a minute at least (found.py), and some more.
_GRACE = 90.0


@dataclass(frozen=True, slots=True)
class Key:
    """All that the outcome depends on: what one artifact says must be no matter to another."""

    registry: RegistryAddress
    repository: str
    digest: Digest
    size: int
    content_digest: str | None
    base: str
    place: str

    @classmethod
    def of(cls, registry: Registry, repository: str, folder: Folder) -> Key:
        """Of a folder of an artifact."""
        layer, said = folder.layer, folder.content_digest
        place = (folder.base, folder.place)
        return cls(registry.address, repository, layer.digest, layer.size, said, *place)

    def __str__(self) -> str:
        return f"{self.repository}: the folder {self.place or '/'}"


@dataclass(slots=True)
class _Kept:
    future: Future[Unpacked]
    # Set when nobody wants it any more.
    over: threading.Event
    # When it was begun, when it was there or failed, or when a file of it was given last.
    at: float
    # How often it has failed before, one time after another.
    failures: int = 0


class Layers:
    """All unpacked layers of a source, in a folder of their own below ``scratch``.

    Raises ConfigError where that folder can't be made.
    """

    def __init__(
        self,
        scratch: Path,
        limit: int,
        report: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            self._folder = Path(tempfile.mkdtemp(dir=scratch, prefix="artifacts-"))
        except OSError as error:
            raise ConfigError(
                f"Layers can't be unpacked in {scratch}: {error.strerror}."
            ) from error
        self.room = Room(self._folder, limit)
        self._report = report
        self._now = now
        self._kept: dict[Key, _Kept] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._waiting = threading.Semaphore(_WAITING)
        # One thread for each repository, so that a slow one holds nobody else up.
        self._threads: dict[tuple[RegistryAddress, str], ThreadPoolExecutor] = {}

    def member(
        self, registry: Registry, repository: str, folder: Folder, path: str, cache: str
    ) -> LocalFile | None:
        """A file in a folder, by the path it is served at; None where it isn't there.

        Raises ContentError for a layer that isn't sound, RegistryError where it can't be had
        just now.
        """
        name = folder.member_at(path)
        if name is None:
            return None
        kept = self._kept_of(registry, repository, folder)
        unpacked = self._awaited(kept, str(Key.of(registry, repository, folder)))
        found = unpacked.members.get(name)
        if found is None:
            return None
        kept.at = self._now()
        digest = folder.layer.digest.hex
        etag = f"{digest}-{found.offset:x}-{found.size:x}"
        return LocalFile(
            unpacked.path, found.size, etag, inert_type(path), cache, found.offset, sandbox=True
        )

    def is_here(self, registry: Registry, repository: str, folder: Folder, patience: float) -> bool:
        """Fetch it, and wait ``patience`` seconds for it. Raises as ``member`` does."""
        kept = self._kept_of(registry, repository, folder)
        if not _is_done(kept.future, patience):
            return False
        self._awaited(kept, str(Key.of(registry, repository, folder)))
        return True

    def sweep(self, wanted: Collection[Key]) -> None:
        """End and delete what nobody wants, once the last file given of it was a while ago."""
        with self._lock:
            unwanted = [key for key in self._kept if key not in wanted]
            for key in unwanted:
                kept = self._kept[key]
                kept.over.set()
                if kept.future.cancel():
                    del self._kept[key]
            gone = [
                self._kept.pop(key)
                for key in unwanted
                if (each := self._kept.get(key)) is not None
                and each.future.done()
                and self._now() - each.at > _GRACE
            ]
        for kept in gone:
            if kept.future.exception() is None:
                with suppress(OSError):
                    kept.future.result().delete()

    def close(self) -> None:
        """Delete all; what is under way ends soon, and a download with its transport."""
        with self._lock:
            self._is_closed = True
            for kept in self._kept.values():
                kept.over.set()
            for threads in self._threads.values():
                threads.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _awaited(self, kept: _Kept, what: str) -> Unpacked:
        self._wait_for(kept.future, what)
        try:
            error = kept.future.exception()
        except CancelledError as cancelled:
            raise UnavailableError(_ENDING) from cancelled
        if isinstance(error, CfIndexError):
            # A new one for everybody: with each raise an error remembers more of who raised it.
            raise type(error)(f"{what}: {error}")
        return kept.future.result()

    def _wait_for(self, future: Future[Unpacked], what: str) -> None:
        if future.done():
            return
        if not self._waiting.acquire(blocking=False):
            raise UnavailableError(f"{what} is being fetched, and many wait for it; ask again.")
        try:
            is_done = _is_done(future, _PATIENCE)
        finally:
            self._waiting.release()
        if not is_done:
            raise UnavailableError(f"{what} is still being fetched; ask again.")

    def _kept_of(self, registry: Registry, repository: str, folder: Folder) -> _Kept:
        key = Key.of(registry, repository, folder)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or self._may_try_again(kept):
                if self._is_closed:
                    raise UnavailableError(_ENDING)
                whose = (key.registry, repository)
                if whose not in self._threads:
                    self._threads[whose] = ThreadPoolExecutor(1, thread_name_prefix="unpacking")
                over = threading.Event()
                future = self._threads[whose].submit(self._unpack, registry, folder, key, over)
                failures = 0 if kept is None else kept.failures + 1
                kept = self._kept[key] = _Kept(future, over, self._now(), failures)
            return kept

    def _may_try_again(self, kept: _Kept) -> bool:
        """Whether it failed in passing, and that was a while ago."""
        if not kept.future.done():
            return False
        if kept.future.cancelled() or kept.over.is_set():
            # It was unwanted, and is wanted again.
            return kept.future.cancelled() or kept.future.exception() is not None
        error = kept.future.exception()
        is_passing = error is not None and not isinstance(error, ContentError)
        return is_passing and self._now() - kept.at > min(_PAUSE * 2**kept.failures, _LONGEST_PAUSE)

    def _unpack(
        self, registry: Registry, folder: Folder, key: Key, over: threading.Event
    ) -> Unpacked:
        def go_on() -> None:
            if over.is_set():
                raise UnavailableError(_ENDING)

        left_out, problem = LeftOut(), None
        try:
            found = unpack(registry, key.repository, folder, self.room, left_out, go_on)
        except CfIndexError as error:
            if not over.is_set():
                self._report(f"{key} ({key.digest}): {error}")
            problem = type(error)(str(error))
        finally:
            with self._lock:
                if key in self._kept:
                    self._kept[key].at = self._now()
        if problem is not None:
            # It is kept, and the first one's traceback has all the names that were read.
            raise problem
        left_out.tell(f"{key.repository}: {key.place or '/'}", self._report)
        return found


def _is_done(future: Future[Unpacked], patience: float) -> bool:
    """Whether it ends, well or not, within so many seconds."""
    # Unlike ``wait``, this ends as soon as a future is cancelled.
    with suppress(TimeoutError, CancelledError):
        future.exception(patience)
    return future.done()
