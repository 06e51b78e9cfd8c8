"""Which verdict decides, and what is told of those that don't."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ContentError
from indexer.trust.judging import Claim, Held, Judgement, Verdicts, check_place, deciding
from indexer.trust.storage import VerdictTag
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
    verdict,
)

NOW = NOON + 24 * HOUR
CLAIM = Claim(FILE, ARCHIVE, INDEX_JSON)
TICK = timedelta(microseconds=1)
FUTURE = datetime(9999, 12, 31, tzinfo=UTC)


def judge(*items: Held, claim: Claim = CLAIM, now: datetime | None = NOW) -> Judgement:
    """The same in any order."""
    found = {Verdicts(order, now).judge(claim) for order in (items, items[::-1])}
    assert len(found) == 1
    return found.pop()


def outcome(*items: Held, **settings: Any) -> str:
    judged = judge(*items, **settings)
    assert not (judged.passed and judged.rejected)
    return "passed" if judged.passed else "rejected" if judged.rejected else "waits"


YES, NO = held(), held(passed=False)


def test_without_a_verdict_it_waits_and_there_is_nothing_to_tell() -> None:
    assert judge() == Judgement()
    assert Verdicts().judge(CLAIM) == Judgement()


def test_a_yes_lets_in() -> None:
    assert judge(YES) == Judgement(passed=True, held=YES)


def test_a_no_rejects_and_tells_who_when_and_why() -> None:
    said = held(passed=False, reason="no licence")
    assert judge(said) == Judgement(
        rejected=True,
        reason="rejected 2026-11-01 12:00:00 UTC by the key 0123456789abcdef: no licence",
        held=said,
    )


def at(hours: float, *, passed: bool) -> Held:
    return held(time=NOON + hours * HOUR, passed=passed)


@pytest.mark.parametrize(
    ("items", "found"),
    [
        # The latest wins.
        ([at(0, passed=True), at(1, passed=False)], "rejected"),
        ([at(0, passed=False), at(1, passed=True)], "passed"),
        ([at(0, passed=True), at(1, passed=False), at(2, passed=True)], "passed"),
        ([at(0, passed=False), at(1, passed=True), at(2, passed=False)], "rejected"),
        # Of the same time, the no.
        ([at(0, passed=True), at(0, passed=False)], "rejected"),
        ([held(time=NOON + TICK), at(0, passed=False)], "passed"),
        # A yes of the future is void; a no counts whatever its date.
        ([at(25, passed=True)], "waits"),
        ([at(25, passed=False)], "rejected"),
        ([at(0, passed=True), held(time=FUTURE, passed=False)], "rejected"),
        ([at(-1000, passed=False), at(25, passed=True)], "rejected"),
        ([at(0, passed=True), at(25, passed=True)], "passed"),
        ([at(0, passed=False), at(1, passed=True), at(25, passed=True)], "passed"),
    ],
)
def test_the_last_word_decides(items: list[Held], found: str) -> None:
    assert outcome(*items) == found


def test_now_is_not_yet_the_future() -> None:
    assert outcome(held(time=NOW)) == "passed"
    assert outcome(held(time=NOW + TICK)) == "waits"
    assert outcome(YES, now=None) == "waits"


def test_what_is_dated_elsewhere_is_compared_as_the_same_moment() -> None:
    there = (NOON + HOUR).astimezone(timezone(timedelta(hours=-12)))
    assert outcome(at(0, passed=True), held(time=there, passed=False)) == "rejected"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"archive": OTHER_ARCHIVE}, f"with the archive {OTHER_ARCHIVE}; here it is {ARCHIVE}"),
        (
            {"index_json": OTHER_INDEX_JSON},
            f"with the index.json {OTHER_INDEX_JSON}; here it is {INDEX_JSON}",
        ),
        ({"file_name": "alpha-2.0-h1_0.conda"}, "as alpha-2.0-h1_0.conda, not by this name"),
        ({"file_name": "alpha-1.0-h1_0.tar.bz2"}, "as alpha-1.0-h1_0.tar.bz2, not by this name"),
        ({"time": NOW + HOUR}, "which lies in the future"),
    ],
)
def test_a_yes_to_anything_else_is_none_and_is_told_of(changes: Any, told: str) -> None:
    judged = judge(held(**changes))
    assert not judged.passed
    assert judged.reason.startswith("validated 2026-11-0")
    assert judged.reason.endswith(told)


def test_a_yes_to_nothing_that_is_here_needs_no_telling() -> None:
    far = held(file_name="alpha-2.0-h1_0.conda", archive=OTHER_ARCHIVE)
    assert judge(far) == Judgement()


def test_without_one_index_json_nothing_passes() -> None:
    judged = judge(YES, claim=Claim(FILE, ARCHIVE, None))
    assert judged.reason.endswith("here there is none, or several")
    assert not judged.passed


def test_the_nearest_verdict_is_told_of() -> None:
    items = [
        held(index_json=OTHER_INDEX_JSON),
        held(archive=OTHER_ARCHIVE, time=NOON + HOUR),
        held(file_name="alpha-2.0-h1_0.conda", time=NOON + 2 * HOUR),
    ]
    for count in (1, 2, 3):
        assert f"with the index.json {OTHER_INDEX_JSON}" in judge(*items[:count]).reason


def test_a_verdict_on_the_very_same_is_nearer_than_a_later_one() -> None:
    mine, other = held(time=NOW + HOUR), held(index_json=OTHER_INDEX_JSON, time=NOW + 2 * HOUR)
    assert judge(mine, other).reason.endswith("which lies in the future")


def test_a_no_needs_no_index_json() -> None:
    for index_json in (INDEX_JSON, OTHER_INDEX_JSON, None):
        assert outcome(NO, claim=Claim(FILE, ARCHIVE, index_json)) == "rejected"


@pytest.mark.parametrize(
    "changes", [{"archive": OTHER_ARCHIVE}, {"file_name": "alpha-2.0-h1_0.conda"}]
)
def test_a_no_to_anything_else_is_none(changes: Any) -> None:
    assert outcome(held(passed=False, **changes)) == "waits"
    assert outcome(held(passed=False, **changes, time=NOON + HOUR), YES) == "passed"


def test_a_yes_for_another_index_json_does_not_take_back_a_no() -> None:
    later = held(index_json=OTHER_INDEX_JSON, time=NOON + HOUR)
    assert outcome(NO, later) == "rejected"


def test_without_a_name_nothing_was_said() -> None:
    assert outcome(YES, NO, claim=Claim("", ARCHIVE, INDEX_JSON)) == "waits"


def test_a_remembered_no_says_that_the_verdict_is_gone() -> None:
    remembered = held(passed=False, tag="")
    gone = "; the verdict itself is gone from the registry"
    assert judge(YES, remembered).reason.endswith(gone)
    assert not judge(YES, remembered, NO).reason.endswith(gone)
    # What is there is an earlier no, a yes of the same time, and a no to something else.
    others = [held(passed=False, time=NOON - HOUR), YES, held(passed=False, archive=OTHER_ARCHIVE)]
    assert judge(remembered, *others).reason.endswith(gone)


@given(
    st.lists(
        st.builds(
            held,
            passed=st.booleans(),
            time=st.sampled_from([NOON + hours * HOUR for hours in (-2, -1, 0, 1, 23, 24, 25)]),
            index_json=st.sampled_from([INDEX_JSON, OTHER_INDEX_JSON]),
            tag=st.sampled_from(["one", "other"]),
        ),
        max_size=6,
        unique_by=lambda item: (item.tag, item.verdict.time),
    ),
    st.randoms(use_true_random=False),
)
@STEADY
def test_the_rules_hold_for_any_verdicts_in_any_order(
    items: list[Held], dice: random.Random
) -> None:
    nos = [item.verdict.time for item in items if not item.verdict.passed]
    yeses = [
        item.verdict.time
        for item in items
        if item.verdict.passed
        and item.verdict.time <= NOW
        and item.verdict.index_json == INDEX_JSON
    ]
    meant = "waits"
    if nos or yeses:
        lowest = datetime(1, 1, 1, tzinfo=UTC)
        meant = "passed" if max(yeses, default=lowest) > max(nos, default=lowest) else "rejected"
    dice.shuffle(items)
    assert outcome(*items) == meant
    assert outcome(*deciding(items, NOW)) == meant


@pytest.mark.parametrize(
    ("items", "rejected"),
    [
        ([], False),
        ([YES], False),
        ([NO], True),
        ([held(passed=False, archive=OTHER_ARCHIVE)], False),
        ([NO, at(25, passed=True)], True),
        ([YES, NO], True),
        ([at(1, passed=True), NO], False),
        ([held(index_json=OTHER_INDEX_JSON, time=NOON + HOUR), NO], False),
    ],
)
def test_what_is_rejected_whatever_lies_beside_it(items: list[Held], *, rejected: bool) -> None:
    found = Verdicts(items, NOW).rejection(FILE, ARCHIVE)
    assert found == (NO if rejected else None)
    assert Verdicts(items, NOW).rejection("other-1-0.conda", ARCHIVE) is None


def test_of_what_says_the_same_again_one_decides() -> None:
    """Anybody can make many envelopes of one signed statement."""
    yes, no = held(tag="b"), held(tag="d", passed=False, time=NOON - HOUR)
    copies = [replace(yes, tag="a"), replace(no, tag="c"), replace(no, tag="")]
    old = held(tag="z", time=NOON - HOUR)
    future = held(tag="y", time=NOW + TICK)
    for items in ([yes, no, *copies, old, future], [future, old, *copies, no, yes]):
        assert deciding(items, NOW) == [yes, no]
        assert [item.tag for item in deciding(items, NOW, {"a", "c"})] == ["a", "c"]
        assert [item.tag for item in deciding(items, NOW, {"z"})] == ["b", "d"]


def test_each_file_index_json_and_archive_has_its_own_last_word() -> None:
    items = [
        held(tag="1"),
        held(tag="2", index_json=OTHER_INDEX_JSON),
        held(tag="3", archive=OTHER_ARCHIVE),
        held(tag="4", file_name="alpha-2.0-h1_0.conda"),
        held(tag="5", passed=False),
        held(tag="6", passed=False, archive=OTHER_ARCHIVE),
    ]
    assert deciding(items, NOW) == items


# Where a verdict is found

TAG = VerdictTag(ARCHIVE, "0" * 32)


def test_a_verdict_belongs_beside_what_it_speaks_of() -> None:
    check_place(verdict(), TAG, "linux-64", "alpha")
    check_place(verdict(file_name="_x-1-0.conda"), TAG, "linux-64", "zzz_x")
    # Both are spelt so in a registry; the file's name tells them apart.
    check_place(verdict(file_name="zzz_x-1-0.conda"), TAG, "linux-64", "zzz_x")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"archive": OTHER_ARCHIVE}, f"speaks of the archive {OTHER_ARCHIVE}"),
        ({"subdir": "noarch"}, "speaks of the subdir noarch"),
        ({"file_name": "beta-1.0-h1_0.conda"}, "speaks of the package beta"),
        ({"file_name": "alpha-beta-1.0-h1_0.conda"}, "speaks of the package alpha-beta"),
        ({"file_name": "Alpha-1.0-h1_0.conda"}, "speaks of the package Alpha"),
        ({"file_name": "\x1balpha-1.0-h1_0.conda"}, r"speaks of the package \\x1balpha"),
    ],
)
def test_a_verdict_found_elsewhere_counts_for_nothing(changes: Any, told: str) -> None:
    with pytest.raises(ContentError, match=told):
        check_place(verdict(**changes), TAG, "linux-64", "alpha")


def test_another_builds_verdict_may_lie_beside_and_decides_nothing() -> None:
    other = held(file_name="alpha-2.0-h1_0.conda", archive=OTHER_ARCHIVE)
    assert outcome(other, YES) == "passed"
    assert outcome(other) == "waits"
