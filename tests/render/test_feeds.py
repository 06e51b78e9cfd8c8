"""Feeds name what is new and still there, and each build once, wherever the site moves."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from indexer.channel.record import Record
from indexer.render.detail import API_ONLY, FULL, Detail
from indexer.render.feeds import Entry, draw_feed, newest_builds
from indexer.render.history import ChangeEntry
from indexer.render.package_files import draw_package
from indexer.render.site_info import SiteInfo
from tests.channel.samples import record
from tests.render.site import ATOM, INFO, change, package_of, summaries_of, texts, xml

# 2026-11-01T12:00:00Z, and what is left of a second when a run begins.
NOON = 1_793_534_400_000
REST = 345
HOUR = 3_600_000
HERE = dataclasses.replace(INFO, site_url="")


def entered(name: str, time: int, subdir: str = "noarch", **fields: Any) -> Record:
    return record(name, subdir=subdir, **fields).indexed(time)


def newest(
    channel: Mapping[str, Sequence[Record]], recent: Sequence[ChangeEntry] = (), count: int = 50
) -> list[Entry]:
    return newest_builds(summaries_of(channel), recent, count)


def files(entries: Sequence[Entry]) -> list[str]:
    return [entry.file_name for entry in entries]


def added(version: str, time: str = "2026-11-01T12:00:00Z", kind: str = "added") -> ChangeEntry:
    return change(kind, time, file_name=f"alpha-{version}-h1_0.conda", version=version)


def test_the_newest_builds_are_those_that_entered_last_wherever_they_are() -> None:
    channel = {
        "linux-64": [entered(f"linux-{n}", NOON + 2 * n * HOUR, "linux-64") for n in range(30)],
        "noarch": [entered(f"any-{n}", NOON + (2 * n + 1) * HOUR) for n in range(30)],
    }
    found = newest(channel, count=20)
    assert [entry.name for entry in found] == [
        name for n in range(29, 19, -1) for name in (f"any-{n}", f"linux-{n}")
    ]
    assert found[0] == Entry(
        "any-29", "1.0", "h1_0", "noarch", "any-29-1.0-h1_0.conda", NOON + 59 * HOUR
    )


def test_of_what_entered_together_the_newest_builds_come_first() -> None:
    built = {"a": 300, "b": 100, "c": 200}
    records = [entered(name, NOON, timestamp=time * 10**10) for name, time in built.items()]
    assert [entry.name for entry in newest({"noarch": records})] == ["a", "c", "b"]


def test_a_first_run_of_a_channel_has_news() -> None:
    records = [entered(name, NOON) for name in ("a", "b")]
    assert len(newest({"noarch": records, "linux-64": []})) == 2
    assert newest({"noarch": []}) == newest({}) == []


def test_many_builds_of_one_name_at_once_are_all_news() -> None:
    versions = ["1.0", "1.1", "1.2"]
    records = [record(version=version).indexed(NOON + REST) for version in versions]
    found = newest({"noarch": records}, [added(version) for version in versions])
    assert files(found) == [f"alpha-{version}-h1_0.conda" for version in ("1.2", "1.1", "1.0")]
    # One of them by the summary of its name, the others by the list of changes.
    assert [entry.time for entry in found] == [NOON + REST, NOON, NOON]


@pytest.mark.parametrize(
    "kinds",
    [["removed", "added"], ["removed", "removed", "added"], ["removed", "changed", "added"]],
)
def test_what_was_taken_out_again_is_not_named(kinds: Sequence[str]) -> None:
    recent = [added("2.0", kind=kind) for kind in kinds]
    kept = [entered("alpha", NOON)]
    assert files(newest({"noarch": kept}, recent)) == ["alpha-1.0-h1_0.conda"]


def test_what_came_back_is_named_with_the_time_it_came_back() -> None:
    times = ("2026-11-01T12:00:00Z", "2026-11-01T11:00:00Z", "2026-11-01T10:00:00Z")
    kinds = ("added", "removed", "added")
    recent = [added("0.9", time, kind) for time, kind in zip(times, kinds, strict=True)]
    found = newest({"noarch": [entered("alpha", NOON)]}, recent)
    assert [entry.time for entry in found if entry.version == "0.9"] == [NOON]


def test_a_name_or_a_subdir_that_is_gone_is_not_named() -> None:
    channel = {"noarch": [entered("beta", NOON)]}
    recent = [added("1.0"), dataclasses.replace(added("1.0"), subdir="linux-64", name="beta")]
    assert [entry.name for entry in newest(channel, recent)] == ["beta"]


def test_a_build_that_only_changed_is_no_news() -> None:
    assert len(newest({"noarch": [entered("alpha", NOON)]}, [added("0.9", kind="changed")])) == 1


def test_a_new_build_stays_news_when_it_changes() -> None:
    recent = [added("0.9", kind="changed"), added("0.9")]
    found = newest({"noarch": [entered("alpha", NOON)]}, recent)
    assert [entry.version for entry in found] == ["1.0", "0.9"]


def test_a_remembered_file_of_any_name_stops_no_run() -> None:
    odd = dataclasses.replace(added("1.0"), file_name="odd")
    (entry, _) = newest({"noarch": [entered("alpha", NOON - HOUR)]}, [odd])
    assert (entry.file_name, entry.version, entry.build) == ("odd", "1.0", "h1_0")


def test_the_last_of_a_long_list_is_left_out_and_not_the_first() -> None:
    recent = [added(f"2.{minute}", f"2026-11-01T12:{minute:02}:00Z") for minute in range(59, 0, -1)]
    found = newest({"noarch": [entered("alpha", NOON)]}, recent, 10)
    assert [entry.version for entry in found] == [f"2.{minute}" for minute in range(59, 49, -1)]


def test_one_file_in_two_subdirs_has_the_same_place_each_time() -> None:
    subdirs = ("linux-64", "noarch", "osx-64")
    channel = {subdir: [entered("alpha", NOON, subdir)] for subdir in subdirs}
    orders = [
        newest({subdir: channel[subdir] for subdir in order})
        for order in itertools.permutations(subdirs)
    ]
    assert len(orders[0]) == 3
    assert all(found == orders[0] for found in orders)


ENTRIES = [
    Entry("beta", "2.0", "h1_0", "noarch", "beta-2.0-h1_0.conda", NOON + HOUR),
    Entry("alpha", "1.0", "h1_0", "noarch", "alpha-1.0-h1_0.conda", NOON),
    Entry("alpha", "1.0", "h1_0", "linux-64", "alpha-1.0-h1_0.conda", NOON),
    Entry("alpha", "1.0", "h1_0", "noarch", "alpha-1.0-h1_0.tar.bz2", NOON),
]


def feed(
    entries: Sequence[Entry] = ENTRIES,
    info: SiteInfo = INFO,
    detail: Detail = FULL,
    page: str = "",
) -> bytes:
    return draw_feed(info, detail, "New in forge", page, entries)


def ids(data: bytes) -> list[str]:
    document = xml(data)
    return [*texts(document, "id"), *texts(document, "entry/id")]


def links(data: bytes, path: str) -> list[str]:
    return [element.get("href", "") for element in xml(data).findall(path)]


def test_a_feed_says_what_is_new_and_when() -> None:
    document = xml(feed())
    assert document.tag == f"{ATOM}feed"
    assert texts(document, "title") == ["New in forge"]
    assert texts(document, "updated") == ["2026-11-01T13:00:00Z"]
    assert texts(document, "entry/title")[:2] == [
        "beta 2.0 h1_0 (noarch)",
        "alpha 1.0 h1_0 (noarch)",
    ]
    assert texts(document, "entry/updated")[:2] == ["2026-11-01T13:00:00Z", "2026-11-01T12:00:00Z"]
    assert texts(document, "author/name") == ["forge"]


def test_no_two_things_in_a_feed_are_taken_for_one() -> None:
    found = ids(feed())
    assert len(set(found)) == len(found) == 5
    assert all(urn.startswith("urn:uuid:") for urn in found)
    assert ids(feed(page="packages/alpha/"))[0] != found[0]


def test_nothing_is_news_again_when_the_site_moves() -> None:
    moved = dataclasses.replace(INFO, site_url="https://elsewhere.invalid/", policy="other")
    assert ids(feed(info=moved)) == ids(feed(info=HERE)) == ids(feed())


@pytest.mark.parametrize(
    "other",
    [dataclasses.replace(INFO, channel="other"), dataclasses.replace(INFO, registry="other")],
    ids=["channel", "registry"],
)
def test_another_channels_build_is_another_build(other: SiteInfo) -> None:
    assert not set(ids(feed(info=other))) & set(ids(feed()))


def test_a_build_is_the_same_news_in_each_feed_and_however_it_is_known() -> None:
    records = [record(version=version).indexed(NOON + REST) for version in ("1.0", "1.1")]
    first = newest({"noarch": records}, [added("1.1"), added("1.0")])
    # Then the one that its name's summary told of is taken out.
    later = newest(
        {"noarch": records[:1]}, [added("1.1", kind="removed"), *map(added, ("1.1", "1.0"))]
    )
    assert ids(feed(later))[1:] == ids(feed(first))[2:]
    own = draw_package(package_of({"noarch": records}), INFO, FULL)
    assert set(ids(own["packages/alpha/feed.xml"])[1:]) == set(ids(feed(first))[1:])


def test_other_bytes_under_the_same_name_are_news() -> None:
    again = [dataclasses.replace(ENTRIES[1], time=NOON + HOUR)]
    assert ids(feed(again))[1:] != ids(feed(ENTRIES[1:2]))[1:]


def test_a_feed_of_nothing_is_a_feed() -> None:
    document = xml(feed([]))
    assert texts(document, "updated") == ["1970-01-01T00:00:00Z"]
    assert texts(document, "entry/id") == []


@pytest.mark.parametrize("site_url", ["https://acme.invalid/forge", "https://acme.invalid/forge/"])
def test_where_the_site_is_known_links_are_whole(site_url: str) -> None:
    info = dataclasses.replace(INFO, site_url=site_url)
    data = feed(info=info, page="packages/alpha/")
    base = "https://acme.invalid/forge/packages/alpha/"
    assert links(data, f"{ATOM}link") == [f"{base}feed.xml", base]
    assert links(data, f"{ATOM}entry/{ATOM}link")[:2] == [
        "https://acme.invalid/forge/packages/beta/",
        base,
    ]


@pytest.mark.parametrize(
    ("page", "to_alpha"), [("", "./packages/alpha/"), ("packages/alpha/", "../../packages/alpha/")]
)
def test_where_it_is_not_known_links_are_from_the_feed_on(page: str, to_alpha: str) -> None:
    data = feed(ENTRIES[1:2], HERE, page=page)
    assert links(data, f"{ATOM}link") == ["feed.xml", "./"]
    assert links(data, f"{ATOM}entry/{ATOM}link") == [to_alpha]


@pytest.mark.parametrize(
    ("info", "to"), [(HERE, "./"), (INFO, "https://acme.invalid/forge/")], ids=["here", "known"]
)
def test_no_entry_leads_to_a_page_that_there_is_no_room_for(info: SiteInfo, to: str) -> None:
    assert links(feed(ENTRIES[:1], info, API_ONLY), f"{ATOM}entry/{ATOM}link") == [to]
