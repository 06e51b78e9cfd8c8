"""20,000 packages indexed by cf-index, conda-index and rattler: all, nothing new, 1 new, 100 new.

``python -m bench.peers``, after ``make .venv-bench/.installed``. The tools take turns, each after
the same change. COUNT as an argument tries it with fewer packages.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from bench import archives
from bench.archives import Shelves
from bench.indexers import Ours, peer_names, run_conda_index, run_rattler
from bench.measuring import WRITING, Measured, write
from bench.storage import Storage
from tests.support.registry_process import RegistryProcess

FULL_ROUNDS = 2
ROUNDS = 3
FULL, NOTHING, ONE, HUNDRED = "full", "nothing new", "1 new", "100 new"
OURS, NAMED, RENDER, CHECK = (
    "cf-index rebuild",
    "cf-index rebuild --package",
    "  of it planning and writing",
    "  of it the check of its own output",
)
REGISTRY, DISK = "a registry, by HTTP", "archives on disk"
STATE, OUTPUT = "its state", "its output"
NOTES = (
    "All write repodata.json, .zst and shards, for two subdirs. cf-index reads manifests from a",
    "docker-registry on the same two cores, whose own processor time isn't counted; the peers read",
    "archives from the page cache. So full runs differ in what they read, not just in how fast.",
    "Planning takes the records out of the state; writing makes all files of them, with pages",
    "and channeldata.json too, and swaps them in. The peers have no such part that could be told",
    "apart: theirs is the whole run, in which they open archives. Nor do they check their output.",
    "With --package cf-index looks at the one name that a dispatch tells it. The peak is that of",
    "the largest process of a run: conda-index has three.",
)


@dataclass(slots=True)
class Bench:
    """What the tools are let loose on, and what was measured so far."""

    ours: Ours
    shelves: Shelves
    conda_index: str
    rattler: str
    fresh: Iterator[int]
    found: dict[tuple[str, str], list[Measured]] = field(default_factory=dict)
    # Seconds of parts of our runs, by what was run and the part.
    parts: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def run_ours(self, step: str, what: str, *options: str) -> None:
        self._note(step, what, self.ours.run(*options))
        wanted = "unchanged" if step == NOTHING else "published"
        if self.ours.outcome() != wanted:
            raise RuntimeError(f"{step}: {self.ours.outcome()}, not {wanted}")
        durations = self.ours.durations()
        rendered = sum(durations.get(stage, 0.0) for stage in ("planning", *WRITING))
        for part, seconds in ((RENDER, rendered), (CHECK, durations.get("checking", 0.0))):
            self.parts.setdefault((step, what, part), []).append(seconds)

    def run_peers(self, step: str) -> None:
        first, second = self.shelves.folders
        self._note(step, self.conda_index, run_conda_index(first))
        self._note(step, self.rattler, run_rattler(second))

    def add(self, count: int) -> list[int]:
        numbers = list(islice(self.fresh, count))
        self.shelves.add(numbers)
        return numbers

    def _note(self, step: str, what: str, measured: Measured) -> None:
        self.found.setdefault((step, what), []).append(measured)


def main(count: int = archives.COUNT) -> None:
    conda_index, rattler = peer_names()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        folders = root / "conda-index", root / "rattler"
        shelves = Shelves(folders, Storage(root / "registry/data"))
        shelves.add(range(count))
        linux = (n for n in range(archives.NAMES) if archives.subdir_of(n) == archives.LINUX)
        with RegistryProcess(root / "registry") as registry:
            ours = Ours(registry, root / "site", root / "state")
            fresh = archives.new_ones(linux, after=count)
            bench = Bench(ours, shelves, conda_index, rattler, fresh)
            everything(bench)
            for _ in range(ROUNDS):
                changes(bench)
    write("peers", list(rows(bench)), [f"{count:,} packages. {NOTES[0]}", *NOTES[1:]])


def everything(bench: Bench) -> None:
    """Full runs: what an earlier run left is taken away first."""
    for turn in range(FULL_ROUNDS):
        if turn:
            shutil.rmtree(bench.ours.site)
            shutil.rmtree(bench.ours.state)
            for folder in bench.shelves.folders:
                sweep(folder)
        bench.run_ours(FULL, OURS)
        bench.run_peers(FULL)


def sweep(folder: Path) -> None:
    """Leave the archives alone in a folder."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".conda":
            path.unlink()


def changes(bench: Bench) -> None:
    bench.run_ours(NOTHING, OURS)
    bench.run_peers(NOTHING)
    (number,) = bench.add(1)
    name = archives.package(number).name
    bench.run_ours(ONE, NAMED, "--package", name)
    bench.run_peers(ONE)
    bench.add(1)
    bench.run_ours(ONE, OURS)
    bench.run_peers(ONE)
    bench.add(100)
    bench.run_ours(HUNDRED, OURS)
    bench.run_peers(HUNDRED)


def rows(bench: Bench) -> Iterator[dict[str, Any]]:
    for step in (FULL, NOTHING, ONE, HUNDRED):
        peers = (bench.found[step, peer] for peer in (bench.conda_index, bench.rattler))
        fastest = min(median(run.seconds for run in runs) for runs in peers)
        for (of_step, what), runs in bench.found.items():
            if of_step == step:
                reads = REGISTRY if what in {OURS, NAMED} else DISK
                seconds = median(run.seconds for run in runs)
                rest = {
                    "processor": median(run.processor for run in runs),
                    "peak MiB": max(run.peak for run in runs),
                    "runs": len(runs),
                }
                yield row(step, what, reads, seconds, fastest) | rest
                yield from part_rows(bench, step, what, fastest)


def part_rows(bench: Bench, step: str, what: str, fastest: float) -> Iterator[dict[str, Any]]:
    for part, reads in ((RENDER, STATE), (CHECK, OUTPUT)):
        seconds = bench.parts.get((step, what, part), [])
        if any(seconds):
            rest = {"processor": "", "peak MiB": "", "runs": len(seconds)}
            yield row(step, part, reads, median(seconds), fastest) | rest


def row(step: str, what: str, reads: str, seconds: float, fastest: float) -> dict[str, Any]:
    said = {"step": step, "what": what, "reads": reads, "seconds (median)": seconds}
    return said | {"times the faster peer": seconds / fastest}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
