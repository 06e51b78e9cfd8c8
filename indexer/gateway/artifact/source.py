"""Artifacts as plain directories: which manifest each tag leads to, and what that one holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from indexer.errors import CfIndexError, ConfigError, ContentError, RegistryError
from indexer.gateway.artifact.layers import Key, Layers
from indexer.gateway.artifact.listing import (
    MAX_MANIFEST,
    LeftOut,
    Listing,
    children,
    read_listing,
)
from indexer.gateway.artifact.paths import clean
from indexer.gateway.artifact.reference import ArtifactReference
from indexer.gateway.artifact.stored import Stored
from indexer.gateway.found import Blob, Found, UnavailableError
from indexer.gateway.types import inert_type
from indexer.registry.address import RegistryAddress
from indexer.registry.base import Registry
from indexer.registry.content import Descriptor, Digest, RawManifest
from indexer.registry.layout import LayoutRegistry
from indexer.registry.transport import Transport

# A tag may move at any time, and a path with it; what was given is known by its ETag.
_CACHE = "no-cache"
# A client that has begun to read stays with what it read first; dnf's downloads may take long.
_KEEP = 3600.0
# In seconds: what a look waits for registries and folders. Both go on; the next look finds them.
_PATIENCE = 5.0
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Generation:
    """What a tag has led to since a time."""

    digest: Digest
    listing: Listing
    since: float


@dataclass(frozen=True, slots=True)
class _Pending:
    """What a tag leads to by now; it is served when its folders are here."""

    digest: Digest
    listing: Listing
    left_out: LeftOut


class Artifact:
    """One artifact, and what its tag led to before, for whoever is still reading that."""

    def __init__(
        self,
        reference: ArtifactReference,
        registry: Registry,
        layers: Layers,
        report: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reference = reference
        self._registry = registry
        self._layers = layers
        self._report = report
        self._now = now
        self._generations: tuple[_Generation, ...] = ()
        self._pending: _Pending | None = None
        self._stored = Stored(registry) if isinstance(registry, LayoutRegistry) else None

    def look(self) -> None:
        """Ask whether the tag leads elsewhere by now, and keep in mind what it leads to.

        Raises CfIndexError. Not called while ``take_over`` is.
        """
        served = self._generations[0].digest if self._generations else None
        known = self._pending.digest if self._pending is not None else served
        try:
            raw = self._ask(self.reference.reference, known)
            if raw is None:
                return
            self._pending = None
            if raw.digest == served:
                return
            left_out = LeftOut()
            listing = read_listing(self._followed(raw), left_out)
        except ContentError as error:
            raise ContentError(f"{self.reference}: {error}") from error
        self._pending = _Pending(raw.digest, listing, left_out)

    def take_over(self, until: float) -> bool:
        """Serve what the tag leads to, once its folders are here; True where that is new.

        Waits for them until then (of the monotonic clock). Raises CfIndexError where one of them
        can't be had: what is served stays, and the next call tries again.
        """
        pending = self._pending
        if pending is None:
            return False
        # At first there is nothing that could be served meanwhile.
        if self._generations and not self._are_here(pending.listing, until):
            return False
        generation = _Generation(pending.digest, pending.listing, self._now())
        self._generations = (generation, *self._generations[:1])
        self._pending = None
        pending.left_out.tell(str(self.reference), self._report)
        return True

    @property
    def is_read(self) -> bool:
        """Whether there is anything to serve."""
        return bool(self._generations)

    def find(self, path: str) -> Found | None:
        """What is at a path in it. Raises ContentError and RegistryError."""
        generations = self._generations
        if not generations:
            raise UnavailableError(f"{self.reference} wasn't read yet.")
        for generation in self._current(generations):
            if (found := self._find(generation.listing, path)) is not None:
                return found
        return None

    def wanted(self) -> Iterator[Key]:
        """The folders that somebody may still ask for."""
        pending = self._pending
        listings = [each.listing for each in self._current(self._generations)]
        for listing in [*listings, *([pending.listing] if pending is not None else [])]:
            for folder in listing.folders:
                yield Key.of(self._registry, self.reference.repository, folder)

    def _are_here(self, listing: Listing, until: float) -> bool:
        name, are_here = self.reference.repository, True
        for folder in listing.folders:
            patience = max(until - time.monotonic(), 0) if are_here else 0
            try:
                are_here &= self._layers.is_here(self._registry, name, folder, patience)
            except CfIndexError as error:
                text = f"{self.reference} leads elsewhere, which can't be taken over: {error}"
                raise type(error)(text) from error
        return are_here

    def _current(self, generations: tuple[_Generation, ...]) -> tuple[_Generation, ...]:
        is_recent = bool(generations) and self._now() - generations[0].since < _KEEP
        return generations if is_recent else generations[:1]

    def _find(self, listing: Listing, path: str) -> Found | None:
        name = self.reference.repository
        layer = listing.files.get(path)
        if layer is not None:
            return self._file(layer, path)
        for folder in listing.folders:
            found = self._layers.member(self._registry, name, folder, path, _CACHE)
            if found is not None:
                return found
        return None

    def _file(self, layer: Descriptor, path: str) -> Found:
        media_type = inert_type(path)
        if self._stored is not None:
            return self._stored.file(self.reference.repository, layer, media_type, _CACHE)
        return Blob(
            self.reference.registry,
            self.reference.repository,
            layer.digest,
            layer.size,
            media_type,
            _CACHE,
            sandbox=True,
        )

    def _ask(self, reference: str, known: Digest | None) -> RawManifest | None:
        return self._registry.manifest_unless(
            self.reference.repository, reference, known, limit=MAX_MANIFEST
        )

    def _followed(self, raw: RawManifest) -> RawManifest:
        """The manifest itself, or the only one that an image index leads to."""
        found = children(raw)
        if found is None:
            return raw
        if len(found) != 1:
            raise ContentError(
                f"it is an image index of {len(found)} manifests; name the one that is meant by "
                "its digest (host/repository@sha256:...)"
            )
        only = self._ask(str(found[0].digest), None)
        if only is None:
            raise ContentError(f"{found[0].digest} can't be had")
        return only


class Artifacts:
    """Several artifacts, each in its own folder; one alone is at the root as well."""

    def __init__(
        self,
        artifacts: list[Artifact],
        layers: Layers,
        transport: Transport,
        report: Callable[[str], None],
    ) -> None:
        self._report = report
        self._transport = transport
        self._artifacts = {artifact.reference.prefix: artifact for artifact in artifacts}
        self._layers = layers
        if len(self._artifacts) < len(artifacts):
            raise ConfigError("Two artifacts would be served at the same address; give one.")
        # One for each: a registry that doesn't answer holds nobody else up.
        self._threads = ThreadPoolExecutor(max(len(artifacts), 1), "looking")
        self._looks: dict[Artifact, Future[None]] = {}

    @property
    def name(self) -> str:
        """The reference, or how many there are."""
        if len(self._artifacts) != 1:
            return f"{len(self._artifacts)} artifacts"
        (artifact,) = self._artifacts.values()
        return str(artifact.reference)

    @property
    def registries(self) -> list[RegistryAddress]:
        """Where they are, each once."""
        return list(dict.fromkeys(one.reference.registry for one in self._artifacts.values()))

    def find(self, path: str) -> Found | None:
        """What is at a path. No path that a tool would spell otherwise is looked for."""
        if not path or clean(path) != path:
            return None
        for prefix, artifact in self._artifacts.items():
            if path.startswith(f"{prefix}/"):
                return artifact.find(path.removeprefix(f"{prefix}/"))
        if len(self._artifacts) == 1:
            (artifact,) = self._artifacts.values()
            return artifact.find(path)
        return None

    def refresh(self) -> bool:
        """Ask for all of them; one that can't be had doesn't hold the others up.

        It waits some seconds, and while there is nothing to serve; what comes after that is taken
        over at a later look. Where one is new and another can't be had, that is reported now, and
        raised at the next look: the new one has to be taken notice of.
        """
        until = time.monotonic() + _PATIENCE
        self._look()
        changed, errors = False, list[CfIndexError]()
        for artifact in self._artifacts.values():
            try:
                changed |= self._took_over(artifact, until)
            except CfIndexError as error:
                errors.append(error)
        self._layers.sweep({key for one in self._artifacts.values() for key in one.wanted()})
        if errors and not changed:
            raise _together(errors)
        for problem in errors:
            self._report(f"Not fresh: {problem}")
        return changed

    def close(self) -> None:
        """End what is under way, and delete what was unpacked."""
        self._threads.shutdown(wait=False)
        self._layers.close()
        self._transport.close()

    def _look(self) -> None:
        """Begin to look at those that aren't being looked at, and wait for them."""
        for artifact in self._artifacts.values():
            if artifact not in self._looks:
                try:
                    self._looks[artifact] = self._threads.submit(artifact.look)
                except RuntimeError as error:
                    raise UnavailableError("The gateway ends.") from error
        looks = self._looks.values()
        wait(looks, _PATIENCE)
        is_any_read = any(one.is_read for one in self._artifacts.values())
        if not is_any_read and not any(look.done() and not look.exception() for look in looks):
            wait(looks)

    def _took_over(self, artifact: Artifact, until: float) -> bool:
        look = self._looks[artifact]
        if not look.done():
            if not artifact.is_read:
                raise UnavailableError(f"{artifact.reference} wasn't read yet.")
            return False
        del self._looks[artifact]
        look.result()
        return artifact.take_over(until)


def _together(errors: list[CfIndexError]) -> CfIndexError:
    """One error for all. Where one of them may be over later, it is of that kind."""
    if len(errors) == 1:
        return errors[0]
    first = next((error for error in errors if isinstance(error, RegistryError)), errors[0])
    more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
    return type(first)("; ".join([*map(str, errors[:_SHOWN]), *more]))
