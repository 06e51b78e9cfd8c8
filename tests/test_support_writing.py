"""The fake registry takes writes as a real one does, and fails them as it is told to."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin

import pytest
import requests

from demo.layers import MANIFEST, digest_of, package_manifest
from demo.packages import build
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.push import delete_manifest, push_blob, push_image, put_manifest
from tests.support.uploads import DATA, DIGEST, finish, said, start

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = "forge/noarch/foo"
OTHER = "forge/noarch/bar"
IMAGE = package_manifest([build("foo")])


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def uploads(fake: FakeRegistry, repository: str = REPOSITORY) -> str:
    return f"{fake.http}/v2/{repository}/blobs/uploads/"


# --- what is taken in ---


def test_pushed_image_is_what_is_read(fake: FakeRegistry, client: requests.Session) -> None:
    digest = push_image(fake.http, REPOSITORY, IMAGE)
    put_manifest(fake.http, REPOSITORY, "again", IMAGE.manifest, MANIFEST)
    assert fake.tags_of(REPOSITORY) == ["1.0-0", "again"]
    assert fake.manifest_of(REPOSITORY, "again") == json.loads(IMAGE.manifest)
    assert {one: fake.blob_of(REPOSITORY, one) for one in IMAGE.blobs} == IMAGE.blobs
    base = f"{fake.http}/v2/{REPOSITORY}"
    read = client.get(f"{base}/manifests/1.0-0", headers={"Accept": MANIFEST}, timeout=5)
    assert (read.content, read.headers["Docker-Content-Digest"]) == (IMAGE.manifest, digest)
    assert (fake.tags_of(OTHER), fake.blob_of(OTHER, DIGEST)) == ([], None)


@pytest.mark.parametrize("style", ["relative", "absolute", "query"])
def test_upload_locations_come_in_every_spelling(
    fake: FakeRegistry, client: requests.Session, style: Literal["relative", "absolute", "query"]
) -> None:
    fake.knobs.upload_location = style
    begun = client.post(uploads(fake), timeout=5)
    location = begun.headers["Location"]
    assert begun.headers["Docker-Upload-UUID"] in location
    assert location.startswith("/v2/" if style == "relative" else fake.http)
    assert ("?_state=" in location) is (style == "query")
    stored = finish(client, urljoin(begun.url, location))
    assert (stored.status_code, stored.headers["Docker-Content-Digest"]) == (201, DIGEST)
    assert client.get(urljoin(begun.url, stored.headers["Location"]), timeout=5).content == DATA


def test_upload_without_its_state_is_refused(fake: FakeRegistry, client: requests.Session) -> None:
    fake.knobs.upload_location = "query"
    bare = start(client, uploads(fake)).partition("?")[0]
    assert said(finish(client, bare)) == (404, "BLOB_UPLOAD_INVALID")
    assert fake.blob_of(REPOSITORY, DIGEST) is None


def test_a_failed_upload_must_begin_anew(fake: FakeRegistry, client: requests.Session) -> None:
    location = start(client, uploads(fake))
    assert said(finish(client, location, DATA[1:])) == (400, "DIGEST_INVALID")
    assert said(finish(client, location)) == (404, "BLOB_UPLOAD_UNKNOWN")
    elsewhere = start(client, uploads(fake)).replace(REPOSITORY, OTHER)
    assert said(finish(client, elsewhere)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert fake.blob_of(REPOSITORY, DIGEST) is None
    assert finish(client, start(client, uploads(fake))).status_code == 201


def test_mount_takes_only_what_is_there(fake: FakeRegistry, client: requests.Session) -> None:
    fake.add_blob(OTHER, DATA)
    mount = {"mount": DIGEST, "from": OTHER}
    lacking = client.post(uploads(fake), params={**mount, "mount": digest_of(b"")}, timeout=5)
    assert (lacking.status_code, fake.blob_of(REPOSITORY, DIGEST)) == (202, None)
    fake.knobs.mounts = False
    refused = client.post(uploads(fake), params=mount, timeout=5)
    assert finish(client, urljoin(refused.url, refused.headers["Location"])).status_code == 201
    fake.knobs.mounts = True
    third = "forge/noarch/third"
    mounted = client.post(uploads(fake, third), params=mount, timeout=5)
    assert (mounted.status_code, fake.blob_of(third, DIGEST)) == (201, DATA)
    assert mounted.headers["Location"] == f"/v2/{third}/blobs/{DIGEST}"


def test_manifest_before_its_blobs_is_refused(fake: FakeRegistry, client: requests.Session) -> None:
    def put() -> tuple[int, str]:
        url = f"{fake.http}/v2/{REPOSITORY}/manifests/1.0-0"
        headers = {"Content-Type": MANIFEST}
        return said(client.put(url, data=IMAGE.manifest, headers=headers, timeout=5))

    *most, last = IMAGE.blobs.values()
    for data in most:
        push_blob(fake.http, REPOSITORY, data)
    push_blob(fake.http, OTHER, last)
    assert put() == (400, "MANIFEST_BLOB_UNKNOWN")
    assert fake.tags_of(REPOSITORY) == []
    fake.knobs.checks_manifests = False
    assert put() == (201, "")
    assert fake.tags_of(REPOSITORY) == ["1.0-0"]


def test_deleted_manifest_takes_its_tags_along(
    fake: FakeRegistry, client: requests.Session
) -> None:
    image = package_manifest([build("foo", "2.0")])
    fake.add(REPOSITORY, image)
    digest = fake.add(REPOSITORY, IMAGE)
    fake.add(REPOSITORY, IMAGE, "again")
    url = f"{fake.http}/v2/{REPOSITORY}/manifests/{digest}"
    fake.knobs.deletes = False
    assert said(client.delete(url, timeout=5)) == (405, "UNSUPPORTED")
    fake.knobs.deletes = True
    delete_manifest(fake.http, REPOSITORY, digest)
    assert fake.tags_of(REPOSITORY) == ["2.0-0"]
    assert client.get(url, headers={"Accept": MANIFEST}, timeout=5).status_code == 404
    assert said(client.delete(url, timeout=5)) == (404, "MANIFEST_UNKNOWN")


# --- who may ---


def bearer(
    client: requests.Session, fake: FakeRegistry, *scopes: str, user: str | None = None
) -> dict[str, str]:
    auth = (user, "secret") if user else None
    query = {"scope": list(scopes)}
    answer = client.get(f"{fake.http}/token", params=query, auth=auth, timeout=5)
    return {"Authorization": f"Bearer {answer.json()['token']}"}


@pytest.fixture
def guarded(fake: FakeRegistry) -> FakeRegistry:
    fake.knobs.auth = "token"
    fake.knobs.users = {"ann": "secret", "bob": "secret"}
    fake.knobs.readers = {"bob"}
    fake.add_blob(OTHER, DATA)
    return fake


BOTH = f"repository:{REPOSITORY}:pull,push"


def test_only_who_may_push_writes(guarded: FakeRegistry, client: requests.Session) -> None:
    def post(headers: dict[str, str], repository: str = REPOSITORY) -> requests.Response:
        return client.post(uploads(guarded, repository), headers=headers, timeout=5)

    refused = post({})
    assert said(refused) == (401, "UNAUTHORIZED")
    assert refused.headers["WWW-Authenticate"].endswith(f'scope="{BOTH}"')
    may = bearer(client, guarded, BOTH, user="ann")
    assert [post(may).status_code, post(may, OTHER).status_code] == [202, 401]
    pulling = bearer(client, guarded, f"repository:{REPOSITORY}:pull", user="ann")
    for without in (pulling, bearer(client, guarded, BOTH, user="bob")):
        again = post(without)
        assert (again.status_code, "WWW-Authenticate" in again.headers) == (401, True)
    assert post(bearer(client, guarded, BOTH)).status_code == 401
    guarded.knobs.anonymous_push = True
    assert post(bearer(client, guarded, BOTH)).status_code == 202


def test_readers_with_a_password_do_not_write(
    guarded: FakeRegistry, client: requests.Session
) -> None:
    token = f"{guarded.http}/token"
    assert client.post(token, auth=("ann", "secret"), timeout=5).status_code == 404
    guarded.knobs.auth = "basic"
    codes = [
        client.post(uploads(guarded), auth=(user, "secret"), timeout=5).status_code
        for user in ("ann", "bob")
    ]
    assert codes == [202, 401]
    blob = f"{guarded.http}/v2/{OTHER}/blobs/{DIGEST}"
    assert client.get(blob, auth=("bob", "secret"), timeout=5).content == DATA


def test_several_scopes_are_granted_together(
    guarded: FakeRegistry, client: requests.Session
) -> None:
    mount = {"mount": DIGEST, "from": OTHER}
    reading = f"repository:{OTHER}:pull"
    bare = client.post(uploads(guarded), params=mount, timeout=5)
    assert bare.headers["WWW-Authenticate"].endswith(f'scope="{BOTH} {reading}"')
    codes = []
    for scopes in ([BOTH], [BOTH, reading], [f"{BOTH} {reading}"]):
        headers = bearer(client, guarded, *scopes, user="ann")
        codes.append(client.post(uploads(guarded), params=mount, headers=headers, timeout=5))
    assert [answer.status_code for answer in codes] == [202, 201, 201]
    blob = f"{guarded.http}/v2/{REPOSITORY}/blobs/{DIGEST}"
    assert client.get(blob, headers=headers, timeout=5).content == DATA


@pytest.mark.parametrize(("action", "code"), [("push", 404), ("delete", 401)])
def test_deletion_may_need_an_action_of_its_own(
    guarded: FakeRegistry,
    client: requests.Session,
    action: Literal["push", "delete"],
    code: int,
) -> None:
    guarded.knobs.delete_action = action
    url = f"{guarded.http}/v2/{OTHER}/manifests/{DIGEST}"
    pushing = bearer(client, guarded, f"repository:{OTHER}:pull,push", user="ann")
    assert client.delete(url, headers=pushing, timeout=5).status_code == code
    deleting = bearer(client, guarded, f"repository:{OTHER}:pull,push,delete", user="ann")
    assert client.delete(url, headers=deleting, timeout=5).status_code == 404


def test_hidden_repository_shows_as_absent_to_who_may_make_it(
    guarded: FakeRegistry, client: requests.Session
) -> None:
    guarded.knobs.absent_status = 403
    blob = f"{guarded.http}/v2/{REPOSITORY}/blobs/{DIGEST}"
    reader = client.get(
        f"{guarded.http}/token", params={"scope": BOTH}, auth=("bob", "secret"), timeout=5
    )
    assert reader.status_code == 403
    writer = bearer(client, guarded, BOTH, user="ann")
    assert client.head(blob, headers=writer, timeout=5).status_code == 404


# --- what goes wrong ---


def test_read_matchers_pass_writes_over(fake: FakeRegistry) -> None:
    reads = [faults.is_manifest(), faults.is_blob(), faults.is_tags()]
    fake.knobs.faults = [faults.status(503, match=match) for match in reads]
    push_image(fake.http, REPOSITORY, IMAGE)
    delete_manifest(fake.http, REPOSITORY, IMAGE.digest)
    # Before a blob is pushed, it is asked whether it is there.
    assert [one.fired for one in fake.knobs.faults] == [0, len(IMAGE.blobs), 0]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("broken", [False, True])
def test_failed_upload_may_have_been_stored(
    fake: FakeRegistry, client: requests.Session, *, broken: bool, stored: bool
) -> None:
    match = faults.is_upload(REPOSITORY, DIGEST)
    fault = (
        faults.closed(match=match, times=1, stored=stored)
        if broken
        else faults.status(500, match=match, times=1, stored=stored)
    )
    fake.knobs.faults = [fault]
    push_blob(fake.http, REPOSITORY, b"another blob")
    location = start(client, uploads(fake))
    if broken:
        with pytest.raises(requests.ConnectionError):
            finish(client, location)
    else:
        assert finish(client, location).status_code == 500
    assert fake.requests[-1].body == DATA
    assert fake.blob_of(REPOSITORY, DIGEST) == (DATA if stored else None)
    assert finish(client, location).status_code == 404
    assert finish(client, start(client, uploads(fake))).status_code == 201
    assert fault.fired == 1


def test_body_is_cut_half_way(fake: FakeRegistry, client: requests.Session) -> None:
    fault = faults.cut_body(match=faults.is_upload(), times=1)
    fake.knobs.faults = [fault]
    location = start(client, uploads(fake))
    target = location.removeprefix(fake.http)
    host, _, port = fake.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        head = f"PUT {target}?digest={DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}"
        raw.sendall(head.encode() + b"\r\n\r\n" + DATA[: len(DATA) // 2])
        assert raw.recv(100) == b""  # It doesn't wait for the other half.
    assert (fault.fired, fake.requests[-1].body) == (1, b"")
    assert fake.blob_of(REPOSITORY, DIGEST) is None
    assert said(finish(client, location)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert finish(client, start(client, uploads(fake))).status_code == 201


def test_cut_breaks_a_large_upload_but_no_challenge(
    guarded: FakeRegistry, client: requests.Session
) -> None:
    fault = faults.cut_body(match=faults.is_upload())
    guarded.knobs.faults = [fault]
    data = bytes(8_000_000)
    client.headers.update(bearer(client, guarded, BOTH, user="ann"))
    location = start(client, uploads(guarded))
    del client.headers["Authorization"]
    assert finish(client, location, data).status_code == 401
    assert fault.fired == 0
    client.headers.update(bearer(client, guarded, BOTH, user="ann"))
    with pytest.raises(requests.ConnectionError):
        finish(client, location, data)
    assert fault.fired == 1


def test_other_writes_fail_as_told(fake: FakeRegistry, client: requests.Session) -> None:
    fake.add(REPOSITORY, IMAGE)
    fake.add_blob(OTHER, DATA)
    matches = {
        "start": faults.is_upload_start(REPOSITORY),
        "mount": faults.is_mount(REPOSITORY),
        "put": faults.is_manifest_put(REPOSITORY, "new"),
        "delete": faults.is_delete(REPOSITORY, IMAGE.digest),
    }
    manifests = f"{fake.http}/v2/{REPOSITORY}/manifests"
    asks = {
        "start": ("POST", uploads(fake)),
        "mount": ("POST", f"{uploads(fake)}?mount={DIGEST}&from={OTHER}"),
        "put": ("PUT", f"{manifests}/new"),
        "delete": ("DELETE", f"{manifests}/{IMAGE.digest}"),
    }
    hit: dict[str, list[str]] = {}
    for name, match in matches.items():
        fake.knobs.faults = [faults.status(503, match=match)]
        for asked, (method, url) in asks.items():
            if asked == "delete" != name:
                continue  # It would succeed.
            headers = {"Content-Type": MANIFEST}
            answer = client.request(method, url, data=b"{", headers=headers, timeout=5)
            hit.setdefault(name, []).extend([asked] if answer.status_code == 503 else [])
    assert hit == {"start": ["start", "mount"], "mount": ["mount"], "put": ["put"]} | {
        "delete": ["delete"]
    }
    assert fake.tags_of(REPOSITORY) == ["1.0-0"]
    assert fake.count("uploads", "POST") == 8
