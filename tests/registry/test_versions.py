"""GitHub's Packages API takes versions out and puts them back: those that are meant, no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest
import responses

from indexer.errors import (
    ConfigError,
    LoginError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnsupportedError,
)
from indexer.registry import versions as versions_module
from indexer.registry.base import Requests
from indexer.registry.content import Digest
from indexer.registry.removal import RegistryRemover, open_remover
from indexer.registry.versions import PackageVersions
from tests.registry.help import remote
from tests.support.packages_api import API, TOKEN, GitHub

if TYPE_CHECKING:
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

REPOSITORY = "acme/forge/noarch/alpha"
DIGESTS = [Digest.of(bytes([number])) for number in range(5)]
ONE, TWO, THREE, *_ = DIGESTS


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as made:
        yield made


@pytest.fixture(params=["org", "user"])
def github(mock: responses.RequestsMock, request: pytest.FixtureRequest) -> GitHub:
    made = GitHub(request.param)
    made.has(ONE, TWO, THREE)
    made.answers(mock)
    return made


@pytest.fixture
def remover(transport: Transport) -> PackageVersions:
    return PackageVersions(transport, Requests(), TOKEN)


def test_the_version_of_a_digest_goes_and_no_other(
    github: GitHub, remover: PackageVersions
) -> None:
    remover.remove(REPOSITORY, TWO)
    assert github.deleted == {str(TWO): 101}
    kind = {"org": "orgs", "user": "users"}[github.kind]
    path = f"/{kind}/acme/packages/container/forge%2Fnoarch%2Falpha"
    assert github.changes == [f"DELETE {path}/versions/101"]


def test_versions_are_listed_once_for_all_that_go(github: GitHub, remover: PackageVersions) -> None:
    remover.remove(REPOSITORY, ONE)
    asked = len(github.asked)
    remover.remove(REPOSITORY, TWO)
    assert len(github.asked) == asked + 1


def test_versions_on_later_pages_are_found(github: GitHub, remover: PackageVersions) -> None:
    many = [Digest.of(str(number).encode()) for number in range(200)]
    github.active = {str(digest): number for number, digest in enumerate(many, 1)}
    remover.remove(REPOSITORY, many[150])
    assert github.deleted == {str(many[150]): 151}


def test_the_last_version_takes_its_package_along(github: GitHub, remover: PackageVersions) -> None:
    for digest in (ONE, TWO, THREE):
        remover.remove(REPOSITORY, digest)
    assert github.is_deleted
    assert len(github.changes) == 4


def test_what_was_pushed_meanwhile_keeps_the_package(
    github: GitHub, remover: PackageVersions
) -> None:
    remover.remove(REPOSITORY, ONE)
    remover.remove(REPOSITORY, TWO)
    github.active[str(DIGESTS[3])] = 999
    remover.remove(REPOSITORY, THREE)
    assert (github.is_deleted, github.active) == (False, {str(DIGESTS[3]): 999})


def test_a_refusal_that_others_still_stand_beside_never_takes_the_package(
    github: GitHub, remover: PackageVersions
) -> None:
    github.downloads = {str(ONE)}
    with pytest.raises(RefusedError, match=r"answered 400: .* 5000 downloads"):
        remover.remove(REPOSITORY, ONE)
    assert not github.is_deleted
    assert len(github.changes) == 1


def test_a_much_downloaded_last_version_stays_and_github_is_quoted(
    github: GitHub, remover: PackageVersions
) -> None:
    github.active = {str(ONE): 100}
    github.downloads = {str(ONE)}
    with pytest.raises(RefusedError, match=r"answered 400: .* 5000 downloads"):
        remover.remove(REPOSITORY, ONE)
    assert not github.is_deleted


def test_what_is_gone_already_is_no_error(github: GitHub, remover: PackageVersions) -> None:
    remover.remove(REPOSITORY, DIGESTS[4])
    remover.remove(REPOSITORY, ONE)
    github.deleted[str(TWO)] = github.active.pop(str(TWO))
    remover.remove(REPOSITORY, TWO)
    assert github.active.keys() == {str(THREE)}


def test_a_package_that_is_gone_already_is_no_error(
    github: GitHub, remover: PackageVersions
) -> None:
    github.is_deleted = True
    remover.remove(REPOSITORY, ONE)
    assert github.changes == []


def test_a_version_comes_back(github: GitHub, remover: PackageVersions) -> None:
    remover.remove(REPOSITORY, ONE)
    assert remover.find(REPOSITORY, ONE) == "deleted"
    assert remover.find(REPOSITORY, TWO) == "there"
    remover.restore(REPOSITORY, ONE)
    assert (remover.find(REPOSITORY, ONE), github.deleted) == ("there", {})
    changes = len(github.changes)
    remover.restore(REPOSITORY, ONE)
    assert len(github.changes) == changes


def test_versions_of_a_deleted_package_come_back_after_it(
    github: GitHub, transport: Transport, remover: PackageVersions
) -> None:
    for digest in (ONE, TWO, THREE):
        remover.remove(REPOSITORY, digest)
    # Another run, which doesn't know whether the owner is an organisation.
    later = PackageVersions(transport, Requests(), TOKEN)
    assert later.find(REPOSITORY, ONE) == "deleted with its repository"
    later.restore(REPOSITORY, ONE)
    assert not github.is_deleted
    assert github.active.keys() == {str(ONE), str(THREE)}


def test_what_github_knows_nothing_of_does_not_come_back(
    github: GitHub, remover: PackageVersions
) -> None:
    for attempt in (remover.find, remover.restore):
        with pytest.raises(NotFoundError, match="30 days"):
            attempt(REPOSITORY, DIGESTS[4])
    github.is_deleted, github.kind = True, "nobody"
    with pytest.raises(NotFoundError, match=r"restore the package .*answered 404: Not Found"):
        remover.restore(REPOSITORY, ONE)


def test_a_removed_version_can_be_removed_again_after_it_came_back(
    github: GitHub, remover: PackageVersions
) -> None:
    remover.remove(REPOSITORY, ONE)
    remover.restore(REPOSITORY, ONE)
    remover.remove(REPOSITORY, ONE)
    assert github.deleted.keys() == {str(ONE)}


ORGS = re.compile(rf"{API}/orgs/.*")


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_listing_that_broke_off_is_no_end(
    mock: responses.RequestsMock, remover: PackageVersions, status: int
) -> None:
    page = [{"id": number, "name": str(Digest.of(bytes([number])))} for number in range(1, 101)]
    mock.get(ORGS, json.dumps(page))
    mock.get(ORGS, json.dumps({"message": "no more"}), status=status)
    with pytest.raises(RegistryError):
        remover.remove(REPOSITORY, ONE)
    assert {call.request.method for call in mock.calls} == {"GET"}


def test_a_listing_without_end_is_not_trusted(
    mock: responses.RequestsMock, remover: PackageVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions_module, "_MAX_PAGES", 3)
    mock.get(ORGS, "[]", headers={"Link": f'<{API}/orgs/x?page=2>; rel="next"'})
    with pytest.raises(RegistryError, match="more than 300 versions"):
        remover.remove(REPOSITORY, ONE)
    assert len(mock.calls) == 3


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "null",
        "{}",
        "[7]",
        "[{}]",
        '[{"id": 1}]',
        '[{"id": "1", "name": "x"}]',
        '[{"id": true, "name": "x"}]',
        '[{"id": -1, "name": "x"}]',
        '[{"id": 1e30, "name": "x"}]',
        '[{"id": 1, "name": 7}]',
        '[{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]',
    ],
)
def test_a_page_that_is_no_list_of_versions_is_an_error(
    mock: responses.RequestsMock, remover: PackageVersions, body: str
) -> None:
    mock.get(ORGS, body)
    with pytest.raises(RegistryError, match="GitHub"):
        remover.remove(REPOSITORY, ONE)
    assert len(mock.calls) == 1


def test_a_token_that_is_not_valid_stops_everything(
    mock: responses.RequestsMock, remover: PackageVersions
) -> None:
    mock.get(ORGS, json.dumps({"message": "Bad credentials"}), status=401)
    with pytest.raises(LoginError, match="Bad credentials"):
        remover.remove(REPOSITORY, ONE)


@pytest.mark.parametrize("said", ['{"message": "a\\u001b[2J"}', "[]", "<", '{"message": 7}', ""])
def test_a_refusal_is_quoted_so_that_nothing_in_it_acts(
    mock: responses.RequestsMock, remover: PackageVersions, said: str
) -> None:
    mock.get(ORGS, said, status=403)
    with pytest.raises(RefusedError, match=r"answered 403.*read:packages") as caught:
        remover.remove(REPOSITORY, ONE)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("environ", "is_there"),
    [({}, False), ({"GH_TOKEN": TOKEN}, True), ({"CF_INDEX_GITHUB_TOKEN": "\n"}, False)],
)
def test_without_a_token_ghcr_is_an_error_that_names_the_variables(
    fake: FakeRegistry, transport: Transport, environ: Mapping[str, str], *, is_there: bool
) -> None:
    registry = remote(fake, transport)
    apis = {registry.address.host: API}
    if is_there:
        assert open_remover(registry, transport, environ, apis).can_restore
        return
    with pytest.raises(ConfigError) as caught:
        open_remover(registry, transport, environ, apis)
    for words in ("CF_INDEX_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "delete:packages"):
        assert words in str(caught.value)


def test_other_registries_delete_for_good(fake: FakeRegistry, transport: Transport) -> None:
    remover = open_remover(remote(fake, transport), transport, {})
    assert isinstance(remover, RegistryRemover)
    assert not remover.can_restore
    for attempt in (remover.find, remover.restore):
        with pytest.raises(UnsupportedError, match="can't be taken back"):
            attempt(REPOSITORY, ONE)


def test_a_registry_that_deletes_nothing_says_what_to_do(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.knobs.deletes = False
    fake.add_repository(REPOSITORY)
    with pytest.raises(UnsupportedError, match=r"storage\.delete\.enabled"):
        RegistryRemover(remote(fake, transport)).remove(REPOSITORY, ONE)
