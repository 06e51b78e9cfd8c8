"""Parts of files and of blobs; and the plain file host, which fails as told."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING

import pytest
import requests

from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"0123456789"


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FileHost]:
    (tmp_path / "root").mkdir()
    with FileHost(tmp_path / "root") as host:
        yield host


def test_part_of_a_file_only_while_it_is_the_same(host: FileHost, client: requests.Session) -> None:
    url = host.put("/file", DATA)
    head = client.head(url, timeout=5)
    assert (head.headers["Content-Length"], head.content) == ("10", b"")
    resume = {"Range": "bytes=4-", "If-Range": head.headers["ETag"]}
    part = client.get(url, headers=resume, timeout=5)
    assert (part.status_code, part.content) == (206, b"456789")
    assert part.headers["Content-Range"] == "bytes 4-9/10"
    beyond = client.get(url, headers={"Range": "bytes=10-"}, timeout=5)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10")
    host.put("/file", DATA[::-1])
    changed = client.get(url, headers=resume, timeout=5)
    assert (changed.status_code, changed.content) == (200, DATA[::-1])


def test_part_of_a_blob(client: requests.Session) -> None:
    with FakeRegistry() as fake:
        url = f"{fake.http}/v2/a/blobs/{fake.add_blob('a', DATA)}"

        def get(span: str, **headers: str) -> requests.Response:
            return client.get(url, headers={"Range": span, **headers}, timeout=5)

        part = get("bytes=7-")
        assert (part.status_code, part.content) == (206, b"789")
        assert part.headers["Content-Range"] == "bytes 7-9/10"
        assert get("bytes=2-4").content == DATA[2:5]
        assert get("bytes=5-99").headers["Content-Range"] == "bytes 5-9/10"
        assert client.head(url, headers={"Range": "bytes=7-"}, timeout=5).status_code == 200
        beyond = get("bytes=10-")
        assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10")
        etag = client.head(url, timeout=5).headers["ETag"]
        codes = [get("bytes=7-", **{"If-Range": one}).status_code for one in (etag, '"other"')]
        assert codes == [206, 200]
        fake.knobs.ranges = False
        whole = get("bytes=7-")
        assert (whole.status_code, whole.content) == (200, DATA)


def test_files_below_the_root_and_none_beside(
    host: FileHost, client: requests.Session, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    names = ["plain", "a b+c%20?#é.txt", "below/file"]
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(name.encode())
    found = [client.get(host.url(f"/{name}"), timeout=5).content.decode() for name in names]
    assert found == names
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    paths = ["/../secret", "/%2e%2e/secret", "/below/../../secret", f"/{tmp_path}/secret"]
    connection = http.client.HTTPConnection(host.address, timeout=5)
    for path in [*paths, "/link", "/below", "/", "/absent", "/a%00b"]:
        connection.request("GET", path)  # As it is: requests would take the dots out.
        answer = connection.getresponse()
        assert (path, answer.status, answer.read()) == (path, 404, b"")
    connection.close()


def test_file_host_fails_as_told(host: FileHost, client: requests.Session) -> None:
    url, other = host.put("/file", DATA), host.put("/other", DATA)
    burst = faults.status(503, match=faults.is_path("/file"), times=3)
    host.faults = [
        burst,
        faults.tampered(match=faults.is_path("/file"), times=1),
        faults.drip(match=faults.is_path("/file"), times=1, interval=0.001),
    ]
    assert client.get(other, timeout=5).ok
    answers = [client.get(url, timeout=5) for _ in range(6)]
    assert [one.status_code for one in answers] == [503, 503, 503, 200, 200, 200]
    assert [one.content for one in answers[3:]] == [b"0123446789", DATA, DATA]
    host.faults = [faults.tampered(match=faults.anything, times=1)]
    assert client.get(url, headers={"Range": "bytes=8-"}, timeout=5).content == b"88"
    host.faults = [faults.tampered(match=faults.anything)]
    assert client.get(f"{host.http}/absent", timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.truncated(match=faults.anything), requests.exceptions.ChunkedEncodingError),
        (faults.closed(), requests.ConnectionError),
    ],
    ids=["truncated", "closed"],
)
def test_file_host_breaks_off(
    host: FileHost, client: requests.Session, fault: faults.Fault, error: type[Exception]
) -> None:
    host.faults = [fault]
    with pytest.raises(error):
        client.get(host.put("/file", DATA), timeout=5)
    assert fault.fired == 1


def test_what_is_posted_is_kept(host: FileHost, client: requests.Session) -> None:
    host.faults = [faults.status(503, match=faults.is_post(), times=1)]
    url = host.put("/file", DATA)
    answers = [
        client.post(f"{host.http}/any/where?a=b", json={"number": number}, timeout=5)
        for number in (1, 2)
    ]
    assert [(one.status_code, one.text) for one in answers] == [(503, ""), (200, "{}")]
    assert [one.body for one in host.requests] == [b'{"number": 1}', b'{"number": 2}']
    assert host.requests[0].query == {"a": "b"}
    assert client.put(url, data=b"new", timeout=5).status_code == 405
    assert client.get(url, timeout=5).content == DATA


def test_post_that_breaks_off_is_not_answered(host: FileHost, client: requests.Session) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(host.address.partition(":")[2]))) as raw:
        raw.settimeout(5)
        raw.sendall(head + b"half")
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100) == b""
    assert host.requests == []
    host.faults = [faults.cut_body(match=faults.is_post())]
    with pytest.raises(requests.ConnectionError):
        client.post(host.http, data=DATA, timeout=5)
    assert [one.body for one in host.requests] == [b""]


def test_body_of_unknown_length_is_refused(host: FileHost, client: requests.Session) -> None:
    answer = client.post(f"{host.http}/", data=iter([b"chunk"]), timeout=5)
    assert answer.status_code == 411
    assert host.requests == []
