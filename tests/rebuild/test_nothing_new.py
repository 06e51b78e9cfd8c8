"""Runs that find nothing new, or little: cost follows the change, bytes follow the content."""

from __future__ import annotations

import shutil
from datetime import timedelta
from fractions import Fraction

from demo.layers import VALIDATED, package_manifest
from demo.packages import build
from tests.support.rig import Rig, records_in


def test_a_second_run_changes_no_byte_and_reads_no_manifest(rig: Rig) -> None:
    for name in ("alpha", "beta"):
        rig.push(build(name))
    rig.rebuild()
    before = rig.tree()

    report = rig.rebuild()

    assert rig.tree() == before
    assert report.requests == {"catalog": 1, "tags": 2}
    assert report.outcome == "unchanged"


def test_one_new_package_costs_two_reads_and_one_shard(rig: Rig) -> None:
    for number in range(5):
        rig.push(build(f"pkg{number}"))
    rig.rebuild()
    shards = set((rig.site / "noarch/shards").iterdir())
    rig.push(build("new"))

    report = rig.rebuild()

    assert (report.requests["manifests"], report.requests["blobs"]) == (1, 1)
    assert len(set((rig.site / "noarch/shards").iterdir()) - shards) == 1
    rig.assert_sound()


def test_a_lost_state_makes_the_same_bytes(rig: Rig) -> None:
    rig.push(build("alpha"), build("alpha", archive="tar.bz2"))
    rig.rebuild()
    rig.push(build("beta"))
    rig.rebuild()
    before = rig.tree()
    shutil.rmtree(rig.root / "state")

    report = rig.rebuild(full=True)

    assert rig.tree() == before
    assert report.requests["manifests"] == 2


def test_a_damaged_state_is_set_aside_and_made_anew(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    path = rig.state_file
    path.write_bytes(b"no database at all, but long enough to look like one" * 100)

    report = rig.rebuild()

    assert rig.tree() == before
    assert any("set aside" in note for note in report.notes)


def test_a_state_damaged_inside_is_set_aside_and_made_anew(rig: Rig) -> None:
    for number in range(200):
        rig.push(build(f"pkg{number}"))
    rig.rebuild()
    before = rig.tree()
    path = rig.state_file
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)

    report = rig.rebuild()

    assert rig.tree() == before
    assert any("damaged" in note for note in report.notes)


def test_a_state_of_another_registry_is_not_believed(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()

    rig.rebuild(channel="elsewhere", output=rig.root / "other")

    assert records_in(rig.root / "other", "noarch") == {}


def test_a_mark_set_later_is_noticed_at_the_next_run(rig: Rig) -> None:
    package = build("alpha")
    rig.push(package, validated=False)
    rig.rebuild()
    rig.push(package)

    rig.rebuild()

    assert list(rig.records()) == [package.file_name]


def test_a_mark_taken_back_is_noticed_by_rechecking(rig: Rig) -> None:
    packages = [build(f"pkg{number}") for number in range(4)]
    for package in packages:
        rig.push(package)
    rig.rebuild()
    rig.push(packages[2], validated=False)

    assert len(rig.rebuild().left_out) == 0
    assert len(rig.records()) == 4
    for _ in range(4):
        report = rig.rebuild(recheck=Fraction(1, 4))
        assert report.requests["manifests"] <= 2

    assert packages[2].file_name not in rig.records()
    assert len(rig.records()) == 3


def test_a_mark_taken_back_is_noticed_when_the_package_is_named(rig: Rig) -> None:
    package = build("alpha")
    rig.push(package)
    rig.push(build("beta"))
    rig.rebuild()
    rig.push(package, validated=False)

    rig.rebuild(packages=("alpha",))

    assert list(rig.records()) == ["beta-1.0-0.conda"]


def test_a_tag_that_vanished_leaves_the_index(rig: Rig) -> None:
    gone, stays = build("alpha", "1.0"), build("alpha", "2.0")
    rig.push(gone)
    rig.push(stays)
    rig.rebuild()
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "1.0-0")

    rig.rebuild()

    assert list(rig.records()) == [stays.file_name]
    rig.assert_sound()


def test_named_packages_alone_are_read_and_the_rest_stays(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    rig.rebuild()
    rig.push(build("alpha", "2.0"))
    rig.push(build("beta", "2.0"))
    rig.fake.remove_tag(rig.repository("noarch", "beta"), "1.0-0")

    report = rig.rebuild(packages=("alpha",), subdirs=("noarch",))

    assert sorted(rig.records()) == ["alpha-1.0-0.conda", "alpha-2.0-0.conda", "beta-1.0-0.conda"]
    assert report.requests == {"blobs": 1, "manifests": 2, "tags": 1}
    rig.rebuild()
    assert sorted(rig.records()) == ["alpha-1.0-0.conda", "alpha-2.0-0.conda", "beta-2.0-0.conda"]


def test_a_glob_names_packages_by_conda_name(rig: Rig) -> None:
    rig.push(build("_mutex"))
    rig.push(build("beta"))
    rig.rebuild(packages=("_m*",))
    assert list(rig.records()) == ["_mutex-1.0-0.conda"]


def test_named_packages_with_a_lost_state_take_nothing_out(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    rig.rebuild()
    before = rig.tree()
    shutil.rmtree(rig.root / "state")

    rig.rebuild(packages=("alpha",))

    assert rig.tree() == before


def test_another_annotation_changes_the_manifest_but_not_the_index(rig: Rig) -> None:
    package = build("alpha")
    rig.push(package)
    rig.rebuild()
    before = rig.tree()
    image = package_manifest([package], annotations=VALIDATED | {"org.example.note": "more"})
    rig.fake.add(rig.repository("noarch", "alpha"), image)

    rig.rebuild(recheck=Fraction(1))

    assert rig.tree() == before


def test_a_clock_that_goes_back_hurts_nothing(rig: Rig) -> None:

    rig.push(build("alpha"))
    rig.rebuild()
    rig.now -= timedelta(days=400)
    rig.push(build("beta"))
    rig.rebuild()
    assert len(rig.records()) == 2
    rig.assert_sound()
