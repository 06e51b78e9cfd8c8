"""The watch itself: a visitor who overlooks trouble would let every other test pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.static_host import Host, hosted
from tests.browser.visitor import Eyes, Visitor

CSP = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
TROUBLES = {
    "console": ("<script>console.error('no')</script>", "console: no"),
    "exception": ("<script>throw new Error('no')</script>", "an error in a script"),
    "dialog": ("<script>alert('no')</script>", "a dialog: no"),
    "csp": (f"{CSP}<script>1</script>", "forbids inline"),
    "style": (f"{CSP}<p style='color: red'>", "forbids inline"),
    "elsewhere": ("<img src=https://example.org/x.png>", "out of the site"),
    "above": ("<img src=/other/x.png>", "out of the site"),
    "missing": ("<img src=x.png>", "x.png answers 404"),
    "attack": ("<script>window.attacked='here'</script>", "run as a script: here"),
}


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[Host]:
    for name, (text, _) in TROUBLES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(f"<!doctype html><title>x</title>{text}")
    (tmp_path / "404.html").write_text("<!doctype html><title>None</title>Not here")
    with hosted(tmp_path) as host:
        yield host


@pytest.mark.parametrize("name", TROUBLES)
def test_no_trouble_in_a_page_is_overlooked(browser: Browser, bad: Host, name: str) -> None:
    visitor = Visitor.enter(browser, bad, Eyes())
    visitor.go(f"{name}/")
    with pytest.raises(AssertionError, match=TROUBLES[name][1]):
        visitor.leave()


def test_a_page_that_is_meant_to_be_missing_is_no_trouble(browser: Browser, bad: Host) -> None:
    visitor = Visitor.enter(browser, bad, Eyes())
    page = visitor.go("no/such/page", status=404)
    assert "Not here" in page.content()
    visitor.leave()


def test_the_host_keeps_the_prefix_as_static_hosts_do(bad: Host) -> None:
    assert bad.find("/other/") == (404, None)
    assert bad.find("/channel/csp") == (301, None)
    assert bad.find("/channel/../csp/") == (404, bad.folder / "404.html")
    assert bad.find("/channel/csp/") == (200, bad.folder / "csp" / "index.html")
    assert bad.find("/channel/%63sp/") == (200, bad.folder / "csp" / "index.html")
