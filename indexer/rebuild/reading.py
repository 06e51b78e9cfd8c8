"""From repositories to what is remembered of them: lists tags, reads what is new or waiting.

Worker threads ask the registry and parse; the state is touched by the calling thread alone.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from indexer.channel import codec
from indexer.channel.artifact import Fault, Place
from indexer.channel.policy import Policy
from indexer.errors import DeniedError, NotFoundError, RegistryError, printable
from indexer.fetching import Fetcher, Outcome
from indexer.parallel import in_order
from indexer.rebuild.changes import Listings, Open, Unchanged
from indexer.rebuild.state import State
from indexer.registry.address import is_tag
from indexer.registry.base import Registry
from indexer.registry.content import Digest
from indexer.registry.github import Stamp

_COMMIT_EVERY = 1000
# A worker is given so many tags at once, and no more than this part of those that are waiting:
# handing one over takes as long as understanding it.
_TOGETHER, _SPLIT = 8, 4


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An artifact (or one file of it) that is not in the index, and why."""

    subdir: str
    repository: str
    tag: str
    file_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read of one subdir.

    ``due`` are tags to look at again, by repository. ``indexed`` are repositories with
    something in the previous index: if one of them can't be listed, the reading is
    incomplete, unless ``allow_drop``. ``named``: a person named the packages, so all their
    tags are looked at again, and they needn't all be in this subdir. ``stamps`` are what a
    change feed says of repositories: what is unchanged by that isn't listed.
    """

    subdir: str
    repositories: Collection[str]
    due: Mapping[str, Collection[str]] = field(default_factory=dict)
    indexed: Collection[str] = ()
    allow_drop: bool = False
    named: bool = False
    stamps: Mapping[str, Stamp] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What reading a subdir came to.

    Of the ``repositories``, those ``unchanged`` by a change feed weren't listed. ``untold`` had
    other tags than were remembered, though by the feed they were unchanged, too.
    """

    repositories: int = 0
    unchanged: int = 0
    untold: int = 0
    tags: int = 0
    read: int = 0
    looked_again: int = 0
    denied: int = 0
    passed_over: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Task:
    place: Place
    is_known: bool
    part_of: Open | None = None


@dataclass(slots=True)
class _Fetched:
    """What tags led to, in order, until the first of which the registry said nothing."""

    outcomes: list[Outcome]
    error: Exception | None = None


class Reader:
    """Reads a channel's subdirs into the state."""

    def __init__(
        self,
        registry: Registry,
        channel: str,
        state: State,
        *,
        policy: Policy,
        jobs: int,
        now: int,
        advance: Callable[[], None] = lambda: None,
        abort: Callable[[], None] = lambda: None,
    ) -> None:
        """``advance`` is told of every repository, ``abort`` is to end all that is under way."""
        self._registry = registry
        self._fetcher = Fetcher(registry, channel, policy, now)
        self._state = state
        self._jobs = jobs
        self._now = now
        self._advance = advance
        self._abort = abort

    def read(self, selection: Selection) -> Tally:
        """Read one subdir. Raises RegistryError where it can't be read to the end.

        What was read until then is kept in the state: the next run goes on from there.
        """
        tally = Tally()
        listings = Listings(self._state, selection.subdir, selection.stamps, self._now)
        try:
            self._work(selection, listings, tally)
        finally:
            listings.flush()
            self._state.commit()
        return tally

    def forget_others(
        self, subdir: str, listed: Collection[str], selected: Callable[[str], bool]
    ) -> None:
        """Forget the selected repositories that are named no more, and their records."""
        for repository in self._state.repositories(subdir):
            if repository not in listed and selected(repository):
                for tag in self._state.tags(subdir, repository):
                    self._state.forget(Place(subdir, repository, tag), self._now)
                self._state.doubt(subdir, repository)
        self._state.commit()

    def _work(self, selection: Selection, listings: Listings, tally: Tally) -> None:
        repositories = deque(selection.repositories)
        tasks: deque[_Task] = deque()
        # What to do in this thread with a worker's result.
        done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

        def read(batch: list[_Task]) -> None:
            known = [self._state.digests(task.place) for task in batch]
            future = pool.submit(self._fetch_each, batch, known)
            future.add_done_callback(
                lambda f: done.put(lambda: self._take_each(batch, f.result(), listings, tally))
            )

        def list_tags(repository: str) -> None:
            def take(future: Future[list[str]]) -> None:
                part = listings.begin(repository)
                tasks.extend(self._listed(part, future, selection, tally))
                listings.step(part)

            full_name = self._fetcher.full_name(selection.subdir, repository)
            future = pool.submit(self._registry.tags, full_name)
            future.add_done_callback(lambda f: done.put(lambda: take(f)))

        def submit_next() -> bool:
            while not tasks:
                if not repositories:
                    return False
                repository = repositories.popleft()
                unchanged = listings.unchanged(repository)
                if unchanged is None:
                    list_tags(repository)
                    return True
                tasks.extend(self._remembered(repository, unchanged, selection, tally))
            # While there is more to list, others have enough to do.
            parts = _SPLIT if len(repositories) >= self._jobs else self._jobs
            read(_batch(tasks, parts))
            return True

        with ThreadPoolExecutor(self._jobs, thread_name_prefix="read") as pool:
            try:
                self._keep_busy(submit_next, done)
            except BaseException:
                # Nothing more is asked, and whoever hangs in a request needn't be waited for.
                pool.shutdown(wait=False, cancel_futures=True)
                self._abort()
                raise

    def _fetch_each(self, batch: Sequence[_Task], known: Sequence[Collection[Digest]]) -> _Fetched:
        """Read some tags, one after the other."""
        fetched = _Fetched([])
        try:
            for task, digests in zip(batch, known, strict=True):
                fetched.outcomes.append(self._fetcher.fetch(task.place, digests))
        except Exception as error:  # noqa: BLE001  raised by whoever takes what was read before it
            fetched.error = error
        return fetched

    def _keep_busy(
        self, submit_next: Callable[[], bool], done: queue.SimpleQueue[Callable[[], None]]
    ) -> None:
        under_way = 0
        while True:
            while under_way < 2 * self._jobs and submit_next():
                under_way += 1
            if not under_way:
                return
            done.get()()
            under_way -= 1

    def _remembered(
        self, repository: str, unchanged: Unchanged, selection: Selection, tally: Tally
    ) -> Iterator[_Task]:
        """What has to be looked at in a repository that needn't be listed."""
        tally.repositories += 1
        tally.unchanged += 1
        tally.tags += unchanged.tags
        self._advance()
        due = selection.due.get(repository, ())
        if unchanged.unsettled or due:
            known = self._state.tags(selection.subdir, repository)
            for tag in sorted(known):
                if known[tag] != "indexed" or tag in due:
                    yield _Task(Place(selection.subdir, repository, tag), is_known=True)

    def _listed(
        self, part: Open, future: Future[list[str]], selection: Selection, tally: Tally
    ) -> Iterator[_Task]:
        """Compare a repository's tags with what is remembered; give what has to be read."""
        subdir, repository = selection.subdir, part.repository
        tally.repositories += 1
        self._advance()
        known = self._state.tags(subdir, repository)
        try:
            tags = future.result()
        except (NotFoundError, DeniedError) as error:
            if repository in selection.indexed and not selection.allow_drop:
                name = self._fetcher.full_name(subdir, repository)
                raise RegistryError(
                    f"{name} was indexed before and is still named, "
                    f"but can't be listed: {error} If it is meant to go, say --allow-drop."
                ) from error
            tally.denied += isinstance(error, DeniedError)
            tally.passed_over.append(str(error))
            tags = []
            part.in_doubt = True
        packages = {tag for tag in tags if codec.is_package_tag(tag)}
        tally.tags += len(packages)
        tally.untold += part.overdue and known.keys() != packages
        for tag in known.keys() - packages:
            self._state.forget(Place(subdir, repository, tag), self._now)
        due = selection.due.get(repository, ())
        for tag in sorted(packages):
            place, seen = Place(subdir, repository, tag), known.get(tag)
            if not is_tag(tag):
                tally.left_out.append(_left_out(place, Fault(f"{tag[:200]!r} can't be a tag")))
                part.in_doubt = True
            elif seen != "indexed" or tag in due or selection.named:
                part.unread += 1
                yield _Task(place, seen is not None, part)

    def look_again(self, places: Collection[Place], tally: Tally) -> None:
        """Look at single tags again, but for those that this run has looked at already."""
        tasks = [_Task(p, is_known=True) for p in places if self._state.checked(p) != self._now]
        known = ((task.place, self._state.digests(task.place)) for task in tasks)
        outcomes = in_order(
            lambda item: self._fetcher.fetch(*item), known, jobs=self._jobs, abort=self._abort
        )
        for task, outcome in zip(tasks, outcomes, strict=True):
            self._take(task, outcome, tally)
        self._state.commit()

    def _take_each(
        self, batch: Sequence[_Task], fetched: _Fetched, listings: Listings, tally: Tally
    ) -> None:
        for task, outcome in zip(batch, fetched.outcomes, strict=False):
            self._take(task, outcome, tally)
            listings.step(task.part_of)
        if fetched.error is not None:
            raise fetched.error

    def _take(self, task: _Task, outcome: Outcome, tally: Tally) -> None:
        tally.read += not task.is_known
        tally.looked_again += task.is_known
        if outcome.same and outcome.digest is not None:
            self._state.look(task.place, outcome.digest, self._now)
        elif outcome.digest is None:
            self._state.forget(task.place, self._now)
            self._state.doubt(task.place.subdir, task.place.repository)
            if task.part_of is not None:
                task.part_of.in_doubt = True
            tally.left_out += [_left_out(task.place, fault) for fault in outcome.reading.faults]
        else:
            self._state.put(task.place, outcome.digest, outcome.status, outcome.reading, self._now)
        if (tally.read + tally.looked_again) % _COMMIT_EVERY == 0:
            self._state.commit()


def refuse_if_all_denied(tallies: Sequence[Tally], *, named: bool) -> None:
    """Raise RegistryError where not one repository of a subdir answers: then none is absent.

    With ``named`` packages, where not one of all subdirs' does.
    """
    for part in [tallies] if named else [[tally] for tally in tallies]:
        asked = sum(tally.repositories for tally in part)
        if asked and sum(tally.denied for tally in part) == asked:
            reason = next(text for tally in part for text in tally.passed_over)
            raise RegistryError(
                f"Not one of {asked} repositories could be read ({reason}). Check the "
                "registry's address, the channel and the credentials."
            )


def _batch(tasks: deque[_Task], parts: int) -> list[_Task]:
    """What one worker gets of the tasks that wait: a part of them, and at least one."""
    return [tasks.popleft() for _ in range(min(_TOGETHER, -(-len(tasks) // parts)))]


def _left_out(place: Place, fault: Fault) -> LeftOut:
    tag = printable(place.tag, 128)
    return LeftOut(place.subdir, place.repository, tag, fault.file_name, fault.reason)
