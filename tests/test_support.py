"""The support itself: if a fake doesn't misbehave as told, tests that lean on it prove nothing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin

import pytest
import rattler
import requests
from conda_package_streaming.package_streaming import stream_conda_info
from rattler.index import index_fs

from demo.layers import MANIFEST, VALIDATED, package_manifest
from demo.packages import Package, build
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost
from tests.support.push import delete_manifest, push_image, put_manifest
from tests.support.registry_process import RegistryProcess, make_ca, missing_reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Archive = Literal["conda", "tar.bz2"]
ARCHIVES: tuple[Archive, ...] = ("conda", "tar.bz2")
REPOSITORY = "forge/noarch/foo"
ACCEPT = {"Accept": MANIFEST}


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.add(REPOSITORY, package_manifest([build("foo")]))
        yield registry


def all_tags(client: requests.Session, first: str) -> list[str]:
    found: list[str] = []
    url: str | None = first
    while url is not None:
        answer = client.get(url, timeout=5)
        found += answer.json()["tags"]
        following = answer.links.get("next")
        url = urljoin(answer.url, following["url"]) if following else None
    return found


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("unsorted", [False, True])
def test_pages_of_tags_add_up(
    fake: FakeRegistry, client: requests.Session, *, unsorted: bool, absolute: bool
) -> None:
    fake.knobs.page_size, fake.knobs.unsorted, fake.knobs.link_absolute = 3, unsorted, absolute
    expected = [f"{number}.0-0" for number in range(10)]
    for version in expected[2:]:
        fake.add(REPOSITORY, package_manifest([build("foo")]), tag=version)
    fake.add(REPOSITORY, package_manifest([build("foo")]), tag="0.0-0")
    found = all_tags(client, f"{fake.http}/v2/{REPOSITORY}/tags/list?n=100")
    assert sorted(found) == expected
    assert (found == expected) is not unsorted
    assert fake.count("tags") == 4


def test_empty_and_absent_repositories_differ(fake: FakeRegistry, client: requests.Session) -> None:
    fake.remove_tag(REPOSITORY, "1.0-0")
    fake.knobs.null_tags, fake.knobs.absent_status = True, 403
    empty = client.get(f"{fake.http}/v2/{REPOSITORY}/tags/list", timeout=5)
    absent = client.get(f"{fake.http}/v2/forge/noarch/bar/tags/list", timeout=5)
    assert (empty.status_code, empty.json()["tags"]) == (200, None)
    assert absent.status_code == 403


def test_manifest_hides_from_a_wrong_accept(fake: FakeRegistry, client: requests.Session) -> None:
    url = f"{fake.http}/v2/{REPOSITORY}/manifests/1.0-0"
    assert client.get(url, timeout=5).status_code == 404  # requests sends */*.
    honest = client.head(url, headers=ACCEPT, timeout=5)
    image = package_manifest([build("foo")])
    assert (honest.headers["Docker-Content-Digest"], honest.content) == (image.digest, b"")
    assert int(honest.headers["Content-Length"]) == len(image.manifest)


def test_token_opens_its_own_repository_until_spent(
    fake: FakeRegistry, client: requests.Session
) -> None:
    fake.knobs.auth, fake.knobs.token_uses = "token", 2
    fake.knobs.anonymous, fake.knobs.users = False, {"ann": "secret"}
    fake.add("forge/noarch/bar", package_manifest([build("bar")]))
    tags = f"{fake.http}/v2/{REPOSITORY}/tags/list"
    challenge = client.get(tags, timeout=5).headers["WWW-Authenticate"]
    assert challenge.endswith(f'scope="repository:{REPOSITORY}:pull"')

    query = {"scope": f"repository:{REPOSITORY}:pull,push"}
    assert client.get(f"{fake.http}/token", params=query, timeout=5).status_code == 401
    grant = client.get(f"{fake.http}/token", params=query, auth=("ann", "secret"), timeout=5)
    bearer = {"Authorization": f"Bearer {grant.json()['token']}"}
    urls = [f"{fake.http}/v2/forge/noarch/bar/tags/list", tags, tags, tags]
    codes = [client.get(url, headers=bearer, timeout=5).status_code for url in urls]
    assert codes == [401, 200, 200, 401]


def test_status_fault_passes_after_its_times(fake: FakeRegistry, client: requests.Session) -> None:
    limit = faults.status(
        429, match=faults.is_tags(), times=2, headers={"Retry-After": "1.16676ms"}
    )
    fake.knobs.faults = [limit]
    url = f"{fake.http}/v2/{REPOSITORY}/tags/list"
    answers = [client.get(url, timeout=5) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "1.16676ms"
    assert limit.fired == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.truncated(match=faults.is_blob()), requests.exceptions.ChunkedEncodingError),
        (faults.closed(match=faults.is_blob()), requests.ConnectionError),
        (faults.hang(match=faults.is_blob()), requests.ReadTimeout),
    ],
    ids=["truncated", "closed", "hang"],
)
def test_broken_deliveries_break(
    fake: FakeRegistry, client: requests.Session, fault: faults.Fault, error: type[Exception]
) -> None:
    fake.knobs.faults = [fault]
    digest = fake.add_blob(REPOSITORY, b"bytes that never quite arrive")
    with pytest.raises(error):
        client.get(f"{fake.http}/v2/{REPOSITORY}/blobs/{digest}", timeout=0.3)
    assert fault.fired == 1


def test_dishonest_answers_keep_their_outside(fake: FakeRegistry, client: requests.Session) -> None:
    data = b"0123456789"
    digest = fake.add_blob(REPOSITORY, data)
    fake.knobs.faults = [
        faults.tampered(match=faults.is_blob(), times=1),
        faults.wrong_digest_header(match=faults.is_blob(), times=1),
        faults.replace_body(b"{}", match=faults.is_blob(), times=1),
        faults.drip(match=faults.is_blob(), times=1, interval=0.001),
    ]
    url = f"{fake.http}/v2/{REPOSITORY}/blobs/{digest}"
    answers = [client.get(url, timeout=5) for _ in range(4)]
    assert [answer.content for answer in answers] == [b"0123446789", data, b"{}", data]
    named = [answer.headers["Docker-Content-Digest"] == digest for answer in answers]
    assert named == [True, False, True, True]


def test_file_host_sees_which_credentials_followed_a_redirect(
    fake: FakeRegistry, client: requests.Session
) -> None:
    with FileHost() as host:
        url = host.put("/store/blob", b"far away")
        fake.knobs.faults = [faults.redirect(url, match=faults.is_blob(REPOSITORY))]
        digest = fake.add_blob(REPOSITORY, b"far away")
        answer = client.get(
            f"{fake.http}/v2/{REPOSITORY}/blobs/{digest}",
            headers={"Authorization": "Bearer secret", "X-Kept": "yes"},
            timeout=5,
        )
    assert answer.content == b"far away"
    assert fake.requests[-1].headers["authorization"] == "Bearer secret"
    assert host.requests[0].headers["x-kept"] == "yes"
    assert "authorization" not in host.requests[0].headers


def test_stopped_fake_answers_nobody_on_a_kept_connection(client: requests.Session) -> None:
    with FakeRegistry() as fake:
        assert client.get(f"{fake.http}/v2/", timeout=5).ok
    with pytest.raises(requests.ConnectionError):
        client.get(f"{fake.http}/v2/", timeout=5)


def require_registry() -> None:
    reason = missing_reason()
    if reason is not None and os.environ.get("CI"):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


def test_real_registry_gives_back_what_was_pushed(tmp_path: Path) -> None:
    require_registry()
    tls = make_ca(tmp_path / "tls")
    verify = str(tls.ca_pem)
    image = package_manifest(
        [build("_foo", "1!2.0+x"), build("_foo", "1!2.0+x", archive="tar.bz2")],
        annotations=VALIDATED,
    )
    assert (image.repository_name, image.tag) == ("zzz_foo", "1__e__2.0__p__x-0")
    with RegistryProcess(tmp_path / "registry", tls=tls) as registry, requests.Session() as client:
        client.verify, client.trust_env = verify, False
        base = f"{registry.http}/v2/forge/noarch/zzz_foo"
        repository = "forge/noarch/zzz_foo"
        digest = push_image(registry.http, repository, image, verify=verify)
        put_manifest(registry.http, repository, "again", image.manifest, MANIFEST, verify=verify)
        tags = client.get(f"{base}/tags/list", timeout=5).json()["tags"]
        assert sorted(tags) == [image.tag, "again"]
        stored = client.get(f"{base}/manifests/{image.tag}", headers=ACCEPT, timeout=5)
        assert stored.content == image.manifest
        for layer in [stored.json()["config"], *stored.json()["layers"]]:
            blob = client.get(f"{base}/blobs/{layer['digest']}", timeout=5)
            assert blob.content == image.blobs[layer["digest"]]
        delete_manifest(registry.http, repository, digest, verify=verify)
        assert client.get(f"{base}/tags/list", timeout=5).json()["tags"] is None


def test_registry_that_cannot_bind_says_so(tmp_path: Path) -> None:
    require_registry()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(RuntimeError, match="address already in use"),
            RegistryProcess(tmp_path, port=port),
        ):
            pass


@pytest.mark.parametrize("archive", ARCHIVES)
def test_built_packages_are_read_by_conda_and_repeat(archive: Archive) -> None:
    package = build("a-b", "2.0", "h_1", archive=archive, depends=["foo >=1"], drop=["subdir"])
    assert (package.name, package.version, package.build) == ("a-b", "2.0", "h_1")
    members = {
        member.name: tar.extractfile(member).read()
        for tar, member in stream_conda_info(package.file_name, io.BytesIO(package.data))
    }
    assert members["info/index.json"] == package.index_json
    assert json.loads(package.index_json) == package.index
    assert "subdir" not in package.index
    again = build("a-b", "2.0", "h_1", archive=archive, depends=["foo >=1"], drop=["subdir"])
    assert again.sha256 == package.sha256
    assert build("a-b", "2.0", "h_1", archive=archive, message="x").sha256 != package.sha256


async def install(packages: list[Package], folder: Path) -> Path:
    channel, prefix = folder / "channel", folder / "prefix"
    for package in packages:
        (channel / package.subdir).mkdir(parents=True, exist_ok=True)
        (channel / package.subdir / package.file_name).write_bytes(package.data)
    await index_fs(channel)
    records = await rattler.solve(
        [rattler.Channel(channel.as_uri())],
        [packages[-1].name],
        platforms=["linux-64", "noarch"],
    )
    await rattler.install(records, prefix, cache_dir=folder / "cache", show_progress=False)
    return prefix


@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_real_client_installs_built_packages(tmp_path: Path, archive: Archive) -> None:
    below = build("below", archive=archive)
    above = build(
        "above", subdir="linux-64", archive=archive, depends=["below >=1"], message="it's here"
    )
    prefix = asyncio.run(install([below, above], tmp_path))
    said = [
        subprocess.run([prefix / "bin" / name], capture_output=True, text=True, check=True).stdout
        for name in ("below", "above")
    ]
    assert said == ["below 1.0 0\n", "it's here\n"]
