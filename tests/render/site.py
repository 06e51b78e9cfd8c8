"""Sites drawn from a few values, without a job, and their pages taken apart."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from indexer.channel.about import NOTHING_KNOWN, About
from indexer.channel.record import Record
from indexer.render import api, feeds, pages, summary
from indexer.render.channeldata import by_name
from indexer.render.detail import FULL, Detail
from indexer.render.history import ChangeEntry
from indexer.render.package import Package, dependents_of, make_package
from indexer.render.package_files import draw_package
from indexer.render.site_info import BlobAddresses, SiteInfo
from indexer.render.summary import NameSummary
from tests.channel.samples import record

VOID = {"meta", "link", "br", "hr", "img", "input"}
ATOM = "{http://www.w3.org/2005/Atom}"
INFO = SiteInfo(
    channel="forge",
    registry="oci://ghcr.io/acme",
    policy="annotation org.conda-forge.status=validated",
    validated_only=True,
    site_url="https://acme.invalid/forge",
    installs="oci",
    blobs=BlobAddresses("oci://ghcr.io/acme/forge", "https://ghcr.io/v2/acme/forge"),
)
ABOUT = About(
    "Numbers, in rows", "https://numpy.org", "https://git.invalid/numpy", "https://docs.invalid/"
)

Records = Mapping[str, Sequence[Record]]


class Page(HTMLParser):
    """A page taken apart; fails where a tag isn't closed, or closed that wasn't open.

    ``links`` are addresses and texts of what can be followed.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.links: list[tuple[str, str]] = []
        self.items: list[str] = []
        self.codes: list[str] = []
        self.text = ""
        self.style = ""
        self.script = ""
        self._open: list[str] = []
        self.feed(data.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        elif tag == "a":
            self.links.append((dict(attrs).get("href") or "", ""))
        elif tag == "li":
            self.items.append("")
        elif tag == "code":
            self.codes.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.style += data
            return
        if "script" in self._open:
            self.script += data
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
        if "a" in self._open:
            address, text = self.links[-1]
            self.links[-1] = address, text + data
        if "li" in self._open:
            self.items[-1] += data
        if "code" in self._open:
            self.codes[-1] += data

    def shape(self) -> list[tuple[str, list[str]]]:
        """All tags with the names of their attributes."""
        return [(tag, list(attributes)) for tag, attributes in self.elements]

    def attributes(self, tag: str, key: str) -> list[str]:
        """The values of an attribute of all elements of a kind."""
        return [found[key] or "" for name, found in self.elements if name == tag and key in found]


def xml(data: bytes) -> ET.Element:
    """A feed or a sitemap taken apart."""
    return ET.fromstring(data)  # noqa: S314  what is read was just drawn


def texts(element: ET.Element, path: str) -> list[str]:
    """The texts at a path of an Atom document."""
    places = "/".join(f"{ATOM}{part}" for part in path.split("/"))
    return [found.text or "" for found in element.findall(places)]


def by_file(records: Sequence[Record]) -> dict[str, dict[str, object]]:
    """The fields of records by file name."""
    return {item.file_name: item.fields() for item in records}


def package_of(
    records: Records,
    *,
    about: About = NOTHING_KNOWN,
    names: Collection[str] = (),
    dependents: Sequence[str] = (),
) -> Package:
    """One name's package, of its records by subdir."""
    found = {subdir: summary.summarize(by_file(items), about) for subdir, items in records.items()}
    (name,) = {item.name for items in records.values() for item in items}
    fields = {subdir: by_file(items) for subdir, items in records.items()}
    return make_package(name, found, fields, names, dependents)


def summaries_of(
    channel: Records, about: Mapping[str, About] | None = None
) -> dict[str, dict[str, NameSummary]]:
    """The summaries of a channel's records, by subdir and name."""
    found: dict[str, dict[str, NameSummary]] = {}
    for subdir, records in channel.items():
        names = dict.fromkeys(item.name for item in records)
        found[subdir] = {
            name: summary.summarize(
                by_file([item for item in records if item.name == name]),
                (about or {}).get(name, NOTHING_KNOWN),
            )
            for name in names
        }
    return found


def channel_of(
    summaries: Mapping[str, Mapping[str, NameSummary]],
    changes: Sequence[ChangeEntry] = (),
    *,
    info: SiteInfo = INFO,
    detail: Detail = FULL,
) -> pages.Channel:
    """A channel as its pages show it."""
    return pages.Channel(
        info=info,
        detail=detail,
        rows=pages.rows_of(by_name(summaries)),
        counts=pages.counts_of(summaries),
        newest=feeds.newest_builds(summaries, changes, feeds.LENGTH),
        changes=changes,
    )


def change(kind: str = "added", time: str = "2026-11-01T12:00:00Z", **fields: str) -> ChangeEntry:
    """A change of one build of alpha, or of what ``fields`` say."""
    base = ChangeEntry(time, kind, "noarch", "alpha-1.9-h1_0.conda", "alpha", "1.9", "h1_0")
    return replace(base, **fields)


@dataclass(frozen=True)
class Site:
    """A channel with all that is drawn of it but its status."""

    records: Records
    info: SiteInfo = INFO
    detail: Detail = FULL
    about: Mapping[str, About] = field(default_factory=dict)
    changes: Sequence[ChangeEntry] = ()

    def files(self) -> dict[str, bytes]:
        """All files by path."""
        summaries = summaries_of(self.records, self.about)
        channel = channel_of(summaries, self.changes, info=self.info, detail=self.detail)
        files = pages.draw_pages(channel) | api.draw_api(channel)
        dependents = dependents_of(summaries.values())
        names = by_name(summaries)
        for name in names:
            own = {
                subdir: [item for item in items if item.name == name]
                for subdir, items in self.records.items()
            }
            package = package_of(
                {subdir: items for subdir, items in own.items() if items},
                about=self.about.get(name, NOTHING_KNOWN),
                names=names,
                dependents=dependents.get(name, []),
            )
            files |= draw_package(package, self.info, self.detail)
        return files

    def page(self, path: str) -> Page:
        """One of its pages, by its folder ("" is the front page)."""
        return Page(self.files()[posixpath.join(path, "index.html")])


RECORDS: Records = {
    "noarch": [record("alpha", "1.9", subdir="noarch").indexed(1_793_534_400_000)],
    "linux-64": [
        record("alpha", "1.10").indexed(1_793_534_401_000),
        record("alpha", "1.8").indexed(1_793_534_402_000),
        record("beta", depends=["alpha >=1", "gamma"]).indexed(1_793_534_403_000),
        record("_mutex", "0.1").indexed(1_793_534_404_000),
    ],
}
SITE = Site(RECORDS, about={"alpha": ABOUT}, changes=[change(), change("removed", name="gone")])
