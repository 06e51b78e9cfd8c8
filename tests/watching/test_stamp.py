"""A served status.json may be of any version, and of anybody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ContentError
from indexer.watching.stamp import read_stamp

TIME = "2026-11-01T12:00:00Z"


def stamp(**fields: Any) -> Any:
    return read_stamp(json.dumps({"time": TIME, **fields}).encode())


def test_what_older_versions_did_not_say_is_unknown() -> None:
    found = stamp()
    assert (found.time, found.run, found.snapshot) == (TIME, "", None)
    assert (found.records, found.waiting, found.oldest) == (None, None, None)
    assert "without an id" in str(found)


def test_all_that_a_status_says_is_read() -> None:
    found = stamp(
        run="12-1",
        version="0.1.0",
        snapshot="a" * 64,
        counts={"records": {"total": 7}},
        waiting={"total": 3, "oldest": TIME},
    )
    assert str(found) == f"the site of {TIME} (run 12-1)"
    assert (found.version, found.snapshot) == ("0.1.0", "a" * 64)
    assert (found.records, found.waiting, found.oldest) == (7, 3, TIME)
    assert found.seconds == 1793534400


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"<html>404</html>",
        b"null",
        b"[]",
        b"17",
        b"{}",
        b'{"time": 1e400}',
        b'{"time": 17}',
        b'{"time": "soon"}',
        b'{"time": "9999-99-99T99:99:99Z"}',
        b'{"time": "2026-11-01T12:00:00+01:00"}',
        b'{"time": "' + b"2" * 1_000_000 + b'"}',
        b'{"time": "2026-11-01T12:00:00Z", "run": 17}',
        b'{"time": "2026-11-01T12:00:00Z", "run": "' + b"a" * 1000 + b'"}',
        b'{"time": "2026-11-01T12:00:00Z", "snapshot": "A"}',
        b'{"time": "2026-11-01T12:00:00Z", "snapshot": 1}',
        b'{"time": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"[" * 100_000,
        b'{"time": "\xff"}',
    ],
)
def test_what_is_no_status_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ContentError) as caught:
        read_stamp(data)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("count", [-1, 1.5, 1e300, 2**60, 10**18, "7", None, [], True])
def test_counts_that_are_none_are_unknown(count: Any) -> None:
    found = stamp(counts={"records": {"total": count}}, waiting={"total": count, "oldest": count})
    assert (found.records, found.waiting, found.oldest) == (None, None, None)


@pytest.mark.parametrize("part", [None, [], 7, "x", {"records": []}, {"records": 7}])
def test_parts_of_another_kind_are_unknown(part: Any) -> None:
    assert stamp(counts=part, waiting=part).records is None


def test_nothing_of_it_acts_on_a_terminal_or_in_a_log() -> None:
    found = stamp(run="\x1b[31m\n::error::x", version="\n##[add-mask]x")
    assert str(found).isprintable()
    assert found.version.isprintable()
    assert "##[" not in found.version


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers()
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_the_fields_are_it_is_read_or_refused(value: Any) -> None:
    keys = ("time", "run", "snapshot", "version", "counts", "waiting")
    for key in keys:
        try:
            str(stamp(**{key: value}))
        except ContentError:
            assert key in {"time", "run", "snapshot"}
