"""From repositories to what is remembered of them: lists tags, reads what is new or waiting.

Worker threads ask the registry and parse; the state is touched by the calling thread alone.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from indexer.channel import codec
from indexer.channel.artifact import Fault, Place, Status
from indexer.channel.policy import Policy
from indexer.errors import DeniedError, NotFoundError, RegistryError
from indexer.fetching import Fetcher, Outcome
from indexer.parallel import in_order
from indexer.rebuild.changes import Listings, Open, Unchanged
from indexer.rebuild.selection import Selection
from indexer.rebuild.state import State
from indexer.rebuild.tally import Tally, left_out_of, void_verdict
from indexer.rebuild.trusting import NOTHING, Answer, Judged, Trust
from indexer.registry.address import is_tag
from indexer.registry.base import Registry
from indexer.registry.content import Digest
from indexer.trust.storage import VerdictTag

_COMMIT_EVERY = 1000
# A worker is given so many tags at once, and no more than this part of those that are waiting:
# handing one over takes as long as understanding it.
_TOGETHER, _SPLIT = 8, 4


@dataclass(frozen=True, slots=True)
class _Task:
    """A tag to be read: a package's, or that of a ``verdict``."""

    place: Place
    is_known: bool
    part_of: Open | None = None
    judged: Judged = NOTHING
    verdict: VerdictTag | None = None


@dataclass(slots=True)
class _Fetched:
    """What tags led to, in order, until the first of which the registry said nothing."""

    outcomes: list[Outcome | Answer]
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
        trust: Trust | None = None,
        remember: Callable[[], None] = lambda: None,
        advance: Callable[[], None] = lambda: None,
        abort: Callable[[], None] = lambda: None,
    ) -> None:
        """``trust`` is who knows the verdicts, where the policy asks for them.

        ``remember`` is called before anything that was read is kept, ``advance`` is told of every
        repository, ``abort`` is to end all that is under way.
        """
        self._registry = registry
        self._fetcher = Fetcher(registry, channel, policy, now)
        self._state = state
        self._trust = trust
        self._remember = remember
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
            self._keep()
        return tally

    def forget_others(
        self, subdir: str, listed: Collection[str], selected: Callable[[str], bool]
    ) -> None:
        """Forget the selected repositories that are named no more, with all that was in them."""
        for repository in self._state.repositories(subdir):
            if repository not in listed and selected(repository):
                for tag in self._state.tags(subdir, repository):
                    self._state.forget(Place(subdir, repository, tag), self._now)
                self._state.doubt(subdir, repository)
        verdicts = self._state.verdicts
        for repository in verdicts.repositories(subdir):
            if repository not in listed and selected(repository):
                verdicts.forget_repository(subdir, repository)
        self._state.commit()

    def _work(self, selection: Selection, listings: Listings, tally: Tally) -> None:
        repositories = deque(selection.repositories)
        tasks: deque[_Task] = deque()
        # What to do in this thread with a worker's result.
        done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

        def read(batch: list[_Task]) -> None:
            future = pool.submit(self._fetch_each, batch, [self._known(task) for task in batch])
            take_each = partial(self._take_each, batch, selection, listings, tally)
            future.add_done_callback(
                lambda f: done.put(lambda: tasks.extend(take_each(f.result())))
            )

        def list_tags(repository: str) -> None:
            def take(future: Future[list[str]]) -> None:
                part = listings.begin(repository)
                tasks.extend(self._listed(part, future, selection, tally))
                self._step(selection.subdir, part, listings)

            full_name = self._fetcher.full_name(selection.subdir, repository)
            future = pool.submit(self._registry.tags, full_name)
            future.add_done_callback(lambda f: done.put(lambda: take(f)))

        def submit_next() -> bool:
            while not tasks:
                if not repositories:
                    return False
                repository = repositories.popleft()
                unchanged = self._unchanged(listings, selection.subdir, repository)
                if unchanged is None or repository in selection.first:
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
                fetched.outcomes.append(self._fetch(task, digests))
        except Exception as error:  # noqa: BLE001  raised by whoever takes what was read before it
            fetched.error = error
        return fetched

    def _fetch(self, task: _Task, known: Collection[Digest]) -> Outcome | Answer:
        place = task.place
        if self._trust is not None and task.verdict is not None:
            full_name = self._fetcher.full_name(place.subdir, place.repository)
            return self._trust.read(
                self._registry, full_name, place.subdir, place.repository, task.verdict
            )
        return self._fetcher.fetch(place, known, task.judged.verdicts)

    def _known(self, task: _Task) -> Collection[Digest]:
        """What needn't be read again: what was judged by the same verdicts."""
        return () if task.verdict else self._state.digests(task.place, task.judged.ground)

    def _unchanged(self, listings: Listings, subdir: str, repository: str) -> Unchanged | None:
        """What there is of a repository that needs no listing; None where it has to be listed."""
        if self._trust is not None and self._trust.has_changed(subdir, repository):
            return None
        return listings.unchanged(repository)

    def _judge(self, subdir: str, repository: str) -> Judged:
        return self._trust.judge(subdir, repository) if self._trust else NOTHING

    def _step(self, subdir: str, part: Open | None, listings: Listings) -> None:
        """One thing less of a repository is to be read."""
        listings.step(part)
        if part is not None and not part.unread and self._trust is not None:
            self._trust.settle(subdir, part.repository, part.ground)

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
                    place = Place(selection.subdir, repository, tag)
                    judged = self._judge(selection.subdir, repository)
                    yield _Task(place, is_known=True, judged=judged)

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
            tags, part.in_doubt = [], True
            if repository in selection.unlisted:
                tally.repositories -= 1
            elif repository in selection.indexed and not selection.allow_drop:
                name = self._fetcher.full_name(subdir, repository)
                raise RegistryError(
                    f"{name} was indexed before and is still named, "
                    f"but can't be listed: {error} If it is meant to go, say --allow-drop."
                ) from error
            else:
                tally.denied += isinstance(error, DeniedError)
                tally.passed_over.append(str(error))
        packages = {tag for tag in tags if codec.is_package_tag(tag)}
        tally.tags += len(packages)
        tally.untold += part.overdue and known.keys() != packages
        for tag in known.keys() - packages:
            self._state.forget(Place(subdir, repository, tag), self._now)
        part.packages = packages
        new = self._trust.compare(subdir, repository, tags) if self._trust is not None else []
        part.verdicts = len(new)
        part.unread += len(new)
        for verdict in new:
            place = Place(subdir, repository, str(verdict))
            yield _Task(place, is_known=False, part_of=part, verdict=verdict)
        if not new:
            yield from self._due(part, known, selection, tally)

    def _due(
        self, part: Open, known: Mapping[str, Status], selection: Selection, tally: Tally
    ) -> Iterator[_Task]:
        """What has to be read of a repository's packages, by its verdicts."""
        subdir, repository = selection.subdir, part.repository
        doubtful: Collection[str] = ()
        if self._trust is not None:
            part.ground = self._trust.ground(subdir, repository)
            doubtful = self._trust.doubtful(subdir, repository, part.ground)
        for tag in sorted(part.packages):
            place, seen = Place(subdir, repository, tag), known.get(tag)
            if not is_tag(tag):
                tally.left_out.append(left_out_of(place, Fault(f"{tag[:200]!r} can't be a tag")))
                part.in_doubt = True
            elif seen != "indexed" or tag in doubtful or selection.looks_again(repository, tag):
                part.unread += 1
                yield _Task(place, seen is not None, part, self._judge(subdir, repository))

    def look_again(self, places: Collection[Place], tally: Tally) -> None:
        """Look at single tags again, but for those that this run has looked at already."""
        tasks = [
            _Task(place, is_known=True, judged=self._judge(place.subdir, place.repository))
            for place in sorted(places, key=lambda place: place.repository)
            if self._state.checked(place) != self._now
        ]
        items = ((task, self._known(task)) for task in tasks)
        outcomes = in_order(
            lambda item: self._fetcher.fetch(item[0].place, item[1], item[0].judged.verdicts),
            items,
            jobs=self._jobs,
            abort=self._abort,
        )
        for task, outcome in zip(tasks, outcomes, strict=True):
            self._take_package(task, outcome, tally)
        self._keep()

    def _take_each(
        self,
        batch: Sequence[_Task],
        selection: Selection,
        listings: Listings,
        tally: Tally,
        fetched: _Fetched,
    ) -> Iterator[_Task]:
        """Remember what a worker read, as far as it came; gives what is to be read after it."""
        for task, outcome in zip(batch, fetched.outcomes, strict=False):
            yield from self._take(task, outcome, selection, tally)
            self._step(task.place.subdir, task.part_of, listings)
        if fetched.error is not None:
            raise fetched.error

    def _take(
        self, task: _Task, outcome: Outcome | Answer, selection: Selection, tally: Tally
    ) -> Iterable[_Task]:
        """Remember what was read; gives what is to be read after it."""
        if isinstance(outcome, Outcome):
            self._take_package(task, outcome, tally)
            return ()
        part, place = task.part_of, task.place
        if self._trust is None or task.verdict is None or part is None:
            return ()
        tally.verdicts += 1
        self._commit_now_and_then(tally)
        self._trust.take(place.subdir, place.repository, task.verdict, outcome)
        if outcome.is_lost:
            part.in_doubt = True
            tally.left_out.append(left_out_of(place, void_verdict(outcome.reason)))
        part.verdicts -= 1
        if part.verdicts:
            return ()
        known = self._state.tags(place.subdir, place.repository)
        return self._due(part, known, selection, tally)

    def _commit_now_and_then(self, tally: Tally) -> None:
        if (tally.read + tally.looked_again + tally.verdicts) % _COMMIT_EVERY == 0:
            self._keep()

    def _keep(self) -> None:
        """Keep what was read. Of a no, the state may be lost, and its verdict deleted."""
        self._remember()
        self._state.commit()

    def _take_package(self, task: _Task, outcome: Outcome, tally: Tally) -> None:
        tally.read += not task.is_known
        tally.looked_again += task.is_known
        if outcome.same and outcome.digest is not None:
            self._state.look(task.place, outcome.digest, self._now)
        elif outcome.digest is None:
            self._state.forget(task.place, self._now)
            self._state.doubt(task.place.subdir, task.place.repository)
            if task.part_of is not None:
                task.part_of.in_doubt = True
            tally.left_out += [left_out_of(task.place, fault) for fault in outcome.reading.faults]
        else:
            self._state.put(
                task.place,
                outcome.digest,
                outcome.status,
                outcome.reading,
                self._now,
                task.judged.ground,
            )
        self._commit_now_and_then(tally)


def _batch(tasks: deque[_Task], parts: int) -> list[_Task]:
    """What one worker gets of the tasks that wait: a part of them, and at least one."""
    return [tasks.popleft() for _ in range(min(_TOGETHER, -(-len(tasks) // parts)))]
