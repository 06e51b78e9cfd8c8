"""What a check came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from indexer.errors import printable

_MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: in which file, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class Findings:
    """What a check came to. Beyond a hundred problems they are only counted."""

    problems: list[Problem] = field(default_factory=list)
    uncounted: int = 0
    records: dict[str, int] = field(default_factory=dict)

    def add(self, where: str, what: str) -> None:
        """Note a problem."""
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(printable(where), printable(what)))
        else:
            self.uncounted += 1
