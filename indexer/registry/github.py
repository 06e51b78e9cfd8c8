"""The GitHub Packages API: which packages an owner has on ghcr.io, and when each changed.

https://docs.github.com/rest/packages: needs a personal or app token with read:packages;
the token of a workflow run is answered with 400. It lists no more than 10,000 packages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from indexer.errors import ContentError, RegistryError, UnsupportedError
from indexer.registry.base import Requests
from indexer.registry.exchange import Answer
from indexer.registry.links import next_page
from indexer.registry.transport import Transport

API = "https://api.github.com"
# Registries whose packages such an API lists, by host.
APIS = {"ghcr.io": API}
TOKEN_VARIABLES = ("CF_INDEX_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN")
_MAX_PAGE = 16 * 1024 * 1024
_MAX_PAGES = 10_000
_PER_PAGE = 100
# "The value of per_page multiplied by page cannot be greater than 10000": what lies beyond is
# refused with 400.
_LAST_PAGE = 100
# RFC 3339 in UTC, as GitHub writes it.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z")
_MAX_VERSIONS = 10**9


@dataclass(frozen=True, slots=True)
class Stamp:
    """What GitHub says of a package's last change.

    ``text`` differs from what it was before when something has changed: ``updated_at`` in
    GitHub's own words, and how many versions there are. ``seconds`` is the former since 1970.
    """

    text: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the owner's, such as ``forge/linux-64/zlib``; its stamp, if it has one."""

    name: str
    stamp: Stamp | None


def token_from(environ: Mapping[str, str]) -> str | None:
    """The first token that the environment holds."""
    tokens = (environ.get(name, "").strip() for name in TOKEN_VARIABLES)
    return next((token for token in tokens if token), None)


def container_packages(
    transport: Transport,
    owner: str,
    token: str,
    requests: Requests,
    *,
    api: str = API,
    patient: bool = True,
) -> Iterator[Package]:
    """An owner's container packages. Unless ``patient``, nothing is asked twice.

    Raises UnsupportedError where the API refuses the token or, after the last it gives, the
    rest of a list as long as that; RegistryError for one that can't be read to its end.
    """
    refusals = []
    ask = partial(_get, transport, token=token, requests=requests, patient=patient)
    for kind in ("orgs", "users"):
        query = f"package_type=container&per_page={_PER_PAGE}"
        url = f"{api}/{kind}/{quote(owner, safe='')}/packages?{query}"
        first = ask(url)
        if first.status == 200:
            yield from _pages(first, ask)
            return
        refusals.append(f"{kind}: {first.status}")
    raise UnsupportedError(
        f"GitHub doesn't list the packages of {owner} for this token ({', '.join(refusals)}). "
        "It takes a personal or app token with read:packages in CF_INDEX_GITHUB_TOKEN; "
        "or name the packages with --names FILE."
    )


def _pages(answer: Answer, ask: Callable[[str], Answer]) -> Iterator[Package]:
    seen: set[str] = set()
    for number in range(1, _MAX_PAGES + 1):
        packages = _packages(answer)
        yield from packages
        url = next_page(answer, answer.url)
        if url in seen:
            break
        seen.add(url or "")
        if url is None:
            if number == _LAST_PAGE and len(packages) >= _PER_PAGE:
                raise _too_many()
            return
        answer = ask(url)
        if answer.status == 400 and number == _LAST_PAGE:
            raise _too_many()
        if answer.status != 200:
            raise RegistryError(
                f"GitHub's list of packages broke off with {answer.status} at a later page; "
                "try again later."
            )
    raise RegistryError("GitHub's list of packages doesn't end; it is not to be trusted.")


def _too_many() -> UnsupportedError:
    return UnsupportedError(
        f"GitHub lists the first {_LAST_PAGE * _PER_PAGE:,} packages of an owner and no more; "
        "name the packages with --names FILE."
    )


def _get(
    transport: Transport, url: str, *, token: str, requests: Requests, patient: bool
) -> Answer:
    requests.add("github")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    try:
        ask = transport.request if patient else transport.once
        return ask("GET", url, headers=headers, limit=_MAX_PAGE)
    except ContentError as error:
        raise RegistryError(f"{error}.") from error


def _packages(answer: Answer) -> list[Package]:
    try:
        document = orjson.loads(answer.body)
        if not isinstance(document, list):
            raise TypeError("not a list")  # noqa: TRY301  one way out
        packages = [Package(item["name"], _stamp(item)) for item in document]
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise RegistryError(
            "GitHub answered with something that is no list of packages."
        ) from error
    if not all(isinstance(package.name, str) for package in packages):
        raise RegistryError("GitHub answered with package names that are no strings.")
    return packages


def _stamp(item: Mapping[str, Any]) -> Stamp | None:
    """When a package changed; None where that can't be read."""
    text = item.get("updated_at")
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        # No date of the calendar, or no second of the day.
        seconds = int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None
    # It is all that shows a second change within one second.
    versions = item.get("version_count")
    if type(versions) is int and 0 <= versions < _MAX_VERSIONS:
        text = f"{text}, {versions} versions"
    return Stamp(text, seconds)
