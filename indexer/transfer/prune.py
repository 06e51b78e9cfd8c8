"""``prune``: taking out of a staging registry what nobody let in, or what was rejected.

Everything is looked at before anything is planned, and what is planned is looked at again right
before it goes: whoever marks or pushes meanwhile loses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby

from indexer.channel import codec
from indexer.channel.selection import unmatched, wanted
from indexer.errors import ConfigError, ContentError, NotFoundError
from indexer.registry import Registry
from indexer.registry.address import is_tag
from indexer.registry.content import Digest
from indexer.registry.names import Listing
from indexer.registry.removal import Remover
from indexer.transfer.audit import AuditLog
from indexer.transfer.doomed import Limits, Look, Plan, Planner, Removal, Spared
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Outcome
from indexer.transfer.standing import Inspector
from indexer.transfer.surveying import FirstSeen, Reach, Surveyor, reach
from indexer.trust.storage import parse_tag

# After so many removals from one repository its tags are listed again.
_BATCH = 50
# Seconds.
_FRESH_FOR = 10
# Known tags that are neither packages' nor verdicts' are looked at again before each removal;
# where there are more of them than these, that would be more requests than it is worth.
_MAX_AGAIN = 20
# Of verdicts that stay without their archives, for people.
_KEPT: dict[Spared, str] = {
    "no": "Verdicts that say no, and stay without their packages: {count}. No published site "
    "remembers them, and without them an earlier yes would count again. Run rebuild, and name "
    "its site by --previous.",
    "lost": "Verdicts that can't be read, and stay without their packages: {count}.",
    "young": "Verdicts that stay without their packages, since they aren't older than the larger "
    "of the limits: {count}. They go in a later run.",
}


@dataclass(slots=True)
class _Listing:
    """A repository's tags, asked for when somebody first wants to know; from any thread."""

    registry: Registry
    full_name: str
    _tags: frozenset[str] | None = None
    _asked_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tags(self) -> frozenset[str]:
        """All that can be tags; none where the repository is gone. Raises RegistryError."""
        with self._lock:
            if self._tags is None or time.monotonic() - self._asked_at > _FRESH_FOR:
                self._asked_at = time.monotonic()
                try:
                    self._tags = frozenset(filter(is_tag, self.registry.tags(self.full_name)))
                except NotFoundError:
                    self._tags = frozenset()
            return self._tags


@dataclass(slots=True)
class Prune:
    """Looks at a channel (or what of it the job names), plans, and carries the plan out.

    ``first_seen`` is what a published site remembers. What is of interest stays in ``outcome``,
    what was taken out in ``removed``.
    """

    job: Job
    inspector: Inspector
    remover: Remover
    limits: Limits
    first_seen: FirstSeen = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    removed: list[Removal] = field(default_factory=list)
    # A listing may go on showing for a while what was taken out.
    _gone: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Raise ConfigError where the policy lets everything in."""
        if self.inspector.policy.name == "none":
            raise ConfigError(
                "The policy is none: everything is let in, and nothing would ever be unmarked. "
                "Say by --policy who lets in what is to stay."
            )

    def plan(self, listing: Listing) -> Plan:
        """What is to go of the repositories that are listed.

        Raises RegistryError where anything can't be looked at.
        """
        planner = Planner(self.limits, self.inspector.now)
        surveyor = Surveyor(self.job, self.inspector, self.first_seen)
        surveys = surveyor.survey(self._wanted(listing), planner.needs_others)
        packages: list[Removal] = []
        verdicts: list[Removal] = []
        for survey in surveys:
            going, judged = planner.plan(survey)
            packages += going
            verdicts += judged
        for note in planner.notes:
            self.outcome.note(note)
        for why, text in _KEPT.items():
            if count := planner.kept[why]:
                self.outcome.note(text.format(count=count))
        looked_at = sum(len(survey.packages) for survey in surveys)
        return Plan(tuple(packages), tuple(verdicts), looked_at)

    def carry_out(self, plan: Plan, log: AuditLog) -> None:
        """Take out what was planned, as far as it is still what was judged; verdicts last.

        What can't be taken out becomes a failure in the outcome. Raises LoginError where nobody
        is let in, UnansweredError where nobody answers any more.
        """
        crew = Crew(self.outcome, self.job.jobs, self.job.abort)
        self.job.progress.begin("Removing", len(plan.packages) + len(plan.verdicts))
        for removals in (plan.packages, plan.verdicts):
            for _ in crew.each(
                self._listed(removals),
                lambda item: self._take_out(*item, log),
                lambda item: item[0].references,
            ):
                self.job.progress.step()
        self.job.progress.end()

    def _wanted(self, listing: Listing) -> list[tuple[str, str]]:
        """The repositories that are meant, by subdir and name."""
        named = {
            (subdir, name): codec.possible_names(name)
            for subdir, names in listing.repositories.items()
            for name in names
        }
        globs = self.job.globs
        known = {spelt for names in named.values() for spelt in names}
        for glob in unmatched(globs, known):
            self.outcome.note(f"--package {glob}: the registry has no such package")
        return [key for key, names in named.items() if any(wanted(name, globs) for name in names)]

    def _listed(self, removals: Iterable[Removal]) -> Iterator[tuple[Removal, _Listing]]:
        """Each with its repository's tags, which are listed right before the first removal there.

        A listing for each would cost as much as all the tags there, each time; and one for a
        great many would be old at the end.
        """
        for full_name, group in groupby(removals, lambda removal: removal.survey.full_name):
            for number, removal in enumerate(group):
                if number % _BATCH == 0:
                    listing = _Listing(self.inspector.registry, full_name)
                yield removal, listing

    def _take_out(self, removal: Removal, listing: _Listing, log: AuditLog) -> None:
        """Take one manifest out, unless what has happened meanwhile speaks for its staying."""
        full_name = removal.survey.full_name
        tags = listing.tags()
        changed = self._changed(removal, tags)
        # The listing may be older than what became of these: each is asked for, last of all.
        now = {look.tag: self._root(full_name, look.tag) for look in removal.looks}
        if not any(now.values()):
            # Somebody else was faster.
            return
        if changed := changed or self._moved(removal, now):
            self.outcome.note(f"{', '.join(removal.references)} stays: {changed}")
            return
        with self._told(removal, log):
            self.remover.remove(full_name, removal.digest)
        self._gone.update((full_name, look.tag) for look in removal.looks)
        self.removed.append(removal)

    def _told(self, removal: Removal, log: AuditLog) -> ExitStack:
        """A line for each tag; one that can't be written keeps everything where it is."""
        survey, since = removal.survey, removal.since
        age = f", {since}" if since is not None else ""
        with ExitStack() as stack:
            for look, reference in zip(removal.looks, removal.references, strict=True):
                stack.enter_context(
                    log.doing(
                        "pruned",
                        registry=str(self.inspector.registry.address),
                        channel=self.job.channel,
                        subdir=survey.subdir,
                        repository=survey.repository,
                        tag=look.tag,
                        digest=str(removal.digest),
                        reference=reference,
                        reason=removal.reason + age,
                    )
                )
            return stack.pop_all()

    def _moved(self, removal: Removal, now: Mapping[str, Digest | None]) -> str:
        """Which of its own tags leads elsewhere by now, as far as they are there; else empty."""
        for tag, root in now.items():
            if root not in {None, removal.digest}:
                return f"{tag} leads to {root} by now"
        return ""

    def _changed(self, removal: Removal, tags: Iterable[str]) -> str:
        """What has happened to other tags since, and speaks for its staying; else empty."""
        full_name = removal.survey.full_name
        known = {look.tag: look for look in removal.survey.looks}
        mine = {look.tag for look in removal.looks}
        for tag in tags:
            if tag in mine:
                continue
            if tag not in known:
                if reason := self._new(removal, tag):
                    return reason
            elif (
                not removal.builds
                and (full_name, tag) not in self._gone
                and known[tag].archives & removal.archives
            ):
                return f"{tag} is still there, which it is a verdict on"
        return self._came_over(removal)

    def _came_over(self, removal: Removal) -> str:
        """Which known tag has moved to where it needs what is to go; else empty.

        Only those that people move, such as latest, and only where they are few. A package's tag
        that has moved is seen by nobody here: there may be thousands, each a request for each
        removal. A verdict's tag names what it leads to.
        """
        known = [look for look in removal.survey.others if parse_tag(look.tag) is None]
        if len(known) > _MAX_AGAIN:
            return ""
        for look in known:
            if reason := self._needed_by(removal, look.tag, look):
                return reason
        return ""

    def _new(self, removal: Removal, tag: str) -> str:
        """Why a tag that has come meanwhile speaks for something's staying; else empty."""
        verdict = parse_tag(tag)
        if verdict and verdict.archive in removal.archives:
            return f"the verdict {tag} has come meanwhile"
        return self._needed_by(removal, tag)

    def _needed_by(self, removal: Removal, tag: str, known: Look | None = None) -> str:
        """Why a tag that is new, or leads elsewhere than was ``known``, needs it; else empty."""
        full_name = removal.survey.full_name
        what = "has come meanwhile" if known is None else "has moved meanwhile"
        try:
            if known is not None and self._root(full_name, tag) in {None, known.digest}:
                return ""
            found = self._reach(full_name, tag)
        except ContentError as error:
            return f"{tag} {what}, and where it leads can't be told: {error}"
        if found is None:
            return ""
        if removal.digest in found.digests or (
            not removal.builds and found.archives & removal.archives
        ):
            return f"{tag} {what}, and needs it"
        return ""

    def _root(self, full_name: str, tag: str) -> Digest | None:
        """The manifest that a tag leads to now; None where it is gone."""
        try:
            return self.inspector.registry.manifest(full_name, tag).digest
        except NotFoundError:
            return None

    def _reach(self, full_name: str, tag: str) -> Reach | None:
        """Where a tag leads now; None where it is gone."""
        registry = self.inspector.registry
        try:
            return reach(registry, full_name, registry.manifest(full_name, tag))
        except NotFoundError:
            return None
