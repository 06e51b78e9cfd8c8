"""What all names' files will take, told from some of them."""

from __future__ import annotations

import pytest

from indexer.rebuild.room import likely_size


def even(number: int) -> int:
    return 20 + number % 2


def skewed(number: int) -> int:
    """A few have thousands of builds, most have one or two."""
    return 1 + 20_000 // (1 + number)


def size_of(builds: int) -> int:
    """A head, up to twenty builds on a page, and all of them in a list."""
    return 3000 + 700 * min(builds, 20) + 250 * builds


@pytest.mark.parametrize("shape", [even, skewed])
def test_of_many_names_what_is_told_is_right_to_a_few_percent(shape: object) -> None:
    assert callable(shape)
    builds = {f"pkg{number}": shape(number) for number in range(20_000)}
    drawn: list[str] = []

    def draw(name: str) -> int:
        drawn.append(name)
        return size_of(builds[name])

    whole = sum(map(size_of, builds.values()))
    assert abs(likely_size(builds, draw) - whole) < 0.03 * whole
    assert len(drawn) <= 240
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("count", [0, 1, 2, 240])
def test_of_few_names_it_is_their_very_size(count: int) -> None:
    builds = {f"pkg{number}": skewed(number) for number in range(count)}
    sizes = {name: size_of(number) + len(name) for name, number in builds.items()}
    assert likely_size(builds, sizes.__getitem__) == pytest.approx(sum(sizes.values()), abs=count)


def test_the_order_that_names_come_in_makes_no_difference() -> None:
    builds = {f"pkg{number}": even(number) for number in range(1000)}
    backwards = dict(reversed(builds.items()))

    def draw(name: str) -> int:
        return len(name) * builds[name]

    assert likely_size(builds, draw) == likely_size(backwards, draw)
