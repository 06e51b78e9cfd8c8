"""What uploaders may try, seen from the outside: the artifact is left out, the run goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from demo.layers import VALIDATED, Image, digest_of, package_manifest
from demo.packages import Package, build
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Content
from indexer.registry.layout import LayoutRegistry
from tests.support.rig import Rig, reasons

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def changed(image: Image, change: Any) -> Image:
    """The same image with its manifest put through ``change``."""
    manifest = json.loads(image.manifest)
    change(manifest)
    return Image(json.dumps(manifest).encode(), image.blobs, image.repository_name, image.tag)


def validated(package: Package) -> Image:
    return package_manifest([package], annotations=VALIDATED)


def assert_left_out(rig: Rig, where: str, reason: str) -> None:
    rig.push(build("honest"))
    report = rig.rebuild()
    assert list(rig.records()) == ["honest-1.0-0.conda"]
    assert reason in reasons(report)[where]
    rig.assert_sound()


def test_nobody_publishes_openssl_by_pushing_foo(rig: Rig) -> None:
    rig.push(build("openssl"), repository="foo")
    assert_left_out(rig, "foo:1.0-0", "names openssl")


def test_nobody_publishes_another_version_under_a_tag(rig: Rig) -> None:
    rig.push(build("alpha", "2.0"), tag="1.0-0")
    assert_left_out(rig, "alpha:1.0-0", "give the tag 2.0-0")


def test_nobody_publishes_into_another_subdir(rig: Rig) -> None:
    rig.push(build("alpha", subdir="linux-64"), subdir="noarch")
    assert_left_out(rig, "alpha:1.0-0", "subdir is linux-64")


@pytest.mark.parametrize(
    "title", ["../../etc/passwd.conda", "other-1.0-0.conda", "alpha-1.0-0.zip"]
)
def test_a_title_that_disagrees_is_left_out(rig: Rig, title: str) -> None:
    def retitle(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = title

    rig.fake.add(rig.repository("noarch", "alpha"), changed(validated(build("alpha")), retitle))
    assert_left_out(rig, "alpha:1.0-0", "title")


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"depends": ["a ==="]}, "match spec"),
        ({"constrains": ["*"]}, "match spec"),
        ({"depends": "python"}, "list of strings"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"license": "MIT\x1b[2J"}, "control character"),
        ({"build_number": -1}, "build_number"),
    ],
)
def test_an_index_json_that_would_hurt_clients_is_left_out(
    rig: Rig, extra: dict[str, Any], reason: str
) -> None:
    rig.push(build("alpha", extra_index=extra))
    assert_left_out(rig, "alpha:1.0-0", reason)


def test_a_manifest_without_an_archive_is_left_out(rig: Rig) -> None:
    def strip(manifest: dict[str, Any]) -> None:
        manifest["layers"] = manifest["layers"][1:]

    rig.fake.add(rig.repository("noarch", "alpha"), changed(validated(build("alpha")), strip))
    assert_left_out(rig, "alpha:1.0-0", "no layer is a conda archive")


def test_a_manifest_that_is_no_json_is_left_out(rig: Rig) -> None:
    media_type = "application/vnd.oci.image.manifest.v1+json"
    rig.fake.add_manifest(rig.repository("noarch", "alpha"), "1.0-0", b"<html>", media_type)
    assert_left_out(rig, "alpha:1.0-0", "not JSON")


def test_an_index_json_over_its_bound_is_not_fetched(rig: Rig) -> None:
    def inflate(manifest: dict[str, Any]) -> None:
        manifest["layers"][2]["size"] = 2**40

    rig.fake.add(rig.repository("noarch", "alpha"), changed(validated(build("alpha")), inflate))
    assert_left_out(rig, "alpha:1.0-0", "at most 1048576")


def test_one_bad_archive_does_not_cost_its_sibling(rig: Rig) -> None:
    def spoil(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["annotations"]["org.conda.md5"] = "nonsense"

    pair = build("alpha"), build("alpha", archive="tar.bz2")
    image = package_manifest(pair, annotations=VALIDATED)
    rig.fake.add(rig.repository("noarch", "alpha"), changed(image, spoil))

    report = rig.rebuild()

    assert len(rig.records()) == 1
    assert "not an md5" in reasons(report)["alpha:1.0-0"]
    again = rig.rebuild()
    assert again.requests == {"catalog": 1, "tags": 1}
    assert reasons(again) == reasons(report)


def test_what_is_left_out_is_named_in_every_run(rig: Rig) -> None:
    rig.push(build("openssl"), repository="foo")
    first, second = rig.rebuild(), rig.rebuild()
    assert first.left_out == second.left_out != []


def test_a_mended_artifact_comes_in_at_the_next_run(rig: Rig) -> None:
    rig.push(build("alpha", extra_index={"depends": ["a ==="]}))
    rig.rebuild()
    rig.push(build("alpha"))
    rig.rebuild()
    assert len(rig.records()) == 1


def index_of(*manifests: bytes) -> bytes:
    entries = [
        {"mediaType": OCI_INDEX, "digest": digest_of(body), "size": len(body)} for body in manifests
    ]
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


def test_an_image_index_leads_to_its_packages(rig: Rig) -> None:
    image = validated(build("alpha"))
    repository = rig.repository("noarch", "alpha")
    rig.fake.add(repository, image)
    inner = index_of(image.manifest)
    rig.fake.add_manifest(repository, digest_of(inner), inner, OCI_INDEX)
    rig.fake.add_manifest(repository, "1.0-0", index_of(inner), OCI_INDEX)

    rig.rebuild()

    assert list(rig.records()) == ["alpha-1.0-0.conda"]


def test_image_indexes_of_absurd_size_are_not_read_to_their_end(rig: Rig) -> None:
    repository = rig.repository("noarch", "alpha")
    layer = {"digest": f"sha256:{0:064}", "size": 1}
    children = [
        json.dumps({"layers": [layer] * 200, "annotations": {"n": f"{n}" + "x" * 200_000}}).encode()
        for n in range(20)
    ]
    for body in children:
        rig.fake.add_manifest(repository, digest_of(body), body, OCI_MANIFEST)
    rig.fake.add_manifest(repository, "1.0-0", index_of(*children), OCI_INDEX)
    assert_left_out(rig, "alpha:1.0-0", "bytes in all")
    assert rig.fake.count("manifests") < 6


def test_a_manifest_of_too_many_layers_is_left_out(rig: Rig) -> None:
    def pad(manifest: dict[str, Any]) -> None:
        manifest["layers"] += manifest["layers"][-1:] * 300

    rig.fake.add(rig.repository("noarch", "alpha"), changed(validated(build("alpha")), pad))
    assert_left_out(rig, "alpha:1.0-0", "303 layers")


@pytest.mark.parametrize("title", ["\x1b[31mred\x1b[2J", "x" * 100_000, "a\nLeft out: b"])
def test_what_is_told_of_an_artifact_is_short_and_printable(rig: Rig, title: str) -> None:
    def retitle(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = title

    rig.fake.add(rig.repository("noarch", "alpha"), changed(validated(build("alpha")), retitle))
    (left_out,) = rig.rebuild().left_out
    assert left_out.file_name.isprintable()
    assert left_out.reason.isprintable()
    assert len(left_out.file_name) + len(left_out.reason) < 1000


def test_image_indexes_may_share_a_child(rig: Rig) -> None:
    image = validated(build("alpha"))
    repository = rig.repository("noarch", "alpha")
    for data in image.blobs.values():
        rig.fake.add_blob(repository, data)
    inner = [index_of(image.manifest), index_of(image.manifest, image.manifest)]
    for body in inner:
        rig.fake.add_manifest(repository, digest_of(body), body, OCI_INDEX)
    rig.fake.add_manifest(repository, digest_of(image.manifest), image.manifest, image.media_type)
    rig.fake.add_manifest(repository, "1.0-0", index_of(*inner, image.manifest), OCI_INDEX)
    report = rig.rebuild()
    assert list(rig.records()) == ["alpha-1.0-0.conda"]
    assert report.requests["manifests"] == 4


def test_image_indexes_are_not_followed_for_ever(rig: Rig) -> None:
    repository = rig.repository("noarch", "alpha")
    body = validated(build("alpha")).manifest
    rig.fake.add(repository, validated(build("alpha")))
    for _ in range(4):
        body = index_of(body)
        rig.fake.add_manifest(repository, digest_of(body), body, OCI_INDEX)
    rig.fake.add_manifest(repository, "1.0-0", body, OCI_INDEX)
    assert_left_out(rig, "alpha:1.0-0", "nested deeper")


def test_docker_manifests_are_read_like_oci_ones(rig: Rig) -> None:
    image = validated(build("alpha"))
    repository = rig.repository("noarch", "alpha")
    rig.fake.add(repository, image)
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    rig.fake.add_manifest(repository, "1.0-0", image.manifest, docker)
    rig.rebuild()
    assert list(rig.records()) == ["alpha-1.0-0.conda"]


def test_odd_config_and_unknown_layers_do_not_matter(rig: Rig) -> None:
    def add(manifest: dict[str, Any]) -> None:
        manifest["config"] = {"mediaType": "x/y", "digest": digest_of(b"{}"), "size": 2}
        manifest["layers"].append(
            {"mediaType": "text/plain", "digest": digest_of(b"hello"), "size": 5}
        )

    rig.fake.add(rig.repository("noarch", "alpha"), changed(validated(build("alpha")), add))
    rig.rebuild()
    assert list(rig.records()) == ["alpha-1.0-0.conda"]


def folder_registry(root: Path, *packages: Package) -> RegistryAddress:
    address = RegistryAddress.parse(f"ocidir://{root / 'registry'}")
    registry = LayoutRegistry(address)
    for package in packages:
        image = validated(package)
        repository = f"forge/{package.subdir}/{image.repository_name}"
        for blob in image.blobs.values():
            registry.put_blob(repository, Content.of_bytes(blob))
        registry.put_manifest(repository, image.tag, image.manifest, image.media_type)
    return address


def test_one_bad_entry_of_a_layout_costs_its_tag_alone(rig: Rig) -> None:
    address = folder_registry(rig.root, build("alpha"), build("beta"))
    path = rig.root / "registry/forge/noarch/beta/index.json"
    document = json.loads(path.read_bytes())
    bad = {"org.opencontainers.image.ref.name": "2.0-0"}
    entry = {"mediaType": "x", "digest": "sha512:" + "a" * 128, "size": 3, "annotations": bad}
    path.write_text(json.dumps(document | {"manifests": [*document["manifests"], entry]}))

    report = rig.rebuild(registry=address)

    assert len(rig.records()) == 2
    assert "not a sha256 digest" in reasons(report)["beta:2.0-0"]


def test_a_pipe_in_the_place_of_a_blob_holds_nobody_up(rig: Rig) -> None:
    address = folder_registry(rig.root, build("alpha"), build("beta"))
    for blob in (rig.root / "registry/forge/noarch/beta/blobs/sha256").iterdir():
        blob.unlink()
        os.mkfifo(blob)

    report = rig.rebuild(registry=address)

    assert list(rig.records()) == ["alpha-1.0-0.conda"]
    assert "is not a file" in reasons(report)["beta:1.0-0"]
