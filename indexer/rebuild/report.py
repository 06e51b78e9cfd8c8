"""What a run did, for people and for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from indexer.channel.plan import Count
from indexer.rebuild.tally import LeftOut

_now = time.perf_counter


@dataclass(frozen=True, slots=True)
class Waiting:
    """An artifact that nobody has validated yet; ``since`` is when it was first seen (RFC 3339)."""

    subdir: str
    repository: str
    tag: str
    since: str


@dataclass(slots=True)
class SubdirReport:
    """One subdir's part of the report; of ``unchanged`` repositories no tags were listed.

    ``verdicts`` counts those in the registry, ``void`` those of them that count for nothing.
    """

    repositories: int = 0
    unchanged: int = 0
    tags: int = 0
    read: int = 0
    looked_again: int = 0
    indexed: int = 0
    waiting: int = 0
    rejected: int = 0
    unsound: int = 0
    verdicts: int = 0
    void: int = 0
    count: Count = field(default_factory=Count)


@dataclass(slots=True)
class Report:
    """What a run came to. ``outcome`` is published, unchanged, or dry run.

    ``rejected`` are artifacts that the validator said no to; ``trusted`` are the ids of the keys
    whose verdicts count. ``changes_from`` says which change feed there was, or why there was none;
    it is empty for registries that have none. ``records`` are those of the published site, by
    subdir, whatever the run read; ``snapshot`` is the sha256 of the site's history/snapshot.json.
    ``seconds`` is how long all of it took.
    """

    time: str
    version: str
    registry: str
    channel: str
    policy: str
    output: str
    # What the scheduler calls the run.
    run: str = ""
    trusted: list[str] = field(default_factory=list)
    outcome: str = ""
    names_from: str = ""
    changes_from: str = ""
    subdirs: dict[str, SubdirReport] = field(default_factory=dict)
    changes: list[dict[str, str]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    rejected: list[LeftOut] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)
    # By which servers, how often, and how much was asked of them from then on.
    limited: list[str] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    snapshot: str = ""
    seconds: float = 0.0
    _began: float = field(default_factory=_now, repr=False)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how many seconds a stage takes."""
        start = _now()
        try:
            yield
        finally:
            taken = _now() - start
            self.durations[stage] = round(self.durations.get(stage, 0.0) + taken, 3)

    def go_on_from(self, seconds: float) -> None:
        """Count what was done before, elsewhere, into how long all of it took."""
        self._began -= seconds

    def took(self) -> float:
        """Seconds since the run began, or all that it took once that is known."""
        return self.seconds or round(_now() - self._began, 3)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        document = asdict(self)
        del document["_began"]
        document["seconds"] = self.took()
        for name, part in self.subdirs.items():
            document["subdirs"][name]["count"]["after"] = part.count.after
        return document

    def as_status(self) -> dict[str, Any]:
        """What status.json says: the same, with long lists cut and counted."""
        lists = {key: getattr(self, key) for key in _LISTS}
        # Cut before it is copied: there may be hundreds of thousands.
        document = replace(
            self, **{key: items[:MAX_NAMED] for key, items in lists.items()}
        ).as_dict()
        for key, items in lists.items():
            document[key] = {"total": len(items), "first": document.pop(key)}
        # Of these the report itself doesn't hold all where there are very many.
        document["waiting"]["total"] = sum(part.waiting for part in self.subdirs.values())
        document["changes"]["total"] = sum(part.count.total for part in self.subdirs.values())
        oldest = min(self.waiting, key=lambda item: item.since, default=None)
        document["waiting"]["oldest"] = oldest.since if oldest else None
        document["waiting"]["longest"] = asdict(oldest) if oldest else None
        document["counts"] = self._counts()
        del document["records"]
        del document["output"]
        return document

    def _counts(self) -> dict[str, Any]:
        parts = self.subdirs.values()
        return {
            "records": {"total": sum(self.records.values()), "subdirs": self.records},
            "waiting": sum(part.waiting for part in parts),
            "rejected": sum(part.rejected for part in parts),
            "left_out": len(self.left_out),
            "requests": sum(self.requests.values()),
        }


STATUS = "status.json"
MAX_NAMED = 200
_LISTS = ("left_out", "rejected", "waiting", "passed_over", "notes", "changes")
