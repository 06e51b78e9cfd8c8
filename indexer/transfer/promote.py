"""``promote``: what is validated in a staging namespace, copied to the production one."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.channel import codec, manifest
from indexer.channel.artifact import Fault, Place, Status
from indexer.channel.selection import KNOWN_SUBDIRS, unmatched, wanted
from indexer.errors import ContentError, DeniedError, LoginError, NotFoundError
from indexer.fetching import Outcome as Looked
from indexer.registry.content import Digest, RawManifest
from indexer.transfer.audit import AuditLog
from indexer.transfer.copying import Copier
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Failure, Outcome
from indexer.transfer.production import State
from indexer.transfer.promoting import Build, LetIn, Promoted, Promoter
from indexer.transfer.references import Reference
from indexer.transfer.standing import Inspector, Shelf
from indexer.trust.judging import Claim, Verdicts
from indexer.trust.storage import VerdictTag

# Without keys anybody's verdicts go along, of one build at most so many.
_MAX_VERDICTS = 64
_WHY: Mapping[Status, str] = {
    "waiting": "it is not validated",
    "rejected": "it is rejected",
    "unsound": "it can't be indexed",
}
_COUNTED: Mapping[Status, str] = {
    "waiting": "wait for validation",
    "rejected": "are rejected",
    "unsound": "can't be indexed",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A tag of a repository that may be promoted; ``named`` by whom, none where it was listed.

    ``there`` are production's tags, where verdicts are to be compared with them.
    """

    shelf: Shelf
    tag: str
    named: tuple[Reference, ...]
    there: frozenset[str]

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
class _Todo:
    """A build that production lacks, or (``there``) only verdicts on it; and what it is called."""

    build: Build
    state: State
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
            todo = self._look(parts, promoter, crew)
            if self.outcome.dry_run:
                self._foresee(todo, promoter, crew)
            else:
                self._promote(todo, promoter, crew)
        return self.outcome

    def _look(self, parts: Sequence[_Part], promoter: Promoter, crew: Crew) -> list[_Todo]:
        """What there is to do."""
        self._job.progress.begin("Reading staging", len(parts))
        todo, beside = [], 0
        others: Counter[Status] = Counter()
        for _, seen in crew.each(
            self._wanted(parts, promoter, crew),
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

    def _wanted(self, parts: Sequence[_Part], promoter: Promoter, crew: Crew) -> Iterator[_Wanted]:
        found = crew.each(parts, lambda part: self._find(part, promoter), lambda part: part.names)
        for _, (items, failures) in found:
            self._job.progress.step()
            self._take(failures, ())
            yield from items

    def _find(self, part: _Part, promoter: Promoter) -> tuple[list[_Wanted], list[Failure]]:
        """The tags that are meant, and what can't be found."""
        subdirs = (part.subdir,) if part.subdir else self._job.subdirs or KNOWN_SUBDIRS
        shelves = {subdir: shelf for subdir in subdirs if (shelf := self._shelf(subdir, part))}
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
        there = {subdir: self._there(shelves[subdir], promoter) for subdir, _ in meant}
        items = [
            _Wanted(shelves[subdir], tag, tuple(named), there[subdir])
            for (subdir, tag), named in meant.items()
        ]
        return items, failures

    def _shelf(self, subdir: str, part: _Part) -> Shelf | None:
        try:
            return self._source.shelf(subdir, part.repository, self._archives(subdir, part))
        except LoginError:
            raise
        except NotFoundError:
            return None
        except DeniedError:
            # What isn't there is refused by some; and nobody said that it is.
            if part.subdir is not None:
                raise
            return None

    def _archives(self, subdir: str, part: _Part) -> set[Digest] | None:
        """Those that are named: a repository may have thousands of verdicts on others."""
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
        return found

    def _there(self, shelf: Shelf, promoter: Promoter) -> frozenset[str]:
        if not shelf.unread and not any(item.tag for item in shelf.held):
            return frozenset()
        return promoter.tags(shelf.subdir, shelf.repository)

    def _see(self, item: _Wanted, promoter: Promoter) -> _Seen:
        """What is to be done about a tag. Raises ContentError where it can't be promoted."""
        looked = self._source.look(item.shelf, item.tag)
        refused = [(name, self._refusal(name, looked)) for name in item.named]
        failures = tuple(Failure(str(name), reason) for name, reason in refused if reason)
        is_named = not item.named or len(failures) < len(item.named)
        if looked.status == "rejected" and looked.raw is not None:
            todo = self._rejected(item, looked.raw, promoter)
            return _Seen("rejected", todo, failures)
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

    def _rejected(self, item: _Wanted, raw: RawManifest, promoter: Promoter) -> _Todo | None:
        """The verdicts on what production has, and which was rejected since."""
        try:
            layers = manifest.archives(raw)
            tags = item.shelf.verdict_tags(layer.digest for layer in layers)
            verdicts = tuple(tag for tag in tags if str(tag) not in item.there)
            if not verdicts or item.tag not in item.there:
                return None
            files = tuple(LetIn(x.title or "", x.digest.hex, x.size) for x in layers)
            build = Build(item.place, raw.digest, files, verdicts=verdicts, is_proof=True)
            build, state = promoter.look(replace(build, is_rejected=True), raw)
        except ContentError:
            # Production has something else there, of which nobody has said anything.
            return None
        return _Todo(build, "there", tuple(item.names)) if state == "there" else None

    def _refusal(self, reference: Reference, looked: Looked) -> str:
        """Why what was named is not to be promoted; empty where it is."""
        if reference.digest is not None and looked.digest not in {None, reference.digest}:
            return f"its tag leads to {looked.digest}, not to {reference.digest}"
        reading = looked.reading
        if looked.status != "indexed":
            return ": ".join([_WHY[looked.status], *_reasons(reading.faults)])
        if reference.file_name in {"", *(record.file_name for record in reading.records)}:
            return ""
        told = [fault for fault in reading.faults if fault.file_name == reference.file_name]
        start = f"{reference.file_name}: "
        noted = [note.removeprefix(start) for note in reading.notes if note.startswith(start)]
        return ": ".join(["it is not let in, though its build is", *_reasons(told), *noted[:1]])

    def _let_in(self, shelf: Shelf, looked: Looked) -> Iterator[LetIn]:
        verdicts = Verdicts(shelf.held, self._source.now)
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
            found = item.shelf.verdict_tags(archives)
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
                self.outcome.present += 0 if item.build.is_rejected else len(item.build.files)
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
    what = "rejected by now" if item.build.is_rejected else "there already"
    return f"{item.names[0]} is {what}; {len(item.build.verdicts)} verdicts {would} added"


def _reasons(faults: Iterable[Fault]) -> list[str]:
    """The first few of them, in one text."""
    found = list(dict.fromkeys(fault.reason for fault in faults))
    return ["; ".join(found[:3])] if found else []
