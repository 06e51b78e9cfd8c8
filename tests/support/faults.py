"""What a registry may do: its ways (`Knobs`) and its wrongs (`Fault`, with its matchers).

A fault changes an answer which the fake registry had ready. It never befalls a 401 that asks
for credentials, so its `times` count what a client sees once it is let in. Of several faults
that match, the first whose times aren't used up acts alone: a list of them is a sequence.

A write to which a fault answers in its own words has not happened; one whose own answer is only
changed has. `status`, `closed` and `hang` stand for either, by `stored`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

_RESOURCE = re.compile(r"^/v2/(?P<repo>.+)/(?P<kind>tags|manifests|blobs)/(?P<ref>[^/]+)$")
_UPLOAD = re.compile(r"^/v2/(?P<repo>.+)/blobs/(?P<kind>uploads)/(?P<ref>[^/]*)$")
_PLAIN = {"/v2/": "base", "/v2": "base", "/v2/_catalog": "catalog", "/token": "token"}


READS = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived.

    `kind` is one of tags, manifests, blobs, uploads, catalog, token, base and other. Header names
    are in lower case; a query key that came more than once has its values joined by a space. A
    body that was cut off shows as an empty one.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    kind: str
    repository: str
    reference: str
    body: bytes = field(default=b"", repr=False)


def parse_request(method: str, target: str, headers: Mapping[str, str]) -> Request:
    """Read a request line's target and its headers."""
    parts = urlsplit(target)
    path = unquote(parts.path)
    query = parse_qs(parts.query, keep_blank_values=True)
    found = _RESOURCE.match(path) or _UPLOAD.match(path)
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
    UNANNOUNCED = auto()
    """Without a length: the connection's end is that of the body."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits before the head (`at` None), or after so many bytes of the body, until it may `go`.

    `reached` says that it waits; `gone`, that the client went away meanwhile. One that `breaks`
    doesn't go on then, but closes the connection.
    """

    at: int | None = None
    breaks: bool = False
    go: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server is about to send. `interval` is the pause between two drops of a DRIP.

    `effect` is what the answer says has happened, to be made true before it is sent.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delivery: Delivery = Delivery.WHOLE
    interval: float = 0.05
    effect: Callable[[], None] | None = field(default=None, repr=False)
    pause: Pause | None = None

    def with_headers(self, **headers: str) -> Answer:
        """The same answer with headers set; underscores in a name stand for hyphens."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return replace(self, headers={**self.headers, **named})


Match = Callable[[Request], bool]
Action = Callable[[Request, Answer], Answer]


@dataclass(slots=True)
class Fault:
    """Changes the answer to requests that match, the first `times` of them (None: all).

    `fired` counts how often it did; a test that expects a fault should look at it. One that
    `cuts_body` acts while the request is still coming in.
    """

    match: Match
    times: int | None
    action: Action
    fired: int = 0
    cuts_body: bool = False

    def applies_to(self, request: Request) -> bool:
        """Whether it is this fault's turn."""
        return (self.times is None or self.fired < self.times) and self.match(request)


def befall(faults: Sequence[Fault], request: Request, ready: Answer) -> Answer:
    """What the fault whose turn it is makes of an answer, with its effect had."""
    fault = _in_turn(faults, request)
    if fault is not None:
        fault.fired += 1
        ready = fault.action(request, ready)
    if ready.effect is not None:
        ready.effect()
    return ready


def cut_off(faults: Sequence[Fault], request: Request) -> bool:
    """Whether it is the turn of a fault that cuts the request off before its body has come."""
    fault = _in_turn(faults, request)
    if fault is None or not fault.cuts_body:
        return False
    fault.fired += 1
    return True


def _in_turn(faults: Sequence[Fault], request: Request) -> Fault | None:
    return next((fault for fault in faults if fault.applies_to(request)), None)


@dataclass(slots=True)
class Knobs:
    """How the registry behaves; change any of them at any time.

    `users` are the accepted passwords by name. `anonymous` says whether a token is given without
    one. A token is spent after `token_uses` requests, and `expires_in` seconds in any case.
    `absent_status` is the answer for a repository that doesn't exist; unless it is 404 its
    tokens are refused with it as well, but for who may push, and so make it exist. `link_to` and
    `realm_to` are foreign origins (`http://host:port`) for the next page and for the token service.

    Without `auth` anyone may write. With it, `readers` are the users who may not; whoever gives no
    name may if `anonymous_push`. `delete_action` is what a token must allow for a deletion: real
    registries have an action of its own for it. `upload_location` is how the place of an upload is
    spelled; "query" has a state in it which must come back. Without `mounts` every mount becomes an
    upload, without `ranges` everything is given whole.
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
    readers: set[str] = field(default_factory=set)
    anonymous_push: bool = False
    delete_action: Literal["push", "delete"] = "push"
    upload_location: Literal["relative", "absolute", "query"] = "relative"
    mounts: bool = True
    checks_manifests: bool = True
    deletes: bool = True
    ranges: bool = True
    faults: list[Fault] = field(default_factory=list)


def anything(_request: Request) -> bool:
    """Matches every request."""
    return True


def is_tags(repository: str | None = None) -> Match:
    """Matches a page of tags, of one repository or of any."""
    return _matcher("tags", repository, None)


def is_manifest(repository: str | None = None, reference: str | None = None) -> Match:
    """Matches a manifest, asked for by tag or by digest."""
    return _matcher("manifests", repository, reference, READS)


def is_blob(repository: str | None = None, digest: str | None = None) -> Match:
    """Matches a blob that is asked for."""
    return _matcher("blobs", repository, digest, READS)


def is_upload_start(repository: str | None = None) -> Match:
    """Matches the POST that begins an upload or asks for a mount."""
    return _matcher("uploads", repository, None, {"POST"})


def is_mount(repository: str | None = None) -> Match:
    """Matches the POST that asks for a mount."""
    start = is_upload_start(repository)
    return lambda request: start(request) and "mount" in request.query


def is_upload(repository: str | None = None, digest: str | None = None) -> Match:
    """Matches the PUT that brings a blob."""
    put = _matcher("uploads", repository, None, {"PUT"})
    return lambda request: put(request) and digest in (None, request.query.get("digest"))


def is_manifest_put(repository: str | None = None, reference: str | None = None) -> Match:
    """Matches a manifest that is put under a tag or its digest."""
    return _matcher("manifests", repository, reference, {"PUT"})


def is_delete(repository: str | None = None, digest: str | None = None) -> Match:
    """Matches the deletion of a manifest."""
    return _matcher("manifests", repository, digest, {"DELETE"})


def is_path(path: str) -> Match:
    """Matches one path, as a file host has them."""
    return lambda request: request.path == path


def is_post() -> Match:
    """Matches what is posted, as to a file host that stands for a service."""
    return lambda request: request.method == "POST"


def is_token() -> Match:
    """Matches a request for a token."""
    return _matcher("token", None, None)


def is_catalog() -> Match:
    """Matches a page of the catalog."""
    return _matcher("catalog", None, None)


def is_page_after(match: Match) -> Match:
    """Matches what `match` does, but only from the second page on."""
    return lambda request: match(request) and "last" in request.query


def _matcher(
    kind: str,
    repository: str | None,
    reference: str | None,
    methods: Container[str] = READS,
) -> Match:
    return lambda request: (
        request.kind == kind
        and request.method in methods
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
    stored: bool = False,
) -> Fault:
    """Answer this status instead: `status(429, times=2, headers={"Retry-After": "1"})`.

    With `stored`, only after a write was taken in: who tries again finds it there.
    """

    def action(_request: Request, ready: Answer) -> Answer:
        return Answer(code, headers or {}, body, effect=ready.effect if stored else None)

    return Fault(match, times, action)


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
        if body:
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


def closed(*, match: Match = anything, times: int | None = None, stored: bool = False) -> Fault:
    """Close the connection without an answer, after the whole request was read."""
    return _silence(Delivery.CLOSED, match, times, stored=stored)


def hang(*, match: Match = anything, times: int | None = None, stored: bool = False) -> Fault:
    """Never answer; the connection is closed when the server stops."""
    return _silence(Delivery.HANG, match, times, stored=stored)


def cut_body(*, match: Match, times: int | None = None) -> Fault:
    """Close the connection when half of the request's body has come in."""
    fault = closed(match=match, times=times)
    fault.cuts_body = True
    return fault


def drip(*, match: Match, times: int | None = None, interval: float = 0.05) -> Fault:
    """Send the body byte by byte: no single read ever times out."""
    return _delivery(Delivery.DRIP, match, times, interval)


def _silence(delivery: Delivery, match: Match, times: int | None, *, stored: bool) -> Fault:
    def action(_request: Request, ready: Answer) -> Answer:
        return replace(ready, delivery=delivery, effect=ready.effect if stored else None)

    return Fault(match, times, action)


def _delivery(delivery: Delivery, match: Match, times: int | None, interval: float = 0.05) -> Fault:
    return Fault(
        match,
        times,
        lambda _request, ready: replace(ready, delivery=delivery, interval=interval),
    )
