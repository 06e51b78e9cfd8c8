"""``prune``: taking out of a staging registry what nobody let in, or what was rejected.

Everything is looked at before anything is planned, and what is planned is looked at again right
before it goes: whoever marks or pushes meanwhile loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from indexer.channel import codec
from indexer.channel.selection import unmatched, wanted
from indexer.errors import ConfigError, ContentError, NotFoundError
from indexer.registry.address import is_tag
from indexer.registry.names import Listing
from indexer.registry.removal import Remover
from indexer.transfer.audit import AuditLog
from indexer.transfer.doomed import Limits, Plan, Planner, Removal
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Outcome
from indexer.transfer.standing import Inspector
from indexer.transfer.surveying import FirstSeen, Reach, Surveyor, reach
from indexer.trust.storage import parse_tag


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
        if planner.kept:
            self.outcome.note(
                f"Verdicts that say no, and stay without their packages: {planner.kept}. No "
                "published site remembers them, and without them an earlier yes would count "
                "again. Run rebuild, and name its site by --previous."
            )
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
                removals,
                lambda removal: self._take_out(removal, log),
                lambda removal: removal.references,
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

    def _take_out(self, removal: Removal, log: AuditLog) -> None:
        """Take one manifest out, unless what has happened meanwhile speaks for its staying."""
        full_name = removal.survey.full_name
        try:
            tags = [tag for tag in self.inspector.registry.tags(full_name) if is_tag(tag)]
        except NotFoundError:
            tags = []
        if changed := self._changed(removal, tags):
            self.outcome.note(f"{', '.join(removal.references)} stays: {changed}")
            return
        if not any(look.tag in tags for look in removal.looks):
            # Somebody else was faster.
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

    def _changed(self, removal: Removal, tags: Iterable[str]) -> str:
        """What has happened since it was planned, and speaks for its staying; else empty."""
        full_name = removal.survey.full_name
        known = {look.tag: look for look in removal.survey.looks}
        mine = {look.tag for look in removal.looks}
        for tag in tags:
            if tag in mine:
                found = self._reach(full_name, tag)
                if found is not None and found.root != removal.digest:
                    return f"{tag} leads to {found.root} by now"
            elif tag not in known:
                if reason := self._needed_by(removal, tag):
                    return reason
            elif (
                not removal.builds
                and (full_name, tag) not in self._gone
                and known[tag].archives & removal.archives
            ):
                return f"{tag} is still there, which it is a verdict on"
        return ""

    def _needed_by(self, removal: Removal, tag: str) -> str:
        """Why a tag that is new speaks for something's staying; else empty."""
        verdict = parse_tag(tag)
        if verdict and verdict.archive in removal.archives and self.inspector.policy.asks_verdict:
            return f"the verdict {tag} has come meanwhile"
        try:
            found = self._reach(removal.survey.full_name, tag)
        except ContentError as error:
            return f"{tag} has come meanwhile, and where it leads can't be told: {error}"
        if found is None:
            return ""
        if removal.digest in found.digests or (
            not removal.builds and found.archives & removal.archives
        ):
            return f"{tag} has come meanwhile, and needs it"
        return ""

    def _reach(self, full_name: str, tag: str) -> Reach | None:
        """Where a tag leads now; None where it is gone."""
        registry = self.inspector.registry
        try:
            return reach(registry, full_name, registry.manifest(full_name, tag))
        except NotFoundError:
            return None
