"""Redirects of a gateway that takes over one new index after another, beside one at rest."""

from __future__ import annotations

import shutil
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import requests

from bench import serving, wrk
from bench.answering import ELSEWHERE
from bench.generated import CHANNEL, SUBDIR
from bench.made import Made, made
from bench.serving import Serving

RECORDS, NAMES = 100_000, 5_000
ASKED = 1000
EVERY = 4.0
OTHER_BASE = "http://gateway.example:8000"

Load = Callable[[Serving, Sequence[str]], wrk.Load]


def measured(load: Load, rounds: int, core: int | None) -> list[dict[str, Any]]:
    """Rows: ``load`` asks for so many packages, so many times each."""
    with made(RECORDS, NAMES, "even") as channel:
        live, other = two_sites(channel)
        paths = package_paths(live)
        arguments = [str(live), "--registry", channel.registry, "--channel", CHANNEL]
        arguments += ["--base-url", OTHER_BASE, "--refresh", "1"]
        arguments += ["--allow-host", ELSEWHERE.removeprefix("http://")]
        with serving.gateway(*arguments, core=core) as ours:
            for path in paths:
                requests.get(ours.address + path, allow_redirects=False, timeout=30)
            rows = [_row("nothing", [load(ours, paths) for _ in range(rounds)], 0, ours.peak)]
            before = taken_over(ours)
            with flipping(live, other):
                loads = [load(ours, paths) for _ in range(rounds)]
            rows.append(_row("an index", loads, taken_over(ours) - before, ours.peak))
    return rows


def two_sites(channel: Made) -> tuple[Path, Path]:
    """The channel's site, and the same with a new build more."""
    channel.rebuild("published")
    before = channel.root / "before"
    shutil.copytree(channel.site, before, symlinks=True)
    channel.answering.grow(1)
    channel.rebuild("published", "--recheck", "0")
    return before, channel.site.resolve()


def package_paths(site: Path) -> list[str]:
    """Packages of a site, spread over its names."""
    records = orjson.loads((site / SUBDIR / "repodata.json").read_bytes())["packages.conda"]
    names = sorted(records)
    return [f"/{SUBDIR}/{name}" for name in names[:: len(names) // ASKED][:ASKED]]


def taken_over(server: Serving) -> int:
    """How often it had a new index, by its own count."""
    text = requests.get(f"{server.address}/-/metrics", timeout=30).text
    return int(float(text.partition('refreshes_total{outcome="new"} ')[2].split()[0]))


@contextmanager
def flipping(live: Path, other: Path) -> Iterator[None]:
    """Let one site take the other's place again and again."""
    ended = threading.Event()

    def flip() -> None:
        aside = live.with_name("aside")
        while not ended.wait(EVERY):
            live.rename(aside)
            other.rename(live)
            aside.rename(other)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _row(new: str, loads: Sequence[wrk.Load], count: int, peak: float) -> dict[str, Any]:
    return {
        f"new, of {RECORDS:,} records": new,
        "taken over": count,
        "requests/s": statistics.median(load.rate for load in loads),
        "p50 ms": statistics.median(load.p50 for load in loads),
        "p99 ms": statistics.median(load.p99 for load in loads),
        "best p99": min(load.p99 for load in loads),
        "peak MiB": peak,
    }
