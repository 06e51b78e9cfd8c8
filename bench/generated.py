"""A channel of any size by arithmetic: what a registry would say of it, and a state filled with it.

Nothing is stored: names, builds, manifests and digests follow from two numbers. So a channel of
600,000 records needs no registry that took hours to fill, and everybody gets the same one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from indexer.channel import codec
from indexer.channel.artifact import ARCHIVE_TYPES, INDEX_JSON_TYPE, MD5_ANNOTATION
from indexer.channel.manifest import CONFIG, INFO_TYPE, TITLE
from indexer.registry.content import OCI_MANIFEST

SUBDIR = "linux-64"
CHANNEL = "forge"
_CONDA = next(kind for kind, extension in ARCHIVE_TYPES.items() if extension == ".conda")
_EPOCH = 1_700_000_000_000


@dataclass
class Generated:
    """So many records of so many names; ``grow`` adds builds."""

    records: int
    names: int
    builds: list[int] = field(init=False)
    _where: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        # Few names with very many builds, most with some: the k-th has its share of 1/(k + 20).
        weights = [1 / (number + 20) for number in range(self.names)]
        spare, total = self.records - self.names, sum(weights)
        self.builds = [1 + int(spare * weight / total) for weight in weights]
        for number in range(self.records - sum(self.builds)):
            self.builds[-1 - number % self.names] += 1
        self._where = {self.repository(number): number for number in range(self.names)}

    def grow(self, count: int) -> list[str]:
        """One more build for each of so many names, which it gives."""
        chosen = [(self.names // 2 + number * 7919) % self.names for number in range(count)]
        for number in chosen:
            self.builds[number] += 1
        return [self.name(number) for number in chosen]

    def name(self, number: int) -> str:
        return f"made-{number:05}"

    def repository(self, number: int) -> str:
        return codec.repository_name(self.name(number))

    def repositories(self) -> Iterator[str]:
        return iter(sorted(self._where))

    def tags(self, repository: str) -> list[str]:
        return [self.tag(build) for build in range(self.builds[self._where[repository]])]

    def tag(self, build: int) -> str:
        return codec.tag_name(*_version(build))

    def manifest(self, repository: str, tag: str) -> bytes:
        """As ``cf-index push`` writes it, validated, with index.json embedded."""
        number = self._where[repository]
        build = int(tag.rpartition("_")[2])
        index = orjson.dumps(self._index(number, build))
        stem = f"{self.name(number)}-{'-'.join(_version(build))}"
        archive = {MD5_ANNOTATION: hashlib.md5(stem.encode()).hexdigest(), TITLE: f"{stem}.conda"}  # noqa: S324
        layers = [
            _layer(_CONDA, stem.encode(), archive, size=100_000 + build),
            _layer(INFO_TYPE, b"info " + stem.encode(), {TITLE: f"{stem}/info.tar.gz"}),
            _layer(INDEX_JSON_TYPE, index, {TITLE: f"{stem}/info/index.json"})
            | {"data": base64.b64encode(index).decode()},
        ]
        return orjson.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {
                    "mediaType": "application/vnd.unknown.config.v1+json",
                    "digest": str(CONFIG.digest),
                    "size": CONFIG.size,
                },
                "layers": layers,
                "annotations": self._annotations(number),
            }
        )

    def _annotations(self, _: int) -> dict[str, str]:
        return {"org.conda-forge.status": "validated"}

    def _index(self, number: int, build: int) -> dict[str, Any]:
        version, string = _version(build)
        needed = sorted({(number * step) // 7 for step in range(7)} - {number})
        return {
            "arch": "x86_64",
            "build": string,
            "build_number": build % 4,
            "constrains": [f"made-{(number * 3) % self.names:05} <{build % 9 + 2}.0a0"],
            "depends": [
                "__glibc >=2.17,<3.0.a0",
                *(
                    f"{self.name(one)} >={1 + one % 4}.{one % 9},<{build % 9 + 9}.0a0"
                    for one in needed
                ),
            ],
            "license": "BSD-3-Clause",
            "license_family": "BSD",
            "name": self.name(number),
            "platform": "linux",
            "subdir": SUBDIR,
            "timestamp": _EPOCH + number * 1000 + build * 3_600_000,
            "version": version,
        }


def _version(build: int) -> tuple[str, str]:
    mixed = hashlib.sha256(b"%d" % build).hexdigest()
    return f"{1 + build // 40}.{build // 4 % 10}.0", f"py31{build % 4}h{mixed[:7]}_{build}"


def _layer(
    kind: str, content: bytes, annotations: dict[str, str], size: int | None = None
) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    size = len(content) if size is None else size
    return {"mediaType": kind, "digest": digest, "size": size, "annotations": annotations}
