"""The same work on many items, in threads, in order, and never far ahead of who takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Items under way or waiting to be taken, for each thread: results aren't all held at once.
_AHEAD = 4


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    jobs: int,
    abort: Callable[[], None] = lambda: None,
) -> Generator[R, None, None]:
    """What ``function`` makes of each item, in the order of the items.

    What it raises is raised here, at its place; whatever hasn't begun by then never does, and
    ``abort`` is to end what is under way.
    """
    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(function, item))
                if len(under_way) >= _AHEAD * jobs:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            # Whoever takes no more has nothing against what is under way.
            if not isinstance(error, GeneratorExit):
                abort()
            raise
