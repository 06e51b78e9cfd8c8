"""What the published site remembers of its pages and its last change, read back."""

from __future__ import annotations

from dataclasses import asdict, replace

import orjson
import pytest

from indexer.errors import ContentError
from indexer.render import history
from indexer.render.history import FileEntry, LastChange, PagesEntry, Snapshot, SubdirEntry
from tests.channel.samples import sha256
from tests.render.site import change

ONE, OTHER = FileEntry(sha256("x"), 12), FileEntry(sha256("y"), 13)
SNAPSHOT = Snapshot(
    registry="oci://ghcr.io/acme",
    channel="forge",
    rendering="look",
    subdirs={"noarch": SubdirEntry(3, 2, 99, {"noarch/repodata.json": ONE}, {}, "1 -")},
    files={"channeldata.json": ONE},
    pages=PagesEntry("lean", 7, 4321, {"index.html": OTHER}),
    change=LastChange("2026-11-01T12:00:00Z", 3, 2, 1),
)


def test_pages_and_the_last_change_are_read_back() -> None:
    assert history.decode_snapshot(history.encode_snapshot(SNAPSHOT)) == SNAPSHOT


def test_a_site_without_pages_is_read_back() -> None:
    bare = replace(SNAPSHOT, pages=None, change=None)
    assert history.decode_snapshot(history.encode_snapshot(bare)) == bare


def test_a_snapshot_of_before_there_were_pages_is_read() -> None:
    document = orjson.loads(history.encode_snapshot(SNAPSHOT))
    del document["pages"], document["change"]
    found = history.decode_snapshot(orjson.dumps(document))
    assert (found.pages, found.change) == (None, None)
    assert found.files == SNAPSHOT.files


def test_all_files_are_listed_those_of_the_pages_too() -> None:
    assert SNAPSHOT.listed() == {
        "channeldata.json": ONE,
        "index.html": OTHER,
        "noarch/repodata.json": ONE,
    }
    assert SNAPSHOT.listed([]) == {"channeldata.json": ONE, "index.html": OTHER}
    assert "index.html" not in replace(SNAPSHOT, pages=None).listed()


@pytest.mark.parametrize(
    "path",
    [
        ("pages",),
        ("pages", "names"),
        ("pages", "bytes"),
        ("pages", "files"),
        ("pages", "files", "index.html"),
        ("pages", "files", "index.html", "size"),
        ("change",),
        ("change", "time"),
        ("change", "added"),
        ("change", "removed"),
        ("change", "changed"),
    ],
    ids="/".join,
)
@pytest.mark.parametrize("value", ["x", [], ["x"], {"x": 1}, "2026-11-01"], ids=repr)
def test_a_snapshot_of_another_shape_is_refused_and_nothing_worse(
    path: tuple[str, ...], value: object
) -> None:
    document = orjson.loads(history.encode_snapshot(SNAPSHOT))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ContentError):
        history.decode_snapshot(orjson.dumps(document))


@pytest.mark.parametrize("part", ["pages", "change"])
def test_a_field_that_is_missing_is_refused(part: str) -> None:
    document = orjson.loads(history.encode_snapshot(SNAPSHOT))
    for key in list(document[part]):
        less = document | {part: {k: v for k, v in document[part].items() if k != key}}
        with pytest.raises(ContentError):
            history.decode_snapshot(orjson.dumps(less))


@pytest.mark.parametrize(
    "fields",
    [
        {"time": ""},
        {"time": "yesterday"},
        {"time": "2026-11-01"},
        {"time": "2026-11-01T12:00:00"},
        {"time": "2026-11-01T12:00:00+00:00"},
        {"time": "2026-02-30T12:00:00Z"},
        {"time": "2026-11-1T12:00:00Z"},
        {"time": "1969-12-31T23:59:59Z"},
        {"time": "2026-11-01T12:00:00Z\n"},
        {"kind": "kept"},
        {"kind": ""},
        {"kind": "added "},
        {"kind": "ADDED"},
        {"subdir": ""},
        {"subdir": "linux"},
        {"subdir": "../x"},
        {"subdir": "linux-64/.."},
        {"subdir": "NOARCH"},
        {"file_name": "a-1-0.conda\0"},
        {"file_name": "a\n-1-0.conda"},
        {"version": "1\x1b[2J"},
        {"build": "0\ufffe"},
        {"name": "a\u202e"},
    ],
    ids=str,
)
def test_a_change_that_no_page_and_no_feed_could_show_is_refused(fields: dict[str, str]) -> None:
    sound = asdict(change())
    assert len(history.decode_changes(orjson.dumps([sound, sound]))) == 2
    with pytest.raises(ContentError, match=r"changes\.json"):
        history.decode_changes(orjson.dumps([sound, sound | fields]))


@pytest.mark.parametrize("kind", ["added", "removed", "changed"])
def test_each_kind_of_change_is_read_back(kind: str) -> None:
    changes = [change(kind, version="", build="")]
    assert history.decode_changes(history.encode_changes(changes)) == changes
