"""What the tests of pushing share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.packages import Package
from indexer.channel.artifact import place_of
from indexer.channel.policy import Policy
from indexer.progress import SILENCE, Progress, Unit
from indexer.registry import Registry
from indexer.transfer.job import Job
from indexer.transfer.notify import Notifier
from indexer.transfer.outcome import Outcome
from indexer.transfer.push import Push
from tests.support.rig import CHANNEL, Rig

KEY = "org.conda-forge.status"


@dataclass
class Shop:
    """Where archives lie, and the registry they are pushed into."""

    rig: Rig
    registry: Registry
    folder: Path

    def lay(self, *packages: Package, subdir: str | None = None) -> list[Path]:
        """Archives as files, each in the folder of its subdir (``""``: none of its own)."""
        paths = []
        for package in packages:
            path = self.folder / (package.subdir if subdir is None else subdir) / package.file_name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(package.data)
            paths.append(path)
        return paths

    def job(self, **settings: Any) -> Push:
        again = settings.pop("again", False)
        defaults: dict[str, Any] = {"now": self.rig.now, "status_key": KEY, "jobs": 4}
        job = Job(registry=self.registry, channel=CHANNEL, **(defaults | settings))
        return Push(job, again=again)

    def push(self, *paths: Path, notifier: Notifier | None = None, **settings: Any) -> Outcome:
        """Push these paths, or all of the folder."""
        return self.job(**settings).run(paths or (self.folder,), notifier)

    def where(self, package: Package, subdir: str | None = None) -> tuple[str, str]:
        """A package's repository and tag."""
        place = place_of(subdir or package.subdir, package.file_name)
        full = self.registry.address.repository(CHANNEL, place.subdir, place.repository)
        return full, place.tag

    def manifest(self, package: Package) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.registry.manifest(*self.where(package)).body)
        return found

    def rebuilt(self, *subdirs: str) -> dict[str, dict[str, Any]]:
        """What an index of all that is there has, by file name."""
        report = self.rig.rebuild(registry=self.registry.address, policy=Policy("none"))
        assert report.left_out == []
        self.rig.assert_sound()
        found: dict[str, dict[str, Any]] = {}
        for subdir in subdirs or ("noarch",):
            found |= self.rig.records(subdir)
        return found


def moved(outcome: Outcome) -> list[str]:
    return sorted(str(item) for item in outcome.moved.first)


def failures(outcome: Outcome) -> dict[str, str]:
    """Reasons by the last part of what they are about."""
    assert len(outcome.failures) == outcome.failed
    return {failure.what.rpartition("/")[2]: failure.reason for failure in outcome.failures}


class Watcher:
    """A progress that calls somebody at the beginning of a part, and at each step."""

    def __init__(
        self,
        begun: Callable[[str], None] = lambda _: None,
        stepped: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        self._begun = begun
        self._stepped = stepped
        self._part = ""
        self.totals: dict[str, int | None] = {}
        self.steps: dict[str, int] = {}

    def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
        del unit
        self._part = what
        self.totals[what] = total
        self._begun(what)

    def step(self, count: int = 1) -> None:
        self.steps[self._part] = self.steps.get(self._part, 0) + count
        self._stepped(self._part, count)

    def end(self) -> None:
        SILENCE.end()


_: Progress = Watcher()
