"""What of a site elsewhere is kept on the disk, for how long, and how much of it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.packages import build
from indexer.errors import CfIndexError, ContentError
from indexer.files import sha256_of
from indexer.gateway.channel.sites import WebSite
from indexer.gateway.channel.source import ChannelSource, Origin
from indexer.gateway.found import Blob
from indexer.registry import RegistryAddress
from indexer.registry.transport import Transport
from indexer.render import zstd
from tests.gateway.channels import PATH, package_of, publish
from tests.support.faults import is_path, status
from tests.support.loopback import FileHost
from tests.support.rig import Rig

ALPHA = package_of(1000)
WEEK = 7 * 86_400


@pytest.fixture
def host(rig: Rig) -> Iterator[FileHost]:
    with FileHost(rig.site) as host:
        yield host


@pytest.fixture
def source(rig: Rig, host: FileHost, tmp_path: Path) -> Iterator[ChannelSource]:
    (tmp_path / "kept").mkdir()
    site = WebSite(f"{host.http}/", Transport(retry_for=0), tmp_path / "kept")
    registry = RegistryAddress.parse(f"oci+{rig.fake.http}/acme")
    made = ChannelSource(site, Origin(registry), tmp_path / "kept", None)
    yield made
    made.close()


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.gateway.channel.sites._TIDY_EVERY", -1.0)


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "kept" / "shards" / "noarch").iterdir())


def aged(files: list[Path], seconds: float) -> None:
    for file in files:
        os.utime(file, (time.time() - seconds,) * 2)


@pytest.mark.usefixtures("_at_once")
def test_a_look_that_fails_at_its_end_takes_no_shard_away(
    rig: Rig, host: FileHost, source: ChannelSource, tmp_path: Path
) -> None:
    publish(rig, ALPHA)
    source.refresh()
    (old,) = kept(tmp_path)
    publish(rig, build("alpha", "2.0"))
    # The last file of all that are fetched.
    fault = status(404, match=is_path("/channeldata.json"))
    host.faults.append(fault)

    for _ in range(3):
        aged([old], WEEK + 100)
        with pytest.raises(CfIndexError):
            source.refresh()

    assert fault.fired == 3
    assert len(kept(tmp_path)) == 2
    assert isinstance(source.find(PATH), Blob)
    assert source.find(f"noarch/shards/{old.name}") is not None


@pytest.mark.usefixtures("_at_once")
def test_a_shard_of_no_use_stays_for_a_week(
    rig: Rig, source: ChannelSource, tmp_path: Path
) -> None:
    publish(rig, ALPHA)
    source.refresh()
    (old,) = kept(tmp_path)
    publish(rig, build("alpha", "2.0"))
    source.refresh()

    aged([old], WEEK - 100)
    source.refresh()
    assert source.find(f"noarch/shards/{old.name}") is not None

    aged([old], WEEK + 100)
    source.refresh()
    assert source.find(f"noarch/shards/{old.name}") is None
    assert len(kept(tmp_path)) == 1


@pytest.mark.usefixtures("_at_once")
def test_a_shard_in_use_stays_and_its_week_begins_when_it_is_of_no_use(
    rig: Rig, source: ChannelSource, tmp_path: Path
) -> None:
    publish(rig, ALPHA)
    source.refresh()
    (shard,) = kept(tmp_path)

    aged([shard], 3 * WEEK)
    source.refresh()
    assert time.time() - shard.stat().st_mtime < 1000

    publish(rig, build("alpha", "2.0"))
    source.refresh()
    assert shard.exists()


def test_the_disk_is_looked_through_once_an_hour(
    rig: Rig, source: ChannelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, ALPHA)
    source.refresh()
    (old,) = kept(tmp_path)
    publish(rig, build("alpha", "2.0"))
    source.refresh()
    aged([old], WEEK + 100)
    source.refresh()
    assert old.exists()

    now = time.time() + 3700
    monkeypatch.setattr("indexer.gateway.channel.sites.time.time", lambda: now)
    source.refresh()
    assert not old.exists()


def test_what_unpacks_to_more_than_was_said_stops_there(
    rig: Rig, source: ChannelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(rig, ALPHA)
    source.refresh()
    publish(rig, build("beta"))
    path = "noarch/repodata.json.zst"
    packed = zstd.compress(bytes(100_000_000))
    (rig.site / path).unlink()
    (rig.site / path).write_bytes(packed)
    snapshot = rig.site / "history" / "snapshot.json"
    document = json.loads(snapshot.read_text())
    files = document["subdirs"]["noarch"]["files"]
    said = files["noarch/repodata.json"]["size"]
    files[path] = {"sha256": hashlib.sha256(packed).hexdigest(), "size": len(packed)}
    snapshot.unlink()
    snapshot.write_text(json.dumps(document))
    unpacked: list[int] = []

    def seen(file: Path) -> str:
        unpacked.append(file.stat().st_size)
        return sha256_of(file)

    monkeypatch.setattr("indexer.gateway.channel.taking.sha256_of", seen)

    with pytest.raises(ContentError):
        source.refresh()

    assert unpacked == [said + 1]
    assert isinstance(source.find(PATH), Blob)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 1_000_000
