"""Writes images into any registry over HTTP, as plainly as the protocol allows.

`repository` is always the full name (`channel/subdir/name`), `http` the registry's address with
its scheme and no slash at the end.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import requests

from demo.layers import Image, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 30.0


def push_image(
    http: str,
    repository: str,
    image: Image,
    *,
    tag: str | None = None,
    verify: str | bool = True,
) -> str:
    """Push the blobs, then the manifest under `tag` (else the image's own); give its digest."""
    with _session(verify=verify) as session:
        for data in image.blobs.values():
            _push_blob(session, http, repository, data)
        return _put_manifest(
            session, http, repository, tag or image.tag, image.manifest, image.media_type
        )


def push_blob(http: str, repository: str, data: bytes, *, verify: str | bool = True) -> str:
    """Push one blob, unless the repository has it, and give its digest."""
    with _session(verify=verify) as session:
        return _push_blob(session, http, repository, data)


def put_manifest(
    http: str,
    repository: str,
    reference: str,
    body: bytes,
    media_type: str,
    *,
    verify: str | bool = True,
) -> str:
    """Store these very bytes as a manifest under a tag or their digest; give the digest."""
    with _session(verify=verify) as session:
        return _put_manifest(session, http, repository, reference, body, media_type)


def delete_manifest(http: str, repository: str, digest: str, *, verify: str | bool = True) -> None:
    """Delete a manifest, and with it every tag that names it."""
    with _session(verify=verify) as session:
        url = f"{http}/v2/{repository}/manifests/{digest}"
        _expect(session.delete(url, timeout=TIMEOUT_SECONDS), 202)


@contextmanager
def _session(*, verify: str | bool) -> Iterator[requests.Session]:
    with requests.Session() as session:
        # The environment's proxies and authorities are not for a registry on loopback.
        session.trust_env = False
        session.verify = verify
        yield session


def _push_blob(session: requests.Session, http: str, repository: str, data: bytes) -> str:
    digest = digest_of(data)
    base = f"{http}/v2/{repository}/blobs"
    if session.head(f"{base}/{digest}", timeout=TIMEOUT_SECONDS).status_code == 200:
        return digest
    started = _expect(session.post(f"{base}/uploads/", timeout=TIMEOUT_SECONDS), 202)
    # Relative or absolute, and with a query of its own, which must survive.
    location = urljoin(started.url, started.headers["Location"])
    finished = session.put(
        location,
        params={"digest": digest},
        data=data,
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(len(data))},
        timeout=TIMEOUT_SECONDS,
    )
    _expect(finished, 201)
    return digest


def _put_manifest(
    session: requests.Session,
    http: str,
    repository: str,
    reference: str,
    body: bytes,
    media_type: str,
) -> str:
    answer = session.put(
        f"{http}/v2/{repository}/manifests/{reference}",
        data=body,
        headers={"Content-Type": media_type},
        timeout=TIMEOUT_SECONDS,
    )
    _expect(answer, 201)
    return digest_of(body)


def _expect(answer: requests.Response, status: int) -> requests.Response:
    if answer.status_code != status:
        request = answer.request
        raise AssertionError(
            f"{request.method} {request.url} answered {answer.status_code}, "
            f"not {status}: {answer.text[:500]}"
        )
    return answer
