"""Packages whose index.json stands in their manifest: one request each, and the same channel."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from demo.layers import INDEX, VALIDATED, Image, package_manifest
from demo.packages import Package, build
from tests.support.rig import Rig, reasons

PACKAGES = [
    build("alpha"),
    build("alpha", archive="tar.bz2"),
    build("beta", "2.0", subdir="linux-64", depends=["alpha >=1"]),
]


def embedding(*packages: Package, data: object = None) -> Image:
    """An image with the last package's index.json in it, or with other data in its place."""
    image = package_manifest(packages, annotations=VALIDATED)
    manifest = json.loads(image.manifest)
    (layer,) = (layer for layer in manifest["layers"] if layer["mediaType"] == INDEX)
    encoded = base64.b64encode(image.blobs[layer["digest"]]).decode()
    layer["data"] = encoded if data is None else data
    return replace(image, manifest=json.dumps(manifest).encode())


def push(rig: Rig, *packages: Package, data: object = None) -> None:
    image = embedding(*packages, data=data)
    rig.fake.add(rig.repository(packages[0].subdir, packages[0].name), image)


def test_what_is_embedded_costs_one_request_a_package(rig: Rig) -> None:
    push(rig, *PACKAGES[:2])
    push(rig, PACKAGES[2])

    report = rig.rebuild()

    assert report.requests["manifests"] == 2
    assert "blobs" not in report.requests
    assert rig.fake.count("blobs") == 0
    rig.assert_sound()


def test_what_is_embedded_makes_the_same_channel(rig: Rig) -> None:
    rig.push(*PACKAGES[:2])
    rig.push(PACKAGES[2])
    assert rig.rebuild().requests["blobs"] == 2
    push(rig, *PACKAGES[:2])
    push(rig, PACKAGES[2])
    embedded = Rig(rig.fake, rig.root / "embedded", now=rig.now - timedelta(minutes=15))

    assert "blobs" not in embedded.rebuild().requests

    assert embedded.tree() == rig.tree()
    assert len(rig.records()) + len(rig.records("linux-64")) == 3


def test_an_embedded_index_json_needs_no_blob_at_all(rig: Rig) -> None:
    image = embedding(PACKAGES[0])
    bare = replace(image, blobs={})
    rig.fake.add(rig.repository("noarch", "alpha"), bare)
    rig.rebuild()
    assert list(rig.records()) == [PACKAGES[0].file_name]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (base64.b64encode(build("other").index_json).decode(), "isn't what its digest"),
        ("", "isn't what its digest"),
        ("no base64!", "not base64"),
        (5, "data in a descriptor"),
    ],
)
def test_wrong_embedded_data_costs_its_artifact_alone(rig: Rig, data: object, reason: str) -> None:
    push(rig, PACKAGES[0], data=data)
    push(rig, build("gamma"))

    report = rig.rebuild()

    assert list(rig.records()) == [build("gamma").file_name]
    ((place, told),) = reasons(report).items()
    assert place == "alpha:1.0-0"
    assert reason in told
    rig.assert_sound()
