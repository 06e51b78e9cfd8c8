"""What is remembered of every no, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ContentError
from indexer.trust.judging import Held
from indexer.trust.rejections import decode_rejections, encode_rejections, remember
from tests.registry.help import STEADY
from tests.trust.help import (
    ARCHIVE,
    FILE,
    HOUR,
    INDEX_JSON,
    NOON,
    OTHER_ARCHIVE,
    OTHER_INDEX_JSON,
    held,
)
from tests.trust.test_verdict import JSON, VERDICTS


def no(**changes: Any) -> Held:
    return held(passed=False, **changes)


NO = no(reason="no licence")
KEPT = Held(NO.verdict, NO.key_id)


def test_a_no_is_kept_without_its_tag() -> None:
    assert remember([], [NO]) == [KEPT]
    assert remember([KEPT], []) == [KEPT]
    assert remember([KEPT], [NO]) == [KEPT]


def test_a_yes_is_never_remembered_as_a_no() -> None:
    assert remember([], [held()]) == []
    assert remember([KEPT], [held(time=NOON + HOUR)]) == [KEPT]


def test_of_each_archive_the_last_is_kept() -> None:
    earlier, later = no(time=NOON - HOUR), no(time=NOON + HOUR, index_json=OTHER_INDEX_JSON)
    for known, seen in (([earlier], [later, NO]), ([later], [earlier]), ([], [later, earlier])):
        assert [item.verdict for item in remember(known, seen)] == [later.verdict]


@pytest.mark.parametrize(
    "changes",
    [{"archive": OTHER_ARCHIVE}, {"subdir": "noarch"}, {"file_name": "alpha-1.0-h1_0.tar.bz2"}],
)
def test_every_archive_has_its_own(changes: Any) -> None:
    both = remember([KEPT], [no(**changes)])
    assert len(both) == 2
    assert both == remember([], [no(**changes), NO])


def test_the_same_is_kept_in_whatever_order_it_was_seen() -> None:
    other = Held(no(reason="another").verdict, "another key", "another-tag")
    assert remember([], [NO, other]) == remember([], [other, NO]) == remember([NO], [other])


@given(st.lists(st.builds(Held, VERDICTS, st.text("0123456789abcdef", min_size=1)), max_size=6))
@STEADY
def test_what_is_remembered_is_what_is_read_back(items: list[Held]) -> None:
    kept = remember([], items)
    assert decode_rejections(encode_rejections(kept)) == kept
    assert all(not item.verdict.passed and not item.tag for item in kept)
    assert {item.verdict.file_name for item in kept} == {
        item.verdict.file_name for item in items if not item.verdict.passed
    }


def test_the_file_has_one_a_line_and_every_field() -> None:
    data = encode_rejections([KEPT])
    assert json.loads(data) == [
        {
            "subdir": "linux-64",
            "file_name": FILE,
            "sha256": ARCHIVE.hex,
            "index_json": INDEX_JSON.hex,
            "time": "2026-11-01T12:00:00+00:00",
            "verifier": "urn:test:validator",
            "policy": "urn:test:policy",
            "reason": "no licence",
            "key": "0123456789abcdef0123",
        }
    ]
    assert encode_rejections([KEPT, KEPT]).count(b"\n") == 4


def test_nothing_remembered_is_a_list_too() -> None:
    assert decode_rejections(encode_rejections([])) == []


def test_the_same_moment_is_written_the_same_way() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert encode_rejections([no(time=there)]) == encode_rejections([no()])


def test_times_are_read_as_utc() -> None:
    found = _changed(lambda item: item.update(time="2026-11-01T14:00:00+02:00"))
    (item,) = decode_rejections(found)
    assert item.verdict.time == NOON
    assert item.verdict.time.tzinfo == UTC
    assert isinstance(item.verdict.time, datetime)


def _changed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    items = json.loads(encode_rejections([KEPT]))
    change(items[0])
    return orjson.dumps(items)


CHANGES: list[Callable[[dict[str, Any]], Any]] = [
    *(
        lambda item, key=key: item.pop(key)
        for key in ("subdir", "file_name", "sha256", "index_json", "time", "verifier", "key")
    ),
    lambda item: item.update(time="2026-11-01T12:00:00"),
    lambda item: item.update(time="soon"),
    lambda item: item.update(time=1),
    lambda item: item.update(time="0001-01-01T00:00:00+14:00"),
    lambda item: item.update(sha256=ARCHIVE.hex.upper()),
    lambda item: item.update(sha256=None),
    lambda item: item.update(index_json="x"),
    lambda item: item.update(subdir="../x"),
    lambda item: item.update(file_name=["x"]),
    lambda item: item.update(reason=None),
    lambda item: item.update(key=7),
]


@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_list_is_refused_whole(change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(ContentError, match="list of rejections can't be read"):
        decode_rejections(_changed(change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b'""',
        b"7",
        b'{"a": 1}',
        b"[1]",
        b'["x"]',
        b"[[]]",
        b"\xff",
        b"[" * 5000,
        b'[{"subdir": ' + b"[" * 1000 + b"]" * 1000 + b"}]",
    ],
)
def test_what_is_no_list_of_rejections_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError, match="list of rejections can't be read") as caught:
        decode_rejections(data)
    assert str(caught.value).isprintable()


@given(JSON.filter(lambda value: value != []))
@STEADY
def test_any_json_is_refused_in_the_same_way(value: Any) -> None:
    with pytest.raises(ContentError, match="list of rejections can't be read"):
        decode_rejections(json.dumps(value).encode())
