"""The next page of a listing, by its Link header (RFC 8288)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from indexer.errors import RegistryError
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
