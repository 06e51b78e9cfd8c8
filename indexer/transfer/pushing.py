"""One build into a registry: its blobs, then the manifest under its tag."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from indexer.channel import manifest
from indexer.channel.about import annotations_of
from indexer.channel.artifact import Place, check_name, place_of_identity
from indexer.channel.index_json import parse_identity
from indexer.channel.record import CONDA
from indexer.errors import (
    ConfigError,
    ConflictError,
    ContentError,
    DeniedError,
    LoginError,
    NotFoundError,
)
from indexer.progress import Progress
from indexer.registry.base import How
from indexer.registry.content import OCI_MANIFEST, Content, Digest, RawManifest
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Failure, Item, Outcome, metered
from indexer.transfer.packing import Hashes, Info, hash_file, pack_info

# Whoever writes the same tag all the time is given so many turns.
_TURNS = 5
# How often a run makes sure that what it wrote is still there.
_ROUNDS = 3
# Asking for a mount costs as much as sending something small.
_WORTH_MOUNTING = 64 * 1024
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class LocalFile:
    """An archive on this machine. Its name is that of the package file.

    ``source`` is a repository of the same registry that is known to have it.
    """

    path: Path
    hashes: Hashes
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """What is to be pushed under one tag; ``is_new``: there was no such tag."""

    place: Place
    files: tuple[LocalFile, ...]
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of the archives of one build."""

    items: tuple[Item, ...]
    failures: tuple[Failure, ...]


@dataclass(slots=True)
class _Turn:
    """Something that is done once, by whoever comes first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    is_done: bool = False


@contextmanager
def pushing(job: Job, outcome: Outcome, progress: Progress) -> Iterator[tuple[Pusher, Crew]]:
    """Who pushes one build, and who does it for many; for the length of a transfer."""
    with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
        pusher = Pusher(job, Path(scratch), progress)

        def abort() -> None:
            pusher.stop()
            job.abort()

        yield pusher, Crew(outcome, job.jobs, abort)


class Pusher:
    """Pushes the builds of one channel; ``progress`` is told of the bytes of archives."""

    def __init__(self, job: Job, scratch: Path, progress: Progress) -> None:
        self._registry = job.registry
        self._channel = job.channel
        self._status_key = job.status_key
        self._created = job.now.strftime("%Y.%m.%d.%H%M%S")
        self.scratch = scratch
        self._progress = progress
        self._stopped = threading.Event()
        self._where: dict[Digest, str] = {}
        self._written: dict[Place, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._configs: dict[str, _Turn] = {}

    def stop(self) -> None:
        """End what takes long."""
        self._stopped.set()

    def repository(self, place: Place) -> str:
        """The full name of a build's repository."""
        return self._registry.address.repository(self._channel, place.subdir, place.repository)

    def reference(self, place: Place) -> str:
        """What people and services call the build: ``host/repository:tag``."""
        return self._registry.address.reference(self.repository(place), place.tag)

    def find(self, place: Place) -> RawManifest | None:
        """What the build's tag leads to; None where there is no such tag."""
        try:
            return self._registry.manifest(self.repository(place), place.tag)
        except NotFoundError:
            return None

    def tags(self, repository: str) -> Collection[str]:
        """The tags of a repository, none where it isn't there. Raises LoginError."""
        try:
            return frozenset(self._registry.tags(repository))
        except LoginError:
            raise
        except (NotFoundError, DeniedError):
            # What isn't there is refused by some.
            return frozenset()

    def push(self, build: Build, *, again: bool = False) -> Pushed:
        """Push archives of one build; one that is unsound doesn't keep the other back.

        With ``again`` the tag is written even where nothing has changed. Raises ContentError or
        RegistryError where nothing could be pushed.
        """
        archives, failures, sent = [], [], []
        # The peer's info layers are those of the last upload; .conda is the better one.
        for file in sorted(build.files, key=lambda file: file.path.name.endswith(CONDA)):
            try:
                archive, count = self._put_blobs(build.place, file)
            except ContentError as error:
                failures.append(Failure(f"{build.place.subdir}/{file.path.name}", str(error)))
            else:
                archives.append(archive)
                sent.append(count)
        if not archives:
            return Pushed((), tuple(failures))
        digest = str(self._put_manifest(build, archives, again=again))
        self._written.setdefault(build.place, {}).update((a.file_name, a.sha256) for a in archives)
        reference = self.reference(build.place)
        items = (
            Item(build.place.subdir, a.file_name, a.sha256, a.size, reference, digest, count)
            for a, count in zip(archives, sent, strict=True)
        )
        return Pushed(tuple(items), tuple(failures))

    def foresee(self, place: Place, file_name: str, sha256: str | None, size: int | None) -> Item:
        """What a push of this archive would come to."""
        is_there = False
        if sha256 is not None:
            # What isn't there is refused by some.
            with suppress(NotFoundError, DeniedError):
                digest = Digest(sha256)
                is_there = self._registry.has_blob(self.repository(place), digest)
        known = size or 0
        sent = 0 if is_there else known
        reference = self.reference(place)
        return Item(place.subdir, file_name, sha256 or "", known, reference, sent=sent)

    def settle(
        self, crew: Crew, again: Callable[[Place], Pushed], names: Callable[[Place], Iterable[str]]
    ) -> None:
        """Make sure that what was written is still there; ``again`` pushes what isn't."""
        for _ in range(_ROUNDS):
            lost = self._lost(crew)
            if not lost:
                return
            for _, pushed in crew.each(lost, again, names):
                crew.outcome.did((), pushed.failures)

    def _lost(self, crew: Crew) -> list[Place]:
        """The tags that were written since this was asked last, and don't hold what was written.

        By HTTP, whoever writes the same tag in the same moment overwrites it.
        """
        written, self._written = self._written, {}
        if self._registry.address.scheme == "ocidir":
            return []
        return [
            place
            for place, raw in crew.each(written, self.find, lambda place: [str(place)])
            if raw is None or any(not manifest.has_archive(raw, name) for name in written[place])
        ]

    def _put_blobs(self, place: Place, file: LocalFile) -> tuple[manifest.Archive, int]:
        """Gives, besides, how many bytes of the archive were sent."""
        with tempfile.NamedTemporaryFile(dir=self.scratch, suffix=".tar.gz") as info:
            packed = self._pack(file.path, info)
            index_json = packed.index_json
            identity = parse_identity(index_json)
            check_name(file.path.name, identity)
            if place_of_identity(identity, place.subdir) != place:
                raise ContentError(f"its index.json makes it {identity.subdir}/{identity.stem}")
            info_path = Path(info.name)
            info_hashes = hash_file(info_path)
            info_digest = Digest(info_hashes.sha256)
            hashes = file.hashes
            repository = self.repository(place)
            content = Content.of_file(
                file.path, Digest(hashes.sha256), hashes.size, metered(self._progress)
            )
            how = self._put_blob(repository, content, file.source)
            info_content = Content.of_file(info_path, info_digest, info_hashes.size)
            self._put_blob(repository, info_content)
            self._put_blob(repository, Content.of_bytes(index_json))
        archive = manifest.Archive(
            file_name=file.path.name,
            sha256=hashes.sha256,
            md5=hashes.md5,
            size=hashes.size,
            index_json=index_json,
            info_digest=info_digest,
            info_size=info_hashes.size,
            created=self._created,
            annotations=annotations_of(packed.about_json),
        )
        return archive, hashes.size if how == "sent" else 0

    def _pack(self, path: Path, target: IO[bytes]) -> Info:
        try:
            packed = pack_info(path, target, stopped=self._stopped.is_set)
            target.flush()
        except OSError as error:
            raise ConfigError(
                f"{self.scratch} can't be written: {error.strerror}. TMPDIR names another folder."
            ) from error
        return packed

    def _put_blob(self, repository: str, content: Content, source: str | None = None) -> How:
        if content.size >= _WORTH_MOUNTING:
            source = source or self._where.get(content.digest)
        how = self._registry.put_blob(repository, content, source)
        if how != "sent":
            content.at(content.size)
        if content.size >= _WORTH_MOUNTING:
            while len(self._where) >= _REMEMBERED:
                self._where.pop(next(iter(self._where)), None)
            self._where[content.digest] = repository
        return how

    def _put_manifest(
        self, build: Build, archives: Sequence[manifest.Archive], *, again: bool
    ) -> Digest:
        repository = self.repository(build.place)
        previous = None if build.is_new else self.find(build.place)
        for turn in range(_TURNS):
            body, media_type = self._merged(previous, archives)
            if previous is not None and body == previous.body and not again:
                return previous.digest
            if manifest.names_own_config(body):
                self._put_config(repository)
            try:
                return self._registry.put_manifest(
                    repository,
                    build.place.tag,
                    body,
                    media_type,
                    replaces=None if previous is None else previous.digest,
                )
            except ConflictError:
                if turn == _TURNS - 1:
                    raise
                previous = self.find(build.place)
        raise AssertionError("the last turn returns or raises")

    def _put_config(self, repository: str) -> None:
        """Once for all tags of a repository, and not from two threads at once."""
        with self._lock:
            turn = self._configs.setdefault(repository, _Turn())
        with turn.lock:
            if not turn.is_done:
                source = self._where.get(manifest.CONFIG.digest)
                self._registry.put_blob(repository, manifest.CONFIG, source)
                self._where.setdefault(manifest.CONFIG.digest, repository)
                turn.is_done = True

    def _merged(
        self, previous: RawManifest | None, archives: Sequence[manifest.Archive]
    ) -> tuple[bytes, str]:
        media_type = (previous.media_type if previous is not None else "") or OCI_MANIFEST
        return manifest.with_archives(previous, archives, self._status_key), media_type
