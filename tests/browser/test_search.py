"""People find a package: by typing, by address, by the keyboard alone; nobody is attacked by it."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visits
from tests.browser.shelf import ATTACK, LONGEST
from tests.browser.visitor import Visitor


def names(page: Page) -> list[str]:
    """The packages that are found, in the order in which they are shown."""
    return page.locator("#results li a").all_inner_texts()


def said(page: Page) -> str:
    return page.locator("#search-status[role=status]").inner_text()


def test_what_is_typed_is_found_while_it_is_typed(visitor: Visitor) -> None:
    page = visitor.go("search/")
    page.get_by_role("searchbox").focus()
    page.keyboard.type("nump")

    expect(page.locator("#results li a").first).to_have_text("numpy")
    assert visitor.path() == "search/?q=nump"
    page.locator("#results li a").first.click()
    page.wait_for_url("**/packages/numpy/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("numpy")


def test_an_address_that_somebody_sent_shows_what_they_found(visitor: Visitor) -> None:
    page = visitor.go("search/?q=Python-Date")
    assert names(page) == ["python-dateutil"]
    assert page.get_by_role("searchbox").input_value() == "Python-Date"


def test_the_keyboard_alone_leads_from_the_front_page_to_a_package(visitor: Visitor) -> None:
    page = visitor.go()
    for _ in range(20):
        page.keyboard.press("Tab")
        if visitor.evaluate("document.activeElement.name") == "q":
            break
    page.keyboard.type("libc")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search/?q=libc")
    expect(page.locator("#results li a").first).to_have_text("libcblas")

    page.keyboard.press("ArrowDown")
    expect(page.locator("#results li a").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    page.wait_for_url("**/packages/libcblas/")


def test_what_was_meant_comes_first(visitor: Visitor) -> None:
    """The exact name, then prefixes, then names that hold it, then summaries."""
    page = visitor.go("search/?q=python")
    found = names(page)
    assert found[:2] == ["python", "python-dateutil"]
    # "The fundamental package for scientific computing with Python", and others' summaries.
    assert {"matplotlib-base", "numpy", "pip", "requests"} < set(found[2:])

    # By the alphabet, the second would be the first.
    assert names(visitor.go("search/?q=zl"))[:2] == ["zlib", "libzlib"]
    found = names(visitor.go("search/?q=lib"))
    order = [found.index(name) for name in ("libzlib", "matplotlib-base", "charset-normalizer")]
    assert order == sorted(order)


def test_a_word_of_the_summary_is_enough(visitor: Visitor) -> None:
    assert names(visitor.go("search/?q=certificates tls")) == []
    assert names(visitor.go("search/?q=tls%20protocols")) == ["openssl"]


def test_who_finds_nothing_is_told_so(visitor: Visitor) -> None:
    page = visitor.go("search/?q=nothing-like-it")
    assert names(page) == []
    assert "nothing-like-it" in said(page)


def test_an_emptied_box_shows_nothing_and_leaves_no_address(visitor: Visitor) -> None:
    page = visitor.go("search/?q=numpy")
    page.get_by_role("searchbox").fill("")
    assert names(page) == []
    assert visitor.path() == "search/"


def test_the_longest_name_is_found_whole(visitor: Visitor) -> None:
    assert names(visitor.go(f"search/?q={LONGEST.name}")) == [LONGEST.name]


@pytest.mark.parametrize(
    "text",
    [
        ATTACK.format("query", "query")[:99],
        "<img src=x onerror=window.attacked=1>",
        "javascript:window.attacked=1",
        "</title><svg onload=window.attacked=1>",
        "__proto__",
        "(((((a+)+)+)+)$",
        "%",
    ],
)
def test_an_attack_in_an_address_stays_text(visitor: Visitor, text: str) -> None:
    address = "".join(f"%{byte:02x}" for byte in text.encode())
    page = visitor.go(f"search/?q={address}")

    assert page.get_by_role("searchbox").input_value() == text
    assert text in said(page)
    # Typed, too: it becomes an address again.
    page.get_by_role("searchbox").fill("x")
    page.get_by_role("searchbox").fill(text)
    assert text in said(page)


def test_an_attack_in_a_summary_stays_text_among_the_results(visitor: Visitor) -> None:
    page = visitor.go("search/?q=window.attacked")
    assert "hostile" in names(page)
    assert "<script>window.attacked=" in page.locator("#results").inner_text()


def test_thirty_thousand_names_fill_no_page_with_thirty_thousand_lines(visit: Visits) -> None:
    visitor = visit()
    many = [[f"package-{number}", "1.0", "one of many"] for number in range(30_000)]
    visitor.context.route(
        "**/search/names.json", lambda route: route.fulfill(json=many, status=200)
    )
    page = visitor.go("search/?q=package")
    assert "30,000" in said(page)
    assert 10 <= len(names(page)) <= 200
    page.get_by_role("searchbox").focus()
    page.keyboard.type("-29999")
    assert names(page) == ["package-29999"]


def test_names_that_cannot_be_had_are_told_of(visit: Visits) -> None:
    visitor = visit()
    visitor.context.route(
        "**/search/names.json", lambda route: route.fulfill(body=json.dumps(None)[:2])
    )
    page = visitor.go("search/?q=numpy")
    assert "can" in said(page)
    assert page.get_by_role("link", name="n", exact=True).count() == 1
