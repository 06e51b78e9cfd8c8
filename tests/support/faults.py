"""What a registry may do: its ways (`Knobs`) and its wrongs (`Fault`, with its matchers).

A fault changes an answer which the fake registry had ready. It never befalls a 401 that asks
for credentials, so its `times` count what a client sees once it is let in. Of several faults
that match, the first whose times aren't used up acts alone: a list of them is a sequence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

_RESOURCE = re.compile(r"^/v2/(?P<repo>.+)/(?P<kind>tags|manifests|blobs)/(?P<ref>[^/]+)$")
_PLAIN = {"/v2/": "base", "/v2": "base", "/v2/_catalog": "catalog", "/token": "token"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived.

    `kind` is one of tags, manifests, blobs, catalog, token, base and other. Header names are in
    lower case; a query key that came more than once has its values joined by a space.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    kind: str
    repository: str
    reference: str


def parse_request(method: str, target: str, headers: Mapping[str, str]) -> Request:
    """Read a request line's target and its headers."""
    parts = urlsplit(target)
    path = unquote(parts.path)
    query = parse_qs(parts.query, keep_blank_values=True)
    found = _RESOURCE.match(path)
    return Request(
        method=method,
        path=path,
        query={key: " ".join(values) for key, values in query.items()},
        headers={key.lower(): value for key, value in headers.items()},
        kind=found["kind"] if found else _PLAIN.get(path, "other"),
        repository=found["repo"] if found else "",
        reference=found["ref"] if found else "",
    )


class Delivery(Enum):
    """How an answer gets onto the wire."""

    WHOLE = auto()
    TRUNCATED = auto()
    """The length of the whole body is announced, half of it sent, the connection closed."""
    CLOSED = auto()
    """The connection is closed without an answer."""
    HANG = auto()
    """Nothing is sent until the server stops."""
    DRIP = auto()
    """One byte of the body at a time, until the server stops or the body ends."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server is about to send. `interval` is the pause between two drops of a DRIP."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delivery: Delivery = Delivery.WHOLE
    interval: float = 0.05

    def with_headers(self, **headers: str) -> Answer:
        """The same answer with headers set; underscores in a name stand for hyphens."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return replace(self, headers={**self.headers, **named})


Match = Callable[[Request], bool]
Action = Callable[[Request, Answer], Answer]


@dataclass(slots=True)
class Fault:
    """Changes the answer to requests that match, the first `times` of them (None: all).

    `fired` counts how often it did; a test that expects a fault should look at it.
    """

    match: Match
    times: int | None
    action: Action
    fired: int = 0

    def applies_to(self, request: Request) -> bool:
        """Whether it is this fault's turn."""
        return (self.times is None or self.fired < self.times) and self.match(request)


@dataclass(slots=True)
class Knobs:
    """How the registry behaves; change any of them at any time.

    `users` are the accepted passwords by name. `anonymous` says whether a token is given without
    one. A token is spent after `token_uses` requests, and `expires_in` seconds in any case.
    `absent_status` is the answer for a repository that doesn't exist; unless it is 404 its
    tokens are refused with it as well. `link_to` and `realm_to` are foreign origins
    (`http://host:port`) for the next page and for the token service.
    """

    page_size: int | None = None
    link_absolute: bool = False
    link_to: str | None = None
    unsorted: bool = False
    null_tags: bool = False
    catalog: bool = True
    auth: Literal["token", "basic"] | None = None
    users: dict[str, str] = field(default_factory=dict)
    anonymous: bool = True
    token_uses: int | None = None
    expires_in: int = 300
    realm_to: str | None = None
    absent_status: int = 404
    faults: list[Fault] = field(default_factory=list)


def anything(_request: Request) -> bool:
    """Matches every request."""
    return True


def is_tags(repository: str | None = None) -> Match:
    """Matches a page of tags, of one repository or of any."""
    return _matcher("tags", repository, None)


def is_manifest(repository: str | None = None, reference: str | None = None) -> Match:
    """Matches a manifest, asked for by tag or by digest."""
    return _matcher("manifests", repository, reference)


def is_blob(repository: str | None = None, digest: str | None = None) -> Match:
    """Matches a blob."""
    return _matcher("blobs", repository, digest)


def is_token() -> Match:
    """Matches a request for a token."""
    return _matcher("token", None, None)


def is_catalog() -> Match:
    """Matches a page of the catalog."""
    return _matcher("catalog", None, None)


def is_page_after(match: Match) -> Match:
    """Matches what `match` does, but only from the second page on."""
    return lambda request: match(request) and "last" in request.query


def _matcher(kind: str, repository: str | None, reference: str | None) -> Match:
    return lambda request: (
        request.kind == kind
        and repository in (None, request.repository)
        and reference in (None, request.reference)
    )


def status(
    code: int,
    *,
    match: Match = anything,
    times: int | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Fault:
    """Answer this status instead: `status(429, times=2, headers={"Retry-After": "1"})`."""
    return Fault(match, times, lambda _request, _ready: Answer(code, headers or {}, body))


def replace_body(
    body: bytes, *, match: Match, times: int | None = None, content_type: str | None = None
) -> Fault:
    """Send other bytes, under the honest headers."""

    def action(_request: Request, ready: Answer) -> Answer:
        changed = replace(ready, body=body)
        return changed.with_headers(Content_Type=content_type) if content_type else changed

    return Fault(match, times, action)


def tampered(*, match: Match, times: int | None = None) -> Fault:
    """Flip one bit in the middle of the body: the length stays, the digest doesn't."""

    def action(_request: Request, ready: Answer) -> Answer:
        body = bytearray(ready.body)
        body[len(body) // 2] ^= 1
        return replace(ready, body=bytes(body))

    return Fault(match, times, action)


def wrong_digest_header(
    *, match: Match, times: int | None = None, digest: str = f"sha256:{'0' * 64}"
) -> Fault:
    """Name another digest in Docker-Content-Digest, beside the honest body."""
    return Fault(
        match, times, lambda _request, ready: ready.with_headers(Docker_Content_Digest=digest)
    )


def redirect(
    to: str | Callable[[Request], str], *, match: Match, times: int | None = None, code: int = 307
) -> Fault:
    """Send the client elsewhere, as registries do whose blobs lie in an object store."""

    def action(request: Request, _ready: Answer) -> Answer:
        return Answer(code, {"Location": to if isinstance(to, str) else to(request)})

    return Fault(match, times, action)


def truncated(*, match: Match, times: int | None = None) -> Fault:
    """Announce the whole body, send half of it and close."""
    return _delivery(Delivery.TRUNCATED, match, times)


def closed(*, match: Match = anything, times: int | None = None) -> Fault:
    """Close the connection without an answer."""
    return _delivery(Delivery.CLOSED, match, times)


def hang(*, match: Match = anything, times: int | None = None) -> Fault:
    """Never answer; the connection is closed when the server stops."""
    return _delivery(Delivery.HANG, match, times)


def drip(*, match: Match, times: int | None = None, interval: float = 0.05) -> Fault:
    """Send the body byte by byte: no single read ever times out."""
    return _delivery(Delivery.DRIP, match, times, interval)


def _delivery(delivery: Delivery, match: Match, times: int | None, interval: float = 0.05) -> Fault:
    return Fault(
        match,
        times,
        lambda _request, ready: replace(ready, delivery=delivery, interval=interval),
    )
