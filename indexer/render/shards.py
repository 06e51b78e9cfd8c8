"""Sharded repodata (CEP 16): one shard a package name, and the index of all shards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgpack

from indexer.channel.record import Record, section_of
from indexer.errors import ContentError
from indexer.render import zstd

INDEX_NAME = "repodata_shards.msgpack.zst"
FOLDER = "shards"
SUFFIX = ".msgpack.zst"
# conda reads no more than this of a decompressed shard and index.
MAX_SHARD = 16 * 1024 * 1024
MAX_INDEX = 128 * 1024 * 1024
# Values in a message from elsewhere; a real shard of 10,000 builds has a quarter of that.
MAX_VALUES = 1_000_000
# Nearly all of it is hashes: at 25,000 names, level 3 takes 5 ms where 8 takes 16, for 1 % less.
_INDEX_LEVEL = 3
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")
_HASHES = {"sha256": 32, "md5": 16}


def pack_shard(records: Iterable[Record]) -> bytes:
    """A shard before compression: every map sorted, hashes as bytes."""
    return pack_fields({record.file_name: record.fields() for record in records})


def pack_fields(records: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The same of records as mappings, by file name; the keys of each are in order."""
    shard: dict[str, Any] = {"packages": {}, "packages.conda": {}, "removed": []}
    for file_name in sorted(records):
        fields = {
            key: bytes.fromhex(value) if key in _HASHES and isinstance(value, str) else value
            for key, value in records[file_name].items()
        }
        shard[section_of(file_name)][file_name] = fields
    packed: bytes = msgpack.packb(shard)
    return packed


def packed_size(record: Record) -> int:
    """How many bytes a record adds to its shard, at most."""
    return len(pack_shard([record]))


def open_shard(data: bytes, digest: str) -> bytes:
    """Decompress a shard's file. Raises ContentError where it isn't that of this sha256 (hex)."""
    if hashlib.sha256(data).hexdigest() != digest:
        raise ContentError("doesn't have its sha256")
    return zstd.decompress(data, MAX_SHARD)


def unpack_shard(packed: bytes) -> dict[str, Record]:
    """The records of a decompressed shard, by file name. Raises ContentError where it isn't one."""
    return {name: _record(name, fields) for name, fields in shard_entries(packed)}


def unpack_fields(packed: bytes) -> dict[str, dict[str, Any]]:
    """The same as plain values, of a shard whose records are known to be sound.

    Raises ContentError where it isn't a shard.
    """
    found = dict(shard_entries(packed))
    for file_name, fields in found.items():
        spell_hashes(file_name, fields)
    return found


def shard_entries(packed: bytes, values: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """File names and fields of a decompressed shard; of the fields nothing is checked yet.

    With ``values`` it may have no more than that many of them in all. Raises ContentError where
    it isn't a shard.
    """
    shard = _unpack(packed, values)
    for section in ("packages", "packages.conda"):
        entries = shard.get(section)
        if not isinstance(entries, dict):
            raise ContentError(f"a shard without a map of {section}")
        for file_name, fields in entries.items():
            if not isinstance(file_name, str) or not isinstance(fields, dict):
                raise ContentError(f"a shard whose {section} are not records by file name")
            yield file_name, fields


def spell_hashes(file_name: str, fields: dict[str, Any]) -> None:
    """Turn a shard's hashes from bytes into hex. Raises ContentError where they aren't any."""
    for key, length in _HASHES.items():
        value = fields.get(key)
        if value is not None and (not isinstance(value, bytes) or len(value) != length):
            raise ContentError(f"{file_name}: {key} is not {length} bytes")
        fields[key] = None if value is None else value.hex()


def _record(file_name: str, fields: dict[str, Any]) -> Record:
    spell_hashes(file_name, fields)
    if not isinstance(fields["sha256"], str) or not isinstance(fields.get("name"), str):
        raise ContentError(f"{file_name}: a record without name or sha256")
    try:
        return Record.make(file_name, fields)
    except ContentError as error:
        raise ContentError(f"{file_name}: {error}") from error


def pack_index(
    subdir: str,
    base_url: str | None,
    shards: Mapping[str, str],
    shards_base_url: str = f"{FOLDER}/",
) -> bytes:
    """The compressed shard index, of shard hashes (hex) by package name.

    All three addresses must be strings. ``created_at`` may be absent, and is: a clock in it
    would change the file in runs that change nothing.
    """
    info = {"base_url": base_url or "", "shards_base_url": shards_base_url, "subdir": subdir}
    hashes = {name: bytes.fromhex(shards[name]) for name in sorted(shards)}
    packed: bytes = msgpack.packb({"info": info, "shards": hashes, "version": 1})
    return zstd.compress(packed, _INDEX_LEVEL)


def unpack_index(data: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The ``info`` of a compressed shard index, and its shard hashes (hex) by package name.

    Raises ContentError where it isn't one by CEP 16.
    """
    index = _unpack(zstd.decompress(data, MAX_INDEX), MAX_VALUES)
    info, shards = index.get("info"), index.get("shards")
    if not isinstance(info, dict) or not isinstance(shards, dict):
        raise ContentError("a shard index without info or shards")
    for key in ("subdir", "base_url", "shards_base_url"):
        if not isinstance(info.get(key), str):
            raise ContentError(f"a shard index whose info has no {key}")
    created = info.get("created_at")
    if created is not None and not (isinstance(created, str) and _RFC3339.fullmatch(created)):
        raise ContentError("a shard index whose created_at is no time with an offset")
    hashes = {}
    for name, digest in shards.items():
        if not isinstance(name, str) or not isinstance(digest, bytes) or len(digest) != 32:
            raise ContentError("a shard index whose hashes are not 32 bytes by name")
        hashes[name] = digest.hex()
    return info, hashes


class _Budget:
    """Counts what a message unpacks to: a byte of it can become a value of a hundred."""

    def __init__(self, values: int) -> None:
        self._values = self._left = values

    def take(self, values: Any) -> Any:
        self._left -= len(values) + 1
        if self._left < 0:
            raise ContentError(f"msgpack of more than {self._values} values")
        return values


def _unpack(packed: bytes, values: int | None = None) -> dict[str, Any]:
    """A message that is a map, of at most so many values where that is given."""
    limits: dict[str, Any] = {}
    if values is not None:
        take = _Budget(values).take
        limits = {"object_hook": take, "list_hook": take}
        limits |= {"max_map_len": values, "max_array_len": values}
    try:
        value = msgpack.unpackb(packed, **limits)
    except (ValueError, msgpack.UnpackException) as error:
        raise ContentError(f"not msgpack: {error}") from error
    if not isinstance(value, dict):
        raise ContentError("msgpack, but not a map")
    return value
