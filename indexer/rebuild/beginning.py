"""Where a run begins: at the site as published last, in a folder or brought from an address."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from indexer.config import Config
from indexer.errors import ConfigError, ContentError, GuardError, RegistryError
from indexer.files import has_sha256, replace_file
from indexer.parallel import in_order
from indexer.published import (
    Folder,
    Website,
    check_address,
    is_address,
    is_path,
    open_published,
    read_bytes,
)
from indexer.published.history import read_generations
from indexer.rebuild.previous import Previous, load_previous
from indexer.rebuild.publish import Output
from indexer.registry import Transport
from indexer.render import history, repodata, shards
from indexer.render.generations import path_of

_THREADS = 16
# In the state's folder: by channel, where there were sites.
_SITES = "sites.json"
# What every channel has, whatever tool made it.
_ANY_CHANNEL = "noarch/repodata.json"


@contextlib.contextmanager
def scratch_folder(output: Output, *, apart: bool) -> Iterator[Path]:
    """A folder for what is fetched: beside the output, so that it can be linked, or ``apart``."""
    if apart:
        # Another run may be using the one beside the output.
        with tempfile.TemporaryDirectory(prefix="cf-index-") as folder:
            yield Path(folder)
        return
    try:
        yield output.scratch
    finally:
        shutil.rmtree(output.scratch, ignore_errors=True)


def note_site(config: Config) -> None:
    """Remember, beside the state, that there is a published site now.

    Not in the state: it is there when that is set aside, or is another policy's.
    """
    sites, known = _read_sites(config)
    place = _place_of(config)
    if place not in known:
        sites[_channel_of(config)] = sorted({*known, place})
        data = orjson.dumps(sites, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        config.state.mkdir(parents=True, exist_ok=True)
        replace_file(config.state / _SITES, data)


def _read_sites(config: Config) -> tuple[dict[str, Any], set[str]]:
    """All that is remembered, and of it where this channel was."""
    try:
        sites = orjson.loads((config.state / _SITES).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        sites = {}
    sites = sites if isinstance(sites, dict) else {}
    places = sites.get(_channel_of(config))
    return sites, {str(place) for place in places} if isinstance(places, list) else set()


def _channel_of(config: Config) -> str:
    return f"{config.registry} {config.channel}"


def _place_of(config: Config) -> str:
    """Where the next run will look for what this one publishes."""
    return config.previous or os.path.abspath(config.output)  # noqa: PTH100  links stay


@dataclass(frozen=True, slots=True)
class Beginning:
    """Finds the previous site, and refuses what would begin a channel anew or mix two."""

    config: Config
    output: Path
    transport: Transport

    def find(self, scratch: Path) -> Previous:
        """The previous site; from an address it is brought into ``scratch``.

        For a part only what its subdirs need is.
        Raises ConfigError, RegistryError where it can't be read, GuardError where it is that
        of another channel.
        """
        location = self.config.previous
        if location is None:
            previous = load_previous(self.output)
        elif is_address(location):
            check_address(location)
            scratch.mkdir(parents=True, exist_ok=True)
            # Half of it as it was before the last run would be another site, or none that fits.
            website = Website(location, self.transport, scratch, fresh=True)
            only = self.config.subdirs if self.config.part is not None else ()
            previous = bring_back(website, scratch / "site", self.output, only)
        elif not Path(location).is_dir():
            raise ConfigError(f"--previous {location}: there is no such folder.")
        else:
            folder = Path(location).absolute()
            previous = load_previous(folder, foreign=folder != self.output)
            if previous.folder is None:
                previous = _first(str(folder), is_channel=(folder / _ANY_CHANNEL).exists())
        self._refuse_another_channel(previous)
        return previous

    def look(self) -> Previous:
        """The previous site's snapshot alone, which says what there is.

        Raises as ``find`` does.
        """
        location = self.config.previous or str(self.output)
        with open_published(location, self.transport, fresh=True) as site:
            data = read_bytes(site, history.SNAPSHOT, history.MAX_FILE)
        if data is None:
            return Previous()
        try:
            return Previous(None, history.decode_snapshot(data))
        except ContentError as error:
            raise RegistryError(f"{location}: {error}.") from error

    def not_anew(self, previous: Previous) -> Previous:
        """What to begin with where there is no previous site: the output's own, if anything.

        Raises GuardError where there is none either, though there was one.
        """
        location = self.config.previous
        if previous.folder is not None:
            return previous
        _, known = _read_sites(self.config)
        if location is None:
            # Whoever deletes an output may mean it; but what goes with it has to be said.
            gone = {_place_of(self.config)} & known
            notes = (f"the site in {self.output} is gone: entry times begin anew",) if gone else ()
            return replace(previous, notes=(*previous.notes, *notes))
        own = load_previous(self.output)
        if own.folder is not None:
            self._refuse_another_channel(own)
            note = f"there is no site at {location} yet; the one in the output is built upon"
            return replace(own, notes=(*own.notes, note))
        if known and not self.config.allow_drop:
            raise GuardError(
                f"There is no site at --previous {location}, but there was one at {min(known)}: "
                "its entry times and history would be lost. Mend the address, or say --allow-drop."
            )
        return previous

    def _refuse_another_channel(self, previous: Previous) -> None:
        config, snapshot = self.config, previous.snapshot
        here = (str(config.registry), config.channel)
        if snapshot and (snapshot.registry, snapshot.channel) != here and not config.allow_drop:
            raise GuardError(
                f"The previous index was made from {snapshot.registry}, channel "
                f"{snapshot.channel}. If the channel has moved, say --allow-drop; if not, name "
                "another output."
            )


def bring_back(
    website: Website, folder: Path, current: Path, only: Collection[str] = ()
) -> Previous:
    """Bring a published site into ``folder``, every file checked against its snapshot.

    With ``only`` some subdirs, what isn't needed for those stays away. What ``current`` has already
    isn't fetched again, and nothing is where it is the very same site, and whole. Raises
    RegistryError where the site can't be read or doesn't hold together.
    """
    data = read_bytes(website, history.SNAPSHOT, history.MAX_FILE)
    if data is None:
        other = website.fetch(_ANY_CHANNEL)
        if other is not None:
            other.unlink()
        return _first(website.location, is_channel=other is not None)
    if read_bytes(Folder(current), history.SNAPSHOT, history.MAX_FILE) == data:
        same = load_previous(current)
        if _can_be_used(same, current):
            return same
    try:
        snapshot = history.decode_snapshot(data)
    except ContentError as error:
        raise RegistryError(f"{website.location}{history.SNAPSHOT}: {error}.") from error
    shutil.rmtree(folder, ignore_errors=True)
    _place(folder, history.SNAPSHOT, data)
    copy = _Copy(website, folder, current)
    subdirs = {name: entry for name, entry in snapshot.subdirs.items() if not only or name in only}
    files = {
        path: entry.sha256
        for path, entry in snapshot.files.items()
        if not only or path == history.REJECTIONS
    }
    for entry in subdirs.values():
        files |= {path: item.sha256 for path, item in entry.files.items()}
    odd = copy.bring(files)
    for subdir, entry in subdirs.items():
        _bring_shards(copy, subdir, () if only else entry.superseded, odd)
    _bring_generations(copy, () if only else snapshot.listed().values())
    # Not in the snapshot: they change with every upload, and say nothing that clients read.
    for path in (history.UNSETTLED, history.LEFT_OUT):
        # One that is damaged is passed over, as it is where it lies in a folder.
        with contextlib.suppress(ContentError):
            data = read_bytes(website, path, history.MAX_FILE)
            if data is not None:
                _place(folder, path, data)
    notes = tuple(
        f"{website.location}{path} is missing or isn't what the snapshot lists: it is made anew"
        for path in sorted(odd)
    )
    return Previous(folder, snapshot, notes)


def _bring_shards(copy: _Copy, subdir: str, superseded: Collection[str], odd: set[str]) -> None:
    """A subdir's shards; without all of them its repodata.json has to be sound."""
    place = f"{subdir}/{shards.FOLDER}"
    missing = {f"{subdir}/{shards.INDEX_NAME}"} & odd
    if not missing:
        path = copy.folder / subdir / shards.INDEX_NAME
        try:
            _, hashes = shards.unpack_index(path.read_bytes())
        except (ContentError, OSError) as error:
            raise RegistryError(
                f"{copy.website.location}{subdir}/{shards.INDEX_NAME} can't be read: {error}."
            ) from error
        missing = copy.bring({f"{place}/{h}{shards.SUFFIX}": h for h in hashes.values()})
    if missing and f"{subdir}/{repodata.FILE_NAME}" in odd:
        raise RegistryError(
            f"{copy.website.location}{min(missing)} is missing or isn't what the snapshot lists, "
            "and neither is repodata.json. If the site is just being deployed, try again in some "
            "minutes."
        )
    copy.bring({f"{place}/{h}{shards.SUFFIX}": h for h in superseded})
    odd |= missing


def _can_be_used(copy: Previous, folder: Path) -> bool:
    """Whether a local copy looks whole, with all that is kept for later."""
    subdirs = [copy.subdir(name) for name in copy.subdirs()]
    if not (copy.looks_whole() and all(subdir.can_be_linked() for subdir in subdirs)):
        return False
    for subdir in subdirs:
        superseded = subdir.entry.superseded if subdir.entry is not None else {}
        if not superseded.keys() <= subdir.shard_sizes().keys():
            return False
    listed = copy.snapshot.listed().values() if copy.snapshot is not None else ()
    try:
        return all((folder / path).is_file() for path in _kept_indexes(folder, listed))
    except ContentError:
        return False


def _kept_indexes(folder: Path, listed: Collection[history.FileEntry]) -> dict[str, str]:
    """Paths and hashes of earlier generations' indexes, but those that are published now.

    Raises ContentError where the list of generations isn't one.
    """
    here = {entry.sha256 for entry in listed}
    generations = read_generations(Folder(folder)) if here else []
    return {
        path_of(subdir, index.sha256): index.sha256
        for generation in generations
        for subdir, index in generation.indexes.items()
        if index.sha256 not in here
    }


def _bring_generations(copy: _Copy, listed: Collection[history.FileEntry]) -> None:
    """The indexes of earlier generations; without one of them its generation is lost, no more.

    Those that are ``listed`` by the snapshot are published now. Where nothing is, none is needed.
    """
    with contextlib.suppress(ContentError):
        copy.bring(_kept_indexes(copy.folder, listed))


def _first(location: str, *, is_channel: bool) -> Previous:
    """Nothing to build upon. Raises RegistryError where there is another tool's channel."""
    if is_channel:
        raise RegistryError(
            f"{location} is a channel, but has no {history.SNAPSHOT}: it can't be built upon. "
            "Name the place that this program publishes to."
        )
    return Previous(notes=(f"{location} has no {history.SNAPSHOT} yet: a first publication",))


@dataclass(frozen=True, slots=True)
class _Copy:
    """A published site on its way into a folder."""

    website: Website
    folder: Path
    current: Path

    def bring(self, files: Mapping[str, str]) -> set[str]:
        """Bring files, by path and sha256 (hex); gives those that aren't to be had."""

        def one(path: str) -> bool:
            if not is_path(path):
                raise RegistryError(
                    f"{self.website.location} lists {path[:200]!r}, no path of a channel."
                )
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            return self._is_here(path, files[path], target) or self._fetch(
                path, files[path], target
            )

        there = in_order(one, files, jobs=_THREADS, abort=self.website.close)
        return {path for path, brought in zip(files, there, strict=True) if not brought}

    def _is_here(self, path: str, digest: str, target: Path) -> bool:
        here = self.current / path
        if not has_sha256(here, digest):
            return False
        shutil.copyfile(here, target)
        return True

    def _fetch(self, path: str, digest: str, target: Path) -> bool:
        file = self.website.fetch(path)
        if file is None or not has_sha256(file, digest):
            return False
        shutil.move(file, target)
        target.chmod(0o644)
        return True


def _place(folder: Path, path: str, data: bytes) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
