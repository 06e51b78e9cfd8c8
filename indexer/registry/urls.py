"""Addresses: whose they are, what may be shown of them, and where a redirect may lead."""

from __future__ import annotations

import functools
import re
from urllib.parse import urljoin, urlsplit

# Where conda has the token of a channel that isn't everybody's.
_USER = re.compile(r"://[^/@]*@")
_TOKEN = re.compile(r"(?<=/t/)[^/]+")
# Whatever follows its slash, the server is the same.
_PLAIN_BEGINNING = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?=/)")


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, by which credentials are kept to one server. Raises ValueError."""
    # Asked several times for each request, of addresses that begin alike.
    match = _PLAIN_BEGINNING.match(url)
    return _origin_of(match[0] if match else url)


@functools.lru_cache(maxsize=256)
def _origin_of(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def redirect_target(source: str, location: str) -> str | None:
    """Where a redirect leads; None where it mustn't be followed, as from https to http."""
    try:
        target = urljoin(source, location)
        scheme, host, _ = origin_of(target)
    except ValueError:
        return None
    followed = scheme == "https" or (scheme == "http" == urlsplit(source).scheme)
    return target if host and followed else None


def shown(url: str) -> str:
    """The address without its query, which may hold a signature, and without conda's token.

    Nor is a user or password in it shown.
    """
    return _TOKEN.sub("...", _USER.sub("://...@", url.partition("?")[0]))
