"""A package's page, feed, API file and badge: what they say, and as much as there is room for."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from indexer.channel.record import Record
from indexer.render.detail import API_ONLY, FULL, LEAN, LEVELS, NONE, Detail
from indexer.render.package import MAX_DEPENDENTS, MAX_DEPENDS, MAX_VERSIONS, Package
from indexer.render.package_files import draw_package, folders
from indexer.render.site_info import BlobAddresses, SiteInfo
from tests.channel.samples import record
from tests.render.site import INFO, Page, package_of, texts, xml

NOON = 1_793_534_400_000
NO_ADDRESS = dataclasses.replace(INFO, blobs=None)
SMALL = Detail("lean", builds=2, feed=2, records=2)


def builds(count: int, name: str = "alpha") -> list[Record]:
    """Builds of which the newest version entered first."""
    return [
        record(name, f"1.{number}", size=1000 + number).indexed(NOON - number * 60_000)
        for number in range(count)
    ]


def drawn(package: Package, info: SiteInfo = INFO, detail: Detail = FULL) -> dict[str, bytes]:
    return draw_package(package, info, detail)


def page(package: Package, info: SiteInfo = INFO, detail: Detail = FULL) -> Page:
    return Page(drawn(package, info, detail)[f"packages/{package.name}/index.html"])


def answer(package: Package, info: SiteInfo = INFO, detail: Detail = FULL) -> dict[str, Any]:
    found = orjson.loads(drawn(package, info, detail)[f"api/v1/packages/{package.name}.json"])
    assert isinstance(found, dict)
    return found


MANY = package_of({"noarch": builds(5)})


@pytest.mark.parametrize("detail", LEVELS, ids=lambda detail: detail.level)
def test_there_are_the_files_that_there_is_room_for_and_no_others(detail: Detail) -> None:
    expected = []
    if detail.pages:
        expected += ["packages/alpha/index.html", "packages/alpha/feed.xml"]
    if detail.api:
        expected += ["api/v1/packages/alpha.json", "api/v1/badges/alpha.json"]
    files = drawn(MANY, detail=detail)
    assert list(files) == expected
    told = folders(detail)
    assert [folder for folder, (_, wanted) in told.items() if wanted] == sorted(
        {path.rsplit("/", 2 if path.startswith("packages") else 1)[0] for path in files},
        key=list(told).index,
    )


def test_every_folder_of_single_names_is_told_of_whatever_is_in_it() -> None:
    assert folders(NONE) == {
        "packages": ("", False),
        "api/v1/packages": (".json", False),
        "api/v1/badges": (".json", False),
    }
    assert folders(FULL).keys() == folders(API_ONLY).keys() == folders(NONE).keys()


def shown(package: Package, detail: Detail) -> list[str]:
    return [item.split()[0] for item in page(package, detail=detail).items if ".conda" in item]


def test_a_page_lists_as_many_builds_as_there_is_room_for_and_says_how_many_there_are() -> None:
    assert shown(MANY, SMALL) == ["alpha-1.4-h1_0.conda", "alpha-1.3-h1_0.conda"]
    text = page(MANY, detail=SMALL).text
    assert "All 5 builds are in the JSON file." in text
    assert "Newest builds" in text


def test_a_page_that_lists_all_builds_does_not_speak_of_others() -> None:
    assert len(shown(MANY, FULL)) == 5
    text = page(MANY).text
    assert "builds are in the" not in text
    assert "Newest builds" not in text
    assert "older versions" not in text


@pytest.mark.parametrize("detail", [FULL, LEAN], ids=lambda detail: detail.level)
def test_a_page_stays_within_its_levels_numbers(detail: Detail) -> None:
    package = package_of({"noarch": builds(30)})
    assert len(shown(package, detail)) == detail.builds
    feed = xml(drawn(package, detail=detail)["packages/alpha/feed.xml"])
    assert len(texts(feed, "entry/id")) == detail.feed
    records = [build for build in answer(package, detail=detail)["builds"] if "record" in build]
    assert len(records) == detail.records


def test_a_build_is_shown_with_all_that_tells_it_apart() -> None:
    item = record(subdir="linux-64", size=90_349).indexed(NOON)
    found = page(package_of({"linux-64": [item]}))
    (line,) = [line for line in found.items if ".conda" in line]
    assert " ".join(line.split()) == (
        "alpha-1.0-h1_0.conda linux-64, 90.3 kB, 2026-11-01 "
        f"oci://ghcr.io/acme/forge/linux-64/alpha@sha256:{item.sha256} by https"
    )
    address = f"https://ghcr.io/v2/acme/forge/linux-64/alpha/blobs/sha256:{item.sha256}"
    assert (address, "by https") in found.links
    assert "2026-11-01T12:00:00Z" in found.attributes("time", "datetime")


def test_a_name_that_no_repository_may_have_is_looked_for_where_it_is() -> None:
    item = record("_mutex")
    package = package_of({"noarch": [item]})
    found = page(package)
    assert f"oci://ghcr.io/acme/forge/noarch/zzz_mutex@sha256:{item.sha256}" in found.codes
    https = f"https://ghcr.io/v2/acme/forge/noarch/zzz_mutex/blobs/sha256:{item.sha256}"
    assert (https, "by https") in found.links
    assert answer(package)["blob"] == {
        "https": "https://ghcr.io/v2/acme/forge/{subdir}/zzz_mutex/blobs/sha256:{sha256}",
        "oci": "oci://ghcr.io/acme/forge/{subdir}/zzz_mutex@sha256:{sha256}",
    }
    assert answer(package)["name"] == "_mutex"


def test_where_the_registry_has_no_address_there_is_the_hash_alone() -> None:
    item = record()
    package = package_of({"noarch": [item]})
    found = page(package, NO_ADDRESS)
    assert f"sha256:{item.sha256}" in found.codes
    assert "by https" not in found.text
    assert not [code for code in found.codes if "@sha256" in code]
    assert answer(package, NO_ADDRESS)["blob"] is None


@pytest.mark.parametrize("name", ["alpha", "_mutex", "a.b-c"])
def test_the_template_leads_where_the_page_does(name: str) -> None:
    package = package_of({"linux-64": builds(2, name), "noarch": builds(1, name)})
    document = answer(package)
    found = page(package)
    assert len(document["builds"]) == 3
    for build in document["builds"]:
        places = {key: build[key] for key in ("subdir", "sha256")}
        addresses = {key: text.format(**places) for key, text in document["blob"].items()}
        assert addresses["oci"] in found.codes
        assert addresses["https"] in [address for address, _ in found.links]


def test_addresses_are_the_registrys_own() -> None:
    blobs = BlobAddresses("oci://host:5000/x", "http://host:5000/v2/x")
    assert blobs.of("noarch", "alpha", "ab") == (
        "oci://host:5000/x/noarch/alpha@sha256:ab",
        "http://host:5000/v2/x/noarch/alpha/blobs/sha256:ab",
    )


def test_the_api_has_every_build_and_the_whole_record_of_the_newest() -> None:
    document = answer(MANY, detail=SMALL)
    assert [build["version"] for build in document["builds"]] == [
        f"1.{n}" for n in range(4, -1, -1)
    ]
    fields = {item.file_name: item.fields() for item in builds(5)}
    for number, build in enumerate(document["builds"]):
        whole = fields[build["file"]]
        assert build.pop("record", None) == (whole if number < 2 else None)
        assert build == {
            "file": build["file"],
            "subdir": "noarch",
            "version": whole["version"],
            "build": "h1_0",
            "sha256": whole["sha256"],
            "size": whole["size"],
            "indexed_timestamp": whole["indexed_timestamp"],
        }


def test_what_is_not_known_is_null_in_the_api() -> None:
    bare = answer(package_of({"noarch": [record(license=None)]}))
    for key in ("license", "summary", "home", "source", "documentation"):
        assert bare[key] is None, key


def test_one_archive_in_two_formats_is_two_builds() -> None:
    package = package_of({"noarch": [record(), record(end=".tar.bz2")]})
    assert [build["file"] for build in answer(package)["builds"]] == [
        "alpha-1.0-h1_0.tar.bz2",
        "alpha-1.0-h1_0.conda",
    ]
    assert [line for line in page(package).items if line.startswith("1.0 2 builds")]
    feed = xml(drawn(package)["packages/alpha/feed.xml"])
    assert len(set(texts(feed, "entry/id"))) == 2


def test_a_build_of_the_api_is_one_line() -> None:
    lines = drawn(MANY)["api/v1/packages/alpha.json"].splitlines()
    assert len(lines) == len(MANY.builds) + 3
    assert orjson.loads(lines[2].removesuffix(b","))["file"] == "alpha-1.4-h1_0.conda"


def test_a_badge_is_what_its_readers_want() -> None:
    badge = orjson.loads(drawn(MANY)["api/v1/badges/alpha.json"])
    assert badge == {"schemaVersion": 1, "label": "forge", "message": "v1.4", "color": "blue"}


def test_a_packages_feed_names_what_entered_last_and_not_the_newest_version() -> None:
    feed = xml(drawn(MANY, detail=SMALL)["packages/alpha/feed.xml"])
    assert texts(feed, "title") == ["alpha in forge"]
    assert texts(feed, "entry/title") == ["alpha 1.0 h1_0 (noarch)", "alpha 1.1 h1_0 (noarch)"]
    assert texts(feed, "entry/updated") == ["2026-11-01T12:00:00Z", "2026-11-01T11:59:00Z"]
    assert texts(feed, "updated") == ["2026-11-01T12:00:00Z"]


def test_a_feed_of_fewer_builds_than_it_has_room_for_names_all() -> None:
    feed = xml(drawn(package_of({"noarch": builds(1)}))["packages/alpha/feed.xml"])
    assert texts(feed, "entry/title") == ["alpha 1.0 h1_0 (noarch)"]


def test_lists_that_are_cut_say_what_is_missing() -> None:
    needs = [f"p{number}" for number in range(MAX_DEPENDS + 3)]
    package = package_of(
        {"noarch": [record(version=f"1.{n}", depends=needs) for n in range(MAX_VERSIONS + 2)]},
        dependents=[f"d{number:04}" for number in range(MAX_DEPENDENTS + 1000)],
    )
    found = page(package)
    assert "2 older versions are in the JSON file" in found.text
    assert "3 more are in the JSON file" in found.text
    assert f"{MAX_DEPENDENTS + 1000:,} packages of this channel in all" in found.text
    assert [item for item in found.items if item.startswith("d0")] == package.dependents[:100]
    assert not [item for item in found.items if item in {"1.0 1 build: noarch", "p100"}]
    assert answer(package)["dependents"] == package.dependents


def test_lists_that_are_whole_do_not_speak_of_more() -> None:
    package = package_of(
        {
            "noarch": [
                record(version=f"1.{n}", depends=[f"p{n}" for n in range(MAX_DEPENDS)])
                for n in range(MAX_VERSIONS)
            ]
        },
        dependents=[f"d{number:04}" for number in range(MAX_DEPENDENTS)],
    )
    text = page(package).text
    assert "older versions" not in text
    assert "more are in" not in text
    assert "in all; the" not in text


def test_subdirs_are_told_apart_only_where_there_are_several() -> None:
    one = {"noarch": [record(depends=["beta"])]}
    assert ("h3", "noarch") not in headings(package_of(one))
    both = one | {"linux-64": [record(depends=["beta"])]}
    assert ("h3", "linux-64, noarch") in headings(package_of(both))
    differing = one | {"linux-64": [record(depends=[])]}
    assert {("h3", "linux-64"), ("h3", "noarch")} <= set(headings(package_of(differing)))


def headings(package: Package) -> list[tuple[str, str]]:
    data = drawn(package)["packages/alpha/index.html"].decode()
    return [("h3", part.partition("</h3>")[0]) for part in data.split("<h3>")[1:]]


def test_the_same_package_is_the_same_bytes_in_whatever_order() -> None:
    items = {"noarch": builds(5), "linux-64": builds(3)}
    backwards = {subdir: found[::-1] for subdir, found in reversed(items.items())}
    assert drawn(package_of(items)) == drawn(package_of(backwards))


def test_a_package_without_its_registry_or_site_is_still_drawn_at_each_level() -> None:
    bare = dataclasses.replace(NO_ADDRESS, site_url="")
    for detail in LEVELS:
        assert drawn(MANY, bare, detail).keys() == drawn(MANY, INFO, detail).keys()
