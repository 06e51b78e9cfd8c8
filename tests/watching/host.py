"""A site on loopback behind a cache, as a static host's network has one; and what it was asked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Host:
    """Serves ``folder``; what ``change`` makes of a file's content is what is served of it.

    An address that was asked for once is answered as it was then, as a cache would.
    """

    folder: Path
    address: str = ""
    change: Callable[[str, bytes | None], bytes | None] = lambda _, data: data
    # Instead of any answer.
    status: int | None = None
    # Of HEAD requests.
    head: int = 200
    length: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    cache: dict[str, bytes | None] = field(default_factory=dict)

    def content(self, url: str) -> bytes | None:
        if url not in self.cache:
            path = urlsplit(url).path.lstrip("/")
            file = self.folder / path
            self.cache[url] = self.change(path, file.read_bytes() if file.is_file() else None)
        return self.cache[url]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(self.host.head, body=False)

    def do_GET(self) -> None:
        self._answer(200, body=True)

    def _answer(self, status: int, *, body: bool) -> None:
        host = self.host
        host.asked.append((f"{self.command} {self.path}", self.headers.get("Cache-Control", "")))
        data = host.content(self.path)
        self.send_response(host.status or (404 if data is None else status))
        data = data or b""
        if body or host.length:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    host = Host(folder)
    handler = type("Handler", (_Handler,), {"host": host})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host.address = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()
