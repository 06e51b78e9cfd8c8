"""Manifests and blobs: bytes that are what they are called, or an error that says which isn't."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from demo.layers import MANIFEST, Image, package_manifest
from demo.packages import build
from indexer.errors import ContentError, DeniedError, NotFoundError, RegistryError
from indexer.registry.content import MANIFEST_TYPES, Descriptor, Digest
from tests.registry.help import REPOSITORY, remote
from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

DATA = b'{"name": "zlib"}' + b" " * 200
DESCRIPTOR = Descriptor("", Digest.of(DATA), len(DATA))


@pytest.fixture(scope="module")
def image() -> Image:
    return package_manifest([build("zlib")])


@pytest.fixture
def filled(fake: FakeRegistry, image: Image) -> FakeRegistry:
    fake.add(REPOSITORY, image)
    fake.add_blob(REPOSITORY, DATA)
    return fake


def test_a_manifest_is_had_by_tag_and_by_digest(
    filled: FakeRegistry, transport: Transport, image: Image
) -> None:
    registry = remote(filled, transport)
    for reference in (image.tag, image.digest):
        manifest = registry.manifest(REPOSITORY, reference)
        assert (manifest.body, str(manifest.digest)) == (image.manifest, image.digest)


@pytest.mark.parametrize("media_type", MANIFEST_TYPES)
def test_no_kind_of_manifest_hides_behind_the_accept_header(
    fake: FakeRegistry, transport: Transport, media_type: str
) -> None:
    fake.add_manifest(REPOSITORY, "1-0", b"{}", media_type)
    manifest = remote(fake, transport).manifest(REPOSITORY, "1-0")
    assert manifest.media_type == media_type


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("wrong", [faults.tampered, faults.wrong_digest_header])
@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_a_manifest_that_is_not_its_digest_s_is_asked_for_once_more(
    filled: FakeRegistry,
    transport: Transport,
    image: Image,
    reference: str,
    wrong: Callable[..., faults.Fault],
    times: int,
) -> None:
    filled.knobs.faults = [wrong(match=faults.is_manifest(), times=times)]
    asked = image.tag if reference == "tag" else image.digest
    registry = remote(filled, transport)
    if times == 1:
        assert registry.manifest(REPOSITORY, asked).body == image.manifest
    else:
        with pytest.raises(ContentError, match=r"have digest sha256:\w+, not sha256:"):
            registry.manifest(REPOSITORY, asked)
    assert filled.count("manifests") == 2


def test_a_manifest_s_digest_is_checked_where_the_registry_names_none(
    filled: FakeRegistry, transport: Transport, image: Image
) -> None:
    bare = faults.Answer(200, {"Content-Type": MANIFEST}, image.manifest.replace(b"zlib", b"zlip"))
    filled.knobs.faults = [faults.Fault(faults.is_manifest(), None, lambda *_: bare)]
    with pytest.raises(ContentError):
        remote(filled, transport).manifest(REPOSITORY, image.digest)


@pytest.mark.parametrize("other", ["sha512:" + "0" * 128, "", "junk"])
def test_a_digest_of_another_kind_is_no_contradiction(
    filled: FakeRegistry, transport: Transport, image: Image, other: str
) -> None:
    filled.knobs.faults = [faults.wrong_digest_header(match=faults.is_manifest(), digest=other)]
    assert remote(filled, transport).manifest(REPOSITORY, image.tag).body == image.manifest


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "wrong",
    [
        faults.tampered(match=faults.is_blob()),
        faults.replace_body(DATA[:-1], match=faults.is_blob()),
        faults.replace_body(DATA + b" ", match=faults.is_blob()),
        faults.replace_body(b"", match=faults.is_blob()),
    ],
    ids=["tampered", "shorter", "longer", "empty"],
)
def test_a_blob_that_is_not_its_digest_s_is_asked_for_once_more(
    filled: FakeRegistry, transport: Transport, wrong: faults.Fault, times: int
) -> None:
    filled.knobs.faults = [faults.Fault(wrong.match, times, wrong.action)]
    registry = remote(filled, transport)
    if times == 1:
        assert registry.blob(REPOSITORY, DESCRIPTOR) == DATA
    else:
        with pytest.raises(ContentError, match=DESCRIPTOR.digest.hex):
            registry.blob(REPOSITORY, DESCRIPTOR)
    assert filled.count("blobs") == 2


@pytest.mark.parametrize("size", [0, len(DATA) - 1, len(DATA) + 1])
def test_a_blob_of_another_size_than_its_descriptor_s_is_refused(
    filled: FakeRegistry, transport: Transport, size: int
) -> None:
    with pytest.raises(ContentError):
        remote(filled, transport).blob(REPOSITORY, Descriptor("", DESCRIPTOR.digest, size))


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFoundError), (403, DeniedError), (401, DeniedError)]
)
def test_gone_and_refused_are_told_apart(
    filled: FakeRegistry, transport: Transport, status: int, error: type[Exception]
) -> None:
    filled.knobs.faults = [faults.status(status)]
    registry = remote(filled, transport)
    asked: list[Callable[[], object]] = [
        lambda: registry.tags(REPOSITORY),
        lambda: registry.manifest(REPOSITORY, "1-0"),
        lambda: registry.blob(REPOSITORY, DESCRIPTOR),
    ]
    for ask in asked:
        with pytest.raises(error, match=f"{REPOSITORY}.*answered {status}"):
            ask()
    assert len(filled.requests) == 3


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (403, DeniedError)])
def test_an_absent_repository_is_named(
    fake: FakeRegistry, transport: Transport, status: int, error: type[Exception]
) -> None:
    fake.knobs.absent_status = status
    with pytest.raises(error, match="NAME_UNKNOWN: name unknown"):
        remote(fake, transport).tags(REPOSITORY)


@pytest.mark.parametrize("status", [400, 405, 418])
def test_an_answer_that_is_none_is_neither_gone_nor_refused(
    filled: FakeRegistry, transport: Transport, status: int
) -> None:
    filled.knobs.faults = [faults.status(status)]
    with pytest.raises(RegistryError) as caught:
        remote(filled, transport).manifest(REPOSITORY, "1-0")
    assert not isinstance(caught.value, NotFoundError | DeniedError)


def test_nobody_on_the_way_is_asked_to_compress_what_has_a_digest(
    filled: FakeRegistry, transport: Transport
) -> None:
    remote(filled, transport).blob(REPOSITORY, DESCRIPTOR)
    assert filled.requests[0].headers["accept-encoding"] == "identity"
    assert filled.requests[0].headers["user-agent"].startswith("cf-index/")


def test_a_blob_is_looked_for_without_fetching_it(
    filled: FakeRegistry, transport: Transport
) -> None:
    registry = remote(filled, transport)
    assert registry.has_blob(REPOSITORY, DESCRIPTOR.digest)
    assert not registry.has_blob(REPOSITORY, Digest.of(b"other"))
    assert {request.method for request in filled.requests} == {"HEAD"}


@pytest.mark.parametrize("status", [401, 403, 405, 503])
def test_a_blob_that_can_not_be_looked_for_is_not_taken_for_gone(
    filled: FakeRegistry, transport: Transport, status: int
) -> None:
    filled.knobs.faults = [faults.status(status, match=faults.is_blob())]
    with pytest.raises(RegistryError):
        remote(filled, transport).has_blob(REPOSITORY, DESCRIPTOR.digest)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"errors": []}',
        b'{"errors": {}}',
        b'{"errors": ["x"]}',
        b'{"errors": [{}]}',
        b'{"errors": [{"code": ' + b"[" * 1015 + b"]" * 1015 + b"}]}",
        b'{"errors": [{"code": "A", "message": null}]}',
    ],
)
def test_no_body_of_a_refusal_brings_the_run_down(
    filled: FakeRegistry, transport: Transport, body: bytes
) -> None:
    filled.knobs.faults = [faults.status(404, body=body)]
    with pytest.raises(NotFoundError):
        remote(filled, transport).tags(REPOSITORY)


def test_a_refusal_s_words_are_short_and_can_not_steer_a_terminal(
    filled: FakeRegistry, transport: Transport
) -> None:
    words = {"errors": [{"code": "A\x1b]0;x\x07", "message": "\r\n\u202e" + "long " * 1000}]}
    filled.knobs.faults = [faults.status(403, body=json.dumps(words).encode())]
    with pytest.raises(DeniedError) as caught:
        remote(filled, transport).tags(REPOSITORY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "name", ["", "..", "acme/../other", "/acme", "acme?x", "acme#x", "Acme", "acme\n", "a%2fb"]
)
def test_a_name_that_could_lead_elsewhere_is_never_asked_for(
    fake: FakeRegistry, transport: Transport, name: str
) -> None:
    registry = remote(fake, transport)
    asked: list[Callable[[], object]] = [
        lambda: registry.tags(name),
        lambda: registry.manifest(name, "1-0"),
        lambda: registry.blob(name, DESCRIPTOR),
        lambda: registry.has_blob(name, DESCRIPTOR.digest),
    ]
    for ask in asked:
        with pytest.raises(NotFoundError, match="can't be a repository's name"):
            ask()
    assert fake.requests == []


@pytest.mark.parametrize("reference", ["../../../other/manifests/1-0", "..", "1?x", "1#x", "", "é"])
def test_a_tag_that_could_lead_elsewhere_is_never_asked_for(
    fake: FakeRegistry, transport: Transport, image: Image, reference: str
) -> None:
    fake.add("acme/forge/other", image, tag="1-0")
    with pytest.raises((NotFoundError, ContentError)):
        remote(fake, transport).manifest(REPOSITORY, reference)
    assert fake.requests == []


def test_every_question_is_counted(filled: FakeRegistry, transport: Transport) -> None:
    registry = remote(filled, transport)
    registry.tags(REPOSITORY)
    registry.blob(REPOSITORY, DESCRIPTOR)
    registry.blob(REPOSITORY, DESCRIPTOR)
    registry.has_blob(REPOSITORY, DESCRIPTOR.digest)
    assert registry.requests.as_dict() == {"blob checks": 1, "blobs": 2, "tags": 1}
