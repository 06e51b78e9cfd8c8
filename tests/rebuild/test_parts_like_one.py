"""Whatever happens in a registry: parts that are joined make the site that one run makes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from demo.layers import package_manifest
from demo.packages import Package, build
from indexer.progress import Silence
from indexer.rebuild.joining import join
from indexer.rebuild.pipeline import rebuild
from indexer.rebuild.run import Run
from indexer.rebuild.splitting import find_subdirs
from tests.support.fake_registry import FakeRegistry
from tests.support.rig import Rig, tree_of

SUBDIRS = ("linux-64", "noarch", "win-64")
NAMES = ("alpha", "beta", "_gamma", "x.y")
STEPS = 6
# A superseded shard goes after seven days.
PAUSES = (timedelta(minutes=15), timedelta(days=1), timedelta(days=8))


def change(rig: Rig, dice: random.Random, there: dict[tuple[str, str], Package]) -> None:
    """Something comes, goes or is validated."""
    for _ in range(dice.randint(0, 4)):
        if there and dice.random() < 0.3:
            repository, tag = key = dice.choice(sorted(there))
            del there[key]
            rig.fake.remove_tag(repository, tag)
            continue
        package = build(dice.choice(NAMES), f"{dice.randint(1, 4)}.0", subdir=dice.choice(SUBDIRS))
        rig.push(package, validated=dice.random() < 0.8)
        repository = package_manifest([package]).repository_name
        tag = package.stem.removeprefix(f"{package.name}-")
        there[rig.repository(package.subdir, repository), tag] = package


def split(rig: Rig, number: int) -> None:
    config = rig.config(allow_drop=True)
    run = Run(rig.now, {}, Silence())
    parts: list[Path] = []
    for subdir in find_subdirs(config, run):
        parts.append(rig.root / "parts" / subdir)
        state = rig.root / f"state-{subdir}"
        settings = {"subdirs": (subdir,), "part": parts[-1], "run": f"{number}", "state": state}
        rebuild(rig.config(allow_drop=True, **settings), run)
    join(config, parts, run)


def differences(one: Path, other: Path) -> Sequence[str]:
    left, right = tree_of(one), tree_of(other)
    return sorted(path for path in {*left, *right} if left.get(path) != right.get(path))


@pytest.mark.parametrize("seed", range(4))
def test_parts_make_what_one_run_makes(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  the same sequence each time
    there: dict[tuple[str, str], Package] = {}
    with FakeRegistry() as fake:
        whole, apart = Rig(fake, tmp_path / "whole"), Rig(fake, tmp_path / "apart")
        whole.root.mkdir()
        apart.root.mkdir()
        for number in range(STEPS):
            change(whole, dice, there)
            whole.now = apart.now = whole.now + dice.choice(PAUSES)
            rebuild(whole.config(allow_drop=True), Run(whole.now, {}, Silence()))
            split(apart, number)
            assert differences(whole.site, apart.site) == []
    apart.assert_sound()
