"""Answers that are none: asked again, politely, for a minute; then given up, saying so."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import requests
import responses

from indexer.errors import RegistryError, UnansweredError
from indexer.registry.content import Descriptor, Digest
from indexer.registry.exchange import READ_TIMEOUT, Clock
from indexer.registry.transport import RETRY_FOR, Transport
from tests.registry.help import REPOSITORY, VirtualTime, remote
from tests.support import faults
from tests.support.fake_registry import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URL = "https://example.org/v2/acme/tags/list"


@pytest.fixture
def unused() -> Iterator[str]:
    """An address of this machine where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# 520 and above come from proxies in front of a registry.
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520, 524])
def test_a_burst_of_failures_is_sat_out(
    fake: FakeRegistry, transport: Transport, time: VirtualTime, status: int
) -> None:
    fake.add_repository(REPOSITORY)
    burst = faults.status(status, times=4)
    fake.knobs.faults = [burst]
    assert remote(fake, transport).tags(REPOSITORY) == []
    assert (burst.fired, fake.count("tags")) == (4, 5)
    assert time.slept == sorted(time.slept)
    assert 1.5 < time.passed < 5


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_stays_down_ends_the_run_within_a_minute(
    fake: FakeRegistry, transport: Transport, time: VirtualTime, status: int
) -> None:
    fake.knobs.faults = [faults.status(status)]
    with pytest.raises(UnansweredError, match=f"answered {status}, for 60 seconds") as caught:
        remote(fake, transport).tags(REPOSITORY)
    assert f"{fake.address}/v2/{REPOSITORY}" in str(caught.value)
    assert RETRY_FOR / 3 < time.passed <= RETRY_FOR
    # Few enough not to keep a registry down.
    assert 6 <= fake.count("tags") <= 12


def test_one_that_asks_for_ever_longer_pauses_is_not_waited_for_longer(
    fake: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    fake.knobs.faults = [faults.status(429, headers={"Retry-After": "86400"})]
    with pytest.raises(RegistryError, match="answered 429"):
        remote(fake, transport).tags(REPOSITORY)
    assert time.passed <= RETRY_FOR
    assert fake.count("tags") == 3


@responses.activate
@pytest.mark.usefixtures("by_requests")
def test_timeouts_use_up_the_same_minute(transport: Transport, time: VirtualTime) -> None:
    def answer(_request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        time.seconds += READ_TIMEOUT
        raise requests.ReadTimeout("read timed out")

    responses.add_callback("GET", URL, answer)
    with pytest.raises(RegistryError, match="no answer in time"):
        transport.request("GET", URL, limit=100)
    # The last try may begin just before the minute is over.
    assert time.passed <= RETRY_FOR + READ_TIMEOUT + 1


def test_a_403_that_says_when_to_come_back_is_a_limit_and_no_refusal(
    fake: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    # GitHub's "secondary rate limit". Taken for a refusal it would cost new packages.
    fake.add_repository(REPOSITORY)
    fake.knobs.faults = [faults.status(403, times=1, headers={"Retry-After": "7"})]
    assert remote(fake, transport).tags(REPOSITORY) == []
    assert time.passed == pytest.approx(7)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 416, 501])
def test_a_clear_no_is_not_asked_again(
    fake: FakeRegistry, transport: Transport, time: VirtualTime, status: int
) -> None:
    fake.knobs.faults = [faults.status(status)]
    with pytest.raises(RegistryError, match=f"answered {status}") as caught:
        remote(fake, transport).tags(REPOSITORY)
    assert not isinstance(caught.value, UnansweredError)
    assert (time.passed, fake.count("tags")) == (0, 1)


def test_a_pause_holds_all_other_requests_to_the_same_server_too(
    fake: FakeRegistry, time: VirtualTime
) -> None:
    asked: list[tuple[str, float]] = []

    def is_first(request: faults.Request) -> bool:
        asked.append((request.repository, time.passed))
        return len(asked) == 1

    def sleep(seconds: float) -> None:
        # While the first request waits for its second try, another one wants to start.
        if not started.is_set():
            started.set()
            assert registry.tags("acme/other") == []
        time.sleep(seconds)

    started = threading.Event()
    fake.add_repository(REPOSITORY)
    fake.add_repository("acme/other")
    fake.knobs.faults = [faults.status(429, match=is_first, headers={"Retry-After": "20"})]
    with closing(Transport(clock=Clock(now=time.clock.now, sleep=sleep))) as transport:
        registry = remote(fake, transport)
        assert registry.tags(REPOSITORY) == []
    assert asked == [(REPOSITORY, 0.0), ("acme/other", 20.0), (REPOSITORY, 40.0)]


def test_a_limit_of_one_server_holds_no_other(
    fake: FakeRegistry, impatient: Transport, time: VirtualTime
) -> None:
    fake.add_repository(REPOSITORY)
    with FakeRegistry() as other:
        other.knobs.faults = [faults.status(429, headers={"Retry-After": "20"})]
        with pytest.raises(RegistryError, match="429"):
            remote(other, impatient).tags(REPOSITORY)
    assert remote(fake, impatient).tags(REPOSITORY) == []
    assert time.passed == 0


@pytest.mark.parametrize(("status", "waits"), [(429, True), (500, False), (503, False)])
def test_one_file_that_fails_holds_up_nobody_unless_it_is_a_limit(
    fake: FakeRegistry, impatient: Transport, time: VirtualTime, status: int, *, waits: bool
) -> None:
    fake.add_repository("acme/other")
    fake.knobs.faults = [faults.status(status, match=faults.is_tags(REPOSITORY))]
    with pytest.raises(RegistryError, match=str(status)):
        remote(fake, impatient).tags(REPOSITORY)
    assert remote(fake, impatient).tags("acme/other") == []
    assert (time.passed > 0) == waits


def test_a_pause_outlasts_the_request_that_was_told_of_it(
    fake: FakeRegistry, impatient: Transport, time: VirtualTime
) -> None:
    fake.add_repository("acme/other")
    fake.knobs.faults = [
        faults.status(503, match=faults.is_tags(REPOSITORY), headers={"Retry-After": "20"})
    ]
    with pytest.raises(RegistryError):
        remote(fake, impatient).tags(REPOSITORY)
    assert time.passed == 0
    assert remote(fake, impatient).tags("acme/other") == []
    assert time.passed == pytest.approx(20)


def test_a_failed_connection_holds_nobody_else(
    fake: FakeRegistry, impatient: Transport, time: VirtualTime, unused: str
) -> None:
    fake.add_repository(REPOSITORY)
    with pytest.raises(RegistryError):
        impatient.request("GET", unused, limit=10)
    assert remote(fake, impatient).tags(REPOSITORY) == []
    assert time.passed == 0


def test_a_refused_connection_is_named_with_what_to_do(
    transport: Transport, time: VirtualTime, unused: str
) -> None:
    with pytest.raises(RegistryError, match="Connection refused") as caught:
        transport.request("GET", f"{unused}/v2/", limit=10)
    assert unused in str(caught.value)
    assert "check the address" in str(caught.value)
    assert "HTTPConnectionPool" not in str(caught.value)
    assert RETRY_FOR / 3 < time.passed <= RETRY_FOR


@pytest.mark.parametrize("broken", [faults.truncated, faults.closed])
def test_a_broken_delivery_is_asked_for_again(
    fake: FakeRegistry, transport: Transport, broken: Callable[..., faults.Fault]
) -> None:
    data = b"bytes that arrive at the third try"
    fake.add_blob(REPOSITORY, data)
    fault = broken(match=faults.is_blob(), times=2)
    fake.knobs.faults = [fault]
    descriptor = Descriptor("", Digest.of(data), len(data))
    assert remote(fake, transport).blob(REPOSITORY, descriptor) == data
    assert (fault.fired, fake.count("blobs")) == (2, 3)


def test_a_listing_that_keeps_breaking_off_is_no_listing(
    fake: FakeRegistry, transport: Transport, time: VirtualTime
) -> None:
    fake.add_repository(REPOSITORY)
    fake.knobs.faults = [faults.truncated(match=faults.is_tags())]
    with pytest.raises(RegistryError, match="connection failed"):
        remote(fake, transport).tags(REPOSITORY)
    assert time.passed <= RETRY_FOR


def test_a_run_that_has_ended_is_told_apart_from_a_no(
    fake: FakeRegistry, transport: Transport
) -> None:
    transport.close()
    with pytest.raises(UnansweredError, match="the run has ended"):
        remote(fake, transport).tags(REPOSITORY)
