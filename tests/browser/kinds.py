"""Every kind of page that a site has, and how its files are read without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from tests.browser.shelf import LONGEST

MISSING = "packages/no-such-package/"
# By what they are called in tests: their paths below the prefix, in the site of ``channel.fill``.
KINDS = {
    "front": "",
    "package": "packages/numpy/",
    "package-of-enemy": "packages/hostile/",
    "package-of-longest": f"packages/{LONGEST.name}/",
    "search": "search/",
    "search-found": "search/?q=py",
    "search-nothing": "search/?q=nothing-like-it",
    "browse": "browse/",
    "letter": "browse/p/",
    "status": "status/",
    "changes": "changes/",
    "api": "api/",
    "missing": MISSING,
}
# Those of them that a channel without packages has, too.
OF_ANY = {
    kind: path
    for kind, path in KINDS.items()
    if kind not in {"package", "package-of-enemy", "package-of-longest", "letter"}
}

_RUNS_SCRIPTS = re.compile(r"on[a-z]+")
_LINKS = {"a": "href", "link": "href", "script": "src", "img": "src", "form": "action"}


def status_of(path: str) -> int:
    """What a static host answers."""
    return 404 if path == MISSING else 200


@dataclass(frozen=True, slots=True)
class Link:
    """Where an element of a page leads, as it is written there; ``rel`` is that of links."""

    tag: str
    address: str
    rel: str = ""


@dataclass
class Markup(HTMLParser):
    """What an HTML file holds: links, ids, metas by name or http-equiv, and what it may not hold.

    ``handlers`` are attributes that run scripts, ``inline`` are scripts within the page.
    """

    links: list[Link] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    metas: dict[str, str] = field(default_factory=dict)
    handlers: list[str] = field(default_factory=list)
    inline: int = 0

    @classmethod
    def of(cls, file: Path) -> Markup:
        markup = cls()
        HTMLParser.__init__(markup)
        markup.feed(file.read_text(encoding="utf-8"))
        markup.close()
        return markup

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        address = found.get(_LINKS.get(tag, ""))
        if address is not None:
            self.links.append(Link(tag, address, found.get("rel", "")))
        if tag == "script" and address is None:
            self.inline += 1
        if tag == "meta":
            self.metas[found.get("http-equiv") or found.get("name", "")] = found.get("content", "")
        if "id" in found:
            self.ids.add(found["id"])
        self.handlers += [name for name in found if _RUNS_SCRIPTS.fullmatch(name)]


def pages_of(site: Path) -> Iterator[Path]:
    """Every HTML file of a site."""
    yield from sorted(site.rglob("*.html"))
