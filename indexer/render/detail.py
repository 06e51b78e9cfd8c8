"""How much the pages and the API say, so that the site stays within its size.

A host takes a site of a certain size, 1 GB on GitHub Pages, of which the index that clients
read has to have its part first. Which level a channel gets follows from what it holds, and from
the level that it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["full", "lean", "api", "none"]


@dataclass(frozen=True, slots=True)
class Detail:
    """What there is of a package name.

    ``builds`` are listed on its page and ``feed`` in its feed; of the newest ``records`` the API
    has the whole record. ``lists`` are those of all names: to search in, to browse, of the API.
    """

    level: Level
    pages: bool = True
    api: bool = True
    lists: bool = True
    builds: int = 20
    feed: int = 10
    records: int = 20


FULL = Detail("full")
# The most by which 600,000 builds of 30,000 names, 20 each, stay within 1 GB: 0.94 (bench/site.py).
LEAN = Detail("lean", builds=5, feed=5, records=5)
API_ONLY = Detail("api", pages=False, records=5)
NONE = Detail("none", pages=False, api=False, lists=False, builds=0, feed=0, records=0)
LEVELS = (FULL, LEAN, API_ONLY, NONE)


def detail_of(level: str) -> Detail:
    """The detail of a level, as a snapshot names it; of a name that nobody knows, none."""
    return next((detail for detail in LEVELS if detail.level == level), NONE)
