"""``promote``: what is validated in a staging namespace, copied to the production one."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from indexer.channel import codec, manifest
from indexer.channel.artifact import Place, Status
from indexer.channel.selection import KNOWN_SUBDIRS, unmatched, wanted
from indexer.errors import ContentError, DeniedError, LoginError, NotFoundError
from indexer.fetching import Outcome as Looked
from indexer.registry.content import Digest
from indexer.transfer.audit import AuditLog
from indexer.transfer.copying import Copier
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Failure, Outcome
from indexer.transfer.production import Presence
from indexer.transfer.promoting import Build, LetIn, Promoted, Promoter
from indexer.transfer.references import Reference
from indexer.transfer.refusing import refusal
from indexer.transfer.rejecting import Rejected, pass_on, rejected_of, without
from indexer.transfer.standing import Inspector, Shelf
from indexer.trust.judging import Claim, Held
from indexer.trust.storage import VerdictTag, parse_tag

# Without keys anybody's verdicts go along, of one build at most so many.
_MAX_VERDICTS = 64
_COUNTED: Mapping[Status, str] = {
    "waiting": "wait for validation",
    "rejected": "are rejected",
    "unsound": "can't be indexed",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A tag of a repository that may be promoted; ``named`` by whom, none where it was listed.

    ``there`` are production's tags, where verdicts are to be compared with them; ``lacking`` the
    verdicts in staging that count, and aren't among them.
    """

    shelf: Shelf
    tag: str
    named: tuple[Reference, ...]
    there: frozenset[str]
    lacking: tuple[Held, ...]

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.shelf.subdir, self.shelf.repository, self.tag)

    @property
    def names(self) -> list[str]:
        """What people call it."""
        place = self.place
        return [str(r) for r in self.named] or [f"{place.subdir}/{place.repository}:{place.tag}"]


@dataclass(frozen=True, slots=True)
class _Part:
    """A repository of staging, and which of its tags are meant; without references, all.

    Without a ``subdir`` it is looked for in several.
    """

    subdir: str | None
    repository: str
    named: tuple[Reference, ...] = ()

    @property
    def names(self) -> list[str]:
        """What people call it."""
        return [str(r) for r in self.named] or [f"{self.subdir}/{self.repository}"]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is in a part: tags that are meant, and archives that were rejected."""

    items: tuple[_Wanted, ...]
    rejected: tuple[Rejected, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class _Todo:
    """A build that production lacks, or (``there``) only verdicts on it; and what it is called."""

    build: Build
    state: Presence
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at a tag came to; ``present`` and ``beside`` count archives.

    Those beside are in the same tag as what is let in, and aren't themselves.
    """

    status: Status
    todo: _Todo | None = None
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    present: int = 0
    beside: int = 0


class Promote:
    """Copies what the policy lets in from one namespace to another, under the same channel.

    The registry of the job is the one that is written to; ``source`` looks at the other, by a
    transport of its own. Without ``audit`` nothing is told to a log.
    """

    def __init__(self, job: Job, source: Inspector, audit: AuditLog | None = None) -> None:
        self._job = job
        self._source = source
        self._audit = audit
        self._is_proof = bool(source.keyring.keys)
        self.outcome = Outcome(dry_run=job.dry_run)

    def everything(self, repositories: Mapping[str, Sequence[str]]) -> Outcome:
        """Promote all that is validated of these repositories: last components, by subdir.

        What isn't validated is only counted. What became of it stays in ``outcome``. Raises
        RegistryError where a registry doesn't answer, ConfigError where the log can't be written.
        """
        parts = [
            _Part(subdir, name)
            for subdir, names in repositories.items()
            for name in names
            if any(wanted(spelt, self._job.globs) for spelt in codec.possible_names(name))
        ]
        spellings = [name for part in parts for name in codec.possible_names(part.repository)]
        for glob in unmatched(self._job.globs, spellings):
            self.outcome.note(f"{self._source.registry.address} has no package called {glob}")
        return self._run(parts)

    def named(self, references: Iterable[Reference]) -> Outcome:
        """Promote these builds. One that isn't validated is a failure.

        Those without a subdir are looked for in the job's subdirs, or all that are known. Raises
        as ``everything``.
        """
        parts: dict[tuple[str | None, str], dict[Reference, None]] = {}
        for reference in references:
            parts.setdefault((reference.subdir, reference.repository), {})[reference] = None
        return self._run([_Part(*key, tuple(items)) for key, items in parts.items()])

    def _run(self, parts: Sequence[_Part]) -> Outcome:
        job = self._job
        with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
            copier = Copier(self._source.registry, job.registry, Path(scratch), job.progress)
            promoter = Promoter(
                self._source.registry,
                job.registry,
                job.channel,
                self._source.policy,
                copier,
                self._audit,
            )
            crew = Crew(self.outcome, job.jobs, job.abort)
            rejected: list[Rejected] = []
            todo = self._look(self._wanted(parts, promoter, crew, rejected), promoter, crew)
            builds = [item.build for item in todo]
            pass_on(without(rejected, builds), promoter, crew, job.progress)
            if self.outcome.dry_run:
                self._foresee(todo, promoter, crew)
            else:
                self._promote(todo, promoter, crew)
        return self.outcome

    def _look(self, items: Iterator[_Wanted], promoter: Promoter, crew: Crew) -> list[_Todo]:
        """What there is to do."""
        todo, beside = [], 0
        others: Counter[Status] = Counter()
        for _, seen in crew.each(
            items,
            lambda item: self._see(item, promoter),
            lambda item: item.names,
        ):
            self._take(seen.failures, seen.notes)
            self.outcome.present += seen.present
            beside += seen.beside
            if seen.status != "indexed" and not seen.failures:
                others[seen.status] += 1
            if seen.todo is not None:
                todo.append(seen.todo)
        self._job.progress.end()
        if others:
            counts = ", ".join(f"{others[key]:,} {_COUNTED[key]}" for key in sorted(others))
            self.outcome.note(f"builds in staging that are not promoted: {counts}")
        if beside:
            self.outcome.note(
                f"{beside:,} archives beside validated ones are not let in: they stay"
            )
        return todo

    def _take(self, failures: Iterable[Failure], notes: Iterable[str]) -> None:
        for failure in failures:
            self.outcome.fail(failure)
        for note in notes:
            self.outcome.note(note)

    def _wanted(
        self,
        parts: Sequence[_Part],
        promoter: Promoter,
        crew: Crew,
        rejected: list[Rejected],
    ) -> Iterator[_Wanted]:
        """The tags that are meant; what production has and was ``rejected`` is added to these."""
        self._job.progress.begin("Reading staging", len(parts))
        for _, found in crew.each(
            parts, lambda part: self._find(part, promoter), lambda part: part.names
        ):
            self._job.progress.step()
            self._take(found.failures, ())
            rejected += found.rejected
            yield from found.items

    def _find(self, part: _Part, promoter: Promoter) -> _Found:
        """What is in staging of a part, and what can't be found."""
        subdirs = (part.subdir,) if part.subdir else self._job.subdirs or KNOWN_SUBDIRS
        shelves = {
            subdir: shelf for subdir in subdirs if (shelf := self._shelf(subdir, part, promoter))
        }
        meant: dict[tuple[str, str], list[Reference]] = {}
        failures = []
        for reference in part.named:
            at = [subdir for subdir, shelf in shelves.items() if reference.tag in shelf.tags]
            if len(at) == 1:
                meant.setdefault((at[0], reference.tag), []).append(reference)
            elif at:
                reason = f"it is in {', '.join(at)}: say which, as SUBDIR/{reference}"
                failures.append(Failure(str(reference), reason))
            else:
                where = "" if part.subdir else f"; looked in {', '.join(subdirs)}"
                reason = f"it is not in {self._source.registry.address}{where}"
                failures.append(Failure(str(reference), reason))
        if not part.named:
            meant = {(subdir, tag): [] for subdir, shelf in shelves.items() for tag in shelf.tags}
        there = {subdir: self._there(shelf, promoter) for subdir, shelf in shelves.items()}
        lacking = {
            subdir: tuple(shelf.lacking(there[subdir], self._source.now))
            for subdir, shelf in shelves.items()
        }
        rejected = [
            item
            for subdir in shelves
            for item in rejected_of(
                lacking[subdir],
                None if (subdir, part.repository) in promoter.denied else there[subdir],
            )
            if self._is_meant(part, item)
        ]
        items = [
            _Wanted(shelves[subdir], tag, tuple(named), there[subdir], lacking[subdir])
            for (subdir, tag), named in meant.items()
        ]
        return _Found(tuple(items), tuple(rejected), tuple(failures))

    def _is_meant(self, part: _Part, item: Rejected) -> bool:
        if not part.named:
            return wanted(item.name, self._job.globs)
        names = {one.file_name for one in part.named if one.tag == item.place.tag}
        return not names.isdisjoint({"", item.file_name})

    def _shelf(self, subdir: str, part: _Part, promoter: Promoter) -> Shelf | None:
        try:
            archives = self._archives(subdir, part, promoter)
            return self._source.shelf(subdir, part.repository, archives)
        except LoginError:
            raise
        except NotFoundError:
            return None
        except DeniedError:
            # What isn't there is refused by some; and nobody said that it is.
            if part.subdir is not None:
                raise
            return None

    def _archives(self, subdir: str, part: _Part, promoter: Promoter) -> set[Digest] | None:
        """Those that are named: a repository may have thousands of verdicts on others.

        They are those of either namespace: what production has may be rejected, while staging's
        tag leads elsewhere.
        """
        if not part.named:
            return None
        registry = self._source.registry
        found: set[Digest] = set()
        full_name = self._source.full_name(subdir, part.repository)
        for tag in {reference.tag for reference in part.named}:
            # What isn't there, or can't be read, is told of where it is looked at.
            with suppress(NotFoundError, ContentError):
                layers = manifest.archives(registry.manifest(full_name, tag))
                found.update(layer.digest for layer in layers)
            if self._is_proof:
                found |= promoter.archives(Place(subdir, part.repository, tag))
        return found

    def _there(self, shelf: Shelf, promoter: Promoter) -> frozenset[str]:
        if not shelf.unread and not any(item.tag for item in shelf.held):
            return frozenset()
        return promoter.tags(shelf.subdir, shelf.repository)

    def _see(self, item: _Wanted, promoter: Promoter) -> _Seen:
        """What is to be done about a tag. Raises ContentError where it can't be promoted."""
        looked = self._source.look(item.shelf, item.tag)
        refused = [(name, refusal(name, looked)) for name in item.named]
        failures = tuple(Failure(str(name), reason) for name, reason in refused if reason)
        is_named = not item.named or len(failures) < len(item.named)
        if looked.status != "indexed" or looked.raw is None or not is_named:
            return _Seen(looked.status, failures=failures)
        records = looked.reading.records
        if not item.named and not any(wanted(r.name, self._job.globs) for r in records):
            return _Seen("indexed")
        verdicts, notes = self._verdicts(item, looked)
        files = tuple(self._let_in(item.shelf, looked))
        digest = looked.raw.digest
        build = Build(item.place, digest, files, verdicts=verdicts, is_proof=self._is_proof)
        build, state = promoter.look(build, looked.raw)
        beside = len(manifest.archives(looked.raw)) - len(files)
        if state == "there" and not verdicts:
            return _Seen("indexed", None, failures, notes, len(files), beside)
        todo = _Todo(build, state, tuple(item.names))
        return _Seen("indexed", todo, failures, notes, beside=beside)

    def _let_in(self, shelf: Shelf, looked: Looked) -> Iterator[LetIn]:
        verdicts = shelf.verdicts(self._source.now)
        for record in looked.reading.records:
            index_json = Digest(looked.reading.index_json[record.file_name])
            held = verdicts.judge(Claim.of_record(record, index_json)).held
            key = held.key_id if held is not None and held.verdict.passed else ""
            yield LetIn(record.file_name, record.sha256, int(record.fields()["size"]), key)

    def _verdicts(
        self, item: _Wanted, looked: Looked
    ) -> tuple[tuple[VerdictTag, ...], tuple[str, ...]]:
        """The verdicts on what is promoted that production lacks."""
        archives = {Digest(record.sha256) for record in looked.reading.records}
        notes: tuple[str, ...] = ()
        if self._is_proof:
            tags = (parse_tag(held.tag) for held in item.lacking)
            found = [tag for tag in tags if tag is not None and tag.archive in archives]
        else:
            found = [tag for tag in item.shelf.unread if tag.archive in archives]
            if len(found) > _MAX_VERDICTS:
                notes = (f"{item.names[0]}: of {len(found)} verdicts {_MAX_VERDICTS} go along",)
        chosen = found if self._is_proof else found[:_MAX_VERDICTS]
        return tuple(tag for tag in chosen if str(tag) not in item.there), notes

    def _foresee(self, todo: Sequence[_Todo], promoter: Promoter, crew: Crew) -> None:
        lacking = [item for item in todo if item.state == "lacking"]
        for item, found in crew.each(
            lacking, lambda item: promoter.foresee(item.build), lambda item: item.names
        ):
            self.outcome.did(found)
            self.outcome.present += len(item.build.files) - len(found)
        for item in todo:
            if item.state == "there":
                self.outcome.present += len(item.build.files)
                self.outcome.note(_added(item, "would be"))

    def _promote(self, todo: Sequence[_Todo], promoter: Promoter, crew: Crew) -> None:
        size = sum(item.build.size for item in todo if item.state == "lacking")
        self._job.progress.begin("Promoting", size, "bytes")

        def promote(item: _Todo) -> Promoted:
            promoted = promoter.promote(item.build)
            self.outcome.did(promoted.items)
            return promoted

        try:
            for item, promoted in crew.each(todo, promote, lambda item: item.names):
                self.outcome.present += promoted.present
                self._take((), promoted.notes)
                if item.state == "there":
                    self.outcome.note(_added(item, "were"))
        finally:
            self._job.progress.end()


def _added(item: _Todo, would: str) -> str:
    return f"{item.names[0]} is there already; {len(item.build.verdicts)} verdicts {would} added"
