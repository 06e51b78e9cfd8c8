"""Finding a registry's level, in a time that nobody waits for: simulated registries that limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from indexer.registry.pace import How, Pace
from tests.support.limiters import Bucket, Fixed, Simulation, Sliding, episodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.limiters import Limiter

# A second; of GHCR's 44,000 a minute.
ALLOWED = 733
SECONDS = 300.0


def use(simulation: Simulation, since: float = 0.0) -> float:
    """Which share of what it allows the registry was asked for, from a time on."""
    good = sum(sent.status == 200 and sent.ended > since for sent in simulation.sent)
    return good / (SECONDS - since) / ALLOWED


@pytest.mark.parametrize(
    ("jobs", "jitter", "retry_after"),
    [
        (64, 0.0, None),
        (64, 0.01, None),
        (64, 0.002, lambda left: left),
        (64, 0.002, math.ceil),
        (40, 0.0, math.ceil),
        (200, 0.01, None),
    ],
)
def test_a_limit_is_hit_once_and_nine_tenths_of_it_are_used(
    jobs: int, jitter: float, retry_after: Callable[[float], float] | None
) -> None:
    simulation = Simulation(Sliding(ALLOWED), jobs, jitter=jitter, retry_after=retry_after)
    simulation.run(SECONDS)
    refused = [sent for sent in simulation.sent if sent.status == 429]
    first = min(sent.ended for sent in refused)
    # Those under way when the first one was answered belong to it.
    assert [sent for sent in refused if sent.begun > first] == []
    assert len(refused) <= jobs
    assert use(simulation) >= 0.9
    assert use(simulation, first) >= 0.9
    assert simulation.most_under_way <= jobs


# What each kind costs: how often it is hit, by when for the last time, and the share used.
@pytest.mark.parametrize(
    ("limiter", "retry_after", "times", "last", "share"),
    [
        (lambda: Bucket(ALLOWED, 100), lambda left: left, 1, 1, 0.93),
        (lambda: Bucket(ALLOWED, ALLOWED), lambda left: left, 1, 2, 0.93),
        (lambda: Bucket(ALLOWED, ALLOWED), None, 1, 2, 0.93),
        (lambda: Bucket(ALLOWED, 10 * ALLOWED), None, 1, 10, 0.93),
        (lambda: Bucket(ALLOWED, 60 * ALLOWED), lambda left: left, 1, 60, 0.93),
        (lambda: Fixed(ALLOWED), None, 1, 1, 0.93),
        # Two of its windows in one second of ours: the first estimate is too high.
        (lambda: Fixed(ALLOWED, phase=0.6), None, 4, 25, 0.9),
        (lambda: Fixed(ALLOWED, phase=0.8), math.ceil, 4, 25, 0.9),
        (lambda: Sliding(60 * ALLOWED, 60), math.ceil, 2, 120, 0.9),
        (lambda: Fixed(60 * ALLOWED, 60, phase=20), math.ceil, 3, 150, 0.9),
    ],
    ids=[
        *["small bucket", "bucket", "silent bucket", "large bucket", "a minute's bucket"],
        *["window", "window off the beat", "the same with Retry-After"],
        *["any minute", "each minute"],
    ],
)
def test_other_limits_are_hit_a_few_times_at_first_and_never_again(
    limiter: Callable[[], Limiter],
    retry_after: Callable[[float], float] | None,
    times: int,
    last: float,
    share: float,
) -> None:
    simulation = Simulation(limiter(), jitter=0.002, retry_after=retry_after)
    simulation.run(SECONDS)
    hit = episodes(simulation.sent)
    assert 1 <= len(hit) <= times
    assert hit[-1] <= last
    assert use(simulation) >= share


def test_a_limit_for_a_minute_that_says_nothing_is_asked_seldom_until_it_opens() -> None:
    simulation = Simulation(Sliding(60 * ALLOWED, 60), jitter=0.002)
    simulation.run(SECONDS)
    assert 1 <= len(episodes(simulation.sent)) <= 10
    assert use(simulation) >= 0.9


def test_all_workers_keep_one_pause() -> None:
    simulation = Simulation(Bucket(ALLOWED, ALLOWED), retry_after=lambda _: 7.0)
    simulation.run(20.0)
    first = min(sent.ended for sent in simulation.sent if sent.status == 429)
    later = [sent.begun for sent in simulation.sent if sent.begun > first]
    assert 7.0 <= min(later) - first < 7.1


def test_one_file_that_is_broken_slows_nobody_down_for_long() -> None:
    def status(now: float, worker: int) -> int:
        return 500 if worker == 0 and now > 5 else 200

    simulation = Simulation(Bucket(1e6, 1e6), jobs=32, status=status)
    simulation.run(30.0)
    # 31 workers of 32 have work, and 40 ms are 25 rounds a second.
    for second in range(10, 30):
        done = sum(second < sent.ended <= second + 1 for sent in simulation.sent)
        assert done > 0.8 * 31 * 25


def test_nothing_is_slow_where_nothing_is_limited() -> None:
    simulation = Simulation(Bucket(1e6, 1e6), jobs=64)
    simulation.run(1.0)
    assert simulation.most_under_way == 64
    # At full speed it is 1,600; the beginning costs less than five rounds of 40 ms.
    assert len(simulation.sent) >= 64 * (25 - 5)


def test_an_old_limit_is_tried_again_after_minutes() -> None:
    class Passing(Sliding):
        def refuses(self, now: float) -> float | None:
            return super().refuses(now) if now < 10 else None

    simulation = Simulation(Passing(100), jobs=16)
    pace = simulation.run(900.0)
    assert pace.times <= 2
    assert sum(sent.ended > 899 for sent in simulation.sent) == pytest.approx(400, abs=40)


def answered(pace: Pace, how: How, *, count: int, begun: float, now: float) -> None:
    for _ in range(count):
        pace.end(begun, now, how)


def begin_all(pace: Pace, now: float) -> int:
    count = 0
    while pace.begin(now) is not None:
        count += 1
    return count


def test_it_doubles_by_the_round_then_grows_by_one() -> None:
    pace, counts = Pace(40), []
    for now in range(5):
        counts.append(begin_all(pace, now))
        answered(pace, How.WELL, count=counts[-1], begun=now, now=now + 0.5)
    assert counts == [4, 8, 16, 32, 40]
    begin_all(pace, 5)
    answered(pace, How.TROUBLE, count=40, begun=5, now=5.5)
    # All of one round: halved once.
    counts = []
    for now in range(6, 10):
        counts.append(begin_all(pace, now))
        answered(pace, How.WELL, count=counts[-1], begun=now, now=now + 0.5)
    assert counts == [20, 20, 21, 22]


def test_what_gets_no_answer_is_no_judgement() -> None:
    pace = Pace(16)
    count = begin_all(pace, 0)
    answered(pace, How.UNANSWERED, count=count, begun=0, now=1)
    assert (pace.under_way, pace.limit) == (0, count)


def test_a_server_that_was_shut_is_asked_by_one_alone_at_first() -> None:
    pace = Pace(16)
    begin_all(pace, 0)
    answered(pace, How.LIMITED, count=4, begun=0, now=1)
    assert pace.begin(1.0) is None
    assert begin_all(pace, pace.opens) == 1
    pace.end(pace.opens, pace.opens + 1, How.LIMITED, 5.0)
    assert pace.opens == pytest.approx(1.125 + 1 + 5)
    begun = pace.opens
    assert begin_all(pace, begun) == 1
    pace.end(begun, begun + 1, How.WELL)
    # Halved twice, to one, and one more.
    assert begin_all(pace, begun + 1) == 2
    assert pace.times == 1


def test_a_server_that_was_shut_is_tried_beside_what_takes_long() -> None:
    """A download that was begun before may go on for half an hour."""
    pace = Pace(16)
    assert pace.begin(0.0) == 0.0
    refused = pace.begin(0.1)
    assert refused is not None
    pace.end(refused, 0.2, How.LIMITED)
    assert begin_all(pace, pace.opens) == 1
    pace.end(pace.opens, pace.opens + 1, How.WELL)
    assert begin_all(pace, pace.opens + 1) >= 1


def test_the_rate_that_is_told_is_the_one_that_was_found_out() -> None:
    pace, now = Pace(32), 0.0
    for number in range(100):
        now = number / 50
        begun = pace.begin(now)
        assert begun is not None
        pace.end(begun, now + 0.01, How.WELL)
    refused = pace.begin(now + 0.02)
    assert refused is not None
    pace.end(refused, now + 0.03, How.LIMITED)
    trial = pace.begin(pace.opens)
    assert trial is not None
    pace.end(trial, trial + 0.01, How.WELL)
    found = pace.learnt(trial + 1)
    assert found == pytest.approx(47.5, rel=0.1)
    assert pace.learnt(trial + 30) == found
    assert pace.learnt(trial + 3600) is None
