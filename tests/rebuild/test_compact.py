"""Records come out of the state as they went in, and what was altered there is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.rebuild.compact import compact, expand
from tests.channel.samples import record


@given(body=st.binary(max_size=3000))
def test_whatever_goes_in_comes_out(body: bytes) -> None:
    assert expand(compact(body)) == body


def test_a_record_takes_less_than_half() -> None:
    body = record("alpha").body
    assert len(compact(body)) < len(body) / 2


@pytest.mark.parametrize("data", [b"", b"\xff\xff", compact(b"abc" * 50)[:-3]])
def test_what_was_altered_raises(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        expand(data)
