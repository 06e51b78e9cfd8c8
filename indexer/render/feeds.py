"""What is new, as Atom (RFC 4287), and which builds that are."""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from indexer.channel.record import name_version_build
from indexer.render.detail import Detail
from indexer.render.history import ChangeEntry, read_seconds
from indexer.render.site_info import SiteInfo
from indexer.render.summary import NameSummary
from indexer.render.templates import draw

PATH = "feed.xml"
# Entries of the channel's own feed.
LENGTH = 50
# A name space of our own, so that nobody else's ids can be the same.
_IDS = uuid.UUID("0d9d8c5e-6f0b-5d0e-9d53-4b0f6c0c2a17")


@dataclass(frozen=True, slots=True)
class Entry:
    """A build that entered the index at a time, in milliseconds since 1970."""

    name: str
    version: str
    build: str
    subdir: str
    file_name: str
    time: int


def newest_builds(
    subdirs: Mapping[str, Mapping[str, NameSummary]], recent: Iterable[ChangeEntry], count: int
) -> list[Entry]:
    """The builds that entered the index last, the latest first.

    From what happened lately, where it is still so, and from what each name says of itself:
    what was taken out again isn't named, and a channel that began anew isn't empty.
    """
    found: dict[tuple[str, str], tuple[tuple[int, int], Entry]] = {}
    for subdir, names in subdirs.items():
        # What entered together, as in a first run, is told by when it was built.
        entered = (
            (item.entered_at, item.timestamp, item.entered, name) for name, item in names.items()
        )
        for at, built, file_name, name in heapq.nlargest(count, entered):
            found[subdir, file_name] = ((at, built), _entry(name, subdir, file_name, at))
    gone: set[tuple[str, str]] = set()
    for change in recent:
        place = (change.subdir, change.file_name)
        if (
            change.kind != "added"
            or place in gone
            or change.name not in subdirs.get(change.subdir, {})
        ):
            gone |= {place} if change.kind == "removed" else set()
        elif place not in found:
            at = read_seconds(change.time) * 1000
            found[place] = ((at, 0), Entry(change.name, change.version, change.build, *place, at))
    latest = sorted(
        found.values(),
        key=lambda item: (item[0], item[1].file_name, item[1].subdir),
        reverse=True,
    )
    return [entry for _, entry in latest[:count]]


def draw_feed(
    info: SiteInfo, detail: Detail, title: str, page: str, entries: Sequence[Entry]
) -> bytes:
    """The feed beside a page, whose path is ``page`` ("" is the front page)."""
    return draw(
        "feed.xml.j2",
        {
            "info": info,
            "detail": detail,
            "title": title,
            "root": "../../" if page else "./",
            "page": page,
            "id": _id(info, page),
            # A feed must have a time; an empty one has that of nothing.
            "updated": max((entry.time for entry in entries), default=0),
            # By seconds, which is as much as the list of changes has of a time.
            "entries": [
                (entry, _id(info, f"{entry.subdir}/{entry.file_name} {entry.time // 1000}"))
                for entry in entries
            ],
        },
    )


def _entry(name: str, subdir: str, file_name: str, time: int) -> Entry:
    _, version, build = name_version_build(file_name)
    return Entry(name, version, build, subdir, file_name, time)


def _id(info: SiteInfo, what: str) -> str:
    """An id that stays when the site moves, as RFC 4287, 4.2.6 wants it."""
    return uuid.uuid5(_IDS, f"{info.registry} {info.channel} {what}").urn
