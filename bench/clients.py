"""What a client has to fetch to solve for one package, from our channel and from the peers'.

``python -m bench.clients``, after ``make .venv-bench/.installed``. The same packages, indexed by
each; py-rattler asks each channel with shards and without, first with nothing and then with what
it has kept. COUNT as an argument tries it with fewer packages.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import archives
from bench.archives import Shelves
from bench.indexers import Ours, peer_names, run_conda_index, run_rattler
from bench.measuring import write
from bench.storage import Storage
from bench.web import KINDS, REPODATA, SHARD_INDEX, SHARDS, CountingHost, Sent
from tests.support.registry_process import RegistryProcess

OURS = "cf-index"
FORMATS = {"shards": "yes", "repodata": "no"}
COLD, SAME, RUN, OUTSIDE, INSIDE = (
    "nothing kept",
    "again, nothing changed",
    "after a run that found nothing new",
    "after 1 new package, not in the tree",
    "after 1 new package in the tree",
)
NOTES = (
    "The client is py-rattler, a new process each time. Bytes are those of bodies, without heads.",
    "The host gives ETag, Last-Modified and 304 as GitHub Pages does, but is asked again each time",
    "(Pages says: after ten minutes). Two subdirs, so two shard indexes and two repodata.json.zst.",
)
FIELDS = (
    "conda-index leaves out arch and platform, and has no indexed_timestamp; the other two have.",
)


@dataclass(frozen=True, slots=True)
class Indexed:
    """One tool's channel, and how to index it again."""

    what: str
    folder: Path
    index: Callable[[], object]


def main(count: int = archives.COUNT) -> None:
    name = archives.mid_size()
    tree = archives.tree_of(name)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        folders = root / "conda-index", root / "rattler"
        shelves = Shelves(folders, Storage(root / "registry/data"))
        shelves.add(range(count))
        with RegistryProcess(root / "registry") as registry:
            ours = Ours(registry, root / "site", root / "state")
            conda_index, rattler = peer_names()
            channels = [
                Indexed(OURS, ours.site, ours.run),
                Indexed(conda_index, folders[0], lambda: run_conda_index(folders[0])),
                Indexed(rattler, folders[1], lambda: run_rattler(folders[1])),
            ]
            index(channels)
            sizes = [size_row(channel) for channel in channels]
            found = list(solve_all(channels, shelves, root, name, count))
    solved = f"{count:,} packages; solved for one whose tree has {len(tree)} names."
    write("sizes", sizes, [f"{count:,} packages; bytes, of both subdirs, first run.", *FIELDS])
    print()
    write("clients", found, [solved, *NOTES])


def index(channels: list[Indexed]) -> None:
    """Index them all, two at a time: nobody looks at the clock."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(channel.index) for channel in channels]:
            done.result()


def solve_all(
    channels: list[Indexed], shelves: Shelves, root: Path, name: int, count: int
) -> Iterator[dict[str, Any]]:
    """Solve in every way, at each of the times."""
    tree = archives.tree_of(name)
    among = {OUTSIDE: set(range(archives.NAMES)) - tree, INSIDE: tree}
    client = Client(archives.package(name).name, root / "caches")
    with ExitStack() as stack:
        # One address for all its times: what a client keeps, it keeps for an address.
        hosts = {one: stack.enter_context(CountingHost(one.folder)) for one in channels}
        for moment in (COLD, SAME, RUN, OUTSIDE, INSIDE):
            if moment in among:
                linux = {n for n in among[moment] if archives.subdir_of(n) == archives.LINUX}
                number = next(archives.new_ones(linux, after=count))
                shelves.add([number])
            if moment not in {COLD, SAME}:
                index(channels)
            for channel, host in hosts.items():
                for form in FORMATS:
                    sent = client.solve(host, channel.what, form, moment)
                    yield {"when": moment, "channel": channel.what, "by": form} | tally(sent)


@dataclass(slots=True)
class Client:
    """Solves for one package, with a cache for each channel and format."""

    spec: str
    caches: Path
    solutions: dict[str, str] = field(default_factory=dict)

    def solve(self, host: CountingHost, what: str, form: str, moment: str) -> list[Sent]:
        """What the host sent; at one moment all must come to the same solution."""
        host.sent.clear()
        cache = str(self.caches / what / form)
        arguments = [f"{host.http}/", cache, FORMATS[form], self.spec]
        command = [sys.executable, "-m", "bench.solver", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-3000:]}")
        if self.solutions.setdefault(moment, done.stdout) != done.stdout:
            raise RuntimeError(f"{moment}: {what} by {form} gave another solution: {done.stdout}")
        return list(host.sent)


def tally(sent: list[Sent]) -> dict[str, Any]:
    """Requests and bytes, altogether and by what was asked for."""
    found: dict[str, Any] = {
        "requests": len(sent),
        "304": sum(one.status == 304 for one in sent),
        "404": sum(one.status == 404 for one in sent),
        "bytes": sum(one.size for one in sent),
    }
    for kind in KINDS:
        ones = [one for one in sent if one.kind == kind]
        found[kind] = f"{sum(one.size for one in ones):,} in {len(ones)}" if ones else ""
    return found


def size_row(channel: Indexed) -> dict[str, Any]:
    paths = [path for subdir in archives.SUBDIRS for path in (channel.folder / subdir).rglob("*")]
    by_name = {"repodata.json": 0, "repodata.json.zst": 0, SHARD_INDEX: 0, SHARDS: 0}
    shards = 0
    for path in paths:
        kind = Sent(path.name, 200, 0).kind
        key = path.name if kind == REPODATA else kind
        if key in by_name and "_from_packages" not in path.name:
            by_name[key] += path.stat().st_size
            shards += key == SHARDS
    return {"channel": channel.what} | by_name | {"number of shards": shards}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
