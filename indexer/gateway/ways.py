"""How a blob gets to a client: by a redirect to where the registry has it, or as a stream.

Of those who want the same at once, one asks. Where the registry sends is remembered for as long
as its signed address is good.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from indexer.errors import NotFoundError, RefusedError, RegistryError
from indexer.gateway.found import Blob, UnavailableError
from indexer.gateway.options import Packages
from indexer.gateway.ranges import Part
from indexer.gateway.streams import Stream, Streams
from indexer.gateway.upstream import (
    REDIRECTS,
    Answered,
    Upstream,
    finish,
)
from indexer.registry.reach import Reach
from indexer.registry.urls import redirect_target, shown

# An address without a date may be good for as little as a minute or so.
_UNDATED = 30.0
_LONGEST = 3600.0
# What is left of a signed address's life when a client is sent there.
_MARGIN = 60.0
_ABSENT = 10.0
_MAX_WAYS = 20_000
_MAX_ADDRESS = 4 * 1024
# A registry that serves its blobs itself may want a token one day.
_OPEN = 300.0
_BELIEVED, _MAX_HOSTS, _LOOKUP = 300.0, 1000, 5.0
# What a header can hold, and no client reads in two ways: to some a backslash, or what is before
# an @, begins another host.
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(?:[/?#][!-\[\]-~]*)?")

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a client is sent, and until when (by the monotonic clock) that may be repeated."""

    url: str
    until: float


@dataclass(frozen=True, slots=True)
class _Absent:
    until: float
    problem: str


@dataclass(slots=True)
class _Asking:
    """A question under way, how many wait for its answer, and the stream they were given."""

    task: asyncio.Task[Way] = field(init=False)
    waiting: int = 0
    given: Stream | None = None


Way = Redirect | Stream


class Ways:
    """Finds the way of each blob of one registry."""

    def __init__(
        self,
        upstream: Upstream,
        reach: Reach,
        packages: Packages,
        streams: Streams,
        count: Callable[[str], None],
    ) -> None:
        """``count`` is told what came of each question."""
        self._count = count
        self._upstream = upstream
        self._reach = reach
        self._packages = packages
        self._streams = streams
        self._known: dict[_Key, Redirect | _Absent] = {}
        self._open: dict[_Key, Stream] = {}
        self._asking: dict[tuple[_Key, str | None], _Asking] = {}
        self._shut_until = 0.0
        # Hosts that redirects may lead to, and until when that is believed.
        self._hosts: dict[tuple[str, int | None], float] = {}

    def known(self, blob: Blob) -> Redirect | None:
        """The redirect that is known for a blob and still good; nothing is asked."""
        way = self._known.get((blob.repository, blob.digest.hex))
        good = way is not None and way.until > time.monotonic()
        return way if good and isinstance(way, Redirect) else None

    async def find(self, blob: Blob, part: Part) -> Way:
        """The way of a part of a blob.

        Whoever is given a stream calls ``leave`` when he is through with it. Raises NotFoundError,
        UnavailableError, RegistryError.
        """
        key = (blob.repository, blob.digest.hex)
        way, now = self._known.get(key), time.monotonic()
        if way is not None and way.until > now:
            if isinstance(way, Redirect):
                return way
            raise NotFoundError(way.problem)
        stream = self._open.get(key)
        if stream is not None and part.end == part.size and stream.begins_at == part.start:
            stream.readers += 1
            return stream
        if now < self._shut_until:
            raise UnavailableError("the registry limits requests", self._shut_until - now)
        return await self._once(key, blob, part)

    async def leave(self, blob: Blob, stream: Stream) -> None:
        """One reader less; without any, the registry's answer ends."""
        stream.readers -= 1
        if stream.readers > 0:
            return
        key = (blob.repository, blob.digest.hex)
        if self._open.get(key) is stream:
            del self._open[key]
        self._streams.remove(stream)
        await stream.close()

    @property
    def tokens(self) -> int:
        """How many tokens were asked for so far."""
        return self._upstream.tokens

    async def close(self) -> None:
        """End all questions."""
        for asking in list(self._asking.values()):
            asking.task.cancel()
        await self._upstream.close()

    async def _once(self, key: _Key, blob: Blob, part: Part) -> Way:
        """Ask, or wait for the answer to who has asked the same; counted as its reader then."""
        header = None if part.is_whole else part.asked()
        asking = self._asking.get((key, header))
        if asking is None:
            asking = self._asking[key, header] = _Asking()
            asking.task = asyncio.create_task(self._answer(asking, key, blob, part, header))
        asking.waiting += 1
        try:
            return await asyncio.shield(asking.task)
        except asyncio.CancelledError:
            asking.waiting -= 1
            if asking.given is not None:
                await self.leave(blob, asking.given)
            elif not asking.waiting:
                # Whoever comes now asks anew.
                self._forget(key, header, asking)
                asking.task.cancel()
            raise

    async def _answer(
        self, asking: _Asking, key: _Key, blob: Blob, part: Part, header: str | None
    ) -> Way:
        try:
            way = await self._ask(blob, part, header)
        except UnavailableError as error:
            self._count("unavailable")
            if error.limited:
                self._shut_until = time.monotonic() + error.retry_after
            raise
        except NotFoundError as error:
            self._count("absent")
            self._remember(key, _Absent(time.monotonic() + _ABSENT, str(error)))
            raise
        except RegistryError:
            self._count("refused")
            raise
        finally:
            self._forget(key, header, asking)
        if isinstance(way, Redirect):
            self._count("redirect")
            self._remember(key, way)
            return way
        self._count("stream")
        way.readers, asking.given = asking.waiting, way
        if way.part.is_whole:
            self._open[key] = way
        return way

    def _forget(self, key: _Key, header: str | None, asking: _Asking) -> None:
        if self._asking.get((key, header)) is asking:
            del self._asking[key, header]

    async def _ask(self, blob: Blob, part: Part, header: str | None) -> Way:
        answered = await self._upstream.ask(blob.repository, blob.digest, header)
        response = answered.response
        try:
            if response.status in REDIRECTS:
                target = await self._target(response)
                await finish(response)
                if self._packages != "stream":
                    return Redirect(target, _good_until(target))
                response = await self._upstream.follow(target, header)
            elif self._packages == "redirect" or (
                self._packages == "auto" and self._is_open(answered)
            ):
                url = self._upstream.url(blob.repository, blob.digest)
                response.close()
                return Redirect(url, time.monotonic() + _OPEN)
            stream = Stream(response, _sent(response, part))
            self._streams.add(stream)
        except BaseException:
            response.close()
            raise
        return stream

    def _is_open(self, answered: Answered) -> bool:
        """Whether clients can ask the registry themselves, as safely as they ask us."""
        return not answered.known and self._upstream.address.scheme == "oci"

    async def _target(self, response: aiohttp.ClientResponse) -> str:
        """Where a redirect leads. Raises RegistryError where nobody is to be sent there."""
        source, location = str(response.url), response.headers.get("Location", "")
        target = redirect_target(source, location) if location else None
        # Who joins addresses passes over tabs.
        is_odd = not location.isprintable() or " " in location or len(location) > _MAX_ADDRESS
        if target is None or is_odd or not _ADDRESS.fullmatch(target):
            raise RefusedError(f"{shown(source)} redirects to where none may follow it.")
        parts = urlsplit(target)
        server = (parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme])
        if self._hosts.get(server, 0.0) < time.monotonic():
            try:
                async with asyncio.timeout(_LOOKUP):
                    await asyncio.to_thread(self._reach.check_name, *server)
            except TimeoutError as error:
                raise UnavailableError(f"{server[0]} can't be looked up in time.") from error
            if len(self._hosts) > _MAX_HOSTS:
                self._hosts.clear()
            self._hosts[server] = time.monotonic() + _BELIEVED
        return target

    def _remember(self, key: _Key, way: Redirect | _Absent) -> None:
        if len(self._known) >= _MAX_WAYS:
            # Those known longest; the good ones among them are asked for again.
            for old in list(islice(self._known, _MAX_WAYS // 10)):
                del self._known[old]
        self._known.pop(key, None)
        self._known[key] = way


def _sent(response: aiohttp.ClientResponse, part: Part) -> Part:
    """Which bytes an answer brings. Raises RefusedError where they can't be those of the blob."""
    headers = response.headers
    length, encoding = headers.get("Content-Length"), headers.get("Content-Encoding", "identity")
    sent = part if response.status == 206 else Part(0, part.size, part.size)
    wrong = encoding != "identity" or length not in {None, str(sent.length)}
    if wrong or (response.status == 206 and headers.get("Content-Range") != str(part)):
        raise RefusedError(
            f"{shown(str(response.url))} sends other bytes than those that the index names "
            f"({length} bytes, {headers.get('Content-Range', 'all')})."
        )
    return sent


def _good_until(url: str) -> float:
    """Until when, by the monotonic clock, clients may be sent to a signed address."""
    left = _life(dict(parse_qsl(urlsplit(url).query)))
    if left is None or not math.isfinite(left):
        return time.monotonic() + _UNDATED
    return time.monotonic() + min(max(left - _MARGIN, left / 2, 0.0), _LONGEST)


def _life(query: dict[str, str]) -> float | None:
    """For how many seconds yet it is signed, by what storage services write; None: unknown."""
    now = datetime.now(UTC)
    try:
        for kind in ("X-Amz", "X-Goog"):
            if f"{kind}-Expires" in query:
                date = query[f"{kind}-Date"].replace("Z", "+0000")
                passed = now - datetime.strptime(date, "%Y%m%dT%H%M%S%z")
                return float(query[f"{kind}-Expires"]) - passed.total_seconds()
        if "se" in query:
            return (datetime.fromisoformat(query["se"]) - now).total_seconds()
        if "Expires" in query:
            return float(query["Expires"]) - now.timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        pass
    return None
