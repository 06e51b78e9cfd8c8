"""One of the two channels that are compared: its subdirs, each in the form it is read in."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from indexer.channel.index_json import SUBDIR
from indexer.diff.fields import spelt
from indexer.errors import ContentError, RefusedError
from indexer.parallel import in_order
from indexer.published import Folder, Published, read_bytes, resolve
from indexer.published.forms import possible_subdirs, read_shard
from indexer.published.records import read_info, read_records
from indexer.render import repodata, shards, zstd

T = TypeVar("T")

_THREADS = 8
# Subdirs that are asked for before there is said to be no channel.
_ASKED = 50


@dataclass(frozen=True, slots=True)
class Sharded:
    """A subdir by its sharded index: ``hashes`` are those of the shards (hex), by name."""

    channel: Published
    where: str
    base: str
    info: Mapping[str, Any]
    hashes: Mapping[str, str]
    form: str = shards.INDEX_NAME

    def fetch(self, name: str) -> bytes | ContentError:
        """The shard of a name as it is compressed; the error where it isn't as it should be."""
        # Raised in a thread it would be told as that of a request.
        try:
            return read_shard(self.channel, self.base, self.hashes[name])
        except ContentError as error:
            return error

    def unpack(
        self, name: str, data: bytes | ContentError, ignored: frozenset[str]
    ) -> Iterator[tuple[str, bytes]]:
        """File names and spelt records of a shard that was fetched. Raises ContentError."""
        with _named(f"{self.where}, the shard of {name[:200]}"):
            if isinstance(data, ContentError):
                raise data
            packed = zstd.decompress(data, shards.MAX_SHARD)
            for file_name, fields in shards.shard_entries(packed, shards.MAX_VALUES):
                yield file_name, spelt(file_name, fields, ignored)

    def records(self, ignored: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        """File names and spelt records of all shards. Raises ContentError, RegistryError."""
        contents = in_order(self.fetch, self.hashes, jobs=_THREADS, abort=self.channel.close)
        with contextlib.closing(contents):
            for name, data in zip(self.hashes, contents, strict=True):
                yield from self.unpack(name, data, ignored)


@dataclass(frozen=True, slots=True)
class Whole:
    """A subdir by its repodata.json, or the same compressed."""

    where: str
    path: Path
    subdir: str
    info: Mapping[str, Any]
    form: str

    def records(self, ignored: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        """File names and spelt records of all that it lists. Raises ContentError."""
        packed = self.form == repodata.ZST_NAME
        with _named(self.where):
            for _, file_name, fields in read_records(self.path, self.subdir, packed=packed):
                yield file_name, spelt(file_name, fields, ignored)


class Side:
    """A channel, asked subdir by subdir; whatever it refuses is remembered."""

    def __init__(self, channel: Published) -> None:
        self.channel = channel
        self._refusals: dict[str, str] = {}

    @property
    def location(self) -> str:
        """Where it is, for people."""
        return self.channel.location

    @property
    def is_local(self) -> bool:
        """Whether it is in a folder."""
        return isinstance(self.channel, Folder)

    def subdirs(self) -> set[str]:
        """Every subdir that it may have. Raises RegistryError."""
        return {name for name in possible_subdirs(self.channel) if SUBDIR.fullmatch(name)}

    def refusal(self, subdir: str | None = None) -> str:
        """What it said instead of showing some index of a subdir, or of any; else nothing."""
        if subdir is not None:
            return self._refusals.get(subdir, "")
        return next(iter(self._refusals.values()), "")

    def sharded(self, subdir: str) -> Sharded | None:
        """A subdir by its sharded index, where it has one. Raises ContentError, RegistryError."""
        where = self._where(subdir, shards.INDEX_NAME)
        with _named(where):
            path = f"{subdir}/{shards.INDEX_NAME}"
            data = self._ask(subdir, lambda: read_bytes(self.channel, path, shards.MAX_INDEX))
            if data is None:
                return None
            info, hashes = shards.unpack_index(data)
            if info["subdir"] != subdir:
                raise ContentError(f"is said to be that of {info['subdir'][:100]}")
            base = resolve(subdir, info["shards_base_url"])
        return Sharded(self.channel, where, base, info, hashes)

    @contextlib.contextmanager
    def whole(self, subdir: str) -> Generator[Whole | None, None, None]:
        """A subdir by its repodata.json, compressed or not. Raises ContentError, RegistryError."""
        for form in (repodata.ZST_NAME, repodata.FILE_NAME):
            where = self._where(subdir, form)
            with _named(where):
                path = self._ask(subdir, functools.partial(self.channel.fetch, f"{subdir}/{form}"))
                if path is None:
                    continue
                info = read_info(path, packed=form == repodata.ZST_NAME)
            try:
                yield Whole(where, path, subdir, info, form)
            finally:
                if not self.is_local:
                    path.unlink()
            return
        yield None

    def has_any(self) -> bool:
        """Whether there is a channel at all. Raises ContentError, RegistryError."""
        # Every channel must have noarch (CEP 26).
        for subdir in sorted(self.subdirs(), key=lambda name: (name != "noarch", name))[:_ASKED]:
            with self.whole(subdir) as whole:
                if whole is not None or self.sharded(subdir) is not None:
                    return True
        return False

    def _where(self, subdir: str, form: str) -> str:
        return f"{self.location.rstrip('/')}/{subdir}/{form}"

    def _ask(self, subdir: str, question: Callable[[], T]) -> T | None:
        # Some hosts answer 403 for what isn't there; another form may be.
        try:
            return question()
        except RefusedError as error:
            self._refusals[subdir] = str(error)
            return None


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors of what is read say where it is."""
    try:
        yield
    except ContentError as error:
        raise ContentError(
            f"{where}: {error}. The channel is damaged; cf-index check tells what else is."
        ) from error
