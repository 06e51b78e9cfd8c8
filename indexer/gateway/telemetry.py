"""What is known of the gateway from outside: Prometheus metrics, and a line for each request."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Message, Receive, Scope, Send

_MAX_TEXT, _MAX_PROBLEM = 500, 2000
# Of lines that wait for whoever reads them; then they are left out, and counted.
_MAX_LINES = 20_000
_WRITE_EVERY = 0.2
# In seconds, for the last lines.
_LAST = 2.0
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
# What becomes of a question to the registry, and of a look at the source.
_ASKED = ("redirect", "stream", "absent", "refused", "unavailable")
_REFRESHES = ("new", "same", "failed")


class Note:
    """What the application says of a request, for its line and its metrics.

    ``way`` is how it was answered: ``file``, ``redirect``, ``stream``, ``index`` (without a byte
    of its own), ``elsewhere``, ``own``, ``gone`` (the client didn't wait) or ``error``.
    """

    __slots__ = ("problem", "sent", "status", "way")

    def __init__(self) -> None:
        self.way = "error"
        self.problem = ""
        self.status = 0
        self.sent = 0


class Metrics:
    """All that is counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "cf_index_gateway_requests",
            "Requests answered.",
            ["way", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cf_index_gateway_request_seconds",
            "Time until the last byte was handed on.",
            ["way"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._bytes = Counter(
            "cf_index_gateway_sent_bytes", "Bytes of bodies sent.", ["way"], registry=self.registry
        )
        self.asked = Counter(
            "cf_index_gateway_registry_requests",
            "Blobs asked of registries.",
            ["outcome"],
            registry=self.registry,
        )
        self.refreshes = Counter(
            "cf_index_gateway_refreshes",
            "Looks at the index or artifact.",
            ["outcome"],
            registry=self.registry,
        )
        for counter, outcomes in ((self.asked, _ASKED), (self.refreshes, _REFRESHES)):
            for outcome in outcomes:
                # From the start on: the first of a kind is an increase then, too.
                counter.labels(outcome)
        self.refreshed = Gauge(
            "cf_index_gateway_last_refresh_timestamp_seconds",
            "When the index or artifact was last seen to be the one that is served.",
            registry=self.registry,
        )
        self.faults = Counter(
            "cf_index_gateway_faults",
            "Requests that met a fault of cf-index itself.",
            registry=self.registry,
        )
        self._lines = Counter(
            "cf_index_gateway_log_lines_lost",
            "Lines of the access log left out.",
            registry=self.registry,
        )
        self._known: dict[tuple[str, int], tuple[Counter, Histogram, Counter]] = {}

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Something that is asked for when somebody looks."""
        Gauge(f"cf_index_gateway_{name}", text, registry=self.registry).set_function(value)

    def lost(self, lines: int) -> None:
        """So many lines of the log were left out."""
        self._lines.inc(lines)

    def count(self, note: Note, seconds: float) -> None:
        """One request."""
        key = note.way, note.status
        children = self._known.get(key)
        if children is None:
            children = self._known[key] = (
                self._requests.labels(note.way, str(note.status)),
                self._seconds.labels(note.way),
                self._bytes.labels(note.way),
            )
        children[0].inc()
        children[1].observe(seconds)
        if note.sent:
            children[2].inc(note.sent)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


class AccessLog:
    """One JSON object a line. Whoever reads slowly holds nothing up."""

    def __init__(self, metrics: Metrics, out: IO[bytes] | None = None) -> None:
        self._metrics = metrics
        self._out = out or _stdout()
        self._lines: list[bytes] = []
        self._lost = 0
        self._over = threading.Event()
        # It may wait for ever to write; the program's end doesn't wait for it.
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def add(self, scope: Scope, note: Note, seconds: float) -> None:
        """One request."""
        if len(self._lines) >= _MAX_LINES:
            self._lost += 1
            return
        agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
        client = scope.get("client")
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": scope["path"][:_MAX_TEXT].encode("utf-8", "replace").decode(),
            "status": note.status,
            "way": note.way,
            "bytes": note.sent,
            "seconds": round(seconds, 6),
            "agent": agent[:_MAX_TEXT].decode("latin-1"),
        }
        if note.problem:
            line["problem"] = note.problem[:_MAX_PROBLEM]
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Write the rest, as far as somebody takes it."""
        self._over.set()
        self._thread.join(_LAST)

    def _run(self) -> None:
        while not self._over.wait(_WRITE_EVERY):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if self._lost:
            self._metrics.lost(self._lost)
            self._lost = 0
        rest = b"".join(lines)
        try:
            while rest:
                rest = rest[self._out.write(rest) or 0 :]
        except (OSError, ValueError):
            self._metrics.lost(len(lines))


def _stdout() -> IO[bytes]:
    """Without a buffer, whose lock would outlive who waits for it; nowhere, where it is closed."""
    try:
        return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)
    except (AttributeError, OSError, ValueError):
        return Path(os.devnull).open("wb", buffering=0)


class Observed:
    """Counts what an application answers, and writes it down."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], object],
        metrics: Metrics,
        log: AccessLog | None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log
        self._under_way = 0
        metrics.watch("requests_under_way", "Requests not yet answered.", lambda: self._under_way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything else is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # type: ignore[misc]
            return
        begun = time.perf_counter()
        note = scope["note"] = Note()
        self._under_way += 1

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                note.status = message["status"]
            else:
                note.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)  # type: ignore[misc]
        finally:
            self._under_way -= 1
            seconds = time.perf_counter() - begun
            self._metrics.count(note, seconds)
            if self._log is not None:
                self._log.add(scope, note, seconds)
