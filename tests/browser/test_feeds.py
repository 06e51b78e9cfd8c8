"""The Atom feeds are read by a feed reader as they were meant."""

from __future__ import annotations

import calendar
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import feedparser

from tests.browser.channel import SITE_URL, Channel


def feeds_of(site: Path) -> dict[str, Any]:
    """Every feed of a site as a reader has it, by its path."""
    return {
        path.relative_to(site).as_posix(): feedparser.parse(path.read_bytes())
        for path in sorted(site.rglob("feed.xml"))
    }


def milliseconds(parsed: time.struct_time) -> int:
    return calendar.timegm(parsed) * 1000


def rfc3339(parsed: time.struct_time) -> str:
    return datetime.fromtimestamp(calendar.timegm(parsed), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_every_feed_is_sound_atom(
    site: Path, empty: Channel, single: Channel, crowded: Channel
) -> None:
    for folder in (site, empty.site, single.site, crowded.site):
        found = feeds_of(folder)
        assert "feed.xml" in found
        for path, feed in found.items():
            assert not feed.bozo, f"{path}: {feed.get('bozo_exception')}"
            assert feed.version == "atom10"
            assert feed.feed.title
            assert feed.feed.id
            ids = [entry.id for entry in feed.entries]
            assert len(set(ids)) == len(ids)


def test_dates_come_back_as_they_were_written(site: Path) -> None:
    for feed in feeds_of(site).values():
        for item in (feed.feed, *feed.entries):
            assert rfc3339(item.updated_parsed) == item.updated
        times = [milliseconds(entry.updated_parsed) for entry in feed.entries]
        assert times == sorted(times, reverse=True)
        assert milliseconds(feed.feed.updated_parsed) == max(times)


def test_a_packages_feed_says_when_its_builds_entered_the_index(site: Path) -> None:
    for name in ("numpy", "hostile", "_libgcc_mutex"):
        document = json.loads((site / "api" / "v1" / "packages" / f"{name}.json").read_bytes())
        entered = {item["indexed_timestamp"] for item in document["builds"]}
        feed = feeds_of(site)[f"packages/{name}/feed.xml"]
        assert feed.entries
        told = {milliseconds(entry.updated_parsed) for entry in feed.entries}
        assert told <= entered
        assert max(told) == max(entered)


def test_new_builds_are_in_the_channels_feed(site: Path) -> None:
    changes = json.loads((site / "api" / "v1" / "changes.json").read_bytes())["changes"]
    latest = max(item["time"] for item in changes)
    new = {item["build"] for item in changes if item["time"] == latest and item["kind"] == "added"}
    feed = feeds_of(site)["feed.xml"]
    told = " ".join(entry.title for entry in feed.entries)
    assert new
    assert {build for build in new if build not in told} == set()


def test_feeds_lead_to_pages_that_are_there(site: Path) -> None:
    for path, feed in feeds_of(site).items():
        leads = {link.href for item in (feed.feed, *feed.entries) for link in item.links}
        assert SITE_URL + path in leads
        for address in leads:
            assert address.startswith(SITE_URL)
            target = site / address.removeprefix(SITE_URL)
            assert target.is_file() or (target / "index.html").is_file(), address
