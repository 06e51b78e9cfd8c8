"""What ``cf-index serve`` answers and passes on in a second, beside nginx.

``python -m bench.gateway``. A docker-registry on loopback holds 1,000 small packages and one of
1 GiB. Where there are two processors, who answers redirects has the first for itself, and wrk the
second; elsewhere nobody is pinned. In turn, three times (five for the stream):

- Redirects: wrk with 64 connections asks for one package, or for 1,000 in turn, whose redirects
  the gateway knows, with the access log to /dev/null and without. nginx, one worker, has the same
  redirects in a map. Where it used less than its whole processor, wrk was at its limit: then
  nginx could do more.
- Stream: curl takes 1 GiB from the registry itself, through the gateway (``--packages stream``),
  and through nginx that passes it on unbuffered. All three, curl and the registry share this
  machine's processors; "ms/GiB" is what of them the server between took, which is steadier.
- First requests: each of 1,000 packages once, in 64 threads, by a gateway that knows none of their
  redirects; the registry is beside it, or 20 ms away. Its log tells what it was asked.
- A new index of 100,000 records every four seconds, while wrk asks for redirects (the gateway and
  wrk pinned as above): with another base_url than the site's, so that all of repodata.json is
  written anew. Beside it, the same load with nothing new.

Other load on the machine makes all of it slower: the best of the turns stands beside the median.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bench import alone, refreshing, serving, wrk
from bench.delay import delayed
from bench.measuring import measure, write
from bench.packages import SUBDIR, imagined, store
from bench.serving import Redirecting, Serving
from bench.storage import Storage
from indexer.transfer.packing import hash_file
from tests.support import registry_process
from tests.support.registry_process import RegistryProcess

PACKAGES = 1000
SIZE = 1024**3
BLOCK = 16 * 1024**2
CONNECTIONS = 64
SECONDS, REFRESHING = 3, 8
ROUNDS, STREAMS = 3, 5
AWAY = 20
NAMESPACE, CHANNEL = "acme", "forge"
LARGE = f"/{SUBDIR}/large-1.0-h0_0.conda"
# What is wanted: redirects a second, ms of one in a hundred, shares of nginx and of the registry.
RATE, P99, OF_NGINX, OF_REGISTRY = 1500, 20, 0.15, 0.7
# The core of who answers, and that of wrk.
CORES: tuple[int, int] | tuple[None, None] = (0, 1) if (os.cpu_count() or 1) > 1 else (None, None)


@dataclass(frozen=True, slots=True)
class Channel:
    """A registry's data below ``root``, the site made of it, and what is asked for."""

    root: Path
    site: Path
    large: str

    @property
    def paths(self) -> list[str]:
        return [f"/{SUBDIR}/package-{number:05}-1.0-h0_0.conda" for number in range(PACKAGES)]

    @property
    def blob(self) -> str:
        """The registry's own path of the large package."""
        return f"/v2/{NAMESPACE}/{CHANNEL}/{SUBDIR}/large/blobs/sha256:{self.large}"


@dataclass(frozen=True, slots=True)
class Turn:
    """wrk's load, and the share of a processor that the server used in its time."""

    load: wrk.Load
    used: float


def fill(root: Path) -> Channel:
    """The packages, in the registry's storage, and the site."""
    storage, place = Storage(root / "registry/data"), f"{NAMESPACE}/{CHANNEL}/{SUBDIR}"
    small = root / "small"
    small.mkdir()
    for number in range(PACKAGES):
        held = small / str(number)
        held.write_bytes(b"%d" % number)
        name = f"package-{number:05}"
        store(storage, place, imagined(name, "1.0", "h0_0", 0, embedded=True, held=held))
    large = root / "large"
    block = os.urandom(BLOCK)
    with large.open("wb") as file:
        for _ in range(SIZE // BLOCK):
            file.write(block)
    store(storage, place, imagined("large", "1.0", "h0_0", 0, embedded=True, held=large))
    with RegistryProcess(root / "registry") as registry:
        where = ["--registry", f"oci+{registry.http}/{NAMESPACE}", "--channel", CHANNEL]
        kept = ["--output", str(root / "site"), "--state", str(root / "state")]
        measure([sys.executable, "-m", "indexer", "rebuild", *where, *kept])
    return Channel(root / "registry", root / "site", hash_file(large).sha256)


def options(channel: Channel, http: str, *more: str) -> list[str]:
    where = ["--registry", f"oci+{http}/{NAMESPACE}", "--channel", CHANNEL]
    allowed = ["--allow-host", Redirecting.target.removeprefix("http://")]
    return [str(channel.site), *where, *allowed, *more]


def ask(server: Serving, paths: Sequence[str], seconds: int = SECONDS) -> Turn:
    """The load, when all of the paths are asked for in turn."""
    before = server.processor
    found = wrk.load(
        server.address, paths, "*/*", connections=CONNECTIONS, seconds=seconds, core=CORES[1]
    )
    return Turn(found, (server.processor - before) / seconds)


def redirects(channel: Channel) -> list[dict[str, Any]]:
    """The gateway and nginx, by turns."""
    turns: dict[tuple[bool, int, str], list[Turn]] = {}
    with Redirecting(channel.root) as registry:
        for log in (True, False):
            flag = "--access-log" if log else "--no-access-log"
            with ExitStack() as stack:
                ours = stack.enter_context(
                    serving.gateway(*options(channel, registry.http, flag), core=CORES[0])
                )
                targets = {path: location(ours, path) for path in channel.paths}
                server, settings = serving.redirects(targets)
                beside = stack.enter_context(
                    serving.nginx(server, settings, log=log, core=CORES[0])
                )
                for _ in range(ROUNDS):
                    for count in (1, PACKAGES):
                        for name, one in (("ours", ours), ("nginx", beside)):
                            turn = ask(one, channel.paths[:count])
                            turns.setdefault((log, count, name), []).append(turn)
    return [
        redirects_row(log, count, turns[log, count, "ours"], turns[log, count, "nginx"])
        for log in (True, False)
        for count in (1, PACKAGES)
    ]


def location(server: Serving, path: str) -> str:
    """Where a client is sent. Raises RuntimeError where it is no redirect of ours."""
    answer = requests.get(server.address + path, allow_redirects=False, timeout=30)
    where = answer.headers.get("Location", "")
    if answer.status_code != 307 or not where.startswith(Redirecting.target):
        raise RuntimeError(f"{path}: {answer.status_code} {where}")
    return where


def redirects_row(
    log: bool,  # noqa: FBT001  a column
    count: int,
    ours: Sequence[Turn],
    nginx: Sequence[Turn],
) -> dict[str, Any]:
    rate, of_nginx = best(ours).load.rate, best(nginx).load.rate
    slowest = min(turn.load.p99 for turn in ours)
    share = statistics.median(a.load.rate / b.load.rate for a, b in zip(ours, nginx, strict=True))
    reached = rate >= RATE and slowest < P99 and share >= OF_NGINX
    return {
        "redirects of": f"{count:,} in turn",
        "log": "yes" if log else "no",
        "requests/s": statistics.median(turn.load.rate for turn in ours),
        "best": rate,
        "p50 ms": statistics.median(turn.load.p50 for turn in ours),
        "p99 ms": statistics.median(turn.load.p99 for turn in ours),
        "best p99": slowest,
        "nginx/s": statistics.median(turn.load.rate for turn in nginx),
        "best nginx": of_nginx,
        "nginx p99": statistics.median(turn.load.p99 for turn in nginx),
        "nginx used": statistics.median(turn.used for turn in nginx),
        "of nginx": share,
        "reached": "yes" if reached else "no",
    }


def best(turns: Sequence[Turn]) -> Turn:
    return max(turns, key=lambda turn: turn.load.rate)


def stream(channel: Channel) -> list[dict[str, Any]]:
    """1 GiB to curl, from each in turn."""
    with RegistryProcess(channel.root) as registry, ExitStack() as stack:
        arguments = options(channel, registry.http, "--packages", "stream")
        ours = stack.enter_context(serving.gateway(*arguments))
        passing = serving.passing(LARGE, registry.http + channel.blob)
        beside = stack.enter_context(serving.nginx(passing))
        held = ours.peak
        sources = {
            "the registry": (Serving(registry.http, registry.pid), channel.blob),
            "cf-index serve": (ours, LARGE),
            "nginx": (beside, LARGE),
        }
        rates: dict[str, list[float]] = {name: [] for name in sources}
        took = dict.fromkeys(sources, 0.0)
        for _ in range(STREAMS):
            for name, (server, path) in sources.items():
                before = server.processor
                rates[name].append(curl(server.address + path))
                took[name] += server.processor - before
        peak = ours.peak
    rows = []
    for name, found in rates.items():
        share = statistics.median(found) / statistics.median(rates["the registry"])
        rows.append(
            {
                "1 GiB from": name,
                "GB/s": statistics.median(found),
                "best": max(found),
                "of the registry": share,
                "best of best": max(found) / max(rates["the registry"]),
                "ms/GiB": 1000 * took[name] / STREAMS,
                "MiB before": held if name == "cf-index serve" else "-",
                "MiB after": peak if name == "cf-index serve" else "-",
                "wanted": OF_REGISTRY if name == "cf-index serve" else "-",
            }
        )
    return rows


def curl(url: str) -> float:
    """GB a second. Raises RuntimeError where it wasn't all of it."""
    form = "%{speed_download} %{size_download}"
    command = ["curl", "-sf", "--noproxy", "*", "-o", os.devnull, "-w", form, url]
    speed, size = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if int(size) != SIZE:
        raise RuntimeError(f"{url}: {size} bytes")
    return float(speed) / 1e9


def first(channel: Channel) -> list[dict[str, Any]]:
    """Each redirect asked for once."""
    rows = []
    for away in (0, AWAY):
        rates, asked = [], 0
        for _ in range(ROUNDS):
            with Redirecting(channel.root) as registry, ExitStack() as stack:
                http = registry.http
                if away:
                    http = stack.enter_context(delayed(registry.address, away))
                ours = stack.enter_context(serving.gateway(*options(channel, http)))
                before = questions(registry)
                rates.append(
                    alone.rate(ours.address, channel.paths, "*/*", connections=CONNECTIONS)
                )
                asked = questions(registry) - before
        rows.append(
            {
                "first requests, ms away": away,
                "requests/s": statistics.median(rates),
                "best": max(rates),
                "registry requests": asked,
                "for packages": PACKAGES,
            }
        )
    return rows


def questions(registry: RegistryProcess) -> int:
    """How often it was asked so far."""
    return registry.log.read_text(errors="replace").count("response completed")


def main() -> None:
    reasons = (wrk.missing_reason(), serving.missing_reason(), registry_process.missing_reason())
    for reason in reasons:
        if reason:
            sys.exit(f"Nothing can be measured: {reason}.")
    with tempfile.TemporaryDirectory() as scratch:
        channel = fill(Path(scratch))
        write("gateway", redirects(channel))
        write("gateway_stream", stream(channel))
        write("gateway_first", first(channel))
    rows = refreshing.measured(
        lambda server, paths: ask(server, paths, REFRESHING).load, ROUNDS, CORES[0]
    )
    write("gateway_refresh", rows)


if __name__ == "__main__":
    main()
