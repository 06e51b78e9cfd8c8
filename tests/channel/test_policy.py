"""What the validation policy lets in."""

from __future__ import annotations

import pytest

from demo.layers import VALIDATED
from indexer.channel.policy import DEFAULT_POLICY, Policy

KEY = "org.conda-forge.status"


def test_the_mark_that_the_demonstration_sets_is_the_one_that_is_looked_for() -> None:
    assert DEFAULT_POLICY.admits(VALIDATED)


@pytest.mark.parametrize(
    "annotations",
    [{}, {KEY: "rejected"}, {KEY: "Validated"}, {KEY: "validated "}, {"status": "validated"}],
)
def test_anything_but_the_very_mark_stays_out(annotations: dict[str, str]) -> None:
    assert not DEFAULT_POLICY.admits(annotations)


def test_another_key_and_value_can_be_the_mark() -> None:
    policy = Policy(key="org.acme.gate", value="green")
    assert policy.admits({"org.acme.gate": "green"})
    assert not policy.admits(VALIDATED)


def test_policy_none_lets_in_what_nobody_marked() -> None:
    assert Policy("none").admits({})


def test_the_report_tells_the_policies_apart() -> None:
    texts = {str(Policy("none")), str(DEFAULT_POLICY), str(Policy(value="x"))}
    assert len(texts) == 3
