"""A registry that is down, slow or says no: an answer in time, and all well again by itself."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from http import HTTPStatus

import pytest

from indexer.gateway.channel.source import Origin
from indexer.registry import RegistryAddress
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.support.faults import (
    Answer,
    Fault,
    Match,
    closed,
    hang,
    is_blob,
    is_token,
    status,
)
from tests.support.rig import Rig

PACKAGE = package_of(10_000)
OTHER = package_of(10_000, "other", 2)
OTHER_PATH = "noarch/other-1.0-0.conda"


def limited(code: int, after: str, *, match: Match | None = None) -> Fault:
    return status(code, match=match or is_blob(), headers={"Retry-After": after})


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        (closed(match=is_blob()), 1),
        (status(500, match=is_blob()), 1),
        (status(502, match=is_blob()), 1),
        (status(503, match=is_blob()), 1),
        (status(504, match=is_blob()), 1),
        (limited(503, "2"), 2),
        (status(429, match=is_blob()), 1),
        (limited(429, "1.16676ms"), 1),
        (limited(429, "3"), 3),
        (limited(429, "2.5"), 3),
        (limited(429, "0"), 1),
        (limited(429, "-5"), 1),
        (limited(429, "soon"), 1),
        (limited(429, "999999999"), 30),
        (limited(429, "9999999999"), 30),
        (limited(429, "Sun, 06 Nov 1994 08:49:37 GMT"), 1),
        (limited(403, "2"), 2),
    ],
    ids=range(17),
)
def test_not_just_now_is_said_with_a_time_to_come_back(
    rig: Rig, serve: Serve, fault: Fault, least: int
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(replace(fault, fired=0))

    answer = serve(timeout=5).get(PATH)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"].isdecimal()
    assert least <= int(answer.headers["Retry-After"]) <= 30
    assert answer.headers["Cache-Control"] == "no-store"
    # What a registry says is for its operators.
    assert rig.fake.address.encode() not in answer.content


def test_one_who_is_told_to_wait_asks_nothing_until_then(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE, OTHER)
    rig.fake.knobs.faults.append(limited(429, "20"))
    gateway = serve()
    assert gateway.get(PATH).status_code == 503

    answers = [gateway.get(path) for path in (PATH, OTHER_PATH, PATH)]

    assert [answer.status_code for answer in answers] == [503] * 3
    assert {1 <= int(answer.headers["Retry-After"]) <= 20 for answer in answers} == {True}
    assert rig.fake.count("blobs") == 1
    assert gateway.get("noarch/repodata.json").status_code == 200


def test_it_recovers_by_itself(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults += [
        status(500, match=is_blob(), times=1),
        status(503, match=is_blob(), times=1),
    ]
    gateway = serve()

    assert [gateway.get(PATH).status_code for _ in range(3)] == [503, 503, 200]


def test_after_a_limit_it_recovers_by_itself(
    rig: Rig, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(replace(limited(429, "20"), times=1))
    gateway = serve()
    assert gateway.get(PATH).status_code == 503

    now = time.monotonic() + 21
    monkeypatch.setattr("indexer.gateway.ways.time.monotonic", lambda: now)

    assert gateway.get(PATH).content == PACKAGE.data


@pytest.mark.parametrize("match", [is_blob(), is_token()], ids=["blob", "token"])
def test_a_registry_that_hangs_holds_nobody_for_long(rig: Rig, serve: Serve, match: Match) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.faults.append(hang(match=match))
    gateway = serve(timeout=1)

    begun = time.monotonic()
    answer = gateway.get(PATH)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert time.monotonic() - begun < 5
    assert gateway.number("open_streams") == 0


def test_a_server_that_never_takes_the_connection_holds_nobody_for_long(
    rig: Rig, serve: Serve
) -> None:
    publish(rig, PACKAGE)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            address = RegistryAddress.parse(f"oci+http://127.0.0.1:{port}/acme")
            gateway = serve(timeout=1, origin=_origin(address))
            begun = time.monotonic()
            answer = gateway.get(PATH)

    assert answer.status_code == 503
    assert time.monotonic() - begun < 5


def test_a_registry_that_is_not_there_is_waited_for(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    address = RegistryAddress.parse(f"oci+http://127.0.0.1:{port}/acme")

    answer = serve(origin=_origin(address)).get(PATH)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


def _origin(address: RegistryAddress) -> Origin:
    return Origin(address, "forge")


@pytest.mark.parametrize("code", [404, 410])
def test_what_the_registry_has_lost_is_not_found_and_not_asked_for_again_at_once(
    rig: Rig, serve: Serve, code: int
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(status(code, match=is_blob()))
    gateway = serve()

    answers = [gateway.get(PATH) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert rig.fake.count("blobs") == 1


@pytest.mark.parametrize("code", [400, 401, 403, 405, 416, 418, 204, 304, 100])
def test_any_other_no_is_a_bad_gateway(rig: Rig, serve: Serve, code: int) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(status(code, match=is_blob()))

    answer = serve(timeout=2).get(PATH)

    assert answer.status_code in ({502, 503} if code == 100 else {502})


def test_a_login_that_is_refused_is_a_bad_gateway(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.anonymous = False

    answer = serve().get(PATH)

    assert answer.status_code == 502
    assert b"token" not in answer.content


def test_a_token_that_opens_nothing_is_no_reason_to_go_round_in_circles(
    rig: Rig, serve: Serve
) -> None:
    publish(rig, PACKAGE)
    challenge = {"WWW-Authenticate": f'Bearer realm="{rig.fake.http}/token",service="x"'}
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.faults.append(status(401, match=is_blob(), headers=challenge))

    assert serve().get(PATH).status_code == 502
    assert rig.fake.count("blobs") <= 3
    assert rig.fake.count("token") <= 2


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 5}', b'{"token": "a\\r\\nb"}', b"\xff"]
)
def test_a_token_service_that_talks_nonsense_is_a_bad_gateway(
    rig: Rig, serve: Serve, body: bytes
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.faults.append(status(200, match=is_token(), body=body))

    assert serve().get(PATH).status_code == 502


@pytest.mark.parametrize("code", [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS])
def test_a_token_service_that_is_down_is_waited_for(rig: Rig, serve: Serve, code: int) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.faults.append(status(code, match=is_token(), times=1))
    gateway = serve()

    answer = gateway.get(PATH)

    assert answer.status_code == 503
    assert gateway.get(PATH).content == PACKAGE.data


def test_a_head_of_any_length_is_not_read_to_its_end(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    headers = {f"X-{number}": "x" * 8000 for number in range(90)}
    rig.fake.knobs.faults.append(Fault(is_blob(), None, lambda *_: Answer(200, headers)))

    assert serve().get(PATH).status_code in {502, 503}


def test_head_requests_are_told_of_trouble_as_get_is(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(status(503, match=is_blob()))
    gateway = serve()

    # The index alone answers it.
    answer = gateway.get(PATH, method="HEAD")

    assert (answer.status_code, answer.content) == (200, b"")
