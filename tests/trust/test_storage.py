"""Verdicts in a registry: where they lie, and what a tag that looks like one may hold instead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.layers import package_manifest
from demo.packages import build
from indexer.channel import codec
from indexer.errors import ContentError, NotFoundError
from indexer.registry import Registry, RegistryAddress, Transport, open_registry
from indexer.registry.address import is_tag
from indexer.registry.content import OCI_INDEX, OCI_MANIFEST, Content, Digest, RawManifest
from indexer.trust.envelope import MAX_ENVELOPE
from indexer.trust.storage import (
    ENVELOPE_TYPE,
    VerdictTag,
    fetch_envelope,
    parse_tag,
    put_verdict,
    verdict_tag,
)
from tests.registry.help import STEADY
from tests.support.fake_registry import FakeRegistry
from tests.support.push import push_image
from tests.support.registry_process import RegistryProcess
from tests.support.rig import Rig
from tests.support.validator import Validator, put_beside, verdict_of
from tests.trust.help import ARCHIVE

ENVELOPE = b'{"payload": "an envelope, as far as storage knows"}'
TAG = verdict_tag(ARCHIVE, ENVELOPE)
SUBJECT = RawManifest(b'{"layers": []}', OCI_MANIFEST)
REPOSITORY = "acme/forge/noarch/alpha"


@pytest.fixture
def registry(rig: Rig) -> Iterator[Registry]:
    with closing(Transport(retry_for=0.2)) as transport:
        yield open_registry(rig.config().registry, transport, writing=True)


# Tags


@given(st.binary(max_size=4), st.binary(max_size=40))
@STEADY
def test_a_verdicts_tag_is_one_of_a_registry_and_of_no_package(
    archive: bytes, envelope: bytes
) -> None:
    tag = verdict_tag(Digest.of(archive), envelope)
    assert is_tag(str(tag))
    assert not codec.is_package_tag(str(tag))
    assert parse_tag(str(tag)) == tag


def test_a_tag_names_the_archive_and_half_of_the_envelopes_digest() -> None:
    assert str(TAG) == f"sha256-{ARCHIVE.hex}.{Digest.of(ENVELOPE).hex[:32]}"


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "latest",
        "1.0-0",
        # The fallback for referrers, by the OCI distribution spec, and other tools' neighbours.
        f"sha256-{'0' * 64}",
        f"sha256-{'0' * 64}.sig",
        f"sha256-{'0' * 64}.att",
        f"sha256-{'0' * 64}.{'0' * 31}",
        f"sha256-{'0' * 64}.{'0' * 33}",
        f"sha256-{'0' * 63}.{'0' * 32}",
        f"sha256-{'A' * 64}.{'0' * 32}",
        f"sha256-{'0' * 64}.{'0' * 31}G",
        f"sha256-{'0' * 64}-{'0' * 32}",
        f"sha256:{'0' * 64}.{'0' * 32}",
        f"sha256-{'0' * 64}.{'0' * 32}\n",
        f" sha256-{'0' * 64}.{'0' * 32}",
        f"sha512-{'0' * 64}.{'0' * 32}",
    ],
)
def test_no_other_tag_is_taken_for_a_verdicts(tag: str) -> None:
    assert parse_tag(tag) is None


# What is stored


def test_what_was_put_is_fetched_in_one_request(rig: Rig, registry: Registry) -> None:
    put_verdict(registry, REPOSITORY, TAG, ENVELOPE, SUBJECT)
    assert rig.fake.tags_of(REPOSITORY) == [str(TAG)]
    rig.fake.clear_requests()
    assert fetch_envelope(registry, REPOSITORY, TAG) == ENVELOPE
    assert [request.kind for request in rig.fake.requests] == ["manifests"]


def test_the_artifact_is_what_oci_says(rig: Rig, registry: Registry) -> None:
    put_verdict(registry, REPOSITORY, TAG, ENVELOPE, SUBJECT)
    manifest = rig.fake.manifest_of(REPOSITORY, str(TAG))
    assert manifest["mediaType"] == OCI_MANIFEST
    assert manifest["artifactType"] == "application/vnd.in-toto+json"
    assert manifest["subject"] == {
        "mediaType": OCI_MANIFEST,
        "digest": str(SUBJECT.digest),
        "size": len(SUBJECT.body),
    }
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.dsse.envelope.v1+json"
    # Both stand in the manifest, and are there as blobs for whoever reads no embedded ones.
    assert rig.fake.blob_of(REPOSITORY, layer["digest"]) == ENVELOPE
    assert rig.fake.blob_of(REPOSITORY, manifest["config"]["digest"]) == b"{}"


def test_the_tag_is_written_last(rig: Rig, registry: Registry) -> None:
    put_verdict(registry, REPOSITORY, TAG, ENVELOPE, SUBJECT)
    writes = [(r.method, r.kind) for r in rig.fake.requests if r.method not in {"GET", "HEAD"}]
    assert writes[-1] == ("PUT", "manifests")
    assert writes.count(("PUT", "manifests")) == 1


def test_putting_it_again_changes_nothing(rig: Rig, registry: Registry) -> None:
    put_verdict(registry, REPOSITORY, TAG, ENVELOPE, SUBJECT)
    before = rig.fake.manifest_of(REPOSITORY, str(TAG))
    put_verdict(registry, REPOSITORY, TAG, ENVELOPE, SUBJECT)
    assert rig.fake.manifest_of(REPOSITORY, str(TAG)) == before


def test_a_subject_without_a_type_is_an_image_manifest(rig: Rig, registry: Registry) -> None:
    put_verdict(registry, REPOSITORY, TAG, ENVELOPE, RawManifest(SUBJECT.body, ""))
    manifest = rig.fake.manifest_of(REPOSITORY, str(TAG))
    assert manifest["subject"]["mediaType"] == OCI_MANIFEST


def test_a_real_registry_takes_verdicts_and_gives_them_back(
    docker_registry: RegistryProcess, validator: Validator
) -> None:
    package = build("alpha")
    address = RegistryAddress.parse(f"oci+{docker_registry.http}/acme")
    with closing(Transport(retry_for=5)) as transport:
        registry = open_registry(address, transport)
        full = address.repository("forge", "noarch", "alpha")
        push_image(docker_registry.http, full, package_manifest([package]))
        envelope = validator.sign(verdict_of(package))
        tag = put_beside(address, "forge", package, envelope)
        assert sorted(registry.tags(full)) == ["1.0-0", str(tag)]
        assert fetch_envelope(registry, full, tag) == envelope


# What lies there instead


def lay(
    fake: FakeRegistry, content: bytes, *, tag: VerdictTag = TAG, count: int = 1, **changes: object
) -> None:
    """Put a verdict-like manifest under a tag, its envelope as a blob of its own."""
    layer: dict[str, object] = {
        "mediaType": ENVELOPE_TYPE,
        "digest": fake.add_blob(REPOSITORY, content),
    }
    layer |= {"size": len(content)} | changes
    body = orjson.dumps({"schemaVersion": 2, "layers": [layer] * count})
    fake.add_manifest(REPOSITORY, str(tag), body, OCI_MANIFEST)


def test_an_envelope_may_lie_apart(rig: Rig, registry: Registry) -> None:
    lay(rig.fake, ENVELOPE)
    assert fetch_envelope(registry, REPOSITORY, TAG) == ENVELOPE


def test_another_envelope_under_its_tag_is_refused(rig: Rig, registry: Registry) -> None:
    lay(rig.fake, b"another envelope")
    with pytest.raises(ContentError, match="not what its tag says"):
        fetch_envelope(registry, REPOSITORY, TAG)


def test_one_bit_in_the_tag_is_enough(rig: Rig, registry: Registry) -> None:
    last = "0" if TAG.envelope[-1] != "0" else "1"
    tag = replace(TAG, envelope=TAG.envelope[:-1] + last)
    lay(rig.fake, ENVELOPE, tag=tag)
    with pytest.raises(ContentError, match="not what its tag says"):
        fetch_envelope(registry, REPOSITORY, tag)


def test_too_large_a_one_is_not_downloaded(rig: Rig, registry: Registry) -> None:
    data = b"x" * (MAX_ENVELOPE + 1)
    tag = verdict_tag(ARCHIVE, data)
    lay(rig.fake, data, tag=tag)
    with pytest.raises(ContentError, match="65537 bytes"):
        fetch_envelope(registry, REPOSITORY, tag)
    assert rig.fake.count("blobs") == 0


def test_the_largest_is(rig: Rig, registry: Registry) -> None:
    data = b"x" * MAX_ENVELOPE
    lay(rig.fake, data, tag=verdict_tag(ARCHIVE, data))
    assert fetch_envelope(registry, REPOSITORY, verdict_tag(ARCHIVE, data)) == data


def test_a_size_that_lies_is_found_out(rig: Rig, registry: Registry) -> None:
    data = b"x" * (MAX_ENVELOPE * 4)
    tag = verdict_tag(ARCHIVE, data)
    lay(rig.fake, data, tag=tag, size=100)
    with pytest.raises(ContentError):
        fetch_envelope(registry, REPOSITORY, tag)


def test_an_embedded_envelope_is_checked_like_any_other(rig: Rig, registry: Registry) -> None:
    lay(rig.fake, ENVELOPE, data="e30=")
    with pytest.raises(ContentError, match="isn't what its digest"):
        fetch_envelope(registry, REPOSITORY, TAG)


@pytest.mark.parametrize("count", [0, 2])
def test_a_verdict_has_one_layer(rig: Rig, registry: Registry, count: int) -> None:
    lay(rig.fake, ENVELOPE, count=count)
    with pytest.raises(ContentError, match="not that of a verdict"):
        fetch_envelope(registry, REPOSITORY, TAG)


def test_another_media_type_is_no_verdicts(rig: Rig, registry: Registry) -> None:
    lay(rig.fake, ENVELOPE, mediaType="application/vnd.conda.package.v2")
    with pytest.raises(ContentError, match="not that of a verdict"):
        fetch_envelope(registry, REPOSITORY, TAG)


def test_a_package_under_a_verdicts_tag_is_none(rig: Rig, registry: Registry) -> None:
    rig.push(build("alpha"), tag=str(TAG))
    with pytest.raises(ContentError, match="not that of a verdict"):
        fetch_envelope(registry, rig.repository("noarch", "alpha"), TAG)


def test_an_image_index_under_a_verdicts_tag_is_none(rig: Rig, registry: Registry) -> None:
    child = rig.fake.add_manifest(REPOSITORY, "1.0-0", b'{"layers": []}', OCI_MANIFEST)
    body = {"manifests": [{"mediaType": OCI_MANIFEST, "digest": child, "size": 14}]}
    rig.fake.add_manifest(REPOSITORY, str(TAG), json.dumps(body).encode(), OCI_INDEX)
    with pytest.raises(ContentError, match="not that of a verdict"):
        fetch_envelope(registry, REPOSITORY, TAG)


def test_what_is_not_there_is_not_found(rig: Rig, registry: Registry) -> None:
    with pytest.raises(NotFoundError):
        fetch_envelope(registry, REPOSITORY, TAG)
    lay(rig.fake, ENVELOPE, digest=str(Digest(f"{TAG.envelope}{'0' * 32}")))
    with pytest.raises(NotFoundError):
        fetch_envelope(registry, REPOSITORY, TAG)


def test_what_is_fetched_is_what_was_put_in_a_folder_too(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    address = RegistryAddress.parse(f"ocidir://{tmp_path_factory.mktemp('layouts')}")
    with closing(Transport()) as transport:
        registry = open_registry(address, transport, writing=True)
        registry.put_blob("forge/noarch/alpha", Content.of_bytes(b"{}"))
        put_verdict(registry, "forge/noarch/alpha", TAG, ENVELOPE, SUBJECT)
        assert fetch_envelope(registry, "forge/noarch/alpha", TAG) == ENVELOPE
