"""How fast a channel is read from nothing: cf-index rebuild, beside what wrk gets of the same.

``python -m bench.reading``. A docker-registry on loopback holds 5,000 packages, in 250
repositories; all of it, and whoever asks, share this machine's processors. Taking turns, three
times:

- wrk asks for each package's manifest, by its tag, and for the blob of its index.json; where
  index.json stands in the manifest, for the manifest alone. Half of its answers a second, or all
  of them, is the limit. "urllib3 alone" is what that library gets of the limit when it does
  nothing else than ask, in as many threads, and check digests: Python's own part of the way.
- ``cf-index rebuild`` starts with no state and no site. What counts is the stage ``reading`` of
  its status.json: the tags of each repository, both reads of each package with their digests
  checked, what they mean, and the state written. Starting, finding the names by the catalog (one
  request), planning and writing the site aren't in it.
- The same by a proxy that holds each answer back for 40 ms, and by the same proxy for 0 ms, at
  16, 64 and 128 questions under way. The limit there is 64 under way / 2 reads / 40 ms, or the
  rate of the proxy for 0 ms, whichever is smaller.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import alone, wrk
from bench.delay import delayed
from bench.measuring import measure, write
from bench.packages import SUBDIR, Artifact, channel, store
from bench.storage import Storage
from indexer.registry.content import MANIFEST_TYPES
from tests.support import registry_process
from tests.support.registry_process import RegistryProcess

NAMES, BUILDS = 250, 20
PACKAGES = NAMES * BUILDS
ROUNDS = 3
SECONDS = 5
JOBS = 16
FAR_JOBS = (16, 64, 128)
DELAY = 40
NAMESPACE, CHANNEL = "acme", "forge"
TARGET, FAR_TARGET = 0.7, 0.9


@dataclass(frozen=True, slots=True)
class Turn:
    """Packages a second; ms of processor a package, of the whole command and of the registry."""

    rate: float
    client: float
    registry: float
    limit: float = 0.0
    alone: float = 0.0


def read(http: str, registry: RegistryProcess, jobs: int) -> Turn:
    """Read the channel from nothing."""
    before = processor(registry)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        where = ["--registry", f"oci+{http}/{NAMESPACE}", "--channel", CHANNEL]
        kept = ["--output", str(site), "--state", str(Path(folder) / "state")]
        command = [sys.executable, "-m", "indexer", "rebuild", *where, *kept]
        run = measure([*command, "--jobs", str(jobs)])
        status: dict[str, Any] = json.loads((site / "status.json").read_text())
    each = 1000 / PACKAGES
    seconds = status["durations"]["reading"]
    return Turn(PACKAGES / seconds, run.processor * each, (processor(registry) - before) * each)


def limits(
    registry: RegistryProcess, artifacts: Sequence[Artifact], *, embedded: bool
) -> tuple[float, float]:
    """Packages a second, by wrk and by urllib3 alone."""
    paths = []
    for artifact in artifacts:
        place = f"/v2/{NAMESPACE}/{CHANNEL}/{SUBDIR}/{artifact.name}"
        paths.append(f"{place}/manifests/{artifact.tag}")
        if not embedded:
            paths.append(f"{place}/blobs/{artifact.index_json}")
    accept = ", ".join(MANIFEST_TYPES)
    share = len(artifacts) / len(paths)
    most = wrk.rate(registry.http, paths, accept, connections=JOBS, seconds=SECONDS)
    return most * share, alone.rate(registry.http, paths, accept, connections=JOBS) * share


def processor(registry: RegistryProcess) -> float:
    """Seconds of processor that the registry has used (Linux's proc(5))."""
    fields = Path(f"/proc/{registry.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def near(root: Path, *, embedded: bool) -> list[Turn]:
    """wrk and cf-index in turn."""
    artifacts = fill(root, embedded=embedded)
    turns = []
    with RegistryProcess(root) as registry:
        # What the system's page cache holds is the same for all who come after.
        limits(registry, artifacts, embedded=embedded)
        for _ in range(ROUNDS):
            found = limits(registry, artifacts, embedded=embedded)
            turn = read(registry.http, registry, JOBS)
            turns.append(Turn(turn.rate, turn.client, turn.registry, *found))
    return turns


def far(root: Path) -> dict[int, list[Turn]]:
    """By the proxy: without a delay, and with one, for so many under way."""
    turns: dict[int, list[Turn]] = {jobs: [] for jobs in FAR_JOBS}
    with (
        RegistryProcess(root) as registry,
        delayed(registry.address, 0) as beside,
        delayed(registry.address, DELAY) as away,
    ):
        for _ in range(ROUNDS):
            for jobs in FAR_JOBS:
                undelayed = read(beside, registry, jobs).rate
                turn = read(away, registry, jobs)
                most = min(jobs / (2 * DELAY / 1000), undelayed)
                turns[jobs].append(Turn(turn.rate, turn.client, turn.registry, most))
    return turns


def fill(root: Path, *, embedded: bool) -> list[Artifact]:
    artifacts = list(channel(NAMES, BUILDS, embedded=embedded))
    storage = Storage(root / "data")
    for artifact in artifacts:
        store(storage, f"{NAMESPACE}/{CHANNEL}/{SUBDIR}", artifact)
    return artifacts


def row(what: str, limit_is: str, target: float | None, turns: Sequence[Turn]) -> dict[str, Any]:
    ratio = statistics.median(turn.rate / turn.limit for turn in turns)
    return {
        "what": what,
        "packages/s": statistics.median(turn.rate for turn in turns),
        "limit/s": statistics.median(turn.limit for turn in turns),
        "limit is": limit_is,
        "ratio": ratio,
        "urllib3 alone": statistics.median(turn.alone / turn.limit for turn in turns) or "-",
        "target": "-" if target is None else target,
        "reached": "-" if target is None else "yes" if ratio >= target else "no",
        "client ms": statistics.median(turn.client for turn in turns),
        "registry ms": statistics.median(turn.registry for turn in turns),
    }


def main() -> None:
    for reason in (wrk.missing_reason(), registry_process.missing_reason()):
        if reason:
            sys.exit(f"Nothing can be measured: {reason}.")
    with tempfile.TemporaryDirectory() as scratch:
        apart = near(Path(scratch) / "apart", embedded=False)
        within = near(Path(scratch) / "within", embedded=True)
        away = far(Path(scratch) / "apart")
    rows = [
        row("manifest and index.json", "wrk, the same reads", TARGET, apart),
        row("index.json in the manifest", "wrk, manifests alone", TARGET, within),
    ]
    for jobs, turns in away.items():
        target = FAR_TARGET if jobs == 64 else None
        rows.append(row(f"40 ms away, {jobs} under way", "latency, or 0 ms", target, turns))
    write("reading", rows)


if __name__ == "__main__":
    main()
