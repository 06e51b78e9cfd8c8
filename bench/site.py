"""How large a site is with its pages and its API, what they cost a run, and how fast is its search.

``python -m bench.site``. Channels of generated records as large as real ones, with names and
summaries of words (bench/likely.py), at the address of a registry that others know. The figures are
stages of the real command; levels of detail that it doesn't choose are drawn from its shards.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import Any

from bench.drawn import Site, written
from bench.generated import CHANNEL
from bench.made import Made, Ran, made
from bench.measuring import write
from bench.searching import search
from bench.shapes import Shape
from indexer.render.detail import LEAN, LEVELS
from indexer.render.site_info import BlobAddresses, SiteInfo
from tests.browser.programs import without_browser

LIMIT = 1_000_000_000
# Records, names, and how the one are spread over the other.
CHANNELS: Sequence[tuple[int, int, Shape]] = (
    (40_000, 2_000, "even"),
    (600_000, 30_000, "even"),
    (600_000, 30_000, "skewed"),
)
REGISTRY = "ghcr.io", "acme"
# Which some have, and which is on each page many times.
LONG = "registry.internal.example-company.com:8443", "team-platform/conda/mirrors"
SITE_URL = f"https://acme.github.io/{CHANNEL}"
OPTIONS = ("--recheck", "0", "--site-url", SITE_URL)
ROUNDS = 3


def info_of(host: str, namespace: str) -> SiteInfo:
    place = f"{namespace}/{CHANNEL}"
    return SiteInfo(
        channel=CHANNEL,
        registry=f"oci://{host}/{namespace}",
        policy="annotation",
        validated_only=True,
        site_url=SITE_URL,
        installs="oci",
        blobs=BlobAddresses(f"oci://{host}/{place}", f"https://{host}/v2/{place}"),
    )


def levels(what: str, channel: Made, chosen: str) -> list[dict[str, Any]]:
    """The whole site with each level, and what the run takes it for."""
    site = Site(channel.site)
    index, lists = site.index(), site.lists()
    rows = []
    for address, detail in [*((REGISTRY, detail) for detail in LEVELS), (LONG, LEAN)]:
        info = info_of(*address)
        drawn = site.drawn(info, detail)
        whole = index + lists + sum(drawn.values())
        rows.append(
            {"channel": what, "registry": address[0], "level": detail.level}
            | {"index, MB": index / 1e6, "lists, MB": lists / 1e6}
            | {f"{part}, MB": size / 1e6 for part, size in drawn.items()}
            | {"told, MB": site.told(info, detail) / 1e6, "whole, MB": whole / 1e6}
            | {"chosen": "yes" if address == REGISTRY and detail.level == chosen else ""}
        )
    return rows


def cost(what: str, step: str, runs: list[Ran], drawn: int) -> dict[str, Any]:
    """``drawn``: so many pages of names were written."""

    def seconds(stage: str) -> float:
        return statistics.median(run.durations.get(stage, 0.0) for run in runs)

    return {
        "channel": what,
        "step": step,
        "pages written": drawn,
        **{stage: seconds(stage) for stage in ("staging", "pages", "publishing")},
        "run": statistics.median(run.took.seconds for run in runs),
        "processor": statistics.median(run.took.processor for run in runs),
        "peak MiB": max(run.took.peak for run in runs),
    }


def runs(what: str, channel: Made) -> list[dict[str, Any]]:
    """A first run, some with one new build, some with nothing new."""
    first = channel.rebuild("published", *OPTIONS)
    before = written(channel.site)
    rows = [cost(what, "first site", [first], len(before))]
    new = []
    for _ in range(ROUNDS):
        channel.answering.grow(1)
        new.append(channel.rebuild("published", *OPTIONS))
        after = written(channel.site)
        count = sum(before.get(name) != place for name, place in after.items())
        before = after
    rows.append(cost(what, "1 new", new, count))
    same = [channel.rebuild("unchanged", *OPTIONS) for _ in range(ROUNDS)]
    rows.append(cost(what, "nothing new", same, 0))
    return rows


def main() -> None:
    if reason := without_browser():
        sys.exit(f"The search can't be measured: {reason}.")
    sizes, costs, notes = [], [], []
    for records, names, shape in CHANNELS:
        what = f"{records:,} of {names:,}, {shape}"
        with made(records, names, shape, "oci://" + "/".join(REGISTRY)) as channel:
            costs += runs(what, channel)
            site = Site(channel.site)
            level = site.level()
            sizes += levels(what, channel, level)
            parts = ", ".join(f"{part} {size / 1e6:.1f}" for part, size in site.parts().items())
            whole = site.whole()
            assert whole <= LIMIT, f"{what}: {whole:,} bytes"  # noqa: S101
            found = search(channel.site, channel.root)
        notes.append(f"{what}: {whole / 1e6:.1f} MB in all; of the index, in MB: {parts}.")
        notes.append(
            f"{what}: the search reads {found.plain / 1e6:.2f} MB, {found.packed / 1e6:.2f} MB "
            f"by gzip; results are there after {found.ready:.0f} ms, a keystroke takes "
            f"{found.median:.1f} ms, {found.worst:.1f} ms at most."
        )
    write("site", sizes, notes)
    write("site_runs", costs)


if __name__ == "__main__":
    main()
