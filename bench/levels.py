"""What zstd's settings cost and save, on real records: ``python -m bench.levels``.

Takes a repodata.json (any real channel's) as its argument; by it the settings in render/zstd.py
were chosen.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgpack
import orjson

from bench.measuring import write
from indexer.render.zstd import zstd

_LEVEL = zstd.CompressionParameter.compression_level
_SHORTEST = zstd.CompressionParameter.min_match


def main(path: Path) -> None:
    document = orjson.loads(path.read_bytes())
    records = document["packages"] | document["packages.conda"]
    plain = b",\n".join(
        orjson.dumps(k) + b":" + orjson.dumps(v) for k, v in sorted(records.items())
    )
    names: dict[str, dict[str, Any]] = {}
    for file_name, record in records.items():
        hashes = {key: bytes.fromhex(record[key]) for key in ("md5", "sha256") if record.get(key)}
        names.setdefault(record["name"], {})[file_name] = record | hashes
    shards = [msgpack.packb(shard) for shard in names.values()]
    rows: list[dict[str, Any]] = [
        {"of": what, "records": len(records), "level": level, "shortest match": shortest or "-"}
        | _measure(parts, level, shortest)
        for what, parts in (("repodata.json", [plain]), ("shards", shards))
        for level in (19, 12, 9, 8, 6)
        for shortest in (0, 6)
    ]
    best = {row["of"]: row["bytes"] for row in reversed(rows) if row["level"] == 19}
    write("levels", [row | {"of level 19": row["bytes"] / best[row["of"]]} for row in rows])


def _measure(parts: list[bytes], level: int, shortest: int) -> dict[str, Any]:
    options: dict[int, int] = {_LEVEL: level}
    if shortest:
        options[_SHORTEST] = shortest
    start = time.process_time()
    size = sum(len(zstd.compress(part, options=options)) for part in parts)
    seconds = time.process_time() - start
    return {"bytes": size, "MB/s": sum(map(len, parts)) / 1e6 / seconds}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
