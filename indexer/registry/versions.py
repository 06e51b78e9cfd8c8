"""The GitHub Packages API: versions of container packages, which are manifests by their digest.

https://docs.github.com/rest/packages/packages. ghcr.io itself deletes nothing (405). What this
API deleted can be had back for 30 days. The last version of a package isn't deleted, only the
package with it; a public version of more than 5,000 downloads neither way.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import orjson

from indexer.errors import (
    ContentError,
    LoginError,
    NotFoundError,
    RefusedError,
    RegistryError,
    printable,
)
from indexer.registry.base import Requests
from indexer.registry.content import Digest
from indexer.registry.exchange import Answer
from indexer.registry.github import API
from indexer.registry.links import next_page
from indexer.registry.transport import Transport

# Where a manifest is: to be had, deleted by itself, or deleted with all of its repository.
Found = Literal["there", "deleted", "deleted with its repository"]

_MAX_PAGE = 16 * 1024 * 1024
_PER_PAGE = 100
# GitHub gives no more of any list of packages.
_MAX_PAGES = 100
_MAX_ID = 2**63
# What GitHub says no with: 400 of the last version and of much-downloaded ones.
_REFUSALS = frozenset({400, 403, 422})


@dataclass(frozen=True, slots=True)
class _Package:
    """A package's address in the API, and the numbers of its versions by their names (digests)."""

    url: str
    versions: dict[str, int]


class PackageVersions:
    """Takes versions out of packages, and puts them back; one change at a time, as GitHub asks."""

    can_restore = True

    def __init__(
        self, transport: Transport, requests: Requests, token: str, *, api: str = API
    ) -> None:
        self._transport = transport
        self._requests = requests
        self._token = token
        self._api = api
        self._kinds: tuple[str, ...] = ("orgs", "users")
        self._known: dict[str, _Package | None] = {}
        self._turn = threading.Lock()

    def remove(self, repository: str, digest: Digest) -> None:
        """Delete the version of this name, or its package where it is the last."""
        with self._turn:
            if repository not in self._known:
                self._known[repository] = self._package(repository)
            package = self._known[repository]
            number = package.versions.get(str(digest)) if package is not None else None
            if package is None or number is None:
                return
            answer = self._ask("DELETE", f"{package.url}/versions/{number}")
            if answer.status in _REFUSALS and self._is_last(repository, digest):
                # Asked for only now: whoever pushed meanwhile doesn't lose what they pushed.
                answer = self._ask("DELETE", package.url)
            if answer.status not in {204, 404}:
                raise _refused(answer, f"delete {repository}@{digest}", "delete:packages")

    def find(self, repository: str, digest: Digest) -> Found:
        """Look among the versions there are, and among those that were deleted."""
        with self._turn:
            package = self._package(repository)
            if package is None:
                return "deleted with its repository"
            if str(digest) in package.versions:
                return "there"
            self._deleted(package, repository, digest)
            return "deleted"

    def restore(self, repository: str, digest: Digest) -> None:
        """Restore the version, and before that its package where it was deleted, too."""
        with self._turn:
            self._known.pop(repository, None)
            package = self._package(repository)
            if package is None:
                package = self._restore_package(repository)
            if str(digest) in package.versions:
                return
            number = self._deleted(package, repository, digest)
            answer = self._ask("POST", f"{package.url}/versions/{number}/restore")
            if answer.status != 204 and not self._is_there(repository, digest):
                raise _refused(answer, f"restore {repository}@{digest}", "write:packages")

    def _is_last(self, repository: str, digest: Digest) -> bool:
        package = self._package(repository)
        return package is not None and package.versions.keys() == {str(digest)}

    def _is_there(self, repository: str, digest: Digest) -> bool:
        """Whether what was refused was done before: by another run, or by a lost first try."""
        package = self._package(repository)
        return package is not None and str(digest) in package.versions

    def _package(self, repository: str) -> _Package | None:
        """The package with its versions; None where there is none.

        Of an organisation or a person: whose kind isn't known is asked for as both.
        """
        for kind in self._kinds:
            url = self._url(kind, repository)
            versions = self._versions(f"{url}/versions", "active")
            if versions is not None:
                self._kinds = (kind,)
                return _Package(url, versions)
        return None

    def _deleted(self, package: _Package, repository: str, digest: Digest) -> int:
        """The number of a deleted version. Raises NotFoundError."""
        url = package.url
        if self._kinds == ("users",):
            # Of somebody by name GitHub lists what is there alone, of oneself the rest, too.
            url = f"{self._api}/user/packages/container/{self._name(repository)}"
        number = (self._versions(f"{url}/versions", "deleted") or {}).get(str(digest))
        if number is None:
            raise NotFoundError(
                f"GitHub knows no deleted version {digest} of {repository}: it keeps them for 30 "
                "days, and shows them to a token of the owner's with read:packages."
            )
        return number

    def _restore_package(self, repository: str) -> _Package:
        answers = []
        for kind in self._kinds:
            answers.append(self._ask("POST", f"{self._url(kind, repository)}/restore"))
            if answers[-1].status != 404:
                break
        package = self._package(repository)
        if package is None:
            raise _refused(answers[-1], f"restore the package {repository}", "write:packages")
        return package

    def _versions(self, url: str, state: str) -> dict[str, int] | None:
        """The versions in a state, all of them; None where there is no such package."""
        found: dict[str, int] = {}
        for page in range(1, _MAX_PAGES + 1):
            query = f"per_page={_PER_PAGE}&page={page}&state={state}"
            answer = self._ask("GET", f"{url}?{query}")
            if answer.status == 404 and page == 1:
                return None
            if answer.status != 200:
                raise _refused(answer, f"list versions ({url}, page {page})", "read:packages")
            items = _decode(answer)
            found |= items
            # A full page may be the last, and then one more is asked for.
            if len(items) < _PER_PAGE and next_page(answer, answer.url) is None:
                return found
        raise RegistryError(f"{url} lists more than {_MAX_PAGES * _PER_PAGE:,} versions.")

    def _url(self, kind: str, repository: str) -> str:
        owner = repository.partition("/")[0]
        where = f"{self._api}/{kind}/{quote(owner, safe='')}"
        return f"{where}/packages/container/{self._name(repository)}"

    def _name(self, repository: str) -> str:
        return quote(repository.partition("/")[2], safe="")

    def _ask(self, method: str, url: str) -> Answer:
        self._requests.add("github")
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/vnd.github+json",
        }
        try:
            return self._transport.request(method, url, headers=headers, limit=_MAX_PAGE)
        except ContentError as error:
            raise RegistryError(f"{error}.") from error


def _decode(answer: Answer) -> dict[str, int]:
    """Names and numbers on one page. Raises RegistryError where it isn't one."""
    try:
        document = orjson.loads(answer.body)
        if not isinstance(document, list):
            raise TypeError("not a list")  # noqa: TRY301  one way out
        items = [(item["name"], item["id"]) for item in document]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise RegistryError(
            "GitHub answered with something that is no list of versions."
        ) from error
    if not all(
        isinstance(name, str) and type(number) is int and 0 < number < _MAX_ID
        for name, number in items
    ):
        raise RegistryError("GitHub answered with versions without proper names and numbers.")
    found = dict(items)
    if len(found) != len(items):
        raise RegistryError("GitHub listed a version twice on one page.")
    return found


def _refused(answer: Answer, what: str, scope: str) -> RegistryError:
    """An error that quotes GitHub."""
    try:
        document = orjson.loads(answer.body)
        said = document.get("message") if isinstance(document, dict) else None
    except orjson.JSONDecodeError:
        said = None
    quoted = f": {printable(said, 300)}" if isinstance(said, str) and said else ""
    text = f"GitHub didn't {what}: it answered {answer.status}{quoted}"
    if answer.status == 401:
        return LoginError(f"{text}. The token isn't valid.")
    hint = f" (the token needs {scope})" if answer.status in {403, 404} else ""
    kind = NotFoundError if answer.status == 404 else RefusedError
    return kind(f"{text}{hint}.")
