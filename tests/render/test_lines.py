"""What is read back line by line is JSON, or it is refused: the next file is built upon it."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indexer.channel.record import Record
from indexer.errors import ContentError
from indexer.render.repodata import SECTIONS, Lines
from tests.channel.samples import record
from tests.render.channels import in_section, write_repodata

RECORDS = [
    record("alpha"),
    record("alpha", end=".tar.bz2"),
    record("beta", license='a":{}, \\ "b":'),
    record("gamma"),
]
URL = "oci://ghcr.io/acme/forge/noarch/"
Content = tuple[object, dict[str, list[tuple[str, bytes]]], tuple[object, object]]


def written(records: list[Record], base_url: str | None = None) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        return write_repodata(Path(scratch) / "noarch", records, base_url=base_url)


def read(data: bytes) -> Content:
    lines = Lines(io.BytesIO(data))
    sections = {name: list(lines.section(name)) for name in SECTIONS}
    return lines.info, sections, lines.rest()


GOOD = written(RECORDS)


@pytest.mark.parametrize("records", [[], RECORDS[:1], RECORDS[1:2], RECORDS])
@pytest.mark.parametrize("base_url", [None, URL])
def test_what_was_written_is_read_back(records: list[Record], base_url: str | None) -> None:
    info, sections, rest = read(written(records, base_url))
    assert info == {"subdir": "noarch"} | ({"base_url": URL} if base_url else {})
    assert sections == {name: list(in_section(name, records)) for name in SECTIONS}
    assert rest == ([], 2 if base_url else 1)


BETA, END = b'\n"beta-', b"\n},\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"," + BETA, BETA),
        (END + b'"removed"', b"," + END + b'"removed"'),
        (b'"noarch"},\n', b'"noarch"}\n'),
        (b'"removed":[],\n', b'"removed":[]\n'),
        (BETA, b'\n"\xff-'),
        (BETA, b'\n"\x01-'),
        (BETA, b'\n"\\q-'),
        (b'"packages":{', b'"packages":['),
        (b'"packages":{', b'"packages.conda":{'),
        (b'"repodata_version":1', b'"repodata_version":'),
        (b'"info":', b'"inf":'),
        (b"\n}\n", b"\n}\n\n"),
        (b"\n}\n", b"\n}"),
        (b"\n}\n", b"\n"),
    ],
)
def test_what_is_no_json_is_refused(old: bytes, new: bytes) -> None:
    assert GOOD.count(old) == 1 or old == b"\n}\n"
    head, _, tail = GOOD.rpartition(old)
    with pytest.raises(ContentError):
        read(head + new + tail)


@pytest.mark.parametrize("cut", range(0, len(GOOD) - 1, 7))
def test_a_file_that_breaks_off_is_refused(cut: int) -> None:
    with pytest.raises(ContentError):
        read(GOOD[:cut])


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"{}", b"null\n", b"[]\n", json.dumps(json.loads(GOOD), indent=1).encode()],
)
def test_another_tools_file_is_told_from_ours(data: bytes) -> None:
    with pytest.raises(ContentError):
        read(data)


def damaged(position: int, byte: int, deleted: int) -> bytes:
    position %= len(GOOD)
    return GOOD[:position] + (bytes([byte]) if byte < 256 else b"") + GOOD[position + deleted :]


@settings(max_examples=500)
@given(
    position=st.integers(0, len(GOOD) - 1),
    byte=st.one_of(st.integers(0, 256), st.sampled_from(b'{}",:\n\\ ')),
    deleted=st.integers(0, 3),
)
@example(position=GOOD.index(BETA) - 1, byte=256, deleted=1)
def test_after_any_damage_it_is_refused_or_says_what_json_says(
    position: int, byte: int, deleted: int
) -> None:
    data = damaged(position, byte, deleted)
    try:
        _, sections, _ = read(data)
    except ContentError:
        return
    found = [pair for name in SECTIONS for pair in sections[name]]
    if not all(is_json(body) for _, body in found):
        return  # a record's own JSON is for whoever parses it; all else is for Lines
    document = dict(json.loads(data, object_pairs_hook=list))
    said = [file_name for name in SECTIONS for file_name, _ in document[name]]
    assert [file_name for file_name, _ in found] == said


def is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
