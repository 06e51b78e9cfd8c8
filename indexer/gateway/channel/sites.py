"""A published site, in a folder or at an address: its snapshot, and copies of what that lists."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from indexer.errors import ConfigError, ContentError, RefusedError
from indexer.files import has_sha256
from indexer.gateway.found import Elsewhere, Found, LocalFile
from indexer.gateway.types import media_type
from indexer.parallel import in_order
from indexer.published import Folder, Website, is_path
from indexer.published.forms import read_shard
from indexer.registry.transport import Transport
from indexer.registry.urls import shown
from indexer.render import shards
from indexer.render.history import MAX_FILE, SNAPSHOT, FileEntry

_SOON = "no-cache"
_JOBS = 16
# In seconds: what older indexes name, as on the site itself.
_STAY = 7 * 86_400.0
_TIDY_EVERY = 3600.0


class Site(Protocol):
    """Where the index comes from. All raise RegistryError where it can't be had just now."""

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    def snapshot(self, mark: str) -> tuple[str, bytes] | None:
        """The snapshot and a mark for it; None where it is still the one of this mark."""
        ...

    def copy(self, path: str, entry: FileEntry, target: Path) -> None:
        """A file that the snapshot lists. Raises ContentError where it is another by now."""
        ...

    def fetch_shards(self, subdir: str, digests: Collection[str]) -> None:
        """See to it that these are there from now on."""
        ...

    def tidy(self, used: Mapping[str, Collection[str]]) -> None:
        """Of shards that aren't used any more, by subdir, none has to be there after a week."""
        ...

    def shard(self, subdir: str, digest: str) -> Path:
        """Where a shard's file is, if it is there."""
        ...

    def other(self, path: str) -> Found | None:
        """Anything else that the site has: pages, their files, what it remembers."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...


class FolderSite:
    """A site in a folder, which ``rebuild`` may replace at any time."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._folder = Folder(self._root)
        self.location = str(root)

    def snapshot(self, mark: str) -> tuple[str, bytes] | None:
        """The snapshot's file. Raises ConfigError where there is none."""
        file = self._folder.fetch(SNAPSHOT, MAX_FILE)
        if file is None:
            raise ConfigError(
                f"There is no site of cf-index in {self.location}: it has no {SNAPSHOT}. Make one "
                "by cf-index rebuild."
            )
        data = file.read_bytes()
        now = hashlib.sha256(data).hexdigest()
        return None if now == mark else (now, data)

    def copy(self, path: str, entry: FileEntry, target: Path) -> None:
        """A copy, whatever becomes of the folder."""
        file = self._folder.fetch(path)
        if file is None:
            raise ContentError(f"{path} is missing")
        shutil.copyfile(file, target)
        _check(path, entry, target)

    def fetch_shards(self, subdir: str, digests: Collection[str]) -> None:
        """They are here."""

    def tidy(self, used: Mapping[str, Collection[str]]) -> None:
        """``rebuild`` does: it leaves them for a week after they are of use."""

    def shard(self, subdir: str, digest: str) -> Path:
        """In the folder."""
        return self._root / subdir / shards.FOLDER / f"{digest}{shards.SUFFIX}"

    def other(self, path: str) -> Found | None:
        """A file of the folder, a page for a folder's address; nothing that is hidden."""
        is_folder = not path or path.endswith("/")
        path = f"{path}index.html" if is_folder else path
        if not is_path(path) or any(part.startswith(".") for part in path.split("/")):
            return None
        file = self._root / path
        try:
            if not is_folder and (file / "index.html").is_file():
                return Elsewhere(f"{file.name}/")
            # A link in it may lead anywhere.
            if not file.is_file() or not file.resolve().is_relative_to(self._root):
                return None
            status = file.stat()
        except OSError:
            # Gone meanwhile, or a name that no file can have.
            return None
        etag = f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
        return LocalFile(file, status.st_size, etag, media_type(path), _SOON)

    def close(self) -> None:
        """Nothing is."""


class WebSite:
    """A site at an address; what is needed of it is kept in ``scratch``."""

    def __init__(self, address: str, transport: Transport, scratch: Path) -> None:
        self._store = scratch / "shards"
        self._store.mkdir()
        self._tidied = time.time()
        self._web = Website(address, transport, scratch)
        self._transport = transport
        self.location = self._web.location

    def snapshot(self, mark: str) -> tuple[str, bytes] | None:
        """Asked for under the condition that it is another one."""
        url = self._web.address_of(SNAPSHOT)
        # An ETag has quotes; where the server has none, the content itself is the mark.
        headers = {"If-None-Match": mark} if '"' in mark else {}
        answer = self._transport.request("GET", url, headers=headers, limit=MAX_FILE)
        if answer.status == 304:
            return None
        if answer.status in {404, 410}:
            raise ContentError(f"{self.location} is no site of cf-index: it has no {SNAPSHOT}")
        if answer.status != 200:
            raise RefusedError(f"{shown(url)} answered {answer.status}.")
        etag = answer.headers.get("ETag", "")
        now = etag if '"' in etag else hashlib.sha256(answer.body).hexdigest()
        return None if now == mark else (now, answer.body)

    def copy(self, path: str, entry: FileEntry, target: Path) -> None:
        """A download."""
        file = self._web.fetch(path, entry.size)
        if file is None:
            raise ContentError(f"{path} is missing")
        file.rename(target)
        _check(path, entry, target)

    def fetch_shards(self, subdir: str, digests: Collection[str]) -> None:
        """Download those that aren't there."""
        folder = self._store / subdir
        folder.mkdir(exist_ok=True)
        there = {file.name.removesuffix(shards.SUFFIX) for file in folder.iterdir()}
        lacking = sorted(set(digests) - there)
        for _ in in_order(lambda digest: self._download(subdir, digest), lacking, jobs=_JOBS):
            pass

    def tidy(self, used: Mapping[str, Collection[str]]) -> None:
        """Delete what wasn't of use for a week; looked at once an hour."""
        now = time.time()
        if now < self._tidied + _TIDY_EVERY:
            return
        self._tidied = now
        for folder in self._store.iterdir():
            wanted = set(used.get(folder.name, ()))
            for file in folder.iterdir():
                if file.name.removesuffix(shards.SUFFIX) in wanted:
                    os.utime(file, (now, now))
                elif file.stat().st_mtime < now - _STAY:
                    file.unlink()

    def shard(self, subdir: str, digest: str) -> Path:
        """In the store."""
        return self._store / subdir / f"{digest}{shards.SUFFIX}"

    def other(self, path: str) -> Found | None:
        """At its own address."""
        if path and not is_path(path.removesuffix("/")):
            return None
        return Elsewhere(self._web.address_of(SNAPSHOT).removesuffix(SNAPSHOT) + quote(path))

    def close(self) -> None:
        """End all requests."""
        self._transport.close()

    def _download(self, subdir: str, digest: str) -> None:
        data = read_shard(self._web, f"{subdir}/{shards.FOLDER}/", digest)
        file = self.shard(subdir, digest)
        part = file.with_name(f"{file.name}.part")
        part.write_bytes(data)
        part.rename(file)


def _check(path: str, entry: FileEntry, target: Path) -> None:
    if not has_sha256(target, entry.sha256):
        raise ContentError(
            f"{path} isn't what {SNAPSHOT} lists: it is being published, or a cache has another one"
        )
