"""Clients that say too much, too little or nothing, and those that take nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.gateway.running import Running, parted, rest_of
from tests.support.fake_registry import FakeRegistry
from tests.support.rig import Rig
from tests.support.waiting import wait_until

PACKAGE = package_of(10_000)
GOOD = f"GET /{PATH} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode()
LAST = f"GET /{PATH} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for all that is said to it, beside a file that nobody may have."""
    root = tmp_path_factory.mktemp("hostile")
    (root / "secret").write_text("secret of the neighbour")
    with FakeRegistry() as fake:
        rig = Rig(fake, root)
        publish(rig, PACKAGE)
        (root / "scratch").mkdir()
        with Running.of_folder(rig.site, root / "scratch", head_timeout=0.5) as gateway:
            yield gateway
            assert fake.count("blobs") == 0


def is_cut(connection: socket.socket) -> bool:
    """Whether the other end has closed it; nothing is waited for."""
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def is_good(gateway: Running) -> bool:
    """Whether somebody who comes anew is served."""
    return parted(gateway.say(LAST))[2] == PACKAGE.data


@pytest.mark.parametrize(
    "beginning",
    [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: "],
)
def test_who_does_not_come_to_the_end_of_his_request_is_cut(
    rig: Rig, serve: Serve, beginning: bytes
) -> None:
    publish(rig, PACKAGE)
    gateway = serve(head_timeout=0.3)

    begun = time.monotonic()
    gateway.say(beginning)

    assert 0.2 < time.monotonic() - begun < 5


def test_a_byte_now_and_then_gains_no_time(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve(head_timeout=0.5)

    with gateway.connected(b"GET / HTTP/1.1\r\nX: ") as client:
        begun = time.monotonic()
        try:
            while not is_cut(client):
                client.send(b"x")
                time.sleep(0.02)
                assert time.monotonic() - begun < 5
        except ConnectionError:
            pass

    assert is_good(gateway)


def test_many_who_say_nothing_keep_nobody_out(rig: Rig, serve: Serve, stack: ExitStack) -> None:
    publish(rig, PACKAGE)
    gateway = serve(connections=20)
    silent = [stack.enter_context(gateway.connected(b"GET / HT")) for _ in range(60)]

    for _ in range(5):
        assert is_good(gateway)
    wait_until(lambda: sum(is_cut(client) for client in silent) >= 40)
    # Those that came last may still say what they want.
    assert not is_cut(silent[-1])


def test_who_is_being_served_is_not_cut_for_others(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    big = package_of(20_000_000)
    publish(rig, big)
    gateway = serve(connections=5)
    served = stack.enter_context(gateway.ask(PATH, 4096))
    begun = served.recv(10)

    for _ in range(30):
        stack.enter_context(gateway.connected())
    wait_until(lambda: gateway.number("requests_under_way") == 1)

    assert parted(begun + rest_of(served))[2] == big.data


def test_as_many_as_there_may_be_are_served_and_the_next_is_not(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    publish(rig, package_of(20_000_000))
    gateway = serve(connections=3)
    held = [stack.enter_context(gateway.ask(PATH, 4096)) for _ in range(3)]
    for client in held:
        assert client.recv(10)

    assert gateway.say(LAST) == b""
    assert not any(is_cut(client) for client in held)


def test_who_takes_nothing_is_cut_and_the_others_go_on(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    big = package_of(20_000_000)
    publish(rig, big)
    gateway = serve(patience=0.5)
    stuck = stack.enter_context(gateway.ask(PATH, 4096))
    assert stuck.recv(10)

    assert gateway.get(PATH).content == big.data
    wait_until(lambda: gateway.number("requests_under_way") == 0, 10)
    assert gateway.number("open_streams") == 0
    assert len(rest_of(stuck)) < len(big.data)


@pytest.mark.parametrize(
    "text",
    [
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"x" * 1_000_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X" * 20_000,
        b"GET / HTTP/1.1\r\n" * 5000,
        b"\r\n" * 50_000,
        b"x" * 100_000,
    ],
    ids=range(8),
)
def test_a_head_that_is_too_long_is_refused(hostile: Running, text: bytes) -> None:

    with hostile.connected() as client:
        try:
            client.sendall(text)
        except ConnectionError:
            # It didn't even want to hear the end.
            answer = b""
        else:
            answer = rest_of(client)

    assert answer == b"" or parted(answer)[0] in {400, 404, 414, 431}
    assert hostile.get("-/healthy").status_code == 200


def test_a_head_that_is_just_short_enough_is_answered(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    fields = {f"X-{number}": "y" * 100 for number in range(80)}

    assert serve().get(PATH, fields).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"])
def test_nothing_can_be_done_but_read(hostile: Running, method: str) -> None:

    for path in (PATH, "noarch/repodata.json", "absent", "-/metrics", "-/healthy"):
        answer = hostile.get(path, method=method)
        assert answer.status_code in {400, 405}, path
        if answer.status_code == 405:
            assert {"GET", "HEAD"} <= {m.strip() for m in answer.headers["Allow"].split(",")}


@pytest.mark.parametrize(
    "text",
    [
        b"CONNECT gateway:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\nSSH-2.0",
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"junk\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    ],
    ids=range(12),
)
def test_what_is_no_request_of_ours_ends_there(hostile: Running, text: bytes) -> None:

    answer = hostile.say(text)

    assert answer == b"" or parted(answer)[0] in {200, 400, 404, 405}
    assert answer.count(b"HTTP/1.1") <= 1 or answer.count(b"HTTP/1.1 400") == 1
    assert hostile.get("-/healthy").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length : 5\r\n",
        b"X: y\r\n Content-Length: 5\r\n",
    ],
    ids=range(15),
)
def test_a_second_request_cannot_be_hidden_in_the_first(hostile: Running, fields: bytes) -> None:
    hidden = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"

    answer = hostile.say(
        b"GET /absent HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n0\r\n\r\n" + hidden
    )

    assert b"ok\n" not in answer
    assert b" 200 OK" not in answer


def test_a_body_is_not_waited_for(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve()
    head = f"GET /{PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"

    status, fields, body = parted(gateway.say(head.encode()))

    assert (status, body) == (200, PACKAGE.data)
    assert fields["connection"] == "close"


def test_requests_after_one_another_are_answered_in_turn(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    absent = b"GET /absent HTTP/1.1\r\nHost: x\r\n\r\n"

    answer = serve().say(GOOD + absent + GOOD + absent + LAST)

    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"200", b"404", b"200"]
    assert answer.count(PACKAGE.data) == 3


def test_many_requests_in_one_packet_are_all_answered(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    absent = b"GET /absent HTTP/1.1\r\nHost: x\r\n\r\n"

    answer = serve().say(absent * 1000 + LAST)

    assert answer.count(b"HTTP/1.1 404") == 1000
    assert answer.endswith(PACKAGE.data)


def test_an_old_client_is_served(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve()

    status, _, body = parted(gateway.say(f"GET /{PATH} HTTP/1.0\r\n\r\n".encode()))

    assert (status, body) == (200, PACKAGE.data)


def test_an_address_in_full_is_one_of_ours(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve()

    for host in ("gateway", "127.0.0.1:1", "evil.example"):
        text = f"GET http://{host}/{PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert parted(gateway.say(text.encode()))[2] == PACKAGE.data


def test_the_name_that_a_client_calls_us_by_is_repeated_nowhere(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve()

    for path in ("-", "-/healthy/", "//evil.example/", "/evil.example/..", "noarch", ""):
        for host in ("evil.example", "a b", 'x"><script>'):
            text = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            assert b"evil.example" not in gateway.say(text.encode())
            assert b"<script>" not in gateway.say(text.encode())


@pytest.mark.parametrize(
    "path",
    [
        "noarch/../../secret",
        "../secret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "noarch/%2e%2e/%2e%2e/secret",
        "..%5csecret",
        "..\\secret",
        "%252e%252e%252fsecret",
        "%252e%252e/secret",
        "noarch/..%2f..%2fsecret",
        "..;/secret",
        "%c0%ae%c0%ae/secret",
        "%c0%af..%c0%afsecret",
        "..%00/secret",
        "secret%00.html",
        "%00",
        "noarch/repodata.json%00",
        "noarch/%00.conda",
        "noarch/alpha-1.0-0.conda%00",
        "noarch/alpha-1.0-0%00.conda",
        "noarch/%2e%2e%2f-1.0-0.conda",
        "noarch/..-1.0-0.conda",
        "./secret",
        "//secret",
        "/%2fetc/passwd",
        "%2fetc%2fpasswd",
        "C:%5csecret",
        "file:///etc/passwd",
        "%ff%fe",
        "%ff.conda",
        "noarch/%ff-1.0-0.conda",
        "%",
        "%zz",
        "a" * 3000,
        "a/" * 1500,
        "a" * 300 + ".conda",
        "noarch/" + "a" * 2000 + "-1-0.conda",
        "\u00e9.json",
        "%F0%9F%92%A9",
        "noarch/shards/../../secret",
        "noarch/shards/%2e%2e%2f%2e%2e%2fsecret",
        "noarch/shards/" + "0" * 63 + "/.msgpack.zst",
        "-",
        "-/",
        "-/../secret",
        "-/%2e%2e/secret",
        "-/unknown",
    ],
)
def test_no_path_leads_out(hostile: Running, path: str) -> None:
    text = b"GET /" + path.encode("latin-1", "replace") + b" HTTP/1.1\r\nHost: x\r\n"

    answer = hostile.say(text + b"Connection: close\r\n\r\n")

    assert answer == b"" or parted(answer)[0] in {307, 400, 404, 405}
    assert b"secret of" not in answer
    assert b"root:" not in answer
    assert hostile.number("faults_total") == 0
