"""axe-core, with its best practices, on every kind of page in every look."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.channel import Channel
from tests.browser.conftest import Visits
from tests.browser.kinds import KINDS, MISSING, status_of
from tests.browser.programs import AXE, without_axe
from tests.browser.static_host import hosted
from tests.browser.visitor import SCHEMES, Eyes, Scheme, Visitor
from tests.conftest import skip_unless

WIDTHS = (390, 1280)
# What hangs over the edge of a table's window is measured, too; beyond that of the browser's own,
# nothing can be.
_RUN = """async () => {
  for (const box of document.querySelectorAll(".scroll")) box.style.overflow = "visible";
  const found = await axe.run(document, {resultTypes: ["violations", "incomplete"]});
  const unknown = found.incomplete.filter(item => item.id === "color-contrast");
  return {
    violations: found.violations.map(item => [item.id, item.nodes.map(node => node.html)]),
    unmeasured: unknown.flatMap(item => item.nodes)
      .filter(node => document.querySelector(node.target[0]).getBoundingClientRect().right
        <= innerWidth)
      .map(node => [node.html, node.any.map(check => check.message).join()]),
    passes: found.passes.map(item => item.id),
  };
}"""
_TOO_SHORT = "Element content is too short to determine if it is actual text content"


@pytest.fixture(autouse=True)
def _axe() -> None:
    skip_unless(without_axe())


def judged(visitor: Visitor, path: str) -> dict[str, Any]:
    found: dict[str, Any] = visitor.go(path, status_of(path)).evaluate(_RUN)
    expected = {"color-contrast", "page-has-heading-one", "landmark-one-main", "region"}
    assert expected <= set(found["passes"])
    return found


def judging(visitor: Visitor) -> Visitor:
    visitor.context.add_init_script(path=AXE)
    return visitor


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_shuts_anybody_out(visit: Visits, scheme: Scheme, width: int) -> None:
    visitor = judging(visit(Eyes(scheme=scheme, width=width)))
    found = {kind: judged(visitor, path) for kind, path in KINDS.items()}
    violations = {kind: item["violations"] for kind, item in found.items()}
    assert {kind: items for kind, items in violations.items() if items} == {}
    if width == max(WIDTHS):
        unmeasured = [node for item in found.values() for node in item["unmeasured"]]
        # Drawings are measured by a test of their own; what is short is in the same colours.
        assert [
            (html, why)
            for html, why in unmeasured
            if why != _TOO_SHORT and not html.startswith("<text")
        ] == []


def test_bad_pages_are_told_from_good_ones(visitor: Visitor) -> None:
    page = judging(visitor).go()
    page.evaluate("""() => {
      document.body.style.color = "#ccc";
      document.querySelector("h1").outerHTML = "<h4>x</h4>";
      document.querySelector("input").removeAttribute("id");
    }""")
    rules = {rule for rule, _ in page.evaluate(_RUN)["violations"]}
    assert {"color-contrast", "page-has-heading-one", "label"} <= rules


def test_other_channels_pages_shut_nobody_out_either(
    visit: Visits, empty: Channel, single: Channel, crowded: Channel
) -> None:
    for channel in (empty, single, crowded):
        with hosted(channel.site) as host:
            visitor = judging(visit(Eyes(width=min(WIDTHS)), host))
            for path in ("", "browse/", "status/", "changes/", MISSING):
                assert judged(visitor, path)["violations"] == [], f"{channel.root.name}: {path}"
            visitor.leave()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_drawings_stand_out_from_the_page(visit: Visits, scheme: Scheme) -> None:
    page = visit(Eyes(scheme=scheme)).go("status/")
    paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    drawn: list[tuple[str, str]] = page.evaluate("""() =>
      [...document.querySelectorAll("svg text, svg .line")].map(part =>
        [part.tagName, getComputedStyle(part)[part.tagName === "text" ? "fill" : "stroke"]])""")
    assert {"text", "polyline"} == {tag for tag, _ in drawn}
    for tag, colour in drawn:
        # WCAG 2.2, 1.4.3 and 1.4.11.
        assert contrast(colour, paper) >= (4.5 if tag == "text" else 3)


def contrast(one: str, other: str) -> float:
    """Of two colours as browsers spell them, as WCAG 2.2 has it: from 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_is_counted_as_wcag_has_it() -> None:
    assert round(contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)"), 2) == 21
    assert round(contrast("rgb(118, 118, 118)", "rgb(255, 255, 255)"), 2) == 4.54


def headings(page: Page) -> list[int]:
    found: list[int] = page.evaluate(
        "() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => +h.tagName[1])"
    )
    return found


def test_headings_make_an_outline(visitor: Visitor) -> None:
    for kind, path in KINDS.items():
        levels = headings(visitor.go(path, status_of(path)))
        assert levels[0] == 1, kind
        assert levels.count(1) == 1, kind
        steps = [after - before for before, after in itertools.pairwise(levels)]
        assert max(steps, default=0) <= 1, kind
