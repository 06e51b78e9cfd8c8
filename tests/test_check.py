"""The check finds each kind of damage, and names it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest

from demo.packages import build
from indexer.check import check_channel
from indexer.published import Folder
from indexer.render import history, shards, zstd
from tests.channel.samples import MD5, record, sha256, without
from tests.render.channels import write_subdir
from tests.support.fake_registry import FakeRegistry
from tests.support.rig import Rig

RECORDS = [
    record("alpha", "1.0", subdir="noarch", md5=MD5),
    record("alpha", "1.0", subdir="noarch", end=".tar.bz2"),
    record("beta", subdir="noarch"),
]
PLAIN, PACKED = "noarch/repodata.json", "noarch/repodata.json.zst"
INDEX = f"noarch/{shards.INDEX_NAME}"


def problems(root: Path, *subdirs: str) -> list[str]:
    return [str(item) for item in check_channel(Folder(root), subdirs or None).problems]


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """A channel of another tool's: no snapshot that would notice everything by itself."""
    write_subdir(tmp_path / "channel", RECORDS)
    return tmp_path / "channel"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with FakeRegistry() as fake:
        rig = Rig(fake, tmp_path_factory.mktemp("built"))
        rig.push(build("alpha"), build("alpha", archive="tar.bz2"))
        rig.push(build("_beta", "1!2.0+x", subdir="linux-64"))
        rig.rebuild()
        return rig.site


@pytest.fixture
def site(built: Path, tmp_path: Path) -> Path:
    """A channel of ours, with everything that a run writes."""
    return Path(shutil.copytree(built, tmp_path / "site"))


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def pack(root: Path) -> None:
    """Make the .zst agree with the plain file, so that only what both say is looked at."""
    (root / PACKED).write_bytes(zstd.compress((root / PLAIN).read_bytes()))


def edit_index(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    index = msgpack.unpackb(zstd.decompress((root / INDEX).read_bytes(), 10**6))
    edit(index)
    (root / INDEX).write_bytes(zstd.compress(msgpack.packb(index)))


def put_shard(root: Path, name: str, data: bytes) -> str:
    """Store a shard and point the index at it: all hashes hold, only the content is another."""
    digest = hashlib.sha256(data).hexdigest()
    (root / f"noarch/shards/{digest}{shards.SUFFIX}").write_bytes(data)
    edit_index(root, lambda index: index["shards"].update({name: bytes.fromhex(digest)}))
    return digest


def shard_of(root: Path, name: str) -> Path:
    _, hashes = shards.unpack_index((root / INDEX).read_bytes())
    return root / f"noarch/shards/{hashes[name]}{shards.SUFFIX}"


def test_a_sound_channel_has_no_problems(channel: Path, site: Path) -> None:
    assert problems(channel) == []
    assert problems(site) == []
    assert check_channel(Folder(site)).records == {"linux-64": 1, "noarch": 2}


EVERY_FILE = [
    *("linux-64/repodata.json", "linux-64/repodata.json.zst", f"linux-64/{shards.INDEX_NAME}"),
    *(PLAIN, PACKED, INDEX, "channeldata.json", "index.html", history.CHANGES, history.COUNTS),
    *("history/noarch/names.json", "history/linux-64/names.json"),
]


@pytest.mark.parametrize("path", EVERY_FILE)
@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda path: path.write_bytes(b"")])
def test_no_file_of_ours_can_be_damaged_without_being_noticed(
    site: Path, path: str, damage: Callable[[Path], object]
) -> None:
    damage(site / path)
    assert any(path in problem for problem in problems(site))


def test_every_shard_of_ours_is_looked_at(site: Path) -> None:
    for path in sorted(site.glob("*/shards/*")):
        good = path.read_bytes()
        flip(path)
        assert any(path.name in problem for problem in problems(site))
        path.unlink()
        assert any("missing" in problem for problem in problems(site))
        path.write_bytes(good)
    assert problems(site) == []


def test_a_snapshot_that_cannot_be_read_is_a_problem(site: Path) -> None:
    (site / history.SNAPSHOT).write_bytes(b"{}")
    assert any(problem.startswith(history.SNAPSHOT) for problem in problems(site))


def test_a_snapshot_cannot_point_out_of_the_channel(site: Path) -> None:
    (site.parent / "secret").write_text("x")
    replace(site / history.SNAPSHOT, b'"index.html"', b'"../secret"')
    assert any("../secret" in problem for problem in problems(site))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "compressed file of other records": (
        lambda c: (c / PACKED).write_bytes(zstd.compress((c / PLAIN).read_bytes()[:-5])),
        PACKED,
    ),
    "compressed file cut short": (
        lambda c: (c / PACKED).write_bytes((c / PACKED).read_bytes()[:-9]),
        PACKED,
    ),
    "compressed file empty": (lambda c: (c / PACKED).write_bytes(b""), PACKED),
    "compressed file not compressed": (lambda c: shutil.copy(c / PLAIN, c / PACKED), PACKED),
    "a shard missing": (lambda c: shard_of(c, "beta").unlink(), "shard of beta is missing"),
    "a shard of other bytes": (lambda c: flip(shard_of(c, "beta")), "sha256"),
    "a shard with another name's record": (
        lambda c: put_shard(c, "beta", zstd.compress(shards.pack_shard(RECORDS))),
        "alpha-1.0-h1_0.conda is in the shard of beta",
    ),
    "a shard with a record less": (
        lambda c: put_shard(c, "alpha", zstd.compress(shards.pack_shard(RECORDS[:1]))),
        "other records than repodata.json",
    ),
    "a shard that says something else": (
        lambda c: put_shard(
            c, "beta", zstd.compress(shards.pack_shard([record("beta", license="x")]))
        ),
        "names: beta",
    ),
    "a shard that is no msgpack": (
        lambda c: put_shard(c, "beta", zstd.compress(b"\xc1")),
        "msgpack",
    ),
    "a shard that is not compressed": (
        lambda c: put_shard(c, "beta", shards.pack_shard(RECORDS[2:])),
        "zstd",
    ),
    "a shard too large for clients": (
        lambda c: put_shard(c, "beta", zstd.compress(bytes(shards.MAX_SHARD + 1))),
        "more than 16777216",
    ),
    "a name missing in the index": (
        lambda c: edit_index(c, lambda i: i["shards"].pop("beta")),
        "beta",
    ),
    "an index of another subdir": (
        lambda c: edit_index(c, lambda i: i["info"].update(subdir="linux-64")),
        "linux-64",
    ),
    "an index without addresses": (
        lambda c: edit_index(c, lambda i: i["info"].pop("base_url")),
        INDEX,
    ),
    "an index with hashes in hex": (
        lambda c: edit_index(c, lambda i: i["shards"].update(beta=sha256("x"))),
        INDEX,
    ),
    "an index with a time that no client reads": (
        lambda c: edit_index(c, lambda i: i["info"].update(created_at=1_700_000_000)),
        INDEX,
    ),
    "an index with bytes after its end": (
        lambda c: (c / INDEX).write_bytes((c / INDEX).read_bytes() + b"junk"),
        INDEX,
    ),
    "an index that leads out of the channel": (
        lambda c: edit_index(c, lambda i: i["info"].update(shards_base_url="../../")),
        "out of the channel",
    ),
    "an index that is no msgpack": (
        lambda c: (c / INDEX).write_bytes(zstd.compress(b"\xc1")),
        INDEX,
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_where_no_snapshot_helps(channel: Path, damage: str) -> None:
    happen, told = DAMAGE[damage]
    happen(channel)
    found = problems(channel)
    assert any(told in problem for problem in found), found


WITHOUT: list[tuple[str, dict[str, Any] | tuple[str, ...]]] = [
    *((f"no {key}", (key,)) for key in ("name", "version", "build", "build_number", "size")),
    ("no hash", ("sha256", "md5")),
    ("sha256", {"sha256": "0" * 63}),
    ("sha256", {"sha256": "G" * 64}),
    ("md5", {"md5": "0" * 64}),
    ("size", {"size": -1}),
    ("size", {"size": "1"}),
    ("build_number", {"build_number": True}),
    ("beta-1.0", {"depends": "python"}),
    ("beta-1.0", {"depends": [1]}),
    ("beta-1.0", {"depends": None}),
    ("beta-1.0", {"track_features": 5}),
    ("version", {"version": "1..0"}),
    ("file name", {"build": "other"}),
]


@pytest.mark.parametrize(("told", "change"), WITHOUT)
@pytest.mark.parametrize("ours", [True, False])
def test_a_record_that_clients_cannot_use_is_found(
    channel: Path, told: str, change: dict[str, Any] | tuple[str, ...], *, ours: bool
) -> None:
    document = orjson.loads((channel / PLAIN).read_bytes())
    (name,) = [key for key in document["packages.conda"] if key.startswith("beta")]
    fields = document["packages.conda"].pop(name)
    fields = fields | change if isinstance(change, dict) else without(fields, *change)
    if told == "version":
        name = name.replace("1.0", "1..0")
    line = b'"' + name.encode() + b'":' + orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    data = (channel / PLAIN).read_bytes()
    start = data.index(b'"beta-')
    data = data[:start] + line + data[data.index(b"\n", start) :]
    (channel / PLAIN).write_bytes(data if ours else json.dumps(orjson.loads(data)).encode())
    pack(channel)
    found = problems(channel)
    assert any(told in problem and PLAIN in problem for problem in found), found
