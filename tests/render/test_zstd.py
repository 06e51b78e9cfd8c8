"""Compressed data: the same bytes each time, and bombs and breaks refused."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ContentError
from indexer.render import zstd

TEXT = b"the same record over and over\n" * 1_000


@given(data=st.binary(max_size=2_000))
def test_what_was_compressed_is_read_back(data: bytes) -> None:
    assert zstd.decompress(zstd.compress(data), len(data)) == data
    assert zstd.compress(data) == zstd.compress(data)


def test_more_than_was_allowed_is_refused() -> None:
    packed = zstd.compress(TEXT)
    with pytest.raises(ContentError, match=str(len(TEXT) - 1)):
        zstd.decompress(packed, len(TEXT) - 1)


def test_a_bomb_is_refused_without_being_unpacked() -> None:
    bomb = zstd.compress(bytes(200 * 2**20))
    assert len(bomb) < 100_000
    with pytest.raises(ContentError):
        zstd.decompress(bomb, 2**20)


@pytest.mark.parametrize("cut", [0, 1, 4, 10, -1])
def test_data_that_breaks_off_is_refused(cut: int) -> None:
    with pytest.raises(ContentError):
        zstd.decompress(zstd.compress(TEXT)[:cut], len(TEXT))


@pytest.mark.parametrize("tail", [b"x", b"\0\0\0\0", b"junk" * 10])
def test_bytes_after_the_end_are_refused_as_clients_refuse_them(tail: bytes) -> None:
    with pytest.raises(ContentError):
        zstd.decompress(zstd.compress(TEXT) + tail, len(TEXT))


@given(data=st.binary(max_size=100))
def test_what_is_no_zstd_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError):
        zstd.decompress(data, 10_000)


def test_a_stream_gives_the_same_bytes() -> None:
    with zstd.reader(io.BytesIO(zstd.compress(TEXT))) as stream:
        assert stream.read() == TEXT
