"""Manifests that are put and deleted: nobody else's is overwritten unseen, no blob goes missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexer.errors import (
    ConflictError,
    ContentError,
    DeniedError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnsupportedError,
)
from indexer.registry.content import OCI_MANIFEST, Digest
from tests.registry.help import REPOSITORY, content_of, remote
from tests.support import faults

if TYPE_CHECKING:
    from indexer.registry.base import Replaced
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

TAG = "1.0-0"
MINE = b'{"layers": [], "annotations": {"whose": "mine"}}'
THEIRS = b'{"layers": [], "annotations": {"whose": "theirs"}}'
OLD = b'{"layers": [], "annotations": {"whose": "old"}}'


def put(
    fake: FakeRegistry, transport: Transport, replaces: Replaced = "anything", tag: str = TAG
) -> Digest:
    registry = remote(fake, transport)
    return registry.put_manifest(REPOSITORY, tag, MINE, OCI_MANIFEST, replaces=replaces)


def add(fake: FakeRegistry, body: bytes) -> Digest:
    return Digest.parse(fake.add_manifest(REPOSITORY, TAG, body, OCI_MANIFEST))


def whose(fake: FakeRegistry) -> object:
    return fake.manifest_of(REPOSITORY, TAG)["annotations"]["whose"]


def test_a_manifest_is_stored_as_it_is(fake: FakeRegistry, transport: Transport) -> None:
    assert put(fake, transport) == Digest.of(MINE)
    assert fake.requests[-1].headers["content-type"] == OCI_MANIFEST
    raw = remote(fake, transport).manifest(REPOSITORY, TAG)
    assert (raw.body, raw.media_type) == (MINE, OCI_MANIFEST)


def test_a_manifest_under_its_digest_gets_no_tag(fake: FakeRegistry, transport: Transport) -> None:
    digest = put(fake, transport, None, str(Digest.of(MINE)))
    assert fake.tags_of(REPOSITORY) == []
    assert remote(fake, transport).manifest(REPOSITORY, str(digest)).body == MINE


def test_a_manifest_under_another_s_digest_is_refused(
    fake: FakeRegistry, transport: Transport
) -> None:
    with pytest.raises(RegistryError, match="400"):
        put(fake, transport, "anything", str(Digest.of(THEIRS)))


def test_a_manifest_whose_blobs_are_missing_is_refused(
    fake: FakeRegistry, transport: Transport
) -> None:
    body = f'{{"layers": [{{"digest": "{Digest.of(b"absent")}"}}]}}'.encode()
    with pytest.raises(RefusedError, match="MANIFEST_BLOB_UNKNOWN"):
        remote(fake, transport).put_manifest(REPOSITORY, TAG, body, OCI_MANIFEST)
    assert fake.tags_of(REPOSITORY) == []


def test_anything_is_replaced_without_a_look(fake: FakeRegistry, transport: Transport) -> None:
    add(fake, THEIRS)
    put(fake, transport, "anything")
    assert whose(fake) == "mine"
    assert [request.method for request in fake.requests] == ["PUT"]


def test_nothing_is_replaced_where_there_is_nothing(
    fake: FakeRegistry, transport: Transport
) -> None:
    put(fake, transport, None)
    assert whose(fake) == "mine"
    assert [request.method for request in fake.requests] == ["GET", "PUT"]


def test_what_was_seen_is_replaced(fake: FakeRegistry, transport: Transport) -> None:
    put(fake, transport, add(fake, OLD))
    assert whose(fake) == "mine"


@pytest.mark.parametrize("replaces", [None, Digest.of(OLD)])
def test_what_somebody_else_wrote_meanwhile_stays(
    fake: FakeRegistry, transport: Transport, replaces: Digest | None
) -> None:
    theirs = add(fake, THEIRS)
    with pytest.raises(ConflictError, match=f"{REPOSITORY}:{TAG} leads to {theirs} by now"):
        put(fake, transport, replaces)
    assert whose(fake) == "theirs"
    assert fake.count("manifests", "PUT") == 0


def test_what_somebody_else_took_out_meanwhile_is_not_put_back(
    fake: FakeRegistry, transport: Transport
) -> None:
    add(fake, OLD)
    fake.remove_tag(REPOSITORY, TAG)
    with pytest.raises(ConflictError, match="leads to nothing by now"):
        put(fake, transport, Digest.of(OLD))
    assert fake.tags_of(REPOSITORY) == []


@pytest.mark.parametrize("replaces", [None, Digest.of(OLD)])
def test_the_very_same_manifest_is_no_conflict(
    fake: FakeRegistry, transport: Transport, replaces: Digest | None
) -> None:
    add(fake, MINE)
    assert put(fake, transport, replaces) == Digest.of(MINE)
    assert whose(fake) == "mine"


@pytest.mark.parametrize("status", [401, 403, 405, 503])
def test_a_look_that_shows_nothing_is_not_nothing(
    fake: FakeRegistry, impatient: Transport, status: int
) -> None:
    add(fake, THEIRS)
    fake.knobs.faults = [faults.status(status, match=faults.is_manifest())]
    with pytest.raises(RegistryError, match=str(status)):
        put(fake, impatient, None)
    assert whose(fake) == "theirs"


@pytest.mark.parametrize(("times", "asked"), [(1, 2), (2, 3)])
def test_a_registry_that_was_confused_by_another_writer_is_asked_again(
    fake: FakeRegistry, transport: Transport, times: int, asked: int
) -> None:
    fake.knobs.faults = [faults.status(400, match=faults.is_manifest_put(), times=times)]
    put(fake, transport)
    assert whose(fake) == "mine"
    assert fake.count("manifests", "PUT") == asked


def test_a_registry_that_stays_confused_is_asked_three_times_and_no_more(
    fake: FakeRegistry, transport: Transport
) -> None:
    words = b'{"errors": [{"code": "DIGEST_INVALID", "message": "not so"}]}'
    fake.knobs.faults = [faults.status(400, match=faults.is_manifest_put(), body=words)]
    with pytest.raises(RefusedError, match=r"answered 400 \(DIGEST_INVALID: not so\)"):
        put(fake, transport)
    assert fake.count("manifests", "PUT") == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, DeniedError),
        (403, DeniedError),
        (404, NotFoundError),
        (405, RefusedError),
        (409, RefusedError),
        (413, RefusedError),
        (501, RefusedError),
    ],
)
def test_a_refused_manifest_is_asked_for_once(
    fake: FakeRegistry, transport: Transport, status: int, kind: type[Exception]
) -> None:
    fake.knobs.faults = [faults.status(status, match=faults.is_manifest_put())]
    with pytest.raises(kind, match=f"/manifests/{TAG} answered {status}"):
        put(fake, transport)
    assert fake.count("manifests", "PUT") == 1


@pytest.mark.parametrize("stored", [True, False])
def test_a_manifest_whose_answer_was_lost_is_put_again(
    fake: FakeRegistry, transport: Transport, *, stored: bool
) -> None:
    match = faults.is_manifest_put()
    fake.knobs.faults = [
        faults.closed(match=match, times=1, stored=stored),
        faults.status(503, match=match, times=1, stored=stored),
    ]
    put(fake, transport, None)
    assert whose(fake) == "mine"
    assert fake.count("manifests", "PUT") == 3


@pytest.mark.parametrize(
    "tag", ["", ".1", "-1", "a/b", "a b", "1+0", "1!0", "1\n", "é", "a" * 129, "sha256:0", "?a"]
)
def test_a_tag_that_can_t_be_one_is_not_asked_for(
    fake: FakeRegistry, transport: Transport, tag: str
) -> None:
    with pytest.raises(ContentError, match="can't be a tag"):
        put(fake, transport, tag=tag)
    assert fake.requests == []


def test_a_deleted_manifest_takes_its_tags_along(fake: FakeRegistry, transport: Transport) -> None:
    digest = add(fake, MINE)
    fake.add_manifest(REPOSITORY, "latest", MINE, OCI_MANIFEST)
    fake.add_manifest(REPOSITORY, "2.0-0", THEIRS, OCI_MANIFEST)
    remote(fake, transport).delete_manifest(REPOSITORY, digest)
    assert fake.tags_of(REPOSITORY) == ["2.0-0"]
    assert [request.method for request in fake.requests] == ["DELETE"]


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_deleted(
    fake: FakeRegistry, transport: Transport, status: int
) -> None:
    gone = faults.status(status, match=faults.is_delete())
    fake.knobs.faults = [gone]
    remote(fake, transport).delete_manifest(REPOSITORY, Digest.of(MINE))
    assert gone.fired == 1


def test_a_deletion_whose_answer_was_lost_is_done(fake: FakeRegistry, transport: Transport) -> None:
    digest = add(fake, MINE)
    fake.knobs.faults = [faults.closed(match=faults.is_delete(), times=1, stored=True)]
    remote(fake, transport).delete_manifest(REPOSITORY, digest)
    assert (fake.tags_of(REPOSITORY), fake.count("manifests", "DELETE")) == ([], 2)


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_registry_that_never_deletes_is_told_apart(
    fake: FakeRegistry, transport: Transport, status: int
) -> None:
    digest = add(fake, MINE)
    fake.knobs.faults = [faults.status(status, match=faults.is_delete())]
    with pytest.raises(UnsupportedError, match=f"can't be deleted there .answered {status}"):
        remote(fake, transport).delete_manifest(REPOSITORY, digest)
    assert fake.count("manifests", "DELETE") == 1


@pytest.mark.parametrize(("status", "kind"), [(403, DeniedError), (409, RefusedError)])
def test_a_refused_deletion_is_an_error(
    fake: FakeRegistry, transport: Transport, status: int, kind: type[Exception]
) -> None:
    digest = add(fake, MINE)
    fake.knobs.faults = [faults.status(status, match=faults.is_delete())]
    with pytest.raises(kind, match=f"answered {status}"):
        remote(fake, transport).delete_manifest(REPOSITORY, digest)


def test_every_write_is_counted(fake: FakeRegistry, transport: Transport) -> None:
    registry = remote(fake, transport)
    registry.put_blob(REPOSITORY, content_of(b"{}"))
    registry.put_manifest(REPOSITORY, TAG, MINE, OCI_MANIFEST, replaces=None)
    registry.delete_manifest(REPOSITORY, Digest.of(MINE))
    assert registry.requests.as_dict() == {
        "blob checks": 1,
        "deletions": 1,
        "manifests": 1,
        "pushed manifests": 1,
        "uploads": 2,
    }
