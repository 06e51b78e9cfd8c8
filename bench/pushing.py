"""500 small archives into a docker-registry: cf-index push, and conda-oci-mirror's push-cache.

``python -m bench.pushing``. Pairs in one run, taking turns; each push goes into a new namespace.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from bench.measuring import Measured, measure, write
from demo.packages import build
from tests.support.registry_process import RegistryProcess

PEER = Path(".venv-peer/bin/conda-oci")
COUNT = 500
ROUNDS = 3


def make(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(COUNT):
        package = build(f"small-{number:03}", subdir="linux-64")
        (folder / package.file_name).write_bytes(package.data)


def ours(registry: RegistryProcess, cache: Path, name: str) -> Measured:
    where = ["--registry", f"oci+{registry.http}/{name}", "--channel", "forge"]
    return measure([sys.executable, "-m", "indexer", "push", str(cache / "forge"), *where])


def theirs(registry: RegistryProcess, cache: Path, name: str, *options: str) -> Measured:
    command = [str(PEER), "push-cache", "--all", "--channel", "forge", "--cache-dir", str(cache)]
    command += ["--subdir", "linux-64", "--registry", f"{registry.http}/{name}", *options]
    return measure(command, {"ORAS_USER": "any", "ORAS_PASS": "any"})


def main() -> None:
    found: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "cache"
        make(cache / "forge/linux-64")
        with RegistryProcess(Path(scratch) / "registry") as registry:
            for turn in range(ROUNDS):
                runs = {
                    "cf-index push": ours(registry, cache, f"ours{turn}"),
                    "push-cache, as it comes": theirs(registry, cache, f"theirs{turn}"),
                    "push-cache, 4 workers, no delay": theirs(
                        registry, cache, f"fast{turn}", "--workers", "4", "--upload-delay", "0"
                    ),
                }
                for name, measured in runs.items():
                    found.setdefault(name, []).append(measured)
    best = statistics.median(run.seconds for run in found["cf-index push"])
    write(
        "pushing",
        [
            {
                "what": name,
                "archives": COUNT,
                "seconds (median)": statistics.median(run.seconds for run in runs),
                "processor (median)": statistics.median(run.processor for run in runs),
                "peak MiB": max(run.peak for run in runs),
                "times ours": statistics.median(run.seconds for run in runs) / best,
            }
            for name, runs in found.items()
        ],
    )


if __name__ == "__main__":
    main()
