"""A manifest with a part of its archives, and the blobs it names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from demo.layers import package_manifest
from demo.packages import build
from indexer.channel import manifest
from indexer.errors import ContentError
from indexer.registry.content import OCI_INDEX, OCI_MANIFEST, RawManifest

CONDA, BZ2 = build("alpha"), build("alpha", archive="tar.bz2")
RAW = RawManifest(package_manifest([BZ2, CONDA]).manifest, OCI_MANIFEST)
BOTH = {(CONDA.file_name, CONDA.sha256), (BZ2.file_name, BZ2.sha256)}


def changed(**keys: Any) -> RawManifest:
    return RawManifest(json.dumps(json.loads(RAW.body) | keys).encode(), OCI_MANIFEST)


def untitled() -> RawManifest:
    document = json.loads(RAW.body)
    for layer in document["layers"]:
        layer["annotations"].pop("org.opencontainers.image.title")
    return RawManifest(json.dumps(document).encode(), OCI_MANIFEST)


def digests(raw: RawManifest) -> list[str]:
    return [layer.digest.hex for layer in manifest.archives(raw)]


def test_where_all_stay_no_byte_changes() -> None:
    assert manifest.only_archives(RAW, BOTH) is RAW


@pytest.mark.parametrize("package", [CONDA, BZ2])
@pytest.mark.parametrize("raw", [RAW, untitled()], ids=["titled", "untitled"])
def test_the_others_go_and_all_else_stays(raw: RawManifest, package: Any) -> None:
    rest = manifest.only_archives(raw, {(package.file_name, package.sha256)})
    assert digests(rest) == [package.sha256]
    old, new = json.loads(raw.body), json.loads(rest.body)
    assert len(new["layers"]) == len(old["layers"]) - 1
    assert {key: new[key] for key in old if key != "layers"} == {
        key: old[key] for key in old if key != "layers"
    }


@pytest.mark.parametrize("keep", [(CONDA.file_name, BZ2.sha256), ("other.conda", CONDA.sha256)])
def test_name_and_digest_must_both_be_right(keep: tuple[str, str]) -> None:
    assert digests(manifest.only_archives(RAW, {keep})) == []


def test_every_blob_is_named_once_with_the_config() -> None:
    document = json.loads(RAW.body)
    raw = changed(layers=document["layers"] * 2)
    found = [str(item.digest) for item in manifest.blobs(raw)]
    layers = [layer["digest"] for layer in document["layers"]]
    assert found == [*layers, document["config"]["digest"]]


def test_a_manifest_without_a_config_has_none() -> None:
    document = {key: value for key, value in json.loads(RAW.body).items() if key != "config"}
    raw = RawManifest(json.dumps(document).encode(), OCI_MANIFEST)
    assert len(manifest.blobs(raw)) == len(document["layers"])


@pytest.mark.parametrize("config", [[], "x", {"digest": "sha256:x", "size": 1}])
def test_a_config_that_is_none_is_content_gone_wrong(config: object) -> None:
    with pytest.raises(ContentError):
        manifest.blobs(changed(config=config))


def test_an_image_index_has_no_parts() -> None:
    raw = RawManifest(b'{"manifests": []}', OCI_INDEX)
    with pytest.raises(ContentError, match="image index"):
        manifest.only_archives(raw, BOTH)
    with pytest.raises(ContentError, match="image index"):
        manifest.blobs(raw)
