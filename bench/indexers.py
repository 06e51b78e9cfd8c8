"""Our indexer and two peers, as whole commands with the same outputs: JSON, .zst and shards."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.archives import CHANNEL, NAMESPACE
from bench.measuring import Measured, measure
from tests.support.registry_process import RegistryProcess

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-bench/bin/python"
# For conda-index, which imports two names of a conda that PyPI doesn't have.
STAND_IN = HERE / "stand_in"

_VERSIONS = """
from importlib.metadata import version
print(f"conda-index {version('conda_index')}", f"rattler {version('py-rattler')}", sep="\\n")
"""
_RATTLER = """
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], write_zst=True, write_shards=True))
os._exit(0)  # Its threads have been seen to crash the interpreter while that ends.
"""


def peer_names() -> tuple[str, str]:
    """conda-index and py-rattler, each with the version that is installed."""
    if not PYTHON.exists():
        sys.exit(f"Error: {PYTHON} isn't there. Run `make .venv-bench/.installed` first.")
    command = [str(PYTHON), "-c", _VERSIONS]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    conda_index, rattler = done.stdout.split("\n")[:2]
    return conda_index, rattler


def run_conda_index(folder: Path) -> Measured:
    command = [str(PYTHON), "-m", "conda_index", str(folder), "--zst", "--write-shards"]
    return measure(command, {"PYTHONPATH": str(STAND_IN)})


def run_rattler(folder: Path) -> Measured:
    return measure([str(PYTHON), "-c", _RATTLER, str(folder)])


@dataclass(frozen=True, slots=True)
class Ours:
    """A site that ``cf-index rebuild`` makes of a registry, with a state of its own."""

    registry: RegistryProcess
    site: Path
    state: Path

    def run(self, *options: str) -> Measured:
        where = ["--registry", f"oci+{self.registry.http}/{NAMESPACE}", "--channel", CHANNEL]
        # As its peers: they write no pages.
        places = ["--output", str(self.site), "--state", str(self.state), "--no-pages"]
        return measure([sys.executable, "-m", "indexer", "rebuild", *where, *places, *options])

    def durations(self) -> dict[str, float]:
        """Seconds of the last run's stages."""
        status = orjson.loads((self.site / "status.json").read_bytes())
        found: dict[str, float] = status["durations"]
        return found

    def outcome(self) -> str:
        """What the last run came to."""
        status = orjson.loads((self.site / "status.json").read_bytes())
        return str(status["outcome"])
