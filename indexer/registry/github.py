"""The GitHub Packages API: which packages an owner has on ghcr.io, which has no catalog.

https://docs.github.com/rest/packages: needs a personal or app token with read:packages;
the token of a workflow run is answered with 400.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

import orjson

from indexer.errors import ContentError, RegistryError, UnsupportedError
from indexer.registry.base import Requests
from indexer.registry.exchange import Answer
from indexer.registry.links import next_page
from indexer.registry.transport import Transport

API = "https://api.github.com"
TOKEN_VARIABLES = ("CF_INDEX_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN")
_MAX_PAGE = 16 * 1024 * 1024
_MAX_PAGES = 10_000


def token_from(environ: Mapping[str, str]) -> str | None:
    """The first token that the environment holds."""
    tokens = (environ.get(name, "").strip() for name in TOKEN_VARIABLES)
    return next((token for token in tokens if token), None)


def container_packages(
    transport: Transport, owner: str, token: str, requests: Requests, *, api: str = API
) -> Iterator[str]:
    """Names of an owner's container packages, such as ``forge/linux-64/zlib``.

    Raises UnsupportedError where the API refuses the token, RegistryError for a listing
    that can't be read to its end.
    """
    refusals = []
    for kind in ("orgs", "users"):
        url = f"{api}/{kind}/{quote(owner, safe='')}/packages?package_type=container&per_page=100"
        first = _get(transport, url, token, requests)
        if first.status == 200:
            yield from _pages(transport, first, token, requests)
            return
        refusals.append(f"{kind}: {first.status}")
    raise UnsupportedError(
        f"GitHub doesn't list the packages of {owner} for this token ({', '.join(refusals)}). "
        "It takes a personal or app token with read:packages in CF_INDEX_GITHUB_TOKEN; "
        "or name the packages with --names FILE."
    )


def _pages(transport: Transport, answer: Answer, token: str, requests: Requests) -> Iterator[str]:
    for _ in range(_MAX_PAGES):
        yield from _names(answer)
        url = next_page(answer, answer.url)
        if url is None:
            return
        answer = _get(transport, url, token, requests)
        if answer.status != 200:
            raise RegistryError(
                f"GitHub's list of packages broke off with {answer.status} at a later page; "
                "try again later."
            )
    raise RegistryError("GitHub's list of packages doesn't end; it is not to be trusted.")


def _get(transport: Transport, url: str, token: str, requests: Requests) -> Answer:
    requests.add("github")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    try:
        return transport.request("GET", url, headers=headers, limit=_MAX_PAGE)
    except ContentError as error:
        raise RegistryError(f"{error}.") from error


def _names(answer: Answer) -> list[str]:
    try:
        document = orjson.loads(answer.body)
        if not isinstance(document, list):
            raise TypeError("not a list")  # noqa: TRY301  one way out
        names = [item["name"] for item in document]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise RegistryError(
            "GitHub answered with something that is no list of packages."
        ) from error
    if not all(isinstance(name, str) for name in names):
        raise RegistryError("GitHub answered with package names that are no strings.")
    return names
