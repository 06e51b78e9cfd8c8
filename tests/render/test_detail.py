"""Levels of detail say less and less, and a snapshot's word for one is read back."""

from __future__ import annotations

import itertools

import pytest

from indexer.render.detail import FULL, LEVELS, NONE, Detail, detail_of


def test_levels_say_less_and_less() -> None:
    assert LEVELS[0] is FULL
    assert LEVELS[-1] is NONE
    assert len({detail.level for detail in LEVELS}) == len(LEVELS)
    for one, other in itertools.pairwise(LEVELS):
        assert (one.pages, one.api) >= (other.pages, other.api)
        assert one.records >= other.records or not other.api
        assert (one.builds, one.feed) >= (other.builds, other.feed) or not other.pages


def test_pages_lead_to_files_of_the_api_that_are_there() -> None:
    assert all(detail.api for detail in LEVELS if detail.pages)


@pytest.mark.parametrize("detail", LEVELS, ids=lambda detail: detail.level)
def test_a_level_is_found_by_its_name(detail: Detail) -> None:
    assert detail_of(detail.level) is detail


@pytest.mark.parametrize("name", ["", "FULL", "huge", "full "])
def test_a_level_that_nobody_knows_is_none(name: str) -> None:
    assert detail_of(name) is NONE
