"""What a part and its joining cost beside one run that does both, in a large subdir.

``python -m bench.parts``. The channel and its registry are those of bench/changes.py: a process
that makes its answers up. What a CI system needs to hand the part on isn't in it; its size is.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.made import Made, made
from bench.measuring import Measured, write

RECORDS, NAMES = 600_000, 25_000
ROUNDS = 3
OPTIONS = ("--no-pages", "--base-url", "none")


def row(step: str, runs: list[Measured], size: float | None = None) -> dict[str, Any]:
    return {
        "step": step,
        "seconds": statistics.median(run.seconds for run in runs),
        "processor": statistics.median(run.processor for run in runs),
        "peak MiB": max(run.peak for run in runs),
        "part MB": "-" if size is None else size,
    }


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def both_ways(channel: Made, what: str, outcome: str, change: Callable[[], None]) -> list[Any]:
    """The same step as one run, and as a part that is joined."""
    whole, parts, joins, size = [], [], [], 0.0
    for number in range(ROUNDS):
        change()
        whole.append(channel.rebuild(outcome, *OPTIONS).took)
        change()
        folder = channel.root / "part"
        parts.append(channel.part(folder, str(number), *OPTIONS))
        size = size_of(folder)
        joins.append(channel.join(outcome, folder, *OPTIONS).took)
    return [
        row(f"{what}, one run", whole),
        row(f"{what}, the part", parts, size),
        row(f"{what}, joining it", joins),
    ]


def main() -> None:
    with made(RECORDS, NAMES) as channel:
        channel.rebuild("published", *OPTIONS)

        def grow() -> None:
            channel.answering.grow(1)

        rows = [
            *both_ways(channel, "nothing new", "unchanged", lambda: None),
            *both_ways(channel, "1 new", "published", grow),
        ]
    write("parts", rows, [f"{RECORDS:,} records of {NAMES:,} names in one subdir."])


if __name__ == "__main__":
    main()
