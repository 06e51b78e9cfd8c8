"""What a channel says of its packages is a stranger's word: where they are, and what they are."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pytest

from demo.packages import build
from indexer import registry as registry_module
from indexer.errors import RegistryError
from indexer.registry import Registry, RegistryAddress, Transport
from indexer.render import shards, zstd
from indexer.transfer import upstream as upstream_module
from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost
from tests.support.rig import Rig
from tests.transfer.stage import (
    PLAIN,
    SHARDED,
    Origin,
    exactly,
    held_by,
    mirror,
    reasons,
)

GOOD, ODD = build("good"), build("odd", "1!2.0+x")
ODD_NAME = f"noarch/{ODD.file_name}"


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "upstream")
    made.add(GOOD, ODD)
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FileHost]:
    (tmp_path / "elsewhere").mkdir()
    with FileHost(tmp_path / "elsewhere") as host:
        yield host


@pytest.fixture
def login(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target wants a password, and it is known."""
    rig.fake.knobs.auth = "basic"
    rig.fake.knobs.users = {"me": "s3cret"}
    monkeypatch.setenv("ORAS_USER", "me")
    monkeypatch.setenv("ORAS_PASS", "s3cret")


@pytest.mark.parametrize("form", [SHARDED, PLAIN])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "zz"}, "sha256"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"sha256": 7}, "sha256"),
        ({"md5": "00"}, "md5"),
        ({"sha256": None, "md5": None}, "without a hash"),
        ({"size": -1}, "size isn't one"),
        ({"size": "12"}, "size isn't one"),
        ({"size": True}, "size isn't one"),
        ({"size": 2**62}, "size isn't one"),
        ({"version": "2.0"}, "makes it odd-2.0-0"),
        ({"version": None}, "version"),
        ({"build": "-"}, "build"),
        ({"build": "x" * 65}, "build"),
    ],
    ids=str,
)
def test_a_record_that_cannot_be_right_is_named_and_costs_itself_alone(
    rig: Rig, origin: Origin, form: str, change: dict[str, Any], reason: str
) -> None:
    origin.record(ODD).update(change)
    origin.write(form)
    found = reasons(mirror(rig, origin.root))
    assert list(found) == [ODD_NAME]
    assert reason in found[ODD_NAME]
    assert held_by(rig) == exactly(GOOD)


@pytest.mark.parametrize(
    "file_name",
    [
        "../../../etc/odd-1!2.0+x-0.conda",
        "/etc/odd-1!2.0+x-0.conda",
        "sub/odd-1!2.0+x-0.conda",
        "odd-1!2.0+x-0.conda/..",
        "odd-1!2.0+x-0.exe",
        "good-1.0-1.conda",
        "\x1b[31modd-1!2.0+x-0.conda",
        "",
    ],
)
@pytest.mark.parametrize("form", [SHARDED, PLAIN])
def test_a_file_name_that_leads_elsewhere_is_left_out(
    rig: Rig, origin: Origin, file_name: str, form: str
) -> None:
    records = origin.records["noarch"]
    records[file_name] = records.pop(ODD.file_name)
    origin.write(form)
    outcome = mirror(rig, origin.root)
    (what,) = reasons(outcome)
    assert "\x1b" not in what
    assert held_by(rig) == exactly(GOOD)


def test_an_archive_among_those_of_the_other_format_is_left_out(rig: Rig, origin: Origin) -> None:
    path = origin.write(PLAIN).root / "noarch" / PLAIN
    text = path.read_text().replace('"packages.conda"', '"x"').replace('"packages"', '"p2"')
    path.write_text(text.replace('"x"', '"packages"').replace('"p2"', '"packages.conda"'))
    found = reasons(mirror(rig, origin.root))
    assert set(found.values()) == {"it is listed among packages"}


@pytest.mark.parametrize("base_url", ["{}/pool", "{}/pool/"])
@pytest.mark.parametrize("form", [SHARDED, PLAIN])
@pytest.mark.usefixtures("login")
def test_packages_elsewhere_are_fetched_there_and_no_credentials_go_along(
    rig: Rig, origin: Origin, elsewhere: FileHost, base_url: str, form: str
) -> None:
    for package in (GOOD, ODD):
        elsewhere.put(f"/pool/{package.file_name}", package.data)
    origin.write(form, base_url=base_url.format(elsewhere.http))
    assert mirror(rig, origin.root).failed == 0
    assert {request.path for request in elsewhere.requests} == {
        f"/pool/{package.file_name}" for package in (GOOD, ODD)
    }
    assert not [request for request in elsewhere.requests if "authorization" in request.headers]
    assert rig.fake.tags_of("acme/forge/noarch/good") == ["1.0-0"]


@pytest.mark.parametrize("served", [True, False])
def test_a_relative_base_url_is_a_folder_of_the_channel(
    rig: Rig, origin: Origin, *, served: bool
) -> None:
    origin.write(SHARDED, base_url="../pool/noarch")
    (origin.root / "pool").mkdir()
    pool = origin.root / "pool/noarch"
    pool.mkdir()
    for package in (GOOD, ODD):
        (origin.root / "noarch" / package.file_name).rename(pool / package.file_name)
    with FileHost(origin.root) as host:
        outcome = mirror(rig, host.http if served else origin.root)
    assert outcome.failed == 0
    assert held_by(rig) == exactly(GOOD, ODD)


@pytest.mark.parametrize(
    "base_url",
    [
        "file:///etc/",
        "../../outside/",
        "/outside/",
        "//host/outside",
        "ftp://host/",
        "oci+http://host/x",
        "ocidir:///tmp/",
        "oci://",
        "oci://host:port/x",
        "oci://user:word@host/x",
        "oci://host/UPPER/x",
        "oci://host/x?y",
        "http://",
        "\x1b[31m",
    ],
)
@pytest.mark.parametrize("form", [SHARDED, PLAIN])
def test_a_base_url_that_nobody_should_follow_is_named_and_not_followed(
    rig: Rig, origin: Origin, base_url: str, form: str
) -> None:
    outside = rig.root / "outside"
    outside.mkdir()
    (outside / GOOD.file_name).write_bytes(GOOD.data)
    origin.write(form, base_url=base_url)
    found = reasons(mirror(rig, origin.root))
    assert set(found) == {f"noarch/{GOOD.file_name}", ODD_NAME}
    assert not [text for text in found.values() if "\x1b" in text]
    assert held_by(rig) == {}


@pytest.mark.parametrize("base_url", ["ftp://host/", "file:///etc/", "../../outside/"])
def test_a_dry_run_tells_of_it_too(rig: Rig, origin: Origin, base_url: str) -> None:
    outcome = mirror(rig, origin.write(base_url=base_url).root, dry_run=True)
    assert (outcome.moved.count, outcome.failed) == (0, 2)


def test_a_base_url_that_is_no_text_is_refused(rig: Rig, origin: Origin) -> None:
    path = origin.write(PLAIN, base_url="x").root / "noarch" / PLAIN
    path.write_text(path.read_text().replace('"base_url": "x"', '"base_url": ["x"]'))
    with pytest.raises(RegistryError, match="base_url is no string"):
        mirror(rig, origin.root)


@pytest.mark.parametrize("place", ["address", "folder"])
def test_shards_may_lie_elsewhere(
    rig: Rig, origin: Origin, elsewhere: FileHost, place: str
) -> None:
    base = f"{elsewhere.http}/s" if place == "address" else "../all-shards"
    origin.write(SHARDED, shards_base_url=base)
    lay = origin.root / "noarch/shards"
    for path in lay.iterdir():
        elsewhere.put(f"/s/{path.name}", path.read_bytes())
    if place == "folder":
        lay.rename(origin.root / "all-shards")
    else:
        for path in lay.iterdir():
            path.unlink()
    assert mirror(rig, origin.root).notes == []
    assert held_by(rig) == exactly(GOOD, ODD)


def test_shards_that_lead_out_of_the_channel_are_not_read(rig: Rig, origin: Origin) -> None:
    origin.write(SHARDED, PLAIN, shards_base_url="../../outside")
    (origin.root / "noarch/shards").rename(origin.root.parent / "outside")
    assert "leads out of the channel" in mirror(rig, origin.root).notes[0]
    assert held_by(rig) == exactly(GOOD, ODD)


def test_a_shard_that_is_a_bomb_is_not_unpacked(rig: Rig, origin: Origin) -> None:
    origin.write(SHARDED, PLAIN)
    data = zstd.compress(bytes(shards.MAX_SHARD + 1))
    digest = hashlib.sha256(data).hexdigest()
    (origin.root / f"noarch/shards/{digest}{shards.SUFFIX}").write_bytes(data)
    index = shards.pack_index("noarch", "", {"good": digest})
    (origin.root / "noarch" / SHARDED).write_bytes(index)
    assert "when decompressed" in mirror(rig, origin.root).notes[0]


def test_an_index_of_another_subdir_is_not_read(rig: Rig, origin: Origin) -> None:
    origin.write(SHARDED, PLAIN)
    index = msgpack.unpackb(zstd.decompress((origin.root / "noarch" / SHARDED).read_bytes(), 9**9))
    index["info"]["subdir"] = "osx-64"
    (origin.root / "noarch" / SHARDED).write_bytes(zstd.compress(msgpack.packb(index)))
    assert "is said to be that of osx-64" in mirror(rig, origin.root).notes[0]


def test_the_same_archive_listed_by_two_names_is_copied_once(rig: Rig, origin: Origin) -> None:
    origin.write(SHARDED)
    _, hashes = shards.unpack_index((origin.root / "noarch" / SHARDED).read_bytes())
    index = shards.pack_index("noarch", "", hashes | {"goods": hashes["good"]})
    (origin.root / "noarch" / SHARDED).write_bytes(index)
    outcome = mirror(rig, origin.root)
    assert (outcome.moved.count, outcome.failed) == (2, 0)
    assert held_by(rig) == exactly(GOOD, ODD)


def test_a_shard_of_a_wanted_name_brings_no_other_in(rig: Rig, origin: Origin) -> None:
    origin.record(ODD)["name"] = "good"
    origin.write(SHARDED)
    origin.record(ODD)["name"] = "odd"
    data = zstd.decompress(origin.shard(GOOD).read_bytes(), 9**9)
    shard = msgpack.unpackb(data)
    shard["packages.conda"][ODD.file_name]["name"] = "odd"
    packed = zstd.compress(msgpack.packb(shard))
    digest = hashlib.sha256(packed).hexdigest()
    (origin.root / f"noarch/shards/{digest}{shards.SUFFIX}").write_bytes(packed)
    index = shards.pack_index("noarch", "", {"good": digest})
    (origin.root / "noarch" / SHARDED).write_bytes(index)
    mirror(rig, origin.root, globs=["good"])
    assert held_by(rig) == exactly(GOOD)


@pytest.fixture
def plain_oci(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """oci:// goes to a fake without TLS; gives whether each registry was opened anonymously."""
    opened: list[bool] = []

    def open_plainly(
        address: RegistryAddress, transport: Transport, *, anonymous: bool
    ) -> Registry:
        opened.append(anonymous)
        plain = dataclasses.replace(address, scheme="oci+http")
        return registry_module.open_registry(plain, transport, anonymous=anonymous)

    monkeypatch.setattr(upstream_module, "open_registry", open_plainly)
    return opened


@pytest.mark.parametrize("form", [SHARDED, PLAIN])
@pytest.mark.usefixtures("login")
def test_packages_in_another_registry_are_fetched_by_digest_without_our_credentials(
    rig: Rig, origin: Origin, plain_oci: list[bool], form: str
) -> None:
    with FakeRegistry() as other:
        for package in (GOOD, ODD):
            other.add_blob(f"team/chan/noarch/{package.name}", package.data)
        origin.write(form, base_url=f"oci://{other.address}/team/chan/noarch")
        assert mirror(rig, origin.root).failed == 0
        assert {(request.kind, request.method) for request in other.requests} == {("blobs", "GET")}
        assert not [request for request in other.requests if "authorization" in request.headers]
    assert plain_oci == [True]
    assert rig.fake.tags_of("acme/forge/noarch/odd") == ["1__e__2.0__p__x-0"]


def test_bytes_of_another_registry_are_checked_too(
    rig: Rig, origin: Origin, plain_oci: list[bool]
) -> None:
    with FakeRegistry() as other:
        other.add_blob("team/noarch/good", GOOD.data)
        origin.record(ODD)["size"] = None
        origin.write(PLAIN, base_url=f"oci://{other.address}/team/noarch/")
        found = reasons(mirror(rig, origin.root))
    assert "sha256 and size" in found[ODD_NAME]
    assert held_by(rig) == exactly(GOOD)
    assert len(plain_oci) == 1


@pytest.mark.parametrize(("target", "anonymous"), [("registry.example", False), ("other", True)])
@pytest.mark.usefixtures("login")
def test_only_the_target_itself_gets_its_own_credentials(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, target: str, *, anonymous: bool
) -> None:
    asked: list[bool] = []

    class StopError(RegistryError):
        """Far enough."""

    def note(address: RegistryAddress, _: Transport, *, anonymous: bool) -> Registry:
        assert address.host == "registry.example"
        asked.append(anonymous)
        raise StopError

    monkeypatch.setattr(upstream_module, "open_registry", note)
    origin.write(PLAIN, base_url="oci://registry.example/acme/forge/noarch")
    address = RegistryAddress.parse(f"oci://{target}/acme")
    with (
        closing(Transport()) as transport,
        upstream_module.open_upstream(str(origin.root), transport, address) as upstream,
        (origin.root / "scratch").open("w+b") as file,
    ):
        listed = upstream.entries("noarch", (), lambda *_: None)
        assert listed is not None
        with pytest.raises(StopError):
            upstream.download(listed.entries[0], file)
    assert asked == [anonymous]
