"""The pages of the channel: complete, at home, and the same each time."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import posixpath
import re
from urllib.parse import urljoin, urlsplit

import pytest

from indexer.channel.about import About
from indexer.channel.record import Record
from indexer.render import pages, templates
from indexer.render.detail import API_ONLY, FULL, LEAN, LEVELS, NONE, Detail
from indexer.render.site_info import Installs
from indexer.render.status import Listed, Status
from tests.channel.samples import record
from tests.render.site import (
    ABOUT,
    INFO,
    RECORDS,
    SITE,
    Page,
    Records,
    Site,
    change,
    channel_of,
    summaries_of,
    xml,
)

NOTHING = Listed(0, [])
STATUS = Status(None, {}, NOTHING, NOTHING, NOTHING, "", None)
# They are written by others.
ELSEWHERE = {"status.json", "noarch/repodata.json", "linux-64/repodata.json"}
CALM = SITE.page("")


def whole(site: Site) -> dict[str, bytes]:
    return site.files() | {pages.STATUS: pages.draw_status(STATUS, site.info, site.detail)}


def html(files: dict[str, bytes]) -> dict[str, Page]:
    return {path: Page(data) for path, data in files.items() if path.endswith(".html")}


WHOLE = whole(SITE)


def csp(page: Page) -> dict[str, str]:
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    return dict(rule.split(maxsplit=1) for rule in policy.split("; "))


@pytest.mark.parametrize("installs", ["oci", "https", "none"])
@pytest.mark.parametrize("validated_only", [True, False])
def test_the_browser_is_told_to_run_and_load_nothing_but_the_sites_own(
    installs: Installs, *, validated_only: bool
) -> None:
    info = dataclasses.replace(INFO, installs=installs, validated_only=validated_only)
    found = html(whole(dataclasses.replace(SITE, info=info)))
    del found["404.html"]
    for path, page in found.items():
        assert csp(page) == {
            "default-src": "'none'",
            **dict.fromkeys(("style-src", "script-src", "connect-src", "img-src"), "'self'"),
            "base-uri": "'none'",
            "form-action": "'self'",
        }, path
        tags = [tag for tag, _ in page.elements]
        assert not {"iframe", "object", "embed", "base", "img", "style"} & set(tags), path
        # Before anything that it has to hold for.
        assert tags.index("meta") < tags.index("link") < tags.index("script")
        assert page.script == ""
        for tag, attributes in page.elements:
            assert "style" not in attributes, path
            assert not any(name.startswith("on") for name in attributes), path
            if tag in {"script", "link"} and attributes.get("rel") != "canonical":
                address = attributes.get("src") or attributes.get("href") or ""
                assert not urlsplit(address).netloc, path


def test_the_page_for_what_is_not_there_brings_all_it_needs() -> None:
    page = Page(WHOLE["404.html"])
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert csp(page) == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "system-ui" in page.style
    assert not {"script", "link", "img"} & {tag for tag, _ in page.elements}
    assert [address for address, _ in page.links] == [
        "https://acme.invalid/forge/",
        "https://acme.invalid/forge/search/",
        "https://acme.invalid/forge/browse/",
    ]


def test_the_page_for_what_is_not_there_has_no_links_that_depend_on_where_it_is_shown() -> None:
    files = dataclasses.replace(SITE, info=dataclasses.replace(INFO, site_url="")).files()
    assert Page(files["404.html"]).links == []


@pytest.mark.parametrize("detail", LEVELS, ids=lambda detail: detail.level)
def test_no_link_leads_nowhere(detail: Detail) -> None:
    files = whole(dataclasses.replace(SITE, detail=detail))
    there = {*files, *ELSEWHERE}
    for path, page in html(files).items():
        for tag, key in (("a", "href"), ("link", "href"), ("script", "src"), ("form", "action")):
            for address in page.attributes(tag, key):
                target = urlsplit(urljoin(f"https://site.invalid/{path}", address))
                if target.netloc == "site.invalid" and path != "404.html":
                    found = target.path.removeprefix("/")
                    found += "index.html" if target.path.endswith("/") else ""
                    assert found in there, f"{path}: {address}"


def test_no_link_leaves_the_folder_that_the_site_is_served_from() -> None:
    for path, page in html(WHOLE).items():
        depth = path.count("/")
        for address, _ in page.links:
            assert not address.startswith("/"), path
            assert address.count("../") <= depth, f"{path}: {address}"


def test_addresses_are_whole_only_where_the_sites_is_known() -> None:
    for site_url in ("https://acme.invalid/forge", "https://acme.invalid/forge/"):
        files = whole(dataclasses.replace(SITE, info=dataclasses.replace(INFO, site_url=site_url)))
        for path, page in html(files).items():
            if path == "404.html":
                continue
            (canonical,) = [
                found["href"] for _, found in page.elements if found.get("rel") == "canonical"
            ]
            assert canonical == f"https://acme.invalid/forge/{path.removesuffix('index.html')}"
    files = whole(dataclasses.replace(SITE, info=dataclasses.replace(INFO, site_url="")))
    for path, page in html(files).items():
        assert not [1 for _, found in page.elements if found.get("rel") == "canonical"], path
    assert "sitemap.xml" not in files
    assert files["robots.txt"] == b"User-agent: *\nAllow: /\n"


def test_the_sitemap_names_each_page_that_people_look_for() -> None:
    found = [element.text for element in xml(WHOLE["sitemap.xml"]).iter() if element.text]
    expected = {
        f"https://acme.invalid/forge/{path.removesuffix('index.html')}"
        for path in html(WHOLE)
        if path not in {"404.html", "search/index.html"}
    }
    assert {address.strip() for address in found} - {""} == expected
    assert b"Sitemap: https://acme.invalid/forge/sitemap.xml\n" in WHOLE["robots.txt"]


def test_a_sitemap_is_not_longer_than_search_engines_read() -> None:
    rows = [pages.Row(f"p{number}", "1", "", 1, ("noarch",)) for number in range(50_001)]
    channel = dataclasses.replace(channel_of({}), rows=rows)
    assert pages.draw_pages(channel)["sitemap.xml"].count(b"<loc>") == 50_000


def test_an_index_of_everything_says_that_nothing_was_validated() -> None:
    info = dataclasses.replace(INFO, validated_only=False, policy="none")
    anything = dataclasses.replace(SITE, info=info).page("")
    assert "Nothing here has been validated" in anything.text
    assert "Nothing here has been validated" not in CALM.text
    assert f"carries the {INFO.policy}" in CALM.text


def test_names_are_listed_by_their_first_character_with_their_newest_version() -> None:
    assert SITE.page("browse/a").items == ["alpha 1.10 Numbers, in rows"]
    assert SITE.page("browse/_").items == ["_mutex 0.1"]
    assert [key for key in WHOLE if key.startswith("browse/")] == [
        "browse/index.html",
        *(f"browse/{key}/index.html" for key in "_ab"),
    ]
    assert SITE.page("browse").items == ["_ 1 package", "a 1 package", "b 1 package"]


def test_each_subdir_is_counted() -> None:
    assert ["linux-64", "3", "4", "repodata.json"] in CALM.rows
    assert ["noarch", "1", "1", "repodata.json"] in CALM.rows
    assert "3 packages" in CALM.text


def test_the_front_page_names_the_newest_twenty() -> None:
    records = [record(f"p{number:02}").indexed(10**12 + number * 1000) for number in range(30)]
    rows = Site({"noarch": records}).page("").rows
    named = [row[0] for row in rows if len(row) == 5][1:]
    assert named == [f"p{number:02}" for number in range(29, 9, -1)]


@pytest.mark.parametrize(
    ("installs", "told", "not_told"),
    [
        ("oci", "pixi add", "conda install"),
        ("https", "conda install", "takes a gateway"),
        ("none", "takes a gateway", "rattler solver"),
    ],
)
def test_nobody_is_told_to_use_a_client_that_cannot_install(
    installs: Installs, told: str, not_told: str
) -> None:
    info = dataclasses.replace(INFO, installs=installs)
    site = dataclasses.replace(SITE, info=info)
    text = site.page("").text
    assert told in text
    assert not_told not in text
    commands = " ".join(site.page("packages/alpha").codes)
    assert "pixi add alpha" in commands
    assert ("conda install" in commands) is (installs != "oci")
    assert ("mamba install" in commands) is (installs != "oci")


def test_without_an_address_commands_say_what_is_to_be_put_there() -> None:
    places: dict[Installs, str] = {
        "https": "ADDRESS-OF-THIS-SITE",
        "none": "ADDRESS-OF-THE-GATEWAY",
    }
    for installs, place in places.items():
        info = dataclasses.replace(INFO, installs=installs, site_url="")
        codes = dataclasses.replace(SITE, info=info).page("packages/alpha").codes
        assert f"conda install --override-channels --channel https://{place} alpha" in codes
        info = dataclasses.replace(info, gateway_url="https://conda.invalid/")
        codes = dataclasses.replace(SITE, info=info).page("packages/alpha").codes
        assert "conda install --override-channels --channel https://conda.invalid alpha" in codes
        assert "pixi workspace channel add https://conda.invalid\npixi add alpha" in codes


@pytest.mark.parametrize("path", ["", "packages/alpha"])
@pytest.mark.parametrize("installs", ["oci", "https", "none"])
def test_conda_and_mamba_are_sent_to_the_gateway_that_is_told_of(
    installs: Installs, path: str
) -> None:
    info = dataclasses.replace(INFO, installs=installs, gateway_url="https://conda.invalid/forge/")
    page = dataclasses.replace(SITE, info=info).page(path)
    commands = [code for code in page.codes if " install " in code]
    assert [command.split()[0] for command in commands] == ["conda", "mamba"]
    for command in commands:
        assert " --channel https://conda.invalid/forge " in command
    (pixi,) = [code for code in page.codes if code.startswith("pixi ")]
    assert ("https://conda.invalid/forge\n" in pixi) is (installs == "none")
    assert ("https://acme.invalid/forge\n" in pixi) is (installs != "none")
    for told in ("need a gateway", "has to be one", "rattler solver"):
        assert told not in page.text


@pytest.mark.parametrize("path", ["", "packages/alpha"])
def test_without_a_gateway_whoever_needs_one_is_told_what_it_is(path: str) -> None:
    page = SITE.page(path)
    assert "they need a gateway in front of it" in page.text
    assert "cf-index serve" in page.codes


def test_a_gateway_changes_no_address_but_those_of_commands() -> None:
    def addresses(files: dict[str, bytes]) -> dict[str, list[str]]:
        found = html(files)
        return {
            path: [*page.attributes("a", "href"), *page.attributes("link", "href")]
            for path, page in found.items()
        }

    info = dataclasses.replace(INFO, installs="none", gateway_url="https://conda.invalid")
    files = whole(dataclasses.replace(SITE, info=info))
    plain = whole(dataclasses.replace(SITE, info=dataclasses.replace(INFO, installs="none")))
    assert addresses(files) == addresses(plain)
    assert [path for path in files if path.endswith(".xml") and files[path] != plain[path]] == []
    assert "url=https://acme.invalid/forge/api/v1/badges/" in Page(files["api/index.html"]).text


def test_an_empty_channel_has_pages() -> None:
    files = Site({"noarch": []}).files()
    assert "0 packages" in Page(files["index.html"]).text
    for path in ("index.html", "browse/index.html", "changes/index.html"):
        assert Page(files[path]).text.count("None yet.") == 1, path
    assert not [path for path in files if path.startswith(("packages/", "browse/a"))]


def test_changes_lead_to_pages_that_are_there_alone() -> None:
    page = SITE.page("changes")
    links = [address for address, text in page.links if text.startswith("alpha-")]
    assert links == ["../packages/alpha/"]
    assert page.rows[1:] == [
        ["alpha-1.9-h1_0.conda", "added", "noarch", "2026-11-01 12:00"],
        ["alpha-1.9-h1_0.conda", "removed", "noarch", "2026-11-01 12:00"],
    ]


@pytest.mark.parametrize(
    ("detail", "leads_to"),
    [
        (FULL, "../../packages/alpha/"),
        (LEAN, "../../packages/alpha/"),
        (API_ONLY, "../../api/v1/packages/alpha.json"),
    ],
    ids=lambda value: getattr(value, "level", ""),
)
def test_names_lead_to_the_best_that_there_is(detail: Detail, leads_to: str) -> None:
    page = dataclasses.replace(SITE, detail=detail).page("browse/a")
    assert [address for address, text in page.links if text == "alpha"] == [leads_to]
    assert "alpha 1.10" in page.text


def test_without_lists_nothing_leads_to_them() -> None:
    site = dataclasses.replace(SITE, detail=NONE)
    files = site.files()
    assert not [path for path in files if path.startswith(("search/", "browse/", "sitemap"))]
    for path in ("", "changes", "api"):
        page = site.page(path)
        targets = {address for address, _ in page.links} | set(page.attributes("form", "action"))
        assert not [target for target in targets if target and re.search("search/|browse/", target)]
    assert "alpha" in site.page("").text


@pytest.mark.parametrize("detail", LEVELS, ids=lambda detail: detail.level)
def test_who_looks_for_a_page_that_there_is_no_room_for_is_told(detail: Detail) -> None:
    site = dataclasses.replace(SITE, detail=detail)
    assert ("too large" in site.page("").text) is not detail.pages
    assert ("are left out" in site.page("api").text) is not detail.api
    assert (f"newest {detail.records} have" in site.page("api").text) is True


def backwards(records: Records) -> dict[str, list[Record]]:
    return {subdir: list(reversed(items)) for subdir, items in reversed(list(records.items()))}


def test_the_same_channel_is_the_same_site_in_whatever_order() -> None:
    # Two subdirs with the same file, built and entered at the same time.
    twins: Records = {subdir: [*items, record("twin")] for subdir, items in RECORDS.items()}
    site = Site(twins, about={"alpha": ABOUT})
    other = dataclasses.replace(site, records=backwards(twins))
    assert list(site.records) != list(other.records)
    assert site.files() == other.files()


def test_one_package_more_changes_only_pages_that_tell_of_it() -> None:
    zeta = record("zeta", subdir="noarch", depends=["beta", "python"])
    more = dict(RECORDS) | {"noarch": [*RECORDS["noarch"], zeta]}
    before, after = (Site(items).files() for items in (RECORDS, more))
    changed = {path for path in before if before[path] != after[path]}
    of_names = {path for path in changed if path.startswith(("packages/", "api/v1/packages/"))}
    assert of_names == {"packages/beta/index.html", "api/v1/packages/beta.json"}
    assert {"404.html", "robots.txt", "changes/index.html", "api/index.html"} & changed == set()


def test_what_stands_beside_the_pages_is_copied_as_it_is() -> None:
    folder = templates.templates_folder()
    names = {path.name for path in (folder / "assets").iterdir()}
    assert names == {"site.css", "site.js", "search.js", "status.js", "icon.svg"}
    for name in names:
        assert WHOLE[f"assets/{name}"] == (folder / "assets" / name).read_bytes()
    for path in (folder / "schemas").iterdir():
        assert WHOLE[f"api/v1/schemas/{path.name}"] == path.read_bytes()


def test_a_summary_is_said_to_search_engines_too() -> None:
    for path, expected in (("packages/alpha", [ABOUT.summary]), ("packages/beta", [])):
        found = [
            attributes.get("content")
            for _, attributes in SITE.page(path).elements
            if attributes.get("name") == "description"
        ]
        assert found == expected


def test_search_can_be_asked_from_the_front_page_without_a_script() -> None:
    for path, action in (("", "./search/"), ("search", "../search/")):
        page = SITE.page(path)
        (form,) = [found for tag, found in page.elements if tag == "form"]
        assert (form["role"], form["action"], form["method"]) == ("search", action, "get")
        assert page.attributes("input", "name") == ["q"]
        assert posixpath.normpath(posixpath.join("/", path, action)) == "/search"


def test_what_is_not_known_of_a_package_is_not_said() -> None:
    bare = Site({"noarch": [record("beta", license=None)]}, about={"beta": About()})
    facts = bare.page("packages/beta").items[:2]
    assert facts == ["JSON", "Atom feed"]
    full = SITE.page("packages/alpha").items[:6]
    assert full == ["License: MIT", "Home", "Source", "Documentation", "JSON", "Atom feed"]


def test_a_change_of_a_channel_is_a_change_of_its_pages() -> None:
    later = dataclasses.replace(SITE, changes=[change(time="2026-11-02T00:00:00Z")])
    assert later.files()["changes/index.html"] != WHOLE["changes/index.html"]
    assert summaries_of(RECORDS).keys() == RECORDS.keys()
