"""Light and dark, phone and wide screen; and what script puts into the page."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visits
from tests.browser.kinds import KINDS, status_of
from tests.browser.visitor import SCHEMES, Eyes, Visitor

_COLOURS = """() => {
  const style = getComputedStyle(document.body);
  return [style.backgroundColor, style.color];
}"""
_NUMBERS = re.compile(r"[\d.]+")


def brightness(colour: str) -> float:
    """Of an opaque colour as browsers spell it, from 0 to 255."""
    red, green, blue, *alpha = map(float, _NUMBERS.findall(colour))
    assert alpha in ([], [1.0]), f"{colour} lets something shine through"
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_dark_is_dark_and_light_is_light(visit: Visits) -> None:
    light, dark = (visit(Eyes(scheme=scheme)) for scheme in SCHEMES)
    for kind, path in KINDS.items():
        paper, ink = map(brightness, light.go(path, status_of(path)).evaluate(_COLOURS))
        assert paper > 220, kind
        assert ink < 80, kind
        paper, ink = map(brightness, dark.go(path, status_of(path)).evaluate(_COLOURS))
        assert paper < 50, kind
        assert ink > 180, kind


def overhang(page: Page) -> list[str]:
    """What makes a page wider than its window; nothing where it isn't."""
    found: list[str] = page.evaluate("""() => {
      const wide = innerWidth;
      if (document.scrollingElement.scrollWidth <= wide) return [];
      return [...document.querySelectorAll("body *")]
        .filter(element => element.getBoundingClientRect().right > wide)
        .map(element => element.outerHTML.slice(0, 120));
    }""")
    return found


@pytest.mark.parametrize("width", [320, 390])
def test_no_page_is_wider_than_a_phone(visit: Visits, width: int) -> None:
    visitor = visit(Eyes(width=width, height=700))
    found = {kind: overhang(visitor.go(path, status_of(path))) for kind, path in KINDS.items()}
    assert {kind: parts for kind, parts in found.items() if parts} == {}


def test_commands_can_be_read_whole_on_a_phone(visit: Visits) -> None:
    """A command that is cut off can't be compared with what is to be typed."""
    page = visit(Eyes(width=320)).go("packages/hostile/")
    hidden = page.evaluate("""() => [...document.querySelectorAll("pre")]
      .filter(pre => pre.scrollWidth > pre.clientWidth).map(pre => pre.innerText)""")
    assert hidden == []


def test_whoever_moves_by_keyboard_sees_where_they_are(visitor: Visitor) -> None:
    page = visitor.go("packages/numpy/")
    for _ in range(12):
        page.keyboard.press("Tab")
        drawn = visitor.evaluate("""(() => {
          const style = getComputedStyle(document.activeElement);
          const box = document.activeElement.getBoundingClientRect();
          return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1
            && box.right > 0 && box.bottom > 0;
        })()""")
        assert drawn, visitor.evaluate("document.activeElement.outerHTML")


def test_the_first_tab_skips_to_the_content(visitor: Visitor) -> None:
    page = visitor.go("packages/numpy/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert visitor.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_the_last_run_is_told_by_script_alone(visit: Visits, site: Path) -> None:
    status = orjson.loads((site / "status.json").read_bytes())
    page = visit().go("status/")
    told = page.locator("time#last-run")
    expect(told).to_be_visible()
    said = told.get_attribute("datetime") or ""
    assert said.replace(".000", "") == status["time"]
    assert status["time"] not in (site / "status" / "index.html").read_text()

    page = visit(Eyes(javascript=False)).go("status/")
    expect(page.locator("time#last-run")).to_be_hidden()


def test_a_plot_is_told_in_words_too(visitor: Visitor) -> None:
    page = visitor.go("status/")
    plot = page.get_by_role("img", name=re.compile("over time"))
    expect(plot).to_be_visible()
    assert plot.locator("polyline").count() >= 4
    expect(plot).to_have_accessible_name(re.compile("linux-64 from .* to "))
