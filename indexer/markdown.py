"""Markdown that others' texts stand in."""

from __future__ import annotations

import re

_BACKTICKS = re.compile("`+")


def fenced(text: str) -> str:
    """A text of one line as a code span, in which nothing acts (CommonMark 0.31, 6.1).

    The span ends at as many backticks as it began with. One space at each end is not part of it,
    and keeps its own backticks off the fence.
    """
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest or not text.strip() else f"`{text}`"
