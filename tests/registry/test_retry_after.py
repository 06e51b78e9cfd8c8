"""Retry-After: registries send what no specification knows, and must not stop us by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.registry.transport import Transport, retry_after
from tests.registry.help import REPOSITORY, STEADY, VirtualTime, remote
from tests.support import faults
from tests.support.fake_registry import FakeRegistry


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("1.16676ms", 0.00116676),
        ("250ms", 0.25),
        ("2s", 2.0),
        ("2m", 30.0),
        ("31", 30.0),
        ("999999999", 30.0),
        ("99999999999999999999", None),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("7 apples", None),
        ("1h", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_every_way_to_write_seconds_is_read_or_passed_over(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("ahead", "least", "most"),
    [(20, 10.0, 20.0), (3600, 30.0, 30.0), (10**10, 30.0, 30.0), (-3600, 0.0, 0.0)],
)
def test_a_date_is_waited_for_but_never_longer_than_half_a_minute(
    ahead: int, least: float, most: float
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    seconds = retry_after(date)
    assert seconds is not None
    assert least <= seconds <= most


def test_a_date_without_a_zone_is_taken_for_utc() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20)).replace(" +0000", " -0000")
    seconds = retry_after(date)
    assert seconds is not None
    assert 10 <= seconds <= 20


_NUMBERS = st.integers().map(str) | st.floats().map(str)
_DATES = st.tuples(
    st.sampled_from(["Mon", "", "x"]),
    st.integers(),
    st.sampled_from(["Jan", "Feb", "13", "x"]),
    st.integers(),
    st.integers(),
    st.integers(),
    st.sampled_from(["GMT", "+0000", "-0000", "+99999999999999999999", "EST", ""]),
).map(lambda parts: "{}, {} {} {} {}:{}:00 {}".format(*parts))


@STEADY
@given(
    st.one_of(st.text(), _NUMBERS, _DATES, st.tuples(_NUMBERS, st.text(max_size=2)).map("".join))
)
@example("Mon, 01 Jan 2024 00:00:00 +99999999999999999999")
@example("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_text_brings_waiting_down_or_makes_it_long(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= 30


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("1.16676ms", 0.0, 0.25),
        ("7", 7.0, 7.0),
        ("soon", 0.1, 0.25),
        ("999999999", 30.0, 30.0),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", 0.0, 30.0),
    ],
)
def test_an_odd_header_delays_the_second_try_and_no_more(
    fake: FakeRegistry,
    transport: Transport,
    time: VirtualTime,
    value: str,
    least: float,
    most: float,
) -> None:
    fake.add_repository(REPOSITORY)
    limit = faults.status(429, times=1, headers={"Retry-After": value})
    fake.knobs.faults = [limit]
    assert remote(fake, transport).tags(REPOSITORY) == []
    assert limit.fired == 1
    assert least <= time.passed <= most
