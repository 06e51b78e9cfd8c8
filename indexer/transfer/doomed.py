"""What ``prune`` takes out of a repository, and what stays. Pure: values in, a plan out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Literal

from indexer.channel.artifact import archive_layers
from indexer.channel.manifest import CREATED
from indexer.channel.times import read_rfc3339
from indexer.errors import GuardError
from indexer.registry.content import Digest, ImageManifest
from indexer.render.history import rfc3339
from indexer.trust.storage import VerdictTag, parse_tag
from indexer.trust.verdict import Verdict

_IMAGE_CREATED = "org.opencontainers.image.created"
_PEERS_TIME = re.compile(r"[0-9]{4}\.[0-9]{2}\.[0-9]{2}\.[0-9]{6}")

# What may be said of an archive that isn't let in.
Left = Literal["unmarked", "rejected"]
# Why a verdict stays without its archive: it says no, and no site remembers that; it can't be read;
# no key is trusted to read it; or it isn't old enough.
Spared = Literal["no", "lost", "unread", "young"]


@dataclass(frozen=True, slots=True)
class Limits:
    """After how long what nobody let in goes; None: never."""

    unmarked: timedelta | None = None
    rejected: timedelta | None = None

    def of(self, left: Iterable[Left]) -> timedelta | None:
        """How long a build stays whose archives are left for these reasons: as the last of them."""
        limits = [self.unmarked if item == "unmarked" else self.rejected for item in left]
        known = [limit for limit in limits if limit is not None]
        return max(known) if known and len(known) == len(limits) else None

    @property
    def longest(self) -> timedelta | None:
        """The larger of those that were given; None where none was."""
        known = [limit for limit in (self.unmarked, self.rejected) if limit is not None]
        return max(known, default=None)


@dataclass(frozen=True, slots=True)
class Since:
    """From when on a build's age counts, and who says so: its upload, or the published site."""

    time: datetime
    said: Literal["uploaded", "first seen"]

    def __str__(self) -> str:
        return f"{self.said} {rfc3339(self.time)}"


@dataclass(frozen=True, slots=True)
class Look:
    """A tag: the manifest it leads to, and what is known of that.

    ``reaches`` are the digests of all manifests it leads to, through image indexes, too; None
    where that can't be read. ``left`` says why its archives aren't let in; empty where it stays
    whatever its age. ``why`` is for people, and so is ``trouble``: what couldn't be read.
    """

    tag: str
    digest: Digest | None
    reaches: frozenset[Digest] | None
    archives: frozenset[Digest] = frozenset()
    left: frozenset[Left] = frozenset()
    why: str = ""
    since: Since | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """One repository: what its package tags lead to, and its other tags.

    ``spared`` are tags of verdicts that mustn't go, whatever becomes of their archive, and why;
    ``verdicts`` those that count, by tag.
    """

    subdir: str
    repository: str
    full_name: str
    packages: tuple[Look, ...]
    others: tuple[Look, ...] = ()
    spared: Mapping[str, Spared] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.subdir}/{self.repository}"

    @property
    def looks(self) -> tuple[Look, ...]:
        """All tags."""
        return (*self.packages, *self.others)


@dataclass(frozen=True, slots=True)
class Removal:
    """A manifest that is to go, with all the tags that lead to it.

    ``builds`` counts those that are packages' tags: none for verdicts.
    """

    survey: Survey
    digest: Digest
    looks: tuple[Look, ...]
    builds: int

    @property
    def references(self) -> list[str]:
        """What people, and ``--restore``, call it: one for each tag."""
        return [f"{self.survey.name}:{look.tag}@{self.digest}" for look in self.looks]

    @property
    def archives(self) -> frozenset[Digest]:
        """The archives that it holds, or that it is a verdict on."""
        tags = (parse_tag(look.tag) for look in self.looks)
        judged = (tag.archive for tag in tags if tag is not None)
        return frozenset(judged).union(*(look.archives for look in self.looks))

    @property
    def since(self) -> Since | None:
        """From when on its age counts; None for a verdict."""
        dated = [look.since for look in self.looks if look.since is not None]
        return max(dated, key=lambda since: since.time, default=None)

    @property
    def reason(self) -> str:
        """Why it goes, for people."""
        if not self.builds:
            return "a verdict whose package is gone"
        left = sorted(set[Left]().union(*(look.left for look in self.looks)))
        whys = "; ".join(dict.fromkeys(look.why for look in self.looks if look.why))
        if left == ["rejected"]:
            return whys or left[0]
        return " and ".join(left) + (f": {whys}" if whys else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to go, verdicts after packages; ``looked_at`` counts the packages' tags."""

    packages: tuple[Removal, ...]
    verdicts: tuple[Removal, ...]
    looked_at: int

    @property
    def builds(self) -> int:
        """How many packages' tags go."""
        return sum(removal.builds for removal in self.packages)

    def count(self, left: Left) -> int:
        """How many of them are left for this reason; a build may be so for both."""
        return sum(left in look.left for removal in self.packages for look in removal.looks)

    def raise_if_unsafe(self, max_prune: float) -> None:
        """Raise GuardError, with the arithmetic, where more than this share of one would go."""
        # 0.29 is no exact number, 29 % is.
        allowed = Fraction(max_prune).limit_denominator(1_000_000)
        if self.builds > allowed * self.looked_at:
            raise GuardError(
                f"Refused to prune: {self.builds} of {self.looked_at} builds would go, "
                f"{self.builds / self.looked_at:.1%}, more than {max_prune:.1%}. If this is meant, "
                "raise --max-prune; if not, look at whoever validates, and at --policy and --trust."
            )


@dataclass(slots=True)
class Planner:
    """Plans repository by repository; ``notes`` are what somebody should know of what stays.

    ``kept`` counts the verdicts that stay without their archive, but for those that nobody read.
    """

    limits: Limits
    now: datetime
    notes: list[str] = field(default_factory=list)
    kept: Counter[Spared] = field(default_factory=Counter)

    def needs_others(self, survey: Survey, tags: Iterable[str]) -> bool:
        """Whether anything may go, so that where the other ``tags`` lead has to be known."""
        due = {look.tag for look in survey.packages if self._is_due(look)}
        stays = _archives(look for look in survey.packages if look.tag not in due)
        return bool(due) or any(
            tag.archive not in stays and survey.spared.get(str(tag)) != "unread"
            for tag in _verdicts(tags)
        )

    def plan(self, survey: Survey) -> tuple[list[Removal], list[Removal]]:
        """The packages that go, and the verdicts."""
        self._note_undecided(survey)
        due = {look.tag for look in survey.packages if self._is_due(look)}
        verdicts = set(self._orphans(survey, due))
        if not due and not verdicts:
            return [], []
        unread = next((look for look in survey.looks if look.reaches is None), None)
        if unread is not None:
            self.notes.append(
                f"{survey.name} stays as it is, since where its tag {unread.tag} leads can't be "
                f"told: {unread.trouble}"
            )
            return [], []
        removals = list(self._removals(survey, due | verdicts))
        return [r for r in removals if r.builds], [r for r in removals if not r.builds]

    def _orphans(self, survey: Survey, due: set[str]) -> Iterator[str]:
        """Tags of verdicts that go, as none but what is ``due`` holds their archive."""
        stays = _archives(look for look in survey.looks if look.tag not in due)
        leaves = _archives(look for look in survey.packages if look.tag in due)
        for tag in _verdicts(look.tag for look in survey.others):
            if tag.archive in stays:
                continue
            why = survey.spared.get(str(tag))
            verdict = survey.verdicts.get(str(tag))
            if why is None and self._is_young(verdict, leaves=tag.archive in leaves):
                why = "young"
            if why is None:
                yield str(tag)
            else:
                self.kept[why] += 1

    def _is_young(self, verdict: Verdict | None, *, leaves: bool) -> bool:
        """Whether a verdict is to wait, by its own date; ``leaves``: for what goes in this plan.

        Whoever may push can move a tag, and leave what the validator said without its archive;
        there has to be time to notice, and to move it back.
        """
        if verdict is None or (leaves and not verdict.passed):
            # It counts for nothing, or the published site remembers what it says.
            return False
        longest = self.limits.longest
        return longest is None or self.now - verdict.time <= longest

    def _removals(self, survey: Survey, going: set[str]) -> Iterator[Removal]:
        digests = dict.fromkeys(look.digest for look in survey.looks if look.tag in going)
        for digest in digests:
            if digest is None:
                continue
            holders = [look for look in survey.looks if digest in (look.reaches or ())]
            stays = [look.tag for look in holders if look.tag not in going]
            looks = tuple(look for look in holders if look.digest == digest)
            if stays:
                self.notes += [
                    f"{survey.name}:{look.tag} stays: the tag {stays[0]} leads to {digest}, too"
                    for look in looks
                    if look.tag in going
                ]
                continue
            builds = sum(look in survey.packages for look in looks)
            yield Removal(survey, digest, looks, builds)

    def _is_due(self, look: Look) -> bool:
        limit = self.limits.of(look.left)
        return limit is not None and look.since is not None and self.now - look.since.time > limit

    def _note_undecided(self, survey: Survey) -> None:
        for look in survey.packages:
            if look.trouble and look.reaches is not None:
                self.notes.append(f"{survey.name}:{look.tag} stays: {look.trouble}")
            if look.since is None and self.limits.of(look.left) is not None:
                self.notes.append(
                    f"{survey.name}:{look.tag} stays: nothing says when it was uploaded. The "
                    "indexer remembers when it first saw it: run rebuild, and name its site by "
                    "--previous."
                )


def since(
    manifests: Sequence[ImageManifest], first_seen: int | None, now: datetime
) -> Since | None:
    """From when on the age of these manifests' archives counts; None where nobody says.

    The upload by what the manifests say of themselves, else when the indexer first saw the tag
    (seconds since 1970). A time in the future is none.
    """
    seen = _past(datetime.fromtimestamp(first_seen, UTC), now) if first_seen is not None else None
    uploaded, newest = _uploaded(manifests, now)
    if uploaded is not None:
        return Since(uploaded, "uploaded")
    if seen is None:
        return None
    return Since(max(seen, newest) if newest is not None else seen, "first seen")


def _uploaded(
    manifests: Sequence[ImageManifest], now: datetime
) -> tuple[datetime | None, datetime | None]:
    """When all of the manifests' archives were there, by themselves; and the newest time of any.

    The newest upload by the archives' own annotations. Where one of them has no proper time, by
    that of the manifest; None where that has none either.
    """
    layers = [layer for manifest in manifests for layer in archive_layers(manifest)]
    said = [_past(_peers_time(layer.annotations.get(CREATED)), now) for layer in layers]
    known = [time for time in said if time is not None]
    newest = max(known, default=None)
    if known and len(known) == len(said):
        return newest, newest
    # What says nothing of itself may have joined the others just now.
    made = [_past(read_rfc3339(m.annotations.get(_IMAGE_CREATED, "")), now) for m in manifests]
    dated = [time for time in made if time is not None]
    if dated and len(dated) == len(made):
        return max([*dated, *known]), newest
    return None, newest


def _past(time: datetime | None, now: datetime) -> datetime | None:
    # The beginning of 1970 is what reproducible builds write for no time at all.
    return time if time is not None and 0 < time.timestamp() <= now.timestamp() else None


def _peers_time(text: str | None) -> datetime | None:
    """A time in conda-oci-mirror's spelling, UTC."""
    if text is None or not _PEERS_TIME.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y.%m.%d.%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _archives(looks: Iterable[Look]) -> frozenset[Digest]:
    return frozenset(archive for look in looks for archive in look.archives)


def _verdicts(tags: Iterable[str]) -> Iterator[VerdictTag]:
    return filter(None, map(parse_tag, tags))
