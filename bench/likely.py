"""Channels that are like real ones to look at: names and summaries of words, records of real size.

By arithmetic, as in bench/generated.py. The words are those of Python's own documentation, which
is English and everywhere; what is drawn from it compresses a little worse than real summaries.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Any

from bench.generated import Generated

_SUMMARY = 60
_PREFIXES = ("", "r-", "py", "lib", "go-")
_WORDS = 200
# No factor of the number of pairs of words: so each has its turn before one comes again.
_STEP = 7919


@dataclass
class Likely(Generated):
    """``even``: all names have the same number of builds; otherwise a few have thousands."""

    even: bool = False

    def __post_init__(self) -> None:
        if self.names > len(_PREFIXES) * _WORDS**2:
            raise ValueError(f"There are no {self.names:,} names")
        super().__post_init__()
        if self.even:
            each, more = divmod(self.records, self.names)
            self.builds = [each + (number < more) for number in range(self.names)]

    def name(self, number: int) -> str:
        index, prefix = divmod(number, len(_PREFIXES))
        one, other = divmod(index * _STEP % _WORDS**2, _WORDS)
        return f"{_PREFIXES[prefix]}{_distinct()[one]}-{_distinct()[other]}"

    def _annotations(self, number: int) -> dict[str, str]:
        name = self.name(number)
        start = "org.opencontainers.image"
        return super()._annotations(number) | {
            f"{start}.description": _summary(number),
            f"{start}.url": f"https://github.com/{name}/{name}",
            f"{start}.source": f"https://github.com/{name}/{name}",
            f"{start}.documentation": f"https://{name}.readthedocs.io",
        }

    def _index(self, number: int, build: int) -> dict[str, Any]:
        index = super()._index(number, build)
        needed = sorted({self._needed(number, step) for step in range(4)} - {number})
        depends = [f"{self.name(one)} >={1 + one % 4}.{one % 9}" for one in needed]
        for key in ("arch", "constrains", "license_family", "platform"):
            del index[key]
        return index | {"depends": ["__glibc >=2.17,<3.0.a0", *depends]}

    def _needed(self, number: int, step: int) -> int:
        # A few are what nearly everything depends on, most are what nothing does.
        return int(self.names * (_noise(b"%d needs %d" % (number, step)) / 2**64) ** 4)


@functools.cache
def _text() -> list[str]:
    return re.findall(r"\b[a-z]{3,12}\b", " ".join(topics[key] for key in sorted(topics)))


@functools.cache
def _distinct() -> list[str]:
    return list(dict.fromkeys(word for word in _text() if 4 <= len(word) <= 9))[:_WORDS]


@functools.lru_cache(maxsize=1)
def _summary(number: int) -> str:
    """About as long as real ones, of words that are as frequent as in a text."""
    words: list[str] = []
    while sum(map(len, words)) + len(words) < _SUMMARY:
        noise = _noise(b"%d %d" % (number, len(words)))
        words.append(_text()[noise % len(_text())])
    return " ".join(words).capitalize()


def _noise(seed: bytes) -> int:
    return int.from_bytes(hashlib.sha256(seed).digest()[:8])
