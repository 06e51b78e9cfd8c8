"""Ends connections whose answer isn't there in time, and all of them when the run is over.

A timeout of sockets counts anew with every byte: a server that drips its headers, or the lines
between a body's chunks, would hold a worker for days.
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

from indexer.registry.reach import Reach

_LOOK_EVERY = 1.0


@dataclass(slots=True)
class Waiting:
    """One thread's wait: on which socket (None until there is one), and until when.

    ``ended``: the watch cut the connection, so what came over it may be half an answer.
    """

    deadline: float
    sock: Any = None
    ended: bool = False

    def begun(self, seconds: float) -> None:
        """The head of the answer is there; its body must be within ``seconds``.

        Raises ReadTimeout where the head is only the half of it.
        """
        self.deadline = time.monotonic() + seconds
        self.check()

    def check(self) -> None:
        """Raise ReadTimeout where the connection was cut."""
        if self.ended:
            raise requests.exceptions.ReadTimeout("the answer was cut off")

    def end(self) -> None:
        """Cut the connection."""
        self.ended = True
        if isinstance(self.sock, socket.socket):
            # Not the method of a TLS socket, which would pull it from under the reading thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


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

    def took(self, sock: object) -> None:
        """The calling thread waits on this socket; raises ReadTimeout where it isn't to."""
        with self._lock:
            waiting = self._waiting[threading.get_ident()]
            waiting.sock = sock
            waiting.check()

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
                    if now > waiting.deadline:
                        waiting.end()


class _Watched:
    """Makes a connection tell the watch what it waits on."""

    watch: ClassVar[Watch]
    reach: ClassVar[Reach | None]
    sock: Any
    host: str
    port: int
    proxy: Any

    def connect(self) -> None:
        """Connect, as the connection itself does; to where it may."""
        super().connect()  # type: ignore[misc]  # the class it is mixed into
        if self.reach is not None and self.proxy is None:
            # Of the connection that there is: a name may lead elsewhere at each look.
            self.reach.check(self.host, self.port, self.sock.getpeername()[0])
        self.watch.took(self.sock)

    def request(self, *arguments: Any, **named: Any) -> None:
        """Send a request with its body, as the connection itself does."""
        if self.sock is not None:
            self.watch.took(self.sock)
        super().request(*arguments, **named)  # type: ignore[misc]

    def getresponse(self) -> Any:
        """Wait for the answer, as the connection itself does."""
        # The socket itself: a connection that won't be used again lets go of it.
        self.watch.took(self.sock)
        return super().getresponse()  # type: ignore[misc]


class WatchedAdapter(requests.adapters.HTTPAdapter):
    """requests' adapter, with connections that tell a watch when they are used.

    ``reach`` says which servers they may lead to, None: to any. ``block`` is how many bytes of a
    body are sent at a time.
    """

    def __init__(self, watch: Watch, reach: Reach | None, *, block: int, **settings: Any) -> None:
        self._block = block
        self._pools = {
            scheme: type(
                "Pool", (pool,), {"ConnectionCls": _watched(pool.ConnectionCls, watch, reach)}
            )
            for scheme, pool in (
                ("http", urllib3.connectionpool.HTTPConnectionPool),
                ("https", urllib3.connectionpool.HTTPSConnectionPool),
            )
        }
        super().__init__(**settings)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Make the pools, of our kind."""
        super().init_poolmanager(*arguments, blocksize=self._block, **named)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """The pools for a proxy, of our kind."""
        manager = super().proxy_manager_for(proxy, blocksize=self._block, **named)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _watched(connection: type, watch: Watch, reach: Reach | None) -> type:
    return type("Connection", (_Watched, connection), {"watch": watch, "reach": reach})
