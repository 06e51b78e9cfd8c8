"""A repodata.json copied by blocks, for a gateway's own address, is what rewriting it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.channel.record import Record
from indexer.errors import ContentError
from indexer.published.rewriting import rebase, rewrite
from indexer.render import repodata
from tests.render.channels import write_repodata
from tests.render.test_repodata import RECORDS


@pytest.mark.parametrize("before", [None, "https://old.example/noarch/"])
@pytest.mark.parametrize("after", [None, "https://new.example/noarch/"])
@pytest.mark.parametrize("records", [RECORDS, []], ids=["some", "none"])
def test_each_byte_is_that_of_a_rewritten_one(
    tmp_path: Path, records: list[Record], before: str | None, after: str | None
) -> None:
    write_repodata(tmp_path / "old", records, base_url=before)
    plain = tmp_path / "old" / repodata.FILE_NAME
    made = []
    for number, way in enumerate((rewrite, rebase)):
        folder = tmp_path / str(number)
        folder.mkdir()
        way(plain, folder, "noarch", after)
        made.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert made[0] == made[1]
    assert (b"new.example" in made[1][repodata.FILE_NAME]) == (after is not None)


def test_one_of_another_subdir_is_refused(tmp_path: Path) -> None:
    write_repodata(tmp_path / "old", RECORDS)
    with pytest.raises(ContentError, match="subdir"):
        rebase(tmp_path / "old" / repodata.FILE_NAME, tmp_path, "linux-64", None)


def test_one_of_another_layout_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.json"
    foreign.write_text('{"info": {"subdir": "noarch"}, "packages": {}, "packages.conda": {}}')
    with pytest.raises(ContentError):
        rebase(foreign, tmp_path, "noarch", None)
