"""Ranges, conditions and HEAD: the same for files and for blobs, and never the wrong bytes."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from indexer.gateway.ranges import Part, is_known, wanted
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.gateway.running import Running
from tests.support.rig import Rig

SIZE = 1000
ETAG = "abc"


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, SIZE)),
        ("bytes=10-19", (10, 20)),
        ("bytes=999-", (999, SIZE)),
        ("bytes=10-5000", (10, SIZE)),
        ("bytes=-1", (999, SIZE)),
        ("bytes=-5000", (0, SIZE)),
        ("Bytes=1-2", (1, 3)),
        ("bytes= 1-2 ", (1, 3)),
    ],
)
def test_one_range_is_a_part(header: str, part: tuple[int, int]) -> None:
    assert wanted(header, SIZE, ETAG, None) == Part(*part, SIZE)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-1",
        "bytes=1-2,4-5",
        "bytes=1-2-3",
        "bytes=--5",
        "bytes=+1-2",
        "bytes=1_0-2_0",
        "bytes=\u0661-\u0662",
        "bytes=1-2\n",
        "lines=1-2",
        "1-2",
        "bytes=" + "0-0," * 2000,
        "bytes=" + "9" * 3000 + "-",
    ],
)
def test_what_is_no_single_range_is_answered_by_the_whole(header: str | None) -> None:
    assert wanted(header, SIZE, ETAG, None) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        wanted(header, SIZE, ETAG, None)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-5"])
def test_of_nothing_there_is_no_part(header: str) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        wanted(header, 0, ETAG, None)


@pytest.mark.parametrize("condition", ['"other"', 'W/"abc"', "abc", "*", formatdate(0)])
def test_a_part_of_something_else_is_never_given(condition: str) -> None:
    assert wanted("bytes=0-1", SIZE, ETAG, condition) is None
    assert wanted("bytes=5000-", SIZE, ETAG, condition) is None
    assert wanted("bytes=0-1", SIZE, ETAG, '"abc"') == Part(0, 2, SIZE)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("", False),
        ('"abc"', True),
        ('W/"abc"', True),
        ("*", True),
        (' "x", W/"y" ,"abc"', True),
        ('"x"', False),
        ("abc", False),
        ('"ab', False),
        ('"xabc"', False),
        ('"x" abc "y"', False),
    ],
)
def test_a_client_has_what_it_names(header: str | None, *, known: bool) -> None:
    assert is_known(header, ETAG) is known


@pytest.fixture
def gateway(rig: Rig, serve: Serve) -> Running:
    publish(rig, package_of(SIZE))
    return serve()


BOTH = pytest.mark.parametrize("path", [PATH, "noarch/repodata.json"])


@BOTH
def test_parts_over_http_are_those_of_the_whole(gateway: Running, path: str) -> None:
    whole = gateway.get(path)
    size = len(whole.content)

    for header, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=20-29", 20, 30),
        ("bytes=-7", size - 7, size),
        (f"bytes={size - 3}-", size - 3, size),
        ("bytes=0-", 0, size),
    ):
        part = gateway.get(path, {"Range": header})
        assert part.status_code == 206
        assert part.content == whole.content[start:end]
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["Content-Length"] == str(end - start)
        assert part.headers["ETag"] == whole.headers["ETag"]

    beyond = gateway.get(path, {"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.content) == (416, b"")
    assert beyond.headers["Cache-Control"] == "no-store"
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    for header in ("bytes=0-1,5-6", "bytes=5-1", "junk"):
        answer = gateway.get(path, {"Range": header})
        assert (answer.status_code, answer.content) == (200, whole.content)


@BOTH
def test_a_part_goes_on_only_from_the_same_bytes(gateway: Running, path: str) -> None:
    etag = gateway.get(path).headers["ETag"]

    same = gateway.get(path, {"Range": "bytes=5-6", "If-Range": etag})
    other = gateway.get(path, {"Range": "bytes=5-6", "If-Range": '"other"'})

    assert (same.status_code, other.status_code) == (206, 200)


@BOTH
def test_who_has_it_is_not_sent_it_again(rig: Rig, gateway: Running, path: str) -> None:
    etag = gateway.get(path).headers["ETag"]
    rig.fake.clear_requests()

    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = gateway.get(path, {"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
        assert answer.headers["Cache-Control"]
        assert gateway.get(path, {"If-None-Match": header}, "HEAD").status_code == 304
        # The condition comes before the range (RFC 9110, 13.2.2).
        known = gateway.get(path, {"If-None-Match": header, "Range": "bytes=0-1"})
        assert known.status_code == 304
    assert rig.fake.requests == []
    assert gateway.get(path, {"If-None-Match": '"other"'}).status_code == 200


@BOTH
def test_head_says_what_get_would_and_asks_nothing(rig: Rig, gateway: Running, path: str) -> None:
    whole = gateway.get(path)
    rig.fake.clear_requests()

    head = gateway.get(path, method="HEAD")

    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges", "Cache-Control"):
        assert head.headers[name] == whole.headers[name]
    assert gateway.get(path, {"Range": "bytes=0-1"}, "HEAD").status_code == 200
    assert rig.fake.requests == []


def test_a_part_of_a_blob_is_all_that_the_registry_is_asked_for(rig: Rig, gateway: Running) -> None:
    gateway.get(PATH, {"Range": "bytes=100-199"})

    (asked,) = rig.fake.requests
    assert asked.headers["range"] == "bytes=100-199"


def test_a_registry_without_ranges_gives_parts_all_the_same(rig: Rig, serve: Serve) -> None:
    package = package_of(3_000_000)
    publish(rig, package)
    rig.fake.knobs.ranges = False

    part = serve().get(PATH, {"Range": "bytes=2900000-2900009"})

    assert (part.status_code, part.content) == (206, package.data[2_900_000:2_900_010])


def test_a_package_without_a_byte_is_one(rig: Rig, serve: Serve) -> None:
    publish(rig, package_of(0))

    answer = serve().get(PATH)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "0"
