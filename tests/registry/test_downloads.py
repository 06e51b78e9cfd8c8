"""Large blobs into files: gone on with where they broke off, and never of mixed bytes."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from indexer.errors import ConfigError, ContentError, NotFoundError, RegistryError
from indexer.registry.content import Descriptor, Digest
from indexer.registry.transport import RETRY_FOR
from tests.registry.help import LARGE, REPOSITORY, VirtualTime, remote
from tests.support import faults
from tests.support.faults import Answer, Delivery, Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost

SIZE = len(LARGE)
DESCRIPTOR = Descriptor("", Digest.of(LARGE), SIZE)
BLOB = faults.is_blob()


@pytest.fixture
def filled(fake: FakeRegistry) -> FakeRegistry:
    fake.add_blob(REPOSITORY, LARGE)
    return fake


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[bytes]]:
    with (tmp_path / "download").open("w+b") as opened:
        yield opened


def ranges(fake: FakeRegistry) -> list[str | None]:
    """What each request asked for."""
    return [request.headers.get("range") for request in fake.requests]


def content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def test_a_blob_is_had_whole_with_one_request(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert ranges(filled) == [None]


def test_what_arrived_before_a_break_is_not_asked_for_again(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    filled.knobs.faults = [
        # Each sends half of what was asked for.
        faults.truncated(match=BLOB, times=2),
        faults.closed(match=BLOB, times=1),
        faults.status(503, match=BLOB, times=1),
    ]
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    half, most = SIZE // 2, SIZE // 2 + SIZE // 4
    assert ranges(filled) == [None, f"bytes={half}-", *[f"bytes={most}-"] * 3]


def test_what_an_earlier_run_left_is_not_asked_for_again(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    file.write(LARGE[:1000])
    file.seek(0)
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert ranges(filled) == ["bytes=1000-"]


def test_a_file_that_is_complete_asks_for_nothing(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    file.write(LARGE)
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert filled.requests == []


def test_an_empty_blob_asks_for_nothing(
    fake: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    file.write(b"rubbish")
    remote(fake, transport).download(REPOSITORY, Descriptor("", Digest.of(b""), 0), file)
    assert content(file) == b""
    assert fake.requests == []


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        (b"x" * 1000, ["bytes=1000-", None]),
        (LARGE[: SIZE - 1] + b"x", [None]),
        (LARGE + b"x", [None]),
        (b"x" * (SIZE + 5), [None]),
    ],
    ids=["other beginning", "other end", "longer", "another and longer"],
)
def test_bytes_of_something_else_are_thrown_away(
    filled: FakeRegistry,
    transport: Transport,
    file: IO[bytes],
    held: bytes,
    asked: list[str | None],
) -> None:
    file.write(held)
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert ranges(filled) == asked


def test_a_registry_that_gives_all_or_nothing_is_read_from_the_start(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    filled.knobs.ranges = False
    filled.knobs.faults = [faults.truncated(match=BLOB, times=1)]
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert ranges(filled) == [None, f"bytes={SIZE // 2}-"]


def test_a_registry_that_knows_no_such_part_is_asked_for_all(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    file.write(LARGE[:1000])
    filled.knobs.faults = [faults.status(416, match=BLOB, times=1)]
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert ranges(filled) == ["bytes=1000-", None]


@pytest.mark.parametrize("said", ["bytes 0-9/100", "bytes 999-2000/*", "pages 1000-2/3", ""])
def test_another_part_than_was_asked_for_is_not_put_into_the_file(
    filled: FakeRegistry, transport: Transport, file: IO[bytes], said: str
) -> None:
    def other_part(_request: Request, ready: Answer) -> Answer:
        return ready.with_headers(Content_Range=said)

    file.write(LARGE[:1000])
    fault = faults.Fault(BLOB, 1, other_part)
    filled.knobs.faults = [fault]
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert ranges(filled) == ["bytes=1000-", None]
    assert fault.fired == 1


@pytest.mark.parametrize(("times", "whole"), [(1, True), (2, False)])
def test_bytes_without_their_digest_are_asked_for_once_more(
    filled: FakeRegistry, transport: Transport, file: IO[bytes], times: int, *, whole: bool
) -> None:
    filled.knobs.faults = [faults.tampered(match=BLOB, times=times)]
    registry = remote(filled, transport)
    if whole:
        registry.download(REPOSITORY, DESCRIPTOR, file)
        assert content(file) == LARGE
    else:
        with pytest.raises(ContentError, match="don't have its digest"):
            registry.download(REPOSITORY, DESCRIPTOR, file)
        assert content(file) == b""
    assert ranges(filled) == [None, None]


@pytest.mark.parametrize("off", [-1, 1, -SIZE])
def test_a_blob_of_another_size_leaves_an_empty_file(
    filled: FakeRegistry, transport: Transport, file: IO[bytes], off: int
) -> None:
    file.write(b"rubbish")
    descriptor = Descriptor("", DESCRIPTOR.digest, SIZE + off)
    with pytest.raises(ContentError):
        remote(filled, transport).download(REPOSITORY, descriptor, file)
    assert content(file) == b""


def test_a_blob_that_is_gone_leaves_what_was_there(
    fake: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    file.write(LARGE[:1000])
    with pytest.raises(NotFoundError):
        remote(fake, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE[:1000]


def test_an_error_s_text_is_never_a_part_of_the_blob(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    filled.knobs.faults = [
        faults.truncated(match=BLOB, times=1),
        faults.status(500, match=BLOB, times=1, body=b"an error"),
        faults.status(404, match=BLOB, times=1, body=b"another"),
    ]
    with pytest.raises(NotFoundError):
        remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE[: SIZE // 2]


def test_a_download_outlives_the_token_that_it_began_with(
    filled: FakeRegistry, transport: Transport, file: IO[bytes]
) -> None:
    filled.knobs.auth, filled.knobs.token_uses = "token", 1
    filled.knobs.faults = [faults.truncated(match=BLOB, times=5)]
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    assert filled.count("token") == 6


def test_a_part_is_asked_for_where_a_redirect_leads(
    filled: FakeRegistry, elsewhere: FileHost, transport: Transport, file: IO[bytes]
) -> None:
    target = elsewhere.put("/store/blob", LARGE)
    elsewhere.faults = [faults.truncated(match=faults.anything, times=1)]
    filled.knobs.faults = [faults.redirect(target, match=BLOB)]
    remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE
    asked = [request.headers.get("range") for request in elsewhere.requests]
    assert asked == [None, f"bytes={SIZE // 2}-"]


def breaking(time: VirtualTime, piece: int) -> faults.Fault:
    """Half a minute for each piece, after which the connection breaks."""

    def cut(_request: Request, ready: Answer) -> Answer:
        time.seconds += RETRY_FOR / 2
        if len(ready.body) <= piece:
            return ready
        length = {"Content-Length": str(len(ready.body))}
        # Of a truncated body half is sent.
        return replace(
            ready,
            body=ready.body[: piece * 2],
            headers={**ready.headers, **length},
            delivery=Delivery.TRUNCATED,
        )

    return faults.Fault(BLOB, None, cut)


MIB = 1024 * 1024


def test_a_download_that_gets_on_is_not_given_up_however_often_it_breaks(
    filled: FakeRegistry, transport: Transport, time: VirtualTime, file: IO[bytes]
) -> None:
    data = LARGE * 3
    filled.add_blob(REPOSITORY, data)
    filled.knobs.faults = [breaking(time, MIB)]
    descriptor = Descriptor("", Digest.of(data), len(data))
    remote(filled, transport).download(REPOSITORY, descriptor, file)
    assert content(file) == data
    assert len(filled.requests) == len(data) // MIB + 1
    assert time.passed > RETRY_FOR * 4


def test_a_download_that_hardly_gets_on_is_given_up_and_kept(
    filled: FakeRegistry, transport: Transport, time: VirtualTime, file: IO[bytes]
) -> None:
    filled.knobs.faults = [breaking(time, 1000)]
    registry = remote(filled, transport)
    with pytest.raises(RegistryError, match=r"connection failed.*for 60 seconds"):
        registry.download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE[: 1000 * len(filled.requests)]
    filled.knobs.faults = []
    registry.download(REPOSITORY, DESCRIPTOR, file)
    assert content(file) == LARGE


def test_a_registry_that_begins_anew_each_time_is_given_up(
    filled: FakeRegistry, transport: Transport, time: VirtualTime, file: IO[bytes]
) -> None:
    filled.knobs.ranges = False
    filled.knobs.faults = [breaking(time, MIB)]
    with pytest.raises(RegistryError, match="for 60 seconds"):
        remote(filled, transport).download(REPOSITORY, DESCRIPTOR, file)
    assert len(filled.requests) < 10


class Full(io.BytesIO):
    def write(self, _data: object, /) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_no_fault_of_the_registry_s(
    filled: FakeRegistry, transport: Transport
) -> None:
    with pytest.raises(ConfigError, match="can't be kept: No space left"):
        remote(filled, transport).download(REPOSITORY, DESCRIPTOR, Full())
    assert len(filled.requests) == 1
