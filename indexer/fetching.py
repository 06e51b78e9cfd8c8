"""One tag, asked for and understood: its manifests, its index.json, and what they come to.

Runs in worker threads; what is wrong with an artifact costs that artifact alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from indexer.channel.artifact import (
    Fault,
    Place,
    Reading,
    Status,
    archive_layers,
    index_json_layer,
    merge_readings,
    read_artifact,
)
from indexer.channel.index_json import MAX_BYTES, parse_index_json
from indexer.channel.policy import Policy
from indexer.errors import ContentError, NotFoundError, RegistryError
from indexer.registry.base import Registry
from indexer.registry.content import (
    MAX_MANIFEST,
    Digest,
    ImageIndex,
    ImageManifest,
    RawManifest,
    parse_manifest,
)
from indexer.trust.admission import admit
from indexer.trust.judging import Verdicts

_MAX_LEVELS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tag led to.

    Without a ``digest`` it is nothing to remember: content that was gone or broken on the
    way may be there next time. ``same`` says that the tag leads to what is known already;
    ``raw`` is the manifest where it was understood.
    """

    digest: Digest | None
    status: Status
    reading: Reading = field(default_factory=Reading)
    same: bool = False
    raw: RawManifest | None = None


class Fetcher:
    """Reads single tags of a channel. ``now`` is in seconds since 1970."""

    def __init__(self, registry: Registry, channel: str, policy: Policy, now: int) -> None:
        self._registry = registry
        self._channel = channel
        self._policy = policy
        self._now = now

    def full_name(self, subdir: str, repository: str) -> str:
        """A repository's name in the registry."""
        return self._registry.address.repository(self._channel, subdir, repository)

    def fetch(
        self, place: Place, known: Collection[Digest], verdicts: Verdicts | None = None
    ) -> Outcome:
        """Read one tag, unless it leads to a manifest that is ``known``.

        ``verdicts`` are those of its repository, where the policy asks for them. Raises
        RegistryError where the registry doesn't answer.
        """
        repository = self.full_name(place.subdir, place.repository)
        try:
            raw = self._ask_manifest(repository, place.tag)
        except _LostError as error:
            return _unsound(None, error)
        digest = raw.digest
        if digest in known:
            return Outcome(digest, "indexed", same=True)
        files: list[str] = []
        try:
            outcome = self._understand(place, repository, raw, verdicts, files)
            return replace(outcome, raw=raw)
        except _LostError as error:
            return _unsound(None, error, files)
        except ContentError as error:
            return _unsound(digest, error, files)
        except RegistryError:
            raise
        except Exception as error:  # noqa: BLE001  one artifact must not stop a channel
            text = f"a fault of cf-index, please report it: {type(error).__name__}: {error}"
            return _unsound(digest, ContentError(text[:500]), files)

    def _understand(
        self,
        place: Place,
        repository: str,
        raw: RawManifest,
        verdicts: Verdicts | None,
        files: list[str],
    ) -> Outcome:
        """Read what a tag leads to; ``files`` gets the archives' names once they are known."""
        manifests = [m for m in self._leaves(repository, raw) if archive_layers(m)]
        if not manifests:
            raise ContentError("no layer is a conda archive")
        admissions = [admit(m, self._policy, verdicts) for m in manifests]
        told = Reading(
            faults=tuple(fault for a in admissions for fault in a.faults),
            notes=tuple(note for a in admissions for note in a.notes),
        )
        admitted = [a.manifest for a in admissions if a.status == "admitted"]
        if not admitted:
            is_rejected = any(a.status == "rejected" for a in admissions)
            return Outcome(raw.digest, "rejected" if is_rejected else "waiting", told)
        files += [title for m in admitted for layer in archive_layers(m) if (title := layer.title)]
        reading = merge_readings([told, *(self._read(place, repository, m) for m in admitted)])
        reading = self._flag_future(reading)
        return Outcome(raw.digest, "indexed" if reading.records else "unsound", reading)

    def _flag_future(self, reading: Reading) -> Reading:
        """CEP 47: a build time that lies in the future is told of."""
        notes = [
            f"{record.file_name}: its build time lies in the future"
            for record in reading.records
            if (record.fields().get("timestamp") or 0) > self._now * 1000
        ]
        return replace(reading, notes=(*reading.notes, *notes)) if notes else reading

    def _leaves(self, repository: str, raw: RawManifest) -> list[ImageManifest]:
        """The image manifests that a tag leads to, through at most three levels of indexes."""
        leaves: list[ImageManifest] = []
        seen = {raw.digest}
        level, size = [raw], len(raw.body)
        for _ in range(_MAX_LEVELS + 1):
            children: dict[Digest, None] = {}
            for item in level:
                parsed = parse_manifest(item)
                if isinstance(parsed, ImageIndex):
                    children |= dict.fromkeys(child.digest for child in parsed.manifests)
                else:
                    leaves.append(parsed)
            # Two indexes may share a child; digests leave no room for a cycle.
            new = [digest for digest in children if digest not in seen]
            if not new:
                return leaves
            seen.update(new)
            if len(seen) > _MAX_MANIFESTS:
                raise ContentError(f"image indexes of more than {_MAX_MANIFESTS} manifests")
            level = []
            for digest in new:
                level.append(self._ask_manifest(repository, str(digest)))
                size += len(level[-1].body)
                if size > MAX_MANIFEST:
                    raise ContentError(f"image indexes of more than {MAX_MANIFEST} bytes in all")
        raise ContentError(f"image indexes nested deeper than {_MAX_LEVELS}")

    def _read(self, place: Place, repository: str, manifest: ImageManifest) -> Reading:
        layer = index_json_layer(manifest)
        if layer.size > MAX_BYTES:
            raise ContentError(f"index.json has {layer.size} bytes (at most {MAX_BYTES})")
        if layer.data is not None:
            # It stands in the manifest itself; checked against its digest with the rest of it.
            return read_artifact(place, manifest, parse_index_json(layer.data))
        try:
            data = self._registry.blob(repository, layer)
        except (NotFoundError, ContentError) as error:
            raise _LostError(str(error)) from error
        return read_artifact(place, manifest, parse_index_json(data))

    def _ask_manifest(self, repository: str, reference: str) -> RawManifest:
        try:
            return self._registry.manifest(repository, reference)
        except (NotFoundError, ContentError) as error:
            raise _LostError(str(error)) from error


# One tag must not make a run ask for thousands of manifests.
_MAX_MANIFESTS = 64


class _LostError(ContentError):
    """Content that is named, but gone or broken on the way."""


def _unsound(digest: Digest | None, error: ContentError, files: Sequence[str] = ()) -> Outcome:
    reason = str(error) if digest is not None else f"listed, but can't be read: {error}"
    faults = tuple(Fault(reason, file_name) for file_name in dict.fromkeys(files))
    return Outcome(digest, "unsound", Reading(faults=faults or (Fault(reason),)))
