"""The site keeps the shard indexes of its last generations, and no others."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from demo.packages import build
from indexer.rebuild.report import Report
from indexer.render import history, shards
from indexer.render.generations import GENERATIONS, Generation, decode_generations, path_of
from tests.support.rig import Rig, tree_of
from tests.support.web import served

INDEX = f"noarch/{shards.INDEX_NAME}"


def generations(site: Path) -> list[Generation]:
    return decode_generations((site / GENERATIONS).read_bytes())


def kept(site: Path) -> list[str]:
    """The superseded shard indexes that a site has."""
    found = (site / "history").glob(f"*/*{shards.SUFFIX}")
    return sorted(path.relative_to(site).as_posix() for path in found)


def needed(site: Path) -> list[str]:
    """Those that it has to have for its generations: what is published isn't kept twice."""
    current = {sub: index.sha256 for sub, index in generations(site)[0].indexes.items()}
    return sorted(
        {
            path_of(subdir, index.sha256)
            for item in generations(site)
            for subdir, index in item.indexes.items()
            if current.get(subdir) != index.sha256
        }
    )


def lost_shards(site: Path) -> list[str]:
    """Shards of generations that aren't there."""
    lost = []
    for path in kept(site):
        subdir = Path(path).parent.name
        _, hashes = shards.unpack_index((site / path).read_bytes())
        there = {file.name for file in (site / subdir / shards.FOLDER).iterdir()}
        lost += [h for h in hashes.values() if f"{h}{shards.SUFFIX}" not in there]
    return lost


def assert_all_are_there(site: Path) -> None:
    assert kept(site) == needed(site)
    assert lost_shards(site) == []


def publish(rig: Rig, *versions: str, name: str = "alpha", **changes: Any) -> Report:
    for version in versions:
        rig.push(build(name, version))
    report = rig.rebuild(**changes)
    assert report.outcome == "published"
    return report


def notes(report: Report) -> str:
    return "\n".join(report.notes)


def test_each_publication_is_a_generation_and_the_one_before_keeps_its_index(rig: Rig) -> None:
    publish(rig, "1.0")
    assert [item.records for item in generations(rig.site)] == [1]
    assert kept(rig.site) == []
    before = (rig.site / INDEX).read_bytes()

    publish(rig, "2.0", "3.0")

    new, old = generations(rig.site)
    assert (new.records, old.records) == (3, 1)
    assert new.time == history.rfc3339(rig.now)
    (path,) = kept(rig.site)
    assert (rig.site / path).read_bytes() == before
    assert_all_are_there(rig.site)
    listed = json.loads((rig.site / history.SNAPSHOT).read_bytes())["files"]
    assert GENERATIONS in listed


def test_a_run_that_changes_nothing_changes_no_generation(rig: Rig) -> None:
    publish(rig, "1.0")
    publish(rig, "2.0")
    before = rig.tree()
    assert rig.rebuild().outcome == "unchanged"
    assert rig.tree() == before


def test_other_pages_alone_are_no_generation(rig: Rig) -> None:
    publish(rig, "1.0")
    before = (rig.site / GENERATIONS).read_bytes()
    assert rig.rebuild(pages=False).outcome == "published"
    assert (rig.site / GENERATIONS).read_bytes() == before


def test_a_subdir_that_did_not_change_is_kept_once_for_all(rig: Rig) -> None:
    rig.push(build("beta", subdir="linux-64"))
    for version in ("1.0", "2.0", "3.0"):
        publish(rig, version)
    assert [path.split("/")[1] for path in kept(rig.site)] == ["noarch", "noarch"]
    assert {item.indexes["linux-64"] for item in generations(rig.site)} == {
        generations(rig.site)[0].indexes["linux-64"]
    }
    assert_all_are_there(rig.site)


def test_an_index_that_comes_back_is_not_kept_twice(rig: Rig) -> None:
    publish(rig, "1.0")
    rig.push(build("beta"))
    rig.rebuild()
    rig.fake.remove_tag(rig.repository("noarch", "beta"), "1.0-0")
    rig.rebuild(allow_drop=True)
    new, _, old = generations(rig.site)
    assert new.is_like(old)
    assert len(kept(rig.site)) == 1
    assert_all_are_there(rig.site)


def test_a_generation_goes_before_the_first_of_its_shards_does(rig: Rig) -> None:
    """Whatever the times between: all that is listed can be restored, and the last one always."""
    rig.push(build("quiet"))
    steps = [timedelta(hours=h) for h in (0, 1, 50, 90, 3, 24, 24, 70, 24 * 9, 24 * 30, 1, 160, 12)]
    for number, step in enumerate(steps):
        rig.now += step
        publish(rig, f"{number}.0")
        assert_all_are_there(rig.site)
        assert len(generations(rig.site)) >= min(number + 1, 2)
        assert len(generations(rig.site)) <= 12
    assert lost_shards(rig.site) == []


def test_a_generation_whose_shards_expired_is_not_listed_any_more(rig: Rig) -> None:
    publish(rig, "1.0")
    publish(rig, "2.0")
    rig.now += timedelta(days=8)
    publish(rig, "3.0")
    # The shard of the first was superseded eight days ago, that of the second only now.
    assert [item.records for item in generations(rig.site)] == [3, 2]
    assert_all_are_there(rig.site)


def test_a_clock_that_goes_back_stops_nothing(rig: Rig) -> None:
    for number, days in enumerate((0, 20, -40, 1, 15, -3, 8, 1)):
        rig.now += timedelta(days=days)
        publish(rig, f"{number}.0")
        assert_all_are_there(rig.site)
        assert generations(rig.site)[0].time == history.rfc3339(rig.now)
    rig.assert_sound()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[[[",
        b"null",
        orjson.dumps([{"time": "2026-11-01T00:00:00Z", "indexes": {"../..": {}}}]),
        orjson.dumps([{"time": 7}] * 5),
        b" " * (9 * 1024 * 1024),
    ],
)
def test_a_damaged_list_costs_the_earlier_generations_and_is_told(rig: Rig, data: bytes) -> None:
    publish(rig, "1.0")
    publish(rig, "2.0")
    (rig.site / GENERATIONS).write_bytes(data)

    report = publish(rig, "3.0")

    assert "of earlier generations none can be restored" in notes(report)
    # What the site itself was is known by its snapshot.
    assert [item.records for item in generations(rig.site)] == [3, 2]
    assert_all_are_there(rig.site)
    rig.assert_sound()


def test_a_list_that_points_elsewhere_leads_nowhere(rig: Rig) -> None:
    """Even where the snapshot is lost, which would show that it was altered."""
    publish(rig, "1.0")
    publish(rig, "2.0")
    (rig.root / "secret").write_text("x")
    index = {"sha256": "../../../secret", "records": 1, "names": 1}
    listed = [{"time": "2026-11-01T00:00:00Z", "indexes": {"noarch": index}}]
    (rig.site / GENERATIONS).write_bytes(orjson.dumps(listed))
    (rig.site / history.SNAPSHOT).write_bytes(b"{}")
    publish(rig, "3.0")
    assert [item.records for item in generations(rig.site)] == [3]
    assert_all_are_there(rig.site)


def test_a_missing_list_is_begun_anew_from_what_is_published(rig: Rig) -> None:
    """As in a site that an earlier version made."""
    publish(rig, "1.0")
    then = history.rfc3339(rig.now)
    snapshot = json.loads((rig.site / history.SNAPSHOT).read_bytes())
    del snapshot["files"][GENERATIONS]
    (rig.site / history.SNAPSHOT).write_bytes(orjson.dumps(snapshot))
    (rig.site / GENERATIONS).unlink()

    report = publish(rig, "2.0")

    assert "generation" not in notes(report)
    assert [(item.records, item.time) for item in generations(rig.site)][1] == (1, then)
    assert_all_are_there(rig.site)


@pytest.mark.parametrize("how", ["missing", "damaged", "link"])
def test_a_kept_index_that_is_spoilt_costs_its_generation_alone(rig: Rig, how: str) -> None:
    for version in ("1.0", "2.0", "3.0"):
        publish(rig, version)
    lost = generations(rig.site)[1]
    path = rig.site / path_of("noarch", lost.indexes["noarch"].sha256)
    data = path.read_bytes()
    path.unlink()
    if how == "damaged":
        path.write_bytes(data[:-1] + b"x")
    if how == "link":
        path.symlink_to("/nowhere")
    publish(rig, "4.0")
    assert [item.records for item in generations(rig.site)] == [4, 3, 1]
    assert_all_are_there(rig.site)


@pytest.mark.parametrize("how", ["elsewhere", "clock"])
def test_a_shard_that_is_lost_costs_the_generations_that_need_it(rig: Rig, how: str) -> None:
    for version in ("1.0", "2.0", "3.0"):
        publish(rig, version)
    path = rig.site / path_of("noarch", generations(rig.site)[1].indexes["noarch"].sha256)
    _, hashes = shards.unpack_index(path.read_bytes())
    (rig.site / f"noarch/shards/{hashes['alpha']}{shards.SUFFIX}").unlink()
    changes: dict[str, Any] = {}
    if how == "elsewhere":
        shutil.move(rig.site, rig.root / "published")
        changes["previous"] = str(rig.root / "published")
    if how == "clock":
        rig.now -= timedelta(days=1)
    publish(rig, "4.0", **changes)
    assert [item.records for item in generations(rig.site)] == [4, 3, 1]
    assert_all_are_there(rig.site)


def test_files_of_others_beside_the_kept_indexes_stay(rig: Rig) -> None:
    publish(rig, "1.0")
    mine = rig.site / "history/noarch/mine.msgpack.zst"
    mine.write_bytes(b"mine")
    publish(rig, "2.0")
    assert mine.read_bytes() == b"mine"


@pytest.fixture
def moved(rig: Rig) -> Rig:
    """A channel of three generations at an address; this machine has neither site nor state."""
    for version in ("1.0", "2.0", "3.0"):
        publish(rig, version)
    shutil.move(rig.site, rig.root / "published")
    shutil.rmtree(rig.root / "state")
    return rig


def test_generations_come_back_from_an_address(moved: Rig) -> None:
    with served(moved.root / "published") as address:
        moved.rebuild(previous=address)
        assert moved.tree() == tree_of(moved.root / "published")
        publish(moved, "4.0", previous=address)
    assert [item.records for item in generations(moved.site)] == [4, 3, 2, 1]
    assert_all_are_there(moved.site)


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_one_that_does_not_come_back_whole_is_lost_alone(moved: Rig, how: str) -> None:
    site = moved.root / "published"
    path = site / path_of("noarch", generations(site)[1].indexes["noarch"].sha256)
    path.unlink()
    if how == "damaged":
        path.write_bytes(b"x")
    with served(site) as address:
        publish(moved, "4.0", previous=address)
    assert [item.records for item in generations(moved.site)] == [4, 3, 1]
    assert_all_are_there(moved.site)


def test_a_superseded_shard_that_does_not_come_back_costs_its_generation(moved: Rig) -> None:
    site = moved.root / "published"
    path = site / path_of("noarch", generations(site)[2].indexes["noarch"].sha256)
    _, hashes = shards.unpack_index(path.read_bytes())
    (site / f"noarch/shards/{hashes['alpha']}{shards.SUFFIX}").write_bytes(b"x")
    with served(site) as address:
        publish(moved, "4.0", previous=address)
    assert [item.records for item in generations(moved.site)] == [4, 3, 2]
    assert_all_are_there(moved.site)


def test_a_list_that_was_changed_on_the_way_is_told(moved: Rig) -> None:
    site = moved.root / "published"
    (site / GENERATIONS).write_bytes(b"[]")
    with served(site) as address:
        report = publish(moved, "4.0", previous=address)
    assert f"{GENERATIONS} is missing or isn't what the snapshot lists" in notes(report)
    assert [item.records for item in generations(moved.site)] == [4, 3]
    assert_all_are_there(moved.site)
