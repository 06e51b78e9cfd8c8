"""How far a job is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol, TypeVar

T = TypeVar("T")

# Items between two steps of a bar: a step for each would cost more than the work.
_EVERY = 1000


# What is counted: things, or bytes that are moved, of which the rate is of interest.
Unit = Literal["items", "bytes"]


class Progress(Protocol):
    """Somebody who shows how far a job is. Parts begin and end in one thread; any may step."""

    def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
        """A part of ``total`` steps begins; None where nobody knows how many there are."""
        ...

    def step(self, count: int = 1) -> None:
        """So many steps are done; below zero where some have to be done again."""
        ...

    def end(self) -> None:
        """The part is over."""
        ...


class Silence:
    """Shows nothing."""

    def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
        """Nothing."""

    def step(self, count: int = 1) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


SILENCE = Silence()


def counted(
    items: Iterable[T], progress: Progress, steps: Callable[[T], int] = lambda _: 1
) -> Iterator[T]:
    """The same items, each so many ``steps``, with one of the bar for every thousand of them."""
    since = 0
    for item in items:
        yield item
        since += steps(item)
        if since >= _EVERY:
            progress.step(since)
            since = 0
    progress.step(since)
