"""The steps of an upload one by one, for tests which look at each answer."""

from __future__ import annotations

from urllib.parse import urljoin

import requests

from demo.layers import digest_of

DATA = b"0123456789"
DIGEST = digest_of(DATA)


def start(client: requests.Session, url: str) -> str:
    """Begin an upload, and give the place that its blob is to be put to."""
    answer = client.post(url, timeout=5)
    assert answer.status_code == 202
    return urljoin(url, answer.headers["Location"])


def finish(
    client: requests.Session, location: str, data: bytes = DATA, digest: str = DIGEST
) -> requests.Response:
    """Put a blob there, under this digest whether it is the blob's or not."""
    return client.put(location, params={"digest": digest}, data=data, timeout=5)


def said(answer: requests.Response) -> tuple[int, str]:
    """The status, and the error's code if it has one."""
    errors = answer.json().get("errors") if answer.content[:1] == b"{" else None
    return answer.status_code, errors[0]["code"] if errors else ""
