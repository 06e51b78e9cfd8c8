"""How long the search page takes for a keystroke, in a real browser."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from indexer.render.api import SEARCH
from tests.browser.programs import started
from tests.browser.static_host import hosted
from tests.browser.visitor import Eyes, Visitor

# What is typed, letter by letter: names, parts of them, words of summaries, and nothing's name.
_TYPED = ("assert-prefixed", "r-def", "class the and", "method", "zzzzzz")

# One answer is one keystroke, until what is shown for it has its place on the page.
_MEASURE = """
texts => {
  const input = document.querySelector("form[role=search] input[name=q]");
  const took = [];
  for (const text of texts)
    for (let length = 1; length <= text.length; length++) {
      const start = performance.now();
      input.value = text.slice(0, length);
      input.dispatchEvent(new Event("input", { bubbles: true }));
      document.body.offsetHeight;
      took.push(performance.now() - start);
    }
  return took;
}
"""


@dataclass(frozen=True, slots=True)
class Searching:
    """Milliseconds a keystroke, and from the first byte to results; bytes of what it reads."""

    median: float
    worst: float
    ready: float
    plain: int
    packed: int


def search(site: Path, home: Path) -> Searching:
    """Look names up in a site. ``home`` is a folder for what the browser leaves behind."""
    data = (site / SEARCH).read_bytes()
    with started(home) as browser, hosted(site) as host:
        visitor = Visitor.enter(browser, host, Eyes())
        page = visitor.go("search/?q=method")
        page.wait_for_selector("#results li a")
        ready = visitor.evaluate("performance.now()")
        took = sorted(page.evaluate(_MEASURE, list(_TYPED)))
        visitor.leave()
    return Searching(
        median=took[len(took) // 2],
        worst=took[-1],
        ready=ready,
        plain=len(data),
        packed=len(gzip.compress(data, compresslevel=6)),
    )
