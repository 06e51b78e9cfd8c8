"""A registry in a process of its own that makes its answers up as they are asked for.

Stands in for a real one where that would take hours to fill; it only reads. ``Answering`` is
for whoever measures; ``python -m bench.answering RECORDS NAMES`` is the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from typing import ClassVar, Self
from urllib.parse import parse_qs, urlsplit

import orjson
import requests

from bench.generated import CHANNEL, SUBDIR, Generated
from bench.shapes import SHAPES, Shape
from indexer.registry.content import OCI_MANIFEST

NAMESPACE = "acme"
_PREFIX = f"{NAMESPACE}/{CHANNEL}/{SUBDIR}/"
_JSON = "application/json"
# Where blobs are said to be, by an address that is good for long, and where nobody answers.
ELSEWHERE = "http://127.0.0.1:9"
_SIGNED = "?Expires=4102444800"


class Answering:
    """The process, for the length of a ``with`` block."""

    def __init__(self, records: int, names: int, shape: Shape = "plain") -> None:
        self._arguments = (str(records), str(names), shape)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.answering", *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        self.address = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def registry(self) -> str:
        """What --registry is to say."""
        return f"oci+http://{self.address}/{NAMESPACE}"

    def delay(self, milliseconds: int) -> None:
        """Let every answer from now on come so much later."""
        requests.post(f"http://{self.address}/delay/{milliseconds}", timeout=60)

    def grow(self, count: int) -> list[str]:
        """Let so many names have one more build; gives them."""
        answer = requests.post(f"http://{self.address}/grow/{count}", timeout=60)
        names: list[str] = answer.json()
        return names


class _Server(asyncio.Protocol):
    """One connection; all have the generated channel, and the delay in seconds, in common."""

    delay: ClassVar[float] = 0.0

    def __init__(self, generated: Generated) -> None:
        self._generated = generated
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  it is TCP
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            line = self._buffer[: self._buffer.index(b"\r\n")].decode()
            self._buffer = self._buffer[end + 4 :]
            method, target, _ = line.split(" ")
            status, kind, body, extra = self._answer(target)
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            data = (head + extra + "\r\n").encode()
            data = data if method == "HEAD" else data + body
            if _Server.delay:
                # One question at a time on a connection: they can't overtake one another.
                asyncio.get_running_loop().call_later(_Server.delay, self._transport.write, data)
            else:
                self._transport.write(data)

    def _answer(self, target: str) -> tuple[str, str, bytes, str]:
        parts = urlsplit(target)
        path = parts.path
        if path.startswith("/grow/"):
            names = self._generated.grow(int(path.rpartition("/")[2]))
            return "200 OK", _JSON, orjson.dumps(names), ""
        if path.startswith("/delay/"):
            _Server.delay = int(path.rpartition("/")[2]) / 1000
            return "200 OK", _JSON, b"{}", ""
        if path == "/v2/_catalog":
            return self._catalog({key: value[0] for key, value in parse_qs(parts.query).items()})
        full, _, rest = path.removeprefix("/v2/").rpartition("/")
        repository, _, kind = full.removeprefix(_PREFIX).rpartition("/")
        if kind == "blobs":
            where = f"Location: {ELSEWHERE}/{rest}{_SIGNED}\r\n"
            return "307 Temporary Redirect", _JSON, b"", where
        return self._named(full, repository, kind, rest)

    def _named(
        self, full: str, repository: str, kind: str, rest: str
    ) -> tuple[str, str, bytes, str]:
        try:
            if kind == "tags":
                tags = self._generated.tags(repository)
                return "200 OK", _JSON, orjson.dumps({"name": full, "tags": tags}), ""
            body = self._generated.manifest(repository, rest)
        except (KeyError, ValueError):
            return "404 Not Found", _JSON, b'{"errors":[{"code":"NAME_UNKNOWN"}]}', ""
        digest = f"Docker-Content-Digest: sha256:{hashlib.sha256(body).hexdigest()}\r\n"
        return "200 OK", OCI_MANIFEST, body, digest

    def _catalog(self, query: dict[str, str]) -> tuple[str, str, bytes, str]:
        count = int(query["n"])
        every = [_PREFIX + name for name in self._generated.repositories()]
        page = [name for name in every if name > query.get("last", "")][:count]
        more = page and page[-1] != every[-1]
        link = f'Link: </v2/_catalog?n={count}&last={page[-1]}>; rel="next"\r\n' if more else ""
        return "200 OK", _JSON, orjson.dumps({"repositories": page}), link


async def _serve(generated: Generated) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(generated), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(SHAPES[sys.argv[3]](int(sys.argv[1]), int(sys.argv[2]))))
