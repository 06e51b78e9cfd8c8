"""GitHub's list of packages: whole, refused with advice, or an error; never cut short."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import responses
from responses import matchers

from indexer.errors import RegistryError, UnsupportedError
from indexer.registry import github as github_module
from indexer.registry.base import Requests
from indexer.registry.github import container_packages, token_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexer.registry.transport import Transport
    from tests.registry.help import VirtualTime

API = "https://api.github.com"
ORGS = f"{API}/orgs/acme/packages"
USERS = f"{API}/users/acme/packages"
TOKEN = "ghp_example"  # noqa: S105


@pytest.fixture(autouse=True)
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as made:
        yield made


def page(*names: str) -> str:
    return json.dumps([{"id": 1, "name": name, "package_type": "container"} for name in names])


def packages(transport: Transport, owner: str = "acme") -> list[str]:
    return list(container_packages(transport, owner, TOKEN, Requests()))


def test_every_page_of_packages_is_read(mock: responses.RequestsMock, transport: Transport) -> None:
    link = f'<{ORGS}?page=2>; rel="next", <{ORGS}?page=9>; rel="last"'
    mock.get(ORGS, page("a", "b"), headers={"Link": link})
    link = f'<{ORGS}?page=1>; rel="prev", </orgs/acme/packages?page=3>; rel="next"'
    second = matchers.query_param_matcher({"page": "2"})
    mock.get(ORGS, "[]", headers={"Link": link}, match=[second])
    last = matchers.query_param_matcher({"page": "3"})
    link = f'<{ORGS}?page=1>; rel="first", <{ORGS}?page=2>; rel="prev"'
    mock.get(ORGS, page("forge/linux-64/zlib"), headers={"Link": link}, match=[last])
    requests = Requests()
    found = list(container_packages(transport, "acme", TOKEN, requests))
    assert found == ["a", "b", "forge/linux-64/zlib"]
    assert requests.as_dict() == {"github": 3}
    assert str(mock.calls[0].request.url) == f"{ORGS}?package_type=container&per_page=100"
    assert {call.request.headers["Authorization"] for call in mock.calls} == {f"Bearer {TOKEN}"}


def test_a_person_s_packages_are_found_where_there_is_no_such_organisation(
    mock: responses.RequestsMock, transport: Transport
) -> None:
    mock.get(ORGS, status=404)
    mock.get(USERS, page("a"))
    assert packages(transport) == ["a"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_token_is_answered_with_what_to_do(
    mock: responses.RequestsMock, transport: Transport, status: int
) -> None:
    mock.get(ORGS, status=status)
    mock.get(USERS, status=403)
    with pytest.raises(UnsupportedError) as caught:
        packages(transport)
    for words in ("acme", str(status), "read:packages", "CF_INDEX_GITHUB_TOKEN", "--names FILE"):
        assert words in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_an_api_that_is_down_is_no_refusal(
    mock: responses.RequestsMock, transport: Transport, time: VirtualTime, status: int
) -> None:
    mock.get(ORGS, status=status)
    with pytest.raises(RegistryError, match=f"answered {status}") as caught:
        packages(transport)
    assert not isinstance(caught.value, UnsupportedError)
    assert time.passed <= 60


@pytest.mark.parametrize("status", [400, 401, 403, 404, 503])
def test_a_page_lost_half_way_is_no_end_and_no_refusal(
    mock: responses.RequestsMock, transport: Transport, status: int
) -> None:
    mock.get(ORGS, page("a"), headers={"Link": f'<{ORGS}?page=2>; rel="next"'})
    second = matchers.query_param_matcher({"page": "2"})
    mock.get(ORGS, status=status, match=[second])
    with pytest.raises(RegistryError) as caught:
        packages(transport)
    assert not isinstance(caught.value, UnsupportedError)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "null",
        "7",
        "{}",
        '{"message": "hello"}',
        '["a"]',
        "[{}]",
        '[{"name": 7}]',
        '[{"name": null}]',
        '[{"name": "a"}, null]',
        '[{"name": "a"}',
    ],
)
def test_a_page_that_is_no_list_is_an_error_and_not_an_empty_list(
    mock: responses.RequestsMock, transport: Transport, body: str
) -> None:
    mock.get(ORGS, body)
    with pytest.raises(RegistryError, match="GitHub answered with") as caught:
        packages(transport)
    assert not isinstance(caught.value, UnsupportedError)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/packages",
        "http://api.github.com/packages",
        "https://api.github.com:8443/packages",
        "//evil.example/packages",
        "https://[::1/packages",
        "https://api.github.com:port/packages",
    ],
)
def test_the_token_does_not_follow_a_link_to_another_server(
    mock: responses.RequestsMock, transport: Transport, target: str
) -> None:
    mock.get(ORGS, page("a"), headers={"Link": f'<{target}>; rel="next"'})
    with pytest.raises(RegistryError):
        packages(transport)
    assert len(mock.calls) == 1


@pytest.mark.parametrize(
    "link", ["<{}?page=2>; rel=next", '<{}?after=a,b>; rel="next"', '<{}?page=2>; rel="next last"']
)
def test_no_spelling_of_a_link_makes_the_list_end_early(
    mock: responses.RequestsMock, transport: Transport, link: str
) -> None:
    mock.get(ORGS, page("a"), headers={"Link": link.format(ORGS)})
    mock.get(ORGS, page("b"))
    assert packages(transport) == ["a", "b"]


def test_a_list_without_end_is_not_trusted(
    mock: responses.RequestsMock, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github_module, "_MAX_PAGES", 5)
    mock.get(ORGS, page("a"), headers={"Link": f'<{ORGS}?page=2>; rel="next"'})
    with pytest.raises(RegistryError, match="doesn't end"):
        packages(transport)
    assert len(mock.calls) <= 6


def test_a_page_too_long_to_read_makes_the_list_incomplete(
    mock: responses.RequestsMock, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github_module, "_MAX_PAGE", 20)
    mock.get(ORGS, page("a"))
    with pytest.raises(RegistryError, match="more than 20 bytes"):
        packages(transport)


def test_an_owner_s_name_can_not_ask_for_something_else(
    mock: responses.RequestsMock, transport: Transport
) -> None:
    mock.get(f"{API}/orgs/acme%2F..%3Fx/packages", "[]")
    assert packages(transport, "acme/..?x") == []


@pytest.mark.parametrize(
    ("environ", "token"),
    [
        ({}, None),
        ({"GITHUB_TOKEN": ""}, None),
        ({"GH_TOKEN": "c"}, "c"),
        ({"GITHUB_TOKEN": "b", "GH_TOKEN": "c"}, "b"),
        ({"CF_INDEX_GITHUB_TOKEN": "a", "GITHUB_TOKEN": "b"}, "a"),
        ({"CF_INDEX_GITHUB_TOKEN": "", "GITHUB_TOKEN": "b"}, "b"),
        # Written by `echo` into a file or a secret.
        ({"CF_INDEX_GITHUB_TOKEN": " a\n"}, "a"),
        ({"CF_INDEX_GITHUB_TOKEN": "\n", "GITHUB_TOKEN": "b"}, "b"),
    ],
)
def test_the_token_meant_for_us_comes_first(environ: dict[str, str], token: str | None) -> None:
    assert token_from(environ) == token
