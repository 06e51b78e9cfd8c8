"""repodata.json: what is written is what was given, in bytes that depend on nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.record import Record
from indexer.render import repodata, zstd
from tests.channel.samples import record
from tests.render.channels import in_section, write_repodata

RECORDS = [
    record("alpha"),
    record("alpha", end=".tar.bz2"),
    record("alpha", "1.10", license='"quoted" \\ é\n\u2028'),
    record("alpha", "1.9"),
    record("_beta", "1!2.0+x", depends=[]),
    record("alpha-doc", "1.0"),
]


def test_parsed_as_json_it_says_what_was_given(tmp_path: Path) -> None:
    document = json.loads(write_repodata(tmp_path / "noarch", RECORDS))
    said = document["packages"] | document["packages.conda"]
    assert said == {item.file_name: item.fields() for item in RECORDS}
    assert list(document["packages"]) == ["alpha-1.0-h1_0.tar.bz2"]
    assert document["removed"] == []


def test_one_record_is_one_line_so_that_it_can_be_read_as_a_stream(tmp_path: Path) -> None:
    lines = write_repodata(tmp_path / "noarch", RECORDS).split(b"\n")
    for item in RECORDS:
        start = b'"' + item.file_name.encode() + b'":'
        (line,) = [line for line in lines if line.startswith(start)]
        assert json.loads(line.removeprefix(start).removesuffix(b",")) == item.fields()


@given(order=st.permutations(RECORDS))
def test_whatever_the_order_it_came_in_the_bytes_are_the_same(order: list[Record]) -> None:
    expected = [list(in_section(section, RECORDS)) for section in repodata.SECTIONS]
    assert [list(in_section(section, order)) for section in repodata.SECTIONS] == expected
    names = [name for name, _ in expected[1]]
    assert names == sorted(names)


def test_the_same_records_are_the_same_bytes_compressed_too(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_repodata(tmp_path / place, RECORDS)
    for name in (repodata.FILE_NAME, repodata.ZST_NAME):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_the_compressed_file_is_the_plain_one(count: int, tmp_path: Path) -> None:
    records = [record(version=f"{number}", note="x" * 300) for number in range(count)]
    plain = write_repodata(tmp_path / "noarch", records)
    packed = (tmp_path / "noarch" / repodata.ZST_NAME).read_bytes()
    assert zstd.decompress(packed, len(plain)) == plain


def test_hashes_and_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    sections = {
        section: repodata.lines(in_section(section, RECORDS)) for section in repodata.SECTIONS
    }
    written = repodata.write_repodata(tmp_path, "noarch", None, sections)
    for name, told in zip((repodata.FILE_NAME, repodata.ZST_NAME), written, strict=True):
        data = (tmp_path / name).read_bytes()
        assert (told.sha256, told.size) == (hashlib.sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize(
    ("base_url", "version"), [(None, 1), ("", 1), ("oci://ghcr.io/acme/forge/noarch/", 2)]
)
def test_version_2_if_and_only_if_packages_are_elsewhere(
    base_url: str | None, version: int, tmp_path: Path
) -> None:
    document = json.loads(write_repodata(tmp_path / "noarch", RECORDS, base_url=base_url))
    assert document["repodata_version"] == version
    assert document["info"] == {"subdir": "noarch"} | ({"base_url": base_url} if base_url else {})


def test_a_file_that_the_old_site_shares_is_never_written_into(tmp_path: Path) -> None:
    write_repodata(tmp_path / "noarch", RECORDS)
    sections = {section: repodata.lines(in_section(section, [])) for section in repodata.SECTIONS}
    with pytest.raises(FileExistsError):
        repodata.write_repodata(tmp_path / "noarch", "noarch", None, sections)


@pytest.mark.parametrize("records", [[], RECORDS])
def test_rattler_reads_it(records: list[Record], tmp_path: Path) -> None:
    write_repodata(tmp_path / "noarch", records)
    read = rattler.RepoData.from_path(tmp_path / "noarch" / repodata.FILE_NAME)
    found = read.into_repo_data(rattler.Channel("forge"))
    assert sorted(r.file_name for r in found) == sorted(r.file_name for r in records)
    assert {(r.file_name, r.sha256.hex()) for r in found if r.sha256} == {
        (r.file_name, r.sha256) for r in records
    }
