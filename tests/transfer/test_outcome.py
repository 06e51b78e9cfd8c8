"""Doing the same to many artifacts: what costs one, and what ends the run."""

from __future__ import annotations

import pytest

from indexer.errors import RegistryError, UnansweredError
from indexer.transfer.outcome import Crew, Outcome


def each(crew: Crew, error: RegistryError) -> None:
    def work(_: int) -> None:
        raise error

    list(crew.each(range(40), work, lambda item: [str(item)]))


def test_answers_of_no_use_cost_their_artifacts_however_many() -> None:
    aborted: list[bool] = []
    crew = Crew(Outcome(), 2, lambda: aborted.append(True))
    each(crew, RegistryError("answered with something that is not JSON"))
    assert (crew.outcome.failed, aborted) == (40, [])


def test_no_answer_to_many_in_a_row_ends_the_run() -> None:
    aborted: list[bool] = []
    crew = Crew(Outcome(), 2, lambda: aborted.append(True))
    with pytest.raises(UnansweredError, match="16 artifacts in a row got no answer: nobody"):
        each(crew, UnansweredError("nobody"))
    assert crew.outcome.failed == 16
    assert aborted
