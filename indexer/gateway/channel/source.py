"""The source of a channel: what the snapshot of its site says is there, and nothing else."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from indexer.channel import codec
from indexer.errors import ConfigError, ContentError
from indexer.files import size_of
from indexer.gateway.channel.sites import Site, WebSite
from indexer.gateway.channel.taking import CACHE, FILES, SubdirIndex, take
from indexer.gateway.found import Blob, Found, LocalFile, UnavailableError
from indexer.gateway.types import media_type
from indexer.registry.address import RegistryAddress, is_repository
from indexer.registry.content import Digest
from indexer.render import shards
from indexer.render.history import Snapshot, SubdirEntry, decode_snapshot

_PACKAGES = (".conda", ".tar.bz2")
# What has its digest in its name, or is named by it in the index, never changes.
_FOREVER = "max-age=31536000, immutable"
_CHANNELDATA = "channeldata.json"
# Files of single packages, and what a run says of itself.
_NOT_LISTED = frozenset({"packages", "api", "history", "status", "status.json"})
_MAX_SHARDS, _MAX_RECORDS = 1000, 200_000
# In seconds: a file that was given is being opened.
_STAYS = 60.0

_HEX = re.compile(r"[0-9a-f]{64}")

_Records = dict[str, tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Which registry has the packages, where an operator says so; else the site says it."""

    registry: RegistryAddress | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class _Generation:
    """The channel at one time."""

    mark: str
    registry: RegistryAddress
    channel: str
    subdirs: Mapping[str, SubdirIndex]
    channeldata: LocalFile | None
    listed: frozenset[str]


class ChannelSource:
    """A channel. ``base_url`` is the gateway's own address, to be written into the index."""

    def __init__(self, site: Site, origin: Origin, scratch: Path, base_url: str | None) -> None:
        self._site = site
        self._origin = origin
        self._scratch = scratch
        self._base_url = base_url
        self._now: _Generation | None = None
        self._retired: list[tuple[float, Path]] = []
        self._records = _KnownShards()

    @property
    def name(self) -> str:
        """Where the index comes from, and where the packages are."""
        registry = "" if self._now is None else f", packages from {self._now.registry}"
        return f"{self._site.location}{registry}"

    @property
    def registry(self) -> RegistryAddress | None:
        """The registry that has the packages; None before the first refresh."""
        return None if self._now is None else self._now.registry

    def find(self, path: str) -> Found | None:
        """A package, a file of the index, or what else the site has."""
        now = self._now
        if now is None:
            raise UnavailableError("The index hasn't been read yet.")
        folder, _, name = path.rpartition("/")
        if name.endswith(_PACKAGES):
            return self._package(now, folder, name)
        index = now.subdirs.get(folder)
        if name in FILES:
            return index.files.get(name) if index is not None else None
        if folder.endswith(f"/{shards.FOLDER}") and (found := self._shard(now, folder, name)):
            return found
        if path == _CHANNELDATA and now.channeldata is not None:
            return now.channeldata
        return self._site.other(path) if _is_of_site(path, now.listed) else None

    def refresh(self) -> bool:
        """Look at the snapshot, and take over what it lists anew."""
        self._clean()
        before = self._now
        found = self._site.snapshot("" if before is None else before.mark)
        if found is None:
            self._tidy()
            return False
        mark, data = found
        snapshot = decode_snapshot(data)
        registry, channel = self._registry(snapshot)
        folder = Path(tempfile.mkdtemp(dir=self._scratch, prefix="generation-"))
        try:
            subdirs = {
                name: self._subdir(name, entry, folder)
                for name, entry in sorted(snapshot.subdirs.items())
            }
            channeldata = self._channeldata(snapshot, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        listed = frozenset(snapshot.listed())
        self._now = _Generation(mark, registry, channel, subdirs, channeldata, listed)
        if before is not None:
            self._retire(before, self._now)
        self._tidy()
        return True

    def close(self) -> None:
        """End what is under way, and delete what was kept."""
        self._site.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _registry(self, snapshot: Snapshot) -> tuple[RegistryAddress, str]:
        """Where the packages are. Raises ContentError, ConfigError."""
        channel = self._origin.channel or snapshot.channel
        if not is_repository(channel):
            raise ContentError(f"{channel[:100]!r} is no channel's name")
        if self._origin.registry is not None:
            return self._origin.registry, channel
        registry = RegistryAddress.parse(snapshot.registry)
        if isinstance(self._site, WebSite) and registry.scheme != "oci":
            # Whoever writes that site could have us ask, or read, what only we can.
            raise ConfigError(
                f"{self._site.location} says that its packages are at {snapshot.registry}; say "
                "--registry where that is right."
            )
        if self._now is not None and registry != self._now.registry:
            raise ContentError(
                f"{self._site.location} names another registry than before, {registry}: start "
                "the gateway again where that is right"
            )
        return registry, channel

    def _subdir(self, name: str, entry: SubdirEntry, folder: Path) -> SubdirIndex:
        known = self._now.subdirs.get(name) if self._now is not None else None
        if known is not None and known.entry.files == entry.files:
            return known
        place = folder / name
        place.mkdir()
        base_url = None if self._base_url is None else f"{self._base_url.rstrip('/')}/{name}/"
        index = take(self._site, name, entry, base_url, place)
        self._site.fetch_shards(name, index.shards.values())
        return index

    def _channeldata(self, snapshot: Snapshot, folder: Path) -> LocalFile | None:
        entry = snapshot.files.get(_CHANNELDATA)
        if entry is None:
            return None
        target = folder / _CHANNELDATA
        self._site.copy(_CHANNELDATA, entry, target)
        return LocalFile(target, entry.size, entry.sha256, media_type(_CHANNELDATA), CACHE)

    def _package(self, now: _Generation, subdir: str, file_name: str) -> Blob | None:
        index = now.subdirs.get(subdir)
        name = "-".join(file_name.split("-")[:-2])
        digest = index.shards.get(name) if index is not None else None
        if digest is None:
            return None
        known = self._records.get(digest, name, self._site.shard(subdir, digest))
        repository = now.registry.repository(now.channel, subdir, codec.repository_name(name))
        if file_name not in known or not is_repository(repository):
            return None
        sha256, size = known[file_name]
        blob = Digest(sha256.hex())
        return Blob(now.registry, repository, blob, size, media_type(file_name), _FOREVER)

    def _shard(self, now: _Generation, folder: str, file_name: str) -> LocalFile | None:
        subdir, digest = folder.partition("/")[0], file_name.removesuffix(shards.SUFFIX)
        if subdir not in now.subdirs or not _HEX.fullmatch(digest) or digest == file_name:
            return None
        file = self._site.shard(subdir, digest)
        size = size_of(file)
        if size is None or folder != f"{subdir}/{shards.FOLDER}":
            return None
        return LocalFile(file, size, digest, media_type(file_name), _FOREVER)

    def _retire(self, before: _Generation, now: _Generation) -> None:
        """Have the files deleted that only the generation before has."""
        used = {file.path.parent for index in now.subdirs.values() for file in index.files.values()}
        old = {
            file.path.parent for index in before.subdirs.values() for file in index.files.values()
        }
        self._retired += [(time.monotonic() + _STAYS, folder) for folder in old - used]
        if before.channeldata is not None:
            self._retired.append((time.monotonic() + _STAYS, before.channeldata.path))

    def _tidy(self) -> None:
        if self._now is not None:
            self._site.tidy({name: i.shards.values() for name, i in self._now.subdirs.items()})

    def _clean(self) -> None:
        now = time.monotonic()
        for until, path in self._retired:
            if until < now:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    # Of the generation's folder there is more, as long as a part of it is of use.
                    path.parent.rmdir()
        self._retired = [(until, path) for until, path in self._retired if until >= now]


class _KnownShards:
    """The records of shards that were asked for, by their sha256 (hex); the last ones of them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[str, _Records] = OrderedDict()
        self._count = 0

    def get(self, digest: str, name: str, file: Path) -> _Records:
        """sha256 and size of a package's files, by file name. Raises ContentError."""
        with self._lock:
            if (known := self._known.get(digest)) is not None:
                self._known.move_to_end(digest)
                return known
        found = _read_shard(digest, name, file)
        with self._lock:
            if digest not in self._known:
                self._known[digest] = found
                self._count += len(found)
            while self._count > _MAX_RECORDS or len(self._known) > _MAX_SHARDS:
                self._count -= len(self._known.popitem(last=False)[1])
        return found


def _is_of_site(path: str, listed: Collection[str]) -> bool:
    """Whether a site has this: what its snapshot lists, and what isn't listed one by one."""
    file = f"{path}index.html" if not path or path.endswith("/") else path
    folder = file.partition("/")[0]
    return file in listed or f"{file}/index.html" in listed or folder in _NOT_LISTED


def _read_shard(digest: str, name: str, file: Path) -> _Records:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ContentError(f"{file}, a shard of the index, can't be read: {error}") from error
    found: _Records = {}
    for file_name, fields in shards.shard_entries(
        shards.open_shard(data, digest), shards.MAX_VALUES
    ):
        sha256, size = fields.get("sha256"), fields.get("size")
        if fields.get("name") != name or not isinstance(sha256, bytes) or len(sha256) != 32:
            raise ContentError(f"{file}, a shard of the index, holds what is no record of {name}")
        if type(size) is not int or not 0 <= size < 2**53:
            raise ContentError(f"{file}, a shard of the index: {file_name[:200]} has no size")
        found[file_name] = (sha256, size)
    return found
