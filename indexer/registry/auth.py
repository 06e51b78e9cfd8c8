"""Answering a registry's 401: basic credentials, or a token for one scope.

Bearer tokens by the distribution project's token specification
(https://distribution.github.io/distribution/spec/auth/token/). oras parses the challenge;
the exchange is done here because oras-py keeps one token for everything and never asks
when it expires (docs/decisions/0003-http.md).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import oras.auth.utils
import orjson

from indexer.errors import DeniedError, LoginError, RegistryError
from indexer.registry.base import Requests
from indexer.registry.exchange import Answer, Clock
from indexer.registry.transport import Transport
from indexer.registry.urls import origin_of

# Registries that answer any anonymous token for public content (Homebrew relies on it for
# GHCR); it saves a token exchange for each repository.
_ANONYMOUS_TOKENS = {"ghcr.io": "QQ=="}

HOW_TO_LOG_IN = "Log in with docker login, or set ORAS_USER and ORAS_PASS."

# Where a token says nothing of its life, the specification gives it 60 seconds.
_DEFAULT_LIFE = 60.0
_MARGIN = 10.0
_MAX_TOKEN = 1024 * 1024
_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    expires: float


class Authorizer:
    """Finds the Authorization header for a repository, for many threads."""

    def __init__(
        self,
        transport: Transport,
        *,
        host: str,
        basic: str | None,
        requests: Requests,
        clock: Clock | None = None,
    ) -> None:
        self._transport = transport
        self._basic = basic
        self._requests = requests
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._realm: tuple[str, str | None] | None = None
        self._wants_basic = False
        self._anonymous = None if basic else _ANONYMOUS_TOKENS.get(host)

    @property
    def is_basic(self) -> bool:
        """Whether the registry wants the password itself."""
        return self._wants_basic

    @property
    def has_asked(self) -> bool:
        """Whether the registry has asked who we are."""
        return self._wants_basic or self._realm is not None

    def has_to_ask(self, scope: str) -> bool:
        """Whether ``header`` would ask for a token."""
        with self._lock:
            token, realm = self._tokens.get(scope), self._realm
        has_basic = self._wants_basic and self._basic
        is_valid = token is not None and self._clock.now() < token.expires
        return realm is not None and not has_basic and not is_valid

    def header(self, scope: str) -> str | None:
        """What to send for this scope, as far as the registry has said what it wants.

        Several scopes in one are separated by spaces.
        """
        if self._wants_basic and self._basic:
            return f"Basic {self._basic}"
        with self._lock:
            token, realm = self._tokens.get(scope), self._realm
        if token is not None and self._clock.now() < token.expires:
            return f"Bearer {token.value}"
        if realm is not None:
            return f"Bearer {self._exchange(scope, realm)}"
        # It opens what is public, and writing never is.
        return f"Bearer {self._anonymous}" if self._anonymous and not _writes(scope) else None

    def answer(self, challenged: Answer, scope: str, *, sent: str | None = None) -> bool:
        """Take in a 401 to a request with ``sent`` as its Authorization.

        True where trying again may help; raises DeniedError where it can't.
        """
        challenge = challenged.headers.get("WWW-Authenticate", "")
        kind = challenge.partition(" ")[0].lower()
        if kind == "basic" and self._basic:
            # Another thread may have seen the challenge first: what counts is this request.
            self._wants_basic = True
            return sent != f"Basic {self._basic}"
        parsed = oras.auth.utils.parse_auth_header(challenge) if kind == "bearer" else None
        if parsed is None or parsed.realm is None:
            return False
        realm = (self._checked_realm(parsed.realm, challenged.url), parsed.service)
        with self._lock:
            self._realm = realm
            self._tokens.pop(scope, None)
        self._exchange(scope, realm)
        return True

    def _checked_realm(self, realm: str, source: str) -> str:
        try:
            scheme, host, _ = origin_of(realm)
        except ValueError:
            scheme, host = "", ""
        if scheme != "https" and urlsplit(source).scheme == "https":
            raise DeniedError(f"{source} wants credentials sent to {realm}, without TLS: refused.")
        if scheme not in {"https", "http"} or not host:
            raise RegistryError(f"{source} names no address to get a token from.")
        return realm

    def _exchange(self, scope: str, realm: tuple[str, str | None]) -> str:
        address, service = realm
        query = [("scope", one) for one in scope.split()]
        query += [("service", service)] if service else []
        url = address + ("&" if "?" in address else "?") + urlencode(query)
        headers = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        self._requests.add("tokens")
        answer = self._transport.request("GET", url, headers=headers, limit=_MAX_TOKEN)
        if answer.status != 200:
            self._refused(answer.status, address, scope)
        value, life = _read_token(answer)
        token = _Token(value, self._clock.now() + max(life - _MARGIN, life / 2))
        with self._lock:
            if len(self._tokens) >= _MAX_TOKENS:
                # There is one a repository, and each repository is read in one go.
                self._tokens.clear()
            self._tokens[scope] = token
        return value

    def _refused(self, status: int, address: str, scope: str) -> None:
        known = "the credentials were" if self._basic else "no credentials are known, and that was"
        text = f"{address} gives no token for {scope}: {known} answered with {status}."
        text += "" if self._basic else f" {HOW_TO_LOG_IN}"
        # A 404 here is a token service that is gone, never an absent repository: absent
        # repositories are passed over, and with all of them the channel would end up empty.
        if status not in {400, 401, 403}:
            raise RegistryError(text)
        # Asked again for each artifact, a wrong password would lock its account.
        is_wrong = status == 401 and self._basic is not None
        is_writer = _writes(scope) and not self._basic
        raise LoginError(text) if is_writer or is_wrong else DeniedError(text)


def _writes(scope: str) -> bool:
    """Whether more than reading is asked for; a repository's name may hold any of the words."""
    return any({"push", "delete"} & {*one.rpartition(":")[2].split(",")} for one in scope.split())


def _read_token(answer: Answer) -> tuple[str, float]:
    url = answer.url.partition("?")[0]
    try:
        document: object = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise RegistryError(f"{url} answered a token request with no JSON.") from error
    fields: Mapping[str, object] = document if isinstance(document, dict) else {}
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise RegistryError(f"{url} answered a token request without a token.")
    life = fields.get("expires_in")
    return value, float(life) if isinstance(life, int | float) and life > 0 else _DEFAULT_LIFE
