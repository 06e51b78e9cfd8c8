"""``--prune`` takes out what upstream removed: that, nothing else, and never too much at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.channel.plan import Guard
from indexer.errors import GuardError
from indexer.progress import Silence, Unit
from indexer.registry import RegistryAddress
from indexer.transfer.outcome import Outcome
from tests.support import faults
from tests.support.rig import Rig
from tests.transfer.stage import (
    KEY,
    PLAIN,
    Origin,
    exactly,
    held,
    held_by,
    mirror,
    names,
    reasons,
    registry_of,
)

ONE, TWO = build("alpha", "1.0"), build("alpha", "2.0")
ONE_BZ2 = build("alpha", "1.0", archive="tar.bz2")
GONE = build("gone")
LINUX = build("beta", subdir="linux-64")
REPOSITORY = "acme/forge/noarch/alpha"


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "upstream")
    made.add(ONE, ONE_BZ2, TWO, GONE, LINUX)
    return made.write()


def prune(rig: Rig, origin: Origin, **settings: Any) -> Outcome:
    return mirror(rig, origin.write().root, **({"guard": Guard()} | settings))


def writes(rig: Rig) -> list[str]:
    return [r.method for r in rig.fake.requests if r.method not in {"GET", "HEAD"}]


def test_without_it_nothing_is_removed(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    origin.remove(GONE)
    assert mirror(rig, origin.write().root).removed.count == 0
    assert held_by(rig) == exactly(ONE, ONE_BZ2, TWO, GONE, LINUX)


def test_builds_and_whole_packages_that_upstream_removed_go(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    for package in (GONE, TWO):
        origin.remove(package)
    outcome = prune(rig, origin)
    assert (names(outcome.removed), outcome.failed) == (sorted(exactly(GONE, TWO)), 0)
    assert outcome.removed.size == GONE.size + TWO.size
    assert held_by(rig) == exactly(ONE, ONE_BZ2, LINUX)
    again = prune(rig, origin)
    assert (again.removed.count, again.failed, again.notes) == (0, 0, [])


def test_a_folder_registry_is_pruned_too(rig: Rig, origin: Origin) -> None:
    address = RegistryAddress.parse(f"ocidir://{rig.root / 'layouts'}")
    mirror(rig, origin.root, address=address)
    for package in (GONE, ONE_BZ2):
        origin.remove(package)
    assert prune(rig, origin, address=address).removed.count == 2
    with registry_of(rig, address) as registry:
        assert held(registry) == exactly(ONE, TWO, LINUX)


def test_one_format_of_two_goes_and_the_mark_stays(rig: Rig, origin: Origin) -> None:
    rig.push(ONE_BZ2, ONE)
    mirror(rig, origin.root)
    origin.remove(ONE_BZ2)
    prune(rig, origin)
    assert held_by(rig) == exactly(ONE, TWO, GONE, LINUX)
    manifest = rig.fake.manifest_of(REPOSITORY, "1.0-0")
    assert manifest["annotations"] == VALIDATED
    assert len(manifest["layers"]) == 3


@pytest.mark.parametrize("keep", [ONE, ONE_BZ2])
def test_a_format_that_upstream_replaced_by_the_other_is_replaced_here(
    rig: Rig, origin: Origin, keep: Package
) -> None:
    drop = ONE_BZ2 if keep is ONE else ONE
    origin.remove(keep)
    mirror(rig, origin.write().root)
    origin.remove(drop)
    origin.add(keep)
    outcome = prune(rig, origin)
    assert reasons(outcome) == {}
    assert (names(outcome.moved), names(outcome.removed)) == ([*exactly(keep)], [*exactly(drop)])
    assert held_by(rig) == exactly(keep, TWO, GONE, LINUX)
    assert KEY not in rig.fake.manifest_of(REPOSITORY, "1.0-0")["annotations"]


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_new_upstream_is_no_failure_of_pruning(
    rig: Rig, origin: Origin, *, dry_run: bool
) -> None:
    outcome = prune(rig, origin, dry_run=dry_run)
    assert (outcome.moved.count, reasons(outcome), outcome.removed.count) == (5, {}, 0)


def test_what_upstream_lists_wrongly_is_not_taken_for_removed(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    origin.record(GONE).update(sha256="broken")
    outcome = prune(rig, origin)
    assert (outcome.failed, outcome.removed.count) == (1, 0)
    assert held_by(rig) == exactly(ONE, ONE_BZ2, TWO, GONE, LINUX)


@pytest.fixture
def many(rig: Rig, tmp_path: Path) -> Origin:
    """Twenty packages, from which on the guard counts."""
    origin = Origin(tmp_path / "many")
    origin.add(*(build(f"pack-{number:02}") for number in range(20)))
    mirror(rig, origin.write(PLAIN).root)
    for number in range(3):
        origin.remove(build(f"pack-{number:02}"))
    return origin


def test_too_much_is_refused_before_anything_is_copied_or_removed(rig: Rig, many: Origin) -> None:
    many.add(TWO)
    before = held_by(rig)
    rig.fake.clear_requests()
    with pytest.raises(GuardError, match=r"3 of 20 records would go, 15.0%"):
        prune(rig, many)
    assert writes(rig) == []
    assert held_by(rig) == before


@pytest.mark.parametrize("guard", [Guard(max_drop=0.15), Guard(allow_drop=True)])
def test_what_is_allowed_goes(rig: Rig, many: Origin, guard: Guard) -> None:
    assert prune(rig, many, guard=guard).removed.count == 3
    assert len(held_by(rig)) == 17


@pytest.mark.parametrize("allow", [True, False])
def test_an_empty_upstream_is_believed_only_if_told(
    rig: Rig, origin: Origin, *, allow: bool
) -> None:
    mirror(rig, origin.root)
    origin.remove(LINUX)
    if allow:
        assert prune(rig, origin, guard=Guard(allow_drop=True)).removed.count == 1
        return
    with pytest.raises(GuardError, match="linux-64: no archives are listed, where 1 records were"):
        prune(rig, origin)
    assert held_by(rig) == exactly(ONE, ONE_BZ2, TWO, GONE, LINUX)


def test_without_a_catalog_single_builds_go_and_a_note_tells_the_rest(
    rig: Rig, origin: Origin
) -> None:
    mirror(rig, origin.root)
    rig.fake.knobs.catalog = False
    for package in (GONE, TWO):
        origin.remove(package)
    outcome = prune(rig, origin)
    assert names(outcome.removed) == [*exactly(TWO)]
    assert "removed altogether are not found" in outcome.notes[0]
    rig.fake.knobs.catalog = True
    assert held_by(rig) == exactly(ONE, ONE_BZ2, GONE, LINUX)


def test_a_registry_that_deletes_nothing_is_named(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    rig.fake.knobs.deletes = False
    for package in (GONE, ONE_BZ2):
        origin.remove(package)
    outcome = prune(rig, origin)
    assert list(reasons(outcome)) == [*exactly(GONE)]
    assert "405" in reasons(outcome)["noarch/gone-1.0-0.conda"]
    # A manifest without the other format is only written.
    assert names(outcome.removed) == [*exactly(ONE_BZ2)]


def test_a_dry_run_counts_and_touches_nothing(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    before = held_by(rig)
    for package in (GONE, ONE_BZ2):
        origin.remove(package)
    rig.fake.clear_requests()
    outcome = prune(rig, origin, dry_run=True)
    assert names(outcome.removed) == sorted(exactly(GONE, ONE_BZ2))
    assert outcome.removed.size == GONE.size + ONE_BZ2.size
    assert writes(rig) == []
    assert held_by(rig) == before


@pytest.mark.parametrize(
    ("chosen", "removed"),
    [
        ({"globs": ["al*"]}, [TWO]),
        ({"globs": ["gone"]}, [GONE]),
        ({"globs": ["other"]}, []),
        ({"subdirs": ["linux-64"]}, []),
        ({"subdirs": ["noarch"]}, [GONE, TWO]),
    ],
    ids=str,
)
def test_only_what_was_asked_for_is_pruned(
    rig: Rig, origin: Origin, chosen: dict[str, list[str]], removed: list[Package]
) -> None:
    mirror(rig, origin.root)
    for package in (GONE, TWO):
        origin.remove(package)
    assert names(prune(rig, origin, **chosen).removed) == sorted(exactly(*removed))


def test_a_glob_prunes_no_package_that_only_shares_the_repository(rig: Rig, origin: Origin) -> None:
    switch, spelt = build("_switch"), build("zzz_switch", "2.0")
    origin.add(switch, spelt)
    mirror(rig, origin.write().root)
    assert prune(rig, origin, globs=["_switch"]).removed.count == 0
    assert held_by(rig).keys() >= exactly(switch, spelt).keys()


def test_a_tag_of_somebody_elses_costs_no_build_that_is_there(rig: Rig, origin: Origin) -> None:
    rig.push(ONE_BZ2, ONE)
    rig.push(ONE_BZ2, ONE, tag="stable")
    mirror(rig, origin.root)
    outcome = prune(rig, origin)
    assert (outcome.removed.count, outcome.failed) == (0, 0)
    assert rig.fake.tags_of(REPOSITORY) == ["1.0-0", "2.0-0", "stable"]


def test_what_a_kept_tag_leads_to_is_not_deleted_with_another(rig: Rig, origin: Origin) -> None:
    """A deletion takes every tag of the digest."""
    mirror(rig, origin.root)
    image = package_manifest([TWO])
    rig.fake.add(REPOSITORY, image, "2.0-0")
    rig.fake.add(REPOSITORY, image, "9.0-0")
    prune(rig, origin)
    assert "2.0-0" in rig.fake.tags_of(REPOSITORY)
    assert exactly(TWO).items() <= held_by(rig).items()


def test_what_is_no_package_stays(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    image = package_manifest([GONE])
    rig.fake.add("acme/forge/noarch/repodata.json", image, "latest")
    rig.fake.add(REPOSITORY, image, "latest")
    rig.fake.add(REPOSITORY, image, f"sha256-{'0' * 64}.sig")
    rig.fake.clear_requests()
    outcome = prune(rig, origin)
    assert (outcome.removed.count, outcome.failed) == (0, 0)
    assert "latest" not in {request.reference for request in rig.fake.requests}


def test_an_archive_without_a_title_is_not_taken_for_removed(rig: Rig, origin: Origin) -> None:
    """Old artifacts have none."""
    mirror(rig, origin.root)
    manifest = rig.fake.manifest_of(REPOSITORY, "2.0-0")
    del manifest["layers"][0]["annotations"]["org.opencontainers.image.title"]
    body = json.dumps(manifest).encode()
    rig.fake.add_manifest(REPOSITORY, "2.0-0", body, manifest["mediaType"])
    outcome = prune(rig, origin)
    assert reasons(outcome) == {}
    assert exactly(TWO).items() <= held_by(rig).items()


def test_what_somebody_wrote_meanwhile_stays(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    origin.remove(GONE)
    anew = build("gone", message="anew")

    class Meanwhile(Silence):
        def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
            del total, unit
            if what == "Mirroring":
                rig.push(anew)
                rig.fake.clear_requests()

    outcome = prune(rig, origin, progress=Meanwhile())
    assert (outcome.removed.count, outcome.failed) == (0, 0)
    assert writes(rig) == []
    assert exactly(anew).items() <= held_by(rig).items()


def test_a_tag_that_cannot_be_read_is_named_and_stays(rig: Rig, origin: Origin) -> None:
    mirror(rig, origin.root)
    origin.remove(GONE)
    gone = "acme/forge/noarch/gone"
    rig.fake.knobs.faults = [faults.tampered(match=faults.is_manifest(gone))]
    outcome = prune(rig, origin)
    assert list(reasons(outcome)) == ["noarch/gone:1.0-0"]
    assert outcome.removed.count == 0
    rig.fake.knobs.faults = []
    assert rig.fake.tags_of(gone) == ["1.0-0"]
