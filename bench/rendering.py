"""From records in the state to files: how long each form takes, and how large it comes out.

``python -m bench.rendering``. Generated records (bench/generated.py), as a read has left them in
the state; the figures are stages of the real command. Planning is what leads from the state to
packed shards; the check before the swap is told apart. The last lines are one new build in a
site that is there: for shards, what is written of them (planning is told apart, too).
"""

from __future__ import annotations

import statistics
from typing import Any

from bench.generated import SUBDIR
from bench.made import Made, Ran, made
from bench.measuring import WRITING, write
from indexer.render import repodata, shards
from indexer.render.zstd import zstd

# The second has as many names as the third, nearly: a shard index grows with them alone.
SIZES = ((20_000, 834), (20_000, 20_000), (600_000, 25_000))
ROUNDS = 5


def row(what: str, records: int, names: int, runs: list[Ran]) -> dict[str, Any]:
    def seconds(*stages: str) -> float:
        return statistics.median(
            sum(run.durations.get(stage, 0.0) for stage in stages) for run in runs
        )

    return {
        "what": what,
        "records": records,
        "names": names,
        "planning": seconds("planning"),
        "shards, ms": seconds("shards") * 1000,
        "json and zst": seconds("repodata"),
        "all files": seconds(*WRITING),
        "check": seconds("checking"),
        "run": statistics.median(run.took.seconds for run in runs),
        "peak MiB": max(run.took.peak for run in runs),
    }


def _without_repodata(one: dict[str, Any]) -> float:
    seconds: float = one["run"] - one["json and zst"] - one["check"]
    return seconds


def sizes(channel: Made) -> str:
    """The files' sizes, and what level 19 would make of the largest."""
    folder = channel.site / SUBDIR
    plain, packed = folder / repodata.FILE_NAME, folder / repodata.ZST_NAME
    parts = [path.stat().st_size for path in (folder / shards.FOLDER).iterdir()]
    slowest = zstd.ZstdCompressor(
        options={
            int(zstd.CompressionParameter.compression_level): 19,
            int(zstd.CompressionParameter.nb_workers): 2,
        }
    )
    best = 0
    with plain.open("rb") as file:
        while block := file.read(1 << 20):
            best += len(slowest.compress(block))
    best += len(slowest.flush())
    size = packed.stat().st_size
    return (
        f"json {plain.stat().st_size / 1e6:.1f} MB, zst {size / 1e6:.2f} MB "
        f"({size / best:.3f} of level 19's), {len(parts):,} shards {sum(parts) / 1e6:.1f} MB, "
        f"their index {(folder / shards.INDEX_NAME).stat().st_size / 1e3:.0f} kB"
    )


def main() -> None:
    whole, changed, notes = [], [], []
    for records, names in SIZES:
        with made(records, names) as channel:
            first = channel.rebuild("published", "--no-pages", "--recheck", "0")
            whole.append(row("all", records, names, [first]))
            notes.append(f"{records:,} records of {names:,} names: {sizes(channel)}.")
            runs = []
            for _ in range(ROUNDS):
                (name,) = channel.answering.grow(1)
                runs.append(
                    channel.rebuild("published", "--no-pages", "--recheck", "0", "--package", name)
                )
            changed.append(row("1 new", records, names, runs))
    for fewer in changed[:-1]:
        times = changed[-1]["shards, ms"] / fewer["shards, ms"]
        whole_run = _without_repodata(changed[-1]) / _without_repodata(fewer)
        notes.append(
            f"After 1 new, at {SIZES[-1][0]:,} records of {SIZES[-1][1]:,} names and at "
            f"{fewer['records']:,} of {fewer['names']:,}: shards take {times:.2f} times as long, "
            f"the whole run without repodata.json and its check {whole_run:.2f} times."
        )
    write("rendering", [*whole, *changed], notes)


if __name__ == "__main__":
    main()
