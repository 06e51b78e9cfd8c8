"""A site checked against the one that it was made from: whatever differs must be meant."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.record import Record
from indexer.check import check_channel
from indexer.published import Folder
from indexer.render import repodata, shards, zstd
from tests.channel.samples import record
from tests.render.channels import write_repodata, write_shards, write_subdir

BEFORE = [record("alpha"), record("beta", end=".tar.bz2"), record("beta"), record("gamma")]
AFTER = [
    record("alpha"),
    record("alpha", "1.1"),
    record("beta", end=".tar.bz2"),
    record("delta"),
    record("gamma", license="ISC"),
]
ALL = [record(name, version) for name in ("a", "b", "c") for version in ("1", "2", "3")]
URL = "https://example.org/"


def problems(before: Path, after: Path) -> list[str]:
    findings = check_channel(Folder(after), ["noarch"], since={"noarch": Folder(before)})
    return [str(problem) for problem in findings.problems]


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Path, Path]:
    for name, records in (("before", BEFORE), ("after", AFTER)):
        write_subdir(tmp_path / name, records)
    return tmp_path / "before", tmp_path / "after"


def test_what_was_meant_is_found_sound(sites: tuple[Path, Path]) -> None:
    assert problems(*sites) == []


@given(before=st.sets(st.sampled_from(ALL)), after=st.sets(st.sampled_from(ALL)))
def test_any_two_sound_sites_are_found_sound(
    before: set[Record], after: set[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("sites")
    write_subdir(root / "before", sorted(before, key=str))
    write_subdir(root / "after", sorted(after, key=str))
    assert problems(root / "before", root / "after") == []
    shutil.rmtree(root)


@given(said=st.sets(st.sampled_from(ALL)), sharded=st.sets(st.sampled_from(ALL)))
def test_two_forms_that_say_different_things_are_always_found(
    said: set[Record], sharded: set[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("sites")
    write_subdir(root / "before", ALL[:5])
    write_repodata(root / "after/noarch", sorted(said, key=str))
    write_shards(root / "after/noarch", sorted(sharded, key=str))
    assert bool(problems(root / "before", root / "after")) == (said != sharded)
    shutil.rmtree(root)


def change_file(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert data.count(old) == 1
        write_plain(folder, data.replace(old, new))

    return change


def write_plain(folder: Path, data: bytes) -> None:
    (folder / repodata.FILE_NAME).write_bytes(data)
    (folder / repodata.ZST_NAME).write_bytes(zstd.compress(data))


def lose_shard(folder: Path) -> None:
    _, hashes = shards.unpack_index((folder / shards.INDEX_NAME).read_bytes())
    (folder / shards.FOLDER / f"{hashes['alpha']}{shards.SUFFIX}").unlink()


def alter_shard(folder: Path) -> None:
    _, hashes = shards.unpack_index((folder / shards.INDEX_NAME).read_bytes())
    (folder / shards.FOLDER / f"{hashes['delta']}{shards.SUFFIX}").write_bytes(b"other")


def swap_shards(folder: Path) -> None:
    _, hashes = shards.unpack_index((folder / shards.INDEX_NAME).read_bytes())
    hashes["delta"], hashes["gamma"] = hashes["gamma"], hashes["delta"]
    (folder / shards.INDEX_NAME).write_bytes(shards.pack_index("noarch", None, hashes))


def other_subdir(folder: Path) -> None:
    _, hashes = shards.unpack_index((folder / shards.INDEX_NAME).read_bytes())
    (folder / shards.INDEX_NAME).write_bytes(shards.pack_index("linux-64", None, hashes))


def other_address(folder: Path) -> None:
    _, hashes = shards.unpack_index((folder / shards.INDEX_NAME).read_bytes())
    (folder / shards.INDEX_NAME).write_bytes(shards.pack_index("noarch", URL, hashes))


def other_compressed(folder: Path) -> None:
    (folder / repodata.ZST_NAME).write_bytes(zstd.compress(b"{}"))


def cut(folder: Path) -> None:
    write_plain(folder, (folder / repodata.FILE_NAME).read_bytes()[:-20])


def unsound_record(folder: Path) -> None:
    """In both forms alike."""
    shutil.rmtree(folder)
    bad = Record(
        "omega-1-0.conda", "omega", "0" * 64, b'{"name":"omega","sha256":"%s"}' % (b"0" * 64)
    )
    write_repodata(folder, [*AFTER, bad])
    write_shards(folder, [*AFTER, bad])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (change_file(repodata.FILE_NAME, b'"beta-1', b'"beta-2'), "packages differs"),
        (change_file(repodata.FILE_NAME, b'"removed":[]', b'"removed":["a"]'), "version"),
        (change_file(repodata.FILE_NAME, b'_version":1', b'_version":2'), "version"),
        (change_file(repodata.FILE_NAME, b'"subdir":"noarch"},', b'"subdir":"linux-64"},'), "info"),
        (lose_shard, "the shard of alpha"),
        (alter_shard, "the shard of delta"),
        (swap_shards, "is in the shard of"),
        (other_subdir, "isn't that of noarch"),
        (other_address, "info"),
        (other_compressed, "isn't repodata.json, compressed"),
        (cut, "noarch"),
        (unsound_record, "omega"),
    ],
)
def test_whatever_is_wrong_is_found(
    damage: Callable[[Path], None], said: str, sites: tuple[Path, Path]
) -> None:
    before, after = sites
    damage(after / "noarch")
    found = problems(before, after)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("size", [1, 20, 300])
def test_a_byte_that_differs_where_nothing_changed_is_found(
    size: int, sites: tuple[Path, Path]
) -> None:
    before, after = sites
    plain = after / "noarch" / repodata.FILE_NAME
    data = bytearray(plain.read_bytes())
    position = data.index(b'"alpha-1.0') + size
    assert data[position : position + 1] != b"~"
    data[position : position + 1] = b"~"
    write_plain(plain.parent, bytes(data))
    assert problems(before, after) != []


def test_the_cost_follows_the_change(
    sites: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of shards only those that differ are read, before and after."""
    unpacked = []

    def unpack(packed: bytes) -> dict[str, Record]:
        unpacked.append(hashlib.sha256(packed).hexdigest())
        return original(packed)

    original = shards.unpack_shard
    monkeypatch.setattr(shards, "unpack_shard", unpack)
    before, _ = sites
    assert problems(before, before) == []
    assert unpacked == []
    assert problems(*sites) == []
    # Alpha, beta and gamma as they were and as they are; delta is new.
    assert len(unpacked) == 7
