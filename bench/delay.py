"""A proxy on loopback that makes a server as far away as the real ones are.

``python -m bench.delay HOST:PORT MILLISECONDS`` prints the port it listens on. It passes bytes on
without reading them: what comes from the server is held back for so long, and stays in order.
Connections are kept as long as both sides want them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast


@contextmanager
def delayed(address: str, milliseconds: int) -> Iterator[str]:
    """The HTTP address of a proxy in a process of its own, up for the length of a block."""
    command = [sys.executable, "-m", "bench.delay", address, str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            if not port:
                raise RuntimeError("the proxy did not come up; what it said stands above")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class _Server(asyncio.Protocol):
    """The connection to the server; its bytes wait before they go on."""

    def __init__(self, client: asyncio.Transport, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()

    def data_received(self, data: bytes) -> None:
        self._waiting.append(data)
        self._loop.call_later(self._seconds, self._pass_on)

    def connection_lost(self, _: Exception | None) -> None:
        # After what it sent last.
        self._loop.call_later(self._seconds, self._client.close)

    def _pass_on(self) -> None:
        self._client.write(self._waiting.popleft())


class _Client(asyncio.Protocol):
    """The connection from the client; its bytes go on at once."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._to = host, port
        self._seconds = seconds
        self._early: list[bytes] = []
        self._server: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connecting = asyncio.ensure_future(
            self._connect(cast("asyncio.Transport", transport))
        )

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            made = await loop.create_connection(lambda: _Server(client, self._seconds), *self._to)
        except OSError:
            client.close()
            return
        self._server = made[0]
        self._server.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        if self._server is None:
            self._early.append(data)
        else:
            self._server.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._connecting.cancel()
        if self._server is not None:
            self._server.close()


async def _serve(address: str, seconds: float) -> None:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Client(host, int(port), seconds), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2]) / 1000))
