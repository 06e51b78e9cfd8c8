"""Of those who wait for one answer of the registry, some go and others come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from indexer.gateway.found import Blob
from indexer.gateway.ranges import Part
from indexer.gateway.streams import Stream, Streams
from indexer.gateway.upstream import Answered, Upstream
from indexer.gateway.ways import Ways
from indexer.registry import RegistryAddress
from indexer.registry.content import Digest
from indexer.registry.reach import Reach

SIZE = 10
REGISTRY = RegistryAddress.parse("oci+http://registry.example/acme")
BLOB = Blob(REGISTRY, "acme/x", Digest("0" * 64), SIZE, "text/plain", "")
WHOLE = Part(0, SIZE, SIZE)


class _Content:
    def at_eof(self) -> bool:
        return False


class _Response:
    """An answer of 200, whose bytes nobody reads."""

    status = 200
    url = "http://registry.example/x"
    content = _Content()

    def __init__(self) -> None:
        self.is_closed = False
        self.headers: dict[str, str] = {}

    def close(self) -> None:
        self.is_closed = True


class _Upstream:
    """Answers when it may; ``asked`` is how often it was asked."""

    address = REGISTRY

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.given: list[_Response] = []

    async def ask(self, *_: object) -> Answered:
        self.asked += 1
        await self.go.wait()
        self.given.append(_Response())
        return Answered(cast("Any", self.given[-1]), known=True)


class Desk:
    """Ways to a registry that answers when a test lets it."""

    def __init__(self) -> None:
        self.upstream = _Upstream()
        self.streams = Streams(4)
        upstream = cast("Upstream", self.upstream)
        self.ways = Ways(upstream, Reach(frozenset()), "stream", self.streams, lambda _: None)

    def come(self) -> asyncio.Task[Any]:
        """Somebody who wants the blob."""
        return asyncio.create_task(self.ways.find(BLOB, WHOLE))

    async def leave(self, *who: asyncio.Task[Any]) -> None:
        """Each of these is through with what he was given."""
        for one in who:
            await self.ways.leave(BLOB, await one)


def run(test: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        desk = Desk()
        async with asyncio.timeout(10):
            await test(desk)
        assert len(desk.streams) == 0
        assert all(response.is_closed for response in desk.upstream.given)
        assert not (asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(whole())


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("later", range(6))
def test_who_comes_as_the_last_one_goes_is_answered(later: int) -> None:
    async def test(desk: Desk) -> None:
        first = desk.come()
        await turns(3)
        first.cancel()
        await turns(later)
        second = desk.come()
        await turns(3)
        desk.upstream.go.set()

        assert isinstance(await second, Stream)
        await desk.leave(second)
        assert first.cancelled()

    run(test)


@pytest.mark.parametrize("later", range(6))
def test_who_goes_as_the_answer_comes_gives_its_place_back(later: int) -> None:
    async def test(desk: Desk) -> None:
        first = desk.come()
        await turns(3)
        desk.upstream.go.set()
        await turns(later)
        first.cancel()
        await turns(10)
        if not first.cancelled():
            await desk.leave(first)

    run(test)


@pytest.mark.parametrize("later", range(6))
def test_of_two_who_wait_one_may_go_at_any_time(later: int) -> None:
    async def test(desk: Desk) -> None:
        first, second = desk.come(), desk.come()
        await turns(3)
        desk.upstream.go.set()
        await turns(later)
        first.cancel()
        await turns(10)

        assert isinstance(await second, Stream)
        assert desk.upstream.asked == 1
        await desk.leave(second, *([] if first.cancelled() else [first]))

    run(test)


def test_an_old_question_that_ends_does_not_forget_the_new_one() -> None:
    async def test(desk: Desk) -> None:
        first = desk.come()
        await turns(3)
        first.cancel()
        second = desk.come()
        await turns(10)
        third = desk.come()
        await turns(3)
        desk.upstream.go.set()

        assert await second is await third
        assert desk.upstream.asked == 2
        await desk.leave(second, third)

    run(test)
