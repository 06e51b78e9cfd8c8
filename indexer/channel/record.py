"""A package record: what repodata says of one archive (CEP 36, "Package record metadata")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from indexer.errors import ContentError

CONDA = ".conda"
TARBZ2 = ".tar.bz2"
EXTENSIONS = (CONDA, TARBZ2)
INDEXED = "indexed_timestamp"
# The end of the year 9999, in seconds since 1970: no time in a record is later.
LAST_SECOND = 253_402_300_799


def section_of(file_name: str) -> str:
    """The key of repodata.json that lists this file."""
    return "packages" if file_name.endswith(TARBZ2) else "packages.conda"


def name_version_build(file_name: str) -> tuple[str, str, str]:
    """What a package file's name is made of (CEP 26); ValueError where it is no such name."""
    name, version, build = file_name.removesuffix(CONDA).removesuffix(TARBZ2).rsplit("-", 2)
    return name, version, build


def encode(fields: object) -> bytes:
    """JSON with sorted keys, so that the same content is the same bytes (DESIGN decision 8).

    Raises ContentError for what has no such form: nested too deep, no Unicode, beyond 64 bits.
    """
    try:
        # A copy, since what orjson gives takes up to 8 KiB more than its length: measured, 81 MB
        # for 20,000 records, which are 7 MB.
        return bytes(bytearray(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)))
    except TypeError as error:
        raise ContentError(f"can't be encoded: {error}") from error


@dataclass(frozen=True, slots=True)
class Record:
    """One archive as a registry describes it: everything but when it entered the index.

    ``body`` is the record's JSON, encoded once; ``name`` is the package's name.
    """

    file_name: str
    name: str
    sha256: str
    body: bytes

    @classmethod
    def make(cls, file_name: str, fields: Mapping[str, Any]) -> Record:
        """A record of fields that have been checked."""
        return cls(file_name, str(fields["name"]), str(fields["sha256"]), encode(fields))

    def fields(self) -> dict[str, Any]:
        """The record as a mapping."""
        fields: dict[str, Any] = orjson.loads(self.body)
        return fields

    def indexed(self, milliseconds: int) -> Record:
        """The record as it is published: with the time it entered the index (CEP 47)."""
        return Record.make(self.file_name, self.fields() | {INDEXED: milliseconds})
