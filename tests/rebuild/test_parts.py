"""Subdirs read beside each other, and joined: the same site, or none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.packages import build
from indexer.channel.policy import Policy
from indexer.config import load_config
from indexer.errors import ConfigError, GuardError, RegistryError
from indexer.progress import Silence
from indexer.rebuild.joining import join
from indexer.rebuild.part import Maker, Part, read_part, write_part
from indexer.rebuild.pipeline import rebuild
from indexer.rebuild.report import Report
from indexer.rebuild.run import Run
from indexer.rebuild.splitting import find_subdirs
from tests.support import faults
from tests.support.gate import Gate
from tests.support.rig import CHANNEL, Rig, tree_of
from tests.support.validator import VALIDATED_AT, Validator
from tests.support.web import served

SUBDIRS = ("linux-64", "noarch")


def make(rig: Rig, run: str = "7", subdirs: Sequence[str] = SUBDIRS, **changes: Any) -> list[Path]:
    """A part of each subdir, by a job with a state of its own."""
    folders = []
    rig.now += timedelta(minutes=15)
    for subdir in subdirs:
        folder = rig.root / "parts" / subdir
        settings = {"subdirs": (subdir,), "part": folder, "run": run} | changes
        config = rig.config(**{"state": rig.root / f"state-{subdir}"} | settings)
        rebuild(config, Run(rig.now, rig.environ, Silence(), apis=rig.apis))
        folders.append(folder)
    return folders


def put_together(rig: Rig, folders: Sequence[Path], **changes: Any) -> Report:
    config = rig.config(**{"state": rig.root / "state-join"} | changes)
    return join(config, folders, Run(rig.now, rig.environ, Silence()))


@pytest.fixture
def two(rig: Rig) -> Rig:
    rig.push(build("alpha"), build("alpha", archive="tar.bz2"))
    rig.push(build("beta", subdir="linux-64"))
    rig.push(build("late"), validated=False)
    return rig


def test_parts_joined_are_the_site_that_one_run_makes(two: Rig) -> None:
    put_together(two, make(two))
    two.assert_sound()
    apart = tree_of(two.site)
    shutil.rmtree(two.site)
    two.now -= timedelta(minutes=15)
    two.rebuild()
    assert {path: apart.get(path) for path in two.tree()} == two.tree()


def test_parts_of_a_change_are_the_site_that_one_run_makes(two: Rig) -> None:
    two.rebuild()
    shutil.copytree(two.site, two.root / "before")
    shutil.copytree(two.root / "state", two.root / "state-whole")
    two.push(build("alpha", "2.0"))
    folders = make(two)
    report = put_together(two, folders)
    assert report.outcome == "published"
    assert report.subdirs["noarch"].count.added == 1
    apart = two.tree()
    shutil.rmtree(two.site)
    shutil.copytree(two.root / "before", two.site)
    two.now -= timedelta(minutes=15)
    two.rebuild(state=two.root / "state-whole")
    assert two.tree() == apart


def test_a_part_without_a_change_brings_no_files(two: Rig) -> None:
    put_together(two, make(two))
    before = two.tree()
    folders = make(two)
    for folder in folders:
        assert [path.name for path in folder.iterdir()] == ["part.json"]
    assert put_together(two, folders).outcome == "unchanged"
    assert two.tree() == before


def test_a_part_of_a_change_brings_what_changed_and_no_more(two: Rig) -> None:
    put_together(two, make(two))
    two.push(build("alpha", "2.0"))
    two.push(build("omega"))
    _, noarch = make(two)
    new = list((noarch / "noarch" / "shards").iterdir())
    assert len(new) == 2
    put_together(two, [noarch])
    assert len(two.records()) == 4
    two.assert_sound()


def test_subdirs_without_a_part_stay_as_they_are(two: Rig) -> None:
    put_together(two, make(two))
    two.push(build("beta", "2.0", subdir="linux-64"))
    two.push(build("alpha", "2.0"))
    put_together(two, make(two, subdirs=["noarch"]))
    assert list(two.records("linux-64")) == ["beta-1.0-0.conda"]
    assert "alpha-2.0-0.conda" in two.records()
    two.assert_sound()


def test_a_channel_without_noarch_gets_an_empty_one(rig: Rig) -> None:
    rig.push(build("beta", subdir="linux-64"))
    put_together(rig, make(rig, subdirs=["linux-64"]))
    assert rig.records("noarch") == {}
    rig.assert_sound()


def test_what_the_parts_tell_is_in_the_report(two: Rig) -> None:
    two.push(build("pretender", subdir="linux-64"), repository="other")
    folders = make(two)
    report = put_together(two, folders)
    assert report.run == "7"
    assert sorted(report.subdirs) == list(SUBDIRS)
    assert [item.repository for item in report.left_out] == ["other"]
    assert [item.repository for item in report.waiting] == ["late"]
    assert report.requests["manifests"] == 4
    assert "linux-64" in (two.site / "status" / "index.html").read_text()


def test_what_waits_keeps_waiting_since_the_part_first_saw_it(two: Rig) -> None:
    report = put_together(two, make(two))
    since = report.waiting[0].since
    shutil.rmtree(two.root / "state-noarch")
    assert put_together(two, make(two)).waiting[0].since == since


def test_parts_of_other_runs_are_refused(two: Rig) -> None:
    one, _ = make(two, run="7")
    _, other = make(two, run="8", subdirs=SUBDIRS)
    make(two, run="7", subdirs=["linux-64"])
    with pytest.raises(ConfigError, match="is of run 8, not of 7"):
        put_together(two, [one, other])
    assert not two.site.exists()


def test_parts_of_another_run_than_the_one_named_are_refused(two: Rig) -> None:
    with pytest.raises(ConfigError, match="is of run 7, not of 8"):
        put_together(two, make(two), run="8")


@pytest.mark.parametrize(
    ("what", "value"),
    [("version", "0.0.1"), ("registry", "oci://other.example/acme"), ("channel", "other"),
     ("policy", "none")],
)  # fmt: skip
def test_parts_made_otherwise_are_refused(two: Rig, what: str, value: str) -> None:
    folders = make(two)
    alter(folders[1], lambda part: part["maker"].update({what: value}))
    with pytest.raises(ConfigError, match=f"is of {what} {value}"):
        put_together(two, folders)
    assert not two.site.exists()


def test_two_parts_of_one_subdir_are_refused(two: Rig) -> None:
    folders = make(two)
    with pytest.raises(ConfigError, match="more than one part of noarch"):
        put_together(two, [*folders, folders[1]])


def test_parts_made_upon_another_site_are_refused(two: Rig) -> None:
    put_together(two, make(two))
    two.push(build("alpha", "2.0"))
    folders = make(two)
    two.push(build("alpha", "3.0"))
    put_together(two, make(two, run="8"))
    before = two.tree()
    shutil.rmtree(two.root / "parts")
    two.push(build("alpha", "4.0"))
    newer = make(two, run="9")
    alter(newer[1], lambda part: part["bases"].update({"noarch": "0" * 64}))
    with pytest.raises(GuardError, match="made upon another index than is published now"):
        put_together(two, newer)
    assert two.tree() == before
    assert folders


def test_a_part_that_another_run_overtook_is_refused(two: Rig) -> None:
    put_together(two, make(two))
    two.push(build("alpha", "2.0"))
    late = [shutil.copytree(folder, two.root / "late" / folder.name) for folder in make(two)]
    two.push(build("alpha", "3.0"))
    put_together(two, make(two, run="8"))
    before = two.tree()
    with pytest.raises(GuardError, match="another run published meanwhile"):
        put_together(two, late)
    assert two.tree() == before


def test_another_base_url_than_the_parts_were_made_with_is_refused(two: Rig) -> None:
    folders = make(two, base_url="https://one.example/forge")
    with pytest.raises(ConfigError, match="made with another --base-url"):
        put_together(two, folders, base_url="https://other.example/forge")


@pytest.mark.parametrize(
    "path",
    ["noarch/repodata.json.zst", "noarch/repodata_shards.msgpack.zst",
     "history/noarch/names.json", "noarch/shards/"],
)  # fmt: skip
def test_a_part_that_was_spoilt_on_its_way_is_refused(two: Rig, path: str) -> None:
    folders = make(two)
    file = folders[1] / path
    if file.is_dir():
        file = next(file.iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigError, match="isn't what the part lists"):
        put_together(two, folders)
    assert not two.site.exists()


def test_a_part_that_lacks_a_file_is_refused(two: Rig) -> None:
    folders = make(two)
    (folders[1] / "noarch" / "repodata.json.zst").unlink()
    with pytest.raises(ConfigError, match=r"is no part: .*repodata\.json\.zst is missing"):
        put_together(two, folders)


def test_a_part_that_lacks_a_shard_is_not_published(two: Rig) -> None:
    folders = make(two)
    for shard in (folders[1] / "noarch" / "shards").iterdir():
        shard.unlink()
    with pytest.raises(ConfigError, match="has no shard of alpha"):
        put_together(two, folders)
    assert not two.site.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part.pop("report"),
        lambda part: part.update(format=2),
        lambda part: part["shares"]["noarch"]["count"].update(added=-3),
        lambda part: part["shares"]["noarch"].update(records=77),
        lambda part: part["shares"]["noarch"]["files"]["noarch/repodata.json"].update(size=9),
        lambda part: part["shares"]["noarch"]["files"]["noarch/repodata.json"].update(
            size=2**52
        ),
        lambda part: part["shares"]["noarch"]["files"]["noarch/repodata.json"].update(
            sha256="0" * 64
        ),
        lambda part: part["shares"]["noarch"].update(replaced=["../../../etc/passwd"]),
        lambda part: part["shares"]["noarch"]["files"].update(
            {"../index.html": {"sha256": "0" * 64, "size": 1}}
        ),
        lambda part: part["shares"]["noarch"]["recent"][0].update(file_name="a\x1b[2J"),
        lambda part: part["shares"]["noarch"]["recent"][0].update(subdir="win-64"),
        lambda part: part["report"]["notes"].append("x\n::error::y"),
        lambda part: part["report"]["notes"].append("x" * 20_000),
        lambda part: part["report"]["changes"].append({}),
        lambda part: part["report"]["changes"][0].update(kind="zzz"),
        lambda part: part["shares"]["noarch"]["files"]["noarch/repodata.json.zst"].update(size=5),
        lambda part: part["shares"]["noarch"]["files"]["history/noarch/names.json"].update(
            size=5
        ),
        lambda part: part["report"].update(subdirs={}),
        lambda part: part["bases"].update({"../x": ""}),
        lambda part: part.update(shares=[]),
        lambda part: part.update(unsettled=[["noarch", "a", "b", "now"]]),
        lambda part: part.update(unsettled=[["noarch", "a", "b", 1e300]]),
        lambda part: part.update(rejections=[{"subdir": "noarch"}]),
    ],
)  # fmt: skip
def test_a_part_that_says_what_cannot_be_is_refused(two: Rig, change: Any) -> None:
    folders = make(two)
    alter(folders[1], change)
    with pytest.raises(ConfigError, match="can't be joined"):
        put_together(two, folders)
    assert not two.site.exists()


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 100_000, b'{"format":1}'])
def test_what_is_no_part_at_all_is_refused(two: Rig, data: bytes) -> None:
    folders = make(two)
    (folders[0] / "part.json").write_bytes(data)
    with pytest.raises(ConfigError, match="can't be joined"):
        put_together(two, folders)


def test_a_folder_that_is_no_part_is_named(two: Rig) -> None:
    with pytest.raises(ConfigError, match=r"is no part: .*part\.json is missing"):
        put_together(two, [two.root / "nowhere"])


def test_a_link_in_a_part_is_not_followed_into_the_site(two: Rig) -> None:
    folders = make(two)
    file = folders[1] / "noarch" / "repodata.json.zst"
    file.rename(two.root / "moved.zst")
    file.symlink_to(two.root / "moved.zst")
    with pytest.raises(ConfigError, match="isn't what the part lists"):
        put_together(two, folders)


def test_the_parts_stay_as_they_are(two: Rig) -> None:
    folders = make(two)
    before = [tree_of(folder) for folder in folders]
    put_together(two, folders)
    assert [tree_of(folder) for folder in folders] == before


def test_a_part_needs_the_name_of_its_run(tmp_path: Path) -> None:
    flags = {"registry": "ocidir://x", "channel": "c", "output": "site", "part": tmp_path / "part"}
    with pytest.raises(ConfigError, match="--part needs --run"):
        load_config(flags, {})
    with pytest.raises(ConfigError, match="don't go together"):
        load_config({**flags, "run": "7", "packages": ("alpha",)}, {})


def test_a_part_takes_no_place_that_is_another_s(two: Rig) -> None:
    folder = two.root / "parts" / "noarch"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("dear")
    with pytest.raises(ConfigError, match="isn't a part"):
        make(two, subdirs=["noarch"])
    assert (folder / "thesis.tex").read_text() == "dear"


def test_making_a_part_touches_no_site(two: Rig) -> None:
    two.rebuild()
    before = {path: path.stat().st_mtime_ns for path in two.site.rglob("*")}
    two.push(build("alpha", "2.0"))
    make(two)
    assert {path: path.stat().st_mtime_ns for path in two.site.rglob("*")} == before


def test_a_registry_that_is_down_leaves_no_part(two: Rig) -> None:
    two.fake.knobs.faults = [faults.status(503)]
    with pytest.raises(RegistryError):
        make(two, subdirs=["noarch"])
    assert not (two.root / "parts" / "noarch").exists()


def test_the_guard_looks_at_parts_when_they_are_made(rig: Rig) -> None:
    for number in range(24):
        rig.push(build("alpha", f"{number}.0"))
    put_together(rig, make(rig, subdirs=["noarch"]))
    for number in range(24):
        rig.fake.remove_tag(rig.repository("noarch", "alpha"), f"{number}.0-0")
    with pytest.raises(GuardError):
        make(rig, subdirs=["noarch"])


def test_from_an_address_a_part_fetches_its_own_subdir_alone(two: Rig) -> None:
    two.rebuild()
    shutil.move(two.site, two.root / "published")
    with served(two.root / "published") as address:
        two.push(build("beta", "2.0", subdir="linux-64"))
        folders = make(two, previous=address)
        report = put_together(two, folders, previous=address)
    assert report.outcome == "published"
    two.assert_sound()
    assert sorted(two.records("linux-64")) == ["beta-1.0-0.conda", "beta-2.0-0.conda"]


def test_a_damaged_copy_of_the_site_is_mended_from_its_address(two: Rig) -> None:
    two.rebuild()
    shutil.copytree(two.site, two.root / "published")
    next((two.site / "noarch" / "shards").iterdir()).unlink()
    with served(two.root / "published") as address:
        two.push(build("beta", "2.0", subdir="linux-64"))
        put_together(two, make(two, previous=address), previous=address)
    two.assert_sound()
    assert len(two.records()) == 2


def test_subdirs_are_those_of_the_registry_and_of_the_site(two: Rig) -> None:
    two.push(build("once", subdir="win-64"))
    two.rebuild()
    names = two.root / "names.txt"
    names.write_text("noarch/alpha\nosx-arm64/new\n")
    run = Run(two.now, two.environ, Silence())
    assert find_subdirs(two.config(), run) == ["linux-64", "noarch", "win-64"]
    named = find_subdirs(two.config(names=str(names)), run)
    assert named == ["linux-64", "noarch", "osx-arm64", "win-64"]
    assert find_subdirs(two.config(subdirs=("noarch",)), run) == ["noarch"]


def test_a_channel_with_nothing_has_noarch(rig: Rig) -> None:
    run = Run(rig.now, rig.environ, Silence())
    assert find_subdirs(rig.config(), run) == ["noarch"]


def test_what_is_to_be_first_is_looked_at_again_and_all_else_is_read(two: Rig) -> None:
    two.rebuild()
    two.push(build("gamma"))
    report = two.rebuild(first=("alpha",))
    # What waits is looked at in every run; alpha because somebody asked for it.
    assert report.subdirs["noarch"].looked_again == 2
    assert "gamma-1.0-0.conda" in two.records()
    listed = [request.repository for request in two.fake.requests if request.kind == "tags"]
    assert listed[0].endswith("/alpha")


def test_what_is_to_be_first_need_not_be_everywhere(two: Rig) -> None:
    report = two.rebuild(first=("alpha", "nothing-of-the-kind"))
    assert report.passed_over == []
    assert report.subdirs["linux-64"].repositories == 1


def test_what_no_source_names_is_found_by_those_who_say_it(two: Rig) -> None:
    names = two.root / "names.txt"
    names.write_text("noarch/late\nlinux-64/beta\n")
    two.rebuild(names=str(names), first=("alpha",))
    assert len(two.records()) == 2
    two.rebuild(names=str(names), first=("alpha",))
    assert len(two.records()) == 2


def alter(folder: Path, change: Any) -> None:
    path = folder / "part.json"
    part = json.loads(path.read_bytes())
    change(part)
    path.write_text(json.dumps(part))


def test_what_a_part_saw_rejected_the_joined_site_remembers(gate: Gate, rig: Rig) -> None:
    alpha = build("alpha")
    gate.push(alpha)
    gate.validate(alpha)
    settings: dict[str, Any] = {"policy": Policy("attestation"), "trust": (gate.validator.file,)}
    put_together(rig, make(rig, subdirs=["noarch"], **settings), **settings)
    assert "alpha-1.0-0.conda" in rig.records()
    tag = gate.reject(alpha, time=VALIDATED_AT + timedelta(hours=1))
    put_together(rig, make(rig, subdirs=["noarch"], **settings), **settings)
    assert rig.records() == {}
    # Whoever deletes the "no" gets nowhere, on machines that remember nothing either.
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), str(tag))
    for state in ("state-noarch", "state-join"):
        shutil.rmtree(rig.root / state)
    report = put_together(rig, make(rig, subdirs=["noarch"], **settings), **settings)
    assert rig.records() == {}
    assert [item.repository for item in report.rejected] == ["alpha"]


def test_the_guard_is_asked_again_when_parts_are_joined(rig: Rig) -> None:
    for number in range(24):
        rig.push(build("alpha", f"{number}.0"))
    put_together(rig, make(rig, subdirs=["noarch"]))
    for number in range(24):
        rig.fake.remove_tag(rig.repository("noarch", "alpha"), f"{number}.0-0")
    folders = make(rig, subdirs=["noarch"], allow_drop=True)
    with pytest.raises(GuardError, match="24 of 24 records would go"):
        put_together(rig, folders)
    assert len(rig.records()) == 24
    put_together(rig, folders, allow_drop=True)
    assert rig.records() == {}


def test_what_the_longest_part_took_counts_into_the_whole(two: Rig) -> None:
    folders = make(two)
    alter(folders[0], lambda part: part["report"].update(seconds=1800.0))
    report = put_together(two, folders)
    assert 1800 < report.took() < 1900
    assert json.loads((two.site / "status.json").read_bytes())["seconds"] > 1800


def test_names_that_cannot_be_packages_are_told_of_and_all_else_is_read(two: Rig) -> None:
    report = two.rebuild(first=("alpha", "Bad Name", "x" * 5000, "../up"))
    assert len(two.records()) == 2
    (note,) = (note for note in report.notes if "to be first" in note)
    assert note.startswith("3 names")
    assert len(note) < 500


def test_how_large_the_shards_are_is_measured_not_believed(two: Rig) -> None:
    folders = make(two)
    alter(folders[1], lambda part: part["shares"]["noarch"].update(shard_bytes=1 << 52))
    put_together(two, folders)
    snapshot = json.loads((two.site / "history" / "snapshot.json").read_bytes())
    shard_bytes = sum(path.stat().st_size for path in (two.site / "noarch" / "shards").iterdir())
    assert snapshot["subdirs"]["noarch"]["shard_bytes"] == shard_bytes


def test_a_pipe_in_place_of_a_part_is_not_waited_for(two: Rig) -> None:
    folders = make(two)
    (folders[0] / "part.json").unlink()
    os.mkfifo(folders[0] / "part.json")
    with pytest.raises(ConfigError, match="can't be joined"):
        put_together(two, folders)


def test_the_order_of_the_parts_says_nothing(two: Rig) -> None:
    folders = make(two)
    put_together(two, folders)
    before = two.tree()
    shutil.rmtree(two.site)
    put_together(two, folders[::-1], state=two.root / "state-other")
    assert two.tree() == before


def test_a_joining_that_was_ended_before_it_could_say_so_is_gone_on_with(two: Rig) -> None:
    folders = make(two)
    put_together(two, folders)
    before = two.tree()
    (two.site / "status.json").unlink()
    report = put_together(two, folders)
    assert report.outcome == "unchanged"
    assert "is published already" in report.notes[-1]
    assert two.tree() == before
    assert json.loads((two.site / "status.json").read_bytes())["run"] == "7"


@pytest.fixture
def gate(rig: Rig) -> Gate:
    return Gate(rig, rig.fake.http, CHANNEL, Validator(rig.root), Validator(rig.root, "stranger"))


def test_an_old_part_brings_back_nothing_that_was_rejected_since(gate: Gate, rig: Rig) -> None:
    settings: dict[str, Any] = {
        "policy": Policy("attestation"),
        "trust": (gate.validator.file,),
    }
    good, bad = build("good"), build("bad")
    for package in (good, build("other", subdir="linux-64")):
        gate.push(package)
        gate.validate(package)
    put_together(rig, make(rig, **settings), **settings)
    gate.push(bad)
    gate.validate(bad)
    gate.push(build("other", "2.0", subdir="linux-64"))
    gate.validate(build("other", "2.0", subdir="linux-64"))
    old = [shutil.copytree(path, rig.root / "old" / path.name) for path in make(rig, **settings)]
    gate.reject(bad, time=VALIDATED_AT + timedelta(hours=1))
    # It never was in the index, so that changes no subdir, only what is remembered.
    put_together(rig, make(rig, subdirs=["noarch"], run="8", **settings), **settings)
    report = put_together(rig, old, **settings)
    assert list(rig.records()) == ["good-1.0-0.conda"]
    assert "other-2.0-0.conda" in rig.records("linux-64")
    assert any("rejected meanwhile" in note for note in report.notes)
    assert report.subdirs["noarch"].count.added == 0
    rig.assert_sound()


def test_a_no_that_only_the_joining_machine_knows_counts(gate: Gate, rig: Rig) -> None:
    settings: dict[str, Any] = {
        "policy": Policy("attestation"),
        "trust": (gate.validator.file,),
    }
    bad = build("bad")
    gate.push(bad)
    gate.validate(bad)
    tag = gate.reject(bad, time=VALIDATED_AT + timedelta(hours=1))
    parts = make(rig, subdirs=["noarch"], **settings)
    alter(parts[0], lambda part: part["bases"].update({"noarch": "0" * 64}))
    with pytest.raises(GuardError):
        put_together(rig, parts, **settings)
    # The verdict is deleted, and the machine that reads remembers nothing.
    rig.fake.remove_tag(rig.repository("noarch", "bad"), str(tag))
    shutil.rmtree(rig.root / "state-noarch")
    put_together(rig, make(rig, subdirs=["noarch"], run="8", **settings), **settings)
    assert "bad" not in (rig.site / "noarch" / "repodata.json").read_text()
    # The site told the next one.
    report = put_together(rig, make(rig, subdirs=["noarch"], run="9", **settings), **settings)
    assert rig.records() == {}
    assert [item.repository for item in report.rejected] == ["bad"]


@pytest.mark.parametrize(
    "odd",
    [
        {"file_name": "bad-1.0\x07-0.conda"},
        {"policy": "urn:x\u00a0y"},
        {"verifier": "urn:x:\nvalidator"},
        {"reason": "a\n" * 5000},
    ],
    ids=str,
)
def test_a_part_made_of_any_verdict_can_be_joined(
    gate: Gate, rig: Rig, odd: dict[str, str]
) -> None:
    settings: dict[str, Any] = {
        "policy": Policy("attestation"),
        "trust": (gate.validator.file,),
    }
    good, bad = build("good"), build("bad")
    for package in (good, bad):
        gate.push(package)
    gate.validate(good)
    gate.reject(bad, **odd)
    put_together(rig, make(rig, subdirs=["noarch"], **settings), **settings)
    assert list(rig.records()) == ["good-1.0-0.conda"]


def test_a_part_made_of_any_artifact_can_be_joined(rig: Rig) -> None:
    rig.push(build("good"))
    rig.push(build("bad", "1.0"), tag="odd_tag", repository="x.y")
    odd = replace(build("bad"), file_name="bad\x1b[2J-1.0-0.conda")
    rig.push(odd, repository="bad", tag="1.0-0")
    report = put_together(rig, make(rig, subdirs=["noarch"]))
    assert list(rig.records()) == ["good-1.0-0.conda"]
    assert len(report.left_out) == 2


def test_what_is_kept_for_later_is_brought_again_to_a_damaged_copy(two: Rig) -> None:
    two.rebuild()
    for version in ("2.0", "3.0"):
        two.push(build("alpha", version))
        two.rebuild()
    shutil.copytree(two.site, two.root / "published")
    (kept, *_) = (two.site / "history" / "noarch").glob("*.msgpack.zst")
    with served(two.root / "published") as address:
        kept.unlink()
        put_together(two, make(two, previous=address), previous=address)
        assert kept.is_file()
        entry = json.loads((two.site / "history" / "snapshot.json").read_bytes())
        superseded = next(iter(entry["subdirs"]["noarch"]["superseded"]))
        shard = two.site / "noarch" / "shards" / f"{superseded}.msgpack.zst"
        shard.unlink()
        put_together(two, make(two, previous=address), previous=address)
        assert shard.is_file()


def test_a_later_yes_that_the_part_knew_lets_it_in(gate: Gate, rig: Rig) -> None:
    settings: dict[str, Any] = {
        "policy": Policy("attestation"),
        "trust": (gate.validator.file,),
    }
    alpha = build("alpha")
    gate.push(alpha)
    gate.reject(alpha)
    put_together(rig, make(rig, subdirs=["noarch"], **settings), **settings)
    gate.validate(alpha, time=VALIDATED_AT + timedelta(hours=1))
    put_together(rig, make(rig, subdirs=["noarch"], **settings), **settings)
    assert list(rig.records()) == ["alpha-1.0-0.conda"]


def test_what_is_damaged_where_parts_are_joined_is_mended(two: Rig) -> None:
    put_together(two, make(two))
    before = two.tree()
    folders = make(two)
    next((two.site / "noarch" / "shards").iterdir()).unlink()
    assert put_together(two, folders).outcome == "published"
    assert {path: two.tree().get(path) for path in before if "shards" in path} == {
        path: digest for path, digest in before.items() if "shards" in path
    }
    two.assert_sound()


def test_a_part_is_readable_whatever_its_report_quotes(tmp_path: Path) -> None:
    report = Report("t", "v", "r", "c", "p", "o", notes=["a\nb\x1b[2J", "x" * 50_000])
    part = Part(Maker("7", "v", "r", "c", "p"), report, {}, [], {}, [])
    folder = tmp_path / "part"
    folder.mkdir()
    write_part(folder, part)
    found = read_part(folder, tmp_path / "scratch").report.notes
    assert found[0] == "a\\nb\\x1b[2J"
    assert len(found[1]) < 10_000
