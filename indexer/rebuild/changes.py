"""Which repositories needn't be listed, by what a change feed says and the state remembers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from indexer.rebuild.state import Listed, State
from indexer.registry.github import Stamp

# Seconds. Clocks differ, and within the second of a change there may be another one.
MARGIN = 300
# However quiet the feed is, a repository is listed once a day: nobody promises that it tells all.
LISTED_EVERY = 86_400
_AT_ONCE = 1000


class Freshness(Enum):
    """What a feed's stamp and what is remembered come to."""

    CHANGED = auto()
    UNCHANGED = auto()
    # Unchanged by the feed, and to be listed all the same.
    OVERDUE = auto()


def judge(listed: Listed, stamp: Stamp | None, now: int) -> Freshness:
    """Whether a repository has changed since it was listed. ``now`` is in seconds since 1970."""
    if stamp is None or stamp.text != listed.updated or listed.at < stamp.seconds + MARGIN:
        return Freshness.CHANGED
    # A time that lies ahead was noted by a clock that was wrong, then or now.
    age = now - listed.at
    return Freshness.UNCHANGED if 0 <= age < LISTED_EVERY else Freshness.OVERDUE


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A repository that needn't be listed: how many tags it has, and whether any isn't indexed."""

    tags: int
    unsettled: bool


@dataclass(slots=True)
class Open:
    """A repository that was listed in this run and isn't read to the end yet.

    ``unread`` counts its tags that are to be read, and the listing itself. It is in doubt where
    something of it couldn't be read: the next run lists it again. ``packages`` are its tags that
    may be packages, and ``verdicts`` counts the verdicts that have to be read before those;
    ``ground`` is what it is judged on.
    """

    repository: str
    overdue: bool
    unread: int = 1
    in_doubt: bool = False
    packages: Collection[str] = ()
    verdicts: int = 0
    ground: str = ""


class Listings:
    """The repositories of one subdir: what needs no listing, and what was listed and read."""

    def __init__(self, state: State, subdir: str, stamps: Mapping[str, Stamp], now: int) -> None:
        """``stamps`` are what a feed says now, by repository; empty where there is none."""
        self._state = state
        self._subdir = subdir
        self._stamps = stamps
        self._now = now
        self._unchanged: dict[str, Unchanged] = {}
        self._overdue: set[str] = set()
        self._noted: list[tuple[str, int, str]] = []
        for listed in state.listed(subdir) if stamps else ():
            verdict = judge(listed, stamps.get(listed.repository), now)
            if verdict is Freshness.UNCHANGED:
                self._unchanged[listed.repository] = Unchanged(listed.tags, listed.unsettled)
            elif verdict is Freshness.OVERDUE:
                self._overdue.add(listed.repository)

    def unchanged(self, repository: str) -> Unchanged | None:
        """What there is of a repository that needn't be listed; None where it has to be."""
        return self._unchanged.get(repository)

    def begin(self, repository: str) -> Open:
        """A repository was listed, and its tags are to be read now."""
        return Open(repository, repository in self._overdue)

    def step(self, part: Open | None) -> None:
        """One thing less of it is to be read; after the last, it needn't be listed again.

        None is what was looked at without a listing.
        """
        if part is None:
            return
        part.unread -= 1
        if part.unread:
            return
        stamp = self._stamps.get(part.repository)
        if part.in_doubt:
            self._state.doubt(self._subdir, part.repository)
        elif stamp is not None:
            self._noted.append((part.repository, self._now, stamp.text))
            if len(self._noted) >= _AT_ONCE:
                self.flush()

    def flush(self) -> None:
        """Tell the state, whose next commit keeps it, of what was read to the end."""
        self._state.note_listed(self._subdir, self._noted)
        self._noted.clear()
