"""Which repositories a run reads: the configuration's word first, then the registry's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from indexer.channel import codec
from indexer.channel.index_json import NAME, SUBDIR
from indexer.config import Config
from indexer.errors import ConfigError, RegistryError, UnsupportedError, printable
from indexer.rebuild.previous import Previous
from indexer.registry import Registry, Transport
from indexer.registry import names as sources
from indexer.registry.feed import Feed, feed_of
from indexer.registry.github import APIS, token_from

_SHOWN = 5
# As many requests as the feed takes at most: so few repositories are listed at no higher cost.
_WORTH_ASKING = 100


def is_selected(config: Config, name: str) -> bool:
    """Whether ``--package`` lets a run touch this package."""
    patterns = config.packages
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def named_first(config: Config) -> tuple[set[str], list[str]]:
    """The repositories of the packages to be looked at first, and notes on what names none.

    Whoever names them may be another service: one odd name is no reason to read nothing.
    """
    odd = [name for name in config.first if not NAME.fullmatch(name)]
    found = {codec.repository_name(name) for name in config.first if name not in odd}
    if not odd:
        return found, []
    shown = ", ".join(printable(name, 100) for name in odd[:_SHOWN])
    return found, [f"{len(odd):,} names to be first can't be packages' and are ignored: {shown}"]


def is_repository_selected(config: Config, repository: str) -> bool:
    """The same by a repository's last component."""
    return any(is_selected(config, name) for name in codec.possible_names(repository))


def read_names_file(path: str | None) -> tuple[str, ...] | None:
    """The lines of a names file (``-`` is stdin); None where there is none to read."""
    if path is None:
        return None
    try:
        if path == "-":
            return tuple(sys.stdin)
        # Windows' editors begin a file with a byte order mark.
        with Path(path).open(encoding="utf-8-sig") as file:
            return tuple(file)
    except (OSError, UnicodeDecodeError, TypeError) as error:
        # A closed standard input is None.
        raise ConfigError(f"The names file {path} can't be read: {error}.") from error


@dataclass(frozen=True, slots=True)
class Names:
    """Finds the names of the channel's packages."""

    config: Config
    registry: Registry
    transport: Transport
    environ: Mapping[str, str]
    lines: tuple[str, ...] | None = None
    # Addresses of the APIs that tell what has changed, by the registry's host.
    apis: Mapping[str, str] = field(default_factory=lambda: APIS)

    def find(
        self, previous: Previous, remembered: Callable[[str], Collection[str]]
    ) -> sources.Listing:
        """The repositories to read, by subdir.

        ``remembered`` gives those of a subdir that were seen before, published or not. Raises
        RegistryError where no source can name them, or one broke off.
        """
        token = token_from(self.environ)
        feed = feed_of(self.registry, self.config.channel, self.transport, token, self.apis)
        listing = self._listing(previous, remembered, feed)
        # What a person names is always listed.
        if feed is not None and not self.config.packages:
            listing = self._with_stamps(listing, feed)
        notes = list(listing.notes)
        if listing.ignored:
            shown = ", ".join(printable(name, 200) for name in listing.ignored[:_SHOWN])
            notes.append(
                f"{len(listing.ignored)} repositories can't be packages and are ignored: {shown}"
            )
        if not any(listing.repositories.values()):
            notes.append(f"{listing.source}: not one repository of the channel is listed")
        if not listing.shows_new:
            notes.append("names come from the previous index alone: new packages can't be seen")
        # A subdir that was published and is listed no more is still looked at, by the guard.
        found = dict(listing.repositories)
        for subdir in self.config.subdirs or previous.subdirs():
            found.setdefault(subdir, ())
        # By the whole listing, whichever part of it this run is to read.
        unlisted = tuple(subdir for subdir, repositories in found.items() if not repositories)
        if self.config.packages:
            found = {
                subdir: tuple(r for r in repositories if is_repository_selected(self.config, r))
                for subdir, repositories in found.items()
            }
        return replace(listing, repositories=found, unlisted=unlisted, notes=tuple(notes))

    def subdirs(self, previous: Previous) -> list[str]:
        """The subdirs that a run reads, noarch at the least: every channel has it.

        Those that were published are among them, whether the registry still lists them or not:
        the guard looks at them. Raises RegistryError where no source can name any.
        """
        found = set(self.config.subdirs)
        if not found:
            token = token_from(self.environ)
            feed = feed_of(self.registry, self.config.channel, self.transport, token, self.apis)
            found.update(previous.subdirs())
            try:
                found.update(self._from_sources(feed).repositories)
            except UnsupportedError as error:
                if not found:
                    raise RegistryError(f"{error} Use --names FILE, or --subdir.") from error
        return sorted(found or {"noarch"})

    def _with_stamps(self, listing: sources.Listing, feed: Feed) -> sources.Listing:
        """The same with what the feed says of the repositories, where that is worth asking."""
        if self.config.list_all:
            return replace(listing, no_feed="--list-all was said")
        count = sum(map(len, listing.repositories.values()))
        if not feed.is_read and count <= _WORTH_ASKING:
            why = f"for {count} repositories, asking for changes costs as much as it saves"
            return replace(listing, no_feed=why)
        stamps = {
            subdir: feed.stamps(subdir, repositories)
            for subdir, repositories in listing.repositories.items()
        }
        return replace(listing, stamps=stamps, no_feed=feed.trouble)

    def _listing(
        self,
        previous: Previous,
        remembered: Callable[[str], Collection[str]],
        feed: Feed | None,
    ) -> sources.Listing:
        config = self.config
        subdirs = config.subdirs or tuple(previous.subdirs())
        if (
            self.lines is None
            and config.subdirs
            and config.packages
            and not any(map(_is_glob, config.packages))
        ):
            # Whole names need no listing: a dispatched run asks for nothing else. Without
            # subdirs, the listing is where those come from.
            spelt = tuple(sorted({codec.repository_name(name) for name in config.packages}))
            return sources.Listing("--package", dict.fromkeys(config.subdirs, spelt))
        try:
            return self._from_sources(feed)
        except UnsupportedError as error:
            known = {
                subdir: sorted(
                    {
                        *map(codec.repository_name, previous.subdir(subdir).names()),
                        *remembered(subdir),
                    }
                )
                for subdir in subdirs
            }
            if not any(known.values()):
                raise RegistryError(
                    f"{error} There is no previous index to take names from either; "
                    "use --names FILE."
                ) from error
            return sources.from_previous(known, [str(error)])

    def _from_sources(self, feed: Feed | None) -> sources.Listing:
        """What the names file or the registry says. Raises UnsupportedError where that can't."""
        channel = sources.Channel(
            self.config.channel,
            self.config.subdirs,
            SUBDIR,
            frozenset({codec.REPODATA_REPOSITORY}),
        )
        if self.lines is not None:
            return sources.from_lines(self.lines, channel, codec.repository_name)
        return sources.from_registry(self.registry, channel, feed)


def _is_glob(pattern: str) -> bool:
    return bool(set("*?[") & set(pattern))
