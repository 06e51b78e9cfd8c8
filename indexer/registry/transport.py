"""One polite HTTP client: retries within a minute, and pauses that all workers keep.

Measured of registries (see docs/decisions/0003-http.md): ``Retry-After: 1.16676ms`` is a
real header, and urllib3's own retries raise an error on it; so retrying is done here.
"""

from __future__ import annotations

import email.utils
import random
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO, TypeVar

import requests

from indexer.errors import RegistryError, UnansweredError
from indexer.registry.content import Content
from indexer.registry.exchange import BROKEN, Answer, Clock, Exchange, Question, innermost
from indexer.registry.urls import origin_of, shown

T = TypeVar("T")
_Origin = tuple[str, str, int | None]

RETRY_FOR = 60.0
_LONGEST_PAUSE = 30.0
# What asking again won't change: not implemented, HTTP version not supported.
_FINAL = frozenset({501, 505})
# So much of a download between two breaks is progress, after which the patience begins anew.
_PROGRESS = 1024 * 1024

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|)")


class PassingError(RegistryError):
    """No answer, or one that says "not now": another try may fare better.

    ``limited`` says that the server wants less to be asked of it by anybody, ``asked`` for how
    many seconds, where it says so; ``progress`` that something came of the try.
    """

    def __init__(
        self,
        problem: str,
        *,
        limited: bool = False,
        asked: float | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(problem)
        self.limited = limited
        self.asked = asked
        self.progress = progress


class Transport:
    """Sends requests for many threads; an answer that is no answer is retried within a minute."""

    def __init__(
        self, *, jobs: int = 16, retry_for: float = RETRY_FOR, clock: Clock | None = None
    ) -> None:
        self._retry_for = retry_for
        self._stopped = threading.Event()
        # A wait of the ordinary clock ends when the transport is closed.
        self._clock = clock or Clock(sleep=lambda seconds: _ignore(self._stopped.wait(seconds)))
        self._pauses: dict[_Origin, float] = {}
        self._lock = threading.Lock()
        self._exchange = Exchange(jobs=jobs, clock=self._clock)

    def close(self) -> None:
        """End what is under way, and give the connections back."""
        self._stopped.set()
        self._exchange.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int,
        sink: IO[bytes] | None = None,
        body: Content | None = None,
    ) -> Answer:
        """Send a request and read the whole answer, of at most ``limit`` bytes.

        With a ``sink`` a body that comes with 200 goes there, from its start, and not into
        the answer. Redirects are followed; Authorization goes along only within one origin.
        Raises UnansweredError when no answer, or only 429 and 5xx, came within the retry
        time, and ContentError for a body longer than ``limit``.
        """
        question = Question(method, url, dict(headers or {}), limit, sink, body=body)
        return self.retry(method, url, lambda: self._try(question))

    def once(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int,
        sink: IO[bytes] | None = None,
        body: Content | None = None,
    ) -> Answer:
        """The same, tried once: for requests that make sense only after another one.

        Only what the ``sink`` lacks is asked for. Raises PassingError where another try may
        fare better, for ``retry`` to catch; after progress it begins the retry time anew.
        """
        question = Question(method, url, dict(headers or {}), limit, sink, sink is not None, body)
        return self._try(question)

    def retry(self, method: str, url: str, action: Callable[[], T], *, tries: int = 1) -> T:
        """Do what may fail in passing until it doesn't: for the retry time, and some ``tries``.

        It keeps the pauses of the server of ``url``. Raises UnansweredError, naming both, when
        the time is over or the transport closed.
        """
        what, origin = f"{method} {shown(url)}", _origin(url)
        start, attempt = self._clock.now(), 0
        while True:
            self._wait_for_pause(origin)
            if self._stopped.is_set():
                raise UnansweredError(f"{what}: given up, the run has ended.")
            delay = min(0.25 * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311  jitter
            try:
                return action()
            except PassingError as error:
                delay = max(error.asked or 0, delay)
                # By itself a 5xx may be about one file alone.
                if error.limited:
                    self._hold(origin, delay)
                if error.progress:
                    start, attempt = self._clock.now(), 0
                # What takes long by itself would use the time up in one try.
                over = self._clock.now() + delay - start > self._retry_for
                if over and (attempt + 1 >= tries or not self._retry_for):
                    raise UnansweredError(
                        f"{what}: {error}, for {self._retry_for:g} seconds. "
                        "Try again later, or check the address and the network."
                    ) from error
            self._clock.sleep(delay)
            attempt += 1

    def _try(self, question: Question) -> Answer:
        before = question.sink.tell() if question.sink is not None else 0
        try:
            answer = self._exchange.ask(question)
        except BROKEN as error:
            after = question.sink.tell() if question.sink is not None else 0
            progress = question.resume and after - before >= _PROGRESS
            raise PassingError(_explain(error), progress=progress) from error
        asked = retry_after(answer.headers.get("Retry-After"))
        if _is_passing(answer.status, asked):
            limited = answer.status == 429 or asked is not None
            raise PassingError(f"answered {answer.status}", limited=limited, asked=asked)
        if answer.status == 416 and question.resume:
            # The sink held more than there is, and is empty now.
            raise PassingError("answered 416")
        return answer

    def _wait_for_pause(self, origin: _Origin) -> None:
        while not self._stopped.is_set():
            left = self._pauses.get(origin, 0.0) - self._clock.now()
            if left <= 0:
                return
            self._clock.sleep(left)

    def _hold(self, origin: _Origin, delay: float) -> None:
        with self._lock:
            until = self._clock.now() + delay
            self._pauses[origin] = max(self._pauses.get(origin, 0.0), until)


def _origin(url: str) -> _Origin:
    try:
        return origin_of(url)
    except ValueError:
        # No address: whoever asks it is told so.
        return "", "", None


def _ignore(_: object) -> None:
    """Nothing comes of it."""


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


def _is_passing(status: int, asked_to_wait: float | None) -> bool:
    """Whether another try may fare better: 429, 5xx, and GitHub's 403 that says when."""
    if status == 403:
        return asked_to_wait is not None
    return status == 429 or (status >= 500 and status not in _FINAL)


def _explain(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    return f"the connection failed ({innermost(error)})"
