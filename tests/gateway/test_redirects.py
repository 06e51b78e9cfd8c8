"""Packages by redirect: where clients are sent, how long that is remembered, and with what."""

from __future__ import annotations

import urllib.parse
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from indexer.registry.content import Digest
from tests.gateway.channels import PATH, package_of, publish, repository_of
from tests.gateway.conftest import Serve
from tests.gateway.running import parted, rest_of
from tests.support.faults import Answer, Fault, Pause, is_blob, redirect, status
from tests.support.loopback import FileHost
from tests.support.rig import Rig
from tests.support.waiting import wait_until

PACKAGE = package_of(100_000)


def signed(store: FileHost, life: int = 3600) -> str:
    """The address of the package in an object store, signed just now for so many seconds."""
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        "X-Amz-Expires": str(life),
        "X-Amz-Signature": "5ca1ab1e/+=",
    }
    return f"{store.put('/bucket/alpha', PACKAGE.data)}?{urllib.parse.urlencode(query)}"


def test_a_client_is_sent_where_the_registry_sends_with_each_byte_of_the_signature(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    publish(rig, PACKAGE)
    target = signed(elsewhere)
    rig.fake.knobs.faults.append(redirect(target, match=is_blob()))
    gateway = serve(allowed=(elsewhere.address,))

    answer = gateway.get(PATH)

    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["Location"] == target
    assert answer.headers["Cache-Control"] == "no-store"
    assert elsewhere.requests == []
    followed = gateway.session.get(f"{gateway.http}/{PATH}", timeout=10)
    assert followed.content == PACKAGE.data
    # Whoever asks for a part takes it from there, too.
    assert gateway.get(PATH, {"Range": "bytes=0-9"}).headers["Location"] == target


def test_any_redirect_of_a_registry_is_for_this_time_only(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    publish(rig, PACKAGE)
    gateway = serve(allowed=(elsewhere.address,))

    for code in (301, 302, 303, 307, 308):
        over = signed(elsewhere, life=-5)
        rig.fake.knobs.faults[:] = [redirect(over, match=is_blob(), code=code)]
        assert gateway.get(PATH).status_code == 307
    assert rig.fake.count("blobs") == 5


def test_a_redirect_that_is_good_for_long_is_asked_for_once(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(redirect(signed(elsewhere), match=is_blob()))
    gateway = serve(allowed=(elsewhere.address,))

    for _ in range(5):
        assert gateway.get(PATH).status_code == 307

    assert rig.fake.count("blobs") == 1


def test_an_address_that_is_over_is_asked_for_anew(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(redirect(signed(elsewhere, life=-5), match=is_blob()))
    gateway = serve(allowed=(elsewhere.address,))

    for _ in range(3):
        assert gateway.get(PATH).status_code == 307

    assert rig.fake.count("blobs") == 3


def test_of_many_who_ask_at_once_one_asks_the_registry(
    rig: Rig, serve: Serve, elsewhere: FileHost, stack: ExitStack
) -> None:
    publish(rig, PACKAGE)
    pause = Pause()
    gateway = serve(allowed=(elsewhere.address,))
    # Known by then, each is asked for in the same turn that its request is read.
    gateway.get(PATH, method="HEAD")
    target = signed(elsewhere)
    answer = Answer(307, {"Location": target}, pause=pause)
    rig.fake.knobs.faults.append(Fault(is_blob(), None, lambda *_: answer))
    clients = [stack.enter_context(gateway.ask(PATH)) for _ in range(30)]

    wait_until(lambda: gateway.number("requests_under_way") == 30)
    assert pause.reached.wait(10)
    pause.go.set()

    answers = [parted(rest_of(client)) for client in clients]
    assert {status for status, _, _ in answers} == {307}
    assert {headers["location"] for _, headers, _ in answers} == {target}
    assert rig.fake.count("blobs") == 1


def test_a_known_redirect_is_served_while_the_registry_is_down(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    other = package_of(50, "other")
    publish(rig, PACKAGE, other)
    rig.fake.knobs.faults.append(redirect(signed(elsewhere), match=is_blob(), times=1))
    gateway = serve(allowed=(elsewhere.address,))
    target = gateway.get(PATH).headers["Location"]
    rig.fake.knobs.faults.append(status(503, match=is_blob()))

    assert gateway.get("noarch/other-1.0-0.conda").status_code == 503
    assert gateway.get(PATH).headers["Location"] == target


def test_a_redirect_within_the_registry_leads_to_its_own_address(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(redirect("/storage/alpha?sig=1", match=is_blob()))

    assert serve().get(PATH).headers["Location"] == f"{rig.fake.http}/storage/alpha?sig=1"


def test_streaming_follows_the_redirect_itself_without_credentials(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.faults.append(redirect(signed(elsewhere), match=is_blob()))
    gateway = serve(allowed=(elsewhere.address,), packages="stream")

    whole = gateway.get(PATH)
    part = gateway.get(PATH, {"Range": "bytes=1000-1999"})

    assert (whole.status_code, whole.content) == (200, PACKAGE.data)
    assert (part.status_code, part.content) == (206, PACKAGE.data[1000:2000])
    assert whole.headers["Cache-Control"] == "max-age=31536000, immutable"
    assert any("authorization" in request.headers for request in rig.fake.requests)
    assert elsewhere.requests
    assert not any("authorization" in request.headers for request in elsewhere.requests)
    assert not any("cookie" in request.headers for request in elsewhere.requests)


def test_a_redirect_of_a_redirect_is_not_followed(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.faults.append(redirect(signed(elsewhere), match=is_blob()))
    elsewhere.faults.append(redirect("http://169.254.169.254/", match=lambda _: True))

    answer = serve(allowed=(elsewhere.address,), packages="stream").get(PATH)

    assert answer.status_code == 502
    assert "Location" not in answer.headers


def test_only_where_it_is_told_to_clients_are_sent_to_a_plain_registry(
    rig: Rig, serve: Serve
) -> None:
    publish(rig, PACKAGE)

    assert serve().get(PATH).status_code == 200
    answer = serve(packages="redirect").get(PATH)

    assert answer.status_code == 307
    digest = Digest(PACKAGE.sha256)
    blob = f"{rig.fake.http}/v2/{repository_of(rig, PACKAGE)}/blobs/{digest}"
    assert answer.headers["Location"] == blob


def test_a_registry_that_wants_a_token_is_streamed_with_one(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    gateway = serve()

    for _ in range(3):
        answer = gateway.get(PATH)
        assert (answer.status_code, answer.content) == (200, PACKAGE.data)

    assert rig.fake.count("token") == 1


def scopes(rig: Rig) -> list[str]:
    return [request.query["scope"] for request in rig.fake.requests if request.kind == "token"]


def test_each_repository_has_a_token_of_its_own(rig: Rig, serve: Serve) -> None:
    other = package_of(10, "other")
    publish(rig, PACKAGE, other)
    rig.fake.knobs.auth = "token"
    gateway = serve()

    for _ in range(2):
        assert gateway.get(PATH).status_code == 200
        assert gateway.get("noarch/other-1.0-0.conda").status_code == 200

    assert scopes(rig) == [
        f"repository:{repository_of(rig, package)}:pull" for package in (PACKAGE, other)
    ]


def test_concurrent_requests_share_a_token(rig: Rig, serve: Serve, stack: ExitStack) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    gateway = serve()
    parts = [f"bytes={start}-{start + 99}" for start in range(0, 2000, 100)]
    heads = [
        f"GET /{PATH} HTTP/1.1\r\nHost: x\r\nRange: {part}\r\nConnection: close\r\n\r\n"
        for part in parts
    ]

    clients = [stack.enter_context(gateway.connected(head.encode())) for head in heads]
    bodies = [parted(rest_of(client))[2] for client in clients]

    assert b"".join(bodies) == PACKAGE.data[:2000]
    assert rig.fake.count("token") == 1


def test_a_token_that_is_over_is_renewed(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.token_uses = 1
    gateway = serve()

    for _ in range(3):
        assert gateway.get(PATH).content == PACKAGE.data
        # Who asks while it is still being sent would share it.
        wait_until(lambda: gateway.number("open_streams") == 0)

    assert rig.fake.count("token") == 3


def test_a_password_goes_to_the_registry_alone(
    rig: Rig, serve: Serve, elsewhere: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "basic"
    rig.fake.knobs.users = {"reader": "pass"}
    monkeypatch.setenv("ORAS_USER", "reader")
    monkeypatch.setenv("ORAS_PASS", "pass")

    assert serve().get(PATH).content == PACKAGE.data

    rig.fake.knobs.faults.append(redirect(signed(elsewhere), match=is_blob()))
    streaming = serve(packages="stream", allowed=(elsewhere.address,))
    assert streaming.get(PATH).content == PACKAGE.data
    assert elsewhere.requests
    assert not any("authorization" in request.headers for request in elsewhere.requests)


def test_what_a_client_says_of_itself_reaches_nobody(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)

    said = {"Authorization": "Basic c2VjcmV0", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"}
    serve().get(PATH, said)

    (asked,) = rig.fake.requests
    assert not {"authorization", "cookie", "x-forwarded-for"} & set(asked.headers)
