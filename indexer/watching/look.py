"""One look at a published site: its stamp, its age, and whether its files belong together.

A host may serve the files of one publication with those of another. What shows that costs little:
the snapshot by the hash in status.json, each subdir's shard index by its hash in the snapshot, and
what is large by its size. Whoever wants all of it compared has ``cf-index check``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from indexer.check.findings import Findings
from indexer.errors import ConfigError, ContentError, RegistryError, UnsupportedError
from indexer.published import Published, read_bytes
from indexer.registry.exchange import Clock
from indexer.render import channeldata, repodata, shards
from indexer.render.history import MAX_FILE, SNAPSHOT, FileEntry, Snapshot, decode_snapshot
from indexer.watching.stamp import MAX_STATUS, STATUS, Stamp, read_stamp

# Seconds between two looks of who waits.
EVERY = 10.0
# Whose clock is further ahead than that has a clock to mend: the site would never grow stale.
MAX_SKEW = timedelta(minutes=10)
# Far more than conda knows; each costs requests.
_MAX_SUBDIRS = 200
# How often a site is looked at again that was published anew meanwhile.
_TRIES = 3
_BY_SIZE = (repodata.FILE_NAME, repodata.ZST_NAME)


class State(Enum):
    """What a look came to; the value is the exit code's reason, for programs."""

    FINE = "fine"
    STALE = "stale"
    INCONSISTENT = "inconsistent"
    ANOTHER_RUN = "another-run"
    UNREACHABLE = "unreachable"

    @property
    def exit_code(self) -> int:
        """0 for a site that is fine, 3 for one that nobody can see, else 1."""
        return {State.FINE: 0, State.UNREACHABLE: 3}.get(self, 1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the site has to be: no older than ``max_age``, of the ``run``. None: any."""

    max_age: timedelta | None = None
    run: str | None = None


@dataclass(slots=True)
class Seen:
    """What a look came to; ``age`` is in seconds. ``uncompared`` files have no size to be seen."""

    location: str
    state: State = State.FINE
    stamp: Stamp | None = None
    age: int | None = None
    findings: Findings = field(default_factory=Findings)
    compared: list[str] = field(default_factory=list)
    uncompared: list[str] = field(default_factory=list)

    def add(self, state: State, where: str, what: str) -> None:
        """Note what is wrong; the first to be noted is what the look came to."""
        if self.state is State.FINE:
            self.state = state
        self.findings.add(where, what)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        stamp = self.stamp
        return {
            "state": self.state.value,
            "exit_code": self.state.exit_code,
            "location": self.location,
            "time": stamp.time if stamp else None,
            "age_seconds": self.age,
            "run": stamp.run if stamp else None,
            "version": stamp.version if stamp else None,
            "snapshot": stamp.snapshot if stamp else None,
            "records": stamp.records if stamp else None,
            "waiting": stamp.waiting if stamp else None,
            "oldest_waiting": stamp.oldest if stamp else None,
            "problems": [
                {"where": problem.where, "what": problem.what} for problem in self.findings.problems
            ],
            "compared": self.compared,
            "uncompared": self.uncompared,
        }


def watch(
    channel: Published,
    asked: Asked,
    *,
    wait: timedelta,
    clock: Clock,
    now: Callable[[], datetime],
    still: Callable[[Seen], None] = lambda _: None,
) -> Seen:
    """Look until the site is as it is asked to be, or ``wait`` is over; at least once.

    ``still`` is told of each look after which the waiting goes on.
    """
    end = clock.now() + wait.total_seconds()
    while True:
        try:
            seen = look(channel, asked, now())
        except RegistryError as error:
            seen = Seen(channel.location)
            seen.add(State.UNREACHABLE, STATUS, str(error))
        left = end - clock.now()
        if seen.state is State.FINE or left <= 0:
            return seen
        still(seen)
        clock.sleep(min(EVERY, left))


def look(channel: Published, asked: Asked, now: datetime) -> Seen:
    """Look once. Raises RegistryError where something can't be asked for."""
    for _ in range(_TRIES):
        seen = _look(channel, asked, now)
        # Between two of our requests, the site may have been published anew.
        if seen.state is not State.INCONSISTENT or _stamp(channel, Seen("")) == seen.stamp:
            break
    return seen


def _look(channel: Published, asked: Asked, now: datetime) -> Seen:
    seen = Seen(channel.location)
    seen.stamp = stamp = _stamp(channel, seen)
    if stamp is None:
        return seen
    seen.age = int(now.timestamp()) - stamp.seconds
    if asked.run is not None and stamp.run != asked.run:
        # Its files are of no interest: it is to go.
        seen.add(State.ANOTHER_RUN, STATUS, f"it is not that of run {asked.run}")
    elif (snapshot := _snapshot(channel, stamp, seen)) is not None:
        _compare(channel, snapshot, seen)
    _judge_age(seen, asked)
    return seen


def _stamp(channel: Published, seen: Seen) -> Stamp | None:
    try:
        data = read_bytes(channel, STATUS, MAX_STATUS)
        if data is None:
            seen.add(State.INCONSISTENT, STATUS, "missing: no site of cf-index is served here")
            return None
        return read_stamp(data)
    except ContentError as error:
        seen.add(State.INCONSISTENT, STATUS, str(error))
        return None


def _judge_age(seen: Seen, asked: Asked) -> None:
    age = timedelta(seconds=seen.age or 0)
    if age < -MAX_SKEW:
        seen.add(State.STALE, STATUS, f"its time is {for_people(-age)} in the future")
    elif asked.max_age is not None and age > asked.max_age:
        seen.add(State.STALE, STATUS, f"it is older than {for_people(asked.max_age)}")


def _snapshot(channel: Published, stamp: Stamp, seen: Seen) -> Snapshot | None:
    try:
        data = read_bytes(channel, SNAPSHOT, MAX_FILE)
        if data is None:
            seen.add(State.INCONSISTENT, SNAPSHOT, "missing")
            return None
        found = hashlib.sha256(data).hexdigest()
        if stamp.snapshot not in {None, found}:
            what = f"it is not that of {STATUS}: its sha256 is {found}, not {stamp.snapshot}"
            seen.add(State.INCONSISTENT, SNAPSHOT, what)
        seen.compared.append(SNAPSHOT)
        return decode_snapshot(data)
    except (ContentError, ConfigError) as error:
        seen.add(State.INCONSISTENT, SNAPSHOT, str(error))
        return None


def _compare(channel: Published, snapshot: Snapshot, seen: Seen) -> None:
    if len(snapshot.subdirs) > _MAX_SUBDIRS:
        what = f"it lists {len(snapshot.subdirs):,} subdirs, of which none is looked at"
        seen.add(State.INCONSISTENT, SNAPSHOT, what)
        return
    for subdir, entry in sorted(snapshot.subdirs.items()):
        for name in (shards.INDEX_NAME, *_BY_SIZE):
            path = f"{subdir}/{name}"
            if (expected := entry.files.get(path)) is not None:
                by_hash = name == shards.INDEX_NAME
                _compare_file(channel, path, expected, seen, by_hash=by_hash)
    if (expected := snapshot.files.get(channeldata.FILE_NAME)) is not None:
        _compare_file(channel, channeldata.FILE_NAME, expected, seen, by_hash=False)


def _compare_file(
    channel: Published, path: str, expected: FileEntry, seen: Seen, *, by_hash: bool
) -> None:
    try:
        problem = (_other_hash if by_hash else _other_size)(channel, path, expected)
    except UnsupportedError:
        seen.uncompared.append(path)
        return
    except ContentError as error:
        problem = str(error)
    seen.compared.append(path)
    if problem:
        seen.add(State.INCONSISTENT, path, problem)


def _other_hash(channel: Published, path: str, expected: FileEntry) -> str:
    data = read_bytes(channel, path, min(max(expected.size, 0), shards.MAX_INDEX))
    if data is None:
        return "missing"
    found = hashlib.sha256(data).hexdigest()
    if found == expected.sha256:
        return ""
    return f"its sha256 is {found}, and the snapshot lists {expected.sha256}"


def _other_size(channel: Published, path: str, expected: FileEntry) -> str:
    size = channel.size_of(path)
    if size is None:
        return "missing"
    if size == expected.size:
        return ""
    return f"it has {size:,} bytes, and the snapshot lists {expected.size:,}"


def for_people(duration: timedelta) -> str:
    """A duration in one unit."""
    seconds = int(duration.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}s"
    return f"{seconds:,} second{'' if seconds == 1 else 's'}"
