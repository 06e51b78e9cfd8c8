"""HTTP servers inside the test process, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Self
from urllib.parse import quote

from demo.layers import digest_of
from tests.support.faults import (
    READS,
    Answer,
    Delivery,
    Fault,
    Pause,
    Request,
    befall,
    cut_off,
    parse_request,
)
from tests.support.ranges import ranged


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # Head and body leave in one packet.
    server: _Server

    def do_GET(self) -> None:
        request = parse_request(self.command, self.path, dict(self.headers.items()))
        self._send(self.server.host.receive(request))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        request = parse_request(self.command, self.path, dict(self.headers.items()))
        if "transfer-encoding" in request.headers:
            self._send(Answer(411, {"Connection": "close"}))
            return
        length = int(request.headers.get("content-length", "0"))
        cut = not self.server.host.lets_through(request)
        body = self.rfile.read(length // 2 if cut else length)
        if cut or len(body) < length:
            self.close_connection = True
        else:
            self._send(self.server.host.receive(replace(request, body=body)))

    def do_PUT(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def _send(self, answer: Answer) -> None:
        if answer.delivery is Delivery.HANG:
            self.server.stopping.wait()
        if answer.delivery in (Delivery.HANG, Delivery.CLOSED):
            self.close_connection = True
            return
        if answer.pause is not None and answer.pause.at is None and not self._wait(answer.pause):
            return
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body))}
        if answer.delivery is Delivery.UNANNOUNCED:
            length, self.close_connection = {"Connection": "close"}, True
        for name, value in {**length, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(answer)

    def _send_body(self, answer: Answer) -> None:
        if answer.delivery is Delivery.TRUNCATED:
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.close_connection = True
        elif answer.delivery is Delivery.DRIP:
            for byte in answer.body:
                self.wfile.write(bytes((byte,)))
                self.wfile.flush()
                if self.server.stopping.wait(answer.interval):
                    self.close_connection = True
                    return
        elif answer.pause is not None and answer.pause.at is not None:
            self.wfile.write(answer.body[: answer.pause.at])
            self.wfile.flush()
            if self._wait(answer.pause) and not answer.pause.breaks:
                self.wfile.write(answer.body[answer.pause.at :])
            else:
                self.close_connection = True
        else:
            self.wfile.write(answer.body)

    def _wait(self, pause: Pause) -> bool:
        """Whether the client is still there when it may go on."""
        pause.reached.set()
        while not (pause.go.is_set() or self.server.stopping.is_set()):
            ready, _, _ = select.select([self.connection], [], [], 0.01)
            if ready and not self._is_there():
                pause.gone.set()
                break
        else:
            if not self.server.stopping.is_set():
                return True
        self.close_connection = True
        return False

    def _is_there(self) -> bool:
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except ConnectionError:
            return False

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for them: no socket outlives a test.
    request_queue_size = 128

    def __init__(self, host: Loopback, errors: list[BaseException]) -> None:
        self.host = host
        self.errors = errors
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own looks the host's name up, which may take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.host.connections += 1
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.errors.append(error)

    def stop(self) -> None:
        """Answer nobody any more, not even on connections that were kept open."""
        self.stopping.set()
        self.shutdown()
        for connection in list(self._open):
            # Its client or its own thread may have been faster.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class Loopback:
    """An HTTP server on a free port of 127.0.0.1, up for the length of a `with` block.

    `requests` and `connections` are what came in since they were cleared.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.lock = threading.RLock()
        self._errors: list[BaseException] = []
        self._server = _Server(self, self._errors)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,))

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def http(self) -> str:
        """The address with its scheme, without a slash at the end."""
        return f"http://{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.stop()
        self._thread.join()
        if kind is None and self._errors:
            raise RuntimeError("the server itself failed") from self._errors[0]

    def clear_requests(self) -> None:
        """Forget what was asked so far."""
        with self.lock:
            self.requests.clear()
            self.connections = 0

    def answer(self, request: Request) -> Answer:
        """What to say to one request; the lock is held."""
        raise NotImplementedError

    def cuts(self, _request: Request) -> bool:
        """Whether to break off before a request's body has come in; the lock is held."""
        return False

    def lets_through(self, request: Request) -> bool:
        """Whether a request's body is to be read to its end; if not, that was the request."""
        with self.lock:
            if not self.cuts(request):
                return True
            self.requests.append(request)
            return False

    def receive(self, request: Request) -> Answer:
        """Note a request that came in whole, and give the answer to it."""
        with self.lock:
            self.requests.append(request)
            return self.answer(request)


class FileHost(Loopback):
    """A plain file server: of `files`, and of what lies below `root` where there is one.

    Whoever names a file's ETag as one that he has is answered 304.

    Its `requests` show which headers came. What is posted, anywhere, is answered by an empty JSON
    object, so that it can also stand for a service. `faults` act as a registry's do.
    """

    def __init__(self, root: Path | None = None) -> None:
        super().__init__()
        self.root = root
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []

    def put(self, path: str, data: bytes) -> str:
        """Serve these bytes at a path, and give its URL."""
        self.files[path] = data
        return self.url(path)

    def url(self, path: str) -> str:
        """The URL of a path, which begins with a slash."""
        return f"{self.http}{quote(path)}"

    def cuts(self, request: Request) -> bool:
        return cut_off(self.faults, request)

    def answer(self, request: Request) -> Answer:
        return befall(self.faults, request, self._serve(request))

    def _serve(self, request: Request) -> Answer:
        if request.method == "POST":
            return Answer(200, {"Content-Type": "application/json"}, b"{}")
        if request.method not in READS:
            return Answer(405)
        data = self._find(request.path)
        if data is None:
            return Answer(404)
        etag = f'"{digest_of(data)}"'
        if request.headers.get("if-none-match") == etag:
            return Answer(304, {"ETag": etag})
        return ranged(request, Answer(200, {"ETag": etag}, data))

    def _find(self, path: str) -> bytes | None:
        if path in self.files or self.root is None or "\0" in path:
            return self.files.get(path)
        root = self.root.resolve()
        # Resolved, so that neither dots nor a symbolic link lead out of it.
        file = (root / path.lstrip("/")).resolve()
        return file.read_bytes() if file.is_relative_to(root) and file.is_file() else None
