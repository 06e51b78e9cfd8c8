"""The kinds of generated channels, by the words that a process is told them with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from bench.generated import Generated
from bench.likely import Likely

Shape = Literal["plain", "even", "skewed"]
SHAPES: dict[str, Callable[[int, int], Generated]] = {
    "plain": Generated,
    "even": partial(Likely, even=True),
    "skewed": Likely,
}
