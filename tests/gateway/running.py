"""A gateway on a thread of this process, and clients that say things no library would."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from indexer.gateway.channel.sites import FolderSite, WebSite
from indexer.gateway.channel.source import ChannelSource, Origin
from indexer.gateway.found import Source
from indexer.gateway.keeper import Keeper
from indexer.gateway.opening import _host
from indexer.gateway.options import Options
from indexer.gateway.server import application, server_for
from indexer.gateway.telemetry import Metrics
from indexer.registry.transport import Transport
from tests.support.waiting import wait_until

SECONDS = 30.0


class Running:
    """A gateway, up for the length of a `with` block. `told` are its lines for a person."""

    def __init__(self, source: Source, named: Callable[[], list[str]], **settings: Any) -> None:
        self.options = Options(**{"refresh": 3600.0, "access_log": False, **settings})
        self.told: list[str] = []
        self.metrics = Metrics()
        self.keeper = Keeper(source, self.metrics, self.options.refresh, self.told.append)
        self._source = source
        self._up = threading.Event()
        self._log = io.BytesIO()
        app = application(self.keeper, self.options, named, self._up.set, out=self._log)
        self._server = server_for(app, self.options)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self.session = requests.Session()
        self.session.trust_env = False

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        scratch: Path,
        *,
        origin: Origin | None = None,
        base_url: str | None = None,
        **settings: Any,
    ) -> Self:
        source = ChannelSource(FolderSite(folder), origin or Origin(), scratch, base_url)
        return cls(source, lambda: _host(source.registry), **settings)

    @classmethod
    def of_address(
        cls,
        address: str,
        scratch: Path,
        origin: Origin,
        transport: Transport,
        **settings: Any,
    ) -> Self:
        site = WebSite(address, transport, scratch)
        source = ChannelSource(site, origin, scratch, None)
        return cls(source, lambda: _host(origin.registry), **settings)

    def __enter__(self) -> Self:
        try:
            self.keeper.begin()
        except BaseException:
            self.session.close()
            self._socket.close()
            raise
        self._thread.start()
        assert self._up.wait(SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        # What a failed test has left open isn't waited for.
        self._server.force_exit = True
        self._thread.join(SECONDS)
        self.session.close()
        self._socket.close()
        self._source.close()
        assert not self._thread.is_alive()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def look(self) -> bool:
        """Let it look for something new at once."""
        before = self.keeper.changes
        self.keeper.look()
        return self.keeper.changes != before

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> requests.Response:
        """An answer, whole; redirects aren't followed."""
        return self.session.request(
            method,
            f"{self.http}/{path}",
            headers={"Accept-Encoding": "identity", **(headers or {})},
            allow_redirects=False,
            timeout=SECONDS,
        )

    def log_lines(self) -> list[bytes]:
        """The access log, when all requests are over and in it."""
        wait_until(lambda: self.number("requests_under_way") == 0)
        seen = self._requests()
        wait_until(lambda: self._log.getvalue().count(b"\n") >= seen)
        return self._log.getvalue().removesuffix(b"\n").split(b"\n")

    def _requests(self) -> float:
        family = (
            f for f in self.metrics.registry.collect() if f.name == "cf_index_gateway_requests"
        )
        return sum(s.value for s in next(family).samples if s.name.endswith("_total"))

    def number(self, name: str, **labels: str) -> float:
        """One of the metrics; 0 where it isn't there."""
        value = self.metrics.registry.get_sample_value(f"cf_index_gateway_{name}", labels)
        return value or 0.0

    @contextmanager
    def connected(
        self, received: bytes = b"", buffer: int | None = None
    ) -> Iterator[socket.socket]:
        """A connection on which this has been said; ``buffer`` is how much it takes unread."""
        with socket.socket() as connection:
            if buffer is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            connection.settimeout(SECONDS)
            connection.connect(("127.0.0.1", self.port))
            connection.sendall(received)
            yield connection

    def say(self, text: bytes) -> bytes:
        """All that is answered to these bytes, until the connection is closed."""
        with self.connected(text) as connection:
            return rest_of(connection)

    def ask(self, path: str, buffer: int | None = None) -> Any:
        """A connection on which a path was asked for, whose answer nobody has read yet."""
        head = f"GET /{path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
        return self.connected(head.encode(), buffer)


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the end; a connection that is cut has said all, too."""
    found = bytearray()
    try:
        while chunk := connection.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return bytes(found)


def parted(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what came over a connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    return int(first.split(" ")[1]), {name.lower(): text for name, text in fields.items()}, body
