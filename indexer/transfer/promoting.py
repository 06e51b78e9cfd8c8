"""One build from staging into production: blobs, manifest, verdicts, and last the tag."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from indexer.channel import manifest
from indexer.channel.artifact import Place
from indexer.channel.policy import Policy
from indexer.errors import ConflictError, ContentError, DeniedError, LoginError, NotFoundError
from indexer.registry import Registry
from indexer.registry.base import How
from indexer.registry.content import OCI_MANIFEST, Descriptor, Digest, RawManifest
from indexer.transfer.audit import AuditLog
from indexer.transfer.copying import Copier
from indexer.transfer.outcome import Item
from indexer.transfer.production import Offer, Presence, compare, names_in
from indexer.trust.storage import VerdictTag, fetch_envelope, put_verdict

# Whoever writes the same tag all the time is given so many turns.
_TURNS = 5


@dataclass(frozen=True, slots=True)
class LetIn:
    """An archive that the policy lets in; ``key`` is the id of the key that said so, if one did."""

    file_name: str
    sha256: str
    size: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """What is to be promoted under one tag; ``digest`` is that of its manifest in staging.

    ``size`` is in bytes, that of all its blobs. ``verdicts`` are those that production lacks;
    ``is_proof`` says that they were read, and count. ``known`` are the files that production has
    there already, besides which the others join.
    """

    place: Place
    digest: Digest
    files: tuple[LetIn, ...]
    size: int = 0
    verdicts: tuple[VerdictTag, ...] = ()
    is_proof: bool = False
    known: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[tuple[str, str]]:
        """Its archives by file name and sha256."""
        return frozenset((file.file_name, file.sha256) for file in self.files)

    def offer(self, raw: RawManifest) -> Offer:
        """What is written of its manifest: archives that aren't let in stay in staging.

        Raises ContentError where there is no such manifest.
        """
        return Offer(manifest.only_archives(raw, self.names), raw.digest)


@dataclass(frozen=True, slots=True)
class Promoted:
    """What became of a build: what was written of it, how many archives were there already."""

    items: tuple[Item, ...] = ()
    present: int = 0
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """How far one build is; its ``build`` has the verdicts that are still to be put."""

    build: Build
    offer: Offer
    hows: dict[Digest, How] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Promoter:
    """Promotes builds of a channel, from any thread. ``audit`` is told before anything is done."""

    def __init__(
        self,
        source: Registry,
        target: Registry,
        channel: str,
        policy: Policy,
        copier: Copier,
        audit: AuditLog | None,
    ) -> None:
        self._source = source
        self._target = target
        self._channel = channel
        self._policy = policy
        self._copier = copier
        self._audit = audit
        self._lock = threading.Lock()
        self._configs: dict[tuple[str, Digest], threading.Lock] = {}
        # By subdir and last component: of what production lists no tags to us.
        self.denied: set[tuple[str, str]] = set()

    def tags(self, subdir: str, repository: str) -> frozenset[str]:
        """The tags that production has in a repository, none where it isn't there."""
        try:
            return frozenset(self._target.tags(self._full(Place(subdir, repository, ""))))
        except LoginError:
            raise
        except NotFoundError:
            return frozenset()
        except DeniedError:
            # What isn't there is refused by some; what is there is asked for by its tag.
            self.denied.add((subdir, repository))
            return frozenset()

    def archives(self, place: Place) -> set[Digest]:
        """Those that production has under a tag, none where it isn't there or can't be read."""
        try:
            raw = self.manifest(place)
            return {layer.digest for layer in manifest.archives(raw)} if raw is not None else set()
        except LoginError:
            raise
        except (ContentError, DeniedError):
            # What can't be read is told of by whoever writes there.
            return set()

    def look(self, build: Build, raw: RawManifest) -> tuple[Build, Presence]:
        """Whether production lacks a build, whose manifest this is.

        Raises ContentError where it may not be promoted, RegistryError where production doesn't
        answer.
        """
        offer = build.offer(raw)
        theirs = self.manifest(build.place)
        state = compare(offer, theirs, self._policy)
        known = build.names & names_in(theirs) if theirs is not None else frozenset()
        if known != build.names:
            build = replace(build, known=frozenset(name for name, _ in known))
        size = sum(blob.size for blob in manifest.blobs(offer.raw))
        return replace(build, size=size), state

    def foresee(self, build: Build) -> tuple[Item, ...]:
        """What a promotion would come to."""
        hows: dict[Digest, How] = {}
        for file in build.files:
            digest = Digest(file.sha256)
            hows[digest] = "mounted" if self._copier.mounts else "sent"
            with suppress(NotFoundError, DeniedError):
                if self._target.has_blob(self._full(build.place), digest):
                    hows[digest] = "there"
        return self._items(build, hows, "")

    def promote(self, build: Build) -> Promoted:
        """Copy it, and write its tag where production lacks it.

        The tag comes last, when all that it leads to was found there: whoever reads production
        meanwhile sees nothing of it, or all. Raises ContentError where production has something
        else there, where the tag has moved in staging, or where content is broken; RegistryError
        where a registry doesn't answer.
        """
        raw = self._source.manifest(self._origin(build.place), build.place.tag)
        if raw.digest != build.digest:
            raise ContentError(
                f"its tag in staging leads to {raw.digest} by now, and what was looked at is "
                f"{build.digest}; run it again"
            )
        work = _Work(build, build.offer(raw))
        is_written = False
        for _ in range(_TURNS):
            theirs = self.manifest(build.place)
            if self._compare(work, theirs, is_written=is_written) == "there":
                if theirs is not None and work.build.verdicts:
                    work.notes += self.add_verdicts(work.build, theirs)
                return self._told(work, is_written=is_written)
            with suppress(ConflictError):
                self._write(work, theirs)
                is_written = True
                if self._target.address.scheme == "ocidir":
                    # Nobody can have written between looking and writing.
                    return self._told(work, is_written=True)
        raise ConflictError(
            f"somebody else writes {self._reference(build.place)} all the time; run it again"
        )

    def _compare(self, work: _Work, theirs: RawManifest | None, *, is_written: bool) -> Presence:
        try:
            return compare(work.offer, theirs, self._policy)
        except ContentError as error:
            if is_written:
                # By HTTP, whoever writes the same tag in the same moment overwrites it.
                raise ContentError(f"somebody else has written it meanwhile: {error}") from error
            raise

    def manifest(self, place: Place) -> RawManifest | None:
        """What production's tag leads to; None where it has no such tag.

        Raises ContentError where it can't be read, RegistryError where nobody answers.
        """
        try:
            return self._target.manifest(self._full(place), place.tag)
        except NotFoundError:
            return None

    def _origin(self, place: Place) -> str:
        return self._source.address.repository(self._channel, place.subdir, place.repository)

    def _full(self, place: Place) -> str:
        return self._target.address.repository(self._channel, place.subdir, place.repository)

    def _reference(self, place: Place) -> str:
        return self._target.address.reference(self._full(place), place.tag)

    def _copy(self, work: _Work) -> None:
        """All that the tag will lead to, by digests alone; looked at once more at the end."""
        if work.hows:
            return
        raw, origin, full = (
            work.offer.raw,
            self._origin(work.build.place),
            self._full(work.build.place),
        )
        blobs = manifest.blobs(raw)
        layers = {layer.digest for layer in manifest.layers(raw)}
        hows: dict[Digest, How] = {}
        for blob in blobs:
            with self._alone(full, blob) if blob.digest not in layers else nullcontext():
                hows[blob.digest] = self._copier.copy(blob, origin, full)
        for blob in blobs:
            self._copier.check(blob, full)
        self._target.put_manifest(full, str(raw.digest), raw.body, raw.media_type or OCI_MANIFEST)
        if self._target.manifest(full, str(raw.digest)).body != raw.body:
            raise ContentError(f"{self._target.address} has other bytes for {raw.digest}")
        work.hows.update(hows)

    def _alone(self, repository: str, blob: Descriptor) -> threading.Lock:
        """A config is that of all tags of a repository, and not put from two threads at once."""
        with self._lock:
            return self._configs.setdefault((repository, blob.digest), threading.Lock())

    def add_verdicts(self, build: Build, subject: RawManifest) -> list[str]:
        """Its verdicts alone, on what production has there already: the manifest ``subject``.

        Gives what is to be noted. Raises ContentError where one that counts is gone, RegistryError
        where a registry doesn't answer.
        """
        with self._telling(build, subject.digest):
            return self._put_verdicts(build, subject)

    def _put_verdicts(self, build: Build, subject: RawManifest) -> list[str]:
        place, notes = build.place, []
        for tag in build.verdicts:
            try:
                envelope = fetch_envelope(self._source, self._origin(place), tag)
            except (ContentError, NotFoundError) as error:
                if build.is_proof:
                    raise
                what = f"{place.subdir}/{place.repository}:{tag}"
                notes.append(f"{what} is no verdict, and stays in staging: {error}")
            else:
                put_verdict(self._target, self._full(place), tag, envelope, subject)
        return notes

    def _write(self, work: _Work, theirs: RawManifest | None) -> None:
        """All of it. Raises ConflictError where its tag leads elsewhere than to ``theirs``."""
        raw = work.offer.raw
        with self._telling(work.build, raw.digest):
            self._copy(work)
            # A verdict without its package is harmless, and not vice versa.
            work.notes += self._put_verdicts(work.build, raw)
            work.build = replace(work.build, verdicts=())
            self._target.put_manifest(
                self._full(work.build.place),
                work.build.place.tag,
                raw.body,
                raw.media_type or OCI_MANIFEST,
                replaces=None if theirs is None else theirs.digest,
            )

    @contextmanager
    def _telling(self, build: Build, digest: Digest) -> Iterator[None]:
        """Tell the audit log of each archive and its verdicts, before anything is written."""
        place = build.place
        details = {
            "from": str(self._source.address),
            "to": str(self._target.address),
            "channel": self._channel,
            "subdir": place.subdir,
            "repository": place.repository,
            "tag": place.tag,
            "digest": str(digest),
        }
        with ExitStack() as stack:
            for file in build.files:
                verdicts = [str(tag) for tag in build.verdicts if tag.archive.hex == file.sha256]
                archive = {
                    "file_name": file.file_name,
                    "sha256": file.sha256,
                    "key": file.key,
                    "verdicts": " ".join(verdicts),
                }
                if self._audit is not None:
                    stack.enter_context(self._audit.doing("promoted", **details, **archive))
            yield

    def _told(self, work: _Work, *, is_written: bool) -> Promoted:
        build, notes = work.build, tuple(work.notes)
        if not is_written:
            return Promoted((), len(build.files), notes)
        items = self._items(build, work.hows, str(work.offer.raw.digest))
        return Promoted(items, len(build.files) - len(items), notes)

    def _items(self, build: Build, hows: Mapping[Digest, How], digest: str) -> tuple[Item, ...]:
        """Those that are not known there."""
        reference = self._reference(build.place)
        return tuple(
            Item(
                build.place.subdir,
                file.file_name,
                file.sha256,
                file.size,
                reference,
                digest,
                file.size if hows.get(Digest(file.sha256)) == "sent" else 0,
            )
            for file in build.files
            if file.file_name not in build.known
        )
