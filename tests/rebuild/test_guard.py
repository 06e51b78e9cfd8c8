"""What a run refuses to take out of a channel, and to change in it."""

from __future__ import annotations

import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.errors import GuardError
from tests.support import faults
from tests.support.rig import Rig, reasons


def fill(rig: Rig, count: int) -> None:
    for number in range(count):
        rig.push(build("alpha", f"{number}.0"))
    rig.rebuild()


def unpush(rig: Rig, count: int) -> None:
    for number in range(count):
        rig.fake.remove_tag(rig.repository("noarch", "alpha"), f"{number}.0-0")


def test_a_drop_past_the_threshold_is_refused_with_its_arithmetic(rig: Rig) -> None:
    fill(rig, 20)
    before = rig.tree()
    unpush(rig, 3)

    with pytest.raises(GuardError, match=r"3 of 20 records would go, 15\.0%, more than 10\.0%"):
        rig.rebuild()

    assert rig.tree() == before
    rig.rebuild(allow_drop=True)
    assert len(rig.records()) == 17


def test_a_drop_within_the_threshold_is_published(rig: Rig) -> None:
    fill(rig, 20)
    unpush(rig, 2)
    rig.rebuild()
    assert len(rig.records()) == 18


def test_small_channels_may_lose_what_they_like_but_not_all_repositories(rig: Rig) -> None:
    fill(rig, 19)
    unpush(rig, 18)
    rig.rebuild()
    assert len(rig.records()) == 1


def test_the_guard_holds_without_a_state(rig: Rig) -> None:
    fill(rig, 20)
    unpush(rig, 5)
    with pytest.raises(GuardError, match="5 of 20"):
        rig.rebuild(full=True)


def test_the_guard_holds_for_named_packages(rig: Rig) -> None:
    fill(rig, 20)
    unpush(rig, 5)
    with pytest.raises(GuardError, match="5 of 20"):
        rig.rebuild(packages=("alpha",))


def replace_bytes(rig: Rig) -> tuple[Package, Package]:
    old, new = build("alpha"), build("alpha", message="other bytes")
    rig.push(old)
    rig.rebuild()
    assert old.sha256 != new.sha256
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "1.0-0")
    rig.push(new)
    return old, new


def test_a_file_whose_bytes_changed_keeps_its_old_record_and_is_named(rig: Rig) -> None:
    old, _ = replace_bytes(rig)
    rig.push(build("beta"))
    for _ in range(2):
        report = rig.rebuild(full=True)
        assert rig.records()[old.file_name]["sha256"] == old.sha256
        assert "beta-1.0-0.conda" in rig.records()
        assert "--allow-changed" in reasons(report)["alpha:1.0-0"]
        rig.assert_sound()


def test_a_held_file_comes_in_when_it_is_allowed(rig: Rig) -> None:
    old, new = replace_bytes(rig)
    rig.rebuild(full=True)
    entered = rig.records()[old.file_name]["indexed_timestamp"]

    report = rig.rebuild(allow_changed=("alpha-*",))

    record = rig.records()[old.file_name]
    assert record["sha256"] == new.sha256
    assert record["indexed_timestamp"] > entered
    assert report.left_out == []
    assert rig.rebuild().outcome == "unchanged"


def test_a_record_whose_archive_is_gone_does_not_stay(rig: Rig) -> None:

    old, _ = replace_bytes(rig)
    blob = faults.is_blob(rig.repository("noarch", "alpha"), f"sha256:{old.sha256}")
    rig.fake.knobs.faults = [faults.status(404, match=blob)]

    report = rig.rebuild(full=True)

    assert rig.records() == {}
    assert "can't stay either" in reasons(report)["alpha:1.0-0"]
    rig.assert_sound()


def test_other_metadata_of_the_same_bytes_is_a_change_and_keeps_its_time(rig: Rig) -> None:
    package = build("alpha")
    rig.push(package)
    rig.rebuild()
    entered = rig.records()[package.file_name]["indexed_timestamp"]
    image = package_manifest([package], annotations=VALIDATED)
    manifest = image.manifest.replace(package.md5.encode(), b"0" * 32)
    repository = rig.repository("noarch", "alpha")
    rig.fake.add_manifest(repository, "1.0-0", manifest, image.media_type)

    report = rig.rebuild(full=True)

    record = rig.records()[package.file_name]
    assert (record["md5"], record["indexed_timestamp"]) == ("0" * 32, entered)
    assert report.subdirs["noarch"].count.changed == 1


def test_an_empty_listing_is_refused_for_a_part_of_the_packages_too(rig: Rig) -> None:
    for name in ("hello", "hello2", "other"):
        rig.push(build(name))
    rig.rebuild()
    before = rig.tree()
    rig.fake.knobs.faults = [
        faults.replace_body(b'{"repositories": []}', match=faults.is_catalog())
    ]
    with pytest.raises(GuardError, match="no repositories are listed"):
        rig.rebuild(packages=("hello*",))
    assert rig.tree() == before
