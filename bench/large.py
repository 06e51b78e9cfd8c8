"""An archive of 2 GiB through push, mirror and pull: how much memory that takes.

``python -m bench.large``. Needs 10 GB of disk in TMPDIR.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

from bench.measuring import Measured, measure, write
from demo.packages import build
from indexer.transfer.packing import hash_file
from tests.support.loopback import FileHost
from tests.support.registry_process import RegistryProcess

SIZE = 2 * 1024**3
BLOCK = 16 * 1024**2


def make(folder: Path) -> Path:
    """A .conda whose payload is noise: nobody looks into it but by its digest."""
    folder.mkdir(parents=True)
    small = build("large", subdir="linux-64")
    path = folder / small.file_name
    scratch = folder / "small"
    scratch.write_bytes(small.data)
    with zipfile.ZipFile(scratch) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            with target.open(item.filename, "w", force_zip64=True) as out:
                if not item.filename.startswith("pkg-"):
                    out.write(source.read(item))
                    continue
                for _ in range(SIZE // BLOCK):
                    out.write(os.urandom(BLOCK))
    scratch.unlink()
    index = small.index | {"name": "large"}
    hashes = hash_file(path)
    record = index | {"sha256": hashes.sha256, "md5": hashes.md5, "size": hashes.size}
    document = {
        "info": {"subdir": "linux-64"},
        "packages": {},
        "packages.conda": {path.name: record},
        "removed": [],
        "repodata_version": 1,
    }
    (folder / "repodata.json").write_text(json.dumps(document))
    return path


def cf_index(*arguments: str) -> Measured:
    return measure([sys.executable, "-m", "indexer", *arguments])


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        path = make(root / "channel/linux-64")
        with (
            RegistryProcess(root / "registry") as registry,
            FileHost(root / "channel") as host,
        ):
            plain = ["--registry", f"oci+{registry.http}/acme", "--channel"]
            folder = ["--registry", f"ocidir://{root / 'layouts'}", "--channel"]
            out = str(root / "out")
            runs = {
                "push to docker-registry": cf_index("push", str(path), *plain, "pushed"),
                "mirror by HTTP": cf_index("mirror", "--from", host.http, *plain, "mirrored"),
                "pull": cf_index("pull", *plain, "pushed", "--output", out),
                "push to ocidir": cf_index("push", str(path), *folder, "pushed"),
            }
    write(
        "large",
        [
            {
                "what": name,
                "GiB": SIZE / 1024**3,
                "seconds": run.seconds,
                "processor": run.processor,
                "peak MiB": run.peak,
            }
            for name, run in runs.items()
        ],
    )


if __name__ == "__main__":
    main()
