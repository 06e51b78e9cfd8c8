"""A generated channel of any size with its registry, its state, and runs of ``rebuild`` on it."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.answering import Answering
from bench.filled import fill
from bench.generated import CHANNEL, SUBDIR
from bench.measuring import Measured, measure
from bench.shapes import SHAPES, Shape


@dataclass(frozen=True, slots=True)
class Ran:
    """A run: what it took, and what its status.json says."""

    took: Measured
    status: dict[str, Any]

    @property
    def durations(self) -> dict[str, float]:
        """Seconds by stage."""
        durations: dict[str, float] = self.status["durations"]
        return durations


@dataclass(frozen=True, slots=True)
class Made:
    """The channel; its state knows all of it, and there is no site yet.

    ``registry`` is its address as the site has it, which ``answering`` answers for.
    """

    answering: Answering
    root: Path
    registry: str

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def state_size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in (self.root / "state").glob("state-*"))

    def rebuild(self, outcome: str, *options: str) -> Ran:
        """Run; raises RuntimeError where it comes to something else."""
        program = ["indexer"]
        if self.registry != self.answering.registry:
            program = ["bench.elsewhere", self.answering.registry]
        command = [*program, "rebuild", "--subdir", SUBDIR, "--state", str(self.root / "state")]
        return self._run(outcome, [*command, *options])

    def part(self, folder: Path, run: str, *options: str) -> Measured:
        """Make a part of the subdir."""
        command = ["rebuild", "--subdir", SUBDIR, "--state", str(self.root / "state")]
        return measure(
            self._command(["indexer", *command, "--part", str(folder), "--run", run, *options])
        )

    def join(self, outcome: str, folder: Path, *options: str) -> Ran:
        """Join a part; raises RuntimeError where it comes to something else."""
        state = ["--state", str(self.root / "joined")]
        return self._run(outcome, ["indexer", "join", str(folder), *state, *options])

    def _command(self, words: list[str]) -> list[str]:
        channel = ["--channel", CHANNEL, "--registry", self.registry]
        return [sys.executable, "-m", *words, *channel, "--output", str(self.site)]

    def _run(self, outcome: str, words: list[str]) -> Ran:
        command = self._command(words)
        took = measure(command)
        status = json.loads((self.site / "status.json").read_bytes())
        if status["outcome"] != outcome:
            raise RuntimeError(f"{' '.join(command)}: {status['outcome']}, not {outcome}")
        return Ran(took, status)


@contextmanager
def made(
    records: int, names: int, shape: Shape = "plain", registry: str | None = None
) -> Iterator[Made]:
    """Make one, for the length of a ``with`` block; ``registry`` is where it is said to be."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        Answering(records, names, shape) as answering,
    ):
        root = Path(scratch)
        registry = registry or answering.registry
        fill(root / "state", SHAPES[shape](records, names), registry)
        yield Made(answering, root, registry)
