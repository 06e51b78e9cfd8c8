"""Shards: what clients crash on, and what is refused when it is read back."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.record import Record
from indexer.errors import ContentError
from indexer.render import shards, zstd
from tests.channel.samples import MD5, record, sha256

RECORDS = [
    record("alpha", "1.0", md5=MD5),
    record("alpha", "1.0", end=".tar.bz2"),
    record("alpha", "1.10", legacy_bz2_md5=MD5, extra={"z": 1, "a": [1.5, None, -0.0, 2**62]}),
]
PACKED = shards.pack_shard(RECORDS)
INDEX = shards.pack_index("noarch", None, {"beta": sha256("b"), "alpha": sha256("a")})


def unpacked() -> Any:
    return msgpack.unpackb(PACKED)


def test_hashes_are_bytes_of_their_length_since_hex_crashes_a_client() -> None:
    fields = unpacked()["packages.conda"]["alpha-1.0-h1_0.conda"]
    assert fields["sha256"] == bytes.fromhex(RECORDS[0].sha256)
    assert fields["md5"] == bytes.fromhex(MD5)


def test_an_unknown_md5_is_null() -> None:
    assert unpacked()["packages"]["alpha-1.0-h1_0.tar.bz2"]["md5"] is None


def test_every_format_has_its_section_and_none_is_missing() -> None:
    assert {key: len(value) for key, value in unpacked().items()} == {
        "packages": 1,
        "packages.conda": 2,
        "removed": 0,
    }
    assert msgpack.unpackb(shards.pack_shard([])) == {
        "packages": {},
        "packages.conda": {},
        "removed": [],
    }


@given(order=st.permutations(RECORDS))
def test_whatever_the_order_it_came_in_the_bytes_are_the_same(order: list[Record]) -> None:
    assert shards.pack_shard(order) == PACKED


def test_every_map_is_sorted() -> None:
    def keys_of(value: object) -> list[list[str]]:
        if not isinstance(value, dict):
            return []
        return [list(value), *(keys for item in value.values() for keys in keys_of(item))]

    for keys in keys_of(unpacked()):
        assert keys == sorted(keys)


def test_what_was_packed_is_read_back() -> None:
    assert shards.unpack_shard(PACKED) == {item.file_name: item for item in RECORDS}


def test_conda_would_read_no_more_than_these_sizes() -> None:
    assert (shards.MAX_SHARD, shards.MAX_INDEX) == (16 * 2**20, 128 * 2**20)


def test_the_index_holds_what_clients_cannot_do_without_and_no_clock() -> None:
    index = msgpack.unpackb(zstd.decompress(INDEX, 10_000))
    assert index == {
        "info": {"base_url": "", "shards_base_url": "shards/", "subdir": "noarch"},
        "shards": {"alpha": bytes.fromhex(sha256("a")), "beta": bytes.fromhex(sha256("b"))},
        "version": 1,
    }
    assert list(index["shards"]) == ["alpha", "beta"]


def test_the_index_says_where_packages_are() -> None:
    info, _ = shards.unpack_index(shards.pack_index("noarch", "https://x.invalid/noarch/", {}))
    assert info["base_url"] == "https://x.invalid/noarch/"


def test_the_index_is_read_back() -> None:
    info, hashes = shards.unpack_index(INDEX)
    assert info["subdir"] == "noarch"
    assert hashes == {"alpha": sha256("a"), "beta": sha256("b")}


def changed_index(**changes: Any) -> bytes:
    index = msgpack.unpackb(zstd.decompress(INDEX, 10_000)) | changes
    return zstd.compress(msgpack.packb(index))


INFO = {"base_url": "", "shards_base_url": "", "subdir": "noarch"}


@pytest.mark.parametrize(
    "changes",
    [
        {"info": None},
        {"info": {**INFO, "base_url": None}},
        {"info": {**INFO, "subdir": b"noarch"}},
        {"info": {"base_url": "", "subdir": "noarch"}},
        {"info": {**INFO, "created_at": 1_700_000_000}},
        {"info": {**INFO, "created_at": "2026-11-01"}},
        {"info": {**INFO, "created_at": "2026-11-01T12:00:00"}},
        {"shards": None},
        {"shards": ["alpha"]},
        {"shards": {"alpha": sha256("a")}},
        {"shards": {"alpha": b"short"}},
        {"shards": {b"alpha": bytes(32)}},
        {"shards": {"alpha": None}},
    ],
)
def test_an_index_that_clients_could_not_read_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ContentError):
        shards.unpack_index(changed_index(**changes))


@pytest.mark.parametrize(
    "time", [None, "2026-11-01T12:00:00Z", "2026-11-01T12:00:00.123456789+01:00"]
)
def test_an_index_with_a_time_that_clients_read_is_read(time: str | None) -> None:
    shards.unpack_index(changed_index(info={**INFO, "created_at": time}))


def changed_record(**changes: Any) -> bytes:
    fields = unpacked()["packages.conda"]["alpha-1.0-h1_0.conda"] | changes
    changed: bytes = msgpack.packb({"packages": {}, "packages.conda": {"a.conda": fields}})
    return changed


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": None},
        {"sha256": "0" * 64},
        {"sha256": bytes(31)},
        {"md5": "0" * 32},
        {"md5": bytes(17)},
        {"name": None},
        {"name": 1},
        {"extra": bytes(3)},
        {"extra": msgpack.ExtType(5, b"x")},
        {"extra": msgpack.Timestamp(1)},
        {"extra": {1: 2}},
    ],
)
def test_a_record_that_repodata_could_not_hold_is_refused(changes: dict[str, Any]) -> None:
    assert shards.unpack_shard(changed_record())
    with pytest.raises(ContentError):
        shards.unpack_shard(changed_record(**changes))


def test_nesting_that_json_could_not_hold_is_refused() -> None:
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(ContentError):
        shards.unpack_shard(changed_record(extra=deep))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb(None),
        msgpack.packb([]),
        msgpack.packb({}),
        msgpack.packb({"packages": {}}),
        msgpack.packb({"packages": [], "packages.conda": {}}),
        msgpack.packb({"packages": {"a": None}, "packages.conda": {}}),
        msgpack.packb({"packages": {}, "packages.conda": {"a": []}}),
        msgpack.packb({"packages": {}, "packages.conda": {}}) + b"\x00",
        b"\x91" * 5_000,
    ],
)
def test_what_is_no_shard_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError):
        shards.unpack_shard(data)


@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_and_nothing_worse(data: bytes) -> None:
    for read in (shards.unpack_shard, shards.unpack_index):
        with pytest.raises(ContentError):
            read(data)


@given(position=st.integers(0, len(PACKED) - 1), byte=st.integers(0, 255))
def test_a_damaged_shard_is_refused_or_another_shard_but_nothing_worse(
    position: int, byte: int
) -> None:
    data = PACKED[:position] + bytes([byte]) + PACKED[position + 1 :]
    try:
        records = shards.unpack_shard(data)
    except ContentError:
        return
    assert all(len(item.sha256) == 64 for item in records.values())


@given(position=st.integers(0, 300), byte=st.integers(0, 255), inside=st.booleans())
def test_a_damaged_index_is_refused_or_another_index_but_nothing_worse(
    position: int, byte: int, *, inside: bool
) -> None:
    data = zstd.decompress(INDEX, 10_000) if inside else INDEX
    position %= len(data)
    data = data[:position] + bytes([byte]) + data[position + 1 :]
    try:
        _, hashes = shards.unpack_index(zstd.compress(data) if inside else data)
    except ContentError:
        return
    assert all(len(digest) == 64 for digest in hashes.values())
