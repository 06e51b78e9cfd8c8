"""What an operator sees: metrics, the access log, whether it is up, and nothing that isn't so."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Receive, Scope, Send

from indexer.gateway.telemetry import AccessLog, Metrics, Note, Observed
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.gateway.running import Running
from tests.support.faults import is_blob, redirect, status
from tests.support.loopback import FileHost
from tests.support.rig import Rig

PACKAGE = package_of(10_000)
PREFIX = "cf_index_gateway_"


def samples(gateway: Running) -> dict[tuple[str, tuple[str, ...]], float]:
    """What /-/metrics says, read by Prometheus' own parser."""
    answer = gateway.get("-/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["Cache-Control"] == "no-store"
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            assert sample.name.startswith(PREFIX)
            labels = tuple(text for _, text in sorted(sample.labels.items()))
            found[sample.name, labels] = sample.value
    return found


def test_each_way_is_counted_with_its_bytes(rig: Rig, serve: Serve, elsewhere: FileHost) -> None:
    publish(rig, PACKAGE)
    gateway = serve(allowed=(elsewhere.address,))
    gateway.get(PATH)
    gateway.get(PATH, method="HEAD")
    gateway.get(PATH, {"Range": "bytes=0-99"})
    size = len(gateway.get("noarch/repodata.json").content)
    gateway.get("absent")
    rig.fake.knobs.faults.append(status(500, match=is_blob(), times=1))
    gateway.get(PATH)
    rig.fake.knobs.faults.append(redirect(elsewhere.url("/x"), match=is_blob()))
    gateway.get(PATH)
    gateway.get(PATH)

    found = samples(gateway)

    def count(way: str, status: str) -> float:
        return found[f"{PREFIX}requests_total", (status, way)]

    assert count("stream", "200") == 1
    assert count("stream", "206") == 1
    assert count("index", "200") == 1
    assert count("file", "200") == 1
    assert count("redirect", "307") == 2
    assert count("error", "404") == 1
    assert count("error", "503") == 1
    assert found[f"{PREFIX}sent_bytes_total", ("stream",)] == 10_100
    assert found[f"{PREFIX}sent_bytes_total", ("file",)] == size
    assert found[f"{PREFIX}request_seconds_count", ("redirect",)] == 2
    assert found[f"{PREFIX}open_streams", ()] == 0
    # It is asked by one itself.
    assert found[f"{PREFIX}requests_under_way", ()] == 1
    assert found[f"{PREFIX}faults_total", ()] == 0
    assert found[f"{PREFIX}last_refresh_timestamp_seconds", ()] > 1_700_000_000


def test_hostile_paths_make_no_new_series(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve()
    gateway.get("absent")
    # It counts itself, too.
    samples(gateway)
    before = samples(gateway)

    for number in range(50):
        gateway.get(f"absent-{number}?x=%22{number}%0a")
        gateway.get("absent", method=f"X{number}")

    new = {name for name, _ in samples(gateway).keys() - before.keys()}
    # Of a status that there wasn't before.
    assert new <= {f"{PREFIX}requests_total", f"{PREFIX}requests_created"}
    assert len(samples(gateway)) <= len(before) + 4


def test_up_and_ready_are_said_to_nobody_s_cache(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve()

    for path in ("-/healthy", "-/ready"):
        answer = gateway.get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert gateway.get(path, method="HEAD").content == b""


def lines(gateway: Running) -> list[dict[str, Any]]:
    """The access log of a gateway, after it was read whole."""
    return [json.loads(line) for line in gateway.log_lines()]


def test_each_request_is_a_line_of_the_log(rig: Rig, serve: Serve) -> None:
    publish(rig, PACKAGE)
    gateway = serve(access_log=True)
    gateway.get(PATH, {"User-Agent": "conda/26.1"})
    gateway.get("noarch/repodata.json", method="HEAD")
    rig.fake.knobs.faults.append(status(500, match=is_blob()))
    gateway.get(PATH)

    stream, head, problem = lines(gateway)

    assert stream["method"] == "GET"
    assert stream["path"] == f"/{PATH}"
    assert (stream["status"], stream["way"], stream["bytes"]) == (200, "stream", 10_000)
    assert stream["agent"] == "conda/26.1"
    assert stream["client"] == "127.0.0.1"
    assert 0 < stream["seconds"] < 60
    assert stream["time"].endswith("+00:00")
    assert "problem" not in stream
    assert (head["status"], head["way"], head["bytes"]) == (200, "file", 0)
    assert (problem["status"], problem["way"]) == (503, "error")
    assert "answered 500" in problem["problem"]


@pytest.mark.parametrize(
    "path",
    [
        "a%0ab",
        "a%0d%0a%7b%22status%22%3a200%7d",
        "a%22,%22status%22:1,%22b",
        "a%00b",
        "a%1b%5b31mred",
        "%ff%fe",
        "%ed%a0%80",
        "%e2%80%a8%e2%80%a9",
        "%5c%22",
        "x" * 3000,
        "%f0%9f%92%a9" * 200,
    ],
)
def test_no_path_breaks_a_line_of_the_log(observed: Running, path: str) -> None:
    observed.say(
        f'GET /{path} HTTP/1.1\r\nHost: x\r\nUser-Agent: a"\\\xff\r\n'.encode("latin-1")
        + b"Connection: close\r\n\r\n"
    )

    (line,) = observed.log_lines()

    assert len(line) < 8000
    assert b"\n" not in line
    assert b"\x1b" not in line
    entry = json.loads(line)
    assert entry["status"] in {400, 404}
    assert isinstance(entry["path"], str)


@pytest.fixture
def observed(rig: Rig, serve: Serve) -> Running:
    publish(rig, PACKAGE)
    return serve(access_log=True)


def test_who_reads_the_log_slowly_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.gateway.telemetry._MAX_LINES", 3)
    metrics, out = Metrics(), io.BytesIO()
    log = AccessLog(metrics, out)
    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": None}

    for _ in range(5):
        log.add(scope, Note(), 0.1)
    log.close()

    assert len(out.getvalue().splitlines()) == 3
    assert metrics.registry.get_sample_value(f"{PREFIX}log_lines_lost_total") == 2


def test_a_log_that_is_closed_stops_nobody() -> None:
    metrics, out = Metrics(), io.BytesIO()
    log = AccessLog(metrics, out)
    out.close()
    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": None}

    log.add(scope, Note(), 0.1)
    log.close()

    assert metrics.registry.get_sample_value(f"{PREFIX}log_lines_lost_total") == 1


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("a fault")


async def _receive() -> Message:
    return {"type": "http.disconnect"}


async def _send(_message: Message) -> None: ...


def test_a_request_that_meets_a_fault_is_counted_and_is_over() -> None:
    metrics = Metrics()
    app = Observed(_nothing, metrics, None)
    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}

    with pytest.raises(RuntimeError):
        asyncio.run(app(scope, _receive, _send))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"{PREFIX}{name}", labels)

    assert value("requests_under_way") == 0
    assert value("requests_total", way="error", status="0") == 1
