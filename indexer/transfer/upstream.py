"""A channel to copy from: which archives it lists, with which hashes, and where their bytes are."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from indexer.channel.artifact import Place, check_name, place_of_identity
from indexer.channel.index_json import identity_of
from indexer.channel.record import section_of
from indexer.channel.selection import wanted
from indexer.errors import (
    ConfigError,
    ContentError,
    NotFoundError,
    RefusedError,
    RegistryError,
    printable,
)
from indexer.parallel import in_order
from indexer.published import (
    Folder,
    Published,
    download,
    is_address,
    open_published,
    read_bytes,
    resolve,
)
from indexer.published.forms import FORMS, read_shard, subdirs_of
from indexer.published.records import read_info, read_records
from indexer.registry import Registry, RegistryAddress, Transport, open_registry
from indexer.registry.content import Descriptor, Digest
from indexer.registry.urls import shown
from indexer.render import repodata, shards, zstd

_USUAL = "https://conda.anaconda.org/"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/label/[A-Za-z0-9_.-]+)?")
_HASHES = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}")}
_MAX_ARCHIVE = 64 * 1024**3
_THREADS = 8

# Told of what a channel lists and nobody can use: its name, and the reason.
Complain = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One archive that a channel lists. At least one hash is known; ``size`` is in bytes.

    ``address`` is where its bytes are: an http(s) or oci address, or a path of the channel.
    """

    place: Place
    file_name: str
    sha256: str | None
    md5: str | None
    size: int | None
    address: str

    def __str__(self) -> str:
        return f"{self.place.subdir}/{self.file_name}"


@dataclass(frozen=True, slots=True)
class Listed:
    """The archives of a subdir, the file that lists them, and why it isn't a better one."""

    entries: list[Entry]
    form: str
    problems: tuple[str, ...]


def location_of(text: str) -> str:
    """What ``--from`` means: an address, a folder, or the usual address of a name.

    As conda reads it: a folder has a slash at its beginning, or ``.`` or ``~``.
    """
    if text.startswith("file:"):
        parts = urlsplit(text)
        if parts.netloc not in {"", "localhost"}:
            raise ConfigError(f"{printable(shown(text), 200)!r} names another machine.")
        return unquote(parts.path)
    if is_address(text) or text.startswith(("/", ".", "~")):
        return str(Path(text).expanduser()) if not is_address(text) else text
    if _NAME.fullmatch(text):
        return _USUAL + text
    raise ConfigError(
        f"{printable(shown(text), 200)!r} is no channel: write an http(s) or file address, a "
        "folder (./channel), or a name such as conda-forge."
    )


@contextlib.contextmanager
def open_upstream(
    text: str, transport: Transport, target: RegistryAddress | None = None
) -> Iterator[Upstream]:
    """Open the channel that ``--from`` names. Raises ConfigError.

    Our credentials for ``target`` go there and nowhere else, whatever registry a channel names.
    """
    location = location_of(text)
    with open_published(location, transport) as channel:
        if isinstance(channel, Folder) and not channel.root.is_dir():
            raise ConfigError(f"There is no folder {channel.root}.")
        yield Upstream(channel, transport, target)


class Upstream:
    """Reads a channel, in the best of the forms that it has."""

    def __init__(
        self, channel: Published, transport: Transport, target: RegistryAddress | None
    ) -> None:
        self._channel = channel
        self._target = target
        self._transport = transport
        self._registries: dict[str, Registry] = {}
        # Why a subdir that seems not to be there may be there after all.
        self.refusal = ""

    @property
    def location(self) -> str:
        """Where it is, for people."""
        return self._channel.location

    def subdirs(self) -> tuple[str, ...]:
        """Where it may have packages."""
        return subdirs_of(self._channel)

    def entries(self, subdir: str, globs: tuple[str, ...], complain: Complain) -> Listed | None:
        """The archives of a subdir; None where the channel has no such subdir.

        Of a sharded index only the shards of names among ``globs`` are read. Raises
        RegistryError where no form can be read.
        """
        problems: list[str] = []
        refused = 0
        for form in FORMS:
            told: list[tuple[str, str]] = []
            try:
                read = self._shards if form == shards.INDEX_NAME else self._records
                found = read(subdir, form, globs, lambda *what, told=told: told.append(what))
            except (ContentError, RefusedError) as error:
                problems.append(f"{subdir}/{form}: {error}")
                refused += isinstance(error, RefusedError)
                continue
            if found is not None:
                for what, reason in told:
                    complain(what, reason)
                return Listed(found, form, tuple(problems))
        if refused == len(FORMS):
            # As some hosts answer for what isn't there.
            self.refusal = problems[0]
            return None
        if problems:
            raise RegistryError(f"{self.location} can't be read. {'; '.join(problems)}")
        return None

    def download(self, entry: Entry, file: IO[bytes]) -> None:
        """An archive's bytes into a file; what the file holds already isn't asked for again.

        Raises RegistryError or ContentError where they can't be had; they aren't checked yet.
        """
        limit = _MAX_ARCHIVE if entry.size is None else entry.size
        if not entry.address.startswith("oci://"):
            download(self._channel, entry.address, file, limit)
            return
        if entry.sha256 is None or entry.size is None:
            raise ContentError("it is in a registry, and its index doesn't say its sha256 and size")
        registry = self._registry(entry.address)
        repository = registry.address.repository(entry.place.repository)
        blob = Descriptor("", Digest(entry.sha256), entry.size)
        registry.download(repository, blob, file)

    def repository_of(self, entry: Entry) -> str | None:
        """The repository that has an archive, where it is one of the registry written to."""
        if self._target is None or not entry.address.startswith("oci://"):
            return None
        address = self._registry(entry.address).address
        is_target = address.origin == self._target.origin
        return address.repository(entry.place.repository) if is_target else None

    def _registry(self, base: str) -> Registry:
        known = self._registries.get(base)
        if known is None:
            try:
                address = RegistryAddress.parse(base)
            except ConfigError as error:
                raise ContentError(f"its base_url is no registry: {error}") from error
            is_target = self._target is not None and address.origin == self._target.origin
            known = open_registry(address, self._transport, anonymous=not is_target)
            self._registries[base] = known
        return known

    def _shards(
        self, subdir: str, form: str, globs: tuple[str, ...], complain: Complain
    ) -> list[Entry] | None:
        data = read_bytes(self._channel, f"{subdir}/{form}", shards.MAX_INDEX)
        if data is None:
            return None
        info, hashes = shards.unpack_index(data)
        if info["subdir"] != subdir:
            raise ContentError(f"is said to be that of {info['subdir'][:100]}")
        base = resolve(subdir, info["shards_base_url"])
        digests = [digest for name, digest in hashes.items() if wanted(name, globs)]

        def read(digest: str) -> list[tuple[str, dict[str, Any]]] | ContentError:
            # Raised in a thread it would end all requests, and another form is to be read yet.
            try:
                packed = zstd.decompress(read_shard(self._channel, base, digest), shards.MAX_SHARD)
                return list(shards.shard_entries(packed, shards.MAX_VALUES))
            except ContentError as error:
                return error

        entries = []
        contents = in_order(read, digests, jobs=_THREADS, abort=self._channel.close)
        with contextlib.closing(contents):
            for records in contents:
                if isinstance(records, ContentError):
                    raise records
                for file_name, fields in records:
                    if not wanted(str(fields.get("name")), globs):
                        continue
                    with _told(f"{subdir}/{file_name}", complain):
                        shards.spell_hashes(file_name, fields)
                        entries.append(self._entry(subdir, info["base_url"], file_name, fields))
        return entries

    def _records(
        self, subdir: str, form: str, globs: tuple[str, ...], complain: Complain
    ) -> list[Entry] | None:
        path = self._channel.fetch(f"{subdir}/{form}")
        if path is None:
            return None
        packed = form == repodata.ZST_NAME
        try:
            base_url = read_info(path, packed=packed).get("base_url") or ""
            if not isinstance(base_url, str):
                raise ContentError("its base_url is no string")
            entries = []
            for section, file_name, fields in read_records(path, subdir, packed=packed):
                if not wanted(str(fields.get("name")), globs):
                    continue
                with _told(f"{subdir}/{file_name}", complain):
                    if section != section_of(file_name):
                        raise ContentError(f"it is listed among {section}")
                    entries.append(self._entry(subdir, base_url, file_name, fields))
            return entries
        finally:
            if not isinstance(self._channel, Folder):
                path.unlink()

    def _entry(
        self, subdir: str, base_url: str, file_name: str, fields: Mapping[str, Any]
    ) -> Entry:
        identity = identity_of({key: fields.get(key) for key in ("name", "version", "build")})
        check_name(file_name, identity)
        size = fields.get("size")
        if size is not None and (type(size) is not int or not 0 <= size <= _MAX_ARCHIVE):
            raise ContentError("its size isn't one")
        sha256, md5 = (_hash(fields, key) for key in _HASHES)
        if sha256 is None and md5 is None:
            raise ContentError("it is listed without a hash, so that nobody could check it")
        base = resolve(subdir, base_url)
        address = base if base.startswith("oci://") else base + quote(file_name)
        if "://" not in base:
            address = self._channel.address_of(base + file_name)
        elif not base.startswith(("https://", "http://", "oci://")):
            raise ContentError(f"its base_url is {shown(base)[:100]!r}")
        return Entry(place_of_identity(identity, subdir), file_name, sha256, md5, size, address)


def _hash(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not _HASHES[key].fullmatch(value):
        raise ContentError(f"its {key} isn't one")
    return value


@contextlib.contextmanager
def _told(what: str, complain: Complain) -> Iterator[None]:
    """One record that can't be used costs itself alone."""
    try:
        yield
    except (ContentError, NotFoundError) as error:
        complain(what, str(error))
