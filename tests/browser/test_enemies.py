"""What packages say of themselves is text, whatever it looks like, on pages and in feeds."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.browser.channel import Channel
from tests.browser.kinds import Markup, pages_of
from tests.browser.shelf import CONTROL, DOCUMENTATION, HOME, HOSTILE, LONGEST, attack
from tests.browser.visitor import Visitor

# What XML 1.0 has no way to say, what HTML forbids, and what turns text around.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
)


@pytest.mark.parametrize("said", [attack("summary"), attack("license")])
def test_an_attack_is_shown_as_it_was_written(visitor: Visitor, said: str) -> None:
    page = visitor.go("packages/hostile/")
    assert said in page.locator("main").inner_text()


def test_every_dependency_is_shown_as_it_was_written(visitor: Visitor) -> None:
    shown = visitor.go("packages/hostile/").locator("main").inner_text()
    assert [spec for spec in HOSTILE.depends if spec not in shown] == []
    shown = visitor.go(f"packages/{LONGEST.name}/").locator("main").inner_text()
    assert [spec for spec in LONGEST.depends if spec not in shown] == []


def test_an_attack_in_a_list_is_text_too(visitor: Visitor) -> None:
    assert attack("summary") in visitor.go("browse/h/").locator("main").inner_text()
    status = visitor.go("status/").locator("main").inner_text()
    assert "<script>window.attacked=" in status
    assert "misspelt" in status


def test_no_link_runs_a_script_or_hides_where_it_leads(
    site: Path, single: Channel, crowded: Channel
) -> None:
    for folder in (site, single.site, crowded.site):
        for path in pages_of(folder):
            for link in Markup.of(path).links:
                parts = urlsplit(urljoin("https://host.invalid/", link.address))
                assert parts.scheme in {"http", "https"}, f"{path}: {link}"
                assert parts.username is None, f"{path}: {link}"
                assert not link.address.startswith("//"), f"{path}: {link}"


def test_no_attribute_runs_a_script(site: Path, single: Channel, crowded: Channel) -> None:
    for folder in (site, single.site, crowded.site):
        for path in pages_of(folder):
            assert Markup.of(path).handlers == [], path


def test_what_is_no_address_is_no_link(site: Path) -> None:
    for name in (HOSTILE.name, CONTROL.name):
        text = (site / "packages" / name / "index.html").read_text()
        for annotation in (HOME, DOCUMENTATION):
            said = {**HOSTILE.about, **CONTROL.about}[annotation]
            assert f'href="{said}' not in text
        assert "alert(1)" not in text
        assert "data:text" not in text
        assert "whose-scheme" not in text


def test_no_file_for_people_holds_what_cannot_be_shown(site: Path) -> None:
    files = [*site.rglob("*.html"), *site.rglob("*.xml")]
    assert len(files) > 50
    for path in files:
        found = _FORBIDDEN.findall(path.read_text(encoding="utf-8"))
        assert found == [], path


def test_what_can_be_shown_of_a_hostile_summary_is_shown(visitor: Visitor) -> None:
    shown = visitor.go(f"packages/{CONTROL.name}/").locator("main").inner_text()
    assert "A bell" in shown
    assert "of line" in shown
