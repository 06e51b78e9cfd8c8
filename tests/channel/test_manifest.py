"""A push under a tag that others wrote too: they lose nothing, and nothing is born validated."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from demo.layers import CREATED, VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.channel.artifact import INDEX_JSON_TYPE, Place, index_json_layer, read_artifact
from indexer.channel.index_json import parse_index_json
from indexer.channel.manifest import (
    CONFIG,
    Archive,
    descriptor,
    holds,
    names_own_config,
    plain_manifest,
    with_annotations,
    with_archives,
    without_archives,
)
from indexer.errors import ContentError
from indexer.registry.content import (
    MAX_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Digest,
    ImageManifest,
    RawManifest,
    parse_manifest,
)

KEY = "org.conda-forge.status"
CONDA = build("alpha")
TARBZ2 = build("alpha", archive="tar.bz2")
LATER = "2026.11.01.120000"
SBOM: dict[str, Any] = {
    "mediaType": "application/spdx+json",
    "size": 3,
    "digest": str(Digest.of(b"sbm")),
    "urls": ["https://example.org"],
}


def archive(package: Package, created: str = CREATED) -> Archive:
    return Archive(
        file_name=package.file_name,
        sha256=package.sha256,
        md5=package.md5,
        size=package.size,
        index_json=package.index_json,
        info_digest=Digest.of(package.info_tar_gz),
        info_size=len(package.info_tar_gz),
        created=created,
    )


def raw(body: bytes) -> RawManifest:
    return RawManifest(body, OCI_MANIFEST)


def pushed(*packages: Package, previous: bytes | None = None, created: str = CREATED) -> bytes:
    """The manifest after these were pushed, one after the other."""
    body = previous
    for package in packages:
        earlier = None if body is None else raw(body)
        body = with_archives(earlier, [archive(package, created)], KEY)
    assert body is not None
    return body


def peers(*packages: Package, **annotations: str) -> bytes:
    """What the peer pushed."""
    return package_manifest(packages, annotations=annotations).manifest


def changed(body: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(body) | fields).encode()


def layers(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(body)["layers"]
    return found


def titles(body: bytes) -> list[str]:
    return [
        layer.get("annotations", {}).get("org.opencontainers.image.title") or layer["mediaType"]
        for layer in layers(body)
    ]


def parsed(body: bytes) -> ImageManifest:
    found = parse_manifest(raw(body))
    assert isinstance(found, ImageManifest)
    return found


def as_the_peer_has_it(body: bytes) -> dict[str, Any]:
    """Without what is ours alone: the embedded index.json, and a config of two bytes."""
    document: dict[str, Any] = json.loads(body)
    for layer in document["layers"]:
        layer.pop("data", None)
    document["config"] = document["config"] | {
        "size": 0,
        "digest": f"sha256:{hashlib.sha256(b'').hexdigest()}",
    }
    return document


@pytest.mark.parametrize("packages", [(CONDA,), (TARBZ2,), (TARBZ2, CONDA), (CONDA, TARBZ2)])
def test_it_is_what_the_peer_writes(packages: tuple[Package, ...]) -> None:
    assert as_the_peer_has_it(pushed(*packages)) == json.loads(peers(*packages))


def test_every_field_is_spelt_as_the_layout_has_it() -> None:
    document = json.loads(pushed(CONDA))
    data = base64.b64encode(CONDA.index_json).decode()
    created = {"creationTime": CREATED}
    title = "org.opencontainers.image.title"
    assert document == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.unknown.config.v1+json",
            "size": 2,
            "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
        },
        "layers": [
            {
                "mediaType": "application/vnd.conda.package.v2",
                "size": CONDA.size,
                "digest": f"sha256:{CONDA.sha256}",
                "annotations": {title: "alpha-1.0-0.conda", "org.conda.md5": CONDA.md5} | created,
            },
            {
                "mediaType": "application/vnd.conda.info.v1.tar+gzip",
                "size": len(CONDA.info_tar_gz),
                "digest": str(Digest.of(CONDA.info_tar_gz)),
                "annotations": {title: "alpha-1.0-0/info.tar.gz"} | created,
            },
            {
                "mediaType": "application/vnd.conda.info.index.v1+json",
                "size": len(CONDA.index_json),
                "digest": str(Digest.of(CONDA.index_json)),
                "annotations": {title: "alpha-1.0-0/info/index.json"} | created,
                "data": data,
            },
        ],
        "annotations": {},
    }
    (tarbz2, *_) = layers(pushed(TARBZ2))
    assert tarbz2["mediaType"] == "application/vnd.conda.package.v1"


def sized(size: int) -> Package:
    """A package whose index.json has so many bytes."""
    empty = build("alpha", extra_index={"text": ""})
    package = build("alpha", extra_index={"text": "x" * (size - len(empty.index_json))})
    assert len(package.index_json) == size
    return package


@pytest.mark.parametrize(("size", "is_embedded"), [(8192, True), (8193, False)])
def test_only_a_small_index_json_is_embedded(size: int, is_embedded: bool) -> None:  # noqa: FBT001
    package = sized(size)
    layer = index_json_layer(parsed(pushed(package)))
    assert layer.size == size
    assert layer.data == (package.index_json if is_embedded else None)


def test_a_larger_index_json_takes_the_embedded_one_with_it() -> None:
    layer = index_json_layer(parsed(pushed(sized(500), sized(9000))))
    assert (layer.size, layer.data) == (9000, None)


@pytest.mark.parametrize("packages", [(CONDA, TARBZ2), (TARBZ2, CONDA)])
def test_neither_format_takes_the_others_place(packages: tuple[Package, ...]) -> None:
    body = pushed(*packages, *packages)
    index = parse_index_json(CONDA.index_json)
    reading = read_artifact(Place("noarch", "alpha", "1.0-0"), parsed(body), index)
    assert {record.file_name: record.sha256 for record in reading.records} == {
        package.file_name: package.sha256 for package in packages
    }
    assert (reading.faults, reading.notes) == ((), ())
    assert len(layers(body)) == 4


def test_info_is_that_of_the_last_push_and_there_once() -> None:
    other = build("alpha", archive="tar.bz2", depends=["beta"])
    body = pushed(CONDA, other)
    assert index_json_layer(parsed(body)).digest == Digest.of(other.index_json)
    assert [title for title in titles(body) if "info" in title] == [
        "alpha-1.0-0/info.tar.gz",
        "alpha-1.0-0/info/index.json",
    ]


def test_an_archive_of_one_name_is_replaced_and_not_doubled() -> None:
    rebuilt = build("alpha", message="rebuilt")
    body = pushed(CONDA, TARBZ2, rebuilt)
    digests = {layer["digest"] for layer in layers(body)}
    assert {f"sha256:{one.sha256}" for one in (rebuilt, TARBZ2)} <= digests
    assert f"sha256:{CONDA.sha256}" not in digests


def test_what_others_added_stays_as_it_is() -> None:
    subject = {"mediaType": OCI_MANIFEST, "size": 2, "digest": str(CONFIG.digest)}
    others = {
        "artifactType": "application/vnd.example",
        "subject": subject,
        "org.example.odd": [1, {"a": None}],
        "annotations": {"org.example.note": "keep"},
        "layers": [SBOM, *layers(peers(TARBZ2))],
    }
    document = json.loads(pushed(CONDA, previous=changed(peers(TARBZ2), **others)))
    assert SBOM in document["layers"]
    assert {key: document[key] for key in others if key != "layers"} == {
        key: value for key, value in others.items() if key != "layers"
    }
    assert document["config"]["size"] == 0


def test_a_config_that_is_not_ours_is_not_asked_for() -> None:
    assert names_own_config(pushed(CONDA))
    assert not names_own_config(pushed(CONDA, previous=peers(TARBZ2)))


@pytest.mark.parametrize(
    ("package", "is_kept"),
    [
        (CONDA, True),
        (build("alpha", message="rebuilt"), False),
        (build("alpha", depends=["evil"]), False),
        (TARBZ2, False),
    ],
    ids=["same", "other bytes", "other index.json", "other format"],
)
def test_new_content_is_never_born_validated(package: Package, is_kept: bool) -> None:  # noqa: FBT001
    previous = peers(CONDA, **VALIDATED, note="keep")
    annotations = json.loads(pushed(package, previous=previous))["annotations"]
    assert (KEY in annotations) == is_kept
    assert annotations["note"] == "keep"


def test_another_tools_info_archive_of_the_same_content_leaves_the_mark() -> None:
    previous = json.loads(peers(CONDA, **VALIDATED))
    previous["layers"][1] |= {"digest": str(Digest.of(b"other gzip")), "size": 10}
    body = pushed(CONDA, previous=json.dumps(previous).encode())
    assert json.loads(body)["annotations"] == VALIDATED
    assert layers(body)[1]["digest"] == str(Digest.of(CONDA.info_tar_gz))


def test_an_index_json_that_changes_alone_drops_the_mark() -> None:
    previous = json.loads(peers(CONDA, **VALIDATED))
    previous["layers"][2] |= {"digest": str(Digest.of(b"{}")), "size": 2}
    body = pushed(CONDA, previous=json.dumps(previous).encode())
    assert json.loads(body)["annotations"] == {}


@pytest.mark.parametrize("packages", [(CONDA,), (TARBZ2, CONDA)])
def test_the_same_content_gives_the_same_bytes_at_any_time(packages: tuple[Package, ...]) -> None:
    body = pushed(*packages)
    assert pushed(packages[-1], previous=body, created=LATER) == body
    # Order is of the last push; whoever pushes both again in turn comes back to it.
    assert pushed(*packages, previous=body, created=LATER) == body


def test_a_layer_that_was_there_keeps_what_was_said_of_it() -> None:
    previous = json.loads(peers(CONDA))
    previous["layers"][0]["annotations"]["org.example.signed"] = "yes"
    (first, *_) = layers(pushed(CONDA, previous=json.dumps(previous).encode(), created=LATER))
    assert first["annotations"]["org.example.signed"] == "yes"
    assert first["annotations"]["creationTime"] == CREATED


def test_what_was_said_of_it_wrongly_is_put_right() -> None:
    previous = json.loads(peers(CONDA))
    previous["layers"][0]["annotations"] = {"org.conda.md5": "0" * 32}
    (first, *_) = layers(pushed(CONDA, previous=json.dumps(previous).encode(), created=LATER))
    assert first["annotations"] == {
        "org.opencontainers.image.title": CONDA.file_name,
        "org.conda.md5": CONDA.md5,
        "creationTime": LATER,
    }


@pytest.mark.parametrize("media_type", ["", "application/octet-stream", "application/json"])
def test_an_old_index_json_of_odd_type_gives_way(media_type: str) -> None:
    previous = json.loads(peers(build("alpha", depends=["old"])))
    previous["layers"][2]["mediaType"] = media_type
    body = pushed(CONDA, previous=json.dumps(previous).encode())
    assert index_json_layer(parsed(body)).digest == Digest.of(CONDA.index_json)


@pytest.mark.parametrize("media_type", ["", "application/octet-stream"])
def test_an_old_archive_of_odd_type_gives_way_to_its_own_name_alone(media_type: str) -> None:
    previous = json.loads(peers(build("alpha", message="old")))
    previous["layers"][0]["mediaType"] = media_type
    body = json.dumps(previous).encode()
    assert titles(pushed(CONDA, previous=body)).count(CONDA.file_name) == 1
    assert sorted(titles(pushed(TARBZ2, previous=body))).count(CONDA.file_name) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"annotations": None},
        {"layers": []},
        {"layers": [{"digest": str(Digest.of(b"x")), "size": 1}]},
        {"layers": [{"digest": str(Digest.of(b"x")), "size": 1, "annotations": None}]},
    ],
)
def test_manifests_of_a_few_fields_can_be_added_to(odd: dict[str, Any]) -> None:
    document = json.loads(pushed(CONDA, previous=changed(peers(TARBZ2), **odd)))
    assert document["annotations"] == {}
    assert document["layers"][0]["digest"] == f"sha256:{CONDA.sha256}"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b'{"manifests": []}', OCI_INDEX),
        (b'{"schemaVersion": 1, "fsLayers": []}', OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b"{", OCI_MANIFEST),
        (b'{"layers": [{"digest": "x"}]}', OCI_MANIFEST),
        (b'{"layers": [], "annotations": {"a": 1}}', OCI_MANIFEST),
    ],
)
def test_what_is_no_image_manifest_is_not_written_over(body: bytes, media_type: str) -> None:
    previous = RawManifest(body, media_type)
    with pytest.raises(ContentError):
        with_archives(previous, [archive(CONDA)], KEY)
    assert not holds(previous, CONDA.file_name, CONDA.sha256)


def test_an_image_index_is_refused_by_name() -> None:
    with pytest.raises(ContentError, match="image index"):
        with_archives(RawManifest(b'{"manifests": []}', OCI_INDEX), [archive(CONDA)], KEY)


def test_nothing_is_written_that_could_not_be_read_again() -> None:
    room = MAX_MANIFEST - len(pushed(CONDA, previous=changed(peers(TARBZ2), note="")))
    fits = changed(peers(TARBZ2), note="x" * room)
    assert len(pushed(CONDA, previous=fits)) == MAX_MANIFEST
    with pytest.raises(ContentError, match=f"{MAX_MANIFEST + 1} bytes"):
        pushed(CONDA, previous=changed(peers(TARBZ2), note="x" * (room + 1)))
    # 256 layers are read; three of them will be ours.
    pushed(CONDA, previous=changed(peers(TARBZ2), layers=[SBOM] * 253))
    with pytest.raises(ContentError, match="257 layers"):
        pushed(CONDA, previous=changed(peers(TARBZ2), layers=[SBOM] * 254))


def test_a_file_that_is_taken_out_leaves_the_other() -> None:
    body = changed(pushed(TARBZ2, CONDA), subject={"odd": True})
    left = without_archives(raw(body), [CONDA.file_name])
    assert left is not None
    assert CONDA.file_name not in titles(left)
    assert TARBZ2.file_name in titles(left)
    assert json.loads(left)["subject"] == {"odd": True}
    assert index_json_layer(parsed(left)).digest == Digest.of(CONDA.index_json)


def test_no_manifest_is_left_of_no_archive() -> None:
    body = raw(pushed(TARBZ2, CONDA))
    assert without_archives(body, [CONDA.file_name, TARBZ2.file_name]) is None
    assert without_archives(raw(pushed(CONDA)), iter([CONDA.file_name])) is None


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    body = pushed(CONDA)
    assert without_archives(raw(body), [TARBZ2.file_name]) == body


def test_a_tag_holds_a_file_only_by_name_and_bytes_together() -> None:
    body = raw(pushed(TARBZ2, CONDA))
    for package in (CONDA, TARBZ2):
        assert holds(body, package.file_name, package.sha256)
    assert not holds(body, CONDA.file_name, TARBZ2.sha256)
    assert not holds(body, "beta-1.0-0.conda", CONDA.sha256)
    assert holds(raw(peers(CONDA)), CONDA.file_name, CONDA.sha256)


@pytest.mark.parametrize("lost", [1, 2])
def test_an_archive_without_its_info_is_pushed_again(lost: int) -> None:
    document = json.loads(pushed(CONDA))
    del document["layers"][lost]
    assert not holds(raw(json.dumps(document).encode()), CONDA.file_name, CONDA.sha256)


def test_a_plain_manifest_is_one() -> None:
    layer = descriptor(INDEX_JSON_TYPE, Digest.of(b"{}"), 2, "title")
    (found,) = parsed(plain_manifest([layer])).layers
    assert (found.media_type, found.size, found.title) == (INDEX_JSON_TYPE, 2, "title")


def test_annotations_are_set_and_taken_out_and_all_else_stays() -> None:
    body = changed(peers(CONDA, TARBZ2, **{"by": "whom", KEY: "x"}), subject={"a": 1}, odd=[1.5])
    body = with_annotations(raw(body), {KEY: "validated", "why": "so", "absent": None})
    made = json.loads(body)
    assert made["annotations"] == {"by": "whom", KEY: "validated", "why": "so"}
    assert (made["subject"], made["odd"]) == ({"a": 1}, [1.5])
    back = with_annotations(raw(body), {KEY: "x", "why": None})
    assert json.loads(back) == json.loads(
        changed(peers(CONDA, TARBZ2, **{"by": "whom", KEY: "x"}), subject={"a": 1}, odd=[1.5])
    )
    assert list(json.loads(back)) == list(made)


def test_annotations_that_are_there_leave_every_byte() -> None:
    body = json.dumps(json.loads(peers(CONDA, **VALIDATED)), indent=3).encode()
    assert with_annotations(raw(body), {KEY: "validated", "why": None}) == body


@pytest.mark.parametrize("known", [None, {}])
def test_a_manifest_without_annotations_gets_them(known: object) -> None:
    document = json.loads(peers(CONDA))
    document["annotations"] = known
    if known is None:
        del document["annotations"]
    body = json.dumps(document).encode()
    assert json.loads(with_annotations(raw(body), VALIDATED))["annotations"] == VALIDATED


def test_annotations_that_nobody_could_read_again_are_not_written() -> None:
    with pytest.raises(ContentError, match="image index"):
        with_annotations(RawManifest(b'{"manifests": []}', OCI_INDEX), VALIDATED)
    with pytest.raises(ContentError, match="at most"):
        with_annotations(raw(peers(CONDA)), {"why": "x" * MAX_MANIFEST})
