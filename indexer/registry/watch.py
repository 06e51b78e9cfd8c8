"""Ends connections whose answer doesn't begin in time, and all of them when the run is over.

A timeout of sockets counts anew with every byte: a server that drips its headers would hold a
worker for days. Bodies are read piece by piece and timed where they are read.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import requests.adapters
import requests.exceptions
import urllib3.connection
import urllib3.connectionpool

_LOOK_EVERY = 1.0


@dataclass(slots=True)
class Waiting:
    """One thread's wait: for which connection (None until there is one), and until when.

    ``ended``: the watch cut the connection, so what came over it may be half an answer.
    """

    deadline: float | None
    connection: Any = None
    ended: bool = False

    def begun(self) -> None:
        """The head of the answer is there. Raises ReadTimeout where it is only the half of it."""
        self.deadline = None
        self.check()

    def check(self) -> None:
        """Raise ReadTimeout where the connection was cut."""
        if self.ended:
            raise requests.exceptions.ReadTimeout("the answer was cut off")

    def end(self) -> None:
        """Cut the connection."""
        self.ended = True
        sock = getattr(self.connection, "sock", None)
        if isinstance(sock, socket.socket):
            # Not the method of a TLS socket, which would pull it from under the reading thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Watch:
    """Knows which thread waits for which connection."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def answer(self, seconds: float) -> Iterator[Waiting]:
        """While the calling thread waits for an answer, whose head must come within ``seconds``."""
        waiting = Waiting(time.monotonic() + seconds)
        with self._lock:
            if self._over.is_set():
                raise requests.exceptions.ReadTimeout("the run has ended")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
            self._waiting[threading.get_ident()] = waiting
        try:
            yield waiting
        finally:
            with self._lock:
                del self._waiting[threading.get_ident()]

    def took(self, connection: object) -> None:
        """The calling thread's request goes over this connection."""
        with self._lock:
            self._waiting[threading.get_ident()].connection = connection

    def check(self) -> None:
        """Raise ReadTimeout where the calling thread isn't to wait any more."""
        with self._lock:
            self._waiting[threading.get_ident()].check()

    def close(self) -> None:
        """End all that is under way: whoever waits gets an error at once."""
        self._over.set()
        with self._lock:
            for waiting in self._waiting.values():
                waiting.end()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            now = time.monotonic()
            with self._lock:
                for waiting in self._waiting.values():
                    if waiting.deadline is not None and now > waiting.deadline:
                        waiting.end()


class _Watched:
    """Makes a connection tell the watch when it is used."""

    watch: ClassVar[Watch]

    def request(self, *arguments: Any, **named: Any) -> None:
        """Send a request, as the connection itself does."""
        self.watch.took(self)
        super().request(*arguments, **named)  # type: ignore[misc]  # the class it is mixed into

    def getresponse(self) -> Any:
        """Wait for the answer, as the connection itself does."""
        # It may have been cut before it was made: then nothing was there to cut.
        self.watch.check()
        return super().getresponse()  # type: ignore[misc]


class WatchedAdapter(requests.adapters.HTTPAdapter):
    """requests' adapter, with connections that tell a watch when they are used."""

    def __init__(self, watch: Watch, **settings: Any) -> None:
        self._pools = {
            scheme: type("Pool", (pool,), {"ConnectionCls": _watched(pool.ConnectionCls, watch)})
            for scheme, pool in (
                ("http", urllib3.connectionpool.HTTPConnectionPool),
                ("https", urllib3.connectionpool.HTTPSConnectionPool),
            )
        }
        super().__init__(**settings)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Make the pools, of our kind."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """The pools for a proxy, of our kind."""
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _watched(connection: type, watch: Watch) -> type:
    return type("Connection", (_Watched, connection), {"watch": watch})
