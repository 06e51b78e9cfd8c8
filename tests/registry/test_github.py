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
    return [p.name for p in container_packages(transport, owner, TOKEN, Requests())]


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
    assert [package.name for package in found] == ["a", "b", "forge/linux-64/zlib"]
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


def stamp_of(
    mock: responses.RequestsMock, transport: Transport, **item: object
) -> github_module.Stamp | None:
    mock.get(ORGS, json.dumps([{"name": "a"} | item]))
    (package,) = container_packages(transport, "acme", TOKEN, Requests())
    return package.stamp


@pytest.mark.parametrize(
    ("updated", "seconds"),
    [
        ("2026-11-01T12:00:00Z", 1_793_534_400),
        ("2026-11-01T12:00:00.5Z", 1_793_534_400),
        ("1969-12-31T23:59:59Z", -1),
    ],
)
def test_a_stamp_is_github_s_own_word_and_its_seconds(
    mock: responses.RequestsMock, transport: Transport, updated: str, seconds: int
) -> None:
    stamp = stamp_of(mock, transport, updated_at=updated)
    assert stamp == github_module.Stamp(updated, seconds)


@pytest.mark.parametrize(
    "updated",
    [
        None,
        7,
        ["2026-11-01T12:00:00Z"],
        "",
        "yesterday",
        "2026-11-01",
        "2026-11-01 12:00:00Z",
        "2026-11-01T12:00:00",
        "2026-11-01T12:00:00+01:00",
        "2026-11-01T12:00:00Z\n",
        " 2026-11-01T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-11-01T24:00:01Z",
        "2026-11-01T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "٢٠٢٦-11-01T12:00:00Z",
        "2026-11-01T12:00:00." + "5" * 1000 + "Z",
    ],
)
def test_a_time_that_can_not_be_read_is_no_stamp_and_costs_no_package(
    mock: responses.RequestsMock, transport: Transport, updated: object
) -> None:
    assert stamp_of(mock, transport, updated_at=updated, version_count=3) is None


def test_another_count_of_versions_is_another_stamp(
    mock: responses.RequestsMock, transport: Transport
) -> None:
    item = {"name": "a", "updated_at": "2026-11-01T12:00:00Z"}
    counts = (None, 3, 4, "3", 3.0, True, -1, 10**30)
    mock.get(ORGS, json.dumps([item | {"version_count": count} for count in counts]))
    found = container_packages(transport, "acme", TOKEN, Requests())
    texts = [package.stamp.text for package in found if package.stamp]
    plain = item["updated_at"]
    assert texts == [plain, f"{plain}, 3 versions", f"{plain}, 4 versions", *[plain] * 5]


def full_pages(mock: responses.RequestsMock, count: int) -> None:
    for number in range(1, count + 1):
        match = [] if number == 1 else [matchers.query_param_matcher({"page": str(number)})]
        link = f'<{ORGS}?page={number + 1}>; rel="next"'
        mock.get(ORGS, page("a", "b"), headers={"Link": link}, match=match)


def test_a_list_as_long_as_github_gives_is_not_taken_for_a_whole_one(
    mock: responses.RequestsMock, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github_module, "_LAST_PAGE", 3)
    monkeypatch.setattr(github_module, "_PER_PAGE", 2)
    full_pages(mock, 2)
    mock.get(ORGS, page("a", "b"), match=[matchers.query_param_matcher({"page": "3"})])
    with pytest.raises(UnsupportedError, match=r"first 6 packages .*--names FILE"):
        packages(transport)


@pytest.mark.parametrize(("pages", "last"), [(3, ["c"]), (2, ["c", "d"]), (4, ["c", "d"])])
def test_a_list_that_ends_elsewhere_is_whole(
    mock: responses.RequestsMock,
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
    pages: int,
    last: list[str],
) -> None:
    monkeypatch.setattr(github_module, "_LAST_PAGE", 3)
    monkeypatch.setattr(github_module, "_PER_PAGE", 2)
    full_pages(mock, pages - 1)
    mock.get(ORGS, page(*last), match=[matchers.query_param_matcher({"page": str(pages)})])
    assert packages(transport) == ["a", "b"] * (pages - 1) + last


def test_a_page_beyond_the_last_is_refused_for_good(
    mock: responses.RequestsMock, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github_module, "_LAST_PAGE", 2)
    full_pages(mock, 2)
    mock.get(ORGS, status=400, match=[matchers.query_param_matcher({"page": "3"})])
    with pytest.raises(UnsupportedError, match="no more"):
        packages(transport)


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
