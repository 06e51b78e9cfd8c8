"""Publish puts an index where oci:// clients look: shards first, only what is new, or nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pytest
import requests

from demo.packages import build
from indexer.errors import ConfigError, RegistryError
from indexer.published import open_published
from indexer.registry import Registry, RegistryAddress, Transport, open_registry
from indexer.render import shards, zstd
from indexer.transfer.job import Job
from indexer.transfer.outcome import Outcome
from indexer.transfer.publish import Publish
from tests.registry.help import VirtualTime
from tests.support import faults
from tests.support.loopback import FileHost
from tests.support.registry_process import RegistryProcess
from tests.support.rig import CHANNEL, START, Rig
from tests.transfer.stage import PACKED, PLAIN, SHARDED, Origin, Stops, names

TYPES = [
    ("application/vnd.conda.repodata.v1+json", PLAIN),
    ("application/vnd.conda.repodata.v1+json+zst", PACKED),
    ("application/vnd.conda.repodata.shards.v1+msgpack+zst", SHARDED),
]
SHARD = "application/vnd.conda.repodata.shard.v1+msgpack+zst"
INDEX = "acme/forge/noarch/repodata.json"
SHARDS = f"{INDEX}/shards"
STAMP = "2026.11.01.12.00"


@pytest.fixture
def site(rig: Rig) -> Path:
    """A site of ours, of two subdirs."""
    rig.push(build("alpha"), build("alpha", archive="tar.bz2"))
    rig.push(build("beta"))
    rig.push(build("_gamma", "1!2.0+x", subdir="linux-64"))
    rig.rebuild()
    rig.fake.clear_requests()
    return rig.site


def publish(rig: Rig, site: str | Path, address: str = "", **settings: Any) -> Outcome:
    with (
        closing(Transport(clock=VirtualTime().clock)) as transport,
        open_published(str(site), transport) as published,
    ):
        place = RegistryAddress.parse(address) if address else rig.config().registry
        registry = open_registry(place, transport, writing=True)
        defaults: dict[str, Any] = {"now": START, "jobs": 4, "abort": transport.close}
        again = settings.pop("again", False)
        job = Job(registry=registry, channel=CHANNEL, **(defaults | settings))
        return Publish(job, published, again=again).run()


def index_in(site: Path, subdir: str = "noarch") -> dict[str, str]:
    return shards.unpack_index((site / subdir / SHARDED).read_bytes())[1]


def layers_of(rig: Rig, repository: str = INDEX, tag: str = "latest") -> dict[str, bytes]:
    """The layers of a tag by title, checked against their digests."""
    found = {}
    for layer in rig.fake.manifest_of(repository, tag)["layers"]:
        data = rig.fake.blob_of(repository, layer["digest"])
        assert data is not None
        assert len(data) == layer["size"]
        found[layer["annotations"]["org.opencontainers.image.title"]] = data
    return found


def writes(rig: Rig) -> list[faults.Request]:
    return [r for r in rig.fake.requests if r.method not in {"GET", "HEAD"}]


def puts(rig: Rig) -> list[str]:
    """The tags written, in order."""
    return [r.reference for r in rig.fake.requests if (r.kind, r.method) == ("manifests", "PUT")]


def test_repositories_tags_types_and_titles_are_those_of_the_layout(rig: Rig, site: Path) -> None:
    outcome = publish(rig, site)
    assert (outcome.failed, outcome.notes) == (0, [])
    for subdir in ("noarch", "linux-64"):
        repository = f"acme/forge/{subdir}/repodata.json"
        assert rig.fake.tags_of(repository) == [STAMP, "latest"]
        manifest = rig.fake.manifest_of(repository, "latest")
        assert manifest == rig.fake.manifest_of(repository, STAMP)
        assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
        found = [
            (layer["mediaType"], layer["annotations"]["org.opencontainers.image.title"])
            for layer in manifest["layers"]
        ]
        assert found == TYPES
        hashes = index_in(site, subdir)
        assert rig.fake.tags_of(f"{repository}/shards") == sorted(hashes.values())
        for digest in hashes.values():
            shard = rig.fake.manifest_of(f"{repository}/shards", digest)
            (layer,) = shard["layers"]
            assert (layer["mediaType"], layer["digest"]) == (SHARD, f"sha256:{digest}")
            data = rig.fake.blob_of(f"{repository}/shards", layer["digest"])
            assert data == (site / subdir / f"shards/{digest}.msgpack.zst").read_bytes()


def test_all_forms_say_the_same_and_lead_to_the_registry(rig: Rig, site: Path) -> None:
    publish(rig, site)
    layers = layers_of(rig)
    assert layers[PLAIN] == (site / "noarch" / PLAIN).read_bytes()
    assert zstd.decompress(layers[PACKED], 9**9) == layers[PLAIN]
    info, hashes = shards.unpack_index(layers[SHARDED])
    assert info == {"base_url": "", "shards_base_url": "./shards/", "subdir": "noarch"}
    assert hashes == index_in(site)


def test_shards_come_before_the_index_and_the_index_before_its_tag(rig: Rig, site: Path) -> None:
    publish(rig, site, subdirs=["noarch"])
    order = puts(rig)
    assert sorted(order[:2]) == sorted(index_in(site).values())
    assert order[2:] == [STAMP, "latest"]
    last_blob = max(i for i, r in enumerate(rig.fake.requests) if r.kind == "uploads")
    first_index = next(i for i, r in enumerate(rig.fake.requests) if r.reference == STAMP)
    assert last_blob < first_index


def test_nothing_is_written_where_nothing_has_changed(rig: Rig, site: Path) -> None:
    publish(rig, site)
    rig.fake.clear_requests()
    outcome = publish(rig, site, now=START.replace(hour=20))
    assert (outcome.moved.count, outcome.present) == (0, 3 + 6)
    assert writes(rig) == []
    assert rig.fake.tags_of(INDEX) == [STAMP, "latest"]


def test_only_new_shards_are_pushed(rig: Rig, site: Path) -> None:
    publish(rig, site)
    old = set(index_in(site).values())
    rig.push(build("beta", "2.0"))
    rig.rebuild()
    rig.fake.clear_requests()
    outcome = publish(rig, site, now=START.replace(hour=20))
    (new,) = set(index_in(site).values()) - old
    assert puts(rig) == [new, "2026.11.01.20.00", "latest"]
    assert names(outcome.moved)[-1] == f"noarch/shards/{new}.msgpack.zst"
    assert outcome.moved.count == 4


def test_all_pushes_every_shard_again(rig: Rig, site: Path) -> None:
    publish(rig, site, subdirs=["noarch"])
    rig.fake.clear_requests()
    publish(rig, site, again=True, subdirs=["noarch"])
    assert set(puts(rig)) == set(index_in(site).values())


def test_a_dry_run_counts_and_writes_nothing(rig: Rig, site: Path) -> None:
    outcome = publish(rig, site, dry_run=True)
    assert outcome.moved.count == 6 + 3
    assert writes(rig) == []
    done = publish(rig, site)
    assert (outcome.moved.count, outcome.moved.size) == (done.moved.count, done.moved.size)


@pytest.mark.parametrize("wrong", ["missing", "damaged"])
def test_with_a_bad_shard_the_old_index_stays(rig: Rig, site: Path, wrong: str) -> None:
    publish(rig, site)
    before = layers_of(rig)
    rig.push(build("beta", "2.0"))
    rig.rebuild()
    path = site / f"noarch/shards/{index_in(site)['beta']}.msgpack.zst"
    if wrong == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    for dry_run in (True, False):
        outcome = publish(rig, site, now=START.replace(hour=20), dry_run=dry_run)
        assert "noarch isn't published" in outcome.failures[-1].reason
    assert layers_of(rig) == before
    assert rig.fake.tags_of(INDEX) == [STAMP, "latest"]


def test_interrupted_between_shards_and_index_it_is_finished_by_the_next_run(
    rig: Rig, site: Path
) -> None:
    hashes = index_in(site)

    def ready() -> bool:
        return set(hashes.values()) <= set(rig.fake.tags_of(SHARDS))

    with pytest.raises(KeyboardInterrupt):
        publish(rig, site, jobs=1, subdirs=["noarch"], progress=Stops("Publishing", ready))
    assert rig.fake.tags_of(INDEX) == []
    rig.fake.clear_requests()
    publish(rig, site, subdirs=["noarch"])
    assert puts(rig) == [STAMP, "latest"]
    assert shards.unpack_index(layers_of(rig)[SHARDED])[1] == hashes


def test_a_registry_that_fails_at_the_index_keeps_the_old_one(rig: Rig, site: Path) -> None:
    rig.fake.knobs.faults = [faults.closed(match=faults.is_manifest_put(INDEX))]
    with pytest.raises(RegistryError):
        publish(rig, site)
    assert rig.fake.tags_of(INDEX) == []
    rig.fake.knobs.faults = []
    publish(rig, site)
    assert layers_of(rig)[PLAIN] == (site / "noarch" / PLAIN).read_bytes()


def test_a_published_index_that_cannot_be_read_is_replaced(rig: Rig, site: Path) -> None:
    publish(rig, site)
    body = b'{"schemaVersion": 2, "manifests": []}'
    rig.fake.add_manifest(INDEX, "latest", body, "application/vnd.oci.image.index.v1+json")
    publish(rig, site)
    assert layers_of(rig)[PLAIN] == (site / "noarch" / PLAIN).read_bytes()


@pytest.mark.parametrize("subdirs", [["noarch"], []])
def test_a_site_may_be_at_an_address(rig: Rig, site: Path, subdirs: list[str]) -> None:
    publish(rig, site)
    expected = layers_of(rig)
    with FileHost(site) as host, closing(Transport(clock=VirtualTime().clock)):
        address = f"ocidir://{rig.root / 'layouts'}"
        publish(rig, host.http, address, subdirs=subdirs)
        rig.fake.clear_requests()
        assert publish(rig, host.http, subdirs=subdirs).moved.count == 0
        # That registry has none of the packages: they stay where the site has them.
        elsewhere = dict(layout_layers(address))
        assert elsewhere.keys() == expected.keys()
        assert json.loads(elsewhere[PLAIN])["info"]["base_url"] == f"{host.http}/noarch/"


def test_a_folder_whose_packages_are_not_in_the_registry_is_noted(rig: Rig, site: Path) -> None:
    outcome = publish(rig, site, f"ocidir://{rig.root / 'layouts'}", subdirs=["noarch"])
    assert any("the registry doesn't have" in note for note in outcome.notes)


def layout_layers(address: str) -> Iterator[tuple[str, bytes]]:
    with closing(Transport()) as transport:
        registry: Registry = open_registry(RegistryAddress.parse(address), transport)
        repository = "forge/noarch/repodata.json"
        document = json.loads(registry.manifest(repository, "latest").body)
        assert registry.tags(f"{repository}/shards")
        for layer in document["layers"]:
            path = Path(address.removeprefix("ocidir://"), repository, "blobs/sha256")
            data = (path / layer["digest"].removeprefix("sha256:")).read_bytes()
            assert hashlib.sha256(data).hexdigest() == layer["digest"].removeprefix("sha256:")
            yield layer["annotations"]["org.opencontainers.image.title"], data


def test_a_real_registry_takes_it_and_gives_it_to_anybody(
    rig: Rig, site: Path, docker_registry: RegistryProcess
) -> None:
    address = f"oci+{docker_registry.http}/acme"
    assert publish(rig, site, address).moved.count == 9
    assert publish(rig, site, address, now=START.replace(hour=20)).moved.count == 0
    url = f"{docker_registry.http}/v2/{INDEX}"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    manifest = requests.get(f"{url}/manifests/latest", headers=accept, timeout=10).json()
    digests = {layer["mediaType"]: layer["digest"] for layer in manifest["layers"]}
    index = requests.get(f"{url}/blobs/{digests[TYPES[2][0]]}", timeout=10).content
    _, hashes = shards.unpack_index(index)
    assert hashes == index_in(site)
    for digest in hashes.values():
        # As rattler asks for a shard: by its digest alone.
        data = requests.get(f"{url}/shards/blobs/sha256:{digest}", timeout=10).content
        assert hashlib.sha256(data).hexdigest() == digest
    tags = requests.get(f"{url}/tags/list", timeout=10).json()["tags"]
    assert sorted(tags) == [STAMP, "latest"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", False),
        ("oci://registry.example/acme/forge/noarch", False),
        ("oci://registry.example/acme/forge/noarch/", False),
        ("oci://registry.example/acme/other/noarch/", True),
        ("https://elsewhere.example/pool/", True),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_a_base_url_stays_only_where_packages_are_elsewhere(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, said: str, *, kept: bool, own: bool
) -> None:
    # The fake has a port, to which no oci:// address of a client leads.
    monkeypatch.setattr(
        RegistryAddress,
        "client_url",
        lambda _, *parts: f"oci://registry.example/acme/{'/'.join(parts)}/",
    )
    if own:
        rig.push(build("alpha"))
        rig.rebuild(base_url=re.sub("noarch/?$", "", said) or None)
        source = rig.site
        said = said and f"{said.rstrip('/')}/noarch/" if kept and "pool" in said else said
    else:
        origin = Origin(rig.root / "origin")
        origin.add(build("alpha"))
        source = origin.write(base_url=said).root
    outcome = publish(rig, source)
    layers = layers_of(rig)
    info = json.loads(layers[PLAIN])["info"]
    stays = json.loads((source / "noarch" / PLAIN).read_bytes())["info"].get("base_url")
    assert info.get("base_url") == (stays if kept else None)
    assert json.loads(layers[PLAIN])["repodata_version"] == (2 if kept else 1)
    assert zstd.decompress(layers[PACKED], 9**9) == layers[PLAIN]
    assert shards.unpack_index(layers[SHARDED])[0]["base_url"] == (stays if kept else "")
    assert [said_once for said_once in outcome.notes if "packages stay" in said_once] == (
        [f"noarch: packages stay where the site says they are, at {stays}"] if kept else []
    )


def test_a_base_url_of_the_shards_alone_stays_theirs(rig: Rig, site: Path) -> None:
    index = shards.pack_index("noarch", "https://elsewhere.example/", index_in(site))
    (site / "noarch" / SHARDED).write_bytes(index)
    outcome = publish(rig, site)
    layers = layers_of(rig)
    assert "base_url" not in json.loads(layers[PLAIN])["info"]
    assert shards.unpack_index(layers[SHARDED])[0]["base_url"] == "https://elsewhere.example/"
    assert len(outcome.notes) == 1


def test_a_site_of_another_tools_is_published_record_by_record(rig: Rig) -> None:
    origin = Origin(rig.root / "origin")
    origin.add(build("alpha"), build("alpha", archive="tar.bz2"), build("_b", "1!2+x"))
    source = origin.write().root
    publish(rig, source)
    layers = layers_of(rig)
    document = json.loads(layers[PLAIN])
    assert document["packages"] | document["packages.conda"] == origin.records["noarch"]
    assert len(rig.fake.tags_of(SHARDS)) == 2
    origin.write(PLAIN)
    assert publish(rig, source).failed == 0
    assert list(layers_of(rig)) == [PLAIN, PACKED]


@pytest.mark.parametrize(
    "name", ["../../evil.conda", "/evil.conda", "a/../../b.conda", "a/b.conda", "a b"]
)
@pytest.mark.parametrize("layout", ["ours", "other"])
def test_a_site_with_file_names_that_lead_out_is_not_published(
    rig: Rig, site: Path, name: str, layout: str
) -> None:
    path = site / "noarch" / PLAIN
    text = path.read_text().replace('"alpha-1.0-0.conda":', f'"{name}":')
    path.write_text(text if layout == "ours" else json.dumps(json.loads(text), indent=2))
    (failure,) = publish(rig, site, subdirs=["noarch"]).failures
    assert "is no file name" in failure.reason
    assert writes(rig) == []


@pytest.mark.parametrize("data", [b"", b"[]", b'{"packages": 1}', b"{", b"\xff"])
def test_a_repodata_that_is_none_is_not_published(rig: Rig, site: Path, data: bytes) -> None:
    (site / "noarch" / PLAIN).write_bytes(data)
    (failure,) = publish(rig, site, subdirs=["noarch"]).failures
    assert failure.what == f"noarch of {site}"
    assert writes(rig) == []


def test_a_shard_index_that_is_none_is_not_published(rig: Rig, site: Path) -> None:
    (site / "noarch" / SHARDED).write_bytes(zstd.compress(msgpack.packb({"shards": {}})))
    assert publish(rig, site, subdirs=["noarch"]).failed == 1
    assert writes(rig) == []


def test_a_damaged_subdir_does_not_keep_the_others_back(rig: Rig, site: Path) -> None:
    (site / "noarch" / PLAIN).write_bytes(b"{")
    outcome = publish(rig, site)
    assert [failure.what for failure in outcome.failures] == [f"noarch of {site}"]
    assert any(item.file_name == PLAIN for item in outcome.moved.first)


def test_what_is_no_site_is_wrong_use(rig: Rig, site: Path) -> None:
    with pytest.raises(ConfigError, match="no osx-64"):
        publish(rig, site, subdirs=["osx-64"])
    (rig.root / "empty").mkdir()
    with pytest.raises(ConfigError, match="is no channel"):
        publish(rig, rig.root / "empty")
    with FileHost() as host, pytest.raises(ConfigError, match="is no channel"):
        publish(rig, host.http)
    assert writes(rig) == []
