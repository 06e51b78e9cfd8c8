"""A damaged site or state: nothing vanishes, the guard stays armed, entry times survive."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.packages import build
from indexer.channel.policy import Policy
from indexer.check import check_channel
from indexer.errors import ConfigError, GuardError
from indexer.published import Folder
from indexer.rebuild.compact import compact, expand
from indexer.render import shards
from tests.support import faults
from tests.support.rig import Rig
from tests.support.web import served

# Of a row in the state: file name and body, and what becomes of both.
Alteration = Callable[[str, bytes], tuple[str, bytes]]


def fill(rig: Rig, count: int = 30) -> None:
    for number in range(count):
        rig.push(build(f"pkg{number:02}"))
    rig.push(build("native", subdir="linux-64"))
    rig.rebuild()


@pytest.mark.parametrize("damage", [b"garbage", b'{"format": 0}', b""])
def test_a_snapshot_that_cannot_be_read_empties_no_subdir(rig: Rig, damage: bytes) -> None:
    fill(rig)
    before = rig.records()
    (rig.site / "history/snapshot.json").write_bytes(damage)

    rig.rebuild(subdirs=("linux-64",))

    assert rig.records() == before
    rig.assert_sound()


def test_a_site_of_a_newer_version_is_left_alone(rig: Rig) -> None:
    fill(rig, 2)
    path = rig.site / "history/snapshot.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    before = rig.tree()
    with pytest.raises(ConfigError, match="newer cf-index"):
        rig.rebuild()
    assert rig.tree() == before


def test_a_damaged_shard_index_does_not_disarm_the_guard(rig: Rig) -> None:
    fill(rig)
    index = rig.site / "noarch" / shards.INDEX_NAME
    index.write_bytes(index.read_bytes()[:-5])
    listed = b'{"repositories": ["acme/forge/noarch/pkg00", "acme/forge/linux-64/native"]}'
    rig.fake.knobs.faults = [faults.replace_body(listed, match=faults.is_catalog())]
    with pytest.raises(GuardError, match="29 of 30"):
        rig.rebuild()


def test_entry_times_survive_a_damaged_shard_index(rig: Rig) -> None:
    fill(rig)
    before = rig.records()
    (rig.site / "noarch" / shards.INDEX_NAME).write_bytes(b"")
    rig.rebuild()
    assert rig.records() == before
    rig.assert_sound()


def damage_shard(site: Path, number: int, how: str) -> None:
    path = sorted((site / "noarch/shards").iterdir())[number]
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize("how", ["missing", "damaged"])
@pytest.mark.parametrize("full", [False, True])
def test_a_shard_that_is_lost_is_made_again_with_its_entry_times(
    rig: Rig, how: str, *, full: bool
) -> None:
    fill(rig)
    before = rig.records()
    damage_shard(rig.site, 3, how)
    rig.push(build("new"))

    rig.rebuild(full=full)

    after = rig.records()
    assert {name: after[name] for name in before} == before
    assert len(after) == 31
    rig.assert_sound()
    assert rig.rebuild().outcome == "unchanged"


def test_a_missing_shard_is_noticed_when_nothing_is_new(rig: Rig) -> None:
    fill(rig)
    damage_shard(rig.site, 3, "missing")
    assert rig.rebuild().outcome == "published"
    rig.assert_sound()


def test_named_packages_do_not_cost_others_their_lost_shards(rig: Rig) -> None:
    fill(rig)
    before = rig.records()
    damage_shard(rig.site, 3, "missing")
    rig.push(build("pkg00", "2.0"))
    rig.rebuild(packages=("pkg00",))
    assert {**before, **rig.records()} == rig.records()
    assert len(rig.records()) == 31
    rig.assert_sound()


def test_what_cannot_be_known_any_more_is_not_guessed(rig: Rig) -> None:
    fill(rig)
    for path in (rig.site / "noarch/shards").iterdir():
        path.unlink()
    (rig.site / "noarch/repodata.json").write_bytes(b"")
    with pytest.raises(GuardError):
        rig.rebuild()
    rig.rebuild(allow_drop=True)
    assert len(rig.records()) == 30
    rig.assert_sound()


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"a": 1}'])
@pytest.mark.parametrize("subdir", ["noarch", "linux-64"])
def test_damaged_summaries_are_made_again(rig: Rig, content: bytes | None, subdir: str) -> None:
    fill(rig, 3)
    before = rig.tree()
    path = rig.site / "history" / subdir / "names.json"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    rig.rebuild(subdirs=("noarch",))
    assert {k: v for k, v in rig.tree().items() if k in before} == before
    rig.assert_sound()


def test_revoking_a_build_cannot_be_prevented_by_uploading_too_much(rig: Rig) -> None:
    rig.push(build("big", "0.1"))
    rig.rebuild()
    rig.fake.remove_tag(rig.repository("noarch", "big"), "0.1-0")
    for number in range(18):
        extra = {"unknown": "x" * (1024 * 1024 - 2000)}
        rig.push(build("big", f"1.{number}", extra_index=extra))

    report = rig.rebuild()

    assert "big-0.1-0.conda" not in rig.records()
    assert 0 < len(rig.records()) < 18
    assert len(rig.records()) + len(report.left_out) == 18
    rig.assert_sound()


def test_a_spec_that_makes_the_parser_panic_costs_its_artifact_alone(rig: Rig) -> None:
    spec = "a[build_number='>99999999999999999999']"
    rig.push(build("alpha", extra_index={"depends": [spec]}))
    rig.push(build("beta"))
    report = rig.rebuild()
    assert list(rig.records()) == ["beta-1.0-0.conda"]
    assert len(report.left_out) == 1


def test_a_mistyped_previous_does_not_begin_the_channel_anew(rig: Rig) -> None:
    fill(rig, 2)
    site = rig.site.rename(rig.root / "published")
    rig.rebuild(previous=str(site))
    (rig.root / "empty").mkdir()
    shutil.rmtree(rig.site)
    for mistyped in (f"{rig.fake.http}/no-such-site/", str(rig.root / "empty")):
        with pytest.raises(GuardError, match="entry times and history would be lost"):
            rig.rebuild(previous=mistyped)
    assert rig.rebuild(previous=str(rig.root / "empty"), allow_drop=True).outcome == "published"


def test_a_first_deployment_that_failed_blocks_nothing(rig: Rig) -> None:
    rig.push(build("alpha"))
    (rig.root / "empty").mkdir()
    with served(rig.root / "empty") as address:
        rig.rebuild(previous=address)
        before = rig.records()
        # The site was built, never deployed, and the next machine has only the state.
        shutil.move(rig.site, rig.root / "lost")
        assert rig.rebuild(previous=address).outcome == "published"
        # Where it does have the site, it builds upon that one.
        shutil.rmtree(rig.site)
        shutil.move(rig.root / "lost", rig.site)
        report = rig.rebuild(previous=address)
    assert rig.records() == before
    assert any("built upon" in note for note in report.notes)


@pytest.mark.parametrize("forgetful", ["--full", "another policy", "a damaged state"])
def test_that_there_was_a_site_is_known_whatever_becomes_of_the_state(
    rig: Rig, forgetful: str
) -> None:
    fill(rig, 2)
    with served(rig.site.rename(rig.root / "published")) as address:
        rig.rebuild(previous=address)
        shutil.rmtree(rig.site)
        changes: dict[str, Any] = {}
        if forgetful == "--full":
            changes["full"] = True
        elif forgetful == "another policy":
            changes["policy"] = Policy("none")
        else:
            rig.state_file.write_bytes(b"")
        with pytest.raises(GuardError, match="but there was one at"):
            rig.rebuild(previous=f"{address}nowhere/", **changes)


def test_an_output_that_vanished_is_told_of(rig: Rig) -> None:
    fill(rig, 2)
    before = rig.records()
    site = rig.site.rename(rig.root / "moved")
    report = rig.rebuild()
    assert any("entry times begin anew" in note for note in report.notes)
    assert rig.records() != before
    shutil.rmtree(rig.site)
    rig.rebuild(previous=str(site))
    assert rig.records() == before
    assert not any("anew" in note for note in rig.rebuild(output=rig.root / "other").notes)


def test_another_channel_in_the_output_is_not_built_upon(rig: Rig) -> None:
    rig.push(build("alpha"))
    (rig.root / "empty").mkdir()
    rig.rebuild()
    with pytest.raises(GuardError, match="channel forge"):
        rig.rebuild(previous=str(rig.root / "empty"), channel="other")


@pytest.mark.parametrize("lost", ["a shard", "a shard's bytes", "its names"])
@pytest.mark.parametrize("where", ["output", "folder"])
def test_damage_in_a_subdir_that_is_not_read_is_mended(rig: Rig, lost: str, where: str) -> None:
    fill(rig, 2)
    before = rig.tree()
    (shard,) = (rig.site / "linux-64/shards").iterdir()
    names = rig.site / "history/linux-64/names.json"
    if lost == "a shard":
        shard.unlink()
    elif lost == "a shard's bytes":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        names.write_bytes(names.read_bytes().replace(b'"1.0"', b'"9.0"'))
    rig.push(build("new"))
    if where == "folder":
        site = rig.site.rename(rig.root / "elsewhere")
        rig.rebuild(subdirs=("noarch",), previous=str(site))
    else:
        rig.rebuild(subdirs=("noarch",))
    after = rig.tree()
    linux = {path for path in before if "linux-64/" in path}
    assert {path: after[path] for path in linux} == {path: before[path] for path in linux}
    assert b'"9.0"' not in (rig.site / "channeldata.json").read_bytes()
    rig.assert_sound()


@pytest.mark.parametrize("name", ["changes.json", "counts.json"])
def test_history_from_elsewhere_is_believed_by_its_hash_alone(rig: Rig, name: str) -> None:
    fill(rig, 2)
    site = rig.site.rename(rig.root / "elsewhere")
    path = site / "history" / name
    path.write_bytes(path.read_bytes().replace(b"2026", b"1999"))
    assert rig.rebuild(previous=str(site)).outcome == "published"
    assert b"1999" not in (rig.site / "history" / name).read_bytes()


def test_a_small_channel_that_can_be_read_in_no_form_is_not_begun_anew(rig: Rig) -> None:
    fill(rig, 3)
    for name in ("repodata.json", shards.INDEX_NAME):
        (rig.site / "noarch" / name).write_bytes(b"")
    with pytest.raises(GuardError, match="damaged"):
        rig.rebuild()
    assert rig.rebuild(allow_drop=True).outcome == "published"


def test_a_record_that_can_be_read_in_no_form_is_not_entered_anew(rig: Rig) -> None:
    fill(rig, 3)
    (rig.site / "noarch/repodata.json").write_bytes(b"")
    next((rig.site / "noarch/shards").iterdir()).unlink()
    with pytest.raises(GuardError, match="can't be read any more"):
        rig.rebuild()
    assert rig.rebuild(allow_drop=True).outcome == "published"
    rig.assert_sound()


def test_shards_that_nobody_knows_any_more_go_after_their_week(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("alpha", "2.0"))
    rig.rebuild()
    (rig.site / "history/snapshot.json").write_bytes(b"{}")
    rig.push(build("alpha", "3.0"))
    rig.rebuild()
    assert len(list((rig.site / "noarch/shards").iterdir())) == 3
    rig.now += timedelta(days=8)
    rig.push(build("beta"))
    rig.rebuild()
    assert len(list((rig.site / "noarch/shards").iterdir())) == 2
    rig.assert_sound()


def test_what_is_remembered_is_looked_at_again_before_it_replaces_what_is_published(
    rig: Rig,
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("alpha", extra_index={"license": "MIT"}))
    # Another state let the new bytes in: this one is older than the site.
    rig.rebuild(policy=Policy("none"), allow_changed=("*",))
    new = rig.records()
    for changes in ({}, {"allow_changed": ("*",)}):
        report = rig.rebuild(**changes)
        assert report.left_out == []
        assert rig.records() == new


def test_a_state_does_not_only_grow(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "1.0-0")
    rig.rebuild()

    def artifacts() -> int:
        with contextlib.closing(sqlite3.connect(rig.state_file)) as connection:
            count: int = connection.execute("SELECT COUNT(*) FROM artifact").fetchone()[0]
        return count

    assert artifacts() == 1
    rig.now += timedelta(days=31)
    rig.rebuild()
    assert artifacts() == 0


def test_a_setting_that_is_refused_does_not_cost_the_state(rig: Rig) -> None:
    fill(rig, 2)
    with pytest.raises(GuardError):
        rig.rebuild(channel="other")
    assert rig.rebuild().requests.get("manifests", 0) == 0


def test_a_run_that_lets_everything_in_does_not_cost_the_state(rig: Rig) -> None:
    fill(rig, 2)
    rig.rebuild(policy=Policy("none"))
    report = rig.rebuild()
    assert report.requests.get("manifests", 0) == 0


@pytest.mark.parametrize("name", ["repodata.json", "repodata.json.zst", "shards"])
def test_damage_in_a_site_from_elsewhere_is_not_published(rig: Rig, name: str) -> None:
    fill(rig, 3)
    before = rig.tree()
    site = rig.site.rename(rig.root / "published")
    path = site / "noarch" / name
    path = next(path.iterdir()) if path.is_dir() else path
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    rig.rebuild(previous=str(site))
    rig.assert_sound()
    assert {path for path in rig.tree() if path.startswith("noarch/")} == {
        path for path in before if path.startswith("noarch/")
    }


def test_another_channel_is_not_published_over_this_one(rig: Rig) -> None:
    fill(rig, 2)
    with pytest.raises(GuardError, match="channel forge"):
        rig.rebuild(channel="other")


def test_state_and_output_stay_apart(rig: Rig) -> None:
    rig.push(build("alpha"))
    with pytest.raises(ConfigError, match="within one another"):
        rig.rebuild(state=rig.site / "state")
    with pytest.raises(ConfigError, match="within one another"):
        rig.rebuild(state=rig.root / "s", output=rig.root / "s/site")


def test_a_glob_takes_out_what_is_gone_with_and_without_the_state(rig: Rig) -> None:
    fill(rig, 3)
    shutil.copytree(rig.site, rig.root / "copy")
    gone = b'{"repositories": ["acme/forge/noarch/pkg00", "acme/forge/noarch/pkg01"]}'
    rig.fake.knobs.faults = [faults.replace_body(gone, match=faults.is_catalog())]

    rig.rebuild(packages=("pkg*",), subdirs=("noarch",))
    with_state = rig.records()
    shutil.rmtree(rig.site)
    shutil.rmtree(rig.root / "state")
    shutil.copytree(rig.root / "copy", rig.site)
    rig.rebuild(packages=("pkg*",), subdirs=("noarch",))

    assert rig.records() == with_state
    assert len(with_state) == 2


def in_body(old: bytes, new: bytes) -> Alteration:
    """What an editor would do to a record."""

    def alter(file_name: str, body: bytes) -> tuple[str, bytes]:
        data = expand(body)
        assert old in data
        return file_name, compact(data.replace(old, new, 1))

    return alter


@pytest.mark.parametrize(
    "alteration",
    [
        in_body(b'"size":', b'"size":9'),
        in_body(b'"md5":"', b'"md5":"z'),
        in_body(b'"name":"', b'"name":"\xff'),
        in_body(b'"name":"', b'"name":,,'),
        # And what a disk would.
        lambda name, body: (name, body[:20] + b"\xff" + body[21:]),
        lambda name, body: (name, body[:-9]),
        lambda name, _: (name, b""),
        lambda name, body: (name.replace("pkg01", "pkg99"), body),
    ],
)
def test_what_was_altered_in_the_state_is_not_published(rig: Rig, alteration: Alteration) -> None:
    fill(rig, 3)
    before = rig.records()
    with contextlib.closing(sqlite3.connect(rig.state_file)) as connection:
        name = "pkg01-1.0-0.conda"
        (row,) = connection.execute("SELECT body FROM record WHERE file_name = ?", (name,))
        connection.execute(
            "UPDATE record SET file_name = ?, body = ? WHERE file_name = ?",
            (*alteration(name, row[0]), name),
        )
        connection.commit()
    for number in range(3):
        rig.push(build(f"pkg{number:02}", "2.0"))

    report = rig.rebuild()

    assert {name: rig.records()[name] for name in before} == before
    assert len(rig.records()) == 6
    assert any("damaged" in note for note in report.notes)
    assert rig.rebuild().requests.get("manifests", 0) == 0


def test_a_state_without_one_of_its_tables_is_set_aside(rig: Rig) -> None:
    fill(rig, 2)
    with contextlib.closing(sqlite3.connect(rig.state_file)) as connection:
        connection.execute("DROP TABLE name")
    report = rig.rebuild()
    assert any("set aside" in note for note in report.notes)
    assert len(rig.records()) == 2


def flip(path: Path) -> None:
    """One bit, so that its size says nothing."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    # Its links in the old site and the new one are one file.
    path.unlink()
    path.write_bytes(data)


def shard_of(rig: Rig, name: str) -> Path:
    _, hashes = shards.unpack_index((rig.site / "noarch" / shards.INDEX_NAME).read_bytes())
    return rig.site / "noarch" / shards.FOLDER / f"{hashes[name]}{shards.SUFFIX}"


@pytest.fixture
def large(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A channel that has too many shards to look at all of them for each change."""
    monkeypatch.setattr("indexer.rebuild.planning._FEW", 0)
    fill(rig, 6)
    return rig


def test_a_damaged_shard_that_gets_a_new_build_is_made_anew(large: Rig) -> None:
    flip(shard_of(large, "pkg03"))
    large.push(build("pkg03", "2.0"))
    assert large.rebuild().outcome == "published"
    large.assert_sound()
    assert len(large.records()) == 7


def test_a_damaged_shard_that_nothing_touches_is_made_anew_within_a_day(large: Rig) -> None:
    before = large.records()
    flip(shard_of(large, "pkg03"))
    large.push(build("pkg01", "2.0"))
    large.rebuild()
    assert check_channel(Folder(large.site)).problems
    large.now += timedelta(days=1)
    # Nothing is looked at while nothing changes.
    large.push(build("pkg02", "2.0"))
    large.rebuild()
    large.assert_sound()
    assert {name: large.records()[name] for name in before} == before


@pytest.mark.parametrize("path", ["repodata.json", "repodata.json.zst"])
def test_damage_is_mended_where_only_the_look_changes(rig: Rig, path: str) -> None:
    fill(rig, 3)
    before = rig.records()
    flip(rig.site / "noarch" / path)
    assert rig.rebuild(base_url="https://example.org/").outcome == "published"
    rig.assert_sound()
    assert rig.records() == before


def test_a_change_of_the_look_is_checked_whole(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    original = check_channel

    def check(*arguments: Any) -> Any:
        checked.append(sorted(arguments[3]))
        return original(*arguments)

    monkeypatch.setattr("indexer.rebuild.site.check_channel", check)
    fill(rig, 3)
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("beta"))
    rig.rebuild(base_url="https://example.org/")
    assert checked == [[], ["noarch"], []]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tag SET since = 1000000000000000000, status = 'waiting'",
        "UPDATE artifact SET faults = '[[\"x\"]]', notes = 'no JSON'",
        "UPDATE tag SET tag = CAST(x'ff' AS TEXT) WHERE repository = 'pkg01'",
        "UPDATE name SET name = CAST(x'ff' AS TEXT) WHERE repository = 'pkg01'",
        "UPDATE name SET name = x'00' WHERE repository = 'pkg01'",
        "UPDATE record SET sha256 = 'text' WHERE name = 'pkg01'",
    ],
)
def test_a_state_with_an_altered_row_is_begun_anew(rig: Rig, statement: str) -> None:
    fill(rig, 3)
    before = rig.records()
    with contextlib.closing(sqlite3.connect(rig.state_file)) as connection:
        connection.execute(statement)
        connection.commit()
    rig.push(build("pkg01", "2.0"))
    rig.rebuild()
    rig.assert_sound()
    assert {name: rig.records()[name] for name in before} == before
    assert len(rig.records()) == len(before) + 1


def test_a_snapshot_that_lists_another_file_is_no_reason_to_stop(rig: Rig) -> None:
    fill(rig, 3)
    path = rig.site / "history/snapshot.json"
    path.write_bytes(
        path.read_bytes().replace(b'"noarch/repodata.json"', b'"noarch/repodatA.json"')
    )
    rig.push(build("alpha"))
    assert rig.rebuild().outcome == "published"
    rig.assert_sound()
    assert len(rig.records()) == 4
