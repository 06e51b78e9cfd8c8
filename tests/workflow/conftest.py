"""A repository with its Pages, in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import skip_unless
from tests.support.fake_registry import FakeRegistry
from tests.support.registry_process import RegistryProcess
from tests.support.workflow.channel import Channel
from tests.support.workflow.document import load
from tests.support.workflow.github import GitHub
from tests.support.workflow.pages import Pages
from tests.support.workflow.process import missing_reason
from tests.support.workflow.running import Runner

_NUMBERS = itertools.count(1)


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    skip_unless(missing_reason())
    with Pages(tmp_path / "pages") as pages, GitHub(tmp_path / "github", pages) as github:
        yield github


@pytest.fixture
def runner_of(github: GitHub, tmp_path: Path) -> Callable[[str], Runner]:
    """Makes what runs a workflow given as text: minutes take a second."""

    numbers = itertools.count(1)

    def make(text: str) -> Runner:
        return Runner(load(text), github, tmp_path / f"runner-{next(numbers)}", minute=1.0)

    return make


@pytest.fixture
def channel(github: GitHub, docker_registry: RegistryProcess, tmp_path: Path) -> Channel:
    """A channel in a real registry, in a namespace of its own."""
    return Channel(github, docker_registry, tmp_path, namespace=f"acme{next(_NUMBERS)}")


@pytest.fixture
def fake_channel(github: GitHub, tmp_path: Path) -> Iterator[tuple[Channel, FakeRegistry]]:
    """A channel in a registry that can be made to fail."""
    with FakeRegistry() as fake:
        yield Channel(github, fake, tmp_path), fake
