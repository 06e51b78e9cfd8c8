"""How what lies in a registry stands: its verdicts, and what a policy makes of each tag.

The same reading as the main job's, without its state: for commands that look at single builds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from indexer.channel import codec
from indexer.channel.artifact import Place
from indexer.channel.policy import Policy
from indexer.errors import ContentError
from indexer.fetching import Fetcher, Outcome
from indexer.registry import Registry
from indexer.registry.address import is_tag
from indexer.registry.content import Digest
from indexer.trust.judging import Held, Verdicts, deciding
from indexer.trust.keys import Keyring
from indexer.trust.reading import LostVerdictError, read_verdict
from indexer.trust.storage import OddVerdictError, VerdictTag, parse_tag


@dataclass(frozen=True, slots=True)
class Void:
    """A verdict that counts for nothing, and why; ``lost``: nobody can tell what it said."""

    tag: str
    reason: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Shelf:
    """One repository: the tags that may be packages, and the verdicts beside them.

    ``full_name`` is its name in the registry. ``held`` are the verdicts that count, remembered
    rejections among them; ``unread`` those that were not asked for. ``others`` are the tags that
    can't be packages', those of verdicts among them.
    """

    subdir: str
    repository: str
    full_name: str
    tags: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()
    void: tuple[Void, ...] = ()
    unread: tuple[VerdictTag, ...] = ()
    others: tuple[str, ...] = ()
    _judging: dict[datetime, Verdicts] = field(default_factory=dict, compare=False, repr=False)

    def verdicts(self, now: datetime) -> Verdicts:
        """Those that count, to judge all of its tags by: put in order once for each time."""
        if now not in self._judging:
            self._judging[now] = Verdicts(self.held, now)
        return self._judging[now]

    def lacking(self, there: Collection[str], now: datetime) -> list[Held]:
        """The verdicts that can decide at ``now`` and whose tags aren't among those ``there``."""
        return [item for item in deciding(self.held, now, there) if item.tag not in there]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspector:
    """Looks at repositories and tags of a channel by a policy and the keys that are trusted.

    ``rejections`` are those that a published site remembers.
    """

    registry: Registry
    channel: str
    policy: Policy
    keyring: Keyring
    now: datetime
    rejections: Sequence[Held] = ()

    def full_name(self, subdir: str, repository: str) -> str:
        """A repository's name in the registry."""
        return self.registry.address.repository(self.channel, subdir, repository)

    def shelf(
        self, subdir: str, repository: str, archives: Collection[Digest] | None = None
    ) -> Shelf:
        """A repository's tags, and its verdicts where there are keys to check them with.

        With ``archives``, those on these alone: a repository may have thousands of others.
        Raises NotFoundError where it isn't there, RegistryError where it can't be read.
        """
        full_name = self.full_name(subdir, repository)
        tags = sorted(self.registry.tags(full_name))
        held = [
            item
            for item in self.rejections
            if item.verdict.subdir == subdir
            and codec.repository_name(item.verdict.name) == repository
        ]
        void, unread = [], []
        for tag in filter(None, map(parse_tag, tags)):
            if not self.keyring.keys or (archives is not None and tag.archive not in archives):
                unread.append(tag)
                continue
            try:
                held.append(
                    read_verdict(self.registry, full_name, subdir, repository, tag, self.keyring)
                )
            except ContentError as error:
                void.append(
                    Void(
                        str(tag), str(error), isinstance(error, LostVerdictError | OddVerdictError)
                    )
                )
        # What can't be a tag can't be asked for, and leads nowhere.
        usable = [tag for tag in tags if is_tag(tag)]
        packages = tuple(tag for tag in usable if codec.is_package_tag(tag))
        return Shelf(
            subdir,
            repository,
            full_name,
            packages,
            held=tuple(held),
            void=tuple(void),
            unread=tuple(unread),
            others=tuple(tag for tag in usable if not codec.is_package_tag(tag)),
        )

    def look(self, shelf: Shelf, tag: str) -> Outcome:
        """What a tag leads to, and what the indexer would make of it."""
        fetcher = Fetcher(self.registry, self.channel, self.policy, int(self.now.timestamp()))
        place = Place(shelf.subdir, shelf.repository, tag)
        return fetcher.fetch(place, (), shelf.verdicts(self.now))
