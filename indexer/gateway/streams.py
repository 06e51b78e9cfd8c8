"""Bytes on their way from a registry to one reader or several, none of which waits for another.

Whoever is first at the end of what has come reads on. The last of it is kept, so that others who
ask meanwhile, or who are a little slower, need no answer of their own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

import aiohttp

from indexer.errors import RegistryError
from indexer.gateway.found import UnavailableError
from indexer.gateway.ranges import Part

# What is kept of a stream, in bytes.
WINDOW = 2 * 1024 * 1024
# Bytes in a second; and the age, in seconds, from which on a stream is judged by it.
_SLOW, _SETTLED = 50_000, 5.0


class BehindError(RegistryError):
    """What a reader wants next isn't kept any more, or hasn't come: it has to ask anew."""


class Stream:
    """A part of a blob as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, part: Part) -> None:
        self.part = part
        self.readers = 0
        self._response = response
        self._reading = asyncio.Lock()
        self._kept: deque[bytes] = deque()
        # Of what is kept: the position of its first byte, and that after its last.
        self._start = self._end = part.start
        self._broken = self._given_up = False
        # When it was where: some seconds ago, and a little later.
        self._marks = deque([(time.monotonic(), part.start)], maxlen=2)

    @property
    def begins_at(self) -> int | None:
        """The first position that a reader may begin at; None where it is broken."""
        return None if self._broken else self._start

    @property
    def rate(self) -> float:
        """Bytes a second, of late; of one that has just begun, as fast as can be."""
        begun, position = self._marks[0]
        age = time.monotonic() - begun
        return (self._end - position) / age if age > _SETTLED else math.inf

    async def read(self, position: int) -> bytes:
        """The next bytes from a position on.

        Raises BehindError; UnavailableError where it had to give way: nobody asks for it anew.
        """
        if self._given_up:
            raise self._broke_off()
        if position < self._start:
            raise BehindError("the rest of the readers are far ahead")
        if position >= self._end:
            async with self._reading:
                while position >= self._end:
                    await self._more()
        if position < self._start:
            raise BehindError("the rest of the readers are far ahead")
        at = self._end
        for chunk in reversed(self._kept):
            at -= len(chunk)
            if at <= position:
                return chunk[position - at :] if at < position else chunk
        raise self._broke_off()

    def _broke_off(self, why: str = "") -> RegistryError:
        if self._given_up:
            return UnavailableError("others, who take their bytes faster, need its place")
        return BehindError(f"it broke off{why}")

    async def _more(self) -> None:
        if self._broken:
            raise self._broke_off()
        try:
            chunk = await self._next()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._broken = True
            raise self._broke_off(f" ({error!r})") from error
        # More than was announced would be bytes of something else.
        chunk = chunk[: self.part.end - self._end]
        if not chunk:
            self._broken = True
            raise self._broke_off()
        self._kept.append(chunk)
        self._end += len(chunk)
        if (now := time.monotonic()) - self._marks[-1][0] > _SETTLED:
            self._marks.append((now, self._end))
        # Who reads alone, and can be joined no more, has no use for what he has read; and memory
        # that is used again at once is still in the processor's cache.
        is_shared = self.readers > 1 or self._end - self.part.start <= WINDOW
        enough = WINDOW if is_shared else 1
        while self._end - self._start - len(self._kept[0]) >= enough:
            self._start += len(self._kept.popleft())

    async def _next(self) -> bytes:
        """What has come, as it came: aiohttp's other ways copy all of it into one piece."""
        content = self._response.content
        chunk, is_end_of_piece = await content.readchunk()
        while is_end_of_piece and not chunk:
            chunk, is_end_of_piece = await content.readchunk()
        return chunk

    async def close(self) -> None:
        """End the registry's answer; where it came to its end, its connection serves again."""
        if self._end == self.part.end and not self._broken:
            # So that the parser sees the end, too.
            try:
                async with asyncio.timeout(1):
                    await self._response.content.readany()
            except (aiohttp.ClientError, TimeoutError, OSError):
                self._response.close()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    def give_up(self) -> None:
        """Let it break off for its readers."""
        self._broken = self._given_up = True
        self._response.close()


class Streams:
    """All streams that are open, of every registry: there are only so many at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Stream] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stream: Stream) -> None:
        """One more. Raises UnavailableError where there are as many as there may be.

        Before that, the slowest gives way, where it is one that holds the others up.
        """
        if len(self._open) >= self._limit:
            slowest = min(self._open, key=lambda one: one.rate)
            if slowest.rate > _SLOW:
                raise UnavailableError(f"{self._limit} packages are being sent already")
            self._open.discard(slowest)
            slowest.give_up()
        self._open.add(stream)

    def remove(self, stream: Stream) -> None:
        """One less."""
        self._open.discard(stream)
