"""Pictures of every kind of page, for people to look at.

``python -m tests.browser.screenshots DIR``: on a wide screen and on a phone, light and dark. The
same templates give the same pictures.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from tests.browser.channel import Channel, fill
from tests.browser.kinds import KINDS, status_of
from tests.browser.programs import started
from tests.browser.shelf import ENEMIES, KEPT, LONGEST, Kept
from tests.browser.static_host import Host, hosted
from tests.browser.visitor import SCHEMES, Scheme

PAGES = {kind: path for kind, path in KINDS.items() if "-of-" not in kind}
PAGES["package-python"] = "packages/python/"
# Those that somebody means harm with, or that are as long as can be.
ENEMY_PAGES = {
    "enemy-front": "",
    "enemy-package": "packages/hostile/",
    "enemy-longest": f"packages/{LONGEST.name}/",
    "enemy-search": "search/?q=e",
    "enemy-status": "status/",
    "enemy-changes": "changes/",
}
_PLAIN = Image.Dither.NONE
SIZES = {390: 844, 1280: 800}


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the pictures go")
    parser.add_argument("--full", action="store_true", help="each page as far as it goes down")
    parser.add_argument(
        "--page", choices=[*PAGES, *ENEMY_PAGES], action="append", help="only these pages"
    )
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, started(Path(scratch)) as browser:
        camera = Camera(browser, chosen.folder, full=chosen.full)
        for kept, pages in ((KEPT, PAGES), ((*KEPT, *ENEMIES), ENEMY_PAGES)):
            wanted = {name: pages[name] for name in pages if name in (chosen.page or pages)}
            if wanted:
                _take_all(camera, kept, wanted)
    return 0


def _take_all(camera: Camera, kept: Sequence[Kept], pages: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        channel = Channel(Path(scratch))
        fill(channel, kept)
        with hosted(channel.site) as host:
            for width, height in SIZES.items():
                for scheme in SCHEMES:
                    camera.take(host, pages, width, height, scheme)


class Camera:
    """Takes pictures of a site's pages into a folder."""

    def __init__(self, browser: Browser, folder: Path, *, full: bool) -> None:
        self._browser = browser
        self._folder = folder
        self._full = full

    def take(
        self, host: Host, pages: Mapping[str, str], width: int, height: int, scheme: Scheme
    ) -> None:
        """One picture of each page, ``<page>-<width>-<scheme>.png``."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        for name, path in pages.items():
            answer = page.goto(host.url + path, wait_until="networkidle")
            status = answer.status if answer else None
            if status != status_of(path):
                print(f"{name}: {status}", file=sys.stderr)  # noqa: T201  a program's output
            picture = self._folder / f"{name}-{width}-{scheme}.png"
            _save(page.screenshot(full_page=self._full), picture)
        context.close()


def _save(taken: bytes, picture: Path) -> None:
    """As small as it gets, with colours that no eye tells from those that were there."""
    with Image.open(io.BytesIO(taken)) as image:
        few = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=_PLAIN)
    few.save(picture, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
