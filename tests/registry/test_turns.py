"""How the threads of a transport share a server: never too many, one pause, and an end at once."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from indexer.errors import RegistryError, UnansweredError
from indexer.registry.content import Descriptor, Digest
from indexer.registry.exchange import Clock
from indexer.registry.pace import Gate, How, Limited, ShutError
from indexer.registry.transport import Transport
from tests.registry.help import LARGE, REPOSITORY, VirtualTime, content_of, remote
from tests.support import faults
from tests.support.fake_registry import FakeRegistry

if TYPE_CHECKING:
    from tests.support.loopback import FileHost

JOBS = 6


@dataclass
class Crowd:
    """Counts who is inside at once, and lets nobody out before as many are in as are wanted."""

    wanted: int
    most: int = 0
    inside: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def meet(self) -> None:
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.most >= self.wanted, timeout=60)
            self.inside -= 1


def through(gate: Gate, crowd: Crowd, how: How = How.WELL) -> None:
    with gate.turn() as turn:
        crowd.meet()
        turn.how = how


def grown(jobs: int) -> Gate:
    """A gate that has let in enough to know that all jobs may be."""
    gate = Gate(jobs, Clock(), patience=60)
    for _ in range(jobs):
        through(gate, Crowd(1))
    return gate


def crowded(gate: Gate, wanted: int, *, count: int, how: How = How.WELL) -> int:
    """How many of many are let in at once."""
    crowd = Crowd(wanted)
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(through, gate, crowd, how) for _ in range(count)]:
            done.result()
    return crowd.most


def test_there_are_never_more_than_jobs_under_way() -> None:
    assert crowded(grown(JOBS), JOBS, count=60) == JOBS


def test_trouble_halves_how_many_are_under_way() -> None:
    gate = grown(8)
    # One round of all eight.
    assert crowded(gate, 8, count=8, how=How.TROUBLE) == 8
    assert crowded(gate, 4, count=5) == 4


def test_the_transport_never_asks_more_than_jobs_at_once(fake: FakeRegistry) -> None:
    crowd = Crowd(1)

    def enter(_request: faults.Request, ready: faults.Answer) -> faults.Answer:
        crowd.meet()
        return ready

    fake.add_repository(REPOSITORY)
    fake.knobs.faults = [faults.Fault(faults.anything, None, enter)]
    with closing(Transport(jobs=3)) as transport, ThreadPoolExecutor(12) as pool:
        registry = remote(fake, transport)
        answers = [pool.submit(registry.tags, REPOSITORY) for _ in range(60)]
        assert [answer.result() for answer in answers] == [[]] * 60
    assert 1 <= crowd.most <= 3


def test_a_pause_is_kept_by_all_workers(fake: FakeRegistry, time: VirtualTime) -> None:
    asked: list[float] = []
    lock = threading.Lock()

    def note(_request: faults.Request, ready: faults.Answer) -> faults.Answer:
        with lock:
            asked.append(time.passed)
            first = len(asked) == 1
        return faults.Answer(429, {"Retry-After": "20"}) if first else ready

    fake.add_repository(REPOSITORY)
    fake.knobs.faults = [faults.Fault(faults.anything, None, note)]
    with closing(Transport(jobs=4, retry_for=0, clock=time.clock)) as transport:
        registry = remote(fake, transport)
        # Alone, so that nothing is under way when it is told of the pause.
        with pytest.raises(UnansweredError):
            registry.tags(REPOSITORY)
        assert time.passed == 0
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(registry.tags, [REPOSITORY] * 20)) == [[]] * 20
        assert [(str(one), one.times) for one in transport.limited()] == [
            ("127.0.0.1 limited requests 1 time", 1)
        ]
    assert len(asked) == 21
    assert [at for at in asked[1:] if at < 20] == []


def test_close_ends_every_wait_at_once() -> None:
    gate = Gate(1, Clock(), patience=3600)
    waiting = threading.Semaphore(0)

    def wait() -> None:
        waiting.release()
        with pytest.raises(ShutError), gate.turn():
            pass

    with ThreadPoolExecutor(5) as pool:
        with gate.turn():
            waits = [pool.submit(wait) for _ in range(5)]
            for _ in waits:
                waiting.acquire()
            gate.close()
            for one in waits:
                one.result(timeout=60)
        with pytest.raises(ShutError), gate.turn():
            pass


def test_closing_the_transport_ends_a_pause(fake: FakeRegistry) -> None:
    fake.knobs.faults = [faults.status(429, headers={"Retry-After": "30"})]
    transport = Transport(jobs=4, retry_for=3600)
    registry = remote(fake, transport)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(registry.tags, REPOSITORY) for _ in range(8)]
        # Now all of them wait, or will.
        with fake.lock:
            assert not any(one.done() for one in asked)
        transport.close()
        for one in asked:
            with pytest.raises(UnansweredError):
                one.result(timeout=20)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RegistryError("no"), SystemExit])
def test_whatever_is_raised_within_gives_the_turn_back(error: BaseException) -> None:
    gate = Gate(1, Clock(), patience=60)
    for _ in range(3):
        with pytest.raises(BaseException), gate.turn():  # noqa: B017, PT011
            raise error
    with gate.turn() as turn:
        assert turn.begun is not None


def test_an_interrupted_wait_takes_no_turn() -> None:
    def sleep(_seconds: float) -> None:
        raise KeyboardInterrupt

    clock = Clock(now=lambda: 100.0, sleep=sleep)
    gate = Gate(4, clock, patience=60)
    with gate.turn() as turn:
        turn.how, turn.asked = How.LIMITED, 5.0
    for _ in range(9):
        with pytest.raises(KeyboardInterrupt), gate.turn():
            pass
    assert gate.under_way == 0


def test_a_server_that_stays_shut_is_waited_for_as_long_as_one_is_patient(
    time: VirtualTime,
) -> None:
    gate = Gate(4, time.clock, patience=60)
    with gate.turn() as turn:
        turn.how, turn.asked = How.LIMITED, 100.0
    with pytest.raises(ShutError), gate.turn():
        pass
    assert time.passed >= 60


def test_requests_that_need_others_need_no_second_turn(fake: FakeRegistry) -> None:
    # One job alone: a request that were made within another one would wait for ever.
    fake.knobs.auth = "token"
    fake.knobs.users = {"me": "word"}
    fake.knobs.token_uses = 1
    fake.knobs.faults = [
        faults.status(503, match=faults.is_upload(), times=1),
        faults.truncated(match=faults.is_blob(), times=1),
    ]
    with closing(Transport(jobs=1)) as transport:
        registry = remote(fake, transport, "bWU6d29yZA==", writing=True)
        content = content_of(LARGE)
        assert registry.put_blob(REPOSITORY, content) == "sent"
        with io.BytesIO() as file:
            registry.download(REPOSITORY, Descriptor("", content.digest, len(LARGE)), file)
            assert Digest.of(file.getvalue()) == content.digest


def test_a_redirect_counts_where_it_was_asked_for(
    fake: FakeRegistry, elsewhere: FileHost, time: VirtualTime
) -> None:
    data = b"bytes in an object store"
    digest = fake.add_blob(REPOSITORY, data)
    elsewhere.files["/blob"] = data
    elsewhere.faults = [faults.status(429, times=1, headers={"Retry-After": "9"})]
    fake.knobs.faults = [faults.redirect(f"{elsewhere.http}/blob", match=faults.is_blob())]
    with closing(Transport(jobs=1, clock=time.clock)) as transport:
        descriptor = Descriptor("", Digest(digest.removeprefix("sha256:")), len(data))
        assert remote(fake, transport).blob(REPOSITORY, descriptor) == data
        assert [one.times for one in transport.limited()] == [1]
    assert fake.count("blobs") == 2
    assert time.passed == pytest.approx(9)


def test_what_was_limited_is_told_in_a_sentence() -> None:
    assert str(Limited("ghcr.io", 1, 696.35)) == (
        "ghcr.io limited requests 1 time; it was asked at most 696.4 times a second from then on"
    )
    assert str(Limited("ghcr.io", 2, None)) == "ghcr.io limited requests 2 times"


def test_one_refusal_beside_a_long_request_stops_nobody_else() -> None:
    gate = Gate(8, Clock(), patience=60)
    with gate.turn() as long, ThreadPoolExecutor(4) as pool:
        with gate.turn() as refused:
            refused.how = How.LIMITED
        others = [pool.submit(through, gate, Crowd(1)) for _ in range(4)]
        try:
            for other in others:
                other.result(timeout=60)
        finally:
            gate.close()
        long.how = How.WELL
