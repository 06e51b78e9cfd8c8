"""The same work on many items: in order, bounded, and over at the first failure."""

from __future__ import annotations

import threading

import pytest

from indexer.parallel import in_order


def test_results_come_in_the_order_of_the_items() -> None:
    gate = threading.Event()

    def work(item: int) -> int:
        # The first item ends after the second.
        if item == 0:
            assert gate.wait(10)
        gate.set()
        return item * item

    assert list(in_order(work, range(50), jobs=4)) == [n * n for n in range(50)]


def test_items_are_worked_on_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)
    assert list(in_order(lambda _: together.wait() >= 0, range(3), jobs=3)) == [True] * 3


def test_no_more_is_begun_than_can_soon_be_taken() -> None:
    begun: list[int] = []
    results = in_order(begun.append, range(1000), jobs=2)
    next(results)
    results.close()
    assert len(begun) <= 8


def test_a_failure_is_raised_at_its_place_and_ends_the_work() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise ValueError(item)
        return item

    results = in_order(work, range(1000), jobs=2)
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
    assert len(begun) < 20


def test_a_failure_ends_what_is_under_way() -> None:
    freed = threading.Event()

    def work(item: int) -> None:
        if item == 0:
            raise ValueError(item)
        # Would hang, were it not for the one who ends it.
        assert freed.wait(10)

    with pytest.raises(ValueError, match="0"):
        list(in_order(work, range(4), jobs=2, abort=freed.set))
    assert freed.is_set()


def test_whoever_takes_no_more_ends_nothing() -> None:
    aborted: list[bool] = []
    results = in_order(str, range(100), jobs=2, abort=lambda: aborted.append(True))
    assert next(results) == "0"
    results.close()
    assert aborted == []
