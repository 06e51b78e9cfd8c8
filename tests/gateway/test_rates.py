"""When there are too many streams: which one gives way, and what becomes of its reader."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, cast

import pytest

from indexer.gateway.found import UnavailableError
from indexer.gateway.ranges import Part
from indexer.gateway.streams import Stream, Streams
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.gateway.running import parted, rest_of
from tests.support.faults import Pause, is_blob
from tests.support.pauses import paused
from tests.support.rig import Rig
from tests.support.waiting import wait_until

SIZE = 100_000_000


class _Sender:
    """Bytes as they come: so many at a time."""

    piece = 1_000_000

    @property
    def content(self) -> _Sender:
        return self

    async def readchunk(self) -> tuple[bytes, bool]:
        return bytes(self.piece), False

    def close(self) -> None:
        pass


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("indexer.gateway.streams.time.monotonic", made)
    return made


def stream() -> Stream:
    return Stream(cast("Any", _Sender()), Part(0, SIZE, SIZE))


def step(coroutine: Any) -> bytes:
    """What comes without waiting."""
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    value: bytes = end.value.value
    return value


def test_one_that_was_fast_and_stalls_gives_way(clock: Clock) -> None:
    fast, streams = stream(), Streams(1)
    streams.add(fast)
    position = 0
    for _ in range(50):
        clock.now += 1
        position += len(step(fast.read(position)))
    with pytest.raises(UnavailableError):
        streams.add(stream())

    # Of its whole life, it would still be fast.
    clock.now += 250
    new = stream()
    streams.add(new)

    assert len(streams) == 1
    with pytest.raises(UnavailableError):
        fast.read(position).send(None)


def test_one_that_was_slow_and_goes_well_now_stays(clock: Clock) -> None:
    late, streams = stream(), Streams(1)
    streams.add(late)
    clock.now += 1000
    position = 0
    for _ in range(20):
        clock.now += 1
        position += len(step(late.read(position)))

    with pytest.raises(UnavailableError):
        streams.add(stream())
    assert step(late.read(position))


def test_one_that_has_just_begun_stays(clock: Clock) -> None:
    streams = Streams(1)
    streams.add(stream())
    clock.now += 4

    with pytest.raises(UnavailableError):
        streams.add(stream())


def test_one_that_gave_way_is_cut_and_pushes_nobody_out(
    rig: Rig, serve: Serve, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [package_of(200_000, f"other{number}", number) for number in range(2)]
    publish(rig, package_of(1_000_000), *others)
    gateway, pauses = serve(streams=1, packages="stream"), [Pause(at=100_000) for _ in range(2)]
    rig.fake.knobs.faults += [paused(pause, match=is_blob(), times=1) for pause in pauses]
    stalled = stack.enter_context(gateway.ask(PATH))
    begun = stalled.recv(1000)
    assert pauses[0].reached.wait(10)
    # As if each were old enough to be judged, and that one slow.
    monkeypatch.setattr("indexer.gateway.streams._SETTLED", 0.0)
    monkeypatch.setattr("indexer.gateway.streams._SLOW", 10_000_000_000)
    second = stack.enter_context(gateway.ask(f"noarch/{others[0].file_name}"))
    half = second.recv(1000)

    _, headers, body = parted(begun + rest_of(stalled))
    assert len(body) < int(headers["content-length"])
    pauses[1].go.set()
    assert parted(half + rest_of(second))[2] == others[0].data
    assert rig.fake.count("blobs") == 2
    wait_until(lambda: gateway.number("open_streams") == 0)
