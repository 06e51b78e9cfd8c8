"""What a run costs where nothing, one thing or a hundred things are new, by the channel's size.

``python -m bench.changes``. The registry is a process that makes its answers up as it is asked
(bench/answering.py), since a real one would take hours to fill; the state and the first site are
made of the same arithmetic. Everything else is the real command, start to end. Not measured here:
what a real registry needs for its answers (bench/reading.py).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

from bench import wrk
from bench.answering import NAMESPACE
from bench.generated import CHANNEL, SUBDIR
from bench.made import Made, Ran, made
from bench.measuring import write

SIZES = ((2_000, 84), (20_000, 834), (600_000, 25_000))
ROUNDS = 3
DELAY = 40
JOBS = (16, 32, 64)
SECONDS = 10
_FAR = ("listings alone", "of them")
# What the index costs; pages are bench/site.py's.
INDEX = ("--no-pages",)
NO_RECHECK = (*INDEX, "--recheck", "0")


def steps(channel: Made) -> dict[str, Callable[[], Ran]]:
    """What is run, in this order, so many times as there are rounds."""
    grow = channel.answering.grow

    def named() -> Ran:
        (name,) = grow(1)
        return channel.rebuild("published", *NO_RECHECK, "--package", name)

    def new(count: int) -> Callable[[], Ran]:
        def run() -> Ran:
            grow(count)
            return channel.rebuild("published", *NO_RECHECK)

        return run

    return {
        "nothing new": lambda: channel.rebuild("unchanged", *NO_RECHECK),
        "nothing new, a 96th rechecked": lambda: channel.rebuild(
            "unchanged", *INDEX, "--recheck", "1/96"
        ),
        "1 new, named": named,
        "1 new": new(1),
        "100 new": new(100),
    }


def row(records: int, names: int, step: str, runs: list[Ran]) -> dict[str, Any]:
    took = [run.took for run in runs]
    return {
        "records": records,
        "names": names,
        "step": step,
        "requests": sum(runs[-1].status["requests"].values()),
        "seconds": statistics.median(one.seconds for one in took),
        "processor": statistics.median(one.processor for one in took),
        "peak MiB": max(one.peak for one in took),
        "MB written": statistics.median(one.written for one in took),
    }


def far_away(channel: Made, names: int) -> list[dict[str, Any]]:
    """Nothing new behind so many milliseconds, beside wrk's listings of the same repositories."""
    repositories = [f"made-{number:05}" for number in range(names)]
    paths = [f"/v2/{NAMESPACE}/{CHANNEL}/{SUBDIR}/{name}/tags/list" for name in repositories]
    channel.answering.delay(DELAY)
    address = f"http://{channel.answering.address}"
    rows = []
    for jobs in JOBS:
        rate = wrk.rate(address, paths, "*/*", connections=jobs, seconds=SECONDS)
        run = channel.rebuild("unchanged", *NO_RECHECK, "--jobs", str(jobs))
        assert run.status["requests"]["tags"] == names  # noqa: S101  one listing a repository
        rows.append(
            row(channel_records(run), names, f"nothing new, {DELAY} ms away, {jobs} jobs", [run])
            | {"listings alone": names / rate, "of them": run.took.seconds / (names / rate)}
        )
    channel.answering.delay(0)
    return rows


def channel_records(run: Ran) -> int:
    count: int = run.status["subdirs"][SUBDIR]["count"]["after"]
    return count


def main() -> None:
    if reason := wrk.missing_reason():
        sys.exit(f"Nothing can be measured: {reason}.")
    rows: list[dict[str, Any]] = []
    notes = []
    for records, names in SIZES:
        with made(records, names) as channel:
            first = channel.rebuild("published", *NO_RECHECK)
            rows.append(row(records, names, "first site, state known", [first]))
            for step, run in steps(channel).items():
                rows.append(row(records, names, step, [run() for _ in range(ROUNDS)]))
            notes.append(f"{records:,} records: the state has {channel.state_size / 1e6:.0f} MB.")
            if (records, names) == SIZES[-1]:
                rows += far_away(channel, names)
    write("changes", [one | {key: one.get(key, "-") for key in _FAR} for one in rows], notes)


if __name__ == "__main__":
    main()
