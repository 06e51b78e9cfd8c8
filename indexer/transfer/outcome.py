"""What a transfer came to; and doing the same to many artifacts, of which some may fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from indexer.errors import ContentError, LoginError, RegistryError, UnansweredError, printable
from indexer.parallel import in_order
from indexer.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

# Of more files than these, only the number is kept.
_NAMED = 10_000
# So many failures in a row, with no answer from anywhere, are no accident of single artifacts.
_IN_A_ROW = 16


@dataclass(frozen=True, slots=True)
class Item:
    """One file that was moved, or would be. ``size`` is in bytes; ``sent`` is what of it went.

    Without ``sent``, that is all of it. ``reference`` is what holds it in the registry,
    ``host/repository:tag``; ``digest`` that of the manifest there, empty where none was written.
    ``detail`` is what else there is to tell people, for what isn't about bytes.
    """

    subdir: str
    file_name: str
    sha256: str
    size: int
    reference: str
    digest: str = ""
    sent: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.subdir}/{self.file_name}"


@dataclass(frozen=True, slots=True)
class Failure:
    """What couldn't be done, and why; both are short and printable."""

    what: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "what", printable(self.what, 300))
        object.__setattr__(self, "reason", printable(self.reason))


@dataclass(slots=True)
class Files:
    """Some files: how many, how many bytes of them went, and the first of them by name."""

    count: int = 0
    size: int = 0
    first: list[Item] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Count one more."""
        self.count += 1
        self.size += item.size if item.sent is None else item.sent
        if len(self.first) < _NAMED:
            self.first.append(item)


@dataclass(slots=True)
class Outcome:
    """What a transfer did, or with ``dry_run`` would have done.

    ``present`` counts the files that were where they belong already. What workers did is told
    by them, in ``did``: an interruption may leave nobody to take it from them.
    """

    dry_run: bool = False
    present: int = 0
    moved: Files = field(default_factory=Files)
    removed: Files = field(default_factory=Files)
    failures: list[Failure] = field(default_factory=list)
    failed: int = 0
    notes: list[str] = field(default_factory=list)
    noted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def did(self, items: Iterable[Item], failures: Iterable[Failure] = ()) -> None:
        """These were moved, and those couldn't be; from any thread."""
        with self._lock:
            for item in items:
                self.moved.add(item)
            for failure in failures:
                self.fail(failure)

    def took_out(self, items: Iterable[Item]) -> None:
        """These were removed; from any thread."""
        with self._lock:
            for item in items:
                self.removed.add(item)

    def fail(self, failure: Failure) -> None:
        """Something couldn't be done."""
        self.failed += 1
        if len(self.failures) < _NAMED:
            self.failures.append(failure)

    def note(self, text: str) -> None:
        """Something that its reader should know; from any thread."""
        with self._lock:
            self.noted += 1
            if len(self.notes) < _NAMED:
                self.notes.append(printable(text))


@dataclass(frozen=True, slots=True)
class _Failed(Generic[T]):
    item: T
    error: ContentError | RegistryError


@dataclass(frozen=True, slots=True)
class Crew:
    """Does the same to many artifacts, in threads; what is wrong with one costs that one alone."""

    outcome: Outcome
    jobs: int
    abort: Callable[[], None]

    def each(
        self, items: Iterable[T], work: Callable[[T], R], names: Callable[[T], Iterable[str]]
    ) -> Iterator[tuple[T, R]]:
        """Each item with what became of it, in order; failures go into the outcome by name.

        Raises UnansweredError where nobody answers any more, LoginError where nobody is let in.
        """

        def attempt(item: T) -> tuple[T, R] | _Failed[T]:
            try:
                return item, work(item)
            except LoginError:
                raise
            except (ContentError, RegistryError) as error:
                return _Failed(item, error)

        in_a_row = 0
        with closing(in_order(attempt, items, jobs=self.jobs, abort=self.abort)) as results:
            for result in results:
                if not isinstance(result, _Failed):
                    in_a_row = 0
                    yield result
                    continue
                for name in names(result.item):
                    self.outcome.fail(Failure(name, str(result.error)))
                in_a_row = in_a_row + 1 if isinstance(result.error, UnansweredError) else 0
                if in_a_row >= max(_IN_A_ROW, self.jobs):
                    # Whoever is still trying needn't any more.
                    self.abort()
                    raise UnansweredError(
                        f"{in_a_row} artifacts in a row got no answer: {result.error}"
                    )


def metered(progress: Progress) -> Callable[[int], None]:
    """Tells a bar of bytes how far one file is, from 0 on again when it is begun anew."""
    last = 0

    def at(position: int) -> None:
        nonlocal last
        if position != last:
            progress.step(position - last)
            last = position

    return at
