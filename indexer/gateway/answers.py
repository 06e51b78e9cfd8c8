"""Answers to one request, as ASGI messages: a redirect, a file, a stream, a no."""

from __future__ import annotations

import asyncio
import http
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from starlette.types import Receive, Scope, Send

from indexer.gateway.found import Blob, LocalFile, UnavailableError
from indexer.gateway.ranges import Part, is_known, wanted
from indexer.gateway.streams import BehindError, Stream
from indexer.gateway.ways import Redirect, Ways

Headers = list[tuple[bytes, bytes]]

_BLOCK = 256 * 1024
# How often the registry is asked for the rest of a stream that broke off.
_TRIES = 3
# And in all, of one answer, however much came each time.
_RESUMED = 50
# Apart from the threads that look names up, which may wait long.
_READERS = ThreadPoolExecutor(16, thread_name_prefix="files")
P = ParamSpec("P")
T = TypeVar("T")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
# XML may be XHTML, with a script in it.
_SANDBOX = (b"content-security-policy", b"sandbox")


async def plain(
    send: Send, status: int, text: str, headers: Headers | None = None, *, head: bool = False
) -> None:
    """A short text for a person."""
    body = f"{status} {http.HTTPStatus(status).phrase}: {text}\n".encode()
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        _NO_SNIFFING,
        *(headers or []),
    ]
    await whole(send, status, fields, b"" if head else body)


async def later(send: Send, text: str, seconds: float, *, head: bool = False) -> None:
    """Not just now (RFC 9110, 15.6.4)."""
    wait = [(b"retry-after", b"%d" % max(math.ceil(seconds), 1))]
    await plain(send, 503, text, wait, head=head)


async def whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """An answer in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def redirect_headers(url: str) -> Headers:
    """Of an answer that sends a client elsewhere: a signed address is for nobody to keep."""
    return [
        (b"location", url.encode("ascii")),
        (b"content-length", b"0"),
        (b"cache-control", b"no-store"),
    ]


async def elsewhere(send: Send, url: str) -> None:
    """A redirect."""
    await whole(send, 307, redirect_headers(url), b"")


class Sized:
    """What is common to answers with a known size and a strong ETag."""

    def __init__(self, scope: Scope, found: LocalFile | Blob) -> None:
        fields = dict(scope["headers"])
        self.head = scope["method"] == "HEAD"
        self.etag = str(found.digest) if isinstance(found, Blob) else found.etag
        self.headers: Headers = [
            (b"etag", f'"{self.etag}"'.encode()),
            (b"accept-ranges", b"bytes"),
            (b"cache-control", found.cache.encode()),
            _NO_SNIFFING,
            *([_SANDBOX] if found.sandbox else []),
        ]
        self.common = self.headers.copy()
        self.is_known = is_known(_text(fields.get(b"if-none-match")), self.etag)
        self.problem = False
        self.part: Part = Part(0, found.size, found.size)
        self.status = 200
        try:
            asked, condition = _text(fields.get(b"range")), _text(fields.get(b"if-range"))
            part = None if self.head else wanted(asked, found.size, self.etag, condition)
        except ValueError:
            self.problem = True
            return
        if part is not None:
            self.part, self.status = part, 206
            self.headers.append((b"content-range", str(part).encode()))
        self.headers.append((b"content-type", found.media_type.encode()))
        self.headers.append((b"content-length", b"%d" % self.part.length))

    async def short(self, send: Send) -> bool:
        """Answer, where that takes none of the bytes; False where it does."""
        if self.is_known:
            await whole(send, 304, self.common, b"")
        elif self.problem:
            # For nobody to keep in the place of the file.
            headers = [field for field in self.common if field[0] != b"cache-control"]
            headers += [
                (b"cache-control", b"no-store"),
                (b"content-range", b"bytes */%d" % self.part.size),
                (b"content-length", b"0"),
            ]
            await whole(send, 416, headers, b"")
        elif self.head or not self.part.length:
            await whole(send, self.status, self.headers, b"")
        else:
            return False
        return True


async def local_file(scope: Scope, receive: Receive, send: Send, found: LocalFile) -> None:
    """A file, or a part of it. Raises FileNotFoundError before anything is sent."""
    sized = Sized(scope, found)
    if await sized.short(send):
        return
    file = await _in_thread(_opened, found.path, found.offset + sized.part.start)
    try:
        await _while_there(receive, lambda: _send_file(send, sized, file))
    finally:
        file.close()


async def _send_file(send: Send, sized: Sized, file: BinaryIO) -> None:
    left = sized.part.length
    chunk = await _in_thread(file.read, min(_BLOCK, left))
    await send({"type": "http.response.start", "status": sized.status, "headers": sized.headers})
    while chunk:
        left -= len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        if not left:
            return
        chunk = await _in_thread(file.read, min(_BLOCK, left))
    raise EOFError("a file became shorter while it was sent")


async def blob(scope: Scope, receive: Receive, send: Send, found: Blob, ways: Ways) -> str:
    """A blob, by the way there is; gives ``redirect``, ``stream`` or ``index`` for that.

    ``gone``: the client didn't wait for it. Raises NotFoundError, UnavailableError and
    RegistryError before anything is sent.
    """
    sized = Sized(scope, found)
    if await sized.short(send):
        return "index"
    if (known := ways.known(found)) is not None:
        await elsewhere(send, known.url)
        return "redirect"
    taken = "gone"

    async def answer() -> None:
        nonlocal taken
        way = await ways.find(found, sized.part)
        taken = "redirect" if isinstance(way, Redirect) else "stream"
        if isinstance(way, Redirect):
            await elsewhere(send, way.url)
            return
        reading = _Reading(found, ways, way, sized.part)
        try:
            await _send_stream(send, sized, reading)
        finally:
            await asyncio.shield(reading.close())

    await _while_there(receive, answer)
    return taken


async def _send_stream(send: Send, sized: Sized, reading: _Reading) -> None:
    chunk = await reading.more()
    await send({"type": "http.response.start", "status": sized.status, "headers": sized.headers})
    while chunk:
        more = reading.position < sized.part.end
        await send({"type": "http.response.body", "body": chunk, "more_body": more})
        chunk = await reading.more() if more else b""


class _Reading:
    """One client's way through a part of a blob, by one stream after another where it must be."""

    def __init__(self, found: Blob, ways: Ways, stream: Stream, part: Part) -> None:
        self.position = part.start
        self._end = part.end
        self._found = found
        self._ways = ways
        self._stream: Stream | None = stream
        self._asked = 0

    async def more(self) -> bytes:
        """The next bytes. Raises RegistryError where they can't be had."""
        problem = ""
        for _ in range(_TRIES):
            stream = self._stream or await self._ask()
            try:
                chunk = (await stream.read(self.position))[: self._end - self.position]
            except BehindError as error:
                problem = str(error)
                await self.close()
            else:
                self.position += len(chunk)
                return chunk
        raise UnavailableError(f"the rest can't be had: {problem}")

    async def close(self) -> None:
        """Be no reader any more."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await self._ways.leave(self._found, stream)

    async def _ask(self) -> Stream:
        """A stream of the rest."""
        self._asked += 1
        if self._asked > _RESUMED:
            raise UnavailableError("the registry breaks off again and again")
        way = await self._ways.find(self._found, Part(self.position, self._end, self._found.size))
        if isinstance(way, Redirect):
            raise UnavailableError("the registry sends elsewhere by now")
        self._stream = way
        return way


async def _while_there(receive: Receive, work: Callable[[], Awaitable[None]]) -> None:
    """Do it, unless the client goes away; then it ends at once."""
    working = asyncio.ensure_future(work())
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _in_thread(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_READERS, partial(call, *arguments, **named))


def _opened(path: Path, offset: int) -> BinaryIO:
    file = path.open("rb")
    file.seek(offset)
    return file


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
