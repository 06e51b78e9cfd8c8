"""The fake registry answers as the real one does, where a client can tell the two apart."""

from __future__ import annotations

import json
from typing import Any

import requests

from demo.layers import MANIFEST, digest_of, package_manifest
from demo.packages import build
from tests.support.fake_registry import FakeRegistry
from tests.support.push import push_blob
from tests.support.registry_process import RegistryProcess
from tests.support.uploads import DATA, DIGEST, finish, said, start

REPOSITORY = "forge/noarch/foo"
OTHER = "forge/noarch/bar"
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = package_manifest([build("foo")])


def writes(client: requests.Session, http: str) -> dict[str, tuple[int, str]]:
    """A row of writes, right and wrong, with what the registry says to each."""
    base = f"{http}/v2/{REPOSITORY}"
    session = f"{base}/blobs/uploads/"
    found: dict[str, requests.Response] = {}

    def manifest(reference: str, body: bytes = IMAGE.manifest, kind: str = MANIFEST) -> Any:
        url = f"{base}/manifests/{reference}"
        return client.put(url, data=body, headers={"Content-Type": kind}, timeout=5)

    found["wrong digest"] = finish(client, start(client, session), DATA[1:])
    found["no digest"] = client.put(start(client, session), data=DATA, timeout=5)
    found["no state"] = finish(client, start(client, session).partition("?")[0])
    location = start(client, session)
    found["blob"] = finish(client, location)
    found["blob again"] = finish(client, location)
    for name, digest in (("mount", DIGEST), ("mount of nothing", digest_of(b"nothing"))):
        query = {"mount": digest, "from": REPOSITORY}
        url = f"{http}/v2/{OTHER}/blobs/uploads/"
        found[name] = client.post(url, params=query, timeout=5)
    for span in ("bytes=3-", "bytes=0-", "bytes=2-4", "bytes=5-99"):
        headers = {"Range": span}
        found[span] = client.get(f"{base}/blobs/{DIGEST}", headers=headers, timeout=5)
    found["no blobs"] = manifest("1.0-0")
    for data in IMAGE.blobs.values():
        push_blob(http, REPOSITORY, data)
    found["other digest"] = manifest(DIGEST)
    found["no type"] = manifest("1.0-0", b'{"schemaVersion": 2}', kind="")
    found["other type"] = manifest("1.0-0", kind=INDEX)
    below = {"mediaType": MANIFEST, "size": 2, "digest": digest_of(b"absent")}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [below]}
    found["index of nothing"] = manifest("1.0-0", json.dumps(index).encode(), INDEX)
    found["no JSON"] = manifest("1.0-0", b"{")
    found["no object"] = manifest("1.0-0", b"[]")
    found["manifest"] = manifest("1.0-0")
    found["by digest"] = manifest(IMAGE.digest)
    found["deletion by tag"] = client.delete(f"{base}/manifests/1.0-0", timeout=5)
    # Not a blob's digest: the real one takes that for a manifest's, and says 202.
    absent = f"{base}/manifests/{digest_of(b'nothing')}"
    found["deletion of nothing"] = client.delete(absent, timeout=5)
    found["deletion"] = client.delete(f"{base}/manifests/{IMAGE.digest}", timeout=5)
    found["deletion again"] = client.delete(f"{base}/manifests/{IMAGE.digest}", timeout=5)
    # To these the real one says a line of text, as no route leads to it.
    bare = [manifest("1!0"), manifest("1+0"), client.put(f"{base}/tags/list", timeout=5)]
    bare += [client.post(f"{http}/v2/forge/noarch/_foo/blobs/uploads/", timeout=5)]
    statuses = {f"bare {i}": (one.status_code, "") for i, one in enumerate(bare)}
    return {name: said(answer) for name, answer in found.items()} | statuses


def test_fake_and_real_registry_say_the_same(
    docker_registry: RegistryProcess,
) -> None:
    with FakeRegistry() as fake, requests.Session() as client:
        client.trust_env = False
        fake.knobs.upload_location = "query"
        real = writes(client, docker_registry.http)
        assert writes(client, fake.http) == real
    assert len(set(real.values())) > 10
