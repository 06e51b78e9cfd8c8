"""A conda client in a process of its own, which is told its CA by the environment.

``python rattler_client.py REQUEST`` with a JSON object: channel, sharded (bool), platform,
cache, names (what to look up), install (what to install) and prefix; ``oci: false`` takes its
understanding of oci:// away. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from rattler import Gateway, SourceConfig, install, solve
from rattler.channel import Channel
from rattler.networking import Client
from rattler.networking.middleware import OciMiddleware


async def run(request: dict[str, Any]) -> dict[str, Any]:
    client = Client(middlewares=[OciMiddleware()] if request.get("oci", True) else [])
    gateway = Gateway(
        cache_dir=Path(request["cache"]) / "repodata",
        default_config=SourceConfig(sharded_enabled=request["sharded"]),
        client=client,
    )
    channel = Channel(request["channel"])
    platforms = [request["platform"], "noarch"]
    found = await gateway.query([channel], platforms, request["names"], recursive=False)
    answer: dict[str, Any] = {
        "records": sorted(
            (
                {
                    "file_name": record.file_name,
                    "sha256": record.sha256.hex() if record.sha256 else None,
                    "md5": record.md5.hex() if record.md5 else None,
                    "size": record.size,
                    "depends": record.depends,
                    "subdir": record.subdir,
                    "url": record.url,
                }
                for records in found
                for record in records
            ),
            key=lambda item: (item["subdir"], item["file_name"]),
        )
    }
    if request.get("install"):
        records = await solve(
            sources=[channel],
            specs=request["install"],
            gateway=gateway,
            platforms=platforms,
            virtual_packages=[],
        )
        await install(
            records=records,
            target_prefix=request["prefix"],
            cache_dir=Path(request["cache"]) / "packages",
            client=client,
            show_progress=False,
            execute_link_scripts=False,
        )
        answer["installed"] = sorted(record.file_name for record in records)
    return answer


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))), flush=True)  # noqa: T201
    # Seen once: py-rattler's threads crash the interpreter while it shuts down.
    os._exit(0)
