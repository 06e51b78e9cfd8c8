"""A registry that sends its clients, or the gateway, to what only this machine can reach."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.support.faults import is_blob, redirect, status
from tests.support.loopback import FileHost
from tests.support.rig import Rig

PACKAGE = package_of(1000)
WAYS = pytest.mark.parametrize("packages", ["auto", "redirect", "stream"])


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names below .example lead to addresses of our choice; no other is looked up."""
    known = {
        "inside.example": ["10.0.0.1"],
        "mixed.example": ["93.184.216.34", "127.0.0.1"],
        "mapped.example": ["::ffff:127.0.0.1"],
        "public.example": ["93.184.216.34"],
    }
    plain = socket.getaddrinfo

    def looked_up(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        name = name.rstrip(".") if name else name
        if name in known:
            return [
                (
                    socket.AF_INET6 if ":" in one else socket.AF_INET,
                    socket.SOCK_STREAM,
                    6,
                    "",
                    (one, port or 0),
                )
                for one in known[name]
            ]
        if name is not None and name.endswith((".example", ".internal")):
            raise socket.gaierror(-2, "Name or service not known")
        return plain(host, port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


TARGETS = [
    "http://127.0.0.1:1/x",
    "http://127.0.0.1/x",
    "//127.0.0.1:1/x",
    "http://127.1:1/x",
    "http://2130706433:1/x",
    "http://0x7f.1:1/x",
    "http://0.0.0.0:1/x",
    "http://localhost:1/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:1/x",
    "http://[::ffff:127.0.0.1]:1/x",
    "http://[fe80::1%25lo]:1/x",
    "http://[::]:1/x",
    "http://inside.example/x",
    "https://mixed.example/x",
    "https://mapped.example/x",
    "http://inside.example./x",
    "http://public.example@127.0.0.1:1/x",
    "http://127.0.0.1:1\\@public.example/x",
    "https://127.0.0.1\\.public.example/x",
    "https://user:pass@public.example/x",
    "http://127.0.0.1:1#@public.example/x",
    "ftp://public.example/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/plain,x",
    "http://public.example:99999/x",
    "http://public.example:x/x",
    "http://[public.example/x",
    "https://public.example/a b",
    "https://public.example/a\tb",
    "http://public.example/a\tb",
    "http://pub\tlic.example/x",
    "ht\ttps://public.example/x",
    "https://public.example/\u00e9",
    "https://public.example/" + "x" * 10_000,
]


@WAYS
def test_nobody_is_sent_inside(rig: Rig, serve: Serve, packages: str) -> None:
    publish(rig, PACKAGE)
    gateway = serve(packages=packages)

    for target in TARGETS:
        sent = target.encode("utf-8").decode("latin-1")
        rig.fake.knobs.faults[:] = [redirect(sent, match=is_blob())]
        answer = gateway.get(PATH)
        assert (answer.status_code, target) == (502, target)
        assert "Location" not in answer.headers
        assert sent.encode() not in answer.content


@WAYS
def test_a_name_that_cannot_be_looked_up_is_not_followed(
    rig: Rig, serve: Serve, packages: str
) -> None:
    publish(rig, PACKAGE)
    gateway = serve(packages=packages)

    for host in ("unknown.example", "metadata.google.internal"):
        rig.fake.knobs.faults[:] = [redirect(f"http://{host}/x", match=is_blob())]
        answer = gateway.get(PATH)
        assert (answer.status_code, "Location" in answer.headers) == (503, False)


@WAYS
def test_a_redirect_to_nowhere_is_none(rig: Rig, serve: Serve, packages: str) -> None:
    publish(rig, PACKAGE)
    gateway = serve(packages=packages)

    for code in (301, 302, 303, 307, 308):
        rig.fake.knobs.faults[:] = [status(code, match=is_blob())]
        answer = gateway.get(PATH)
        assert (answer.status_code, "Location" in answer.headers) == (502, False)


def test_a_header_within_an_address_stays_there(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    for end in ("\r\nSet-Cookie: a=b", "\rSet-Cookie: a=b", "\n Set-Cookie: a=b", "\0x", "\tx"):
        target = f"https://public.example/x{end}"
        rig.fake.knobs.faults[:] = [redirect(target, match=is_blob())]

        answer = serve().get(PATH)

        assert "Set-Cookie" not in answer.headers
        assert "\r" not in answer.headers.get("Location", "")
        assert answer.status_code in {307, 502, 503}
        assert answer.headers.get("Location", "https://public.example/x") == (
            "https://public.example/x"
        )


def test_a_name_that_takes_long_to_look_up_holds_nobody_up(
    rig: Rig, serve: Serve, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, PACKAGE)
    gateway, over = serve(), threading.Event()
    stack.callback(over.set)
    monkeypatch.setattr("indexer.gateway.ways._LOOKUP", 0.05)
    plain = socket.getaddrinfo

    def slow(host: Any, *rest: Any, **named: Any) -> Any:
        if host == "slow.example":
            over.wait()
        return plain(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    rig.fake.knobs.faults.append(redirect("https://slow.example/x", match=is_blob()))

    # More than there are threads for it.
    for _ in range(40):
        answer = gateway.get(PATH)
        assert (answer.status_code, "Location" in answer.headers) == (503, False)
        assert int(answer.headers["Retry-After"]) >= 1

    assert gateway.get("noarch/repodata.json").status_code == 200
    assert gateway.number("faults_total") == 0


def test_a_public_address_is_followed(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    target = "https://public.example/x?sig=1"
    rig.fake.knobs.faults.append(redirect(target, match=is_blob()))

    assert serve().get(PATH).headers["Location"] == target


def test_the_operator_may_let_a_server_in(rig: Rig, serve: Serve, elsewhere: FileHost) -> None:
    publish(rig, PACKAGE)
    target = elsewhere.put("/x", PACKAGE.data)
    rig.fake.knobs.faults.append(redirect(target, match=is_blob()))

    port = elsewhere.address.rpartition(":")[2]
    for server in (elsewhere.address, "127.0.0.1"):
        assert serve(allowed=(server,)).get(PATH).headers["Location"] == target
    refused: list[tuple[str, ...]] = [(), ("127.0.0.1:1",), (f"localhost:{port}",)]
    for allowed in refused:
        assert serve(allowed=allowed).get(PATH).status_code == 502
        assert serve(allowed=allowed, packages="stream").get(PATH).status_code == 502
    assert elsewhere.requests == []


@WAYS
def test_tokens_are_not_asked_for_inside(
    rig: Rig, serve: Serve, elsewhere: FileHost, packages: str
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.realm_to = elsewhere.http

    answer = serve(packages=packages).get(PATH)

    assert answer.status_code in {502, 503}
    assert elsewhere.requests == []


def test_a_token_service_elsewhere_may_be_let_in(
    rig: Rig, serve: Serve, elsewhere: FileHost
) -> None:
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.realm_to = elsewhere.http
    elsewhere.faults.append(redirect(lambda r: _token(rig, r), match=lambda _: True))

    gateway = serve(allowed=(elsewhere.address,))

    assert gateway.get(PATH).content == PACKAGE.data


def _token(rig: Rig, request: Any) -> str:
    return f"{rig.fake.http}/token?{urlencode(request.query)}"


def test_a_token_service_that_sends_inside_is_not_followed(
    rig: Rig, serve: Serve, elsewhere: FileHost, stack: Any
) -> None:
    inside = stack.enter_context(FileHost())
    publish(rig, PACKAGE)
    rig.fake.knobs.auth = "token"
    rig.fake.knobs.realm_to = elsewhere.http
    elsewhere.faults.append(redirect(inside.url("/token"), match=lambda _: True))

    answer = serve(allowed=(elsewhere.address,)).get(PATH)

    assert answer.status_code in {502, 503}
    assert elsewhere.requests
    assert inside.requests == []
