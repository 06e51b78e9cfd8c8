"""How many files the process may have open, and what becomes of clients where these are few."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack

import pytest
import requests

from indexer.gateway.files import fit_to_files
from indexer.gateway.options import Options
from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.started import SECONDS, Started
from tests.support.rig import Rig

NO_END = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("before", "after", "connections"),
    [
        ((1024, 1_000_000), (2176, 1_000_000), 1024),
        ((1024, NO_END), (2176, NO_END), 1024),
        ((2176, 2176), (2176, 2176), 1024),
        ((NO_END, NO_END), (NO_END, NO_END), 1024),
        ((256, 1024), (1024, 1024), 448),
        ((256, 256), (256, 256), 64),
        ((20, 20), (20, 20), 1),
    ],
)
def test_as_many_files_as_there_may_be_and_no_more_connections_than_that(
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[int, int],
    after: tuple[int, int],
    connections: int,
) -> None:
    limits, told = [before], list[str]()
    monkeypatch.setattr("indexer.gateway.files.resource.getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(
        "indexer.gateway.files.resource.setrlimit", lambda _, limit: limits.append(limit)
    )

    fitted = fit_to_files(Options(streams=5), told.append)

    assert limits[-1] == after
    assert fitted == Options(streams=5, connections=connections)
    assert len(told) == (connections < 1024)
    assert all(f"Only {connections} connections" in line for line in told)


def test_with_few_files_idle_clients_keep_nobody_out(rig: Rig) -> None:
    package = package_of(100_000)
    publish(rig, package)
    with (
        ExitStack() as stack,
        Started(rig.root, str(rig.site), before="ulimit -n 256; exec") as gateway,
    ):
        for _ in range(400):
            idle = socket.create_connection(("127.0.0.1", gateway.port), SECONDS)
            stack.enter_context(idle)
            idle.sendall(b"GET / HT")
        for _ in range(20):
            answer = requests.get(f"{gateway.http}/{PATH}", timeout=SECONDS)
            assert answer.content == package.data
        assert "Only 64 connections" in gateway.told()
