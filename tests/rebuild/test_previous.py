"""The published site is the memory: read back from a folder or an address."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from demo.packages import build
from indexer.errors import ConfigError, RegistryError
from indexer.render.shards import unpack_index
from tests.support.loopback import FileHost
from tests.support.rig import Rig, tree_of
from tests.support.web import served


@pytest.fixture
def moved(rig: Rig) -> Rig:
    """A channel whose site is somewhere else now, on a machine that starts from nothing."""
    rig.push(build("alpha"), build("alpha", archive="tar.bz2"))
    rig.rebuild()
    rig.push(build("alpha", "2.0"))
    rig.push(build("beta", subdir="linux-64"))
    rig.rebuild()
    shutil.move(rig.site, rig.root / "published")
    shutil.rmtree(rig.root / "state")
    return rig


def test_a_machine_that_starts_from_nothing_reads_the_site_back_from_a_folder(moved: Rig) -> None:
    moved.rebuild(previous=str(moved.root / "published"))
    assert moved.tree() == tree_of(moved.root / "published")


def test_a_machine_that_starts_from_nothing_reads_the_site_back_from_an_address(
    moved: Rig,
) -> None:
    with served(moved.root / "published") as address:
        moved.rebuild(previous=address)
    assert moved.tree() == tree_of(moved.root / "published")
    assert not (moved.root / ".site.previous").exists()


def test_subdirs_that_are_not_read_come_back_from_an_address_too(moved: Rig) -> None:
    moved.push(build("gamma"))
    with served(moved.root / "published") as address:
        moved.rebuild(previous=address, subdirs=("noarch",))
    assert list(moved.records("linux-64")) == ["beta-1.0-0.conda"]
    assert len(moved.records()) == 4
    moved.assert_sound()


def test_the_same_site_is_not_fetched_again(moved: Rig) -> None:
    shutil.copytree(moved.root / "published", moved.site)
    inode = (moved.site / "index.html").stat().st_ino
    with served(moved.root / "published") as address:
        report = moved.rebuild(previous=address)
    assert report.outcome == "unchanged"
    assert (moved.site / "index.html").stat().st_ino == inode


def test_what_is_at_hand_already_is_not_fetched_again(moved: Rig) -> None:
    shutil.copytree(moved.root / "published", moved.site)
    (moved.site / "history/snapshot.json").write_bytes(b"{}")
    missing = next((moved.site / "noarch/shards").iterdir())
    missing.unlink()
    with FileHost() as host:
        for path in (moved.root / "published").rglob("*"):
            if path.is_file():
                host.put(f"/{path.relative_to(moved.root / 'published')}", path.read_bytes())
        report = moved.rebuild(previous=host.http)
        asked = [request.path for request in host.requests]
    assert moved.tree() == tree_of(moved.root / "published")
    assert asked == [
        "/history/snapshot.json",
        f"/noarch/shards/{missing.name}",
        "/history/unsettled.json",
        "/history/left_out.json",
    ]
    assert report.outcome == "unchanged"
    assert any("made a copy" in note for note in report.notes)


def current_shard(site: Path) -> Path:
    _, hashes = unpack_index((site / "noarch/repodata_shards.msgpack.zst").read_bytes())
    return site / f"noarch/shards/{hashes['alpha']}.msgpack.zst"


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    "name",
    [
        *("channeldata.json", "history/names", "noarch/repodata.json"),
        *("noarch/repodata.json.zst", "noarch/repodata_shards.msgpack.zst", "noarch/shards"),
    ],
)
def test_what_was_changed_on_the_way_is_made_anew(moved: Rig, name: str) -> None:
    published = moved.root / "published"
    before = tree_of(published)
    path = published / name.replace("history/names", "history/noarch/names.json")
    spoil(current_shard(published) if path.is_dir() else path)
    with served(published) as address:
        report = moved.rebuild(previous=address)
    assert any("made anew" in note for note in report.notes)
    assert moved.tree() == before
    moved.assert_sound()


def test_a_published_site_that_does_not_hold_together_is_not_built_upon(moved: Rig) -> None:
    spoil(moved.root / "published/noarch/repodata.json")
    spoil(current_shard(moved.root / "published"))
    with (
        served(moved.root / "published") as address,
        pytest.raises(RegistryError, match="isn't what the snapshot lists"),
    ):
        moved.rebuild(previous=address)
    assert not moved.site.exists()


def test_damage_in_the_output_that_sizes_show_is_mended(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    rig.rebuild()
    before = rig.tree()
    next((rig.site / "noarch/shards").iterdir()).write_bytes(b"")
    (rig.site / "index.html").unlink()
    (rig.site / "channeldata.json").write_bytes(b"{}")
    assert rig.rebuild().outcome == "published"
    assert rig.tree() == before


@pytest.mark.parametrize("is_channel", [True, False])
def test_a_folder_without_a_snapshot_is_no_silent_beginning(rig: Rig, *, is_channel: bool) -> None:
    rig.push(build("alpha"))
    folder = rig.root / "other"
    (folder / "noarch").mkdir(parents=True)
    if is_channel:
        (folder / "noarch/repodata.json").write_text("{}")
        with pytest.raises(RegistryError, match="can't be built upon"):
            rig.rebuild(previous=str(folder))
    else:
        notes = rig.rebuild(previous=str(folder)).notes
        assert any("first publication" in note for note in notes)


@pytest.mark.parametrize("address", ["http://[::1", "https://user:secret@example.invalid/"])
def test_an_address_that_is_none_is_a_setting_to_mend(rig: Rig, address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rig.rebuild(previous=address)
    assert "secret" not in str(caught.value)


def test_an_address_without_a_site_is_a_first_publication(moved: Rig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with served(tmp_path / "empty") as address:
        report = moved.rebuild(previous=address)
    assert any("first publication" in note for note in report.notes)
    assert len(moved.records()) == 3


def test_an_address_that_does_not_answer_publishes_nothing(moved: Rig) -> None:
    with pytest.raises(RegistryError):
        moved.rebuild(previous="http://127.0.0.1:9/")
    assert not moved.site.exists()


def test_damage_in_the_site_is_written_over(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    rig.rebuild()
    before = rig.tree()
    for name in ("repodata.json", "repodata_shards.msgpack.zst", "repodata.json.zst"):
        (rig.site / "noarch" / name).write_bytes(b"damaged")
        rig.rebuild()
        after = rig.tree()
        # The damaged file's part is new; entry times survive where the shards do.
        assert set(before) <= set(after)
        rig.assert_sound()
    assert len(rig.records()) == 2


@pytest.mark.parametrize("name", ["changes.json", "counts.json"])
@pytest.mark.parametrize("damage", [b"{", b"[[]]", b'{"a": 1}', b""])
def test_damaged_history_does_not_stop_the_channel(rig: Rig, name: str, damage: bytes) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (rig.site / "history" / name).write_bytes(damage)
    rig.push(build("beta"))
    rig.rebuild()
    assert len(rig.records()) == 2
    rig.assert_sound()


def test_a_channel_of_another_tool_is_not_built_upon(moved: Rig) -> None:
    (moved.root / "published/history/snapshot.json").unlink()
    with (
        served(moved.root / "published") as address,
        pytest.raises(RegistryError, match="can't be built upon"),
    ):
        moved.rebuild(previous=address)


def test_entry_times_survive_damage_of_everything_but_the_shards(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.records()
    (rig.site / "noarch/repodata.json").unlink()
    rig.rebuild()
    assert rig.records() == before


def test_changes_and_counts_are_remembered(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    first = rig.now
    rig.push(build("alpha", "2.0"))
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "1.0-0")
    rig.rebuild()

    changes = json.loads((rig.site / "history/changes.json").read_bytes())
    counts = json.loads((rig.site / "history/counts.json").read_bytes())

    assert [(item["kind"], item["file_name"]) for item in changes] == [
        ("added", "alpha-2.0-0.conda"),
        ("removed", "alpha-1.0-0.conda"),
        ("added", "alpha-1.0-0.conda"),
    ]
    assert changes[-1]["time"] == first.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [item["records"] for item in counts] == [{"noarch": 1}]


def test_the_snapshot_lists_every_file_with_its_hash(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    snapshot = json.loads((rig.site / "history/snapshot.json").read_bytes())
    listed = {**snapshot["files"], **snapshot["subdirs"]["noarch"]["files"]}
    listed |= snapshot["pages"]["files"]
    tree = rig.tree()
    # Those of single names are counted; what a host drops, or a run refreshes, is neither.
    for path in [path for path in tree if "/alpha" in path]:
        del tree[path]
    del tree[".nojekyll"], tree["status/index.html"]
    assert {path: entry["sha256"] for path, entry in listed.items()} == {
        path: digest
        for path, digest in tree.items()
        if "/shards/" not in path and path != "history/snapshot.json"
    }
