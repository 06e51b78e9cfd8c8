"""What clients would miss in a single record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from indexer.channel.index_json import against_fields, against_parsing
from indexer.channel.record import section_of

_HEX64 = re.compile(r"[0-9a-f]{64}")
_HEX32 = re.compile(r"[0-9a-f]{32}")


def against_record(section: str, file_name: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """What clients would miss in a record of repodata.json."""
    for key in ("name", "version", "build"):
        if not isinstance(fields.get(key), str):
            yield f"no {key}"
    for key in ("build_number", "size"):
        if type(fields.get(key)) is not int or fields[key] < 0:
            yield f"no {key}"
    yield from _against_hashes(fields)
    yield from _against_specs(fields)
    try:
        if reason := against_fields(fields):
            yield f"refused by a client's parser: {reason}"
    except TypeError as error:
        yield f"can't be encoded: {error}"
    stem = f"{fields.get('name')}-{fields.get('version')}-{fields.get('build')}"
    if file_name not in {f"{stem}.conda", f"{stem}.tar.bz2"}:
        yield f"its file name isn't that of {stem[:200]}"
    elif section != section_of(file_name):
        yield f"is in section {section}"


def _against_specs(fields: Mapping[str, Any]) -> Iterator[str]:
    for key in ("depends", "constrains"):
        specs = fields.get(key)
        for spec in specs if isinstance(specs, list) else ():
            if isinstance(spec, str) and (reason := against_parsing(spec)):
                yield f"{key}: {spec[:80]!r}: {reason}"


def _against_hashes(fields: Mapping[str, Any]) -> Iterator[str]:
    for key, pattern in (("sha256", _HEX64), ("md5", _HEX32)):
        value = fields.get(key)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            yield f"{key} isn't one"
    if fields.get("sha256") is None and fields.get("md5") is None:
        yield "no hash at all"
