"""What strangers' archives may not do: be taken for whole, speak for others, or lead out."""

from __future__ import annotations

import bz2
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from demo.packages import build
from indexer.errors import ContentError
from indexer.render.zstd import zstd
from indexer.transfer import packing
from indexer.transfer.packing import hash_file, read_index_json
from tests.transfer.archives import (
    END,
    FORMATS,
    STEM,
    archive,
    compressed,
    entry,
    extended,
    files_in,
    header,
    packed,
    path_of,
    untouched,
    written,
    zipped,
)

INDEX = entry("info/index.json", b'{"name": "alpha"}')
both_formats = pytest.mark.parametrize("end", FORMATS)
# Real conda archives, as small as they get.
GOOD = {end: build("alpha", archive="conda" if end == ".conda" else "tar.bz2") for end in FORMATS}


def refused(path: Path, match: str = ".") -> None:
    """The archive isn't pushed, for a reason that fits on a line."""
    with pytest.raises(ContentError, match=match) as caught:
        packed(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@both_formats
def test_the_info_folder_is_what_a_reader_of_the_archive_sees(tmp_path: Path, end: str) -> None:
    index_json, info = packed(written(tmp_path, GOOD[end]))
    assert index_json == GOOD[end].index_json
    assert files_in(info) == files_in(GOOD[end].info_tar_gz)
    assert "index.json" in files_in(info)


@both_formats
def test_index_json_is_passed_on_byte_by_byte(tmp_path: Path, end: str) -> None:
    odd = b'\xef\xbb\xbf{ "name":\t"alpha" }\r\n\xff'
    path = archive(tmp_path, end, entry("info/index.json", odd))
    assert read_index_json(path) == odd
    assert packed(path)[0] == odd
    assert files_in(packed(path)[1]) == {"index.json": odd}


def about_in(path: Path) -> bytes:
    """What is read of an archive's about.json."""
    return packing.pack_info(path, io.BytesIO()).about_json


@both_formats
@pytest.mark.parametrize("is_first", [True, False])
def test_about_json_is_read_wherever_it_stands(tmp_path: Path, end: str, is_first: bool) -> None:  # noqa: FBT001
    about = entry("info/about.json", b'{"summary": "x"}')
    members = (about, INDEX) if is_first else (INDEX, about)
    path = archive(tmp_path, end, *members)
    assert about_in(path) == b'{"summary": "x"}'
    assert files_in(packed(path)[1])["about.json"] == b'{"summary": "x"}'


@both_formats
@pytest.mark.parametrize(
    "members",
    [
        (),
        (entry("info/about.json", bytes(1024 * 1024 + 1)),),
        (header("info/about.json", kind=tarfile.SYMTYPE, link="index.json"),),
        (entry("info/recipe/about.json", b"{}"), entry("about.json", b"{}")),
    ],
    ids=["absent", "too large", "a link", "elsewhere"],
)
def test_an_about_json_that_cannot_be_read_keeps_no_archive_back(
    tmp_path: Path, end: str, members: tuple[bytes, ...]
) -> None:
    path = archive(tmp_path, end, INDEX, *members)
    assert about_in(path) == b""
    assert packed(path)[0] == b'{"name": "alpha"}'


@both_formats
def test_a_large_about_json_is_passed_on_all_the_same(tmp_path: Path, end: str) -> None:
    path = archive(tmp_path, end, INDEX, entry("info/about.json", bytes(1024 * 1024 + 1)))
    assert len(files_in(packed(path)[1])["about.json"]) == 1024 * 1024 + 1


@both_formats
def test_two_of_about_json_keep_no_archive_back(tmp_path: Path, end: str) -> None:
    twice = (entry("info/about.json", b"{}"), entry("info/about.json", b"[]"))
    assert about_in(archive(tmp_path, end, INDEX, *twice)) == b"[]"


@both_formats
def test_the_same_files_give_the_same_bytes_whoever_built_them(tmp_path: Path, end: str) -> None:
    mine = archive(tmp_path, end, INDEX)
    info = tarfile.TarInfo("info/index.json")
    info.size, info.mode, info.uid, info.uname = 17, 0o4755, 1000, "me"
    other = tmp_path / "other"
    other.mkdir()
    block = info.tobuf(tarfile.PAX_FORMAT)
    theirs = archive(other, end, block + INDEX[tarfile.BLOCKSIZE :])
    assert mine.read_bytes() != theirs.read_bytes()
    assert packed(mine) == packed(theirs) == packed(mine)
    # Nor does gzip say when (RFC 1952, MTIME).
    assert packed(mine)[1][4:8] == bytes(4)


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf", "1e300", "-5", "1.5"])
@both_formats
def test_a_time_that_is_none_does_not_stop_the_others(tmp_path: Path, end: str, mtime: str) -> None:
    path = archive(tmp_path, end, extended({"mtime": mtime}), INDEX)
    try:
        _, info = packed(path)
    except ContentError as error:
        assert mtime in {"nan", "inf", "-inf"}, error  # noqa: PT017  either will do
    else:
        assert files_in(info).keys() == {"index.json"}


@both_formats
def test_only_regular_files_are_taken(tmp_path: Path, end: str) -> None:
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    others = [
        entry(f"info/odd{number}", kind=kind, link="/etc/passwd")
        for number, kind in enumerate(kinds)
    ]
    path = archive(tmp_path, end, entry("info", kind=tarfile.DIRTYPE), *others, INDEX)
    assert files_in(packed(path)[1]).keys() == {"index.json"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
@both_formats
def test_an_index_json_that_is_a_link_is_none(tmp_path: Path, end: str, kind: bytes) -> None:
    path = archive(tmp_path, end, entry("info/index.json", kind=kind, link="info/x"))
    refused(path, "no info/index.json")
    with pytest.raises(ContentError, match=r"no info/index\.json"):
        read_index_json(path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "info/../../evil",
        "/etc/evil",
        "info//etc/evil",
        "info/./index.json",
        "info//index.json",
        "./info/index.json",
        "info/x/..",
    ],
)
@both_formats
def test_a_path_that_leads_out_or_hides_is_refused(tmp_path: Path, end: str, name: str) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = archive(folder, end, INDEX, entry(name, b"x"))
    with untouched(folder):
        refused(path, "path")


@both_formats
def test_a_name_with_a_nul_in_it_is_refused(tmp_path: Path, end: str) -> None:
    refused(archive(tmp_path, end, INDEX, extended({"path": "info/a\0b"}), entry("x")), "path")


@both_formats
def test_a_name_that_would_act_on_a_terminal_is_shown_harmlessly(tmp_path: Path, end: str) -> None:
    refused(archive(tmp_path, end, INDEX, entry("../\x1b[2J\n\u202e")), r"\\x1b\[2J\\n")


@both_formats
def test_two_index_jsons_are_none(tmp_path: Path, end: str) -> None:
    refused(archive(tmp_path, end, INDEX, INDEX), r"two of info/index\.json")


@both_formats
def test_an_archive_without_info_is_refused(tmp_path: Path, end: str) -> None:
    refused(archive(tmp_path, end, entry("bin/alpha", b"x")), r"no info/index\.json")
    refused(archive(tmp_path, end))


@both_formats
def test_an_index_json_beyond_its_limit_is_refused_by_both_readers(
    tmp_path: Path, end: str
) -> None:
    path = archive(tmp_path, end, entry("info/index.json", bytes(1024 * 1024 + 1)))
    refused(path, "1048577 bytes")
    with pytest.raises(ContentError, match="1048577 bytes"):
        read_index_json(path)


@both_formats
def test_an_info_folder_beyond_its_limit_is_refused(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, end, INDEX, entry("info/a", bytes(600)), entry("info/b", bytes(600)))
    packed(path)
    monkeypatch.setattr(packing, "MAX_INFO", 1200)
    refused(path, "more than 1200 bytes")


@both_formats
def test_more_members_than_any_archive_has_are_refused(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_MAX_MEMBERS", 20)
    few = archive(tmp_path, end, INDEX, *[entry(f"lib/{n}") for n in range(19)])
    packed(few)
    refused(archive(tmp_path, end, INDEX, *[entry(f"lib/{n}") for n in range(20)]), "20 files")


@pytest.mark.parametrize("size", [2**37, 2**62])
@both_formats
def test_sizes_that_are_only_claimed_are_not_believed(tmp_path: Path, end: str, size: int) -> None:
    refused(archive(tmp_path, end, INDEX, header("lib/huge", size)), "unpacks to more")
    refused(archive(tmp_path, end, header("info/index.json", size)), "unpacks to more")


@both_formats
def test_a_negative_size_is_refused(tmp_path: Path, end: str) -> None:
    refused(archive(tmp_path, end, INDEX, header("lib/x", -512)))
    refused(archive(tmp_path, end, INDEX, extended({"size": "-512"}), entry("lib/x")))


@both_formats
def test_an_archive_that_ends_too_early_is_never_taken_for_whole(tmp_path: Path, end: str) -> None:
    package = build(
        "alpha",
        archive="conda" if end == ".conda" else "tar.bz2",
        extra_index={"text": [str(n * 7919 % 1009) for n in range(300)]},
    )
    path = tmp_path / package.file_name
    for size in [*range(0, package.size, 37), *range(package.size - 30, package.size)]:
        path.write_bytes(package.data[:size])
        refused(path)


@both_formats
def test_a_tar_that_ends_too_early_in_whole_compression_is_refused(
    tmp_path: Path, end: str
) -> None:
    tar = INDEX + entry("info/files", bytes(range(256)) * 8)
    for size in (100, 512, 520, 700, 1025, 1100, 1536 + 100, len(tar) - 1):
        refused(compressed(tmp_path, end, [tar[:size]]))


@both_formats
def test_a_header_that_is_damaged_is_no_end(tmp_path: Path, end: str) -> None:
    damaged = bytearray(entry("info/files", b"x"))
    damaged[0] ^= 1
    refused(archive(tmp_path, end, INDEX, bytes(damaged)))


@both_formats
def test_what_follows_the_end_is_read_to_its_end(tmp_path: Path, end: str) -> None:
    # Fuller records than tar's own; and those who leave the end out.
    packed(archive(tmp_path, end, INDEX, then=bytes(64 * 1024)))
    packed(archive(tmp_path, end, INDEX, then=b""))


@both_formats
def test_what_stands_behind_the_end_is_not_hidden_there(tmp_path: Path, end: str) -> None:
    refused(archive(tmp_path, end, INDEX, then=END + INDEX), "goes on after its end")


@pytest.mark.parametrize("data", [b"", b"PK", b"<html>", b"\x89PNG\r\n\x1a\n" + bytes(2000)])
@both_formats
def test_what_is_no_archive_at_all_is_refused(tmp_path: Path, end: str, data: bytes) -> None:
    path = path_of(tmp_path, end)
    path.write_bytes(data)
    refused(path, "no archive that can be read")


@both_formats
def test_a_file_that_is_gone_is_told_of_and_not_a_crash(tmp_path: Path, end: str) -> None:
    refused(path_of(tmp_path, end), "No such file")
    with pytest.raises(ContentError, match="No such file"):
        hash_file(path_of(tmp_path, end))


def info_part(stem: str = STEM) -> dict[str, bytes]:
    return {f"info-{stem}.tar.zst": zstd.compress(INDEX + END)}


def conda_of(folder: Path, data: bytes) -> Path:
    path = path_of(folder, ".conda")
    path.write_bytes(data)
    return path


def test_a_conda_without_its_own_info_part_is_refused(tmp_path: Path) -> None:
    packed(conda_of(tmp_path, zipped(info_part())))
    refused(conda_of(tmp_path, zipped({"metadata.json": b"{}"})))
    refused(conda_of(tmp_path, zipped(info_part("beta-1.0-0"))))
    refused(conda_of(tmp_path, zipped(info_part(f"{STEM}1"))))


def test_a_conda_without_what_it_installs_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in info_part().items():
            file.writestr(name, data)
    refused(conda_of(tmp_path, buffer.getvalue()), "no pkg-")


def test_two_info_parts_are_none_since_readers_differ_in_which_they_take(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    name = f"info-{STEM}.tar.zst"
    other = zstd.compress(entry("info/index.json", b'{"name": "openssl"}') + END)
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, other)
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr(name, info_part()[name])
    refused(conda_of(tmp_path, buffer.getvalue()), "2 of info-")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_compresses_is_refused_as_clients_do(tmp_path: Path, compression: int) -> None:
    refused(conda_of(tmp_path, zipped(info_part(), compression)), "compressed")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(info_part()))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    refused(conda_of(tmp_path, bytes(data)), "encrypted")


def test_bytes_after_a_bz2_that_are_none_are_no_harm_to_nobody(tmp_path: Path) -> None:
    # bz2 itself passes over them, in every client.
    path = path_of(tmp_path, ".tar.bz2")
    path.write_bytes(bz2.compress(INDEX + END) + b"junk")
    assert packed(path)[0]


@both_formats
def test_a_run_that_has_ended_does_not_go_on_packing(tmp_path: Path, end: str) -> None:
    with pytest.raises(ContentError, match="run has ended"):
        packing.pack_info(archive(tmp_path, end, INDEX), io.BytesIO(), stopped=lambda: True)


def test_a_full_disk_is_not_blamed_on_the_archive(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    noise = entry("info/noise", bytes(n * n % 251 for n in range(200_000)))
    with pytest.raises(OSError, match="No space left"):
        packing.pack_info(archive(tmp_path, ".tar.bz2", INDEX, noise), Full())


@settings(
    deadline=None,
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    end=st.sampled_from(FORMATS),
    inside=st.booleans(),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=8), st.integers(0, 600)),
        min_size=1,
        max_size=4,
    ),
)
@example(end=".tar.bz2", inside=True, changes=[(0.15, b"9", 0)])
def test_whatever_is_changed_in_an_archive_costs_it_alone(
    tmp_path: Path,
    end: str,
    inside: bool,  # noqa: FBT001  hypothesis gives them by name
    changes: list[tuple[float, bytes, int]],
) -> None:
    """Bytes replaced and cut out, of the file or of the tar before it is compressed."""
    tar = INDEX + extended({"mtime": "1.5"}) + entry("info/files", b"x" * 900) + END
    data = bytearray(tar if inside else GOOD[end].data)
    for where, new, cut in changes:
        at = int(where * len(data))
        data[at : at + max(cut - 300, len(new))] = new
    path = path_of(tmp_path, end)
    if inside:
        compressed(tmp_path, end, [bytes(data)])
    else:
        path.write_bytes(bytes(data))
    for read in (read_index_json, packed):
        reason = ""
        try:
            read(path)
        except ContentError as error:
            reason = str(error)
        # Empty where the change did no harm.
        assert reason == "" or reason.isprintable()
        assert len(reason) < 400
