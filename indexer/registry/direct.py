"""Plain questions, put to urllib3's pools: requests takes more time for one than its connection.

A reading asks twice a package, and what requests does to a question is the same each time. So it
is done once a server: the pools, and what TLS needs, are requests' own
(docs/decisions/0014-reading.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

# What requests would send just as it stands: without a query, dots that lead up, anything to be
# quoted or spelt for IDNA, a user or a password.
_PLAIN_URL = re.compile(
    r"(https?://[a-z0-9.-]+(?::[0-9]{1,5})?)((?:/[A-Za-z0-9_][\w.:=-]*)+)", re.ASCII
)
# http.client repeats in its error what it can't send, and that may be a password.
_PLAIN_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_NEVER = urllib3.Retry(total=False)


@dataclass(frozen=True, slots=True)
class PlainQuestion:
    """A GET or HEAD that needs nothing of requests, and the pool of the server it goes to."""

    method: str
    path: str
    headers: Mapping[str, str]
    pool: urllib3.HTTPConnectionPool


class Direct:
    """Knows which servers are reached without a proxy, and the pools of their connections."""

    def __init__(
        self,
        adapter: HTTPAdapter,
        headers: Mapping[str, str],
        surroundings: Callable[[str], Mapping[str, Any]],
    ) -> None:
        """``headers`` go with each question.

        ``surroundings`` gives the proxies and authorities that requests has for an address.
        """
        self._adapter = adapter
        self._headers = headers
        self._surroundings = surroundings
        self._pools: dict[str, urllib3.HTTPConnectionPool | None] = {}

    def close(self) -> None:
        """Give the connections back. Who asks once more gets new ones."""
        pools = [pool for pool in self._pools.values() if pool is not None]
        self._pools.clear()
        for pool in pools:
            pool.close()

    def plain(self, method: str, url: str, headers: Mapping[str, str]) -> PlainQuestion | None:
        """The question, where it is a plain one to a server without a proxy; else None.

        Raises OSError where the server's authorities can't be read.
        """
        match = _PLAIN_URL.fullmatch(url)
        if match is None or method not in {"GET", "HEAD"}:
            return None
        if not all(_PLAIN_VALUE.fullmatch(value) for value in headers.values()):
            return None
        origin, path = match.groups()
        try:
            pool = self._pools[origin]
        except KeyError:
            pool = self._pools[origin] = self._pool(origin)
        if pool is None:
            return None
        return PlainQuestion(method, path, {**self._headers, **headers}, pool)

    def ask(
        self, question: PlainQuestion, timeout: tuple[float, float]
    ) -> urllib3.BaseHTTPResponse:
        """Send it, and wait for the head of the answer. Raises what requests raises.

        ``timeout`` has the seconds for connecting, and for reading.
        """
        connect, read = timeout
        try:
            return question.pool.urlopen(
                question.method,
                question.path,
                headers=question.headers,
                retries=_NEVER,
                redirect=False,
                assert_same_host=False,
                timeout=urllib3.Timeout(connect=connect, read=read),
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.NewConnectionError as error:
            raise requests.exceptions.ConnectionError(error) from error
        except urllib3.exceptions.ConnectTimeoutError as error:
            raise requests.exceptions.ConnectTimeout(error) from error
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.exceptions.ReadTimeout(error) from error

    def _pool(self, origin: str) -> urllib3.HTTPConnectionPool | None:
        settings = self._surroundings(origin)
        verify, cert, proxies = settings["verify"], settings["cert"], settings["proxies"]
        if select_proxy(origin, proxies):
            return None
        request = requests.Request("GET", origin).prepare()
        pool = self._adapter.get_connection_with_tls_context(request, verify, proxies, cert)
        self._adapter.cert_verify(pool, origin, verify, cert)  # type: ignore[no-untyped-call]
        return pool if isinstance(pool, urllib3.HTTPConnectionPool) else None
