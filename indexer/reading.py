"""From repositories to what is remembered of them: lists tags, reads what is new or waiting.

Worker threads ask the registry and parse; the state is touched by the calling thread alone.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from indexer.channel import codec
from indexer.channel.artifact import (
    Fault,
    Place,
    Reading,
    archive_layers,
    index_json_layer,
    merge_readings,
    read_artifact,
)
from indexer.channel.index_json import MAX_BYTES, parse_index_json
from indexer.channel.policy import Policy
from indexer.errors import ContentError, DeniedError, NotFoundError, RegistryError
from indexer.registry.address import is_tag
from indexer.registry.base import Registry
from indexer.registry.content import Digest, ImageIndex, ImageManifest, RawManifest, parse_manifest
from indexer.state import Known, State, Status

_MAX_LEVELS = 3
_COMMIT_EVERY = 1000


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

    ``again`` are repositories whose tags are all looked at again, ``due`` single tags.
    ``indexed`` are repositories with something in the previous index: if one of them can't
    be listed, the reading is incomplete, unless ``allow_drop``. ``named``: a person named
    the packages, which needn't all be in this subdir.
    """

    subdir: str
    repositories: Collection[str]
    again: Collection[str] = ()
    due: Mapping[str, Collection[str]] = field(default_factory=dict)
    indexed: Collection[str] = ()
    allow_drop: bool = False
    named: bool = False


@dataclass(slots=True)
class Tally:
    """What reading a subdir came to."""

    repositories: int = 0
    tags: int = 0
    read: int = 0
    looked_again: int = 0
    denied: int = 0
    passed_over: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Task:
    place: Place
    known: Known | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a tag led to; without a digest, nothing that could be remembered."""

    digest: Digest | None
    status: Status
    reading: Reading
    unchanged: bool = False


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
    ) -> None:
        self._registry = registry
        self._channel = channel
        self._state = state
        self._policy = policy
        self._jobs = jobs
        self._now = now
        self._advance = advance

    def read(self, selection: Selection) -> Tally:
        """Read one subdir. Raises RegistryError where it can't be read to the end.

        What was read until then is kept in the state: the next run goes on from there.
        """
        tally = Tally()
        try:
            self._work(selection, tally)
        finally:
            self._state.commit()
        if tally.denied and tally.denied == tally.repositories and not selection.named:
            raise RegistryError(
                f"None of the {tally.repositories} repositories of {selection.subdir} could be "
                f"read ({tally.passed_over[0]}). Check the registry's address, the channel and "
                "the credentials."
            )
        return tally

    def forget_others(self, subdir: str, listed: Collection[str]) -> None:
        """Forget the repositories that are named no more, and with them their records."""
        for repository in self._state.repositories(subdir):
            if repository not in listed:
                for tag in self._state.tags(subdir, repository):
                    self._state.forget(Place(subdir, repository, tag))
        self._state.commit()

    def _work(self, selection: Selection, tally: Tally) -> None:
        repositories = iter(selection.repositories)
        tasks: deque[_Task] = deque()
        done: queue.SimpleQueue[tuple[str | _Task, Future[object]]] = queue.SimpleQueue()
        under_way = 0
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="read") as pool:
            try:
                while True:
                    while under_way < 2 * self._jobs:
                        job = tasks.popleft() if tasks else next(repositories, None)
                        if job is None:
                            break
                        self._submit(pool, done, job, selection.subdir)
                        under_way += 1
                    if not under_way:
                        return
                    job, future = done.get()
                    under_way -= 1
                    if isinstance(job, str):
                        tasks.extend(self._listed(job, future, selection, tally))
                        self._advance()
                    else:
                        self._take(job, future, tally)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _submit(
        self,
        pool: ThreadPoolExecutor,
        done: queue.SimpleQueue[tuple[str | _Task, Future[object]]],
        job: str | _Task,
        subdir: str,
    ) -> None:
        future: Future[object]
        if isinstance(job, str):
            future = pool.submit(self._registry.tags, self._full_name(subdir, job))
        else:
            future = pool.submit(self._fetch, job)
        future.add_done_callback(lambda finished: done.put((job, finished)))

    def _listed(
        self, repository: str, future: Future[object], selection: Selection, tally: Tally
    ) -> Iterator[_Task]:
        """Compare a repository's tags with what is remembered; give what has to be read."""
        subdir = selection.subdir
        tally.repositories += 1
        known = self._state.tags(subdir, repository)
        try:
            tags = _as_tags(future.result())
        except (NotFoundError, DeniedError) as error:
            if repository in selection.indexed and not selection.allow_drop:
                raise RegistryError(
                    f"{self._full_name(subdir, repository)} was indexed before and is still "
                    f"named, but can't be listed: {error} If it is meant to go, say --allow-drop."
                ) from error
            tally.denied += isinstance(error, DeniedError)
            tally.passed_over.append(str(error))
            tags = []
        packages = {tag for tag in tags if codec.is_package_tag(tag)}
        tally.tags += len(packages)
        for tag in known.keys() - packages:
            self._state.forget(Place(subdir, repository, tag))
        due = selection.due.get(repository, ())
        for tag in sorted(packages):
            place, seen = Place(subdir, repository, tag), known.get(tag)
            if not is_tag(tag):
                tally.left_out.append(_left_out(place, Fault(f"{tag[:200]!r} can't be a tag")))
            elif (
                seen is None
                or seen.status != "indexed"
                or tag in due
                or repository in selection.again
            ):
                yield _Task(place, seen)

    def _take(self, task: _Task, future: Future[object], tally: Tally) -> None:
        outcome = future.result()
        assert isinstance(outcome, _Outcome)
        tally.read += task.known is None
        tally.looked_again += task.known is not None
        if outcome.unchanged:
            self._state.touch(task.place, self._now)
        elif outcome.digest is None:
            self._state.forget(task.place)
            tally.left_out += [_left_out(task.place, fault) for fault in outcome.reading.faults]
        else:
            self._state.put(
                task.place, outcome.digest, outcome.status, outcome.reading, self._now
            )
        if (tally.read + tally.looked_again) % _COMMIT_EVERY == 0:
            self._state.commit()

    def _fetch(self, task: _Task) -> _Outcome:
        """Read one tag (in a worker thread). Its own faults cost this artifact alone."""
        place = task.place
        repository = self._full_name(place.subdir, place.repository)
        try:
            raw = self._registry.manifest(repository, place.tag)
        except (NotFoundError, ContentError) as error:
            return _Outcome(None, "rejected", Reading(faults=(Fault(_sentence(error)),)))
        digest = raw.digest
        if task.known is not None and task.known.digest == digest:
            return _Outcome(digest, task.known.status, Reading(), unchanged=True)
        try:
            manifests = self._leaves(repository, raw)
            if not any(archive_layers(manifest) for manifest in manifests):
                raise ContentError("no layer is a conda archive")  # noqa: TRY301  one way out
            admitted = [m for m in manifests if self._policy.admits(m.annotations)]
            if not admitted:
                return _Outcome(digest, "waiting", Reading())
            readings = [self._read_manifest(place, repository, m) for m in admitted]
            reading = merge_readings(readings)
        except NotFoundError as error:
            return _Outcome(None, "rejected", Reading(faults=(Fault(_sentence(error)),)))
        except _BrokenContentError as error:
            return _Outcome(None, "rejected", Reading(faults=(Fault(str(error)),)))
        except ContentError as error:
            return _Outcome(digest, "rejected", Reading(faults=(Fault(str(error)),)))
        return _Outcome(digest, "indexed" if reading.records else "rejected", reading)

    def _leaves(self, repository: str, raw: RawManifest) -> list[ImageManifest]:
        """The image manifests that a tag leads to, through image indexes of three levels at most."""
        leaves: list[ImageManifest] = []
        seen: set[Digest] = set()
        level = [raw]
        for _ in range(_MAX_LEVELS + 1):
            children: list[Digest] = []
            for item in level:
                if item.digest in seen:
                    raise ContentError("an image index that leads back to itself")
                seen.add(item.digest)
                parsed = parse_manifest(item)
                if isinstance(parsed, ImageIndex):
                    children += [child.digest for child in parsed.manifests]
                else:
                    leaves.append(parsed)
            if not children:
                return leaves
            level = [self._child(repository, digest) for digest in dict.fromkeys(children)]
        raise ContentError(f"image indexes nested deeper than {_MAX_LEVELS}")

    def _child(self, repository: str, digest: Digest) -> RawManifest:
        try:
            return self._registry.manifest(repository, str(digest))
        except ContentError as error:
            raise _BrokenContentError(str(error)) from error

    def _read_manifest(self, place: Place, repository: str, manifest: ImageManifest) -> Reading:
        if not archive_layers(manifest):
            return Reading()
        layer = index_json_layer(manifest)
        if layer.size > MAX_BYTES:
            raise ContentError(f"index.json has {layer.size} bytes (at most {MAX_BYTES})")
        try:
            data = self._registry.blob(repository, layer)
        except ContentError as error:
            raise _BrokenContentError(str(error)) from error
        return read_artifact(place, manifest, parse_index_json(data))

    def _full_name(self, subdir: str, repository: str) -> str:
        return self._registry.address.repository(self._channel, subdir, repository)


class _BrokenContentError(ContentError):
    """Content that didn't arrive whole: it may next time, so it isn't remembered."""


def _as_tags(value: object) -> list[str]:
    assert isinstance(value, list)
    return value


def _left_out(place: Place, fault: Fault) -> LeftOut:
    return LeftOut(place.subdir, place.repository, place.tag, fault.file_name, fault.reason)


def _sentence(error: Exception) -> str:
    return f"listed, but it can't be read: {error}"
