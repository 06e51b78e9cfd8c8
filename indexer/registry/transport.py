"""One polite HTTP client: timeouts, retries, a pause shared by all workers, bounded answers.

Measured of registries (see docs/decisions/0003-http.md): ``Retry-After: 1.16676ms`` is a
real header, and urllib3's own retries raise an error on it; so retrying is done here.
"""

from __future__ import annotations

import email.utils
import io
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions

import indexer
from indexer.errors import ConfigError, ContentError, RegistryError
from indexer.registry.watch import Watch, WatchedAdapter

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
ANSWER_TIMEOUT = 120.0
DOWNLOAD_TIMEOUT = 1800.0
RETRY_FOR = 60.0
_LONGEST_PAUSE = 30.0
# What asking again won't change: not implemented, HTTP version not supported.
_FINAL = frozenset({501, 505})
_MAX_REFUSAL = 64 * 1024
_REFUSED_TLS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "NO_CERTIFICATE_OR_CRL")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|)")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Clock:
    """Time in seconds, and waiting; another one in tests."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class _NoAuth(requests.auth.AuthBase):
    """Keeps requests from putting what ~/.netrc says over our own Authorization."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Session(requests.Session):
    """Leaves redirects to us: requests would read their bodies to the end, however long."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: never by itself."""
        del resp
        return None


class Transport:
    """Sends requests for many threads; an answer that is no answer is retried within a minute."""

    def __init__(
        self, *, jobs: int = 16, retry_for: float = RETRY_FOR, clock: Clock | None = None
    ) -> None:
        self._retry_for = retry_for
        self._stopped = threading.Event()
        # A wait of the ordinary clock ends when the transport is closed.
        self._clock = clock or Clock(sleep=lambda seconds: _ignore(self._stopped.wait(seconds)))
        self._pause_until = 0.0
        self._lock = threading.Lock()
        self._session = _Session()
        self._session.auth = _NoAuth()
        self._session.headers["User-Agent"] = f"cf-index/{indexer.__version__}"
        # The digest is of the bytes as stored; a proxy has no business compressing them.
        self._session.headers["Accept-Encoding"] = "identity"
        # As other clients of registries do; without it, requests' own rules hold. Given with
        # each request, because a session's setting yields to REQUESTS_CA_BUNDLE.
        self._verify = os.environ.get("SSL_CERT_FILE") or None
        self._watch = Watch()
        adapter = WatchedAdapter(self._watch, pool_connections=8, pool_maxsize=jobs)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        """End what is under way, and give the connections back."""
        self._stopped.set()
        self._watch.close()
        self._session.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int,
        sink: IO[bytes] | None = None,
    ) -> Answer:
        """Send a request and read the whole answer, of at most ``limit`` bytes.

        With a ``sink`` a body that comes with 200 goes there, from its start, and not into
        the answer. Redirects are followed; Authorization goes along only within one origin.
        Raises RegistryError when no answer, or only 429 and 5xx, came within the retry
        time, and ContentError for a body longer than ``limit``.
        """
        start = self._clock.now()
        attempt = 0
        while True:
            self._wait_for_pause()
            if self._stopped.is_set():
                raise RegistryError(f"{method} {_clean(url)}: given up, the run has ended.")
            delay = min(0.25 * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311  jitter
            try:
                answer = self._follow(method, url, dict(headers or {}), limit, sink)
            except _RETRIED_ERRORS as error:
                problem = _explain(error)
            else:
                asked = retry_after(answer.headers.get("Retry-After"))
                if not _is_passing(answer.status, asked):
                    return answer
                problem = f"answered {answer.status}"
                delay = delay if asked is None else max(asked, delay)
                self._hold_all(delay)
            if self._clock.now() + delay - start > self._retry_for:
                raise RegistryError(
                    f"{method} {_clean(url)}: {problem}, for {self._retry_for:g} seconds. "
                    "Try again later, or check the address and the network."
                )
            self._clock.sleep(delay)
            attempt += 1

    def _wait_for_pause(self) -> None:
        while (left := self._pause_until - self._clock.now()) > 0 and not self._stopped.is_set():
            self._clock.sleep(left)

    def _hold_all(self, delay: float) -> None:
        with self._lock:
            self._pause_until = max(self._pause_until, self._clock.now() + delay)

    def _follow(
        self, method: str, url: str, headers: dict[str, str], limit: int, sink: IO[bytes] | None
    ) -> Answer:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._send(method, url, headers, limit, sink)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            target = _target(url, location)
            if target is None:
                raise RegistryError(f"{_clean(url)} redirects to where none may follow it.")
            if origin_of(target) != origin_of(url):
                headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
            url = target
        raise RegistryError(f"{_clean(url)} redirects more than {_MAX_REDIRECTS} times.")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], limit: int, sink: IO[bytes] | None
    ) -> Answer:
        start = self._clock.now()
        try:
            with (
                self._watch.answer(ANSWER_TIMEOUT) as waiting,
                self._session.request(
                    method,
                    url,
                    headers=headers,
                    stream=True,
                    allow_redirects=False,
                    verify=self._verify,
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                ) as response,
            ):
                waiting.begun(ANSWER_TIMEOUT if sink is None else DOWNLOAD_TIMEOUT)
                data = self._take(response, limit, sink, start)
                waiting.check()
                return Answer(response.status_code, response.headers, data, url)
        except _RETRIED_ERRORS as error:
            if not _is_about_certificates(error):
                raise
            raise RegistryError(
                f"{_clean(url)}: the certificate was not accepted ({_innermost(error)}). Name your "
                "own CA by SSL_CERT_FILE, or use oci+http:// for a registry without TLS."
            ) from error
        except (requests.exceptions.InvalidHeader, UnicodeError):
            # The error's text holds the header, and the header holds the password.
            raise ConfigError(
                f"The credentials for {_clean(url)} hold characters that can't be sent."
            ) from None
        except (ValueError, OSError) as error:
            raise RegistryError(f"{_clean(url)} can't be asked{self._why(error)}.") from error

    def _take(
        self, response: requests.Response, limit: int, sink: IO[bytes] | None, start: float
    ) -> bytes:
        if response.request.method == "HEAD" or response.status_code != 200:
            # Read to its end, within bounds: a connection with an answer left on it is lost.
            return self._read_refusal(response, start + ANSWER_TIMEOUT)
        if sink is not None:
            sink.seek(0)
            sink.truncate()
            self._read(response, sink, limit, start + DOWNLOAD_TIMEOUT)
            return b""
        body = io.BytesIO()
        self._read(response, body, limit, start + ANSWER_TIMEOUT)
        return body.getvalue()

    def _why(self, error: Exception) -> str:
        if self._verify and not os.path.isfile(self._verify):  # noqa: PTH113  a name to show
            return f": SSL_CERT_FILE names {self._verify}, and there is no such file"
        return f" ({type(error).__name__})"

    def _read_refusal(self, response: requests.Response, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < _MAX_REFUSAL and self._clock.now() < deadline:
            chunk = response.raw.read1(_MAX_REFUSAL, decode_content=True)
            if not chunk:
                break
            data += chunk
        return bytes(data[:_MAX_REFUSAL])

    def _read(
        self, response: requests.Response, body: IO[bytes], limit: int, deadline: float
    ) -> None:
        # read1 gives what has arrived, so that a server that drips can't outlast the deadline.
        size = 0
        while chunk := response.raw.read1(65536, decode_content=True):
            _write(body, chunk)
            size += len(chunk)
            if size > limit:
                raise ContentError(f"{_clean(response.url)} sent more than {limit} bytes")
            if self._clock.now() > deadline:
                raise requests.exceptions.ReadTimeout("the answer doesn't end")


_RETRIED_ERRORS = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
    ConnectionError,
)


def _ignore(_: object) -> None:
    """Nothing comes of it."""


def _write(body: IO[bytes], chunk: bytes) -> None:
    try:
        body.write(chunk)
    except OSError as error:
        raise ConfigError(f"A download can't be kept: {error.strerror}.") from error


def _is_about_certificates(error: Exception) -> bool:
    """Whether TLS was refused for good; a handshake that broke off may succeed next time."""
    text = str(error)
    return any(reason in text for reason in _REFUSED_TLS)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), at most 30; else None.

    Besides seconds and dates it takes the fractions and units that registries send.
    """
    if value is None:
        return None
    if match := _SECONDS.fullmatch(value.strip()):
        return min(float(match.group(1)) * _UNITS[match.group(2)], _LONGEST_PAUSE)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max((date - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_PAUSE)


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, by which credentials are kept to one server."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def _target(source: str, location: str) -> str | None:
    """Where a redirect leads; None where it mustn't be followed, as from https to http."""
    try:
        target = urljoin(source, location)
        scheme, host, _ = origin_of(target)
    except ValueError:
        return None
    followed = scheme == "https" or (scheme == "http" == urlsplit(source).scheme)
    return target if host and followed else None


def _is_passing(status: int, asked_to_wait: float | None) -> bool:
    """Whether another try may fare better: 429, 5xx, and GitHub's 403 that says when."""
    if status == 403:
        return asked_to_wait is not None
    return status == 429 or (status >= 500 and status not in _FINAL)


def _clean(url: str) -> str:
    """The address without its query, which may hold a signature."""
    return url.partition("?")[0]


def _explain(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    return f"the connection failed ({_innermost(error)})"


def _innermost(error: BaseException) -> str:
    """The last cause in a chain of wrapped errors: the one that says something."""
    cause: Any = error
    for _ in range(8):
        inner = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
        if not isinstance(inner, BaseException):
            break
        cause = inner
    text = str(cause).strip() or type(cause).__name__
    return text.rpartition(">: ")[2][:200]
