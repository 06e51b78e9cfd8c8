"""``push``: archives from this machine into a registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.channel import manifest
from indexer.channel.artifact import Place, check_name, place_of_identity
from indexer.channel.index_json import SUBDIR, parse_identity, parse_index_json
from indexer.channel.record import CONDA, EXTENSIONS, TARBZ2
from indexer.errors import ConfigError, ContentError
from indexer.registry.content import RawManifest
from indexer.transfer.job import Job
from indexer.transfer.notify import Notifier
from indexer.transfer.outcome import Crew, Failure, Item, Outcome
from indexer.transfer.packing import hash_file, read_index_json
from indexer.transfer.pushing import Build, LocalFile, Pusher, pushing


@dataclass(frozen=True, slots=True)
class _Found:
    """An archive that was named or found; its folder may say which subdir it is of."""

    path: Path
    folder: str | None

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class _Read:
    """An archive that was looked into."""

    place: Place
    file: LocalFile
    note: str | None


class Push:
    """Finds what a registry lacks, and pushes it.

    A single subdir of the job is that of archives that don't say theirs. With ``again``
    everything is pushed, whatever the registry has.
    """

    def __init__(self, job: Job, *, again: bool = False) -> None:
        self._job = job
        self._again = again
        self.outcome = Outcome(dry_run=job.dry_run)

    def run(self, paths: Sequence[Path], notifier: Notifier | None = None) -> Outcome:
        """Push these archives and folders. What became of it stays in ``outcome``.

        Raises ConfigError for a path without archives, RegistryError where the registry
        doesn't answer.
        """
        found = sorted(find_archives(paths), key=str)
        with pushing(self._job, self.outcome, self._job.progress) as (pusher, crew):
            builds = self._compare(crew, pusher, self._read(crew, found))
            if self.outcome.dry_run:
                self._foresee(crew, pusher, builds)
            else:
                self._push(crew, pusher, builds, notifier)
                by_place = {build.place: build for build in builds}
                pusher.settle(
                    crew,
                    lambda place: pusher.push(replace(by_place[place], is_new=False)),
                    lambda place: _names((place, by_place[place].files)),
                )
        return self.outcome

    def _read(self, crew: Crew, found: Sequence[_Found]) -> dict[Place, list[LocalFile]]:
        """The archives by where they belong."""
        self._job.progress.begin("Reading archives", len(found))
        places: dict[Place, list[LocalFile]] = {}
        others: Counter[str] = Counter()
        for _, read in crew.each(found, self._look_into, lambda item: [str(item)]):
            self._job.progress.step()
            if self._job.subdirs and read.place.subdir not in self._job.subdirs:
                others[read.place.subdir] += 1
                continue
            if read.note is not None:
                self.outcome.note(read.note)
            self._take(places.setdefault(read.place, []), read)
        self._job.progress.end()
        for subdir, count in sorted(others.items()):
            self.outcome.note(f"{count} archives of {subdir} are passed over, by --subdir")
        return places

    def _take(self, files: list[LocalFile], read: _Read) -> None:
        """Add a file to its build; the same one twice is once, two of one name are none."""
        name = read.file.path.name
        for other in files:
            if other.path.name != name:
                if _stem(other.path.name) != _stem(name):
                    reason = f"its tag is already that of {other.path.name}, by its spelling"
                    self.outcome.fail(Failure(str(read.file.path), reason))
                    return
                continue
            if other.hashes != read.file.hashes:
                self.outcome.fail(
                    Failure(
                        str(read.file.path), f"another file of this name comes first: {other.path}"
                    )
                )
            return
        files.append(read.file)

    def _look_into(self, found: _Found) -> _Read:
        hashes = hash_file(found.path)
        data = read_index_json(found.path)
        identity = parse_identity(data)
        check_name(found.path.name, identity)
        alone = self._job.subdirs[0] if len(self._job.subdirs) == 1 else None
        place = place_of_identity(identity, found.folder or alone)
        note = None
        if found.folder not in {None, place.subdir}:
            note = f"{found.path}: its index.json makes it {place.subdir}"
        try:
            parse_index_json(data)
        except ContentError as error:
            note = f"{found.path}: no index will have it: {error}"
        return _Read(place, LocalFile(found.path, hashes), note)

    def _compare(
        self, crew: Crew, pusher: Pusher, places: dict[Place, list[LocalFile]]
    ) -> list[Build]:
        """What the registry lacks."""
        self._job.progress.begin("Comparing with the registry", len(places))
        builds = []
        for (place, files), previous in crew.each(
            places.items(), lambda item: pusher.find(item[0]), _names
        ):
            self._job.progress.step()
            lacking = tuple(
                file
                for file in files
                if self._again
                or previous is None
                or not manifest.holds(previous, file.path.name, file.hashes.sha256)
            )
            self.outcome.present += len(files) - len(lacking)
            for file in lacking:
                if previous is not None:
                    self._note_replaced(previous, place, file)
            if lacking:
                builds.append(Build(place, lacking, is_new=previous is None))
        self._job.progress.end()
        return builds

    def _note_replaced(self, previous: RawManifest, place: Place, file: LocalFile) -> None:
        known = manifest.archive_hashes(previous, file.path.name)
        if known is not None and known[0] != file.hashes.sha256:
            name = f"{place.subdir}/{file.path.name}"
            self.outcome.note(f"{name}: the registry has other bytes; ours take their place")

    def _foresee(self, crew: Crew, pusher: Pusher, builds: Sequence[Build]) -> None:
        files = [(build.place, file) for build in builds for file in build.files]

        def look(item: tuple[Place, LocalFile]) -> Item:
            place, file = item
            return pusher.foresee(place, file.path.name, file.hashes.sha256, file.hashes.size)

        for _, item in crew.each(files, look, lambda item: [str(item[1].path)]):
            self.outcome.did([item])

    def _push(
        self, crew: Crew, pusher: Pusher, builds: Sequence[Build], notifier: Notifier | None
    ) -> None:
        size = sum(file.hashes.size for build in builds for file in build.files)
        self._job.progress.begin("Pushing", size, "bytes")

        def push(build: Build) -> None:
            pushed = pusher.push(build, again=self._again)
            self.outcome.did(pushed.items, pushed.failures)
            if notifier is not None:
                notifier.add(pushed.items)

        try:
            for _ in crew.each(builds, push, lambda build: _names((build.place, build.files))):
                if notifier is not None:
                    notifier.tell()
        finally:
            self._job.progress.end()
            if notifier is not None:
                # What is pushed is pushed, however this ended; nobody would tell of it later.
                notifier.close()


def _names(item: tuple[Place, Iterable[LocalFile]]) -> Iterator[str]:
    place, files = item
    return (f"{place.subdir}/{file.path.name}" for file in files)


def _stem(file_name: str) -> str:
    return file_name.removesuffix(CONDA).removesuffix(TARBZ2)


def find_archives(paths: Iterable[Path]) -> Iterator[_Found]:
    """The archives among these files, and in these folders in the shape of a channel.

    Raises ConfigError for what isn't there, is no archive, or holds none.
    """
    for path in paths:
        if path.is_dir():
            found = list(_in_folder(path))
            if not found:
                raise ConfigError(
                    f"{path} holds no archives: looked for *.conda and *.tar.bz2 in it, and in "
                    "its folders that are named as subdirs, such as linux-64."
                )
            yield from found
        elif not path.is_file():
            raise ConfigError(f"There is no file or folder {path}.")
        elif not path.name.endswith(EXTENSIONS):
            raise ConfigError(f"{path} is no package: its name doesn't end in .conda or .tar.bz2.")
        else:
            yield _Found(path, None)


def _in_folder(folder: Path) -> Iterator[_Found]:
    for path in _entries(folder):
        if path.is_file() and path.name.endswith(EXTENSIONS):
            yield _Found(path, folder.name if SUBDIR.fullmatch(folder.name) else None)
        elif path.is_dir() and SUBDIR.fullmatch(path.name):
            for file in _entries(path):
                if file.is_file() and file.name.endswith(EXTENSIONS):
                    yield _Found(file, path.name)


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise ConfigError(f"{folder} can't be read: {error.strerror}.") from error
