"""Blobs that are sent: once where that is enough, whole at every try, and never half of one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from indexer.errors import ContentError, RefusedError, RegistryError
from indexer.registry.content import Content, Digest
from indexer.registry.transport import RETRY_FOR, Transport
from tests.registry.help import LARGE, REPOSITORY, Pieces, VirtualTime, content_of, remote
from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Literal

    from tests.support.fake_registry import FakeRegistry

SOURCE = "acme/forge/noarch/source"
DATA = b"the bytes of a package"
CONTENT = content_of(DATA)


def asked(fake: FakeRegistry) -> list[tuple[str, str]]:
    return [(request.method, request.kind) for request in fake.requests]


def stored(fake: FakeRegistry, data: bytes = DATA) -> bytes | None:
    return fake.blob_of(REPOSITORY, str(Digest.of(data)))


def test_a_blob_that_is_there_is_not_sent(fake: FakeRegistry, transport: Transport) -> None:
    fake.add_blob(REPOSITORY, DATA)
    registry = remote(fake, transport)
    assert registry.put_blob(REPOSITORY, CONTENT, SOURCE) == "there"
    assert asked(fake) == [("HEAD", "blobs")]


@pytest.mark.parametrize("location", ["relative", "absolute", "query"])
def test_an_upload_goes_on_wherever_the_registry_says(
    fake: FakeRegistry, transport: Transport, location: Literal["relative", "absolute", "query"]
) -> None:
    fake.knobs.upload_location = location
    assert remote(fake, transport).put_blob(REPOSITORY, CONTENT) == "sent"
    assert asked(fake) == [("HEAD", "blobs"), ("POST", "uploads"), ("PUT", "uploads")]
    assert stored(fake) == DATA
    assert fake.requests[-1].headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("auth", [None, "token"])
def test_an_empty_blob_is_a_blob(
    fake: FakeRegistry, transport: Transport, auth: Literal["token"] | None
) -> None:
    fake.knobs.auth, fake.knobs.anonymous_push = auth, True
    registry = remote(fake, transport, writing=True)
    assert registry.put_blob(REPOSITORY, content_of(b"")) == "sent"
    assert stored(fake, b"") == b""
    assert fake.requests[-1].headers["content-length"] == "0"


def test_a_blob_is_never_read_whole(
    fake: FakeRegistry, transport: Transport, tmp_path: Path
) -> None:
    path = tmp_path / "package"
    path.write_bytes(LARGE)
    taken: list[int] = []

    class Watched(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            taken.append(len(data))
            return data

    def opened() -> io.BufferedReader:
        return Watched(io.FileIO(path))

    content = Content(Digest.of(LARGE), len(LARGE), opened)
    assert remote(fake, transport).put_blob(REPOSITORY, content) == "sent"
    assert stored(fake, LARGE) == LARGE
    assert sum(taken) == len(LARGE)
    assert max(taken) <= 1 << 20
    # What has no length is sent in chunks, which many registries refuse.
    assert fake.requests[-1].headers["content-length"] == str(len(LARGE))


def test_the_file_is_closed_however_the_upload_ends(
    fake: FakeRegistry, transport: Transport
) -> None:
    files: list[io.BytesIO] = []

    def opened() -> io.BytesIO:
        files.append(Pieces(DATA))
        return files[-1]

    content = Content(Digest.of(DATA), len(DATA), opened)
    fake.knobs.faults = [
        faults.status(503, match=faults.is_upload(), times=1),
        faults.closed(match=faults.is_upload(), times=1),
    ]
    assert remote(fake, transport).put_blob(REPOSITORY, content) == "sent"
    assert [file.closed for file in files] == [True, True, True]


def test_whoever_watches_is_told_of_each_try_from_its_start(
    fake: FakeRegistry, transport: Transport
) -> None:
    told: list[int] = []
    fake.knobs.faults = [faults.status(503, match=faults.is_upload(), times=1)]
    remote(fake, transport).put_blob(REPOSITORY, content_of(LARGE, told.append))
    second = told.index(0, 1)
    for positions in (told[:second], told[second:]):
        assert positions == sorted(positions)
        assert (positions[0], positions[-1]) == (0, len(LARGE))
        assert len(set(positions)) >= 4


def failures(match: faults.Match) -> list[faults.Fault]:
    return [
        faults.status(503, match=match, times=1),
        faults.status(429, match=match, times=1, headers={"Retry-After": "3"}),
        faults.closed(match=match, times=1),
    ]


@pytest.mark.parametrize("match", [faults.is_upload_start(), faults.is_upload(), faults.is_blob()])
def test_what_fails_in_passing_is_tried_again_from_the_beginning(
    fake: FakeRegistry, transport: Transport, match: faults.Match
) -> None:
    fake.knobs.faults = failures(match)
    assert remote(fake, transport).put_blob(REPOSITORY, CONTENT) == "sent"
    assert stored(fake) == DATA
    assert [fault.fired for fault in fake.knobs.faults] == [1, 1, 1]
    # No upload is gone on with after it failed: who knows what the registry kept of it.
    places = [request.path for request in fake.requests if request.method == "PUT"]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("data", [DATA, LARGE])
def test_a_cut_connection_costs_one_more_try(
    fake: FakeRegistry, transport: Transport, data: bytes
) -> None:
    cut = faults.cut_body(match=faults.is_upload(), times=2)
    fake.knobs.faults = [cut]
    assert remote(fake, transport).put_blob(REPOSITORY, content_of(data)) == "sent"
    assert stored(fake, data) == data
    assert (cut.fired, fake.count("uploads", "POST"), fake.count("uploads", "PUT")) == (2, 3, 3)


# 404: the POST was answered by another server of the same registry; 416: a part was kept.
@pytest.mark.parametrize("status", [404, 416])
def test_an_upload_that_the_registry_forgot_is_begun_anew(
    fake: FakeRegistry, transport: Transport, status: int
) -> None:
    fake.knobs.faults = [faults.status(status, match=faults.is_upload(), times=2)]
    assert remote(fake, transport).put_blob(REPOSITORY, CONTENT) == "sent"
    assert (fake.count("uploads", "POST"), fake.count("uploads", "PUT")) == (3, 3)


@pytest.mark.parametrize(
    "lost",
    [
        faults.closed(match=faults.is_upload(), times=1, stored=True),
        faults.status(502, match=faults.is_upload(), times=1, stored=True),
    ],
)
def test_bytes_whose_answer_was_lost_are_not_sent_twice(
    fake: FakeRegistry, transport: Transport, lost: faults.Fault
) -> None:
    lost.fired = 0
    fake.knobs.faults = [lost]
    assert remote(fake, transport).put_blob(REPOSITORY, CONTENT) == "there"
    assert (lost.fired, fake.count("uploads", "PUT")) == (1, 1)
    assert stored(fake) == DATA


def test_one_of_two_who_bring_a_blob_at_once_finds_it_there(
    fake: FakeRegistry, transport: Transport
) -> None:
    """docker-registry may answer DIGEST_INVALID to one of them, and has it from the other."""
    raced = faults.status(400, match=faults.is_upload(), times=1, stored=True)
    fake.knobs.faults = [raced]
    assert remote(fake, transport).put_blob(REPOSITORY, CONTENT) == "there"
    assert (raced.fired, fake.count("uploads", "PUT")) == (1, 1)
    assert stored(fake) == DATA


def test_a_registry_that_takes_nothing_is_given_up_after_a_minute(
    fake: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    fake.knobs.faults = [faults.status(503, match=faults.is_upload())]
    with pytest.raises(RegistryError, match="answered 503, for 60 seconds") as caught:
        remote(fake, transport).put_blob(REPOSITORY, CONTENT)
    assert f"PUT {fake.http}/v2/{REPOSITORY}/blobs/{CONTENT.digest}" in str(caught.value)
    assert RETRY_FOR / 3 < time.passed <= RETRY_FOR
    assert 6 <= fake.count("uploads", "PUT") <= 12


def slow(time: VirtualTime) -> faults.Fault:
    """An upload that fails after more than the retry time."""

    def is_upload(request: faults.Request) -> bool:
        found = faults.is_upload()(request)
        time.seconds += RETRY_FOR * 2 if found else 0
        return found

    return faults.status(503, match=is_upload)


def test_a_slow_upload_gets_some_tries_all_the_same(
    fake: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    fake.knobs.faults = [slow(time)]
    with pytest.raises(RegistryError, match="answered 503"):
        remote(fake, transport).put_blob(REPOSITORY, CONTENT)
    assert fake.count("uploads", "PUT") == 5


def test_who_wants_no_second_try_gets_none(fake: FakeRegistry, impatient: Transport) -> None:
    fake.knobs.faults = [faults.status(503, match=faults.is_upload())]
    with pytest.raises(RegistryError, match="answered 503"):
        remote(fake, impatient).put_blob(REPOSITORY, CONTENT)
    assert fake.count("uploads", "PUT") == 1


class Broken(io.BytesIO):
    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


def missing() -> io.BytesIO:
    raise FileNotFoundError(2, "No such file or directory")


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        (lambda: Pieces(DATA[:-1]), "became shorter"),
        (lambda: Pieces(b""), "became shorter"),
        (Broken, "can't be read: Input/output error"),
        (missing, "can't be read: No such file"),
    ],
)
def test_content_that_can_t_be_had_is_no_fault_of_the_registry_s(
    fake: FakeRegistry, transport: Transport, opened: Callable[[], io.BytesIO], words: str
) -> None:
    content = Content(Digest.of(DATA), len(DATA), opened)
    registry = remote(fake, transport)
    with pytest.raises(ContentError, match=words):
        registry.put_blob(REPOSITORY, content)
    assert stored(fake) is None
    assert fake.count("uploads", "POST") == 1
    # The connection was left in the middle of a request.
    assert registry.put_blob(REPOSITORY, CONTENT) == "sent"


def test_content_that_changed_is_stored_under_no_name(
    fake: FakeRegistry, transport: Transport
) -> None:
    content = Content(Digest.of(DATA), len(DATA), lambda: Pieces(DATA[::-1]))
    with pytest.raises(RefusedError, match=r"answered 400 .*DIGEST_INVALID"):
        remote(fake, transport).put_blob(REPOSITORY, content)
    assert stored(fake) is None
    assert stored(fake, DATA[::-1]) is None
    assert fake.count("uploads", "PUT") == 1


@pytest.mark.parametrize("match", [faults.is_upload_start(), faults.is_upload()])
@pytest.mark.parametrize("status", [400, 405, 413, 501])
def test_a_refusal_is_not_asked_again(
    fake: FakeRegistry, transport: Transport, match: faults.Match, status: int
) -> None:
    refused = faults.status(status, match=match)
    fake.knobs.faults = [refused]
    with pytest.raises(RefusedError, match=f"answered {status}"):
        remote(fake, transport).put_blob(REPOSITORY, CONTENT)
    assert refused.fired == 1


def test_no_name_that_is_none_is_sent(fake: FakeRegistry, transport: Transport) -> None:
    with pytest.raises(RegistryError, match="can't be a repository's name"):
        remote(fake, transport).put_blob("acme/../x", CONTENT)
    assert fake.requests == []


def test_every_request_of_an_upload_is_counted(fake: FakeRegistry, transport: Transport) -> None:
    fake.knobs.mounts = False
    registry = remote(fake, transport)
    registry.put_blob(REPOSITORY, CONTENT, SOURCE)
    assert registry.requests.as_dict() == {"blob checks": 1, "mounts": 1, "uploads": 1}
