"""Tars whose headers are odd: without an end, or with more fields than any real one."""

from __future__ import annotations

import gc
import io
import tarfile
import time

import pytest

from indexer.errors import ContentError
from indexer.gateway.artifact.listing import LeftOut
from indexer.gateway.artifact.members import Member, _records, read_members
from tests.gateway.artifact.help import Shelf
from tests.support.artifacts import folder_layer, make_tar

WHOLE = make_tar({"d/x": b"x" * 2000, "d/y": b"y"})


def header(name: str, kind: bytes, size: int) -> bytes:
    """One header, whose size nothing need follow."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


def test_a_tar_without_its_end_is_read_as_tar_does(one: Shelf) -> None:
    one.serve(folder_layer("d", WHOLE[:2560]), folder_layer("e", make_tar({"e/x": b"x"})[:513]))
    assert (one.bytes_at("d/x"), one.bytes_at("e/x")) == (b"x" * 2000, b"x")


def extended(fields: int) -> bytes:
    """A header of so many fields that say nothing, and a file."""
    data = b"5 a=\n" * fields
    return header("x", b"x", len(data)) + data + bytes(-len(data) % 512) + header("d/y", b"0", 0)


def test_extended_fields_are_read_in_one_go() -> None:
    start = time.process_time()
    assert len(_records(b"5 a=\n" * 300_000)) == 300_000
    # Where what is left is copied for each of them, it takes many seconds.
    assert time.process_time() - start < 2


@pytest.mark.parametrize(("limit", "value"), [("MAX_RECORDS", 999), ("MAX_EXTENDED", 4999)])
def test_extended_fields_of_all_headers_count(
    one: Shelf, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"indexer.gateway.artifact.members.{limit}", value)
    one.serve(folder_layer("d", extended(500)), folder_layer("e", extended(500) * 2))
    assert one.bytes_at("d/y") == b""
    with pytest.raises(ContentError, match=f"more than {value} "):
        one.source.find("e/y")


def test_reading_headers_ends_with_the_gateway() -> None:
    class EndError(Exception):
        pass

    def end() -> None:
        raise EndError

    with pytest.raises(EndError):
        read_members(io.BytesIO(WHOLE), len(WHOLE), LeftOut(), bool, end)


def test_an_error_that_is_kept_keeps_no_names(one: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.gateway.artifact.members.MAX_MEMBERS", 100)
    one.serve(folder_layer("d", {f"d/{number}": b"" for number in range(200)}))
    with pytest.raises(ContentError, match="more in it than"):
        one.source.find("d/x")
    gc.collect()
    assert sum(type(each) is Member for each in gc.get_objects()) < 100
