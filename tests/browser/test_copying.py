"""A command is copied as it stands; whoever has no JavaScript isn't offered what doesn't work."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.channel import SITE_URL
from tests.browser.conftest import Visits
from tests.browser.visitor import Eyes, Visitor


@pytest.mark.parametrize("path", ["", "packages/numpy/", "packages/hostile/", "api/"])
def test_each_copy_button_copies_the_command_beside_it(visitor: Visitor, path: str) -> None:
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.go(path)
    commands = page.locator("pre > code").all_inner_texts()
    assert commands
    buttons = page.locator("button.copy")
    assert buttons.count() == len(commands)

    for number, command in enumerate(commands):
        visitor.evaluate("navigator.clipboard.writeText('nothing yet')")
        button = buttons.nth(number)
        # Each says what it copies: they can be told apart in a list of them.
        first = command.splitlines()[0]
        expect(button).to_have_accessible_name(f"Copy: {first}")
        button.click()
        expect(button).to_have_accessible_name(f"Copied: {first}")
        expect(page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)
        assert visitor.evaluate("navigator.clipboard.readText()") == command


def test_the_copied_command_installs_this_package_from_this_channel(visitor: Visitor) -> None:
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.go("packages/numpy/")
    page.get_by_role("button", name="Copy").first.press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_have_count(1)

    copied = visitor.evaluate("navigator.clipboard.readText()")

    assert SITE_URL.rstrip("/") in copied
    assert "numpy" in copied.split()


def test_a_clipboard_that_is_refused_is_told_of(visitor: Visitor) -> None:
    page = visitor.go("packages/numpy/")
    visitor.evaluate(
        "{ navigator.clipboard.writeText = () => Promise.reject(new DOMException('no')); 0 }"
    )
    page.locator("button.copy").first.click()
    expect(page.locator("button.copy").first).not_to_have_text("Copied")
    expect(page.locator("button.copy").first).not_to_have_text("Copy")


def test_without_javascript_there_is_no_button_that_does_nothing(visit: Visits) -> None:
    page = visit(Eyes(javascript=False)).go("packages/numpy/")
    assert page.locator("pre > code").count() > 0
    assert page.locator("button.copy").count() == 0
