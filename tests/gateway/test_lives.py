"""For how long clients may be sent to a signed address, by what storage services write into it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

import pytest

from indexer.gateway import ways
from indexer.gateway.ways import _good_until

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


class _Frozen(datetime):
    @classmethod
    def now(cls, tz: object = None) -> Self:
        assert tz is UTC
        return cls.fromtimestamp(NOW.timestamp(), UTC)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "datetime", _Frozen)
    monkeypatch.setattr("indexer.gateway.ways.time.monotonic", lambda: 1000.0)


def life(query: str) -> float:
    return _good_until(f"https://store.example/blob?{query}") - 1000.0


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        # A minute is left to whoever is sent there; of a short life, half of it.
        ("X-Amz-Date=20261101T120000Z&X-Amz-Expires=600", 540),
        ("X-Amz-Date=20261101T115500Z&X-Amz-Expires=600", 240),
        ("X-Amz-Date=20261101T120000Z&X-Amz-Expires=80", 40),
        ("X-Goog-Date=20261101T120000Z&X-Goog-Expires=600", 540),
        ("se=2026-11-01T12%3A10%3A00Z&sig=x", 540),
        ("se=2026-11-01T12%3A10%3A00.0000000Z&sig=x", 540),
        ("se=2026-11-01T13%3A10%3A00%2B01%3A00&sig=x", 540),
        (f"Expires={int(NOW.timestamp()) + 600}&Signature=x", 540),
        # Nobody believes in a year.
        ("X-Amz-Date=20261101T120000Z&X-Amz-Expires=604800", 3600),
        ("Expires=99999999999999999999", 3600),
    ],
)
def test_an_address_is_good_for_what_it_says_less_a_margin(query: str, seconds: float) -> None:
    assert life(query) == seconds


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Date=20261101T110000Z&X-Amz-Expires=600",
        "se=2026-11-01T11%3A00%3A00Z",
        f"Expires={int(NOW.timestamp()) - 1}",
        "Expires=-1",
        "X-Amz-Date=20261101T120000Z&X-Amz-Expires=0",
    ],
)
def test_what_is_over_is_good_for_no_second_time(query: str) -> None:
    assert life(query) == 0


@pytest.mark.parametrize(
    "query",
    [
        "",
        "sig=x",
        "X-Amz-Expires=600",
        "X-Amz-Expires=abc&X-Amz-Date=20261101T120000Z",
        "X-Amz-Expires=600&X-Amz-Date=yesterday",
        "X-Amz-Expires=nan&X-Amz-Date=20261101T120000Z",
        "X-Amz-Expires=inf&X-Amz-Date=20261101T120000Z",
        "Expires=nan",
        "Expires=soon",
        "Expires=1e400",
        "se=2026-11-01",
        "se=2026-11-01T12:10:00",
        "se=x",
    ],
)
def test_an_address_without_a_date_that_can_be_read_is_good_for_half_a_minute(query: str) -> None:
    assert life(query) == 30
