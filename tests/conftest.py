"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_registry import FakeRegistry
from tests.support.registry_process import RegistryProcess, missing_reason
from tests.support.rig import Rig

_OF_CI = {"GITHUB_TOKEN", "GH_TOKEN", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting and no credential of whoever runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith(("CF_INDEX_", "ORAS_")) or name in _OF_CI:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with FakeRegistry() as fake:
        yield Rig(fake, tmp_path)


def skip_unless(reason: str | None) -> None:
    """Skip for a reason, and say it; under CI what is missing is a failure."""
    if reason is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"under CI this must run: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryProcess]:
    skip_unless(missing_reason())
    with RegistryProcess(tmp_path_factory.mktemp("registry")) as registry:
        yield registry
