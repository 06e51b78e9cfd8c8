"""Registries that limit requests, and workers that ask them, in a time that nobody waits for.

The workers drive the same `Pace` as the transport does, by a queue of events in one thread.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Protocol

from indexer.registry.pace import How, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Limiter(Protocol):
    """What lets requests in, or doesn't."""

    def refuses(self, now: float) -> float | None:
        """None where a request is let in; else the seconds until one will be."""
        ...


class Sliding:
    """So many in any window of so many seconds (a log of the requests let in)."""

    def __init__(self, most: int, window: float = 1.0) -> None:
        self._most = most
        self._window = window
        self._log: deque[float] = deque()

    def refuses(self, now: float) -> float | None:
        while self._log and self._log[0] <= now - self._window:
            self._log.popleft()
        if len(self._log) >= self._most:
            return self._log[0] + self._window - now
        self._log.append(now)
        return None


class Fixed:
    """So many in each window, one after the other; the first begins at ``phase``."""

    def __init__(self, most: int, window: float = 1.0, phase: float = 0.0) -> None:
        self._most = most
        self._window = window
        self._phase = phase
        self._current = -1
        self._count = 0

    def refuses(self, now: float) -> float | None:
        current = int((now + self._phase) / self._window)
        if current != self._current:
            self._current, self._count = current, 0
        if self._count >= self._most:
            return (current + 1) * self._window - self._phase - now
        self._count += 1
        return None


class Bucket:
    """So many in a second, and a store of so many more that fills up when less is asked."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = 0.0

    def refuses(self, now: float) -> float | None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return None


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: when it was sent and answered, and with what status."""

    begun: float
    ended: float
    status: int


@dataclass(slots=True)
class _Request:
    worker: int
    begun: float
    status: int = 0
    asked: float = 0.0


@dataclass(slots=True)
class Simulation:
    """Workers that have always something to ask, of a registry that answers after a while.

    ``retry_after`` makes the header's seconds of those until the limiter is open again (None:
    no header). ``status`` may answer a request that was let in with something else than 200.
    """

    limiter: Limiter
    jobs: int = 64
    latency: float = 0.04
    jitter: float = 0.0
    retry_after: Callable[[float], float] | None = None
    status: Callable[[float, int], int] = lambda _now, _worker: 200
    sent: list[Sent] = field(default_factory=list)
    most_under_way: int = 0
    now: float = 0.0
    _pace: Pace = field(init=False)
    _chance: random.Random = field(init=False)
    _idle: deque[int] = field(init=False)
    _tries: list[int] = field(init=False)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)
    _woken: float = -1.0

    def __post_init__(self) -> None:
        self._pace = Pace(self.jobs)
        self._chance = random.Random(1)  # noqa: S311  nobody's secret
        self._idle = deque(range(self.jobs))
        self._tries = [0] * self.jobs

    def run(self, seconds: float) -> Pace:
        """All that happens in so much virtual time."""
        self._dispatch()
        while self._events:
            self.now, _, happen = heapq.heappop(self._events)
            if self.now > seconds:
                break
            happen()
            self._dispatch()
        return self._pace

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _dispatch(self) -> None:
        while self._idle:
            begun = self._pace.begin(self.now)
            if begun is not None:
                self._at(begun, partial(self._send, _Request(self._idle.popleft(), begun)))
                continue
            opens = self._pace.opens
            if opens > max(self.now, self._woken):
                self._woken = opens
                self._at(opens, lambda: None)
            return

    def _on_the_way(self) -> float:
        return self.now + self.latency / 2 + self._chance.random() * self.jitter

    def _send(self, request: _Request) -> None:
        if self._pace.opens > self.now:
            # It was shut after the worker was given its time.
            self._pace.give_back()
            self._idle.appendleft(request.worker)
            return
        self.most_under_way = max(self.most_under_way, self._pace.under_way)
        self._at(self._on_the_way(), partial(self._arrive, request))

    def _arrive(self, request: _Request) -> None:
        left = self.limiter.refuses(self.now)
        request.status = 429 if left is not None else self.status(self.now, request.worker)
        if left is not None and self.retry_after is not None:
            request.asked = self.retry_after(left)
        self._at(self._on_the_way(), partial(self._answer, request))

    def _answer(self, request: _Request) -> None:
        worker, status = request.worker, request.status
        self.sent.append(Sent(request.begun, self.now, status))
        how = How.WELL if status == 200 else How.LIMITED if status == 429 else How.TROUBLE
        self._pace.end(request.begun, self.now, how, request.asked)
        if how is How.WELL:
            self._tries[worker] = 0
            self._idle.append(worker)
            return
        # As a request is tried again.
        delay = min(0.25 * 2 ** self._tries[worker], 30) * self._chance.uniform(0.5, 1)
        self._tries[worker] += 1
        self._at(self.now + max(request.asked, delay), lambda: self._idle.append(worker))


def episodes(sent: list[Sent]) -> list[float]:
    """When limits were hit: 429s to requests begun after the one before was answered."""
    found: list[float] = []
    known = float("-inf")
    for one in sorted((s for s in sent if s.status == 429), key=lambda s: s.ended):
        if one.begun > known:
            found.append(one.ended)
            known = one.ended
    return found
