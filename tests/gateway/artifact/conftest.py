"""A shelf for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.artifact.help import Shelf, shelf


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Shelf]:
    """One artifact, under latest."""
    with shelf(tmp_path / "scratch") as made:
        yield made
