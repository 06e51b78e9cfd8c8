"""uvicorn's connection, with the bounds that it doesn't have by itself.

uvicorn waits for a request's head as long as it takes and as long as it is, and for a client that
doesn't take its bytes. Here the head has a time and a size, and a client that takes too little is
cut off. When there are as many connections as there may be, those that have been waiting longest
for a request give way: whoever opens many and says nothing keeps nobody else out.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from indexer.gateway.options import Options

# In bytes. httptools takes any number.
MAX_HEAD = 16 * 1024
_MAX_URL = 4 * 1024
_MAX_FIELDS = 100
# Of what follows a head: nothing of it is wanted.
_MAX_BODY = 1024 * 1024
# Bytes in a second that a client has to take, over the time that it is given.
_SLOWEST = 1000


class Connection(HttpToolsProtocol):
    """One client. ``bounds`` say how many there may be, and how long each may take."""

    bounds: ClassVar[Options]
    # Those that wait for a request, longest first.
    waiting: ClassVar[OrderedDict[Connection, None]]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Bytes of the head that is coming, or of what comes after it.
        self._taken = self._fields = 0
        self._in_head = False
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new client; where there are too many, the one that waits longest goes."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            if not self.waiting:
                transport.abort()
                return
            self.waiting.popitem(last=False)[0].transport.abort()
        self.waiting[self] = None
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        super().connection_lost(exc)
        self.waiting.pop(self, None)
        for timer in (self._timer, self._stalled, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        self._taken += len(data)
        super().data_received(data)
        if self._taken > (MAX_HEAD if self._in_head else _MAX_BODY):
            self._too_long()
        elif self in self.waiting and self.timeout_keep_alive_task is None and self._timer is None:
            # Line breaks before a request, which are nothing yet.
            self._start_timer()

    def on_message_begin(self) -> None:
        """The first byte of a request, which may come before the last one's answer is out."""
        super().on_message_begin()
        self._in_head, self._taken, self._fields = True, 0, 0
        self._start_timer()

    def on_url(self, url: bytes) -> None:
        """A request's address, or a part of it."""
        super().on_url(url)
        if len(self.url) > _MAX_URL:
            raise ValueError("an address that is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of a request's head."""
        super().on_header(name, value)
        self._fields += len(name) + len(value)
        if self._fields > MAX_HEAD or len(self.headers) > _MAX_FIELDS:
            raise ValueError("a head that is too long")

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head, self._taken, self._fields = False, 0, 0
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().on_headers_complete()
        fields = {name for name, _ in self.headers}
        if fields & {b"content-length", b"transfer-encoding"}:
            # Of bodies nothing is wanted: whoever sends one has its answer, and goes.
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """The answer is out."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self.waiting[self] = None

    def pause_writing(self) -> None:
        """The client takes less than there is for it."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.bounds.patience, self._look_at_progress)

    def resume_writing(self) -> None:
        """It has taken it."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _look_at_progress(self) -> None:
        now = self.transport.get_write_buffer_size()
        if self._unsent - now < _SLOWEST * self.bounds.patience:
            self.transport.abort()
            return
        self._unsent = now
        self._stalled = self.loop.call_later(self.bounds.patience, self._look_at_progress)

    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.bounds.head_timeout, self._too_late)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP. In the middle of an answer nothing else can be said."""
        if self._is_answering:
            self.transport.abort()
            return
        super().send_400_response(msg)

    @property
    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _too_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _too_long(self) -> None:
        if self.transport.is_closing():
            return
        if not self._in_head or self._is_answering:
            self.transport.abort()
            return
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            b"content-length: 0\r\nconnection: close\r\n\r\n"
        )
        self.transport.close()


def connection_class(bounds: Options) -> type[Connection]:
    """Connections of one server, with these bounds."""
    return type("BoundConnection", (Connection,), {"bounds": bounds, "waiting": OrderedDict()})
