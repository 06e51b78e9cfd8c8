"""What an uploader, a registry or a previous site says is text on all pages, and acts nowhere."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import orjson
import pytest

from indexer.channel.about import About
from indexer.render import api, feeds, package_files, pages, templates
from indexer.render.detail import FULL, LEVELS, Detail
from indexer.render.history import ChangeEntry, LastChange
from indexer.render.package import Build, Dependencies, Dependency, Package, Version
from indexer.render.site_info import BlobAddresses, Installs, SiteInfo
from indexer.render.status import Artifact, Listed, Status, plot_counts
from tests.render.site import SITE, Page, texts, xml

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</style></title></code></table></svg><b>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; & <!--",
    "]]><x/>",
    "javascript:alert(1)",
    "//evil.invalid/",
]
SHA = "0" * 64
TIME = 1_793_534_400_000


class Filled:
    """A site each of whose texts is the same, and a word that says where it stands."""

    def __init__(self, text: str, detail: Detail = FULL, installs: Installs = "oci") -> None:
        self.text = text
        self.detail = detail
        self.info = SiteInfo(
            channel=self.at("channel"),
            registry=self.at("registry"),
            policy=self.at("policy"),
            validated_only=True,
            site_url=f"https://a.invalid/{text}",
            installs=installs,
            blobs=BlobAddresses(f"oci://a.invalid/{text}", f"https://a.invalid/{text}"),
            gateway_url=f"https://b.invalid/{text}",
        )

    def at(self, place: str) -> str:
        return f"{self.text} {place}"

    def channel(self) -> pages.Channel:
        at = self.at
        name = at("name")
        lost = ChangeEntry(*map(at, ("time", "kind", "place", "gone", "lost", "v", "b")))
        kept = ChangeEntry(*map(at, ("time", "kind", "place", "file", "name", "v", "b")))
        entry = feeds.Entry(name, at("version"), at("build"), at("subdir"), at("file"), TIME)
        return pages.Channel(
            info=self.info,
            detail=self.detail,
            rows=[pages.Row(name, at("version"), at("summary"), 1, (at("subdir"),))],
            counts={at("subdir"): (2, 1)},
            newest=[entry],
            changes=[kept, lost],
        )

    def package(self) -> Package:
        at = self.at
        builds = tuple(
            Build(at(file), at("subdir"), at("version"), at("build"), sha, 5, TIME, {"x": at("x")})
            for file, sha in (("file", SHA), ("other", at("sha256")))
        )
        specs = (Dependency(at("spec"), at("needed")), Dependency(at("foreign"), ""))
        about = About(
            summary=at("summary"),
            home=self.text,
            source=f"https://a.invalid/{self.text}",
            documentation=f"data:text/html,{self.text}",
        )
        return Package(
            name=at("name"),
            about=about,
            license=at("license"),
            latest=builds[0],
            subdirs=(at("subdir"), "noarch"),
            builds=builds,
            versions=(Version(at("version"), 2, (at("subdir"), "noarch")),),
            dependencies=(Dependencies((at("subdir"), "noarch"), specs, 1),),
            dependents=[at("dependent")],
        )

    def status(self) -> Status:
        at = self.at
        times = ("2026-10-31T00:00:00Z", "2026-11-01T00:00:00Z")
        return Status(
            change=LastChange(at("time"), 1, 2, 3),
            counts={at("subdir"): (2, 1)},
            left_out=Listed(2, [Artifact(at("left"), at("why"))]),
            rejected=Listed(2, [Artifact(at("rejected"), at("reason"))]),
            waiting=Listed(2, [Artifact(at("waits"), at("since"))]),
            oldest=at("oldest"),
            plot=plot_counts([{"time": time, "records": {at("subdir"): 5}} for time in times]),
        )

    def pages(self) -> dict[str, Page]:
        """All pages, by names that don't depend on the text."""
        name = self.at("name")
        files = pages.draw_pages(self.channel())
        files |= package_files.draw_package(self.package(), self.info, self.detail)
        files |= {pages.STATUS: pages.draw_status(self.status(), self.info, self.detail)}
        return {
            path.replace(name, "NAME").replace(f"browse/{name[0]}/", "browse/KEY/"): Page(data)
            for path, data in files.items()
            if path.endswith(".html")
        }


# What is said of the channel on each page, and what else on some of them.
EVERYWHERE = {"channel", "registry"}
SHOWN = {
    "index.html": {"policy", "name", "version", "build", "subdir"},
    "search/index.html": set(),
    "browse/index.html": set(),
    "browse/KEY/index.html": {"name", "version", "summary"},
    "changes/index.html": {"kind", "place", "file", "gone"},
    "api/index.html": set(),
    "status/index.html": {"subdir", "left", "why", "rejected", "reason", "waits"},
    "packages/NAME/index.html": {
        *("name", "version", "summary", "license", "file", "other", "subdir"),
        *("spec", "foreign", "dependent"),
    },
}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("detail", LEVELS, ids=lambda detail: detail.level)
def test_hostile_text_is_shown_and_never_acts(text: str, detail: Detail) -> None:
    calm = Filled("calm", detail).pages()
    hostile = Filled(text, detail).pages()
    assert hostile.keys() == calm.keys()
    for path, page in hostile.items():
        assert page.shape() == calm[path].shape(), path
        assert (page.script, page.style) == (calm[path].script, calm[path].style), path
        shown = SHOWN.get(path, set()) | (EVERYWHERE if path != "404.html" else {"channel"})
        assert {word for word in shown if f"{text} {word}" not in page.text} == set(), path


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("installs", ["oci", "https", "none"])
def test_a_command_stays_one_block_of_text(text: str, installs: Installs) -> None:
    filled = Filled(text, installs=installs)
    commands = filled.info.install_commands(filled.at("name"))
    page = filled.pages()["packages/NAME/index.html"]
    assert [command for _, command in commands if command not in page.codes] == []


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_a_link_to_elsewhere(text: str) -> None:
    ours = re.compile(r"\./|\.\./|#|[a-z0-9./]+$|https://(?:a\.invalid/|pixi\.sh$)")
    for path, page in Filled(text).pages().items():
        for tag, key in (("a", "href"), ("link", "href"), ("script", "src"), ("form", "action")):
            for address in page.attributes(tag, key):
                assert ours.match(address), f"{path}: {address}"


def test_only_websites_become_links_whatever_came_past_the_border() -> None:
    page = Filled("javascript:alert(1)").pages()["packages/NAME/index.html"]
    assert "https://a.invalid/javascript:alert(1)" in page.attributes("a", "href")
    labels = {label for _, label in page.links}
    assert "Source" in labels
    assert not labels & {"Home", "Documentation"}


@pytest.mark.parametrize("text", HOSTILE)
def test_feeds_and_the_sitemap_hold_hostile_text_and_nothing_of_it(text: str) -> None:
    filled, calm = Filled(text), Filled("calm")
    drawn = [
        pages.draw_pages(one.channel())
        | package_files.draw_package(one.package(), one.info, one.detail)
        for one in (filled, calm)
    ]
    for path in (feeds.PATH, f"packages/{filled.at('name')}/feed.xml", "sitemap.xml"):
        found = xml(drawn[0][path])
        expected = xml(drawn[1][path.replace(filled.at("name"), calm.at("name"))])
        assert [item.tag for item in found.iter()] == [item.tag for item in expected.iter()]
    feed = xml(drawn[0][feeds.PATH])
    at = filled.at
    assert texts(feed, "title") == [f"New in {at('channel')}"]
    title = f"{at('name')} {at('version')} {at('build')} ({at('subdir')})"
    assert texts(feed, "entry/title") == [title]
    assert texts(feed, "author/name") == [at("channel")]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_api_says_what_was_said(text: str) -> None:
    filled = Filled(text)
    at = filled.at
    found = {
        path.replace(at("name"), "NAME"): orjson.loads(data)
        for path, data in (
            api.draw_api(filled.channel())
            | package_files.draw_package(filled.package(), filled.info, FULL)
        ).items()
        if path.endswith(".json")
    }
    channel = found["api/v1/channel.json"]
    assert [channel[key] for key in ("channel", "registry", "policy")] == [
        at(key) for key in ("channel", "registry", "policy")
    ]
    assert list(channel["subdirs"]) == [at("subdir")]
    assert found["api/v1/packages.json"]["packages"][at("name")]["summary"] == at("summary")
    assert found["search/names.json"] == [[at("name"), at("version"), at("summary")]]
    assert found["api/v1/changes.json"]["changes"][1]["file"] == at("gone")
    package = found["api/v1/packages/NAME.json"]
    assert (package["name"], package["license"]) == (at("name"), at("license"))
    assert package["builds"][0]["record"] == {"x": at("x")}
    assert found["api/v1/badges/NAME.json"]["message"] == f"v{at('version')}"


# What would put text into a page unescaped, in templates, in what fills them and in scripts.
_HOLES = re.compile(
    r"\|\s*safe\b|Markup|autoescape\s*(?:=\s*)?false|%\s*autoescape|xmlattr|from_string"
    r"|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b"
    r"|new Function|\bon[a-z]+\s*=\s*[\"']",
    re.IGNORECASE,
)


def test_nothing_is_put_into_a_page_unescaped() -> None:
    folder = templates.templates_folder()
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    files += Path(templates.__file__).parent.glob("*.py")
    assert len(files) > 30
    for path in files:
        assert _HOLES.findall(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize("text", ["|safe", "{{ x | safe }}", "Markup(x)", "autoescape=False"])
def test_a_hole_would_be_found(text: str) -> None:
    assert _HOLES.search(text)


def test_a_calm_site_has_a_page_of_each_kind() -> None:
    kinds = set(Filled("calm").pages())
    assert kinds == {*SHOWN, "404.html"}
    assert dataclasses.replace(SITE).files().keys() >= {"index.html", "search/names.json"}
