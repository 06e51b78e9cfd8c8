"""Small archives that unpack to what no machine holds: refused, in little memory and time."""

from __future__ import annotations

import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from indexer.errors import ContentError
from indexer.render.zstd import zstd
from indexer.transfer import packing
from indexer.transfer.packing import read_index_json
from tests.transfer.archives import (
    END,
    FORMATS,
    STEM,
    archive,
    compressed,
    entry,
    extended,
    header,
    packed,
    path_of,
    zipped,
)

GIB = 1024**3
INDEX = entry("info/index.json", b'{"name": "alpha"}')
both_formats = pytest.mark.parametrize("end", FORMATS)

# Half of what such an archive wants at least; a level-22 zstd window is 128 MiB.
_MORE = 192 * 1024 * 1024
_CHILD = f"""
import io, pathlib, resource, sys
from indexer.errors import ContentError
from indexer.transfer import packing
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + {_MORE}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for read in packing.read_index_json, lambda path: packing.pack_info(path, io.BytesIO()):
    try:
        read(pathlib.Path(sys.argv[1]))
        print("taken")
    except ContentError as error:
        print("refused:", error)
"""


def told(path: Path) -> list[str]:
    """What both readers say of an archive in a process that has little memory."""
    ran = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(packing.__file__).parents[2],
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def assert_cheap(path: Path, *, first: str = "refused") -> None:
    """Packing refuses it; the reader of index.json alone may have come before what is wrong."""
    assert path.stat().st_size < 10_000_000
    index_json, packing_ = told(path)
    assert index_json.startswith(first)
    assert packing_.startswith("refused")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
class TestMemory:
    @pytest.mark.parametrize(
        "kind",
        [
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        ],
    )
    @both_formats
    def test_a_header_of_a_gibibyte(self, tmp_path: Path, end: str, kind: bytes) -> None:
        parts: list[bytes | int] = [header("x", GIB, kind), 1024, INDEX + END]
        path = compressed(tmp_path, end, parts)
        assert told(path) == [f"refused: it has a header of more than {64 * 1024} bytes"] * 2

    @pytest.mark.parametrize(
        "member",
        [
            header("lib", GIB, tarfile.DIRTYPE),
            header("lib", GIB, tarfile.SYMTYPE, link="x"),
            header("lib", GIB, tarfile.LNKTYPE, link="x"),
            extended({"GNU.sparse.size": str(GIB), "GNU.sparse.numblocks": "0"}) + entry("lib"),
            extended({"GNU.sparse.map": "0,0", "GNU.sparse.size": str(GIB)}) + entry("lib"),
        ],
        ids=["folder", "link", "hard link", "sparse 0.0", "sparse 0.1"],
    )
    @both_formats
    def test_a_member_that_claims_more_than_it_holds_makes_no_room_for_headers(
        self, tmp_path: Path, end: str, member: bytes
    ) -> None:
        # Small headers each, so that only their sum is too much.
        chain = extended({"comment": "x" * 60_000}) * 400
        path = archive(tmp_path, end, INDEX, member, chain, entry("last"))
        index_json, packing_ = told(path)
        assert index_json == "taken"
        assert "headers of more than" in packing_

    @both_formats
    def test_old_sparse_files_make_no_room_for_headers(self, tmp_path: Path, end: str) -> None:
        head = bytearray(header("lib", 0, tarfile.GNUTYPE_SPARSE))
        head[483:495] = b"%011o\0" % GIB
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        chain = extended({"comment": "x" * 60_000}) * 400
        packed(archive(tmp_path, end, INDEX, bytes(head), entry("last")))
        path = archive(tmp_path, end, INDEX, bytes(head), chain, entry("last"))
        assert "headers of more than" in told(path)[1]

    @both_formats
    def test_global_headers_that_add_up(self, tmp_path: Path, end: str) -> None:
        members = [
            extended({f"key{number}": "x" * 60_000}, tarfile.XGLTYPE) + entry(f"lib/{number}")
            for number in range(500)
        ]
        assert_cheap(archive(tmp_path, end, INDEX, *members), first="taken")

    def test_a_zip_with_a_directory_of_a_million_entries(self, tmp_path: Path) -> None:
        path = path_of(tmp_path, ".conda")
        data = zipped({f"info-{STEM}.tar.zst": zstd.compress(INDEX + END)})
        start = data.rindex(b"PK\x01\x02")
        filler = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, *[0] * 16)
        directory = data[start : data.rindex(b"PK\x05\x06")] + filler * 1_000_000
        ending = struct.pack(
            "<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), start, 0
        )
        path.write_bytes(data[:start] + directory + ending)
        assert [line.partition("(")[0] for line in told(path)] == [
            "refused: its zip has a directory that no archive has"
        ] * 2

    def test_a_window_that_no_real_package_has(self, tmp_path: Path) -> None:
        # 2 GiB by its frame header (RFC 8878, 3.1.1.1.2), and then nothing.
        frame = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
        path = path_of(tmp_path, ".conda")
        path.write_bytes(zipped({f"info-{STEM}.tar.zst": frame}))
        assert_cheap(path)

    @both_formats
    def test_half_a_gibibyte_of_zeros_streams_through(self, tmp_path: Path, end: str) -> None:
        size = GIB // 2
        parts: list[bytes | int] = [INDEX + header("lib/zeros", size), 512, END]
        assert told(compressed(tmp_path, end, parts)) == ["taken", "taken"]


@both_formats
def test_what_unpacks_to_more_than_all_packages_do_is_given_up(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_MAX_TOTAL", 64 * 1024 * 1024)
    # Each by itself is fine, and none of them says so before it has come.
    parts = [INDEX] + [header(f"lib/{n}", 16 * 1024 * 1024) if n % 2 else 16 for n in range(1, 12)]
    with pytest.raises(ContentError, match="unpacks to more than"):
        packed(compressed(tmp_path, end, [*parts, END]))


@both_formats
def test_headers_count_in_the_whole_as_well(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_MAX_TOTAL", 1024 * 1024)
    member = extended({"comment": "x" * 60_000}) + entry("lib/x")
    packed(archive(tmp_path, end, INDEX, *[member] * 10))
    with pytest.raises(ContentError, match="unpacks to more than"):
        packed(archive(tmp_path, end, INDEX, *[member] * 20))


@both_formats
def test_zeros_behind_the_end_are_not_read_for_ever(tmp_path: Path, end: str) -> None:
    with pytest.raises(ContentError, match="headers of more than"):
        packed(compressed(tmp_path, end, [INDEX + END, 1024]))


@both_formats
def test_a_bomb_in_the_info_folder_is_given_up_at_its_limit(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_INFO", 1024 * 1024)
    path = compressed(tmp_path, end, [INDEX + header("info/zeros", 256 * 1024 * 1024), 256, END])
    assert path.stat().st_size < 100_000
    assert read_index_json(path)
    with pytest.raises(ContentError, match="info folder has more than"):
        packed(path)


@both_formats
def test_headers_upon_headers_end_before_the_stack_does(tmp_path: Path, end: str) -> None:
    with pytest.raises(ContentError):
        packed(archive(tmp_path, end, INDEX, extended({"a": "b"}) * 5000, entry("last")))


@both_formats
def test_a_long_name_is_none_of_this(tmp_path: Path, end: str) -> None:
    name = "lib/" + "d/" * 2000 + "x"
    long = entry("././@LongLink", name.encode() + b"\0", tarfile.GNUTYPE_LONGNAME) + entry("x")
    assert packed(archive(tmp_path, end, INDEX, long, extended({"path": name}), entry("x")))[0]
