"""The channel of most of these tests: one package, of which a test chooses the bytes."""

from __future__ import annotations

import dataclasses
import random

from demo.packages import Package, build
from tests.support.rig import Rig

_PIECE = 32 * 1024 * 1024
PATH = "noarch/alpha-1.0-0.conda"


def package_of(size: int, name: str = "alpha", seed: int = 1) -> Package:
    """A package of so many bytes that nothing reads; no two parts of it are alike."""
    chance = random.Random(seed)  # noqa: S311  nobody's secret
    # It gives no more than 256 MB at once.
    pieces = [chance.randbytes(min(_PIECE, size - at)) for at in range(0, size, _PIECE)]
    return dataclasses.replace(build(name), data=b"".join(pieces))


def publish(rig: Rig, *packages: Package) -> None:
    """Make the site anew with these, too; what the registry was asked for that is forgotten."""
    for package in packages:
        rig.push(package)
    rig.rebuild(pages=False)
    rig.fake.clear_requests()


def repository_of(rig: Rig, package: Package) -> str:
    return rig.repository(package.subdir, package.name)
