"""Where an answer leads: the next page of a listing (Link, RFC 8288), the rest of an upload."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from indexer.errors import RefusedError, RegistryError
from indexer.registry.exchange import Answer
from indexer.registry.urls import origin_of, shown

# requests' own parser cuts an address at a ";" within its brackets.
_LINK = re.compile(r"""<([^>]*)>[^<]*?;\s*rel\s*=\s*["']?([^"';,<]*)""", re.IGNORECASE)


def next_page(answer: Answer, url: str) -> str | None:
    """The address of the page after the one at ``url``; None at the end.

    Raises RegistryError for a Link that can't be read or leads to another server: taking it
    for the end would make the listing look complete.
    """
    header = answer.headers.get("Link")
    if header is None:
        return None
    try:
        found = [url for url, rel in _LINK.findall(header) if "next" in rel.lower().split()]
        target = urljoin(url, found[0]) if found else None
        if target is not None and origin_of(target) != origin_of(url):
            raise RegistryError(
                f"The next page of {shown(url)} is said to be on another server: not followed. "
                "The listing is incomplete."
            )
    except ValueError as error:
        raise RegistryError(f"{shown(url)} answered with a Link that can't be read.") from error
    if target is None and "next" in header.lower():
        raise RegistryError(f"{shown(url)} answered with a Link that can't be read.")
    return target


def upload_target(answer: Answer, origin: str) -> str:
    """Where an upload to the registry at ``origin`` goes on, by its Location.

    It may be relative or absolute, with or without a query. Raises RefusedError where that leads
    nowhere, or out of https.
    """
    text = answer.headers.get("Location", "")
    try:
        target = urlsplit(urljoin(answer.url, text))
        asked = urlsplit(answer.url)
        is_downgraded = asked.scheme == "https" and target.scheme == "http"
        if is_downgraded and target.hostname == asked.hostname:
            # Behind a proxy that does TLS for it, a registry may not know of it.
            target = target._replace(scheme=asked.scheme, netloc=asked.netloc)
        target = target._replace(fragment="")
        is_safe = target.scheme == "https" or target.scheme == asked.scheme == "http"
        # Read here, because a bad one raises.
        is_safe = is_safe and target.port != 0
    except ValueError:
        is_safe = False
    if not text or not is_safe or not target.hostname:
        raise RefusedError(f"{origin} began an upload that leads nowhere.")
    return target.geturl()
