from __future__ import annotations

from typing import Any

import pytest

from tests.support.workflow.expressions import Scope
from tests.support.workflow.values import HarnessError, Known

SCOPE = Scope(
    {
        "github": Known(event={"client_payload": {"packages": ["a", "b"]}}, sha="abc"),
        "inputs": Known(full=True, package=""),
        "needs": Known(plan=Known(result="success", outputs=Known(subdirs='["noarch"]'))),
        "vars": {"ON": "true"},
    },
    {"success": lambda: False, "always": lambda: True, "failure": lambda: True},
)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'it''s'", "it's"),
        ("1.5", 1.5),
        ("inputs.full && 'a' || 'b'", "a"),
        ("inputs.package || join(github.event.client_payload.packages, ',')", "a,b"),
        ("github.event.client_payload.absent.deeper", None),
        ("github.event['client_payload'].packages[1]", "b"),
        ("fromJSON(needs.plan.outputs.subdirs)", ["noarch"]),
        ("'ABC' == github.sha", True),
        ("inputs.package == null", True),
        ("null == 0", True),
        ("'x' == 0", False),
        ("!inputs.package && !(1 > 2)", True),
        ("2 >= 2 && 'b' > 'A'", True),
        ("contains(github.event.client_payload.packages, 'B')", True),
        ("startsWith('Hello', 'he')", True),
        ("format('{0}-{{{1}}}', 'a', 2)", "a-{2}"),
        ("vars.OFF != 'true'", True),
        ("true && 0 || ''", ""),
    ],
)
def test_the_values_of_expressions(source: str, value: Any) -> None:
    assert SCOPE.value(f"${{{{ {source} }}}}") == value


def test_expressions_within_a_string() -> None:
    assert SCOPE.string("${{ github.sha }}-${{ '}' }}-${{ vars.OFF }}") == "abc-}-"


@pytest.mark.parametrize(
    "source",
    [
        "hashFiles('a')",
        "needs.paln.result",
        "needs.plan.outputs.subdir",
        "inputs.ful",
        "secrets.TOKEN",
        "github.event.*.name",
        "cancelled()",
        "(1",
        "1 2",
        "a = b",
    ],
)
def test_what_is_unknown_is_not_passed_over(source: str) -> None:
    with pytest.raises(HarnessError):
        SCOPE.evaluate(source)


def test_lists_are_not_put_into_strings() -> None:
    with pytest.raises(HarnessError, match="put into a string"):
        SCOPE.string("x ${{ github.event.client_payload.packages }}")


def test_an_if_means_success_besides_unless_it_asks() -> None:
    assert not SCOPE.condition("vars.ON == 'true'")
    assert not SCOPE.condition(None)
    assert SCOPE.condition("always() && vars.ON == 'true'")
    assert SCOPE.condition("${{ failure() }}")
    # The name alone, within a string, isn't a call.
    assert not SCOPE.condition("'always' == 'always'")


def test_an_if_that_github_takes_for_a_string_is_refused() -> None:
    with pytest.raises(HarnessError, match="mixes"):
        SCOPE.condition("${{ inputs.full }} == true")
