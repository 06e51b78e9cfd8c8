"""One polite HTTP client: retries within a minute, and limits that all workers keep.

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
from indexer.registry.pace import Gate, How, Limited, ShutError
from indexer.registry.reach import Reach
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
_SECONDS = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(ms|s|m|)")


class PassingError(RegistryError):
    """No answer, or one that says "not now": another try may fare better.

    ``asked`` is for how many seconds the server wants nothing to be asked of it, where it says
    so; ``progress`` says that something came of the try, ``waited`` for how many seconds it
    wasn't its turn.
    """

    def __init__(
        self,
        problem: str,
        *,
        asked: float | None = None,
        progress: bool = False,
        waited: float = 0.0,
    ) -> None:
        super().__init__(problem)
        self.asked = asked
        self.progress = progress
        self.waited = waited


class Transport:
    """Sends requests for many threads; an answer that is no answer is retried within a minute.

    At most ``jobs`` are under way at one server, fewer where it can't keep up with more. With a
    ``reach`` no others are asked than it allows.
    """

    def __init__(
        self,
        *,
        jobs: int = 32,
        retry_for: float = RETRY_FOR,
        clock: Clock | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._retry_for = retry_for
        self._stopped = threading.Event()
        # A wait of the ordinary clock ends when the transport is closed.
        self._clock = clock or Clock(sleep=lambda seconds: _ignore(self._stopped.wait(seconds)))
        self._jobs = jobs
        # A pause is sat out even by who doesn't ask twice.
        self._patience = max(retry_for, _LONGEST_PAUSE)
        self._gates: dict[_Origin, Gate] = {}
        self._lock = threading.Lock()
        self._exchange = Exchange(jobs=jobs, clock=self._clock, reach=reach)

    def close(self) -> None:
        """End what is under way, and give the connections back."""
        self._stopped.set()
        with self._lock:
            gates = list(self._gates.values())
        for gate in gates:
            gate.close()
        self._exchange.close()

    def limited(self) -> list[Limited]:
        """The servers that limited requests, and what came of it."""
        with self._lock:
            told = [(origin, *gate.told()) for origin, gate in self._gates.items()]
        return [Limited(host, times, rate) for (_, host, _), times, rate in told if times]

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

        Raises UnansweredError, naming method and ``url``, when the time is over or the transport
        closed.
        """
        start, attempt = self._clock.now(), 0
        while True:
            if self._stopped.is_set():
                raise UnansweredError(f"{method} {shown(url)}: given up, the run has ended.")
            try:
                return action()
            except PassingError as error:
                delay = min(0.25 * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311  jitter
                delay = max(error.asked or 0, delay)
                start += error.waited
                if error.progress:
                    start, attempt = self._clock.now(), 0
                # What takes long by itself would use the time up in one try.
                over = self._clock.now() + delay - start > self._retry_for
                if over and (attempt + 1 >= tries or not self._retry_for):
                    raise UnansweredError(
                        f"{method} {shown(url)}: {error}, for {self._retry_for:g} seconds. "
                        "Try again later, or check the address and the network."
                    ) from error
            self._clock.sleep(delay)
            attempt += 1

    def _try(self, question: Question) -> Answer:
        before = question.sink.tell() if question.sink is not None else 0
        try:
            # No request may be made within another one: it would wait for the other's turn.
            with self._gate(question.url).turn() as turn:
                answer = self._exchange.ask(question)
                asked = retry_after(answer.headers.get("Retry-After"))
                turn.asked, turn.how = asked or 0.0, _how(answer.status, asked)
        except BROKEN as error:
            after = question.sink.tell() if question.sink is not None else 0
            progress = question.resume and after - before >= _PROGRESS
            raise PassingError(_explain(error), progress=progress, waited=turn.waited) from error
        except ShutError as error:
            raise self._shut_out(question) from error
        if turn.how is not How.WELL:
            raise PassingError(f"answered {answer.status}", asked=asked, waited=turn.waited)
        if answer.status == 416 and question.resume:
            # The sink held more than there is, and is empty now.
            raise PassingError("answered 416")
        return answer

    def _gate(self, url: str) -> Gate:
        origin = _origin(url)
        gate = self._gates.get(origin)
        if gate is not None:
            return gate
        with self._lock:
            gate = Gate(self._jobs, self._clock, patience=self._patience)
            if self._stopped.is_set():
                gate.close()
            return self._gates.setdefault(origin, gate)

    def _shut_out(self, question: Question) -> UnansweredError:
        what = f"{question.method} {shown(question.url)}"
        if self._stopped.is_set():
            return UnansweredError(f"{what}: given up, the run has ended.")
        return UnansweredError(
            f"{what}: the server limits requests, and let none in for {self._patience:g} seconds. "
            "Try again later, or use fewer --jobs."
        )


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


def _how(status: int, asked: float | None) -> How:
    """Whether another try may fare better: 429, 5xx, and GitHub's 403 that says when."""
    if status == 429 or (asked is not None and (status == 403 or _is_trouble(status))):
        return How.LIMITED
    # By itself a 5xx may be about one file alone.
    return How.TROUBLE if _is_trouble(status) else How.WELL


def _is_trouble(status: int) -> bool:
    return status >= 500 and status not in _FINAL


def _explain(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    return f"the connection failed ({innermost(error)})"
