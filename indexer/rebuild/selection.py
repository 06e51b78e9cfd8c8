"""Which repositories of a subdir a run reads, and which of their tags it looks at again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from indexer.registry.github import Stamp


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read of one subdir.

    ``due`` are tags to look at again, by repository. ``indexed`` are repositories with
    something in the previous index: if one of them can't be listed, the reading is
    incomplete, unless ``allow_drop``. ``named``: a person named the packages, so all their
    tags are looked at again, and they needn't all be in this subdir. ``stamps`` are what a
    change feed says of repositories: what is unchanged by that isn't listed. ``first`` are
    repositories that are listed and looked at again all the same; ``unlisted`` are those of them
    that no source named, and that therefore needn't be there.
    """

    subdir: str
    repositories: Collection[str]
    due: Mapping[str, Collection[str]] = field(default_factory=dict)
    indexed: Collection[str] = ()
    allow_drop: bool = False
    named: bool = False
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    first: Collection[str] = ()
    unlisted: Collection[str] = ()

    def looks_again(self, repository: str, tag: str) -> bool:
        """Whether a tag is looked at that was found good before."""
        return self.named or repository in self.first or tag in self.due.get(repository, ())
