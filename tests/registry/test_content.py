"""Manifests and digests: anything that isn't one costs an artifact, never the run."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.layers import package_manifest
from demo.packages import build
from indexer.errors import ContentError
from indexer.registry.content import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Digest,
    ImageIndex,
    ImageManifest,
    RawManifest,
    parse_descriptor,
    parse_manifest,
)
from tests.registry.help import STEADY

HEX = "0123456789abcdef" * 4
LAYER: dict[str, Any] = {"mediaType": "a/b", "digest": f"sha256:{HEX}", "size": 3}


def raw(document: object, media_type: str = OCI_MANIFEST) -> RawManifest:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return RawManifest(body, media_type)


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX}\n",
        f"sha256:{HEX.upper()}",
        f"SHA256:{HEX}",
        f"sha512:{HEX}{HEX}",
        f" sha256:{HEX}",
        "sha256:" + "../" * 21 + "x",
        None,
        7,
        ["sha256"],
        b"sha256",
    ],
)
def test_what_is_no_digest_never_becomes_a_path_or_an_address(text: object) -> None:
    with pytest.raises(ContentError, match="is not a sha256 digest"):
        Digest.parse(text)


def test_a_digest_survives_its_own_spelling() -> None:
    digest = Digest.of(b"abc")
    assert Digest.parse(str(digest)) == digest
    assert digest.hex.startswith("ba7816bf")


@pytest.mark.parametrize("size", [-1, 2**53, 2**64, 2**70, 1.0, "3", True, None, [3]])
def test_a_size_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(ContentError, match="size is"):
        parse_descriptor({**LAYER, "size": size})


@pytest.mark.parametrize("annotations", [[], "x", 1, {"a": 1}, {"a": None}, {"a": ["b"]}])
def test_annotations_that_are_no_strings_are_refused(annotations: object) -> None:
    with pytest.raises(ContentError, match="annotations"):
        parse_descriptor({**LAYER, "annotations": annotations})
    with pytest.raises(ContentError, match="annotations"):
        parse_manifest(raw({"layers": [], "annotations": annotations}))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b"7",
        {},
        {"layers": None},
        {"layers": {}},
        {"layers": [None]},
        {"layers": [[]]},
        {"layers": [{}]},
        {"layers": [{**LAYER, "mediaType": 7}]},
        {"layers": [{**LAYER, "digest": None}]},
        {"manifests": None},
        {"manifests": [{}]},
        {"schemaVersion": 1, "fsLayers": []},
    ],
)
def test_what_is_no_manifest_costs_one_artifact(document: object) -> None:
    with pytest.raises(ContentError):
        parse_manifest(raw(document))


@pytest.mark.parametrize("depth", [200, 900, 1015, 100_000])
@pytest.mark.parametrize("where", ["size", "digest", "mediaType", "annotations"])
def test_a_deeply_nested_manifest_costs_one_artifact(where: str, depth: int) -> None:
    others = json.dumps({key: value for key, value in LAYER.items() if key != where})
    nested = "[" * depth + "]" * depth
    with pytest.raises(ContentError):
        parse_manifest(raw(f'{{"layers":[{others[:-1]},"{where}":{nested}}}]}}'.encode()))


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST, ""])
def test_both_kinds_of_manifest_are_read_and_the_config_never_is(media_type: str) -> None:
    parsed = parse_manifest(
        raw({"layers": [LAYER], "config": "junk", "annotations": {"a": "b"}}, media_type)
    )
    assert isinstance(parsed, ImageManifest)
    assert parsed.annotations == {"a": "b"}
    assert [(layer.media_type, layer.size, str(layer.digest)) for layer in parsed.layers] == [
        ("a/b", 3, f"sha256:{HEX}")
    ]


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST, ""])
def test_an_image_index_leads_to_its_children(media_type: str) -> None:
    parsed = parse_manifest(raw({"manifests": [LAYER]}, media_type))
    assert isinstance(parsed, ImageIndex)
    assert [child.digest.hex for child in parsed.manifests] == [HEX]


def test_a_manifest_that_would_be_both_is_read_as_an_image() -> None:
    # Which it is must not depend on who reads it.
    parsed = parse_manifest(raw({"manifests": [], "layers": [LAYER]}, OCI_INDEX))
    assert isinstance(parsed, ImageManifest)
    assert len(parsed.layers) == 1


def test_an_image_index_can_not_make_a_run_ask_for_thousands_of_manifests() -> None:
    assert isinstance(parse_manifest(raw({"manifests": [LAYER] * 64})), ImageIndex)
    with pytest.raises(ContentError, match="65 manifests"):
        parse_manifest(raw({"manifests": [LAYER] * 65}))


def test_a_layer_without_media_type_or_annotations_is_tolerated() -> None:
    layer = parse_descriptor({"digest": f"sha256:{HEX}", "size": 0, "annotations": None})
    assert (layer.media_type, layer.annotations, layer.title) == ("", {}, None)


def test_what_the_peer_pushes_is_read() -> None:
    package = build("zlib")
    parsed = parse_manifest(raw(package_manifest([package]).manifest))
    assert isinstance(parsed, ImageManifest)
    assert parsed.layers[0].title == package.file_name
    assert parsed.layers[0].digest == Digest.of(package.data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_DESCRIPTOR = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": _JSON,
        "size": st.integers() | _JSON,
        "digest": st.just(f"sha256:{HEX}") | _JSON,
        "annotations": _JSON,
    },
)
_MANIFEST = st.fixed_dictionaries(
    {},
    optional={
        "layers": st.lists(_DESCRIPTOR, max_size=3) | _JSON,
        "manifests": st.lists(_DESCRIPTOR, max_size=3) | _JSON,
        "annotations": st.dictionaries(st.text(max_size=5), st.text(max_size=5)) | _JSON,
    },
)


@STEADY
@given(st.one_of(st.binary(), _JSON.map(json.dumps), _MANIFEST.map(json.dumps)))
def test_no_bytes_bring_the_reading_of_manifests_down(body: bytes | str) -> None:
    data = body if isinstance(body, bytes) else body.encode(errors="surrogatepass")
    with contextlib.suppress(ContentError):
        parsed = parse_manifest(RawManifest(data, ""))
        for item in parsed.layers if isinstance(parsed, ImageManifest) else parsed.manifests:
            assert 0 <= item.size < 2**53
