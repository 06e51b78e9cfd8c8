"""The files of the index, the pages, and what isn't to be had."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from demo.run import fill as shelve
from demo.shelf import shelf
from indexer.channel.artifact import place_of
from indexer.registry import RegistryAddress
from indexer.render import shards, zstd
from tests.gateway.conftest import Serve
from tests.gateway.running import Running
from tests.support.push import push_image
from tests.support.registry_process import RegistryProcess
from tests.support.rig import CHANNEL, Rig, records_in

PACKAGES = (
    build("alpha"),
    build("alpha", "2.0", depends=["beta >=1"]),
    build("beta", archive="tar.bz2"),
    build("_hidden"),
    build("native", subdir="linux-64"),
)
PUBLISHED_FOR = "oci://quay.example/acme/forge/"
INDEX = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")


def fill(rig: Rig, **settings: Any) -> None:
    for package in PACKAGES:
        rig.push(package)
    rig.rebuild(**settings)


def monolithic(answer: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer)
    return document


def sharded(gateway: Running, subdir: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The shard index's info, and all records that its shards hold, each read over HTTP."""
    index = gateway.get(f"{subdir}/repodata_shards.msgpack.zst")
    info, hashes = shards.unpack_index(index.content)
    records: dict[str, Any] = {}
    for digest in hashes.values():
        answer = gateway.get(f"{subdir}/shards/{digest}.msgpack.zst")
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == digest
        records |= dict(
            shards.shard_entries(shards.open_shard(answer.content, digest), shards.MAX_VALUES)
        )
    return dict(info), records


@pytest.mark.parametrize("base_url", [None, "https://conda.example/forge"])
@pytest.mark.parametrize("published_for", [None, PUBLISHED_FOR])
def test_no_form_of_the_index_keeps_the_address_it_was_published_for(
    rig: Rig, serve: Serve, base_url: str | None, published_for: str | None
) -> None:
    fill(rig, base_url=published_for)
    gateway = serve(base_url=base_url)

    for subdir in ("noarch", "linux-64"):
        plain = gateway.get(f"{subdir}/repodata.json").content
        packed = zstd.decompress(gateway.get(f"{subdir}/repodata.json.zst").content, 1 << 20)
        info, records = sharded(gateway, subdir)
        written = None if base_url is None else f"{base_url}/{subdir}/"

        assert b"quay.example" not in plain
        assert packed == plain
        document = monolithic(plain)
        assert document["info"].get("base_url") == written
        assert document["repodata_version"] == (1 if base_url is None else 2)
        assert info["base_url"] == (written or "")
        assert document["packages"] | document["packages.conda"] == records_in(rig.site, subdir)
        assert records.keys() == records_in(rig.site, subdir).keys()
        assert {name: record["sha256"].hex() for name, record in records.items()} == {
            name: record["sha256"] for name, record in records_in(rig.site, subdir).items()
        }


def test_what_needs_no_other_address_is_served_as_it_was_published(rig: Rig, serve: Serve) -> None:
    fill(rig)
    gateway = serve()

    for name in INDEX:
        file = rig.site / "noarch" / name
        answer = gateway.get(f"noarch/{name}")
        assert answer.content == file.read_bytes()
        assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("noarch/repodata.json", "application/json"),
        ("noarch/repodata.json.zst", "application/zstd"),
        ("noarch/repodata_shards.msgpack.zst", "application/zstd"),
        ("channeldata.json", "application/json"),
        ("", "text/html; charset=utf-8"),
        ("status.json", "application/json"),
    ],
)
def test_a_file_says_what_it_is_and_may_not_be_taken_for_anything_else(
    rig: Rig, serve: Serve, path: str, media_type: str
) -> None:
    fill(rig)

    answer = serve().get(path)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # A page of the channel has scripts of its own.
    assert "Content-Security-Policy" not in answer.headers
    assert answer.headers["Cache-Control"].startswith("no-cache")
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(answer.content))


def test_what_has_its_digest_in_its_name_may_be_kept_for_good(rig: Rig, serve: Serve) -> None:
    fill(rig)
    gateway = serve()
    shard = next((rig.site / "noarch" / "shards").iterdir())

    answers = [gateway.get(f"noarch/shards/{shard.name}"), gateway.get("noarch/alpha-1.0-0.conda")]

    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "max-age=31536000, immutable"


def test_a_folder_without_its_slash_leads_to_its_page(rig: Rig, serve: Serve) -> None:
    fill(rig)
    gateway = serve()
    folder = next(p for p in sorted(rig.site.rglob("index.html")) if p.parent != rig.site).parent
    path = folder.relative_to(rig.site).as_posix()

    answer = gateway.get(path)

    assert answer.status_code == 307
    followed = gateway.session.get(f"{gateway.http}/{path}", timeout=10)
    assert followed.url == f"{gateway.http}/{path}/"
    assert followed.content == (folder / "index.html").read_bytes()


def test_nothing_hidden_and_nothing_outside_is_in_a_folder(rig: Rig, serve: Serve) -> None:
    fill(rig)
    (rig.root / "secret.txt").write_text("secret")
    (rig.site / ".htpasswd").write_text("secret")
    (rig.site / ".well-known").mkdir()
    (rig.site / ".well-known" / "x.txt").write_text("secret")
    (rig.site / "out.txt").symlink_to(rig.root / "secret.txt")
    (rig.site / "etc").symlink_to("/etc")
    (rig.site / "up").symlink_to(rig.root)
    os.mkfifo(rig.site / "pipe")
    gateway = serve()

    for path in (
        ".htpasswd",
        ".well-known/x.txt",
        "out.txt",
        "etc/passwd",
        "up/secret.txt",
        "up/site/index.html/",
        "etc",
        "pipe",
        "noarch",
        "noarch/shards/",
    ):
        answer = gateway.get(path)
        assert answer.status_code == 404, path
        assert b"secret" not in answer.content


def stranger(rig: Rig) -> Package:
    """A package that the registry has, and that nobody has validated."""
    package = build("alpha", "6.6.6")
    rig.push(package, validated=False)
    return package


def test_of_what_the_index_does_not_name_nothing_is_asked(rig: Rig, serve: Serve) -> None:
    fill(rig)
    package = stranger(rig)
    gateway = serve()
    rig.fake.clear_requests()
    digest = PACKAGES[0].sha256

    for path in (
        f"noarch/{package.file_name}",
        "noarch/absent-1.0-0.conda",
        "noarch/alpha-1.0-0.tar.bz2",
        "linux-64/alpha-1.0-0.conda",
        "osx-64/alpha-1.0-0.conda",
        "alpha-1.0-0.conda",
        "noarch/x/alpha-1.0-0.conda",
        "noarch//alpha-1.0-0.conda",
        "/noarch/alpha-1.0-0.conda",
        "noarch/.conda",
        "noarch/-.conda",
        "noarch/--.conda",
        "noarch/zzz_hidden-1.0-0.conda",
        f"noarch/{digest}",
        f"noarch/sha256:{digest}",
        f"v2/acme/{CHANNEL}/noarch/alpha/blobs/sha256:{digest}",
        f"noarch/shards/{'0' * 64}.msgpack.zst",
    ):
        assert gateway.get(path).status_code == 404, path
    assert rig.fake.requests == []


def test_of_the_folder_only_what_is_of_the_site_is_served(rig: Rig, serve: Serve) -> None:
    fill(rig)
    for name in ("secret.txt", "noarch/secret.txt", "secret.conda", "noarch/shards/secret.txt"):
        (rig.site / name).write_text("secret")
    gateway = serve()
    (shard, *_) = (rig.site / "noarch" / "shards").glob("*.zst")

    for path in (
        "secret.txt",
        "noarch/secret.txt",
        "secret.conda",
        "noarch/shards/secret.txt",
        f"noarch/shards/{shard.name.partition('.')[0]}",
        f"noarch/shards/{shard.name.partition('.')[0]}.msgpack",
        f"noarch/shards/{shard.name}.msgpack.zst",
    ):
        assert gateway.get(path).status_code == 404, path
    assert gateway.get(f"noarch/shards/{shard.name}").status_code == 200


@pytest.mark.parametrize("folder", ["", "status/", "history/", "api/x/", "noarch/shards/"])
def test_a_name_too_long_for_a_file_is_none(rig: Rig, serve: Serve, folder: str) -> None:
    fill(rig)
    gateway = serve()

    for name in ("a" * 300, "a" * 300 + ".json", "a" * 300 + "/x", "a" * 300 + ".msgpack.zst"):
        assert gateway.get(folder + name).status_code == 404
    assert gateway.number("faults_total") == 0


def test_a_package_comes_from_where_its_name_leads(rig: Rig, serve: Serve) -> None:
    fill(rig)
    gateway = serve()

    for package in PACKAGES:
        answer = gateway.get(f"{package.subdir}/{package.file_name}")
        assert answer.content == package.data
        assert answer.headers["ETag"] == f'"sha256:{package.sha256}"'
        assert answer.headers["Content-Type"] == "application/octet-stream" or (
            package.file_name.endswith(".bz2")
        )


def test_a_real_registry_serves_the_whole_channel(
    docker_registry: RegistryProcess, rig: Rig, serve: Serve
) -> None:
    registry = RegistryAddress.parse(f"oci+{docker_registry.http}/acme")
    for package in PACKAGES:
        image = package_manifest([package], annotations=VALIDATED)
        place = place_of(package.subdir, package.file_name)
        full = registry.repository(CHANNEL, place.subdir, place.repository)
        push_image(docker_registry.http, full, image)
    rig.rebuild(registry=registry, base_url=PUBLISHED_FOR)
    gateway = serve()

    for subdir in ("noarch", "linux-64"):
        document = monolithic(gateway.get(f"{subdir}/repodata.json").content)
        for name, record in (document["packages"] | document["packages.conda"]).items():
            answer = gateway.get(f"{subdir}/{name}")
            assert hashlib.sha256(answer.content).hexdigest() == record["sha256"]
            part = gateway.get(f"{subdir}/{name}", {"Range": "bytes=10-19"})
            assert (part.status_code, part.content) == (206, answer.content[10:20])
    assert gateway.get("noarch/absent-1-0.conda").status_code == 404


def test_an_image_layout_on_disk_is_a_registry_too(rig: Rig, serve: Serve, tmp_path: Path) -> None:
    shelve(tmp_path / "layouts", shelf())
    rig.rebuild(registry=RegistryAddress.parse(f"ocidir://{tmp_path}/layouts"), channel="demo")
    gateway = serve()

    for name, record in records_in(rig.site, "noarch").items():
        answer = gateway.get(f"noarch/{name}")
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == record["sha256"]
        assert answer.headers["ETag"] == f'"sha256:{record["sha256"]}"'
