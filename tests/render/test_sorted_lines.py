"""A file's line is found without the others; what lies between two changes is copied as it is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.record import section_of
from indexer.errors import ContentError
from indexer.render import repodata, sorted_lines
from indexer.render.sorted_lines import SortedLines
from tests.channel.samples import record
from tests.render.channels import write_repodata

FILES = [f"{name}-1-0{end}" for name in "abcdefgh" for end in (".conda", ".tar.bz2")]
# As a record's body: short and long ones, some longer than what is read at once.
BODIES = st.integers(0, 60).map(lambda size: json.dumps({"note": "x" * size}).encode())


@pytest.fixture(autouse=True, params=[4, 9, 64, 4096])
def peek(request: pytest.FixtureRequest) -> object:
    """Whatever is read at once, the same is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_lines, "_PEEK", request.param)
        patch.setattr(sorted_lines, "_HEAD", 4096)
        yield


def in_sections(bodies: Mapping[str, bytes]) -> dict[str, list[tuple[str, bytes]]]:
    return {
        section: sorted(item for item in bodies.items() if section_of(item[0]) == section)
        for section in repodata.SECTIONS
    }


def write(folder: Path, bodies: Mapping[str, bytes]) -> Path:
    folder.mkdir()
    sections = {name: repodata.lines(items) for name, items in in_sections(bodies).items()}
    repodata.write_repodata(folder, "noarch", None, sections)
    return folder / repodata.FILE_NAME


@given(
    before=st.dictionaries(st.sampled_from(FILES), BODIES),
    changes=st.dictionaries(st.sampled_from(FILES), st.one_of(st.none(), BODIES)),
)
def test_changes_put_into_a_file_are_those_put_into_a_mapping(
    before: dict[str, bytes], changes: dict[str, bytes | None]
) -> None:
    after = {name: body for name, body in (before | changes).items() if body is not None}
    parted = {
        section: sorted(item for item in changes.items() if section_of(item[0]) == section)
        for section in repodata.SECTIONS
    }
    with tempfile.TemporaryDirectory() as scratch:
        expected = write(Path(scratch) / "after", after).read_bytes()
        merged = Path(scratch) / "merged"
        merged.mkdir()
        with write(Path(scratch) / "before", before).open("rb") as file:
            lines = SortedLines(file)
            sections = {name: lines.merged(name, parted[name]) for name in repodata.SECTIONS}
            repodata.write_repodata(merged, "noarch", None, sections)
        assert (merged / repodata.FILE_NAME).read_bytes() == expected


@given(bodies=st.dictionaries(st.sampled_from(FILES), BODIES), size=st.integers(1, 200))
def test_each_line_is_found_and_blocks_are_whole_lines(bodies: dict[str, bytes], size: int) -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        write(Path(scratch) / "noarch", bodies).open("rb") as file,
    ):
        lines = SortedLines(file)
        for section, items in in_sections(bodies).items():
            start, end = lines.section(section)
            for name in FILES:
                if section_of(name) != section:
                    continue
                found = lines.find(name, start, end)
                said = list(lines.blocks(found.start, found.following))
                assert said == [repodata.line(n, body) for n, body in items if n == name]
            blocks = list(lines.blocks(start, end, size))
            written = [repodata.line(*item) for item in items]
            assert repodata.SEPARATOR.join(blocks) == repodata.SEPARATOR.join(written)
            assert all(block.split(repodata.SEPARATOR)[0] in written for block in blocks)


def test_what_stands_before_and_after_the_lines_is_told(tmp_path: Path) -> None:
    write_repodata(tmp_path / "noarch", [record("alpha")], base_url="https://example.org/")
    with (tmp_path / "noarch" / repodata.FILE_NAME).open("rb") as file:
        lines = SortedLines(file)
    assert lines.info == {"subdir": "noarch", "base_url": "https://example.org/"}
    assert lines.rest == {"removed": [], "repodata_version": 2}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{\n"info":', b'{\n "info":'),
        (b'"packages":{\n', b'"packages": {\n'),
        (b'"packages.conda":{\n', b'"packages.konda":{\n'),
        (b'"removed":', b'"Removed":'),
        (b'"repodata_version":1', b'"repodata_version":'),
        (b'"subdir":"noarch"', b'"subdir":noarch'),
    ],
)
def test_a_file_of_another_kind_is_refused(old: bytes, new: bytes, tmp_path: Path) -> None:
    data = write_repodata(tmp_path / "noarch", [record("alpha"), record("beta", end=".tar.bz2")])
    assert data.count(old) == 1
    path = tmp_path / "other.json"
    path.write_bytes(data.replace(old, new))
    with path.open("rb") as file, pytest.raises(ContentError):
        SortedLines(file)


def test_a_line_longer_than_any_record_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_lines, "MAX_LINE", 100)
    long = {name: json.dumps("x" * 5000).encode() for name in FILES}
    path = write(tmp_path / "noarch", long)
    with path.open("rb") as file, pytest.raises(ContentError, match="no record"):
        SortedLines(file)
