"""One question to a registry for a blob, whose redirect isn't followed, and its answer."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit
from weakref import WeakValueDictionary

import aiohttp
import aiohttp.abc
import aiohttp.resolver
import certifi
import yarl

import indexer
from indexer.errors import (
    CfIndexError,
    NotFoundError,
    RefusedError,
    UnansweredError,
)
from indexer.gateway.found import RETRY_AFTER, UnavailableError
from indexer.registry.address import RegistryAddress
from indexer.registry.auth import Authorizer
from indexer.registry.base import Requests
from indexer.registry.content import Digest
from indexer.registry.exchange import Answer
from indexer.registry.reach import Reach
from indexer.registry.transport import Transport, retry_after
from indexer.registry.urls import origin_of, shown

# So much of a body is held for a reader that hasn't taken it yet. What is still in the processor's
# cache goes out faster: 1.6 GB/s, where 512 KiB gave 1.0.
_BUFFER = 128 * 1024
_SHORT = 64 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GOOD = REDIRECTS | {200, 206}
# Tokens are asked for by the code that all other commands use, which waits in threads.
_THREADS = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer whose body is still to be read; ``known``: it took credentials or a token."""

    response: aiohttp.ClientResponse
    known: bool


class Web:
    """The connections to all registries, which lead only to where they may."""

    def __init__(self, reach: Reach, *, timeout: float) -> None:
        self._proxies = _proxies()
        self.reach = Reach(reach.servers | Reach.of(_servers(self._proxies.values())).servers)
        authorities = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
        context = ssl.create_default_context(cafile=authorities or certifi.where())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=context, resolver=_Resolver(self.reach), keepalive_timeout=30
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=30),
            headers={
                "User-Agent": f"cf-index/{indexer.__version__}",
                "Accept-Encoding": "identity",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_BUFFER,
        )

    async def get(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """The head of the answer; no redirect is followed. Raises what aiohttp raises."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
        with contextlib.suppress(ValueError):
            # An address in place of a name isn't looked up, so the resolver never sees it.
            ipaddress.ip_address(host.partition("%")[0])
            self.reach.check(host, port, host)
        # Spelt otherwise, its signature would be wrong.
        exactly = yarl.URL(url, encoded=True)
        return await self._session.get(
            exactly, headers=headers, allow_redirects=False, proxy=self._proxy_for(parts)
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._session.close()

    def _proxy_for(self, parts: SplitResult) -> str | None:
        """The proxy of the environment for an address; aiohttp's own way reads ~/.netrc, too."""
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        if proxy is None or urllib.request.proxy_bypass(parts.netloc):
            return None
        return proxy


class Upstream:
    """A registry, asked for blobs. Tokens are kept for each repository until they expire."""

    def __init__(
        self, address: RegistryAddress, web: Web, *, basic: str | None, timeout: float
    ) -> None:
        """``basic`` is the value of Authorization: Basic, where credentials are known."""
        self.address = address
        self._web = web
        self._timeout = timeout
        self._origin = origin_of(address.origin)
        self._transport = Transport(jobs=_THREADS, retry_for=0, reach=web.reach)
        self._requests = Requests()
        self._auth = Authorizer(
            self._transport,
            host=address.host,
            basic=basic,
            requests=self._requests,
        )
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tokens")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def url(self, repository: str, digest: Digest) -> str:
        """A blob's address."""
        return f"{self.address.origin}/v2/{repository}/blobs/{digest}"

    @property
    def tokens(self) -> int:
        """How many tokens were asked for so far."""
        return self._requests.as_dict().get("tokens", 0)

    async def ask(self, repository: str, digest: Digest, part: str | None) -> Answered:
        """Ask for a blob, or for the ``part`` of it that a Range names.

        Gives answers of 200, 206 and redirects, for the caller to close. Raises NotFoundError,
        UnavailableError where it can't be had just now, RegistryError for any other no.
        """
        url = self.url(repository, digest)
        with _explained(url):
            async with asyncio.timeout(self._timeout):
                answered = await self._ask(url, f"repository:{repository}:pull", part)
        if answered.response.status not in _GOOD:
            answered.response.close()
            raise _refusal(answered.response, url)
        return answered

    async def follow(self, url: str, part: str | None) -> aiohttp.ClientResponse:
        """What is where the registry has sent us; without credentials. Raises RegistryError."""
        with _explained(url):
            async with asyncio.timeout(self._timeout):
                response = await self._web.get(url, {"Range": part} if part else {})
        if response.status not in {200, 206}:
            response.close()
            raise _refusal(response, url)
        return response

    async def close(self) -> None:
        """End what is under way for tokens."""
        self._transport.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, url: str, scope: str, part: str | None) -> Answered:
        headers = {"Range": part} if part else {}
        sent = await self._authorization(scope)
        response = await self._web.get(url, _with(headers, sent))
        if response.status != 401:
            return Answered(response, known=sent is not None)
        challenge = Answer(401, response.headers, b"", url)
        response.close()
        async with self._lock(scope):
            # Somebody who asked at the same time may have a new token by now.
            if await self._header(scope) == sent and not await self._in_thread(
                partial(self._auth.answer, challenge, scope, sent=sent)
            ):
                raise RefusedError(f"{shown(url)} answered 401; check the credentials.")
        now = await self._authorization(scope)
        return Answered(await self._web.get(url, _with(headers, now)), known=now is not None)

    async def _authorization(self, scope: str) -> str | None:
        """What to send; of those who want it at once, one asks for a token."""
        if not self._auth.has_to_ask(scope):
            return self._auth.header(scope)
        async with self._lock(scope):
            return await self._header(scope)

    async def _header(self, scope: str) -> str | None:
        return await self._in_thread(partial(self._auth.header, scope))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except UnansweredError as error:
            raise UnavailableError(str(error)) from error

    def _lock(self, scope: str) -> asyncio.Lock:
        lock = self._locks.get(scope)
        if lock is None:
            lock = self._locks[scope] = asyncio.Lock()
        return lock


class _Resolver(aiohttp.resolver.ThreadedResolver):
    """Looks names up, and refuses addresses that mustn't be asked."""

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._reach = reach

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        """The addresses of a host. Raises RegistryError where one mustn't be asked."""
        found = await super().resolve(host, port, family)
        for address in found:
            self._reach.check(host, port, address["host"])
        return found


def _with(headers: dict[str, str], authorization: str | None) -> dict[str, str]:
    return {**headers, "Authorization": authorization} if authorization else headers


def _refusal(response: aiohttp.ClientResponse, url: str) -> CfIndexError:
    """What an answer that brings no bytes means."""
    text = f"{shown(url)} answered {response.status}"
    asked = retry_after(response.headers.get("Retry-After"))
    if response.status in {404, 410}:
        return NotFoundError(f"{text}.")
    if response.status == 429 or response.status >= 500 or (response.status == 403 and asked):
        limited = response.status == 429 or asked is not None
        return UnavailableError(f"{text}.", max(asked or RETRY_AFTER, 1.0), limited=limited)
    return RefusedError(f"{text}; check the credentials, and that the registry has the channel.")


async def finish(response: aiohttp.ClientResponse) -> None:
    """Be through with a short answer; its connection serves again where it was one."""
    try:
        async with asyncio.timeout(1):
            while await response.content.read(_SHORT) and response.content.total_bytes < _SHORT:
                pass
    except (aiohttp.ClientError, TimeoutError, OSError):
        response.close()
    response.release()


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Raise UnavailableError where no answer came, RefusedError where it is none of HTTP."""
    try:
        yield
    except aiohttp.ClientHttpProxyError as error:
        raise UnavailableError(f"{shown(url)}: the proxy answered {error.status}.") from error
    except aiohttp.ClientResponseError as error:
        raise RefusedError(f"{shown(url)} sends what is no answer ({error!r}).") from error
    except TimeoutError as error:
        raise UnavailableError(f"{shown(url)}: no answer in time.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnavailableError(f"{shown(url)}: the connection failed ({error!r}).") from error


def _proxies() -> dict[str, str]:
    """The proxies of the environment, by the scheme that they are for; with their own scheme."""
    found = urllib.request.getproxies()
    return {
        scheme: proxy if "://" in proxy else f"http://{proxy}"
        for scheme, proxy in found.items()
        if scheme in {"http", "https", "all"}
    }


def _servers(proxies: Iterable[str]) -> list[str]:
    """Hosts of proxies, which the operator has named, too; where no port is said, any."""
    found = (urlsplit(url).netloc.rpartition("@")[2].rstrip(":") for url in proxies)
    return [server for server in found if server]
