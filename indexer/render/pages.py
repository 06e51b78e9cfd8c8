"""The pages of the whole channel, from ``site_templates/``."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from indexer.render import feeds
from indexer.render.detail import Detail
from indexer.render.feeds import Entry
from indexer.render.history import ChangeEntry
from indexer.render.package_files import PAGES
from indexer.render.site_info import SiteInfo
from indexer.render.status import Status
from indexer.render.summary import NameSummary, newest_of
from indexer.render.templates import draw, static_files, templates_folder

STATUS = "status/index.html"
# GitHub Pages would leave out what begins with an underscore, such as packages/_libgcc_mutex.
NO_JEKYLL = ".nojekyll"
_PAGE = re.compile(
    r"(?:(?:index|404)\.html|robots\.txt|sitemap\.xml|feed\.xml"
    r"|(?:search|browse|status|changes|api|assets)(?:/[A-Za-z0-9_.-]+){1,4})"
)
# Of the builds that entered last, the front page names so many.
_NEWEST = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A package in a list of packages."""

    name: str
    version: str
    summary: str
    builds: int
    subdirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """The channel as its pages show it. ``newest`` are the builds that entered last."""

    info: SiteInfo
    detail: Detail
    rows: Sequence[Row]
    counts: Mapping[str, tuple[int, int]]
    newest: Sequence[Entry]
    changes: Sequence[ChangeEntry]


def rows_of(names: Mapping[str, Mapping[str, NameSummary]]) -> list[Row]:
    """A row for each name, from its summaries by subdir."""
    rows = []
    for name, found in names.items():
        newest = newest_of(found.values())
        builds = sum(item.builds for item in found.values())
        rows.append(Row(name, newest.version, newest.about.summary, builds, tuple(found)))
    return rows


def counts_of(subdirs: Mapping[str, Mapping[str, NameSummary]]) -> dict[str, tuple[int, int]]:
    """By subdir how many builds and names it has."""
    return {
        subdir: (sum(item.builds for item in names.values()), len(names))
        for subdir, names in sorted(subdirs.items())
    }


def draw_pages(channel: Channel) -> dict[str, bytes]:
    """All pages of a channel but its status, and what stands beside them, by path."""
    groups: dict[str, list[Row]] = {}
    for row in channel.rows:
        groups.setdefault(row.name[0], []).append(row)
    keys = sorted(groups)
    info, detail = channel.info, channel.detail
    files = {
        "index.html": _page("front", channel, 0, newest=channel.newest[:_NEWEST], browse=keys),
        "changes/index.html": _page(
            "changes", channel, 1, names={row.name for row in channel.rows}
        ),
        "api/index.html": _page("api", channel, 1),
        "404.html": _missing(channel),
        "robots.txt": draw("robots.txt.j2", {"info": info}),
        feeds.PATH: feeds.draw_feed(info, detail, f"New in {info.channel}", "", channel.newest),
        **static_files(),
    }
    if detail.lists:
        files |= _lists(channel, groups, keys)
    return files


def is_page(path: str) -> bool:
    """Whether this can be the path of one of these pages, or of an API file beside them."""
    return _PAGE.fullmatch(path) is not None and ".." not in path.split("/")


def _lists(
    channel: Channel, groups: Mapping[str, Sequence[Row]], keys: Sequence[str]
) -> dict[str, bytes]:
    """The pages that name every package."""
    counts = {key: len(groups[key]) for key in keys}
    files = {
        "search/index.html": _page("search", channel, 1, browse=keys),
        "browse/index.html": _page("browse", channel, 1, browse=keys, counts=counts),
    }
    for key in keys:
        files[f"browse/{key}/index.html"] = _page(
            "letter", channel, 2, path=f"browse/{key}/", key=key, rows=groups[key], browse=keys
        )
    if channel.info.site_url:
        files["sitemap.xml"] = _sitemap(channel, keys)
    return files


def draw_status(status: Status, info: SiteInfo, detail: Detail) -> bytes:
    """The status page."""
    values = {"info": info, "detail": detail, "root": "../", "path": "status/", "status": status}
    return draw("status.html.j2", values)


def _page(
    template: str, channel: Channel, depth: int, *, path: str | None = None, **values: object
) -> bytes:
    """A page that lies ``depth`` folders deep."""
    if path is None:
        path = f"{template}/" if depth else ""
    common = {"info": channel.info, "detail": channel.detail, "channel": channel, "path": path}
    return draw(f"{template}.html.j2", {**common, "root": "../" * depth or "./", **values})


def _missing(channel: Channel) -> bytes:
    """404.html, which a host serves at any path: it brings its style along."""
    style = (templates_folder() / "404.css").read_text(encoding="utf-8")
    # As the browser counts it, which is what stands between the tags (CSP 3, section 6.7).
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _page("404", channel, 0, style=style, style_hash=f"sha256-{digest}")


def _sitemap(channel: Channel, keys: Iterable[str]) -> bytes:
    """Of at most 50,000 addresses, as sitemaps.org has it."""
    paths = ["", "browse/", "status/", "changes/", "api/", *(f"browse/{key}/" for key in keys)]
    if channel.detail.pages:
        paths += [f"{PAGES}/{row.name}/" for row in channel.rows]
    addresses = [channel.info.absolute(path) for path in paths[:50_000]]
    return draw("sitemap.xml.j2", {"addresses": addresses})
