"""What the validation policy lets in."""

from __future__ import annotations

import pytest

from demo.layers import VALIDATED
from indexer.channel.policy import DEFAULT_POLICY, POLICIES, Policy

KEY = "org.conda-forge.status"


def test_the_mark_that_the_demonstration_sets_is_the_one_that_is_looked_for() -> None:
    assert DEFAULT_POLICY.standing(VALIDATED) == "validated"


@pytest.mark.parametrize(
    "annotations",
    [{}, {KEY: "Validated"}, {KEY: "validated "}, {"status": "validated"}],
)
def test_anything_but_the_very_mark_is_none(annotations: dict[str, str]) -> None:
    assert DEFAULT_POLICY.standing(annotations) == "unmarked"


def test_a_mark_may_also_say_no() -> None:
    assert DEFAULT_POLICY.standing({KEY: "rejected"}) == "rejected"


def test_another_key_and_value_can_be_the_mark() -> None:
    policy = Policy(key="org.acme.gate", value="green")
    assert policy.standing({"org.acme.gate": "green"}) == "validated"
    assert policy.standing(VALIDATED) == "unmarked"


@pytest.mark.parametrize(
    ("name", "annotation", "verdict"),
    [
        ("annotation", True, False),
        ("attestation", False, True),
        ("both", True, True),
        ("none", False, False),
    ],
)
def test_each_policy_asks_for_its_own(name: str, annotation: bool, verdict: bool) -> None:  # noqa: FBT001
    policy = next(Policy(known) for known in POLICIES if known == name)
    assert (policy.asks_annotation, policy.asks_verdict) == (annotation, verdict)


def test_the_report_tells_the_policies_apart() -> None:
    texts = {str(Policy(name)) for name in POLICIES} | {str(Policy(value="x"))}
    assert len(texts) == len(POLICIES) + 1
