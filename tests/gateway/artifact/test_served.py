"""Artifacts over HTTP: what a browser may do with them, what is said of damage, and the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.artifact.help import REPOSITORY, Shelf
from tests.gateway.running import Running
from tests.support.artifacts import file_layer, folder_layer, image
from tests.support.fake_registry import FakeRegistry
from tests.support.faults import Pause, is_blob, tampered
from tests.support.gateway_process import GatewayProcess
from tests.support.pauses import paused

SCRIPT = b'<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>'


@pytest.fixture
def served(one: Shelf) -> Iterator[Running]:
    """One artifact with a file and a folder."""
    one.push(file_layer("a.xml", SCRIPT), folder_layer("d", {"d/b.xml": SCRIPT}))
    named = [one.fake.address]
    with Running(one.source, lambda: named, packages="stream") as running:
        yield running


@pytest.mark.parametrize("path", ["a.xml", "d/b.xml"])
def test_nothing_in_a_strangers_file_may_act(served: Running, path: str) -> None:
    whole = served.get(path)
    assert (whole.status_code, whole.content) == (200, SCRIPT)
    known = served.get(path, {"If-None-Match": whole.headers["ETag"]})
    beyond = served.get(path, {"Range": "bytes=1000-"})
    assert (known.status_code, beyond.status_code) == (304, 416)
    for answer in (whole, known, beyond):
        assert answer.headers["Content-Security-Policy"] == "sandbox"


def test_what_is_damaged_is_no_index(served: Running, one: Shelf) -> None:
    one.fake.knobs.faults.append(tampered(match=is_blob()))
    answer = served.get("d/b.xml")
    assert (answer.status_code, "index" in answer.text) == (500, False)
    assert "what is served is damaged" in answer.text


def test_a_folder_under_way_keeps_no_gateway_from_ending(tmp_path: Path) -> None:
    pause = Pause(at=10)
    with FakeRegistry() as fake:
        fake.add(REPOSITORY, image([file_layer("x", b"1")]))
        fake.knobs.faults.append(paused(pause, match=is_blob()))
        reference = f"oci+http://{fake.address}/{REPOSITORY}"
        # It ends by itself, or leaving it is an error.
        with GatewayProcess(tmp_path, "--artifact", reference, "--refresh", "1"):
            fake.add(REPOSITORY, image([folder_layer("d", {"d/x": b"1"})]))
            assert pause.reached.wait(30)
        pause.go.set()
