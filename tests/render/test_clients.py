"""The monolithic and the sharded form say the same to a real client."""

from __future__ import annotations

from pathlib import Path

import pytest
from rattler import MatchSpec, RepoDataRecord

from tests.channel.samples import MD5, record
from tests.render.channels import query, write_subdir
from tests.support.web import served

RECORDS = [
    record("alpha", "1.9", subdir="noarch", md5=MD5).indexed(1_700_000_000_000),
    record("alpha", "1.10", subdir="noarch", noarch="generic").indexed(1_700_000_000_000),
    record("alpha", "1.11", subdir="noarch", end=".tar.bz2", license="é", unknown={"a": [None]}),
    record("_beta", "1!2.0+x", subdir="noarch", depends=[], noarch="python"),
    record("gamma-x.y_z", subdir="noarch", timestamp=1_604_417_213, track_features="a b"),
]
NAMES = ["alpha", "_beta", "gamma-x.y_z"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[RepoDataRecord]]:
    """What py-rattler finds: sharded (True), and monolithic (False)."""
    folder = tmp_path_factory.mktemp("channel")
    write_subdir(folder / "channel", RECORDS)
    with served(folder / "channel") as address:
        return {
            sharded: query(address, NAMES, folder / f"cache{sharded}", sharded=sharded)
            for sharded in (True, False)
        }


def key_of(item: RepoDataRecord) -> str:
    return item.file_name


def test_both_forms_give_a_client_the_same(found: dict[bool, list[RepoDataRecord]]) -> None:
    one, other = (
        [item.to_json() for item in sorted(found[way], key=key_of)] for way in (True, False)
    )
    assert one == other


@pytest.mark.parametrize("sharded", [True, False])
def test_a_client_finds_every_record_with_its_hash(
    found: dict[bool, list[RepoDataRecord]], *, sharded: bool
) -> None:
    hashes = {item.file_name: item.sha256.hex() for item in found[sharded] if item.sha256}
    assert hashes == {item.file_name: item.sha256 for item in RECORDS}
    md5s = {item.file_name: item.md5.hex() for item in found[sharded] if item.md5}
    assert md5s == {"alpha-1.9-h1_0.conda": MD5}


@pytest.mark.parametrize("sharded", [True, False])
def test_a_client_fetches_packages_beside_the_index_where_no_base_url_says_else(
    found: dict[bool, list[RepoDataRecord]], *, sharded: bool
) -> None:
    for item in found[sharded]:
        assert item.url.endswith(f"/noarch/{item.file_name}")


@pytest.mark.parametrize("sharded", [True, False])
def test_a_dependency_is_what_the_package_said(
    found: dict[bool, list[RepoDataRecord]], *, sharded: bool
) -> None:
    (item,) = [item for item in found[sharded] if item.file_name == "alpha-1.9-h1_0.conda"]
    assert item.depends == ["beta >=1.0,<2.0a0", "libzlib 1.*"]
    assert MatchSpec("alpha 1.9").matches(item)


@pytest.mark.parametrize("sharded", [True, False])
def test_a_build_in_both_formats_can_be_had_in_the_newer_one(
    tmp_path: Path, *, sharded: bool
) -> None:
    # Of such twins rattler shows the .conda alone, but both where it reads shards.
    twins = [record(subdir="noarch"), record(subdir="noarch", end=".tar.bz2")]
    write_subdir(tmp_path / "channel", twins)
    with served(tmp_path / "channel") as address:
        found = query(address, ["alpha"], tmp_path / "cache", sharded=sharded)
    assert twins[0].file_name in {item.file_name for item in found}


@pytest.mark.parametrize("sharded", [True, False])
def test_an_empty_subdir_is_no_error(tmp_path: Path, *, sharded: bool) -> None:
    write_subdir(tmp_path / "channel", [])
    with served(tmp_path / "channel") as address:
        assert query(address, ["alpha"], tmp_path / "cache", sharded=sharded) == []
