"""Nothing secret in any message, log or traceback, whatever goes wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import responses

from indexer.errors import CfIndexError, ContentError
from indexer.registry.base import Requests
from indexer.registry.content import Descriptor, Digest
from indexer.registry.github import container_packages
from indexer.registry.urls import shown
from tests.registry.help import REPOSITORY, basic, remote, whole_text
from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

SECRET = "hunter2-hunter2"  # noqa: S105
LOGIN = basic("ann", SECRET)
DATA = b"content" * 30
DESCRIPTOR = Descriptor("", Digest.of(DATA), len(DATA))

TROUBLE: dict[str, Callable[[], faults.Fault]] = {
    "refused": lambda: faults.status(403),
    "refused token": lambda: faults.status(401, match=faults.is_token()),
    "no token": lambda: faults.replace_body(b"{}", match=faults.is_token()),
    "unavailable": lambda: faults.status(503),
    "closed": lambda: faults.closed(match=faults.is_blob()),
    "truncated": lambda: faults.truncated(match=faults.is_blob()),
    "tampered": lambda: faults.tampered(match=faults.is_blob()),
    "too long": lambda: faults.replace_body(DATA * 2, match=faults.is_blob()),
    "circle": lambda: faults.redirect(lambda r: r.path, match=faults.is_blob()),
    "lost": lambda: faults.redirect("http://127.0.0.1:1/x", match=faults.is_blob()),
    "file": lambda: faults.redirect("file:///x", match=faults.is_blob()),
}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("auth", ["basic", "token"])
def test_no_trouble_prints_a_password_or_a_token(
    fake: FakeRegistry,
    impatient: Transport,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    auth: str,
    trouble: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.knobs.auth = "basic" if auth == "basic" else "token"
    fake.knobs.anonymous, fake.knobs.users = False, {"ann": SECRET}
    fake.add_blob(REPOSITORY, DATA)
    fault = TROUBLE[trouble]()
    fake.knobs.faults = [fault]
    error: CfIndexError | None = None
    try:
        remote(fake, impatient, LOGIN).blob(REPOSITORY, DESCRIPTOR)
    except CfIndexError as caught:
        error = caught
    assert (error is not None) == bool(fault.fired)
    printed = "".join(capfd.readouterr()) + caplog.text
    text = printed + (whole_text(error) if error else "")
    for secret in (SECRET, LOGIN, "token-1"):
        assert secret not in text


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/x", "file:///x", "https://127.0.0.1:1/x"])
def test_a_signed_address_is_not_repeated(
    fake: FakeRegistry, impatient: Transport, target: str
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    fake.knobs.faults = [faults.redirect(f"{target}?signature={SECRET}", match=faults.is_blob())]
    with pytest.raises(CfIndexError) as caught:
        remote(fake, impatient).blob(REPOSITORY, DESCRIPTOR)
    assert SECRET not in str(caught.value)


def test_a_signed_address_of_wrong_content_is_not_repeated(
    fake: FakeRegistry, impatient: Transport
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    fake.knobs.faults = [
        faults.redirect(lambda r: f"{r.path}?signature={SECRET}", match=faults.is_blob(), times=1),
        faults.replace_body(DATA * 2, match=faults.is_blob()),
    ]
    with pytest.raises(ContentError) as caught:
        remote(fake, impatient).blob(REPOSITORY, DESCRIPTOR)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("login", [f"{LOGIN}\n{LOGIN}", f"{LOGIN}\n"])
def test_a_password_that_can_not_be_sent_is_not_repeated(
    fake: FakeRegistry, impatient: Transport, login: str
) -> None:
    fake.knobs.auth = "basic"
    with pytest.raises(CfIndexError) as caught:
        remote(fake, impatient, login).tags(REPOSITORY)
    assert LOGIN not in whole_text(caught.value)


@responses.activate
@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET}\r\nX: y", f" {SECRET}"])
def test_a_github_token_that_can_not_be_sent_is_not_repeated(
    impatient: Transport, token: str
) -> None:
    responses.add("GET", "https://api.github.com/orgs/acme/packages", status=401)
    responses.add("GET", "https://api.github.com/users/acme/packages", status=401)
    with pytest.raises(CfIndexError) as caught:
        list(container_packages(impatient, "acme", token, Requests()))
    assert SECRET not in whole_text(caught.value)


@responses.activate
@pytest.mark.parametrize("status", [400, 401, 403, 503])
def test_no_trouble_with_github_prints_the_token(
    impatient: Transport, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    responses.add("GET", "https://api.github.com/orgs/acme/packages", status=status)
    responses.add("GET", "https://api.github.com/users/acme/packages", status=status)
    with pytest.raises(CfIndexError) as caught:
        list(container_packages(impatient, "acme", SECRET, Requests()))
    assert SECRET not in whole_text(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("https://h/t/x-1/ch/noarch/a.conda?s=1", "https://h/t/.../ch/noarch/a.conda"),
        ("https://h/conda/t/x-1", "https://h/conda/t/..."),
        ("https://h/it/x-1/ch", "https://h/it/x-1/ch"),
    ],
)
def test_no_token_in_an_address_is_repeated(address: str, text: str) -> None:
    assert shown(address) == text
