"""``mirror``: what a conda channel has, into a registry."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.channel import manifest
from indexer.channel.artifact import Place
from indexer.channel.selection import unmatched
from indexer.errors import ConfigError, ContentError, RegistryError, UnansweredError
from indexer.progress import SILENCE
from indexer.registry.content import RawManifest
from indexer.transfer.files import MeteredFile
from indexer.transfer.job import Job
from indexer.transfer.mirror_pruning import Pruner
from indexer.transfer.outcome import Crew, Failure, Outcome, metered
from indexer.transfer.packing import Hashes, hash_file
from indexer.transfer.pushing import Build, LocalFile, Pushed, Pusher, pushing
from indexer.transfer.upstream import Entry, Upstream


@dataclass(frozen=True, slots=True)
class _Lack:
    """What the registry lacks of one build; ``is_new``: there was no such tag."""

    place: Place
    entries: tuple[Entry, ...]
    is_new: bool = False


class Mirror:
    """Copies what a registry lacks of a channel."""

    def __init__(self, job: Job, upstream: Upstream) -> None:
        self._job = job
        self._upstream = upstream
        self._unusable: set[str] = set()
        self.outcome = Outcome(dry_run=job.dry_run)

    def run(self, pruner: Pruner | None = None) -> Outcome:
        """Copy, then take out what upstream doesn't have any more, where a ``pruner`` is given.

        What became of it stays in ``outcome``. Raises ConfigError where upstream has nothing of
        what is asked for, RegistryError where upstream or the registry doesn't answer, and
        GuardError, before anything is done, where too much would be taken out.
        """
        with pushing(self._job, self.outcome, SILENCE) as (pusher, crew):
            listed = self._list()
            lacks = self._compare(crew, pusher, listed)
            if pruner is not None:
                pruner.plan(crew, pusher, listed, self._job.globs, self._unusable)
            if self.outcome.dry_run:
                self._foresee(crew, pusher, lacks)
            else:
                self._copy_all(crew, pusher, lacks)
                by_place = {lack.place: lack for lack in lacks}
                pusher.settle(
                    crew,
                    lambda place: self._copy(pusher, replace(by_place[place], is_new=False)),
                    lambda place: _names(by_place[place]),
                )
            if pruner is not None:
                pruner.carry_out(crew, pusher)
        return self.outcome

    def _list(self) -> dict[str, list[Entry]]:
        """What upstream has, by subdir."""
        subdirs = self._job.subdirs or self._upstream.subdirs()
        self._job.progress.begin(f"Reading {self._upstream.location}", len(subdirs))
        found = {}
        for subdir in subdirs:
            listed = self._upstream.entries(subdir, self._job.globs, self._complain)
            self._job.progress.step()
            if listed is not None:
                found[subdir] = listed.entries
                for problem in listed.problems:
                    self.outcome.note(f"{problem}; {listed.form} is read instead")
            elif self._job.subdirs:
                raise ConfigError(
                    f"{self._upstream.location} has no {subdir}. {self._upstream.refusal}".strip()
                )
        self._job.progress.end()
        names = {entry.file_name.rsplit("-", 2)[0] for each in found.values() for entry in each}
        for glob in unmatched(self._job.globs, names):
            self.outcome.note(f"{self._upstream.location} has no package called {glob}")
        if not found and self._upstream.refusal:
            raise RegistryError(f"No subdir can be read. {self._upstream.refusal}")
        if not found:
            raise ConfigError(
                f"{self._upstream.location} is no channel: it has no repodata in any subdir."
            )
        return found

    def _complain(self, what: str, reason: str) -> None:
        self._unusable.add(what)
        self.outcome.fail(Failure(what, reason))

    def _compare(self, crew: Crew, pusher: Pusher, listed: dict[str, list[Entry]]) -> list[_Lack]:
        """What the registry lacks: the tags of each repository, then the manifests of those."""
        builds: dict[Place, list[Entry]] = {}
        for entries in listed.values():
            for entry in dict.fromkeys(entries):
                builds.setdefault(entry.place, []).append(entry)
        repositories: dict[str, list[Place]] = {}
        for place in builds:
            repositories.setdefault(pusher.repository(place), []).append(place)
        self._job.progress.begin("Comparing with the registry", len(builds))
        lacks = []
        looked = crew.each(
            self._tagged(crew, pusher, repositories, builds),
            lambda item: pusher.find(item[0]) if item[1] else None,
            lambda item: [str(entry) for entry in builds[item[0]]],
        )
        for (place, _), previous in looked:
            self._job.progress.step()
            lacking = tuple(e for e in builds[place] if not self._is_there(e, previous))
            self.outcome.present += len(builds[place]) - len(lacking)
            if lacking:
                lacks.append(_Lack(place, lacking, is_new=previous is None))
        self._job.progress.end()
        return lacks

    def _tagged(
        self,
        crew: Crew,
        pusher: Pusher,
        repositories: dict[str, list[Place]],
        builds: dict[Place, list[Entry]],
    ) -> Iterator[tuple[Place, bool]]:
        """Each build, and whether its tag is there."""

        def names(item: tuple[str, list[Place]]) -> Iterator[str]:
            return (str(entry) for place in item[1] for entry in builds[place])

        for (_, places), tags in crew.each(
            repositories.items(), lambda item: pusher.tags(item[0]), names
        ):
            for place in places:
                yield place, place.tag in tags

    def _is_there(self, entry: Entry, previous: RawManifest | None) -> bool:
        if previous is None:
            return False
        known = manifest.archive_hashes(previous, entry.file_name)
        if known is None:
            return False
        sha256, md5 = known
        is_same = sha256 == entry.sha256 if entry.sha256 is not None else md5 == entry.md5
        if not is_same:
            self.outcome.note(f"{entry}: upstream has other bytes; they take the place of ours")
        return is_same

    def _foresee(self, crew: Crew, pusher: Pusher, lacks: Sequence[_Lack]) -> None:
        entries = [entry for lack in lacks for entry in lack.entries]
        for _, item in crew.each(
            entries,
            lambda entry: pusher.foresee(entry.place, entry.file_name, entry.sha256, entry.size),
            lambda entry: [str(entry)],
        ):
            self.outcome.did([item])

    def _copy_all(self, crew: Crew, pusher: Pusher, lacks: Sequence[_Lack]) -> None:
        size = sum(entry.size or 0 for lack in lacks for entry in lack.entries)
        self._job.progress.begin("Mirroring", size, "bytes")

        def copy(lack: _Lack) -> None:
            pushed = self._copy(pusher, lack)
            self.outcome.did(pushed.items, pushed.failures)

        try:
            for _ in crew.each(lacks, copy, _names):
                pass
        finally:
            self._job.progress.end()

    def _copy(self, pusher: Pusher, lack: _Lack) -> Pushed:
        """Download what is lacking of a build, and push it; nothing stays on this machine."""
        files, failures = [], []
        unanswered: RegistryError | None = None
        with tempfile.TemporaryDirectory(dir=pusher.scratch) as folder:
            for entry in lack.entries:
                path = Path(folder) / entry.file_name
                try:
                    hashes = self._download(entry, path)
                    files.append(LocalFile(path, hashes, self._upstream.repository_of(entry)))
                except (ContentError, RegistryError) as error:
                    failures.append(Failure(str(entry), str(error)))
                    # Whoever counts those that nobody answers must know.
                    if isinstance(error, UnansweredError):
                        unanswered = error
            if not files and unanswered is not None:
                raise unanswered
            if not files:
                return Pushed((), tuple(failures))
            pushed = pusher.push(Build(lack.place, tuple(files), lack.is_new))
        return Pushed(pushed.items, (*failures, *pushed.failures))

    def _download(self, entry: Entry, path: Path) -> Hashes:
        """Download and check; once more from the beginning where it isn't what it should be."""
        at = metered(self._job.progress)
        for turn in range(2):
            with MeteredFile(path, at) as file:
                self._upstream.download(entry, file)
            hashes = hash_file(path)
            reason = _against(entry, hashes)
            if reason is None:
                return hashes
            os.truncate(path, 0)
            if turn:
                raise ContentError(f"what {self._upstream.location} gives {reason}")
        raise AssertionError("the second turn returns or raises")


def _names(lack: _Lack) -> list[str]:
    return [str(entry) for entry in lack.entries]


def _against(entry: Entry, hashes: Hashes) -> str | None:
    """Why a download isn't what was listed; None where it is."""
    for name, said, found in (
        ("size", entry.size, hashes.size),
        ("sha256", entry.sha256, hashes.sha256),
        ("md5", entry.md5, hashes.md5),
    ):
        if said is not None and said != found:
            return f"has {name} {found}, and its index says {said}"
    return None
