"""What the tests with a real browser need of the machine, and how it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

# Debian's, or what GitHub's machines have.
PROGRAMS = ("chromium", "google-chrome")
MODULES = Path(__file__).parent / "node_modules"
AXE = MODULES / "axe-core" / "axe.min.js"
HTML_VALIDATE = MODULES / ".bin" / "html-validate"


def without_browser() -> str | None:
    """Why no browser can be started on this machine, or None when one can."""
    return None if _program() else _without_program(PROGRAMS[0], PROGRAMS[0])


def without_axe() -> str | None:
    """The same for axe-core, which runs inside the browser."""
    return without_browser() or _without_module(AXE)


def without_html_validate() -> str | None:
    """The same for html-validate, which node runs."""
    return _without_program("node", "nodejs") or _without_module(HTML_VALIDATE)


def _program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def _without_program(program: str, package: str) -> str | None:
    if shutil.which(program) is None:
        return f"the program {program!r} is not installed (Debian: apt-get install {package})"
    return None


def _without_module(path: Path) -> str | None:
    if not path.exists():
        return f"{path.relative_to(MODULES)} is not installed (npm ci in {MODULES.parent})"
    return None


@contextmanager
def started(home: Path) -> Iterator[Browser]:
    """Chromium, without a window. ``home`` is a folder for what it leaves behind."""
    environ: dict[str, str | float | bool] = {**os.environ, "HOME": str(home)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_program(),
            # Its sandbox needs what root in a container doesn't have.
            chromium_sandbox=False,
            # Nothing leaves this machine, whatever a page asks for.
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
            env=environ,
        )
        try:
            yield browser
        finally:
            browser.close()
