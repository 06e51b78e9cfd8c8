"""Servers that hang, drip or pour: a worker is never lost to one, nor is memory."""

from __future__ import annotations

import gzip
import io
import itertools
import logging
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from indexer.errors import ContentError, NotFoundError, RegistryError
from indexer.registry import exchange as exchange_module
from indexer.registry import remote as remote_module
from indexer.registry.content import Descriptor, Digest
from indexer.registry.exchange import ANSWER_TIMEOUT, DOWNLOAD_TIMEOUT, Clock
from indexer.registry.transport import Transport
from tests.registry.help import REPOSITORY, remote
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATA = b"0123456789" * 20


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor("", Digest.of(data), len(data))


def racing(seconds_a_look: float) -> Transport:
    """A transport whose time runs on whenever it looks at the clock; it asks once."""
    times = itertools.count(0.0, seconds_a_look)
    return Transport(clock=Clock(now=lambda: next(times), sleep=lambda _: None), retry_for=0)


def test_a_server_that_hangs_is_given_up_and_asked_again(
    fake: FakeRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "READ_TIMEOUT", 0.2)
    fake.add_repository(REPOSITORY)
    fake.knobs.faults = [faults.hang(times=1)]
    assert remote(fake, transport).tags(REPOSITORY) == []
    assert fake.count("tags") >= 2


def test_a_server_that_always_hangs_is_named(
    fake: FakeRegistry, impatient: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "READ_TIMEOUT", 0.2)
    fake.knobs.faults = [faults.hang()]
    with pytest.raises(RegistryError, match=f"{fake.address}.*no answer in time"):
        remote(fake, impatient).tags(REPOSITORY)


def test_a_server_that_drips_can_not_outlast_the_deadline(fake: FakeRegistry) -> None:
    fake.add_blob(REPOSITORY, DATA)
    fake.knobs.faults = [faults.drip(match=faults.is_blob(), interval=0.01)]
    with (
        closing(racing(ANSWER_TIMEOUT / 4)) as transport,
        pytest.raises(RegistryError, match="no answer in time"),
    ):
        remote(fake, transport).blob(REPOSITORY, descriptor_of(DATA))


def test_a_long_download_has_longer(elsewhere: FileHost) -> None:
    url = elsewhere.put("/repodata.json.zst", DATA)
    sink = io.BytesIO()
    with closing(racing(ANSWER_TIMEOUT + 1)) as transport:
        assert transport.request("GET", url, limit=len(DATA), sink=sink).status == 200
    assert sink.getvalue() == DATA
    with closing(racing(DOWNLOAD_TIMEOUT + 1)) as transport, pytest.raises(RegistryError):
        transport.request("GET", url, limit=len(DATA), sink=io.BytesIO())


@pytest.mark.parametrize("excess", [1, 1_000_000])
def test_a_blob_longer_than_its_descriptor_is_not_taken_in(
    fake: FakeRegistry, transport: Transport, excess: int
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    fake.knobs.faults = [faults.replace_body(DATA + b"x" * excess, match=faults.is_blob())]
    # Without the length beforehand nothing but counting helps.
    with pytest.raises(ContentError, match=f"more than {len(DATA)} bytes"):
        remote(fake, transport).blob(REPOSITORY, descriptor_of(DATA))


def test_a_body_that_grows_when_unpacked_is_not_taken_in(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.add_blob(REPOSITORY, DATA)
    packed = gzip.compress(bytes(50_000_000))

    def bomb(_request: faults.Request, ready: faults.Answer) -> faults.Answer:
        return faults.Answer(200, {**ready.headers, "Content-Encoding": "gzip"}, packed)

    fake.knobs.faults = [faults.Fault(faults.is_blob(), None, bomb)]
    with pytest.raises(ContentError, match=f"more than {len(DATA)} bytes"):
        remote(fake, transport).blob(REPOSITORY, descriptor_of(DATA))


@pytest.mark.parametrize("read", ["tags", "repositories"])
def test_a_page_too_long_to_read_makes_the_listing_incomplete(
    fake: FakeRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    monkeypatch.setattr(remote_module, "_MAX_PAGE", 20)
    fake.add_repository(REPOSITORY)
    registry = remote(fake, transport)
    listings: dict[str, Callable[[], object]] = {
        "tags": lambda: registry.tags(REPOSITORY),
        "repositories": lambda: list(registry.repositories()),
    }
    with pytest.raises(RegistryError, match="too much for one page"):
        listings[read]()


@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 30])
def test_a_small_blob_behind_a_wordy_redirect_is_read(
    fake: FakeRegistry, elsewhere: FileHost, transport: Transport, data: bytes
) -> None:
    target = elsewhere.put("/blob", data)
    body = f'<a href="{target}?signature={"x" * 600}">Temporary Redirect</a>.\n\n'.encode()
    fake.add_blob(REPOSITORY, data)
    fake.knobs.faults = [
        faults.Fault(
            faults.is_blob(), None, lambda *_: faults.Answer(307, {"Location": target}, body)
        )
    ]
    assert remote(fake, transport).blob(REPOSITORY, descriptor_of(data)) == data


def test_a_small_blob_behind_a_wordy_refusal_is_asked_for_again(
    fake: FakeRegistry, transport: Transport
) -> None:
    fake.add_blob(REPOSITORY, b"{}")
    page = b"<html>" + b"Slow down. " * 100
    fake.knobs.faults = [faults.status(503, match=faults.is_blob(), times=2, body=page)]
    assert remote(fake, transport).blob(REPOSITORY, descriptor_of(b"{}")) == b"{}"
    assert fake.count("blobs") == 3


def test_a_small_blob_behind_a_challenge_is_read(fake: FakeRegistry, transport: Transport) -> None:
    fake.knobs.auth = "token"
    fake.add_blob(REPOSITORY, b"{}")
    assert remote(fake, transport).blob(REPOSITORY, descriptor_of(b"{}")) == b"{}"


def test_what_a_redirect_says_beside_its_target_holds_nobody_up(
    fake: FakeRegistry, elsewhere: FileHost
) -> None:
    target = elsewhere.put("/blob", DATA)
    dripping = faults.Answer(307, {"Location": target}, DATA, faults.Delivery.DRIP)
    fake.add_blob(REPOSITORY, DATA)
    fake.knobs.faults = [faults.Fault(faults.is_blob(), None, lambda *_: dripping)]
    start = time.monotonic()
    # Whether its body is passed over or runs into the deadline is all the same.
    with closing(racing(ANSWER_TIMEOUT / 4)) as transport, suppress(RegistryError):
        remote(fake, transport).blob(REPOSITORY, descriptor_of(DATA))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("kind", ["whole", "redirected", "looked for", "gone"])
def test_no_kind_of_answer_costs_a_connection_each(
    fake: FakeRegistry,
    elsewhere: FileHost,
    transport: Transport,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    # With TLS a new one costs more than the whole answer.
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")
    fake.add_blob(REPOSITORY, DATA)
    if kind == "redirected":
        target = elsewhere.put("/blob", DATA)
        fake.knobs.faults = [faults.redirect(target, match=faults.is_blob())]
    registry = remote(fake, transport)
    descriptor = descriptor_of(DATA)
    for _ in range(5):
        if kind == "gone":
            with pytest.raises(NotFoundError):
                registry.tags("acme/absent")
        elif kind == "looked for":
            assert registry.has_blob(REPOSITORY, descriptor.digest)
        else:
            assert registry.blob(REPOSITORY, descriptor) == DATA
    opened = caplog.text.count("Starting new") + caplog.text.count("Resetting dropped")
    assert opened == (2 if kind == "redirected" else 1)


def test_a_download_begun_anew_keeps_nothing_of_the_first_try(
    fake: FakeRegistry, transport: Transport, tmp_path: Path
) -> None:
    digest = fake.add_blob(REPOSITORY, DATA)
    # Half of it is longer than the whole of the second try.
    long = faults.Answer(200, {}, DATA[::-1] * 4, faults.Delivery.TRUNCATED)
    fake.knobs.faults = [faults.Fault(faults.is_blob(), 1, lambda *_: long)]
    url = f"{fake.http}/v2/{REPOSITORY}/blobs/{digest}"
    with (tmp_path / "sink").open("w+b") as sink:
        sink.write(b"old" * 500)
        answer = transport.request("GET", url, limit=len(DATA) * 4, sink=sink)
    assert (answer.status, answer.body) == (200, b"")
    assert (tmp_path / "sink").read_bytes() == DATA
    assert fake.count("blobs") == 2


def test_a_refusal_s_words_are_not_all_taken_in(fake: FakeRegistry, transport: Transport) -> None:
    fake.knobs.faults = [faults.status(404, body=b"no " * 1_000_000)]
    answer = transport.request("GET", f"{fake.http}/v2/", limit=10_000_000)
    assert (answer.status, len(answer.body)) == (404, 65536)


def test_a_refusal_is_never_written_where_the_download_goes(
    elsewhere: FileHost, transport: Transport
) -> None:
    sink = io.BytesIO(b"as it was")
    answer = transport.request("GET", f"{elsewhere.http}/absent", limit=100, sink=sink)
    assert (answer.status, sink.getvalue()) == (404, b"as it was")
