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
from bench.generated import CHANNEL, SUBDIR, Generated
from bench.measuring import Measured, measure


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
    """The channel; its state knows all of it, and there is no site yet."""

    answering: Answering
    root: Path

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def state_size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in (self.root / "state").glob("state-*"))

    def rebuild(self, outcome: str, *options: str) -> Ran:
        """Run; raises RuntimeError where it comes to something else."""
        command = [sys.executable, "-m", "indexer", "rebuild", "--channel", CHANNEL]
        command += ["--registry", self.answering.registry, "--subdir", SUBDIR]
        command += ["--state", str(self.root / "state"), "--output", str(self.site), *options]
        took = measure(command)
        status = json.loads((self.site / "status.json").read_bytes())
        if status["outcome"] != outcome:
            raise RuntimeError(f"{' '.join(command)}: {status['outcome']}, not {outcome}")
        return Ran(took, status)


@contextmanager
def made(records: int, names: int) -> Iterator[Made]:
    """Make one, for the length of a ``with`` block."""
    with tempfile.TemporaryDirectory() as scratch, Answering(records, names) as answering:
        root = Path(scratch)
        fill(root / "state", Generated(records, names), answering.registry)
        yield Made(answering, root)
