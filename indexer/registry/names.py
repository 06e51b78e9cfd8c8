"""Where the names of a channel's packages come from, in order of preference.

A names file, the registry's own listing (a folder's, or ``/v2/_catalog``), the GitHub
Packages API for ghcr.io, and last the previous index, which can't show what is new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from indexer.errors import ConfigError, printable
from indexer.registry.address import is_repository
from indexer.registry.base import Registry
from indexer.registry.feed import SOURCE, Feed
from indexer.registry.github import Stamp


@dataclass(frozen=True, slots=True)
class Listing:
    """Which repositories to read: their last components, by subdir, and who said so.

    ``shows_new`` is false where the names are only those of the previous index;
    ``ignored`` are repositories of the channel that can't be a package's, ``unlisted`` subdirs
    for which not one repository is listed. ``stamps`` tell by subdir and repository whether it
    has changed; ``no_feed`` is why they don't of any, or of all.
    """

    source: str
    repositories: Mapping[str, tuple[str, ...]]
    shows_new: bool = True
    ignored: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stamps: Mapping[str, Mapping[str, Stamp]] = field(default_factory=dict)
    no_feed: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """The channel whose repositories are looked for: ``<namespace>/<name>/<subdir>/<package>``."""

    name: str
    subdirs: tuple[str, ...]
    subdir_pattern: re.Pattern[str]
    not_packages: frozenset[str] = field(default_factory=frozenset)


def from_lines(lines: Iterable[str], channel: Channel, spell: Callable[[str], str]) -> Listing:
    """Names from a file: ``name`` (in every subdir) or ``subdir/name``, one a line, # comments."""
    found: dict[str, set[str]] = {subdir: set() for subdir in channel.subdirs}
    for number, raw in enumerate(lines, 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        subdir, slash, name = line.rpartition("/")
        if not name:
            raise ConfigError(f"The names file, line {number}: {line!r} names no package.")
        if slash and not channel.subdir_pattern.fullmatch(subdir):
            raise ConfigError(f"The names file, line {number}: {subdir!r} is not a subdir.")
        if not slash and not channel.subdirs:
            raise ConfigError(
                f"The names file, line {number}, gives no subdir for {name!r}: write "
                "subdir/name, or say --subdir."
            )
        targets = (subdir,) if slash else channel.subdirs
        for target in targets:
            if not channel.subdirs or target in channel.subdirs:
                found.setdefault(target, set()).add(_spelt(name, spell, number))
    return _listing("the names file", found)


def _spelt(name: str, spell: Callable[[str], str], number: int) -> str:
    repository = spell(name)
    if not is_repository(repository):
        raise ConfigError(
            f"The names file, line {number}: {printable(name, 100)!r} can't be a package's name."
        )
    return repository


def from_repositories(source: str, names: Iterable[str], prefix: str, channel: Channel) -> Listing:
    """Pick a channel's packages out of full repository names."""
    found: dict[str, set[str]] = {subdir: set() for subdir in channel.subdirs}
    ignored = []
    start = f"{prefix}/" if prefix else ""
    for full in names:
        if not full.startswith(start):
            continue
        subdir, _, name = full.removeprefix(start).partition("/")
        if channel.subdirs and subdir not in channel.subdirs:
            continue
        if not name or name.partition("/")[0] in channel.not_packages:
            continue
        if "/" in name or not channel.subdir_pattern.fullmatch(subdir):
            ignored.append(full)
            continue
        found.setdefault(subdir, set()).add(name)
    return _listing(source, found, ignored)


def from_registry(registry: Registry, channel: Channel, feed: Feed | None) -> Listing:
    """Ask the feed where there is one, as for ghcr.io, and else the registry itself.

    Raises UnsupportedError where they can't say.
    """
    if feed is not None:
        return from_repositories(SOURCE, feed.packages(), feed.prefix, channel)
    address = registry.address
    source = "the folders" if address.scheme == "ocidir" else "the registry's catalog"
    prefix = address.repository(channel.name)
    return from_repositories(source, registry.repositories(), prefix, channel)


def from_previous(names: Mapping[str, Sequence[str]], notes: Sequence[str]) -> Listing:
    """The names of the previous index, when nothing better is to be had."""
    found = {subdir: set(items) for subdir, items in names.items()}
    listing = _listing("the previous index", found)
    return Listing(listing.source, listing.repositories, shows_new=False, notes=tuple(notes))


def _listing(source: str, found: Mapping[str, set[str]], ignored: Sequence[str] = ()) -> Listing:
    ordered = {subdir: tuple(sorted(names)) for subdir, names in sorted(found.items())}
    return Listing(source, ordered, ignored=tuple(ignored))
