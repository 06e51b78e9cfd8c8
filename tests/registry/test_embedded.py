"""Blobs that stand in a manifest itself: checked like any other, before anybody sees them."""

from __future__ import annotations

import base64
import json

import pytest

from indexer.errors import ContentError
from indexer.registry.content import (
    OCI_MANIFEST,
    Digest,
    ImageManifest,
    RawManifest,
    parse_descriptor,
    parse_manifest,
)

DATA = b'{"name": "zlib"}?>~'
ENCODED = base64.b64encode(DATA).decode()


def descriptor(data: object, blob: bytes = DATA, **changes: object) -> dict[str, object]:
    digest = str(Digest.of(blob))
    return {"mediaType": "x", "digest": digest, "size": len(blob), "data": data, **changes}


@pytest.mark.parametrize("blob", [DATA, b"", b"x"])
def test_embedded_bytes_are_those_of_the_blob(blob: bytes) -> None:
    encoded = base64.b64encode(blob).decode()
    assert parse_descriptor(descriptor(encoded, blob)).data == blob


def test_what_isn_t_embedded_is_not_taken_for_empty() -> None:
    bare = descriptor(None)
    assert parse_descriptor(bare).data is None
    del bare["data"]
    assert parse_descriptor(bare).data is None


def test_a_descriptor_without_data_of_its_own_compares_by_what_it_says() -> None:
    assert parse_descriptor(descriptor(ENCODED)) != parse_descriptor(descriptor(None))


@pytest.mark.parametrize(
    "value",
    [
        base64.b64encode(DATA[::-1]).decode(),
        base64.b64encode(DATA[:-1]).decode(),
        base64.b64encode(DATA + b"x").decode(),
        "",
    ],
)
def test_embedded_bytes_of_something_else_are_refused(value: str) -> None:
    with pytest.raises(ContentError, match=f"isn't what its digest {Digest.of(DATA)} says"):
        parse_descriptor(descriptor(value))


@pytest.mark.parametrize("size", [0, len(DATA) - 1, len(DATA) + 1])
def test_embedded_bytes_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(ContentError, match="isn't what its digest"):
        parse_descriptor(descriptor(ENCODED, size=size))


# Lenient decoders skip what they don't know: two readers would see different bytes.
@pytest.mark.parametrize(
    "value",
    [
        ENCODED[:-1],
        f"{ENCODED}\n",
        f" {ENCODED}",
        ENCODED[:4] + "\n" + ENCODED[4:],
        base64.urlsafe_b64encode(DATA).decode(),
        f"{ENCODED}=",
        "é",
        "$$$$",
    ],
)
def test_what_is_not_base64_is_refused(value: str) -> None:
    with pytest.raises(ContentError, match="not base64"):
        parse_descriptor(descriptor(value))


@pytest.mark.parametrize("blob", [DATA, b""])
@pytest.mark.parametrize("value", [0, 1, True, False, 1.5, [], [ENCODED], {}, {"a": ENCODED}])
def test_data_that_is_no_text_is_refused(value: object, blob: bytes) -> None:
    with pytest.raises(ContentError, match="data in a descriptor"):
        parse_descriptor(descriptor(value, blob))


def test_a_layer_s_embedded_bytes_come_with_its_manifest() -> None:
    body = json.dumps({"layers": [descriptor(ENCODED), descriptor(None)]}).encode()
    manifest = parse_manifest(RawManifest(body, OCI_MANIFEST))
    assert isinstance(manifest, ImageManifest)
    assert [layer.data for layer in manifest.layers] == [DATA, None]


def test_wrong_embedded_bytes_cost_the_whole_manifest() -> None:
    body = json.dumps({"layers": [descriptor("QQ==")]}).encode()
    with pytest.raises(ContentError, match="isn't what its digest"):
        parse_manifest(RawManifest(body, OCI_MANIFEST))
