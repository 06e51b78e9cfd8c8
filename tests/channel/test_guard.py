"""A registry that answers with half of what it has must not empty the channel."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.channel.plan import Count, Guard
from indexer.errors import GuardError

CAREFUL = Guard()


def test_one_record_more_than_a_tenth_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(GuardError, match=r"linux-64: 3 of 20 .*15\.0%.*10\.0%") as caught:
        CAREFUL.raise_if_unsafe({"linux-64": Count(before=20, removed=3)})
    assert "--allow-drop" in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("before", [20, 30, 70, 100, 1_000, 25_650])
def test_exactly_a_tenth_may_go(before: int) -> None:
    CAREFUL.raise_if_unsafe({"linux-64": Count(before=before, removed=before // 10)})
    with pytest.raises(GuardError):
        CAREFUL.raise_if_unsafe({"linux-64": Count(before=before, removed=before // 10 + 1)})


@example(percent=29, before=100, removed=29)
@given(percent=st.integers(0, 100), before=st.integers(20, 5_000), removed=st.integers(0, 5_000))
def test_exactly_the_share_that_was_named_may_go(percent: int, before: int, removed: int) -> None:
    removed = min(removed, before)
    guard = Guard(max_drop=percent / 100)
    counts = {"noarch": Count(before=before, removed=removed)}
    if Fraction(removed, before) > Fraction(percent, 100):
        with pytest.raises(GuardError, match=f"{removed} of {before}"):
            guard.raise_if_unsafe(counts)
    else:
        guard.raise_if_unsafe(counts)


def test_below_twenty_records_a_share_says_nothing() -> None:
    CAREFUL.raise_if_unsafe({"noarch": Count(before=19, removed=19)})
    with pytest.raises(GuardError):
        CAREFUL.raise_if_unsafe({"noarch": Count(before=20, removed=20)})


def test_what_comes_does_not_make_up_for_what_goes() -> None:
    with pytest.raises(GuardError):
        CAREFUL.raise_if_unsafe({"noarch": Count(before=20, added=20, removed=20)})


@pytest.mark.parametrize("before", [1, 19, 20])
def test_an_empty_listing_where_records_were_is_refused_however_few(before: int) -> None:
    with pytest.raises(GuardError, match=f"noarch: .*{before} records"):
        CAREFUL.raise_if_unsafe({"noarch": Count(before=before)}, unlisted=["noarch"])


def test_an_empty_listing_of_a_subdir_that_was_empty_is_fine() -> None:
    CAREFUL.raise_if_unsafe({"noarch": Count()}, unlisted=["noarch"])


def test_every_subdir_in_danger_is_named_at_once() -> None:
    counts = {
        "linux-64": Count(before=100, removed=50),
        "noarch": Count(before=5),
        "osx-64": Count(before=100, removed=1),
    }
    with pytest.raises(GuardError, match=r"linux-64: 50 of 100.*noarch") as caught:
        CAREFUL.raise_if_unsafe(counts, unlisted=["noarch"])
    assert "osx-64" not in str(caught.value)


def test_a_person_can_let_it_go() -> None:
    counts = {"noarch": Count(before=100, removed=100)}
    Guard(allow_drop=True).raise_if_unsafe(counts, unlisted=["noarch"])


def test_no_drop_at_all_can_be_asked_for() -> None:
    with pytest.raises(GuardError):
        Guard(max_drop=0).raise_if_unsafe({"noarch": Count(before=1_000, removed=1)})
