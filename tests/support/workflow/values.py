"""How GitHub's expressions compare and convert values, and the functions they may call."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any


class HarnessError(Exception):
    """A workflow has something that the harness doesn't know, or that GitHub would refuse."""


class Known(dict[str, Any]):
    """A context whose names are all known: another name is a mistake, not nothing."""


def truth(value: Any) -> bool:
    """Whether a value counts as true: all but null, false, 0, NaN and the empty string."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return value != 0 and not math.isnan(value)
    return value is not None and value is not False and value != ""


def number(value: Any) -> float:
    """A value as a number, as comparison takes it; NaN for what is none."""
    if value is None or value == "":
        return 0.0
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value.strip())
        except ValueError:
            return float("nan")
    return float("nan")


def text(value: Any) -> str:
    """A value inside a string. Raises HarnessError for lists and mappings: they show as "Array"."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    raise HarnessError(f"a {type(value).__name__} is put into a string: {value!r}")


def equal(one: Any, other: Any) -> bool:
    """Loose equality: strings without case, unlike types as numbers."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if type(one) is type(other) and isinstance(one, dict | list):
        return one is other
    if type(one) is type(other):
        return bool(one == other)
    return number(one) == number(other)


def less(one: Any, other: Any) -> bool:
    """Whether a value comes before another."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() < other.lower()
    return number(one) < number(other)


def _contains(within: Any, item: Any) -> bool:
    if isinstance(within, list):
        return any(equal(one, item) for one in within)
    return text(item).lower() in text(within).lower()


def _format(pattern: Any, *arguments: Any) -> str:
    def put(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        return text(arguments[int(found[1])])

    return re.sub(r"\{\{|\}\}|\{(\d+)\}", put, text(pattern))


def _join(items: Any, separator: Any = ",") -> str:
    if isinstance(items, dict):
        return ""
    if not isinstance(items, list):
        return text(items)
    # A payload may hold anything.
    kinds = {"dict": "Object", "list": "Array"}
    return text(separator).join(kinds.get(type(item).__name__) or text(item) for item in items)


def _from_json(value: Any) -> Any:
    try:
        return json.loads(text(value))
    except ValueError as error:
        raise HarnessError(f"fromJSON of {value!r}: {error}") from error


def _to_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "contains": _contains,
    "startswith": lambda whole, part: text(whole).lower().startswith(text(part).lower()),
    "endswith": lambda whole, part: text(whole).lower().endswith(text(part).lower()),
    "format": _format,
    "join": _join,
    "fromjson": _from_json,
    "tojson": _to_json,
}
"""What may be called anywhere, by its name in lower case; hashFiles isn't among them."""

STATUS = frozenset({"always", "success", "failure", "cancelled"})
"""The functions that ask how things went; one of them in an `if` replaces the success() implied."""
