"""Servers that never finish their headers, and workers that are to end at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from indexer.errors import RegistryError, UnansweredError
from indexer.registry import exchange as exchange_module
from indexer.registry import watch as watch_module
from indexer.registry.transport import Transport

LONG = 30.0


HEADERS = b"HTTP/1.1 200 OK\r\nX-Slow: "
CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"
BODY = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf"


class Dripping:
    """A server that begins an answer and then sends a byte now and then, for ever."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning = beginning
        self.asked = threading.Event()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v2/"

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._drip, args=(connection,)))
                self._threads[-1].start()

    def _drip(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(self.beginning)
            self.asked.set()
            while not self._over.wait(0.02):
                connection.sendall(b"a")

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture(params=[HEADERS, CHUNK, BODY], ids=["headers", "a chunk's line", "the body"])
def dripping(request: pytest.FixtureRequest) -> Iterator[Dripping]:
    with closing(Dripping(request.param)) as server:
        yield server


def test_answers_that_never_end_are_given_up(
    dripping: Dripping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "ANSWER_TIMEOUT", 0.2)
    monkeypatch.setattr(watch_module, "_LOOK_EVERY", 0.05)
    with closing(Transport(retry_for=0)) as transport, pytest.raises(RegistryError):
        transport.request("GET", dripping.url, limit=10**6)


def test_whoever_waits_for_an_answer_is_freed_when_the_run_ends(dripping: Dripping) -> None:
    transport = Transport(retry_for=LONG)
    outcomes: list[Exception] = []

    def ask() -> None:
        try:
            transport.request("GET", dripping.url, limit=10**6)
        except RegistryError as error:
            outcomes.append(error)

    workers = [threading.Thread(target=ask) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert dripping.asked.wait(LONG)
    start = time.monotonic()
    transport.close()
    for worker in workers:
        worker.join(LONG)
    assert time.monotonic() - start < LONG
    assert [type(outcome) for outcome in outcomes] == [UnansweredError] * 3
