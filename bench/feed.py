"""What reading costs where nothing has changed: listing 25,000 repositories, or asking the feed.

``python -m bench.feed``. The registry answers at once, so that what is left is this program;
what the network takes is counted as requests. 24 builds a repository, 600,000 in all.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import cast

from bench.measuring import measure, write
from indexer.channel.artifact import Place, Reading
from indexer.channel.policy import Policy
from indexer.rebuild.reading import Reader
from indexer.rebuild.selection import Selection
from indexer.rebuild.state_file import Identity, open_state
from indexer.registry import Registry, RegistryAddress
from indexer.registry.content import Digest
from indexer.registry.github import Stamp

REPOSITORIES = 25_000
TAGS = [f"1.{number}-h0123456_0" for number in range(24)]
NAMES = [f"package-{number:05}" for number in range(REPOSITORIES)]
IDENTITY = Identity("oci://bench.invalid", "forge", "none")
SUBDIR, NOW = "linux-64", 1_800_000_000
STAMPS = {name: Stamp("2026-01-01T00:00:00Z, 24 versions", NOW - 86_400 * 300) for name in NAMES}


class Instant:
    """A registry that knows its tags by heart, and counts how often it is asked for them."""

    address = RegistryAddress.parse("oci://bench.invalid")

    def __init__(self) -> None:
        self.asked = 0

    def tags(self, repository: str) -> list[str]:
        """The same tags for every repository."""
        del repository
        self.asked += 1
        return TAGS


def fill(folder: Path) -> None:
    """A state in which everything was listed an hour ago."""
    with open_state(folder, IDENTITY) as (state, _):
        for number, name in enumerate(NAMES):
            for tag in TAGS:
                digest = Digest.of(f"{name}:{tag}".encode())
                state.put(Place(SUBDIR, name, tag), digest, "indexed", Reading(), NOW - 3600)
            if number % 1000 == 0:
                state.commit()
        state.note_listed(SUBDIR, [(name, NOW - 3600, STAMPS[name].text) for name in NAMES])


def read(folder: Path, changed: int | None) -> int:
    """Read with so many repositories changed (None: without a feed); give how many were listed."""
    stamps = {}
    if changed is not None:
        new = dict.fromkeys(NAMES[:changed], Stamp("2026-11-01T00:00:00Z", NOW - 7200))
        stamps = STAMPS | new
    registry = Instant()
    with open_state(folder, IDENTITY) as (state, _):
        known = cast("Registry", registry)
        reader = Reader(known, "forge", state, policy=Policy("none"), jobs=16, now=NOW)
        tally = reader.read(Selection(SUBDIR, NAMES, stamps=stamps))
    if tally.tags != REPOSITORIES * len(TAGS) or tally.read:
        raise RuntimeError(f"{tally.tags} tags, {tally.read} read")
    return registry.asked


def main() -> None:
    """Measure each way in a process of its own."""
    if len(sys.argv) > 1:
        print(read(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2] else None))
        return
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        fill(Path(scratch))
        for what, changed in (
            ("every repository listed", ""),
            ("feed, nothing new", "0"),
            ("feed, one in a hundred changed", str(REPOSITORIES // 100)),
        ):
            run = measure([sys.executable, "-m", "bench.feed", scratch, changed])
            rows.append(
                {
                    "what": what,
                    "listings": REPOSITORIES if not changed else int(changed),
                    "seconds": run.seconds,
                    "processor": run.processor,
                    "peak MiB": run.peak,
                }
            )
    write("feed", rows)


if __name__ == "__main__":
    main()
