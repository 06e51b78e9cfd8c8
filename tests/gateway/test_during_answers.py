"""What a client says while its answer is under way, or after its request's head."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.gateway.running import Running, parted, rest_of
from tests.gateway.test_connections import GOOD, is_cut, is_good
from tests.support.faults import Pause, is_blob
from tests.support.pauses import paused
from tests.support.rig import Rig
from tests.support.waiting import wait_until

PACKAGE = package_of(10_000)
BODY = b"GET /absent HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
# What one look into the socket may bring on top.
CHUNK = 256 * 1024


@pytest.fixture
def pause() -> Pause:
    return Pause(at=5000)


@pytest.fixture
def gateway(rig: Rig, serve: Serve, pause: Pause) -> Running:
    """One whose registry waits in the middle of the package."""
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob(), times=1))
    return serve(head_timeout=0.5, packages="stream")


@pytest.fixture
def answered(gateway: Running, pause: Pause) -> Iterator[socket.socket]:
    """A client whose answer is under way."""
    with gateway.connected(GOOD) as client:
        assert pause.reached.wait(10)
        wait_until(lambda: len(client.recv(5000, socket.MSG_PEEK)) > 1000)
        yield client


def said(client: socket.socket, text: bytes, most: int) -> int:
    """How much of a text, said again and again, is taken before the connection is cut."""
    client.settimeout(0)
    sent, deadline = 0, time.monotonic() + 10
    while sent < most:
        assert time.monotonic() < deadline, "neither cut nor taken"
        try:
            sent += client.send(text)
        except BlockingIOError:
            time.sleep(0.01)
        except ConnectionError:
            break
    client.settimeout(10)
    return sent


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 400,
        b"GET /" + b"x" * 40_000,
    ],
    ids=range(3),
)
def test_the_head_of_a_next_request_has_an_end_too(
    gateway: Running, answered: socket.socket, pause: Pause, text: bytes
) -> None:
    answered.sendall(text)

    wait_until(lambda: gateway.number("requests_under_way") == 0, 10)

    whole = rest_of(answered)
    assert PACKAGE.data.startswith(parted(whole)[2])
    assert whole.count(b"HTTP/1.1 ") == 1
    assert gateway.number("open_streams") == 0
    pause.go.set()
    assert is_good(gateway)


def test_half_a_head_during_an_answer_has_its_time_too(
    gateway: Running, answered: socket.socket
) -> None:
    answered.sendall(b"GET / HTTP/1.1\r\nX: ")

    wait_until(lambda: gateway.number("requests_under_way") == 0, 10)
    assert parted(rest_of(answered))[0] == 200


@pytest.mark.parametrize("text", [b"junk\r\n\r\n", b"\x16\x03\x01", b"GET / HTTP/9.9\r\n\r\n"])
def test_junk_during_an_answer_gets_nothing_into_its_body(
    gateway: Running, answered: socket.socket, pause: Pause, text: bytes
) -> None:
    answered.sendall(text)
    wait_until(lambda: gateway.number("requests_under_way") == 0, 10)
    pause.go.set()

    whole = rest_of(answered)
    assert PACKAGE.data.startswith(parted(whole)[2])
    assert b"400" not in whole.partition(b"\r\n\r\n")[0]
    assert is_good(gateway)


def test_a_next_request_during_an_answer_waits_for_it(
    answered: socket.socket, pause: Pause
) -> None:
    answered.sendall(b"GET /absent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    # It has come to its end, and is late for nothing.
    time.sleep(0.7)
    pause.go.set()

    first, second = rest_of(answered).split(b"HTTP/1.1 404")
    assert parted(first)[2] == PACKAGE.data
    assert second


@pytest.mark.parametrize(
    ("beginning", "text"),
    [
        (BODY + b"0\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
        (BODY, b"400\r\n" + b"z" * 1024 + b"\r\n"),
        (BODY + b"1;", b"x" * 1000),
        (BODY.replace(b"absent", PATH.encode()) + b"0\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
        (b"", b"\r\n" * 500),
    ],
    ids=["trailers", "chunks", "extensions", "trailers of a good one", "line breaks"],
)
def test_what_has_no_end_is_cut(
    gateway: Running, pause: Pause, beginning: bytes, text: bytes
) -> None:
    pause.go.set()
    with gateway.connected(beginning) as client:
        assert said(client, text, 100_000_000) < 20_000_000
    wait_until(lambda: gateway.number("requests_under_way") == 0, 10)
    assert is_good(gateway)


def test_line_breaks_now_and_then_gain_no_time(gateway: Running, stack: ExitStack) -> None:
    client = stack.enter_context(gateway.connected(b"\r\n"))
    begun = time.monotonic()
    try:
        while not is_cut(client):
            client.send(b"\r\n")
            time.sleep(0.02)
            assert time.monotonic() - begun < 5
    except ConnectionError:
        pass


def test_line_breaks_after_an_answer_gain_no_time(
    gateway: Running, pause: Pause, stack: ExitStack
) -> None:
    pause.go.set()
    client = stack.enter_context(gateway.connected(GOOD))
    while not client.recv(100_000).endswith(PACKAGE.data[-100:]):
        pass
    client.sendall(b"\r\n")
    begun = time.monotonic()
    try:
        while not is_cut(client):
            client.send(b"\r\n")
            time.sleep(0.02)
            assert time.monotonic() - begun < 5
    except ConnectionError:
        pass
