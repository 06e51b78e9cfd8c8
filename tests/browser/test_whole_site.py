"""Every page is reached from the front page, below any prefix, with and without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.channel import SITE_URL, Channel
from tests.browser.conftest import Visits
from tests.browser.kinds import KINDS, OF_ANY, Link, Markup, pages_of, status_of
from tests.browser.static_host import Host, hosted
from tests.browser.visitor import Eyes, Visitor

_CSP = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
}


def directives(text: str) -> dict[str, str]:
    parts = [part.strip().partition(" ") for part in text.split(";")]
    return {name: value for name, _, value in parts}


def crawled(host: Host) -> Iterator[tuple[str, Markup]]:
    """All pages that links lead to from the front page. Fails on a link that leads nowhere."""
    queue, known = [host.url], {host.url}
    while queue:
        url = queue.pop()
        status, file = host.find(urlsplit(url).path)
        assert status == 200, url
        assert file is not None
        if file.suffix != ".html":
            continue
        markup = Markup.of(file)
        yield url, markup
        for link in markup.links:
            target, fragment = urldefrag(urljoin(url, link.address))
            if is_outside(host, link, target):
                continue
            assert target.startswith(host.url), f"{url} leads out of the prefix: {link}"
            if fragment and urlsplit(target).path == urlsplit(url).path:
                assert fragment in markup.ids, f"{url}: no #{fragment}"
            if target not in known:
                known.add(target)
                queue.append(target)


def is_outside(host: Host, link: Link, target: str) -> bool:
    """Whether a link is meant to lead to somebody else, or tells of the site's own address."""
    if link.rel == "canonical":
        assert target.startswith(SITE_URL)
        return True
    is_else = urlsplit(target).netloc != urlsplit(host.url).netloc
    assert not is_else or link.tag == "a", f"{link} is asked of another host"
    return is_else


def test_every_page_is_reached_by_links_below_the_prefix(host: Host, site: Path) -> None:
    reached = {host.find(urlsplit(url).path)[1] for url, _ in crawled(host)}
    assert reached == set(pages_of(site)) - {site / "404.html"}


@pytest.mark.parametrize("name", ["empty", "single", "crowded"])
def test_no_link_of_another_channel_leads_nowhere(
    name: str, request: pytest.FixtureRequest
) -> None:
    channel: Channel = request.getfixturevalue(name)
    with hosted(channel.site) as host:
        reached = {host.find(urlsplit(url).path)[1] for url, _ in crawled(host)}
    assert reached == set(pages_of(channel.site)) - {channel.site / "404.html"}


def test_every_package_is_listed_under_its_first_character(site: Path) -> None:
    names = json.loads((site / "api" / "v1" / "packages.json").read_bytes())["packages"]
    listed = [
        (path.parent.name, link.address.split("/")[-2])
        for path in (site / "browse").glob("*/index.html")
        for link in Markup.of(path).links
        if "packages/" in link.address
    ]
    assert sorted(listed) == sorted((name[0], name) for name in names)


def test_canonical_addresses_are_those_of_the_pages(host: Host) -> None:
    for url, markup in crawled(host):
        (canonical,) = [link.address for link in markup.links if link.rel == "canonical"]
        assert canonical == SITE_URL + url.removeprefix(host.url)


def test_a_site_without_an_address_claims_none(empty: Channel) -> None:
    for path in pages_of(empty.site):
        assert [link for link in Markup.of(path).links if link.rel == "canonical"] == []
    assert not (empty.site / "sitemap.xml").exists()


def test_the_404_page_stands_alone_at_any_path(host: Host, site: Path) -> None:
    """A host serves it in place of a page in any folder, where relative links lead astray."""
    for link in Markup.of(site / "404.html").links:
        assert link.tag == "a", f"{link} is another file's"
        assert link.address.startswith(SITE_URL)
        assert host.find(f"/channel/{link.address.removeprefix(SITE_URL)}")[0] == 200


def test_the_404_page_of_a_site_without_an_address_links_nothing(empty: Channel) -> None:
    assert Markup.of(empty.site / "404.html").links == []


def test_the_sitemap_names_every_page_and_nothing_else(host: Host, site: Path) -> None:
    text = (site / "sitemap.xml").read_text()
    named = {part.partition("</loc>")[0] for part in text.split("<loc>")[1:]}
    pages = {SITE_URL + url.removeprefix(host.url) for url, _ in crawled(host)}
    # What is found by searching is on other pages.
    assert named - {f"{SITE_URL}search/"} == pages - {f"{SITE_URL}search/"}
    assert f"Sitemap: {SITE_URL}sitemap.xml" in (site / "robots.txt").read_text()


def test_every_page_forbids_what_it_does_not_need(
    site: Path, empty: Channel, single: Channel, crowded: Channel
) -> None:
    for folder in (site, empty.site, single.site, crowded.site):
        for path in pages_of(folder):
            markup = Markup.of(path)
            found = directives(markup.metas["Content-Security-Policy"])
            assert markup.inline == 0, path
            if path.name == "404.html":
                assert found.pop("style-src").startswith("'sha256-")
                assert set(found.values()) == {"'none'"}
                assert {"default-src", "base-uri", "form-action"} <= found.keys()
            else:
                assert found == _CSP


def test_no_page_at_all_gives_trouble_in_the_browser(visitor: Visitor) -> None:
    host = visitor.host
    for url, _ in list(crawled(host)):
        visitor.go(url.removeprefix(host.url))


@pytest.mark.parametrize("name", ["empty", "single", "crowded"])
def test_pages_of_other_channels_give_no_trouble(
    visit: Visits, name: str, request: pytest.FixtureRequest
) -> None:
    channel: Channel = request.getfixturevalue(name)
    with hosted(channel.site) as host:
        visitor = visit(host=host)
        for path in OF_ANY.values():
            page = visitor.go(path, status_of(path))
            expect(page.get_by_role("heading", level=1)).to_be_visible()
        visitor.leave()


def test_every_page_serves_without_javascript(visit: Visits) -> None:
    visitor = visit(Eyes(javascript=False))
    for kind, path in KINDS.items():
        page = visitor.go(path, status_of(path))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert len(page.locator("main").inner_text()) > 60, kind


def test_a_package_is_reached_without_javascript(visit: Visits) -> None:
    visitor = visit(Eyes(javascript=False))
    page = visitor.go()
    page.get_by_role("link", name="Browse").click()
    page.locator("main").get_by_role("link", name="n", exact=True).click()
    page.get_by_role("link", name="numpy").click()
    assert visitor.path() == "packages/numpy/"
    main = page.locator("main")
    for text in ("2.3.4", "scientific computing", "BSD-3-Clause", "sha256", "linux-aarch64"):
        expect(main).to_contain_text(text)
    # What it depends on, and what depends on it.
    main.get_by_role("link", name="liblapack").first.click()
    assert visitor.path() == "packages/liblapack/"
    page.locator("main").get_by_role("link", name="numpy").first.click()
    assert visitor.path() == "packages/numpy/"


def test_a_search_without_javascript_leads_on(visit: Visits) -> None:
    visitor = visit(Eyes(javascript=False))
    page = visitor.go()
    page.get_by_role("searchbox").fill("numpy")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search/?q=numpy")
    page.locator("main").get_by_role("link", name="n", exact=True).click()
    assert visitor.path() == "browse/n/"


def test_long_lists_are_cut_and_say_so(visit: Visits, crowded: Channel) -> None:
    with hosted(crowded.site) as host:
        visitor = visit(host=host)
        page = visitor.go("status/")
        assert page.locator("main").inner_text().count("230") >= 2
        assert 1 <= page.locator("main tbody tr").count() < 460
        visitor.leave()
