"""Bytes through the gateway: shared, resumed, bounded, and never any but the right ones."""

from __future__ import annotations

import hashlib
import socket
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.gateway.running import Running, parted, rest_of
from tests.support.faults import Fault, Pause, closed, drip, is_blob, replace_body, truncated
from tests.support.pauses import paused, unannounced, with_headers
from tests.support.rig import Rig
from tests.support.waiting import wait_until

PACKAGE = package_of(1_000_000)
OTHERS = [package_of(200_000, f"other{number}", number) for number in range(3)]


def taken(connection: socket.socket, least: int) -> bytes:
    """At least so many bytes of what comes."""
    found = bytearray()
    while len(found) < least:
        chunk = connection.recv(65536)
        assert chunk, "it ended"
        found += chunk
    return bytes(found)


def body_of(connection: socket.socket, before: bytes = b"") -> bytes:
    status, _, body = parted(before + rest_of(connection))
    assert status in {200, 206}
    return body


def quiet(gateway: Running) -> None:
    """Nothing is on its way any more."""
    wait_until(lambda: gateway.number("open_streams") == 0)


def test_of_many_who_want_one_blob_one_asks_for_it(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    publish(rig, PACKAGE)
    gateway, pause = serve(), Pause()
    gateway.get(PATH, method="HEAD")
    rig.fake.knobs.faults.append(paused(pause, match=is_blob()))
    clients = [stack.enter_context(gateway.ask(PATH)) for _ in range(20)]

    wait_until(lambda: gateway.number("requests_under_way") == 20)
    pause.go.set()

    assert [body_of(client) == PACKAGE.data for client in clients] == [True] * 20
    assert rig.fake.count("blobs") == 1


def test_who_comes_later_shares_what_has_come(rig: Rig, serve: Serve, stack: ExitStack) -> None:
    publish(rig, PACKAGE)
    gateway, pause = serve(), Pause(at=500_000)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob()))
    first = stack.enter_context(gateway.ask(PATH))
    begun = taken(first, 400_000)

    second = stack.enter_context(gateway.ask(PATH))
    half = taken(second, 400_000)
    pause.go.set()

    assert body_of(first, begun) == body_of(second, half) == PACKAGE.data
    assert rig.fake.count("blobs") == 1


def test_the_first_to_ask_may_go_and_the_rest_go_on(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    publish(rig, PACKAGE)
    gateway, pause = serve(), Pause(at=500_000)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob()))
    with gateway.ask(PATH) as first:
        taken(first, 100_000)
        second = stack.enter_context(gateway.ask(PATH))
        half = taken(second, 100_000)

    wait_until(lambda: gateway.number("requests_under_way") == 1)
    pause.go.set()

    assert body_of(second, half) == PACKAGE.data
    assert not pause.gone.is_set()
    assert rig.fake.count("blobs") == 1


def test_when_the_last_reader_goes_the_registry_is_told_at_once(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway, pause = serve(), Pause(at=500_000)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob()))

    with gateway.ask(PATH) as first, gateway.ask(PATH) as second:
        taken(first, 100_000)
        taken(second, 100_000)

    assert pause.gone.wait(5)
    quiet(gateway)
    wait_until(lambda: gateway.number("requests_under_way") == 0, 5)


def test_who_goes_before_the_registry_answers_ends_the_question(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway, pause = serve(timeout=60), Pause()
    rig.fake.knobs.faults.append(paused(pause, match=is_blob()))

    with gateway.ask(PATH):
        assert pause.reached.wait(10)

    assert pause.gone.wait(5)
    assert gateway.number("open_streams") == 0


def test_a_reader_who_falls_behind_gets_the_right_bytes(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    package = package_of(24_000_000)
    publish(rig, package)
    gateway, pause = serve(), Pause(at=100_000)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob(), times=1))
    slow = stack.enter_context(gateway.ask(PATH, 4096))
    begun = taken(slow, 1000)
    fast = stack.enter_context(gateway.ask(PATH))
    half = taken(fast, 1000)
    pause.go.set()

    # The fast one isn't held up by who takes nothing.
    assert hashlib.sha256(body_of(fast, half)).hexdigest() == package.sha256
    assert hashlib.sha256(body_of(slow, begun)).hexdigest() == package.sha256

    whole, rest = (request for request in rig.fake.requests if request.kind == "blobs")
    assert "range" not in whole.headers
    assert rest.headers["range"].endswith("-23999999")


def test_a_registry_that_breaks_off_is_asked_for_the_rest(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    breaks = [Pause(at=500_000, breaks=True), Pause(at=100_000, breaks=True)]
    rig.fake.knobs.faults += [paused(pause, match=is_blob(), times=1) for pause in breaks]

    with serve().ask(PATH) as client:
        begun = b""
        for pause, sent in zip(breaks, (500_000, 600_000), strict=True):
            # Its head comes on top.
            begun += taken(client, sent - len(begun))
            assert pause.reached.wait(10)
            pause.go.set()
        whole = body_of(client, begun)

    assert hashlib.sha256(whole).hexdigest() == PACKAGE.sha256
    ranges = [request.headers.get("range", "") for request in rig.fake.requests]
    starts = [int(part.removeprefix("bytes=").partition("-")[0]) for part in ranges[1:]]
    assert ranges[0] == ""
    assert all(part.endswith("-999999") for part in ranges[1:])
    assert 0 < starts[0] <= 500_000 < starts[1] <= 600_000


def test_a_part_that_breaks_off_goes_on_within_the_part(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    pause = Pause(at=500, breaks=True)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob(), times=1))
    gateway = serve()
    head = f"GET /{PATH} HTTP/1.1\r\nHost: x\r\nRange: bytes=1000-1999\r\nConnection: close\r\n\r\n"

    with gateway.connected(head.encode()) as client:
        begun = taken(client, 700)
        pause.go.set()
        part = body_of(client, begun)

    assert part == PACKAGE.data[1000:2000]
    for request in rig.fake.requests:
        first, last = request.headers["range"].removeprefix("bytes=").split("-")
        assert 1000 <= int(first) <= 1500
        assert last == "1999"


def test_the_rest_from_a_registry_without_ranges_is_right_too(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.ranges = False
    rig.fake.knobs.faults.append(truncated(match=is_blob(), times=1))

    assert hashlib.sha256(serve().get(PATH).content).hexdigest() == PACKAGE.sha256


def test_what_breaks_off_for_good_is_a_short_answer(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    pause = Pause(at=500_000, breaks=True)
    rig.fake.knobs.faults += [paused(pause, match=is_blob(), times=1), closed(match=is_blob())]
    gateway = serve()

    with gateway.ask(PATH) as client:
        begun = taken(client, 400_000)
        pause.go.set()
        status, headers, body = parted(begun + rest_of(client))

    assert (status, headers["content-length"]) == (200, "1000000")
    assert PACKAGE.data.startswith(body)
    assert len(body) <= 500_000
    quiet(gateway)
    rig.fake.knobs.faults.clear()
    assert gateway.get(PATH).content == PACKAGE.data


def test_a_registry_that_breaks_off_again_and_again_is_left_alone(
    rig: Rig, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, PACKAGE)
    monkeypatch.setattr("indexer.gateway.answers._RESUMED", 4)
    # Each time it sends half of the rest, so something comes of every question.
    rig.fake.knobs.faults.append(truncated(match=is_blob()))
    gateway = serve()

    with gateway.ask(PATH) as client:
        body = body_of(client)

    assert PACKAGE.data.startswith(body)
    assert len(body) < len(PACKAGE.data)
    # Of a piece that is lost with its connection nothing may have come.
    assert 2 <= rig.fake.count("blobs") <= 5
    quiet(gateway)


_SENT = [
    replace_body(PACKAGE.data + b"x", match=is_blob()),
    replace_body(PACKAGE.data[:-1], match=is_blob()),
    replace_body(b"", match=is_blob()),
    with_headers(match=is_blob(), Content_Length="0"),
    with_headers(match=is_blob(), Content_Encoding="gzip"),
    Fault(is_blob(), None, lambda _, ready: replace(ready, status=206)),
]


@pytest.mark.parametrize("number", range(len(_SENT)))
def test_what_cannot_be_the_blob_is_not_passed_on(rig: Rig, serve: Serve, number: int) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(_SENT[number])
    gateway = serve()

    answer = gateway.get(PATH)

    assert answer.status_code == 502
    assert "ETag" not in answer.headers
    assert gateway.number("open_streams") == 0


@pytest.mark.parametrize(
    "said",
    [
        "bytes 0-99/1000000",
        "bytes 101-200/1000000",
        "bytes 100-199/999999",
        "bytes 100-199/*",
        "bytes */1000000",
        "junk",
        "",
    ],
)
def test_a_part_of_something_else_is_not_passed_on(rig: Rig, serve: Serve, said: str) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(with_headers(match=is_blob(), Content_Range=said))

    answer = serve().get(PATH, {"Range": "bytes=100-199"})

    assert answer.status_code == 502


@pytest.mark.parametrize("size", [1_500_000, 999_999, 10])
def test_of_a_body_without_a_length_no_more_and_no_less_is_passed_on(
    rig: Rig, serve: Serve, size: int
) -> None:
    publish(rig, PACKAGE)
    sent = (PACKAGE.data * 2)[:size]
    rig.fake.knobs.faults += [
        unannounced(sent, match=is_blob(), times=1),
        closed(match=is_blob()),
    ]

    with serve().ask(PATH) as client:
        _, headers, body = parted(rest_of(client))

    assert headers["content-length"] == "1000000"
    assert body == PACKAGE.data[:size]


def test_when_there_are_too_many_the_next_is_told_to_come_back(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    publish(rig, PACKAGE, *OTHERS)
    gateway, pause = serve(streams=2), Pause(at=100_000)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob()))
    paths = [f"noarch/{other.file_name}" for other in OTHERS]
    held = [stack.enter_context(gateway.ask(path)) for path in paths[:2]]
    begun = [taken(client, 1000) for client in held]

    refused = gateway.get(paths[2])

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    # What is being sent already can be shared.
    shared = stack.enter_context(gateway.ask(paths[0]))
    half = taken(shared, 1000)
    # The index needs no stream.
    assert gateway.get("noarch/repodata.json").status_code == 200
    pause.go.set()
    assert body_of(shared, half) == OTHERS[0].data
    for client, before, other in zip(held, begun, OTHERS, strict=False):
        assert body_of(client, before) == other.data
    quiet(gateway)
    assert gateway.get(paths[2]).content == OTHERS[2].data


def test_a_slow_one_gives_way_to_the_next(
    rig: Rig, serve: Serve, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, *OTHERS)
    # As if each were old enough to be judged.
    monkeypatch.setattr("indexer.gateway.streams._SETTLED", 0.0)
    monkeypatch.setattr("indexer.gateway.streams._SLOW", 10_000_000_000)
    gateway = serve(streams=1)
    paths = [f"noarch/{other.file_name}" for other in OTHERS]
    rig.fake.knobs.faults.append(drip(match=is_blob(), times=1, interval=0.01))
    slow = stack.enter_context(gateway.ask(paths[0]))
    begun = taken(slow, 200)

    assert gateway.get(paths[1]).content == OTHERS[1].data

    # It isn't asked for anew: that would push the next one out.
    assert len(body_of(slow, begun)) < len(OTHERS[0].data)
    assert rig.fake.count("blobs") == 2


def test_a_connection_to_the_registry_serves_again(rig: Rig, serve: Serve) -> None:
    publish(rig, *OTHERS)
    gateway = serve()

    for _ in range(3):
        for other in OTHERS:
            assert gateway.get(f"noarch/{other.file_name}").content == other.data
            quiet(gateway)

    assert rig.fake.count("blobs") == 9
    assert rig.fake.connections == 1
