"""How many requests may be under way at one server, and how many may begin in a second.

Nobody tells a client what a server allows, so it is found out (docs/decisions/0013-concurrency.md):
the number under way grows with every good answer and is halved by trouble; what went well in the
second before a 429 becomes the rate that is kept from then on.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto

from indexer.registry.exchange import Clock

_FIRST = 4
# Of the rate that was too much by one request: room for requests that reach the server unevenly.
_SHARE = 0.95
# Seconds over which limits are counted, as far as they are known, and as they are tried here.
_WINDOWS = (1.0, 10.0, 60.0)
# Fewer good answers than these say nothing about a rate.
_FEWEST = 5
# So many refused at once show a limit that is counted; so many let in among them, at which rate
# a server lets some in.
_CLEAR, _AMONG = 5, 20
# Two estimates this near each other agree; the one of the longer time is the better one.
_NEAR = 0.9
# A rate that was kept for so many seconds until it was hit tells enough of a limit.
_SURE = 5.0
# After so many times it is no guess any more.
_OFTEN = 4
# A guess grows by this share times the seconds for which it does, in a second.
_GROWTH = 0.01
_GENTLE = 0.1
# What is known is kept; afterwards limits may have changed.
_KEPT_FOR = 600.0
# Seconds of growth, after which there is no rate any more.
_FORGOTTEN = 60.0
# Seconds: a server that doesn't say when is asked again after the first, twice that, ...
_PAUSE, _LONGEST_PAUSE = 0.125, 15.0
_PER_SECOND = 100
_MOST_SLICES = int(_WINDOWS[-1] * _PER_SECOND)


class How(Enum):
    """How a request ended."""

    WELL = auto()
    """The server answered, whatever it said."""
    TROUBLE = auto()
    """It answered that something is wrong with it (5xx)."""
    LIMITED = auto()
    """It answered that too much is asked of it."""
    UNANSWERED = auto()
    """There was no whole answer, which may be anybody's fault."""


@dataclass(frozen=True, slots=True)
class Limited:
    """That a server limited requests: in how many rounds, and to how many a second since."""

    server: str
    times: int
    rate: float | None

    def __str__(self) -> str:
        text = f"{self.server} limited requests {self.times} time{'s' * (self.times != 1)}"
        if self.rate is None:
            return text
        return f"{text}; it was asked at most {self.rate:,.1f} times a second from then on"


class Pace:
    """One server's limits, as far as they are known. Times are seconds of any one clock.

    It neither waits nor locks: whoever sends a request asks ``begin`` before, and tells ``end``
    after it. All that is begun must be ended.
    """

    def __init__(self, most: int) -> None:
        self.under_way = 0
        self.times = 0
        self.is_shut = False
        self.opens = 0.0
        # The request that tries a server that is shut, by when it was sent.
        self._trial: float | None = None
        self._most = most
        self._limit = float(min(_FIRST, most))
        self._doubles = True
        # When it was halved last: what was begun before that says nothing new.
        self._cut = float("-inf")
        # Good answers by when they were asked for, and when the first of all was.
        self._well: dict[int, int] = {}
        self._since = float("inf")
        self._rate: float | None = None
        self._next = 0.0
        self._grows_from = 0.0
        # The last time that it was shut: when the first and the last refused request were begun,
        # when it said so, how often it was asked again; and when it answered again.
        self._refused = self._refused_last = self._said = self._opened = float("-inf")
        self._again = self._refusals = 0
        # What was let in of that which was under way then: all, and the later half.
        self._among = self._late = 0
        self._refused_before = float("-inf")

    @property
    def limit(self) -> int:
        """How many may be under way at a server that isn't shut."""
        return int(self._limit)

    @property
    def free(self) -> int:
        """How many more may begin; one at a server that is shut, whatever else is under way.

        A download that was begun before may take half an hour.
        """
        if self.is_shut:
            return int(self._trial is None)
        return max(self.limit - self.under_way, 0)

    @property
    def shut_since(self) -> float:
        """When it was shut last."""
        return self._said

    def rate(self, now: float) -> float | None:
        """How many may begin in a second; None: as many as there are."""
        if self._rate is None or now <= self._grows_from:
            return self._rate
        grown = now - self._grows_from
        # By then it would be many thousands of times as much.
        return None if grown > _FORGOTTEN else self._rate * math.exp(_GROWTH / 2 * grown**2)

    def learnt(self, now: float) -> float | None:
        """The rate that was found out, as long as it is kept to."""
        return None if self.rate(now) is None else self._rate

    def begin(self, now: float) -> float | None:
        """The time at which a request may be sent, which counts as under way from now on.

        None: not before ``opens``, or before another one has ended.
        """
        if now < self.opens or not self.free:
            return None
        self.under_way += 1
        if self.is_shut:
            self._trial = now
            return now
        rate = self.rate(now)
        if rate is None:
            return now
        at = max(self._next, now)
        self._next = at + 1 / rate
        return at

    def give_back(self) -> None:
        """What was begun was not sent."""
        self.under_way -= 1

    def end(self, begun: float, now: float, how: How, asked: float = 0.0) -> None:
        """A request that was sent at ``begun`` has ended; the server asked for a pause."""
        self.under_way -= 1
        if begun == self._trial:
            self._trial = None
        if how is How.WELL:
            self._went_well(begun)
        elif how is not How.UNANSWERED:
            if how is How.LIMITED:
                self._was_refused(begun, now)
                self._hold(now + asked)
            if begun > self._cut:
                self._limit = max(1.0, self._limit / 2)
                self._doubles = False
                self._cut = now

    def _hold(self, until: float) -> None:
        """Nothing begins before this time."""
        self.opens = max(self.opens, until)

    def _went_well(self, begun: float) -> None:
        at = int(begun * _PER_SECOND)
        self._since = min(self._since, begun)
        self._well[at] = self._well.get(at, 0) + 1
        if self._refused < begun <= self._said:
            self._among += 1
            self._late += begun > (self._refused + self._said) / 2
        if len(self._well) > 2 * _MOST_SLICES:
            self._well = {k: v for k, v in self._well.items() if k > at - _MOST_SLICES}
        if self.is_shut and begun > self._said:
            self.is_shut = False
            self._learn(begun)
        if begun <= self._cut:
            return
        grown = self._limit + (1.0 if self._doubles else 1 / self._limit)
        self._limit = min(grown, float(self._most))

    def _was_refused(self, begun: float, now: float) -> None:
        if self.is_shut:
            self._refusals += 1
            if begun > self._cut:
                self._refused_last = begun
                self._again += 1
                self._hold(now + min(_PAUSE * 2**self._again, _LONGEST_PAUSE))
            return
        if begun <= self._said:
            return
        self.is_shut, self._trial, self._again, self._refusals = True, None, 0, 1
        self._among = self._late = 0
        self.times += 1
        self._refused_before, self._refused = self._refused, begun
        self._refused_last, self._said = begun, now
        self._hold(now + _PAUSE)
        if self._count(1.0) >= _FEWEST:
            # By then a limit that is counted by the second is open again.
            self._hold(now + _WINDOWS[0])

    def _count(self, seconds: float) -> int:
        """How many that were begun in the seconds before the refused one went well."""
        last = int(self._refused * _PER_SECOND)
        first = last - int(seconds * _PER_SECOND)
        return sum(count for at, count in self._well.items() if first < at <= last)

    def _learn(self, now: float) -> None:
        """It answers again: how much it takes in a second is what it took before."""
        shut = self._refused_last - self._refused
        window = next((one for one in _WINDOWS if one > shut), _WINDOWS[-1])
        count = self._count(window)
        if count < _FEWEST:
            return
        found = count / window
        if self._rate is None:
            found, is_sure = self._first(found)
        else:
            found, is_sure = self._corrected(found)
        self._rate = found * _SHARE
        self._next = self._opened = now
        self._grows_from = now + _KEPT_FOR if is_sure else now

    def _first(self, found: float) -> tuple[float, bool]:
        """A rate that nothing was known of before, and whether it can be relied upon."""
        # What was under way when it began to refuse: a store that fills up all the time lets
        # some of it in, evenly; a limit that is counted by the second none of it.
        if self._among >= _FEWEST and self._late > self._among / 3:
            among = self._among / (self._said - self._refused)
            is_young = self._refused - self._since < _WINDOWS[0]
            if is_young or among < _NEAR * found:
                return among, self._among >= _AMONG
            return found, True
        return found, _CLEAR <= self._refusals <= found

    def _corrected(self, found: float) -> tuple[float, bool]:
        """A rate where another one was hit, and whether it can be relied upon."""
        grown = self._refused - self._grows_from
        if grown > 0:
            growth = _GROWTH * grown
            return found / (1 + growth / 2), growth < _GENTLE or self.times >= _OFTEN
        # Between two moments when nothing was left, no more was given than comes back.
        seconds = min(self._refused - self._refused_before, _WINDOWS[-1])
        least = self._count(seconds) / seconds
        is_sure = self._refused - self._opened >= _SURE or self.times >= _OFTEN
        return max(min(found, least), found / 2), is_sure


class ShutError(Exception):
    """A server has let nobody in for as long as one waits; or the run has ended."""


@dataclass(slots=True)
class Turn:
    """One request: when it was sent, how it ended, and for what pause the server asked.

    ``waited`` is for how many seconds it wasn't its turn, though the server let others in.
    """

    begun: float | None = None
    waited: float = 0.0
    how: How = How.UNANSWERED
    asked: float = 0.0


class Gate:
    """Lets the requests of many threads to one server through, at its pace."""

    def __init__(self, most: int, clock: Clock, *, patience: float) -> None:
        self._pace = Pace(most)
        self._clock = clock
        self._patience = patience
        self._changed = threading.Condition()
        self._is_closed = False

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Wait for one's turn; within, a request is under way, and how it ended is told.

        Raises ShutError where the server lets nobody in for the patience, or after ``close``.
        """
        turn = Turn()
        try:
            self._wait(turn)
            yield turn
        finally:
            if turn.begun is not None:
                with self._changed:
                    self._pace.end(turn.begun, self._clock.now(), turn.how, turn.asked)
                    self._wake()

    @property
    def under_way(self) -> int:
        """How many have their turn now."""
        with self._changed:
            return self._pace.under_way

    def close(self) -> None:
        """Whoever waits gets an error at once."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def told(self) -> tuple[int, float | None]:
        """How often the server began to limit requests, and to how many a second they are kept."""
        with self._changed:
            return self._pace.times, self._pace.learnt(self._clock.now())

    def _wait(self, turn: Turn) -> None:
        since = self._clock.now()
        while turn.begun is None:
            with self._changed:
                left = self._take(turn, since)
            if left > 0:
                self._clock.sleep(left)
                with self._changed:
                    self._look_again(turn)

    def _take(self, turn: Turn, since: float) -> float:
        """Seconds to wait: until the request may be sent, or until asking for it makes sense."""
        while True:
            now, pace = self._clock.now(), self._pace
            shut_for = now - max(since, pace.shut_since) if pace.is_shut else 0.0
            if self._is_closed or shut_for >= self._patience:
                # Somebody else may have been woken in its place.
                self._changed.notify_all()
                raise ShutError
            turn.begun = pace.begin(now)
            if turn.begun is not None:
                turn.waited = max(turn.begun - max(since, pace.opens), 0.0)
                return turn.begun - now
            if now < pace.opens:
                return pace.opens - now
            try:
                self._changed.wait()
            except BaseException:
                self._changed.notify_all()
                raise

    def _look_again(self, turn: Turn) -> None:
        """After sleeping: the server may have shut, or the run have ended, meanwhile."""
        if turn.begun is None:
            return
        now = self._clock.now()
        if self._is_closed or now < self._pace.opens:
            turn.begun = None
            self._pace.give_back()
            self._wake()
        else:
            turn.begun = max(turn.begun, now)

    def _wake(self) -> None:
        if self._pace.free:
            self._changed.notify(self._pace.free)
