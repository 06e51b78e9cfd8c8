"""A site that is made anew, damaged, or taken away while it is served from its folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.packages import build
from indexer.errors import ConfigError, ContentError
from indexer.gateway.channel.source import Origin
from indexer.registry import RegistryAddress
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.gateway.running import Running, parted, rest_of
from tests.support.rig import Rig
from tests.support.waiting import wait_until

ALPHA = package_of(10_000)
BETA = build("beta")
BETA_PATH = "noarch/beta-1.0-0.conda"


def names(gateway: Running) -> set[str]:
    document = json.loads(gateway.get("noarch/repodata.json").content)
    return set(document["packages"] | document["packages.conda"])


def test_a_new_build_is_served_without_a_new_start(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA)
    gateway = serve(refresh=0.05)
    before = gateway.get("noarch/repodata.json").headers["ETag"]
    assert gateway.get(BETA_PATH).status_code == 404

    publish(rig, BETA)
    wait_until(lambda: gateway.get(BETA_PATH).status_code == 200)

    assert names(gateway) == {ALPHA.file_name, BETA.file_name}
    assert gateway.get(BETA_PATH).content == BETA.data
    assert gateway.get("noarch/repodata.json").headers["ETag"] != before
    assert gateway.told == ["A new state is served."]


def test_what_has_left_the_index_is_served_no_more(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA, BETA, build("gamma"), build("delta"))
    gateway = serve()
    assert gateway.get(BETA_PATH).status_code == 200
    assert gateway.get(BETA_PATH).status_code == 200

    rig.fake.remove_tag(rig.repository("noarch", "beta"), "1.0-0")
    rig.rebuild(pages=False)
    assert gateway.look()

    assert gateway.get(BETA_PATH).status_code == 404


def test_nothing_new_changes_nothing(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA)
    gateway = serve()
    etag = gateway.get("noarch/repodata.json").headers["ETag"]

    assert not gateway.look()
    publish(rig)

    gateway.look()
    assert gateway.get("noarch/repodata.json").headers["ETag"] == etag
    assert gateway.told in ([], ["A new state is served."])


def test_who_is_reading_the_old_index_gets_it_whole(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    many = [build(f"name{number}", extra_index={"summary": "x" * 60_000}) for number in range(150)]
    publish(rig, *many)
    gateway = serve()
    old = hashlib.sha256((rig.site / "noarch" / "repodata.json").read_bytes()).hexdigest()
    reader = stack.enter_context(gateway.ask("noarch/repodata.json", 4096))
    begun = reader.recv(1000)

    publish(rig, BETA)
    assert gateway.look()
    assert BETA.file_name in names(gateway)

    _, fields, body = parted(begun + rest_of(reader))
    assert hashlib.sha256(body).hexdigest() == old
    assert fields["etag"] == f'"{old}"'


def test_the_index_and_its_shards_are_of_one_build(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA)
    gateway = serve()
    publish(rig, BETA)

    # The new one lies in the folder, and nobody has looked yet.
    assert names(gateway) == {ALPHA.file_name}
    assert gateway.get(BETA_PATH).status_code == 404
    for name in ("repodata.json.zst", "repodata_shards.msgpack.zst"):
        served = gateway.get(f"noarch/{name}").content
        assert served != (rig.site / "noarch" / name).read_bytes()


def damage(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2] + b"junk")


@pytest.mark.parametrize(
    "name",
    [
        "history/snapshot.json",
        "noarch/repodata.json.zst",
        "noarch/repodata_shards.msgpack.zst",
    ],
)
def test_a_damaged_build_is_not_taken_and_told_once(rig: Rig, serve: Serve, name: str) -> None:
    publish(rig, ALPHA)
    gateway = serve()
    publish(rig, BETA)
    kept = rig.root / "kept"
    shutil.copytree(rig.site, kept)
    damage(rig.site / name)

    for _ in range(3):
        assert not gateway.look()
        assert names(gateway) == {ALPHA.file_name}
        assert gateway.get(PATH).content == ALPHA.data
    assert len(gateway.told) == 1
    assert gateway.told[0].startswith("Not fresh: ")
    assert gateway.number("refreshes_total", outcome="failed") == 3
    assert gateway.get("-/ready").status_code == 200

    shutil.rmtree(rig.site)
    kept.rename(rig.site)
    assert gateway.look()
    assert names(gateway) == {ALPHA.file_name, BETA.file_name}
    assert len(gateway.told) == 2


def test_a_folder_that_is_gone_takes_the_index_from_nobody(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA)
    gateway = serve()
    shutil.rmtree(rig.site)

    assert not gateway.look()

    assert names(gateway) == {ALPHA.file_name}
    assert gateway.told[0].startswith("Not fresh: ")
    # The shards lie in the folder alone.
    assert gateway.get(PATH).status_code in {200, 500}
    assert gateway.number("faults_total") == 0


def test_a_shard_that_is_damaged_is_no_answer_for_a_package(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA)
    gateway = serve()
    for file in (rig.site / "noarch" / "shards").iterdir():
        damage(file)

    answer = gateway.get(PATH)

    assert answer.status_code == 500
    assert str(rig.root).encode() not in answer.content
    assert rig.fake.count("blobs") == 0
    assert gateway.number("faults_total") == 0


def test_a_site_that_names_another_registry_than_before_is_not_taken(
    rig: Rig, serve: Serve
) -> None:
    publish(rig, ALPHA)
    gateway = serve()
    snapshot = rig.site / "history" / "snapshot.json"
    text = snapshot.read_text().replace(rig.fake.address, "127.0.0.1:6379")
    assert "6379" in text
    snapshot.unlink()
    snapshot.write_text(text)

    assert not gateway.look()

    assert "another registry" in gateway.told[0]
    assert gateway.get(PATH).content == ALPHA.data


def test_an_operator_may_say_where_the_packages_are(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA)
    image_of_alpha = rig.fake.blob_of(rig.repository("noarch", "alpha"), f"sha256:{ALPHA.sha256}")
    assert image_of_alpha is not None
    rig.fake.add_blob("mirror/copy/noarch/alpha", image_of_alpha)
    address = RegistryAddress.parse(f"oci+{rig.fake.http}/mirror")

    answer = serve(origin=Origin(address, "copy")).get(PATH)

    assert answer.content == ALPHA.data
    (asked,) = rig.fake.requests
    assert asked.repository == "mirror/copy/noarch/alpha"


def test_without_a_site_there_is_no_beginning(rig: Rig, serve: Serve) -> None:
    rig.site.mkdir()

    with pytest.raises(ConfigError, match="cf-index rebuild"):
        serve()


def test_a_damaged_site_is_no_beginning(rig: Rig, serve: Serve) -> None:
    publish(rig, ALPHA)
    damage(rig.site / "noarch" / "repodata.json.zst")

    with pytest.raises(ContentError):
        serve()
