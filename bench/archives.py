"""A channel of tiny, real archives: each is a pure function of its number.

2,000 names, some of them with hundreds of builds and most with a few; every package depends on
names of lower numbers only, so that each can be installed.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.packages import real, store
from bench.storage import Storage
from demo.packages import EPOCH, Package, build

COUNT = 20_000
NAMES = 2_000
LINUX, NOARCH = SUBDIRS = ("linux-64", "noarch")
NAMESPACE, CHANNEL = "acme", "forge"


def package(number: int) -> Package:
    """The archive of this number; the first 2,000 are the first builds of all names."""
    name = name_of(number)
    build_number = number % 4
    said = hashlib.sha256(str(number).encode()).hexdigest()[:7]
    return build(
        _spelled(name),
        f"1.{number // NAMES}.{number % 10}",
        f"h{said}x{number}_{build_number}",
        subdir=subdir_of(name),
        build_number=build_number,
        depends=[f"{_spelled(below)} >=1.0,<2.0a0" for below in depends_of(name)],
        extra_index={"license_family": "MIT", "timestamp": (EPOCH + number * 60) * 1000},
    )


def name_of(number: int) -> int:
    """The number of the name: what has builds enough already gets more of them."""
    if number < NAMES:
        return number
    return int(NAMES * _chance(f"package {number}").random() ** 2)


def depends_of(name: int) -> list[int]:
    """The names that each build of a name needs."""
    if name < 5:
        return []
    chance = _chance(f"name {name}")
    return sorted({chance.randrange(name) for _ in range(chance.randrange(4))})


def subdir_of(name: int) -> str:
    """A twentieth of the names is noarch."""
    return NOARCH if name % 20 == 7 else LINUX


def tree_of(name: int) -> set[int]:
    """A name with all that it needs."""
    return {name}.union(*(tree_of(below) for below in depends_of(name)))


def mid_size(size: int = 30) -> int:
    """The first name whose tree has so many names."""
    return next(name for name in range(NAMES) if len(tree_of(name)) == size)


def new_ones(among: Iterable[int], *, after: int) -> Iterator[int]:
    """Numbers from this one on that are builds of these names."""
    wanted = set(among)
    return (number for number in itertools.count(after) if name_of(number) in wanted)


@dataclass(frozen=True, slots=True)
class Shelves:
    """The same packages in folders ``<subdir>/<file>`` and in a registry's storage."""

    folders: Sequence[Path]
    storage: Storage

    def add(self, numbers: Iterable[int]) -> None:
        """Put archives into the folders, and what an index is made of into the storage."""
        for folder in self.folders:
            for subdir in SUBDIRS:
                (folder / subdir).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            self._add(package(number))

    def _add(self, made: Package) -> None:
        first, *others = (folder / made.subdir / made.file_name for folder in self.folders)
        first.write_bytes(made.data)
        for path in others:
            os.link(first, path)
        place = f"{NAMESPACE}/{CHANNEL}/{made.subdir}"
        artifact = real(made, first, embedded=True)
        # Of these an index needs the manifest alone; files by the ten thousand take minutes.
        artifact.blobs.clear()
        store(self.storage, place, artifact)


def _spelled(name: int) -> str:
    return f"module-{name:04}"


def _chance(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311  the same in every run
