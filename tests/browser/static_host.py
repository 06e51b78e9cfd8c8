"""A site served on loopback below a prefix, as project Pages do, with its own 404 page."""

from __future__ import annotations

import http.server
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

PREFIX = "/channel/"
# What the host's own answer says, which no page of the site does.
NOT_OURS = b"This host has other sites, too."


@dataclass
class Host:
    """A served site: its address, and every path that was asked for, with the answer's status."""

    folder: Path
    url: str = ""
    requests: list[tuple[str, int]] = field(default_factory=list)

    def find(self, path: str) -> tuple[int, Path | None]:
        """The status and the file that a static host answers a path of an address with."""
        if not path.startswith(PREFIX):
            return 404, None
        inside = unquote(path.removeprefix(PREFIX))
        target = self.folder / inside
        if target.is_dir() and inside and not inside.endswith("/"):
            return 301, None
        if inside.endswith("/") or not inside:
            target /= "index.html"
        if target.is_file() and ".." not in inside.split("/"):
            return 200, target
        missing = self.folder / "404.html"
        return 404, missing if missing.is_file() else None


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    """Serve a folder. The host's address ends with the prefix."""
    host = Host(folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            status, file = host.find(path)
            host.requests.append((path, status))
            body = file.read_bytes() if file else NOT_OURS
            self.send_response(status)
            if status == 301:
                self.send_header("Location", path + "/")
            self.send_header("Content-Type", _type_of(file))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        host.url = f"http://127.0.0.1:{server.server_port}{PREFIX}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()


def _type_of(file: Path | None) -> str:
    if file is None:
        return "text/plain"
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
