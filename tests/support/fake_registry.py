"""An OCI registry inside the test process, filled from memory, with knobs for real ones' ways.

It only reads out: `FakeRegistry.add` and its neighbours are how content gets in. What it was
asked is in `requests`; what it should do wrong goes into `knobs.faults`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from demo.layers import Image, digest_of
from tests.support.faults import Answer, Knobs, Request
from tests.support.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class _Repository:
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Token:
    scopes: frozenset[str]
    uses_left: int | None
    deadline: float

    def use(self, scope: str) -> bool:
        """Whether the token opens this scope, once more."""
        if self.uses_left == 0 or time.monotonic() >= self.deadline:
            return False
        if scope and scope not in self.scopes:
            return False
        if self.uses_left is not None:
            self.uses_left -= 1
        return True


class FakeRegistry(Loopback):
    """The registry. Repositories are named in full: `channel/subdir/name`."""

    def __init__(self, knobs: Knobs | None = None) -> None:
        super().__init__()
        self.knobs = knobs or Knobs()
        self._repositories: dict[str, _Repository] = {}
        self._tokens: dict[str, _Token] = {}

    def add(self, repository: str, image: Image, tag: str | None = None) -> str:
        """Store an image with its blobs under a tag (else its own); give its digest."""
        for data in image.blobs.values():
            self.add_blob(repository, data)
        return self.add_manifest(repository, tag or image.tag, image.manifest, image.media_type)

    def add_repository(self, repository: str) -> None:
        """Make a repository exist, with nothing in it."""
        with self.lock:
            self._repositories.setdefault(repository, _Repository())

    def add_manifest(self, repository: str, reference: str, body: bytes, media_type: str) -> str:
        """Store these very bytes as a manifest, under a tag or only under their digest."""
        digest = digest_of(body)
        with self.lock:
            self.add_repository(repository)
            self._repositories[repository].manifests[digest] = body, media_type
            if ":" not in reference:
                self._repositories[repository].tags[reference] = digest
            elif reference != digest:
                raise ValueError(f"the manifest's digest is {digest}, not {reference}")
        return digest

    def add_blob(self, repository: str, data: bytes) -> str:
        """Store a blob and give its digest."""
        digest = digest_of(data)
        with self.lock:
            self.add_repository(repository)
            self._repositories[repository].blobs[digest] = data
        return digest

    def remove_tag(self, repository: str, tag: str) -> None:
        """Remove a tag; its manifest stays to be had by digest."""
        with self.lock:
            del self._repositories[repository].tags[tag]

    def count(self, kind: str) -> int:
        """How many requests of a kind came in, refused ones included."""
        with self.lock:
            return sum(request.kind == kind for request in self.requests)

    def answer(self, request: Request) -> Answer:
        if request.kind == "token":
            ready = self._grant(request)
        elif not self._let_in(request):
            return self._challenge(request)
        else:
            ready = self._serve(request)
        for fault in self.knobs.faults:
            if fault.applies_to(request):
                fault.fired += 1
                return fault.action(request, ready)
        return ready

    def _serve(self, request: Request) -> Answer:
        if request.kind == "base":
            return Answer(200, JSON, b"{}")
        if request.kind == "catalog" and self.knobs.catalog:
            return self._page(request, self._repositories, lambda page: {"repositories": page})
        if request.kind in ("catalog", "other"):
            return _error(404, "UNSUPPORTED")
        repository = self._repositories.get(request.repository)
        if repository is None:
            return _error(self.knobs.absent_status, "NAME_UNKNOWN")
        answers = {"tags": self._tags, "manifests": _manifest, "blobs": _blob}
        return answers[request.kind](request, repository)

    def _tags(self, request: Request, repository: _Repository) -> Answer:
        null = self.knobs.null_tags and not repository.tags
        return self._page(
            request,
            repository.tags,
            lambda page: {"name": request.repository, "tags": None if null else page},
        )

    def _page(
        self, request: Request, names: Iterable[str], body: Callable[[list[str]], Any]
    ) -> Answer:
        # Any order must go on after a name which was removed since, so it is an order by key.
        order = _scatter if self.knobs.unsorted else str
        last = request.query.get("last")
        rest = sorted((n for n in names if last is None or order(n) > order(last)), key=order)
        limits = [int(request.query["n"])] if "n" in request.query else []
        limits += [self.knobs.page_size] if self.knobs.page_size is not None else []
        size = min(limits, default=len(rest))
        answer = Answer(200, JSON, json.dumps(body(rest[:size])).encode())
        if size >= len(rest):
            return answer
        query = urlencode({"last": rest[size - 1], "n": size})
        origin = self.knobs.link_to or (self.http if self.knobs.link_absolute else "")
        return answer.with_headers(Link=f'<{origin}{request.path}?{query}>; rel="next"')

    def _let_in(self, request: Request) -> bool:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if self.knobs.auth == "token":
            token = self._tokens.get(credentials) if scheme == "Bearer" else None
            return token is not None and token.use(_scope(request))
        return self.knobs.auth is None or self._user_of(request) is not None

    def _challenge(self, request: Request) -> Answer:
        if self.knobs.auth == "basic":
            wanted = 'Basic realm="fake"'
        else:
            origin = self.knobs.realm_to or self.http
            wanted = f'Bearer realm="{origin}/token",service="{self.address}"'
            wanted += f',scope="{_scope(request)}"' if _scope(request) else ""
        return _error(401, "UNAUTHORIZED").with_headers(WWW_Authenticate=wanted)

    def _grant(self, request: Request) -> Answer:
        if self.knobs.auth != "token":
            return _error(404, "UNSUPPORTED")
        named = "authorization" in request.headers
        if self._user_of(request) is None if named else not self.knobs.anonymous:
            return _error(401, "UNAUTHORIZED")
        scopes = frozenset(_normal(scope) for scope in request.query.get("scope", "").split())
        known = {f"repository:{name}:pull" for name in self._repositories}
        absent = any(scope.startswith("repository:") for scope in scopes - known)
        if absent and self.knobs.absent_status != 404:
            return _error(self.knobs.absent_status, "DENIED")
        value = f"token-{len(self._tokens) + 1}"
        deadline = time.monotonic() + self.knobs.expires_in
        self._tokens[value] = _Token(scopes, self.knobs.token_uses, deadline)
        body = {"token": value, "access_token": value, "expires_in": self.knobs.expires_in}
        return Answer(200, JSON, json.dumps(body).encode())

    def _user_of(self, request: Request) -> str | None:
        """The name whose right password the request carries."""
        header = request.headers.get("authorization", "")
        for user, password in self.knobs.users.items():
            if header == f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}":
                return user
        return None


def _manifest(request: Request, repository: _Repository) -> Answer:
    digest = repository.tags.get(request.reference, request.reference)
    stored = repository.manifests.get(digest)
    accepted = request.headers.get("accept", "").split(",")
    # Like distribution's registry: only the very media type will do, not a wildcard.
    if stored is None or stored[1] not in {one.partition(";")[0].strip() for one in accepted}:
        return _error(404, "MANIFEST_UNKNOWN")
    return Answer(200, {"Content-Type": stored[1], **_digest_headers(digest)}, stored[0])


def _blob(request: Request, repository: _Repository) -> Answer:
    data = repository.blobs.get(request.reference)
    if data is None:
        return _error(404, "BLOB_UNKNOWN")
    headers = {"Content-Type": "application/octet-stream", **_digest_headers(request.reference)}
    return Answer(200, headers, data)


def _digest_headers(digest: str) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}


def _error(code: int, name: str) -> Answer:
    body = {"errors": [{"code": name, "message": name.lower().replace("_", " ")}]}
    return Answer(code, JSON, json.dumps(body).encode())


def _scope(request: Request) -> str:
    """The token scope a request needs, or "" where any token will do."""
    if request.kind == "catalog":
        return "registry:catalog:*"
    return f"repository:{request.repository}:pull" if request.repository else ""


def _normal(scope: str) -> str:
    """A scope that was asked for, cut down to reading."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return f"repository:{name}:pull" if kind == "repository" and "pull" in actions else scope


def _scatter(name: str) -> str:
    """A key for an order that looks like none, the same in every run."""
    return hashlib.sha256(name.encode()).hexdigest()
