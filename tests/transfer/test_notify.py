"""A service is told of all that was pushed, and of nothing else; what it wasn't told is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from demo.packages import build
from indexer.errors import ConfigError
from indexer.registry.transport import Transport
from indexer.transfer.notify import Notifier, check_notify
from indexer.transfer.outcome import Item, Outcome
from tests.registry.help import VirtualTime
from tests.support import faults
from tests.support.loopback import FileHost
from tests.support.rig import CHANNEL
from tests.transfer.help import Shop, failures
from tests.transfer.test_push_troubles import interrupting

MANY = tuple(build(f"many{number}") for number in range(12))


@pytest.fixture
def service() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


def notifier(service: FileHost, transport: Transport, outcome: Outcome) -> Notifier:
    return Notifier(transport, service.url("/told"), CHANNEL, outcome)


def told(service: FileHost) -> list[dict[str, Any]]:
    assert all(
        (request.method, request.path, request.headers["content-type"])
        == ("POST", "/told", "application/json")
        for request in service.requests
    )
    return [json.loads(request.body) for request in service.requests]


def item(number: int) -> Item:
    return Item("noarch", f"x-{number}-0.conda", "0" * 64, number, f"host/x:{number}-0", "sha256:")


def test_a_push_is_told_with_all_that_it_takes_to_find_it(
    shop: Shop, service: FileHost, transport: Transport
) -> None:
    (alpha,) = (build("alpha"),)
    shop.lay(alpha)
    job = shop.job()
    job.run([shop.folder], notifier(service, transport, job.outcome))
    repository, tag = shop.where(alpha)
    assert told(service) == [
        {
            "version": 1,
            "channel": "forge",
            "pushed": [
                {
                    "subdir": "noarch",
                    "file_name": "alpha-1.0-0.conda",
                    "sha256": alpha.sha256,
                    "size": alpha.size,
                    "reference": shop.registry.address.reference(repository, tag),
                    "digest": str(shop.registry.manifest(repository, tag).digest),
                }
            ],
        }
    ]
    assert job.outcome.failed == 0


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_was_not_pushed_is_not_told(
    shop: Shop, service: FileHost, transport: Transport, *, dry_run: bool
) -> None:
    shop.lay(*MANY)
    if not dry_run:
        shop.push()
    job = shop.job(dry_run=dry_run)
    job.run([shop.folder], notifier(service, transport, job.outcome))
    assert service.requests == []


def test_many_are_told_in_a_few_requests(service: FileHost, transport: Transport) -> None:
    teller = notifier(service, transport, Outcome())
    for number in range(1001):
        teller.add([item(number)])
        teller.tell()
    assert len(service.requests) == 2
    teller.close()
    teller.close()
    names = [[one["file_name"] for one in body["pushed"]] for body in told(service)]
    assert [len(batch) for batch in names] == [500, 500, 1]
    flat = [name for batch in names for name in batch]
    assert flat == [item(number).file_name for number in range(1001)]


def test_a_service_that_is_busy_is_asked_again(
    service: FileHost, transport: Transport, time: VirtualTime
) -> None:
    service.faults = [faults.status(503, times=3)]
    outcome = Outcome()
    teller = notifier(service, transport, outcome)
    teller.add([item(1)])
    teller.close()
    assert (len(service.requests), outcome.failed) == (4, 0)
    assert time.passed > 0
    assert len({request.body for request in service.requests}) == 1


@pytest.mark.parametrize(
    ("code", "requests"), [(400, 1), (401, 1), (404, 1), (302, 1), (304, 1), (501, 1)]
)
def test_a_no_is_a_failure_of_each_by_name(
    service: FileHost, transport: Transport, code: int, requests: int
) -> None:
    service.faults = [faults.status(code)]
    outcome = Outcome()
    teller = notifier(service, transport, outcome)
    teller.add([item(1)])
    teller.add([item(2)])
    teller.close()
    assert len(service.requests) == requests
    assert failures(outcome) == {
        f"x-{number}-0.conda": f"pushed, but the service wasn't told: it answered {code}"
        for number in (1, 2)
    }


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_any_yes_will_do(service: FileHost, transport: Transport, code: int) -> None:
    service.faults = [faults.status(code)]
    outcome = Outcome()
    teller = notifier(service, transport, outcome)
    teller.add([item(1)])
    teller.close()
    assert outcome.failed == 0


@pytest.mark.parametrize(
    "wrong",
    [
        faults.status(500),
        faults.closed(),
        faults.redirect("https://example.invalid/", match=faults.anything, code=302),
        faults.replace_body(b"x" * (2 * 1024 * 1024), match=faults.anything),
    ],
    ids=["down", "closed", "redirect", "endless"],
)
def test_whatever_a_service_does_the_push_goes_on(
    shop: Shop, service: FileHost, transport: Transport, wrong: faults.Fault
) -> None:
    service.faults = [wrong]
    shop.lay(*MANY)
    job = shop.job()
    outcome = job.run([shop.folder], notifier(service, transport, job.outcome))
    assert outcome.moved.count == 12
    assert failures(outcome).keys() == {package.file_name for package in MANY}


def test_what_was_pushed_is_told_though_the_rest_was_interrupted(
    shop: Shop, service: FileHost, transport: Transport
) -> None:
    shop.lay(*MANY)
    job = shop.job(jobs=1, progress=interrupting(5))
    teller = Transport()
    with pytest.raises(KeyboardInterrupt):
        job.run([shop.folder], notifier(service, teller, job.outcome))
    teller.close()
    (body,) = told(service)
    assert [one["file_name"] for one in body["pushed"]] == [
        one.file_name for one in job.outcome.moved.first
    ]
    assert len(body["pushed"]) == 5
    assert transport is not teller


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org/", "file:///etc", "http://"])
def test_an_address_that_is_none_is_a_mistake_of_usage(url: str) -> None:
    with pytest.raises(ConfigError):
        check_notify(url)


def test_a_service_is_http() -> None:
    assert check_notify("https://example.org/hook") == "https://example.org/hook"
