"""``mirror --prune``: taking out of a registry what upstream doesn't have any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from indexer.channel import codec, manifest
from indexer.channel.artifact import Place, place_of
from indexer.channel.plan import Count, Guard
from indexer.channel.selection import wanted
from indexer.errors import ContentError, NotFoundError, UnsupportedError
from indexer.registry import Registry
from indexer.registry.address import is_tag
from indexer.registry.content import RawManifest
from indexer.registry.names import Listing
from indexer.transfer.outcome import Crew, Item, Outcome
from indexer.transfer.pushing import Pusher
from indexer.transfer.upstream import Entry


@dataclass(frozen=True, slots=True)
class _Gone:
    """Archives of one build that upstream has no more."""

    place: Place
    items: tuple[Item, ...]


class Pruner:
    """Plans a removal, has a guard look at it, and carries it out.

    ``listing`` asks which repositories of some subdirs there are (without any: of all); it may
    raise UnsupportedError. ``subdirs`` are those that are mirrored.
    """

    def __init__(
        self,
        registry: Registry,
        outcome: Outcome,
        guard: Guard,
        listing: Callable[[Sequence[str]], Listing],
        subdirs: Sequence[str] = (),
    ) -> None:
        self._registry = registry
        self._outcome = outcome
        self._guard = guard
        self._listing = listing
        self._subdirs = tuple(subdirs)
        self._plan: list[_Gone] = []

    def plan(
        self,
        crew: Crew,
        pusher: Pusher,
        listed: Mapping[str, Sequence[Entry]],
        globs: Sequence[str],
        unusable: Collection[str] = (),
    ) -> None:
        """Find what is to go. Raises GuardError where that is too much.

        What upstream lists, though it is ``unusable`` (``subdir/file``), isn't removed there.
        """
        known = {(entry.place, entry.file_name) for entries in listed.values() for entry in entries}
        counts = {subdir: Count() for subdir in listed}
        places = self._places(crew, pusher, listed, globs)
        for place, raw in crew.each(places, pusher.find, lambda place: [_name(place)]):
            if raw is None:
                continue
            items = self._archives(pusher, place, raw, globs)
            gone = tuple(
                item
                for item in items
                if (place, item.file_name) not in known and str(item) not in unusable
            )
            counts[place.subdir].before += len(items)
            counts[place.subdir].removed += len(gone)
            if gone:
                self._plan.append(_Gone(place, gone))
        unlisted = [subdir for subdir, entries in listed.items() if not entries and not globs]
        self._guard.raise_if_unsafe(counts, unlisted=unlisted, doing="prune", listed="archives")

    def carry_out(self, crew: Crew, pusher: Pusher) -> None:
        """Take out what was planned; in a dry run only count it."""
        if self._outcome.dry_run:
            for gone in self._plan:
                self._outcome.took_out(gone.items)
            return
        for _ in crew.each(
            self._plan,
            lambda gone: self._outcome.took_out(self._remove(pusher, gone)),
            lambda gone: [str(item) for item in gone.items],
        ):
            pass

    def _places(
        self,
        crew: Crew,
        pusher: Pusher,
        listed: Mapping[str, Sequence[Entry]],
        globs: Sequence[str],
    ) -> Iterator[Place]:
        """Every tag of the registry that is of what was mirrored."""
        repositories = {
            (entry.place.subdir, entry.place.repository)
            for entries in listed.values()
            for entry in entries
        }
        try:
            listing = self._listing(self._subdirs)
        except NotFoundError:
            # A folder that nothing was written into yet.
            pass
        except UnsupportedError as error:
            self._outcome.note(
                f"{error} So packages that upstream has removed altogether are not found; "
                "single builds of the others are."
            )
        else:
            self._note_others(listing, listed)
            repositories |= {
                (subdir, name)
                for subdir, names in listing.repositories.items()
                for name in names
                if subdir in listed
                and any(wanted(spelt, globs) for spelt in codec.possible_names(name))
            }
        tags = crew.each(
            sorted(repositories),
            lambda item: pusher.tags(pusher.repository(Place(*item, ""))),
            lambda item: ["/".join(item)],
        )
        for (subdir, name), found in tags:
            for tag in sorted(found):
                if codec.is_package_tag(tag) and is_tag(tag):
                    yield Place(subdir, name, tag)

    def _note_others(self, listing: Listing, listed: Mapping[str, Sequence[Entry]]) -> None:
        """What upstream has no subdir for is left: it may be of somebody else's making."""
        for subdir, names in listing.repositories.items():
            if names and subdir not in listed:
                self._outcome.note(
                    f"{subdir}: upstream has no such subdir; its {len(names)} packages are left"
                )

    def _archives(
        self, pusher: Pusher, place: Place, raw: RawManifest, globs: Sequence[str]
    ) -> list[Item]:
        """The archives that a mirror puts there; tags and files of others are let be."""
        try:
            layers = manifest.archives(raw)
        except ContentError as error:
            self._outcome.note(f"{_name(place)} is left: {error}")
            return []
        reference = pusher.reference(place)
        return [
            Item(place.subdir, layer.title, layer.digest.hex, layer.size, reference)
            for layer in layers
            if layer.title is not None and _belongs(place, layer.title, globs)
        ]

    def _remove(self, pusher: Pusher, gone: _Gone) -> tuple[Item, ...]:
        """Looks again: copying the build's other format has written the tag anew."""
        repository, raw = pusher.repository(gone.place), pusher.find(gone.place)
        if raw is None:
            return ()
        there = {(layer.title, layer.digest.hex) for layer in manifest.archives(raw)}
        items = tuple(item for item in gone.items if (item.file_name, item.sha256) in there)
        if not items:
            return ()
        rest = manifest.without_archives(raw, [item.file_name for item in items])
        if rest is None:
            self._registry.delete_manifest(repository, raw.digest)
        else:
            tag, digest = gone.place.tag, raw.digest
            self._registry.put_manifest(repository, tag, rest, raw.media_type, replaces=digest)
        return items


def _belongs(place: Place, file_name: str, globs: Sequence[str]) -> bool:
    """Whether a file is one of the build that a place is of, and is among ``globs``."""
    parts = file_name.rsplit("-", 2)
    return (
        len(parts) == 3 and place_of(place.subdir, file_name) == place and wanted(parts[0], globs)
    )


def _name(place: Place) -> str:
    return f"{place.subdir}/{place.repository}:{place.tag}"
