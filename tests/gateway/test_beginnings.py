"""A gateway whose log nobody reads, or whose host doesn't answer: it serves, and it ends."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.running import rest_of
from tests.gateway.started import SECONDS, Started
from tests.gateway.test_process import run
from tests.support.faults import hang, is_path, status
from tests.support.loopback import FileHost
from tests.support.rig import Rig
from tests.support.waiting import wait_until

PACKAGE = package_of(10_000)
SNAPSHOT = "history/snapshot.json"


def test_a_log_that_nobody_reads_holds_nobody_up_and_not_the_end(rig: Rig) -> None:
    publish(rig, PACKAGE)
    with Started(rig.root, str(rig.site), stdout=subprocess.PIPE) as gateway:
        absent = b"GET /absent HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /absent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        # A pipe holds some hundred lines.
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", gateway.port), SECONDS) as client:
                client.sendall(absent * 999 + last)
                assert rest_of(client).count(b"HTTP/1.1 404") == 1000
        assert gateway.get(PATH).content == PACKAGE.data

        assert gateway.ends(10) == 0


def test_a_log_whose_reader_has_gone_holds_nobody_up(rig: Rig) -> None:
    publish(rig, PACKAGE)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out, Started(rig.root, str(rig.site), stdout=out) as gateway:
        for _ in range(3):
            assert gateway.get(PATH).content == PACKAGE.data
        wait_until(lambda: "log_lines_lost_total 0.0" not in gateway.get("-/metrics").text)

        assert gateway.ends(10) == 0


@pytest.mark.parametrize("after", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_without_a_place_to_write_to_it_serves(rig: Rig, after: str) -> None:
    publish(rig, PACKAGE)
    with Started(rig.root, str(rig.site), after=after) as gateway:
        for _ in range(3):
            assert gateway.get(PATH).content == PACKAGE.data
            assert gateway.get("noarch/repodata.json").status_code == 200
        assert gateway.ends(10) == 0


@pytest.mark.parametrize("after", ["2>&-", "2>/dev/full"])
def test_with_nobody_to_tell_it_goes_on_looking_and_the_log_stays_a_log(
    rig: Rig, after: str
) -> None:
    publish(rig, PACKAGE)
    log = rig.root / "log"
    with log.open("wb") as out, Started(rig.root, str(rig.site), after=after, stdout=out) as one:
        assert one.get(PATH).content == PACKAGE.data
        publish(rig, package_of(100, "other"))
        wait_until(lambda: one.get("noarch/other-1.0-0.conda").status_code == 200, SECONDS)
        assert one.ends(10) == 0

    assert all(line.startswith(b"{") for line in log.read_bytes().splitlines())


def test_while_the_first_look_takes_long_it_says_so_and_can_be_ended(rig: Rig) -> None:
    publish(rig, PACKAGE)
    with FileHost(rig.site) as host:
        host.faults.append(hang(match=is_path(f"/{SNAPSHOT}")))
        options = ("--channel-url", host.http, "--registry", f"oci+{rig.fake.http}/acme")
        with Started(rig.root, *options, up="-/healthy") as gateway:
            wait_until(lambda: bool(host.requests))
            assert gateway.get("-/ready").status_code == 503
            for path in (PATH, "noarch/repodata.json", "absent"):
                answer = gateway.get(path)
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) >= 1
            assert "Serving" not in gateway.told()

            assert gateway.ends(10) == 0


@pytest.mark.parametrize(("content", "code"), [(None, 2), ("junk", 3)])
def test_a_folder_that_is_no_site_ends_it(tmp_path: Path, content: str | None, code: int) -> None:
    if content is not None:
        (tmp_path / "history").mkdir()
        (tmp_path / SNAPSHOT).write_text(content)

    done = run(str(tmp_path), "--port", "0")

    assert (done.returncode, done.stdout) == (code, "")
    assert "snapshot" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_no_site_ends_it(rig: Rig) -> None:
    publish(rig, PACKAGE)
    with FileHost(rig.site) as host:
        host.faults.append(status(404, match=is_path(f"/{SNAPSHOT}")))
        done = run("--channel-url", host.http, "--port", "0")

    assert done.returncode == 3
    assert "is no site of cf-index" in done.stderr
    assert "Traceback" not in done.stderr
