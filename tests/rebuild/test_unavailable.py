"""An incomplete reading never publishes (DESIGN decision 3)."""

from __future__ import annotations

import pytest

from demo.packages import build
from indexer.errors import GuardError, RegistryError
from indexer.render import shards
from tests.support import faults
from tests.support.rig import Rig, reasons


@pytest.fixture
def published(rig: Rig) -> Rig:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    rig.rebuild()
    rig.push(build("gamma"))
    return rig


def assert_refused(rig: Rig) -> str:
    before = rig.tree()
    with pytest.raises(RegistryError) as caught:
        rig.rebuild()
    assert caught.value.exit_code == 3
    assert rig.tree() == before
    rig.assert_sound()
    return str(caught.value)


def test_a_listing_that_breaks_off_publishes_nothing(published: Rig) -> None:
    published.fake.knobs.page_size = 1
    published.push(build("beta", "2.0"))
    tags = faults.is_tags(published.repository("noarch", "beta"))
    published.fake.knobs.faults = [faults.status(500, match=faults.is_page_after(tags))]
    assert "500" in assert_refused(published)


def test_a_catalog_that_breaks_off_publishes_nothing(published: Rig) -> None:
    published.fake.knobs.page_size = 1
    published.fake.knobs.faults = [
        faults.status(503, match=faults.is_page_after(faults.is_catalog()))
    ]
    assert_refused(published)


def test_a_next_page_on_another_server_publishes_nothing(published: Rig) -> None:
    published.fake.knobs.page_size = 1
    published.fake.knobs.link_to = "http://127.0.0.2:1"
    assert "another server" in assert_refused(published)


def test_a_registry_that_is_down_publishes_nothing(published: Rig) -> None:
    published.fake.knobs.faults = [faults.status(502)]
    assert_refused(published)


def test_connections_that_close_publish_nothing(published: Rig) -> None:
    published.fake.knobs.faults = [faults.closed(match=faults.is_tags())]
    assert_refused(published)


def test_a_manifest_that_is_refused_publishes_nothing(published: Rig) -> None:
    published.fake.knobs.faults = [faults.status(403, match=faults.is_manifest())]
    assert_refused(published)


@pytest.mark.parametrize("code", [403, 404])
def test_an_indexed_repository_that_cannot_be_listed_publishes_nothing(
    published: Rig, code: int
) -> None:
    alpha = faults.is_tags(published.repository("noarch", "alpha"))
    published.fake.knobs.faults = [faults.status(code, match=alpha)]
    assert "--allow-drop" in assert_refused(published)

    published.rebuild(allow_drop=True)

    assert sorted(published.records()) == ["beta-1.0-0.conda", "gamma-1.0-0.conda"]


def test_an_indexed_repository_is_known_without_the_state_too(published: Rig) -> None:
    alpha = faults.is_tags(published.repository("noarch", "alpha"))
    published.fake.knobs.faults = [faults.status(404, match=alpha)]
    with pytest.raises(RegistryError):
        published.rebuild(full=True)


def test_what_was_read_before_a_failure_is_not_read_again(rig: Rig) -> None:
    for number in range(6):
        rig.push(build(f"pkg{number}"))
    last = faults.is_manifest(rig.repository("noarch", "pkg5"))
    rig.fake.knobs.faults = [faults.status(500, match=last)]
    with pytest.raises(RegistryError):
        rig.rebuild(jobs=1)
    rig.fake.knobs.faults = []

    report = rig.rebuild(jobs=1)

    assert len(rig.records()) == 6
    assert report.requests["manifests"] < 6


def test_what_a_worker_read_before_a_failure_is_kept_too(rig: Rig) -> None:
    """It gets six of these tags at once, and the last of them fails."""
    versions = [f"1.{number}" for number in range(10, 34)]
    for version in versions:
        rig.push(build("alpha", version))
    sixth = faults.is_manifest(rig.repository("noarch", "alpha"), f"{versions[5]}-0")
    rig.fake.knobs.faults = [faults.status(500, match=sixth)]
    with pytest.raises(RegistryError):
        rig.rebuild(jobs=1)
    rig.fake.knobs.faults = []

    report = rig.rebuild(jobs=1)

    assert len(rig.records()) == len(versions)
    assert report.requests["manifests"] == len(versions) - 5


def test_a_named_repository_that_never_existed_is_passed_over_and_named(rig: Rig) -> None:
    rig.push(build("alpha"))
    names = rig.root / "names.txt"
    names.write_text("alpha\nno-such-package  # a typo\n")

    report = rig.rebuild(names=str(names), subdirs=("noarch",))

    assert len(rig.records()) == 1
    assert len(report.passed_over) == 1
    assert "no-such-package" in report.passed_over[0]


def test_refusals_everywhere_are_no_empty_channel(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.fake.knobs.faults = [faults.status(403, match=faults.is_tags())]
    with pytest.raises(RegistryError, match="credentials"):
        rig.rebuild()
    assert not rig.site.exists()


def test_an_empty_catalog_is_refused_by_the_guard(published: Rig) -> None:
    before = published.tree()
    published.fake.knobs.faults = [
        faults.replace_body(b'{"repositories": []}', match=faults.is_catalog())
    ]
    with pytest.raises(GuardError, match="no repositories are listed, where 2 records were"):
        published.rebuild()
    assert published.tree() == before


def test_a_listed_tag_whose_manifest_is_gone_costs_that_artifact(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    gone = faults.is_manifest(rig.repository("noarch", "beta"))
    rig.fake.knobs.faults = [faults.status(404, match=gone)]

    report = rig.rebuild()

    assert list(rig.records()) == ["alpha-1.0-0.conda"]
    assert "can't be read" in reasons(report)["beta:1.0-0"]
    rig.fake.knobs.faults = []
    rig.rebuild()
    assert len(rig.records()) == 2


def test_content_without_its_digest_costs_that_artifact_after_one_more_try(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    rig.fake.knobs.faults = [
        faults.tampered(match=faults.is_blob(rig.repository("noarch", "alpha")), times=1),
        faults.tampered(match=faults.is_blob(rig.repository("noarch", "beta"))),
    ]

    report = rig.rebuild()

    assert list(rig.records()) == ["alpha-1.0-0.conda"]
    assert "digest" in reasons(report)["beta:1.0-0"]


def test_names_from_the_previous_index_cannot_show_what_is_new(published: Rig) -> None:
    published.fake.knobs.catalog = False
    published.push(build("alpha", "2.0"))

    report = published.rebuild()

    assert "alpha-2.0-0.conda" in published.records()
    assert "gamma-1.0-0.conda" not in published.records()
    assert report.names_from == "the previous index"
    assert any("new packages can't be seen" in note for note in report.notes)


def test_without_any_source_of_names_the_run_says_what_to_do(rig: Rig) -> None:
    rig.fake.knobs.catalog = False
    with pytest.raises(RegistryError, match="--names"):
        rig.rebuild()


def test_what_waits_is_not_forgotten_while_names_come_from_the_previous_index(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"), validated=False)
    rig.rebuild()
    rig.fake.knobs.catalog = False
    report = rig.rebuild()
    assert [item.repository for item in report.waiting] == ["beta"]
    rig.push(build("beta"))
    rig.rebuild()
    assert sorted(rig.records()) == ["alpha-1.0-0.conda", "beta-1.0-0.conda"]


@pytest.mark.parametrize("catalog", [True, False])
def test_an_indexed_repository_is_known_by_a_damaged_shard_index_too(
    published: Rig, *, catalog: bool
) -> None:
    index = published.site / "noarch" / shards.INDEX_NAME
    damaged = bytearray(index.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    index.write_bytes(damaged)
    published.fake.knobs.catalog = catalog
    alpha = faults.is_tags(published.repository("noarch", "alpha"))
    published.fake.knobs.faults = [faults.status(404, match=alpha)]
    for full in (False, True):
        with pytest.raises(RegistryError, match="alpha was indexed before"):
            published.rebuild(full=full)


def test_a_named_package_is_found_in_a_new_subdir(published: Rig) -> None:
    published.push(build("delta", subdir="osx-64"))
    published.rebuild(packages=("delta",))
    assert list(published.records("osx-64")) == ["delta-1.0-0.conda"]
    assert sorted(published.records()) == ["alpha-1.0-0.conda", "beta-1.0-0.conda"]


def test_refusals_of_all_that_was_named_are_told_apart_from_absence(published: Rig) -> None:
    published.fake.knobs.faults = [faults.status(401, match=faults.is_tags())]
    with pytest.raises(RegistryError, match="credentials"):
        published.rebuild(packages=("delta",), subdirs=("noarch", "linux-64"))


def test_a_names_file_written_on_windows_loses_no_name(published: Rig) -> None:
    names = published.root / "names.txt"
    names.write_bytes(b"\xef\xbb\xbfalpha\r\nbeta\r\ngamma\r\n")
    published.rebuild(names=str(names), subdirs=("noarch",))
    assert len(published.records()) == 3


def test_the_report_says_when_the_registry_limited_requests(rig: Rig) -> None:
    rig.push(build("zlib"))
    assert rig.rebuild().limited == []
    rig.fake.knobs.faults = [faults.status(429, times=1, headers={"Retry-After": "1.16676ms"})]
    assert rig.rebuild(retry_for=30).limited == ["127.0.0.1 limited requests 1 time"]
