"""Somebody who looks at a site with a real browser, and notes all that goes wrong meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    WebError,
    expect,
)

from tests.browser.static_host import Host

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

_TELL_OF_CSP = """
addEventListener("securitypolicyviolation", event =>
  tellOfCsp(`${event.violatedDirective} forbids ${event.blockedURI} in ${document.URL}`))
"""
# Of a page that was left before everything in it was there.
_LEFT = "net::ERR_ABORTED"


@dataclass(frozen=True, slots=True)
class Eyes:
    """How somebody looks at pages; the sizes are in CSS pixels."""

    javascript: bool = True
    scheme: Scheme = "light"
    width: int = 1280
    height: int = 800


@dataclass
class Visitor:
    """A browser's window on one site. ``troubles``: errors, refusals, requests of other places."""

    host: Host
    eyes: Eyes
    context: BrowserContext
    page: Page
    troubles: list[str] = field(default_factory=list)
    _missing: set[str] = field(default_factory=set)
    _is_open: bool = True

    @classmethod
    def enter(cls, browser: Browser, host: Host, eyes: Eyes) -> Visitor:
        """A new window, with nothing in its memory, that shows nothing yet."""
        context = browser.new_context(
            viewport={"width": eyes.width, "height": eyes.height},
            color_scheme=eyes.scheme,
            java_script_enabled=eyes.javascript,
        )
        visitor = cls(host, eyes, context, context.new_page())
        context.expose_binding("tellOfCsp", lambda _, text: visitor.troubles.append(text))
        context.add_init_script(_TELL_OF_CSP)
        context.on("console", visitor._on_console)
        context.on("weberror", visitor._on_error)
        context.on("dialog", visitor._on_dialog)
        context.on("request", visitor._on_request)
        context.on("requestfailed", visitor._on_failure)
        context.on("response", visitor._on_response)
        return visitor

    def go(self, path: str = "", status: int = 200) -> Page:
        """Open a page of the site by its path below the prefix; wait until all of it is there."""
        url = self.host.url + path
        if status == 404:
            self._missing.add(url)
        answer = self.page.goto(url)
        assert answer is not None
        assert answer.status == status, f"{path} answers {answer.status}"
        if self.eyes.javascript and path.startswith("search/"):
            expect(self.page.locator("#search-status")).not_to_contain_text("Loading")
        return self.page

    def path(self) -> str:
        """The path, with its query, of the page that is shown, below the prefix."""
        assert self.page.url.startswith(self.host.url)
        return self.page.url.removeprefix(self.host.url)

    def evaluate(self, script: str) -> Any:
        """What a script's expression comes to in the page that is shown."""
        return self.page.evaluate(script)

    def leave(self) -> None:
        """Close the window. Fails where anything went wrong in it."""
        if not self._is_open:
            return
        self._is_open = False
        attacked = self.eyes.javascript and self.evaluate("window.attacked")
        self.context.close()
        assert not attacked, f"text from a package was run as a script: {attacked}"
        assert not self.troubles, "\n".join(self.troubles)

    def _on_console(self, message: ConsoleMessage) -> None:
        at = str(message.location.get("url", ""))
        # Browsers ask every host for this by themselves, where a page names no icon.
        of_page = at not in self._missing and urlsplit(at).path != "/favicon.ico"
        if message.type in {"error", "warning"} and of_page:
            self.troubles.append(f"console: {message.text} ({at})")

    def _on_error(self, error: WebError) -> None:
        self.troubles.append(f"an error in a script: {error.error}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(self.host.url):
            self.troubles.append(f"asks for {request.url}, out of the site")

    def _on_failure(self, request: Request) -> None:
        if request.failure != _LEFT:
            self.troubles.append(f"{request.url} can't be had: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.url not in self._missing:
            self.troubles.append(f"{urlsplit(response.url).path} answers {response.status}")
