"""Looking at all of a channel for ``prune``: every tag, what it leads to, and how old that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from indexer.channel.artifact import Fault, archive_layers
from indexer.errors import ConfigError, ContentError, GuardError, NotFoundError, RegistryError
from indexer.fetching import Outcome as Read
from indexer.parallel import in_order
from indexer.published import Published, read_bytes
from indexer.registry import Registry
from indexer.registry.content import (
    Digest,
    ImageIndex,
    ImageManifest,
    RawManifest,
    parse_manifest,
)
from indexer.render.history import MAX_FILE, UNSETTLED, decode_unsettled
from indexer.transfer.doomed import Left, Look, Spared, Survey, since
from indexer.transfer.job import Job
from indexer.transfer.standing import Inspector, Shelf
from indexer.trust.admission import admit
from indexer.trust.judging import Held
from indexer.trust.storage import parse_tag

T = TypeVar("T")
R = TypeVar("R")

# An image index of packages has a handful.
_MAX_MANIFESTS = 64
_UNREAD = (
    "there are verdicts on it, and no key is trusted to read them: say --policy attestation and "
    "--trust, as for rebuild"
)
_SIGNED = (
    "a trusted key let it in, if only from a later date on, and what its annotation says (anyone "
    "who may push writes that) doesn't take it out; a verdict that says no does"
)
# Reasons that are told of one build.
_REASONS = 3

# By subdir, repository and tag: when a build was first seen, in seconds since 1970.
FirstSeen = Mapping[tuple[str, str, str], int]


def read_first_seen(site: Published) -> FirstSeen:
    """What a published site remembers of builds that aren't let in; nothing without such a file.

    Raises GuardError where it can't be read.
    """
    try:
        data = read_bytes(site, UNSETTLED, MAX_FILE)
        return decode_unsettled(data) if data is not None else {}
    except (ContentError, ConfigError) as error:
        raise GuardError(
            f"{site.location}: when builds were first seen can't be read: {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class Reach:
    """All manifests that one (``root``) leads to, itself among them; ``leaves`` have archives."""

    root: Digest
    digests: frozenset[Digest]
    leaves: tuple[ImageManifest, ...]

    @property
    def archives(self) -> frozenset[Digest]:
        """The archives that they hold."""
        return frozenset(layer.digest for leaf in self.leaves for layer in archive_layers(leaf))


def reach(registry: Registry, full_name: str, raw: RawManifest) -> Reach:
    """Follow a manifest through image indexes, as far as they can be read.

    What can't be is nobody's package: whoever may push must not keep a repository from being
    pruned by pushing nonsense into it.
    """
    digests, leaves = {raw.digest}, []
    waiting = [raw]
    while waiting and len(digests) <= _MAX_MANIFESTS:
        try:
            parsed = parse_manifest(waiting.pop())
        except ContentError:
            continue
        if not isinstance(parsed, ImageIndex):
            leaves.append(parsed)
            continue
        new = {child.digest for child in parsed.manifests} - digests
        digests |= new
        for digest in sorted(new):
            # It may be named, and gone or broken: nothing lies behind it.
            with suppress(NotFoundError, ContentError):
                waiting.append(registry.manifest(full_name, str(digest)))
    return Reach(
        raw.digest, frozenset(digests), tuple(leaf for leaf in leaves if archive_layers(leaf))
    )


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Looks at repositories; all or nothing: what is judged by a part of it isn't pruned."""

    job: Job
    inspector: Inspector
    first_seen: FirstSeen

    def survey(
        self,
        names: Iterable[tuple[str, str]],
        needs_others: Callable[[Survey, Sequence[str]], bool],
    ) -> list[Survey]:
        """What all tags of repositories (subdir and name) lead to.

        Of those that can't be packages', only where ``needs_others`` says so. Raises RegistryError.
        """
        ordered = sorted(names)
        shelves = list(self._each("Listing tags", ordered, lambda name: self._shelf(*name)))
        packages = self._looks("Looking at builds", shelves, lambda shelf: shelf.tags, self._look)
        surveys = {
            shelf.full_name: Survey(
                shelf.subdir,
                shelf.repository,
                shelf.full_name,
                tuple(packages.get(shelf.full_name, ())),
                spared=_spared(shelf),
                verdicts={held.tag: held.verdict for held in shelf.held if held.tag},
            )
            for shelf in shelves
        }
        needed = [s for s in shelves if needs_others(surveys[s.full_name], s.others)]
        others = self._looks(
            "Looking at other tags", needed, lambda shelf: shelf.others, self._look_beside
        )
        for full_name, looks in others.items():
            surveys[full_name] = replace(surveys[full_name], others=tuple(looks))
        return list(surveys.values())

    def _looks(
        self,
        what: str,
        shelves: Sequence[Shelf],
        tags: Callable[[Shelf], Sequence[str]],
        look: Callable[[Shelf, str], Look],
    ) -> dict[str, list[Look]]:
        """Look at tags of many repositories, by their full names."""
        pairs = [(shelf, tag) for shelf in shelves for tag in tags(shelf)]
        found: dict[str, list[Look]] = {}
        for full_name, seen in self._each(
            what, pairs, lambda pair: (pair[0].full_name, look(*pair))
        ):
            found.setdefault(full_name, []).append(seen)
        return found

    def _each(self, what: str, items: Sequence[T], work: Callable[[T], R]) -> Iterator[R]:
        job = self.job
        job.progress.begin(what, len(items))
        with closing(in_order(work, items, jobs=job.jobs, abort=job.abort)) as results:
            for result in results:
                job.progress.step()
                yield result
        job.progress.end()

    def _shelf(self, subdir: str, repository: str) -> Shelf:
        try:
            return self.inspector.shelf(subdir, repository)
        except NotFoundError:
            # docker-registry lists a repository with blobs and no tag yet: an upload broke off.
            return Shelf(subdir, repository, self.inspector.full_name(subdir, repository))
        except RegistryError as error:
            raise _incomplete(f"{subdir}/{repository}", error) from error

    def _look(self, shelf: Shelf, tag: str) -> Look:
        """A package's tag."""
        try:
            read = self.inspector.look(shelf, tag)
        except RegistryError as error:
            raise _incomplete(f"{shelf.subdir}/{shelf.repository}:{tag}", error) from error
        found = self._reach(shelf, tag, read.raw)
        look = self._as_look(tag, found)
        if isinstance(found, ContentError) or self._is_let_in(shelf, read, found):
            return look
        if trouble := self._doubt(shelf, found):
            return replace(look, trouble=trouble)
        seen = self.first_seen.get((shelf.subdir, shelf.repository, tag))
        return replace(
            look,
            left=self._left(shelf, read, found.leaves),
            why=_why(read.reading.faults),
            since=since(found.leaves, seen, self.inspector.now),
        )

    def _doubt(self, shelf: Shelf, found: Reach) -> str:
        """Why a build that isn't let in stays all the same, whatever its age; else empty."""
        if any(tag.archive in found.archives for tag in shelf.unread):
            return _UNREAD
        if lost := _lost_verdict(shelf, found):
            return f"the verdict {lost} on it can't be read"
        return _SIGNED if self._is_signed(shelf, found) else ""

    def _is_signed(self, shelf: Shelf, found: Reach) -> bool:
        """Whether verdicts alone would let it in, at whatever time."""
        policy = self.inspector.policy
        if not policy.asks_verdict:
            return False
        by_verdict = replace(policy, name="attestation")
        verdicts = shelf.verdicts(datetime.max.replace(tzinfo=UTC))
        return any(admit(m, by_verdict, verdicts).status == "admitted" for m in found.leaves)

    def _is_let_in(self, shelf: Shelf, read: Read, found: Reach) -> bool:
        """Whether somebody let it in, be it fit for an index or not."""
        if read.status != "unsound":
            return read.status == "indexed"
        policy = self.inspector.policy
        passed = {held.verdict.archive for held in shelf.held if held.verdict.passed}
        if policy.asks_verdict and not found.archives & passed:
            return False
        standings = {policy.standing(leaf.annotations) for leaf in found.leaves}
        return not policy.asks_annotation or "validated" in standings

    def _look_beside(self, shelf: Shelf, tag: str) -> Look:
        """A tag that is no package's."""
        return self._as_look(tag, self._reach(shelf, tag))

    def _as_look(self, tag: str, found: Reach | ContentError) -> Look:
        if isinstance(found, ContentError):
            return Look(tag, None, None, trouble=str(found))
        return Look(tag, found.root, found.digests, found.archives)

    def _reach(
        self, shelf: Shelf, tag: str, raw: RawManifest | None = None
    ) -> Reach | ContentError:
        """Where a tag leads; or why that can't be told, which mustn't stop all pruning.

        Raises RegistryError where there is no answer, or where it isn't there any more.
        """
        registry = self.inspector.registry
        try:
            raw = raw or registry.manifest(shelf.full_name, tag)
            return reach(registry, shelf.full_name, raw)
        except ContentError as error:
            return error
        except RegistryError as error:
            raise _incomplete(f"{shelf.subdir}/{shelf.repository}:{tag}", error) from error

    def _left(self, shelf: Shelf, read: Read, leaves: Sequence[ImageManifest]) -> frozenset[Left]:
        """Why the archives of a build aren't let in: of several, each may have its own reason."""
        if read.status in {"waiting", "unsound"}:
            return frozenset({"unmarked"})
        policy = self.inspector.policy
        failed = {held.verdict.archive for held in shelf.held if not held.verdict.passed}
        found: set[Left] = set()
        for leaf in leaves:
            is_marked = policy.asks_annotation and policy.standing(leaf.annotations) == "rejected"
            for layer in archive_layers(leaf):
                is_rejected = is_marked or layer.digest in failed
                found.add("rejected" if is_rejected else "unmarked")
        return frozenset(found)


def _lost_verdict(shelf: Shelf, found: Reach) -> str | None:
    """The tag of a verdict that may say yes to something there, as far as anybody knows."""
    for void in shelf.void:
        tag = parse_tag(void.tag)
        if void.lost and tag is not None and tag.archive in found.archives:
            return void.tag
    return None


def _spared(shelf: Shelf) -> dict[str, Spared]:
    """Tags of verdicts that mustn't go, and why: nobody knows that they aren't needed."""
    spared: dict[str, Spared] = {str(tag): "unread" for tag in shelf.unread}
    spared |= {void.tag: "lost" for void in shelf.void if void.lost}
    return spared | dict.fromkeys(_unremembered(shelf.held), "no")


def _unremembered(held: Sequence[Held]) -> Iterator[str]:
    """Tags of verdicts that say no, and that a published site doesn't remember.

    Without them, whoever kept an earlier yes could bring back what was rejected.
    """
    remembered = {
        (item.verdict.archive, item.verdict.file_name): item.verdict.time
        for item in held
        if not item.tag
    }
    for item in held:
        verdict = item.verdict
        if verdict.passed or not item.tag:
            continue
        known = remembered.get((verdict.archive, verdict.file_name))
        if known is None or known < verdict.time:
            yield item.tag


def _why(faults: Sequence[Fault]) -> str:
    reasons = list(dict.fromkeys(fault.reason for fault in faults))
    return "; ".join(reasons[:_REASONS])


def _incomplete(what: str, error: RegistryError) -> RegistryError:
    return RegistryError(
        f"{what} is listed, but can't be looked at, so nothing is pruned: {error} Run it again."
    )
