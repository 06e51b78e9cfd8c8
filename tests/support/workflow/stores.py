"""Caches and artifacts, in folders."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.workflow.values import HarnessError

MAX_KEY = 512
_NOT_IN_NAMES = re.compile(r"[\":<>|*?\r\n\\/]")


class ActionFailed(Exception):  # noqa: N818 - it is what happened, not a fault of the harness
    """An action ended with an error, as GitHub's own would have."""


@dataclass
class Caches:
    """Saved folders by key. A key is written once; another list of paths is another cache."""

    root: Path
    entries: dict[tuple[str, tuple[str, ...]], Path] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def drop(self) -> None:
        """Lose all of them."""
        self.entries.clear()

    def find(self, key: str, others: list[str], paths: tuple[str, ...]) -> str | None:
        """The key that fits: the very one, else the newest that begins so."""
        with self.lock:
            known = [name for name, of in self.entries if of == paths]
        if key in known:
            return key
        for start in (key, *others):
            fitting = [name for name in known if name.startswith(start)]
            if fitting:
                return fitting[-1]
        return None

    def save(self, key: str, paths: tuple[str, ...], places: list[Path]) -> str:
        """Keep what is at the places. Gives what there was to say."""
        if len(key) > MAX_KEY or "," in key:
            raise ActionFailed(f"Key Validation Error: {key} is too long, or has a comma")
        found = [number for number, place in enumerate(places) if place.exists()]
        if not found:
            return "##[warning]Path Validation Error: Path(s) specified do(es) not exist"
        with self.lock:
            if (key, paths) in self.entries:
                return f"Failed to save: Unable to reserve cache with key {key}"
            home = self.root / str(len(self.entries)) / os.urandom(4).hex()
            self.entries[key, paths] = home
        for number in found:
            _copy(places[number], home / str(number))
        return f"Cache saved with key: {key}"

    def restore(self, key: str, paths: tuple[str, ...], places: list[Path]) -> None:
        """Put back what was kept."""
        home = self.entries[key, paths]
        for number, place in enumerate(places):
            if (home / str(number)).exists():
                _copy(home / str(number), place)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


@dataclass(frozen=True)
class Artifact:
    """A folder of files that one job handed on."""

    number: int
    name: str
    folder: Path


@dataclass
class Artifacts:
    """The artifacts of all runs; a run sees its own alone."""

    root: Path
    runs: dict[int, list[Artifact]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(4001))

    def of(self, run: int) -> list[Artifact]:
        """The artifacts of a run."""
        return list(self.runs.get(run, []))

    def by_number(self, number: int) -> Artifact | None:
        """An artifact of any run."""
        every = itertools.chain.from_iterable(self.runs.values())
        return next((one for one in every if one.number == number), None)

    def upload(self, run: int, name: str, files: dict[str, Path], *, overwrite: bool) -> Artifact:
        """Keep these files, as a zip keeps them: without links, empty folders and modes."""
        if not name or _NOT_IN_NAMES.search(name):
            raise ActionFailed(f"The artifact name is not valid: {name}")
        with self.lock:
            others = self.runs.setdefault(run, [])
            if any(one.name == name for one in others) and not overwrite:
                raise ActionFailed(
                    "Failed to CreateArtifact: Received non-retryable error: Failed request: "
                    "(409) Conflict: an artifact with this name already exists on the workflow run"
                )
            others[:] = [one for one in others if one.name != name]
            number = next(self._numbers)
            artifact = Artifact(number, name, self.root / str(number))
            others.append(artifact)
        artifact.folder.mkdir(parents=True)
        for inside, source in files.items():
            target = artifact.folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return artifact

    def matching(self, run: int, pattern: str) -> list[Artifact]:
        """Those whose names fit a pattern of stars and question marks."""
        if set(pattern) & set("[]{}!()"):
            raise HarnessError(f"the harness knows * and ? alone in {pattern!r}")
        return [one for one in self.of(run) if fnmatch.fnmatchcase(one.name, pattern)]


def files_below(folder: Path, *, hidden: bool) -> dict[str, Path]:
    """Every file by its path from here, with hidden ones (and those in hidden folders) or not."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and (hidden or not any(part.startswith(".") for part in inside.parts)):
            found[inside.as_posix()] = path
    return found
