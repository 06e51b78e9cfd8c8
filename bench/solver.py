"""A conda client in a process of its own: py-rattler, which solves for one package.

``python -m bench.solver CHANNEL CACHE SHARDED SPEC`` prints the file names it would install.
SHARDED is yes or no.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rattler import Gateway, SourceConfig, solve
from rattler.channel import Channel


async def chosen(channel: str, cache: Path, *, sharded: bool, spec: str) -> list[str]:
    gateway = Gateway(cache_dir=cache, default_config=SourceConfig(sharded_enabled=sharded))
    records = await solve(
        sources=[Channel(channel)],
        specs=[spec],
        gateway=gateway,
        platforms=["linux-64", "noarch"],
        virtual_packages=[],
    )
    return sorted(record.file_name for record in records)


def main(channel: str, cache: str, sharded: str, spec: str) -> None:
    found = asyncio.run(chosen(channel, Path(cache), sharded=sharded == "yes", spec=spec))
    print("\n".join(found), flush=True)
    # Its threads have been seen to crash the interpreter while that ends.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
