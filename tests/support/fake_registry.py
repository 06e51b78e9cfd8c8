"""An OCI registry inside the test process, filled from memory, with knobs for real ones' ways.

Content gets in by `FakeRegistry.add` and its neighbours, or by the protocol; `manifest_of` and
its neighbours show what came in. What it was asked is in `requests`; what it should do wrong goes
into `knobs.faults`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from demo.layers import Image, digest_of
from tests.support.faults import READS, Answer, Knobs, Request, befall, cut_off
from tests.support.loopback import Loopback
from tests.support.ranges import ranged
from tests.support.repository import JSON, Repository, blob_answer, error, manifest_answer
from tests.support.writing import Terms, Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(slots=True)
class _Token:
    scopes: frozenset[str]
    uses_left: int | None
    deadline: float

    def opens(self, scope: str) -> bool:
        """Whether the token is good for all that a scope names."""
        if self.uses_left == 0 or time.monotonic() >= self.deadline:
            return False
        return _single(scope) <= self.scopes

    def spend(self) -> None:
        """Use the token once."""
        if self.uses_left is not None:
            self.uses_left -= 1


class FakeRegistry(Loopback):
    """The registry. Repositories are named in full: `channel/subdir/name`."""

    def __init__(self, knobs: Knobs | None = None) -> None:
        super().__init__()
        self.knobs = knobs or Knobs()
        self._repositories: dict[str, Repository] = {}
        self._writing = Writing(self._repositories)
        self._tokens: dict[str, _Token] = {}

    def add(self, repository: str, image: Image, tag: str | None = None) -> str:
        """Store an image with its blobs under a tag (else its own); give its digest."""
        for data in image.blobs.values():
            self.add_blob(repository, data)
        return self.add_manifest(repository, tag or image.tag, image.manifest, image.media_type)

    def add_repository(self, repository: str) -> None:
        """Make a repository exist, with nothing in it."""
        with self.lock:
            self._repositories.setdefault(repository, Repository())

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

    def manifest_of(self, repository: str, tag: str) -> dict[str, Any]:
        """The manifest that a tag leads to."""
        with self.lock:
            stored = self._repositories[repository]
            manifest: dict[str, Any] = json.loads(stored.manifests[stored.tags[tag]][0])
        return manifest

    def tags_of(self, repository: str) -> list[str]:
        """The tags of a repository, none where it doesn't exist."""
        with self.lock:
            stored = self._repositories.get(repository)
            return sorted(stored.tags) if stored else []

    def blob_of(self, repository: str, digest: str) -> bytes | None:
        """A blob, if the repository has it."""
        with self.lock:
            stored = self._repositories.get(repository)
            return stored.blobs.get(digest) if stored else None

    def count(self, kind: str, method: str | None = None) -> int:
        """How many requests of a kind came in, by one method or any, refused ones included."""
        with self.lock:
            return sum(
                request.kind == kind and method in (None, request.method)
                for request in self.requests
            )

    def cuts(self, request: Request) -> bool:
        cut = self._opens(request) and cut_off(self.knobs.faults, request)
        if cut:
            self._writing.forget(request)
        return cut

    def answer(self, request: Request) -> Answer:
        if request.kind == "token":
            ready = self._grant(request)
        elif not self._opens(request):
            return self._challenge(request)
        else:
            token = self._token_of(request)
            ready = self._serve(request)
            if token is not None:
                token.spend()
        return befall(self.knobs.faults, request, ready)

    def _serve(self, request: Request) -> Answer:
        if request.method not in READS:
            may_pull = partial(self._allows, request, "pull")
            return self._writing.take(request, Terms(self.knobs, self.http, may_pull))
        if request.kind == "base":
            return Answer(200, JSON, b"{}")
        if request.kind == "catalog" and self.knobs.catalog:
            return self._page(request, self._repositories, lambda page: {"repositories": page})
        if request.kind in ("catalog", "uploads", "other"):
            return error(404, "UNSUPPORTED")
        repository = self._repositories.get(request.repository)
        if repository is None:
            return error(self._absent_status(request), "NAME_UNKNOWN")
        answers = {"tags": self._tags, "manifests": manifest_answer, "blobs": blob_answer}
        answer = answers[request.kind](request, repository)
        whole = request.kind != "blobs" or answer.status != 200 or not self.knobs.ranges
        return answer if whole else ranged(request, answer)

    def _absent_status(self, request: Request) -> int:
        # Nothing is hidden from who could make it exist.
        may_push = self.knobs.auth == "token" and self._allows(request, "push", request.repository)
        return 404 if may_push else self.knobs.absent_status

    def _tags(self, request: Request, repository: Repository) -> Answer:
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

    def _opens(self, request: Request) -> bool:
        """Whether a request carries what it takes to be answered."""
        if self.knobs.auth == "token":
            token = self._token_of(request)
            return token is not None and token.opens(self._scope(request))
        if self.knobs.auth is None:
            return True
        user = self._user_of(request)
        return user is not None and (request.method in READS or user not in self.knobs.readers)

    def _allows(self, request: Request, action: str, repository: str) -> bool:
        """Whether a request that was let in may do this to a repository, too."""
        token = self._token_of(request)
        return token is None or token.opens(f"repository:{repository}:{action}")

    def _token_of(self, request: Request) -> _Token | None:
        """The token that a request carries where tokens are looked at."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        wanted = self.knobs.auth == "token" and scheme == "Bearer"
        return self._tokens.get(value) if wanted else None

    def _scope(self, request: Request) -> str:
        """The token scope a request needs, or "" where any token will do."""
        if request.kind == "catalog":
            return "registry:catalog:*"
        if not request.repository:
            return ""
        actions = "pull" if request.method in READS else "pull,push"
        if request.method == "DELETE" and self.knobs.delete_action == "delete":
            actions = "delete"
        return f"repository:{request.repository}:{actions}"

    def _challenge(self, request: Request) -> Answer:
        if self.knobs.auth == "basic":
            wanted = 'Basic realm="fake"'
        else:
            origin = self.knobs.realm_to or self.http
            wanted = f'Bearer realm="{origin}/token",service="{self.address}"'
            scope = self._scope(request)
            if "mount" in request.query and "from" in request.query:
                scope += f" repository:{request.query['from']}:pull"
            wanted += f',scope="{scope}"' if scope else ""
        return error(401, "UNAUTHORIZED").with_headers(WWW_Authenticate=wanted)

    def _grant(self, request: Request) -> Answer:
        if self.knobs.auth != "token" or request.method not in READS:
            return error(404, "UNSUPPORTED")
        user, named = self._user_of(request), "authorization" in request.headers
        if user is None if named else not self.knobs.anonymous:
            return error(401, "UNAUTHORIZED")
        scopes = _single(request.query.get("scope", ""))
        may_push = self.knobs.anonymous_push if user is None else user not in self.knobs.readers
        if not may_push:
            scopes = frozenset(one for one in scopes if not one.endswith((":push", ":delete")))
        known = self._repositories.keys() | {_named(one) for one in scopes if one.endswith(":push")}
        absent = {_named(one) for one in scopes if one.startswith("repository:")} - known
        if absent and self.knobs.absent_status != 404:
            return error(self.knobs.absent_status, "DENIED")
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


def _single(scopes: str) -> frozenset[str]:
    """Scopes taken apart into such as allow a single action."""
    parted = [scope.rpartition(":") for scope in scopes.split()]
    return frozenset(f"{of}:{action}" for of, _, actions in parted for action in actions.split(","))


def _named(scope: str) -> str:
    """The repository that a scope is for."""
    return scope.partition(":")[2].rpartition(":")[0]


def _scatter(name: str) -> str:
    """A key for an order that looks like none, the same in every run."""
    return hashlib.sha256(name.encode()).hexdigest()
