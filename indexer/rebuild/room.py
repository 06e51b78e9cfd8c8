"""How much room there is: for the files of all names, told from some of them, and on the whole."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise

from indexer.render.templates import size_text

# Of so many places each: among the names, and among the builds. At 30,000 names and 600,000 builds
# what is told is right to a few percent, for a second (bench/site.py).
_PLACES = 120
# Of the size that a host takes, this share is worth a warning.
_WARN_AT = 0.8


def room_notes(level: str | None, size: int, limit: int) -> list[str]:
    """What is to be said of a site of ``size`` bytes, by the level of detail of its pages."""
    notes = []
    left_out = {
        "lean": "pages and API say less of each package",
        "api": "the pages of single packages are left out",
        "none": "the pages and API files of single packages, and the lists of all, are left out",
    }.get(level or "")
    if left_out:
        notes.append(f"{left_out}, for the sake of --max-site-size {size_text(limit)}")
    if size > limit:
        notes.append(
            f"the site has {size_text(size)}, more than --max-site-size {size_text(limit)}; all "
            "that could still be left out is what --no-pages leaves out"
        )
    elif size > _WARN_AT * limit:
        notes.append(
            f"the site has {size_text(size)}: {size / limit:.0%} of --max-site-size "
            f"{size_text(limit)}"
        )
    return notes


def likely_size(builds: Mapping[str, int], drawn: Callable[[str], int]) -> int:
    """The bytes of the files of all names; ``drawn`` gives those of one.

    ``builds`` are how many each has. Names are put in their order; between two that are drawn the
    others are taken to lie on a line.
    """
    names = sorted(builds, key=lambda name: (builds[name], name))
    places = _places([builds[name] for name in names])
    sizes = [drawn(names[place]) for place in places]
    size = sum(sizes[:1])
    for (one, before), (other, after) in pairwise(zip(places, sizes, strict=True)):
        # All after the one, up to the other.
        steps = other - one
        size += (steps * (before + after) + after - before) // 2
    return size


def _places(builds: Sequence[int]) -> list[int]:
    """Some of the places, the first and the last among them; all where there are few.

    Evenly spread over the names, and over the builds: a few names have most of those.
    """
    if len(builds) <= 2 * _PLACES:
        return list(range(len(builds)))
    last = len(builds) - 1
    sums = list(accumulate(builds))
    by_name = (round(step * last / (_PLACES - 1)) for step in range(_PLACES))
    by_build = (bisect_left(sums, step * sums[-1] / _PLACES) for step in range(1, _PLACES))
    return sorted({*by_name, *by_build})
