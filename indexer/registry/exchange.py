"""One request and its answer over HTTP: timeouts, redirects, bounded bodies in both directions."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import requests
import urllib3
import urllib3.exceptions

import indexer
from indexer.errors import ConfigError, ContentError, RegistryError, UnansweredError
from indexer.registry.content import Content
from indexer.registry.direct import Direct
from indexer.registry.reach import Reach
from indexer.registry.urls import origin_of, redirect_target, shown
from indexer.registry.watch import Watch, WatchedAdapter

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
# After an upload: a registry may move all of it to where it belongs before it answers.
STORE_TIMEOUT = 300.0
ANSWER_TIMEOUT = 120.0
DOWNLOAD_TIMEOUT = 1800.0
# Bytes in a second. Slower than that, an upload is given up, since it can't be resumed.
_SLOWEST_UPLOAD = 50_000
_MAX_REFUSAL = 64 * 1024
_BLOCK = 256 * 1024
_REFUSED_TLS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "NO_CERTIFICATE_OR_CRL")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# The others turn any method into GET.
_KEEPING_THE_METHOD = frozenset({307, 308})
_MAX_REDIRECTS = 5
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)")

BROKEN = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
    ConnectionError,
)
"""What is raised where no whole answer came; another try may fare better."""


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


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Of an answer with status 200 at most ``limit`` bytes are read; with a ``sink`` they go there
    from its start, and not into the answer. With ``resume``, what the sink holds already isn't
    asked for again. ``body`` is what is sent along.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    limit: int
    sink: IO[bytes] | None = None
    resume: bool = False
    body: Content | None = None


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


class _Body:
    """What is sent, read piece by piece; never more and never less than was announced."""

    def __init__(self, content: Content, file: BinaryIO) -> None:
        self._content = content
        self._file = file
        self._left = content.size
        content.at(0)

    def __len__(self) -> int:
        return self._content.size

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(_BLOCK):
            yield chunk

    def read(self, size: int = _BLOCK) -> bytes:
        chunk = self._content.read(self._file, min(size, self._left))
        if not chunk and self._left:
            # Waiting for the rest, the registry would never answer.
            raise ContentError("it became shorter while it was sent")
        self._left -= len(chunk)
        self._content.at(self._content.size - self._left)
        return chunk


class Exchange:
    """Asks one question at a time for each of many threads."""

    def __init__(self, *, jobs: int, clock: Clock, reach: Reach | None = None) -> None:
        self._clock = clock
        self._session = _Session()
        self._session.auth = _NoAuth()
        # The digest is of the bytes as stored; a proxy has no business compressing them.
        headers = {"User-Agent": f"cf-index/{indexer.__version__}", "Accept-Encoding": "identity"}
        self._session.headers.update(headers)
        # As other clients of registries do; without it, requests' own rules hold. Given with
        # each request, because a session's setting yields to REQUESTS_CA_BUNDLE.
        self._verify = os.environ.get("SSL_CERT_FILE") or None
        self._known: dict[tuple[str, str, int | None], Mapping[str, Any]] = {}
        self._watch = Watch()
        adapter = WatchedAdapter(
            self._watch, reach, pool_connections=8, pool_maxsize=jobs, block=_BLOCK
        )
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._direct = Direct(adapter, headers, self._surroundings)

    def close(self) -> None:
        """End what is under way, and give the connections back."""
        self._watch.close()
        self._session.close()
        # It holds pools that the session has let go of.
        self._direct.close()

    def ask(self, question: Question) -> Answer:
        """Send a request and read the whole answer.

        Redirects are followed; Authorization goes along only within one origin. Raises one of
        BROKEN where no whole answer came, RegistryError or ConfigError where none ever can, and
        ContentError for an answer longer than the limit.
        """
        url, headers = question.url, dict(question.headers)
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._send(question, url, headers)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            target = redirect_target(url, location)
            keeps = question.method in {"GET", "HEAD"} or answer.status in _KEEPING_THE_METHOD
            if target is None or not keeps:
                raise RegistryError(f"{shown(url)} redirects to where none may follow it.")
            if origin_of(target) != origin_of(url):
                headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
            url = target
        raise RegistryError(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times.")

    def _send(self, question: Question, url: str, headers: Mapping[str, str]) -> Answer:
        try:
            if question.body is None or not question.body.size:
                return self._exchange(question, url, headers, None)
            with question.body.opened() as file:
                return self._exchange(question, url, headers, _Body(question.body, file))
        except BROKEN as error:
            if not _is_about_certificates(error):
                raise
            # About all of the server, and from nobody who may be believed.
            raise UnansweredError(
                f"{shown(url)}: the certificate was not accepted ({innermost(error)}). Name your "
                "own CA by SSL_CERT_FILE, or use oci+http:// for a registry without TLS."
            ) from error
        except (requests.exceptions.InvalidHeader, UnicodeError):
            # The error's text holds the header, and the header holds the password.
            raise ConfigError(
                f"The credentials for {shown(url)} hold characters that can't be sent."
            ) from None
        except (ValueError, OSError) as error:
            raise RegistryError(f"{shown(url)} can't be asked{self._why(error)}.") from error

    def _exchange(
        self, question: Question, url: str, headers: Mapping[str, str], body: _Body | None
    ) -> Answer:
        start = self._clock.now()
        seconds, patience = ANSWER_TIMEOUT, READ_TIMEOUT
        if body is not None:
            seconds, patience = ANSWER_TIMEOUT + len(body) / _SLOWEST_UPLOAD, STORE_TIMEOUT
        with (
            self._watch.answer(seconds) as waiting,
            self._asked(question, url, headers, body, patience) as answer,
        ):
            waiting.begun(ANSWER_TIMEOUT if question.sink is None else DOWNLOAD_TIMEOUT)
            data = self._take(answer, question, url, start)
            waiting.check()
            return Answer(answer.status, answer.headers, data, url)

    @contextmanager
    def _asked(
        self,
        question: Question,
        url: str,
        headers: Mapping[str, str],
        body: _Body | None,
        patience: float,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer's head, with its body still to be read."""
        timeout = (CONNECT_TIMEOUT, patience)
        # Whoever redirects chose the address: requests knows more of odd ones.
        if question.sink is None and question.body is None and url == question.url:
            plain = self._direct.plain(question.method, url, headers)
            if plain is not None:
                answer = self._direct.ask(plain, timeout)
                try:
                    yield answer
                finally:
                    # Where something was left in it, its connection isn't used again.
                    answer.close()
                    answer.release_conn()
                return
        request = requests.Request(
            question.method, url, headers=_with_range(headers, question), data=body
        )
        with self._session.send(
            self._session.prepare_request(request),
            allow_redirects=False,
            timeout=timeout,
            **self._surroundings(url),
        ) as response:
            yield response.raw

    def _surroundings(self, url: str) -> Mapping[str, Any]:
        """Proxies and authorities for a server, found once.

        requests would look through every variable of the environment for each request.
        """
        origin = origin_of(url)
        known = self._known.get(origin)
        if known is None:
            known = self._session.merge_environment_settings(
                url, {}, stream=True, verify=self._verify, cert=None
            )
            self._known[origin] = known
        return known

    def _take(
        self, answer: urllib3.BaseHTTPResponse, question: Question, url: str, start: float
    ) -> bytes:
        sink, status = question.sink, answer.status
        if status == 206 and sink is not None:
            if _first_byte(answer) != sink.seek(0, os.SEEK_END):
                sink.truncate(0)
                raise requests.exceptions.ConnectionError("another part than was asked for")
            self._read(answer, sink, url, question.limit, start + DOWNLOAD_TIMEOUT)
            return b""
        if question.method == "HEAD" or status != 200:
            if status == 416 and sink is not None:
                sink.truncate(0)
            # Read to its end, within bounds: a connection with an answer left on it is lost.
            return self._read_refusal(answer, start + ANSWER_TIMEOUT)
        if sink is not None:
            sink.seek(0)
            sink.truncate()
            self._read(answer, sink, url, question.limit, start + DOWNLOAD_TIMEOUT)
            return b""
        body = io.BytesIO()
        self._read(answer, body, url, question.limit, start + ANSWER_TIMEOUT)
        return body.getvalue()

    def _why(self, error: Exception) -> str:
        if self._verify and not os.path.isfile(self._verify):  # noqa: PTH113  a name to show
            return f": SSL_CERT_FILE names {self._verify}, and there is no such file"
        return f" ({type(error).__name__})"

    def _read_refusal(self, answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < _MAX_REFUSAL and self._clock.now() < deadline:
            chunk = answer.read1(_MAX_REFUSAL, decode_content=True)
            if not chunk:
                break
            data += chunk
        return bytes(data[:_MAX_REFUSAL])

    def _read(
        self,
        answer: urllib3.BaseHTTPResponse,
        body: IO[bytes],
        url: str,
        limit: int,
        deadline: float,
    ) -> None:
        # read1 gives what has arrived, so that a server that drips can't outlast the deadline.
        size = body.tell()
        while chunk := answer.read1(65536, decode_content=True):
            _write(body, chunk)
            size += len(chunk)
            if size > limit:
                raise ContentError(f"{shown(url)} sent more than {limit} bytes")
            if self._clock.now() > deadline:
                raise requests.exceptions.ReadTimeout("the answer doesn't end")


def innermost(error: BaseException) -> str:
    """The last cause in a chain of wrapped errors: the one that says something."""
    cause: Any = error
    for _ in range(8):
        inner = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
        if not isinstance(inner, BaseException):
            break
        cause = inner
    text = str(cause).strip() or type(cause).__name__
    return text.rpartition(">: ")[2][:200]


def _with_range(headers: Mapping[str, str], question: Question) -> Mapping[str, str]:
    """Ask for what the sink lacks only (RFC 9110, 14.1.2)."""
    if question.sink is None or not question.resume:
        return headers
    start = question.sink.seek(0, os.SEEK_END)
    return {**headers, "Range": f"bytes={start}-"} if start else headers


def _first_byte(answer: urllib3.BaseHTTPResponse) -> int | None:
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None


def _write(body: IO[bytes], chunk: bytes) -> None:
    try:
        body.write(chunk)
    except OSError as error:
        raise ConfigError(f"A download can't be kept: {error.strerror}.") from error


def _is_about_certificates(error: Exception) -> bool:
    """Whether TLS was refused for good; a handshake that broke off may succeed next time."""
    text = str(error)
    return any(reason in text for reason in _REFUSED_TLS)
