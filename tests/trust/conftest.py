"""Somebody who validates and is trusted, and somebody who isn't."""

from __future__ import annotations

import pytest

from tests.support.validator import Validator


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    return Validator(tmp_path_factory.mktemp("validator"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    return Validator(tmp_path_factory.mktemp("stranger"), "stranger")
