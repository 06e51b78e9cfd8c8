"""What a registry's JSON answers say."""

from __future__ import annotations

import orjson

from indexer.errors import RegistryError


def strings(body: bytes, key: str, url: str) -> list[str]:
    """A list of names in one page of a listing. Raises RegistryError where there is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RegistryError(f"{url} answered with something that is not JSON: {error}.") from error
    items = document.get(key, ()) if isinstance(document, dict) else ()
    items = [] if items is None else items
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise RegistryError(f"{url} answered with no list of {key}.")
    return items


def detail(body: bytes) -> str:
    """The registry's own words (OCI distribution spec, "Error codes"), short and printable."""
    try:
        error = orjson.loads(body)["errors"][0]
        parts = (error["code"], error.get("message"))
        text = ": ".join(part for part in parts if isinstance(part, str))
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return "".join(char for char in text[:200] if char.isprintable())
