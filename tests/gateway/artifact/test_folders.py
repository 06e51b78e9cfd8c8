"""Folders that were pushed: where their files are served, and what of a hostile tar never is."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.layers import TITLE
from indexer.errors import ContentError, RegistryError
from indexer.gateway.found import LocalFile
from indexer.render import zstd
from tests.gateway.artifact.help import Shelf, shelf
from tests.support.artifacts import (
    CONTENT_DIGEST,
    FOLDER_TYPE,
    UNPACK,
    Layer,
    file_layer,
    folder_layer,
    make_tar,
    plain_layer,
)
from tests.support.faults import is_blob, tampered

LONG = "repodata/" + "long" * 40 + "/" + "name" * 40 + ".xml"
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def python_layer(title: str, members: dict[str, bytes]) -> Layer:
    """A folder as oras-py pushes it: without a mark, and named by its last part."""
    return plain_layer(FOLDER_TYPE, gzip.compress(make_tar(members)), {TITLE: title})


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member without bytes."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of any members."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def test_members_are_parts_of_one_file_on_the_disk(one: Shelf) -> None:
    one.serve(folder_layer("repodata", {"repodata/repomd.xml": b"<a/>", "repodata/b.gz": b"bb"}))
    found = one.source.find("repodata/repomd.xml")
    assert isinstance(found, LocalFile)
    assert one.bytes_of(found) == b"<a/>"
    assert (found.size, found.cache, found.media_type) == (4, "no-cache", "application/xml")
    assert one.bytes_at("repodata/b.gz") == b"bb"
    assert one.bytes_at("repodata/c") is None
    assert one.files() == [found.path]
    assert one.blobs_asked() == 1


def test_etags_tell_members_apart(one: Shelf) -> None:
    one.serve(folder_layer("d", {"d/a": b"1", "d/b": b"1", "d/empty": b"", "d/none": b""}))
    etags = {
        found.etag
        for name in ("a", "b", "empty", "none")
        if isinstance(found := one.source.find(f"d/{name}"), LocalFile)
    }
    assert len(etags) == 4


@pytest.mark.parametrize("form", FORMATS)
def test_each_way_of_writing_names_is_read(one: Shelf, form: int) -> None:
    names = ["repodata/a", "repodata/" + "b" * 90, "repodata/ü" if form else "repodata/u"]
    if form != tarfile.USTAR_FORMAT:
        names.append(LONG)
    names.append("repodata/" + "c" * 80 + "/" + "d" * 90)
    members = {name: name.encode() for name in names}
    one.serve(folder_layer("repodata", make_tar(members, form)))
    for name, data in members.items():
        assert one.bytes_at(name) == data
    assert one.reports == []


def test_a_size_that_stands_in_an_extended_header_counts(one: Shelf) -> None:
    said = header("x", b"x", 10) + b"10 size=3\n".ljust(512, b"\0")
    tar = said + header("d/x", b"0", 0) + b"abc".ljust(512, b"\0") + make_tar({"d/y": b"next"})
    one.serve(folder_layer("d", tar))
    assert (one.bytes_at("d/x"), one.bytes_at("d/y")) == (b"abc", b"next")


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_no_bytes_follow_what_is_no_file(one: Shelf, kind: bytes) -> None:
    one.serve(folder_layer("d", header("d/x", kind, 5000) + make_tar({"d/y": b"next"})))
    assert one.bytes_at("d/y") == b"next"


def test_headers_are_held_in_memory_up_to_a_bound_alone(one: Shelf) -> None:
    def commented(size: int) -> bytes:
        record = f"{size} comment=".encode().ljust(size - 1, b"c") + b"\n"
        padded = record + bytes(-size % 512)
        return header("x", b"x", size) + padded + make_tar({"d/y": b"next"})

    one.serve(folder_layer("d", commented(65_000)), folder_layer("e", commented(66_000)))
    assert one.bytes_at("d/y") == b"next"
    with pytest.raises(ContentError, match="a header of more than 65536 bytes"):
        one.source.find("e/y")


@pytest.mark.parametrize(
    "pack", [lambda data: data, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"]
)
def test_each_compression_is_undone(one: Shelf, pack: Callable[[bytes], bytes]) -> None:
    tar = make_tar({"d/x": b"x" * 3_000_000})
    one.serve(plain_layer("any/thing", pack(tar), {TITLE: "d", UNPACK: "true"}))
    assert one.bytes_at("d/x") == b"x" * 3_000_000


@pytest.mark.parametrize("title", [".", "./", "./."])
def test_a_folder_pushed_as_a_dot_is_the_root(one: Shelf, title: str) -> None:
    one.serve(folder_layer(title, {"repodata/a": b"1", "./b": b"2"}), file_layer("c", b"3"))
    assert [one.bytes_at(path) for path in ("repodata/a", "b", "c")] == [b"1", b"2", b"3"]


def test_a_file_layer_goes_before_a_folder(one: Shelf) -> None:
    one.serve(folder_layer(".", {"x": b"member"}), file_layer("x", b"layer"))
    assert one.bytes_at("x") == b"layer"
    assert one.blobs_asked() == 0


def test_folders_within_folders_are_found_in_order(one: Shelf) -> None:
    one.serve(
        folder_layer("a", {"a/b/x": b"1"}), folder_layer("a/b", {"a/b/x": b"2", "a/b/y": b"3"})
    )
    assert [one.bytes_at(path) for path in ("a/b/x", "a/b/y")] == [b"1", b"3"]


@pytest.mark.parametrize(
    ("title", "members", "path"),
    [
        ("repodata", {"repodata/x": b"1"}, "repodata/x"),
        ("a/repodata", {"repodata/x": b"1"}, "a/repodata/x"),
        ("", {"x": b"1"}, "x"),
        (".", {"./x": b"1"}, "x"),
    ],
)
def test_folders_of_the_python_tool_lie_where_it_unpacks_them(
    one: Shelf, title: str, members: dict[str, bytes], path: str
) -> None:
    one.serve(python_layer(title, members), file_layer("else", b""))
    assert one.bytes_at(path) == b"1"


def test_members_outside_of_the_title_are_left_out(one: Shelf) -> None:
    one.serve(folder_layer("repodata", {"repodata/x": b"1", "x": b"2", "repodata2/x": b"3"}))
    assert one.bytes_at("repodata/x") == b"1"
    assert (one.bytes_at("x"), one.bytes_at("repodata2/x")) == (None, None)
    assert one.told("left out 2 (members that aren't below the layer's title): 'x', 'repodata2/x'")


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "/d/x", "../d/x", "d/../../x", "d/../d/x", "d/a\\b", "d//x", "d/a\nb"),
        *("d/\x1b[2J", "d/\u202ex", "d/" + "n" * 300, "d/" + "/".join(["m" * 200] * 6), "d/\udcff"),
    ],
)
def test_a_hostile_name_is_left_out_and_named(one: Shelf, name: str) -> None:
    one.serve(folder_layer("d", make_tar({name: b"bad", "d/good": b"good"}, tarfile.GNU_FORMAT)))
    assert one.bytes_at("d/good") == b"good"
    assert one.told("left out 1 (names that are no paths in a folder)")
    assert all(line.isprintable() for line in one.reports)
    for path in (name, name.lstrip("/"), "x", "d/x", "etc/passwd"):
        assert one.bytes_at(path) is None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (tarfile.SYMTYPE, "links"),
        (tarfile.LNKTYPE, "links"),
        (tarfile.CHRTYPE, "devices"),
        (tarfile.BLKTYPE, "devices"),
        (tarfile.FIFOTYPE, "pipes"),
        (b"V", "unknown kinds"),
    ],
)
def test_what_is_no_file_is_left_out(one: Shelf, kind: bytes, why: str) -> None:
    tar = tar_of(
        (entry("d/x", kind, "/etc/passwd"), b""), (entry("d/sub", tarfile.DIRTYPE), b""),
        (entry("d/y"), b"y"),
    )  # fmt: skip
    one.serve(folder_layer("d", tar))
    assert one.bytes_at("d/x") is None
    assert one.bytes_at("d/sub") is None
    assert one.bytes_at("d/y") == b"y"
    assert one.told(f"left out 1 ({why}): 'd/x'")


def test_a_link_that_replaces_a_file_takes_it_away(one: Shelf) -> None:
    tar = tar_of((entry("d/x"), b"file"), (entry("d/x", tarfile.SYMTYPE, "/etc/passwd"), b""))
    one.serve(folder_layer("d", tar))
    assert one.bytes_at("d/x") is None


def test_of_two_members_of_one_name_the_last_is_served(one: Shelf) -> None:
    one.serve(folder_layer("d", tar_of((entry("d/x"), b"first"), (entry("./d/x"), b"last"))))
    assert one.bytes_at("d/x") == b"last"


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
def test_sparse_files_by_extended_headers_are_left_out(one: Shelf, version: str) -> None:
    info = entry("d/x")
    keys = {"0.0": "size", "0.1": "map", "1.0": "major"}
    info.pax_headers = {f"GNU.sparse.{keys[version]}": "1", "GNU.sparse.name": "d/x"}
    one.serve(folder_layer("d", tar_of((info, b"1\n0\n1\n"), (entry("d/y"), b"y"))))
    assert (one.bytes_at("d/x"), one.bytes_at("d/y")) == (None, b"y")
    assert one.told("sparse files")


def test_gnu_sparse_files_are_left_out_with_their_maps(one: Shelf) -> None:
    sparse = bytearray(header("d/x", b"S", 512))
    sparse[257:265] = b"ustar  \0"
    sparse[482] = 1
    more, last = bytearray(512), bytes(512)
    more[504] = 1
    tar = checked(sparse) + bytes(more) + last + b"x" * 512 + make_tar({"d/y": b"y"})
    one.serve(folder_layer("d", tar))
    assert (one.bytes_at("d/x"), one.bytes_at("d/y")) == (None, b"y")
    assert one.told("sparse files")


def header(name: str, kind: bytes, size: int) -> bytes:
    """One header by hand, whose size nothing need follow."""
    info = entry(name, kind)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def checked(block: bytearray) -> bytes:
    """A header with its checksum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


ONE = header("d/x", b"0", 0)
WHOLE = make_tar({"d/x": b"x" * 2000, "d/y": b"y"})


@pytest.mark.parametrize(
    "tar",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"not a tar" * 1000, id="no tar"),
        pytest.param(WHOLE[:700], id="cut in a file"),
        pytest.param(WHOLE[:2600], id="cut in a header"),
        pytest.param(WHOLE[:100] + b"z" + WHOLE[101:], id="damaged"),
        pytest.param(header("d/x", b"0", 8**11 - 1), id="a size of gigabytes"),
        pytest.param(header("d/x", b"x", 8**11 - 1), id="an extended header of gigabytes"),
        pytest.param(header("d/x", b"L", 8**11 - 1), id="a name of gigabytes"),
        pytest.param(header("d/x", b"x", 70_000) + bytes(80_000), id="an extended header too long"),
        pytest.param(header("d/x", b"x", 5) + b"99 a=".ljust(2048, b"\0"), id="no extended header"),
        pytest.param(header("d/x", b"x", 5) + b"0 a=\n".ljust(2048, b"\0"), id="a length of none"),
        pytest.param(
            header("d/x", b"x", 11) + b"11 size=-1\n".ljust(2048, b"\0"), id="a size below nothing"
        ),
        pytest.param(
            header("d/x", b"g", 10) + b"10 path=x\n".ljust(2048, b"\0"), id="one name for all"
        ),
        pytest.param(
            checked(bytearray(ONE[:124] + b"\xff" * 12 + ONE[136:])) + bytes(1024),
            id="a negative size",
        ),
    ],
)  # fmt: skip
def test_what_is_no_sound_tar_serves_nothing(one: Shelf, tar: bytes) -> None:
    one.serve(folder_layer("d", tar))
    for _ in range(2):
        one.seconds[0] += 60
        with pytest.raises(ContentError, match=r"acme/repo: the folder d: "):
            one.source.find("d/x")
    assert one.blobs_asked() == 1, "what is wrong stays wrong"
    assert one.files() == []
    assert one.layers.room.used == 0
    assert one.told("the folder d")


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_compressed_bytes_that_break_off_serve_nothing(
    one: Shelf, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(make_tar({"d/x": bytes(range(256)) * 100}))[:-6]
    one.serve(plain_layer(FOLDER_TYPE, packed, {TITLE: "d", UNPACK: "true"}))
    with pytest.raises(ContentError, match="decompressed"):
        one.source.find("d/x")
    assert one.files() == []


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_damaged_compressed_bytes_serve_nothing(one: Shelf, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(make_tar({"d/x": bytes(range(256)) * 100}))
    damaged = packed[:10] + b"\xff" * 20 + packed[30:]
    one.serve(plain_layer(FOLDER_TYPE, damaged, {TITLE: "d", UNPACK: "true"}))
    with pytest.raises(ContentError, match="decompressed"):
        one.source.find("d/x")
    assert one.files() == []


def test_a_wrong_content_digest_serves_nothing(one: Shelf) -> None:
    one.serve(folder_layer("d", {"d/x": b"1"}, {CONTENT_DIGEST: "sha256:" + "0" * 64}))
    with pytest.raises(ContentError, match="unpacks to sha256:"):
        one.source.find("d/x")


def test_bytes_of_another_digest_serve_nothing(one: Shelf) -> None:
    one.serve(folder_layer("d", {"d/x": b"1"}))
    one.fake.knobs.faults.append(tampered(match=is_blob()))
    with pytest.raises(ContentError, match="digest"):
        one.source.find("d/x")
    assert one.files() == []


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_a_bomb_ends_at_the_limit(one: Shelf, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(make_tar({"d/x": bytes(50_000_000)}))
    one.serve(plain_layer(FOLDER_TYPE, bomb, {TITLE: "d", UNPACK: "true"}))
    with pytest.raises(
        ContentError, match="more than 10000000 bytes to unpack, which is the limit"
    ):
        one.source.find("d/x")
    assert one.files() == []
    assert one.layers.room.used == 0


def test_a_layer_larger_than_the_limit_is_not_fetched(tmp_path: Path) -> None:
    with shelf(tmp_path / "scratch", limit=1000) as made:
        layer = plain_layer(FOLDER_TYPE, b"n" * 2000, {TITLE: "d", UNPACK: "true"})
        made.serve(layer)
        with pytest.raises(ContentError, match="limit"):
            made.source.find("d/x")
        assert made.blobs_asked() == 0


def numbered(folder: str, count: int) -> bytes:
    """A tar of so many files of no bytes, quickly made."""
    single = header("d/x", b"0", 0)
    blocks = (
        checked(bytearray(f"{folder}/{number}".encode().ljust(100, b"\0") + single[100:]))
        for number in range(count)
    )
    return b"".join(blocks) + bytes(1024)


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_MEMBERS", 1000), ("MAX_NAMES", 60_000), ("MAX_HEADERS", 1000)]
)
def test_too_many_members_serve_nothing(
    one: Shelf, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"indexer.gateway.artifact.members.{limit}", value)
    one.serve(folder_layer("d", numbered("d", 999)), folder_layer("e", numbered("e", 2000)))
    assert one.bytes_at("d/998") == b""
    with pytest.raises(ContentError, match=r"more in it than|more than \d+ headers"):
        one.source.find("e/1")
    assert len(one.files()) == 1


def test_a_full_disk_is_said_and_is_no_fault_of_the_artifact(
    one: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.serve(folder_layer("d", {"d/x": b"1"}))
    monkeypatch.setattr("indexer.gateway.artifact.room._RESERVE", 2**62)
    with pytest.raises(RegistryError, match="is full"):
        one.source.find("d/x")
    monkeypatch.undo()
    with pytest.raises(RegistryError, match="is full"):
        one.source.find("d/x")
    one.seconds[0] += 11
    assert one.bytes_at("d/x") == b"1"
