"""One record in one spelling, whatever tool wrote it, and which of its fields changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from indexer.channel.record import encode
from indexer.errors import ContentError

# Shards have them as bytes, and any of them as null where nobody knows it.
_HASHES = frozenset({"md5", "sha256", "legacy_bz2_md5"})


@dataclass(frozen=True, slots=True)
class Change:
    """A field's value before and after; of one that came or went, one side ``is_absent``."""

    old: Any
    new: Any
    was_absent: bool = False
    is_absent: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON: without the side on which there is no such field."""
        sides = {} if self.was_absent else {"old": self.old}
        return sides if self.is_absent else sides | {"new": self.new}


def spelt(file_name: str, fields: Mapping[str, Any], ignored: frozenset[str]) -> bytes:
    """A record as JSON, the same bytes for the same content in any form of an index.

    Raises ContentError for what can't be JSON.
    """
    same = {}
    for key, value in fields.items():
        if key in ignored or (value is None and key in _HASHES):
            continue
        if isinstance(value, bytes):
            same[key] = value.hex()
        else:
            same[key] = value.lower() if key in _HASHES and isinstance(value, str) else value
    try:
        file_name.encode()
        return encode(same)
    except (ContentError, UnicodeError) as error:
        raise ContentError(f"{file_name[:200]!r} is no record: {error}") from error


def changes(old: bytes, new: bytes) -> dict[str, Change]:
    """The fields in which two spelt records differ; none where they only look different."""
    return changed_values(orjson.loads(old), orjson.loads(new))


def changed_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    """The keys of which two mappings of plain values have other values, in order."""
    found = {}
    for key in sorted(old.keys() | new.keys()):
        absent = key not in old, key not in new
        if any(absent) or encode(_plain(old[key])) != encode(_plain(new[key])):
            found[key] = Change(old.get(key), new.get(key), *absent)
    return found


def _plain(value: Any) -> Any:
    """A value in which 1.0 and 1 are the same number, as they are in JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
