"""GitHub's Packages API for one container package, as its documentation says it behaves."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from indexer.registry.content import Digest

if TYPE_CHECKING:
    import responses
    from requests import PreparedRequest

API = "https://api.github.com"
TOKEN = "ghp_example"  # noqa: S105
NAME = "forge/noarch/alpha"
TOO_MANY = "Publicly visible package versions with more than 5000 downloads cannot be deleted."
_PATH = re.compile(
    r"/(?:orgs/(?P<org>[^/]+)|users/(?P<user>[^/]+)|(?P<me>user))/packages/container/(?P<name>[^/]+)"
    r"(?:/versions)?(?:/(?P<number>\d+))?(?P<restore>/restore)?"
)
_Reply = tuple[int, dict[str, str], str]


@dataclass
class GitHub:
    """The versions of one package of an owner's; ``asked`` is what came in."""

    kind: str = "org"
    active: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    is_deleted: bool = False
    downloads: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def has(self, *digests: Digest) -> None:
        self.active |= {str(digest): 100 + number for number, digest in enumerate(digests)}

    def answers(self, mock: responses.RequestsMock) -> None:
        """Answer what is asked of GitHub."""
        for method in ("GET", "DELETE", "POST"):
            mock.add_callback(method, re.compile(rf"{API}/.*"), callback=self.answer)

    @property
    def changes(self) -> list[str]:
        return [line for line in self.asked if not line.startswith("GET")]

    def answer(self, request: PreparedRequest) -> _Reply:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        parts = urlsplit(str(request.url))
        self.asked.append(f"{request.method} {parts.path}")
        match = _PATH.fullmatch(parts.path)
        assert match, parts.path
        assert unquote(match["name"]) == NAME
        owners = {"org": (match["org"],), "user": (match["user"], match["me"] and "acme")}
        if "acme" not in owners.get(self.kind, ()):
            return _no(404, "Not Found")
        if request.method == "GET":
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            # Of somebody by name, GitHub doesn't say what was deleted.
            state = "active" if match["user"] else query["state"]
            return self._list(state, int(query["page"]), int(query["per_page"]))
        if request.method == "POST":
            return self._restore(match["number"])
        return self._delete(match["number"])

    def _list(self, state: str, page: int, size: int) -> _Reply:
        if self.is_deleted:
            return _no(404, "Package not found.")
        found = [
            {"id": number, "name": name}
            for name, number in (self.active if state == "active" else self.deleted).items()
        ]
        rest = found[(page - 1) * size :]
        link = {"Link": f'<{API}/x?page={page + 1}>; rel="next"'} if rest[size:] else {}
        return 200, link, json.dumps(rest[:size])

    def _delete(self, number: str | None) -> _Reply:
        if number is None:
            if self.downloads & self.active.keys():
                return _no(400, TOO_MANY)
            self.is_deleted = True
            return 204, {}, ""
        name = next((n for n, known in self.active.items() if known == int(number)), None)
        if name is None:
            return _no(404, "Package version not found.")
        if name in self.downloads:
            return _no(400, TOO_MANY)
        if len(self.active) == 1:
            return _no(400, "You cannot delete the last version of a package.")
        self.deleted[name] = self.active.pop(name)
        return 204, {}, ""

    def _restore(self, number: str | None) -> _Reply:
        if number is None:
            if not self.is_deleted:
                return _no(404, "Not Found")
            self.is_deleted = False
            return 204, {}, ""
        name = next((n for n, known in self.deleted.items() if known == int(number)), None)
        if name is None:
            return _no(404, "Not Found")
        self.active[name] = self.deleted.pop(name)
        return 204, {}, ""


def _no(status: int, message: str) -> _Reply:
    return status, {}, json.dumps({"message": message})
