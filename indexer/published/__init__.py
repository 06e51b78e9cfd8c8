"""A channel as it is published, in a folder or at an address: ours, or another tool's."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import quote, urljoin

from indexer.errors import ConfigError, ContentError, RegistryError
from indexer.registry.transport import Transport

MAX_FILE = 4 * 1024**3
_PATH = re.compile(r"[A-Za-z0-9._+!-][A-Za-z0-9._+!-]*(?:/[A-Za-z0-9._+!-]+)*")


class Published(Protocol):
    """A published channel, read file by file, from several threads."""

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    def fetch(self, path: str, limit: int = MAX_FILE) -> Path | None:
        """A local file with the content of ``path``; None where the channel doesn't have it.

        Raises RegistryError where that can't be found out, ContentError for a file of more
        than ``limit`` bytes or a path that leads out of the channel.
        """
        ...

    def close(self) -> None:
        """End all that is under way: nothing more is asked."""
        ...


def is_path(path: str) -> bool:
    """Whether this can be the path of a file within a channel."""
    return bool(_PATH.fullmatch(path)) and not {".", ".."} & set(PurePosixPath(path).parts)


class Folder:
    """A channel in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)

    def close(self) -> None:
        """Nothing is ever under way."""

    def fetch(self, path: str, limit: int = MAX_FILE) -> Path | None:
        """The file itself."""
        file = self.root / _checked(path)
        try:
            size = file.stat().st_size if file.is_file() else None
        except OSError as error:
            raise RegistryError(f"{file} can't be read: {error.strerror}.") from error
        if size is None:
            return None
        if size > limit:
            raise ContentError(f"{path} has more than {limit} bytes")
        return file


class Website:
    """A channel at an http(s) address; what is fetched lies in a scratch folder."""

    def __init__(self, address: str, transport: Transport, scratch: Path) -> None:
        self.location = address.rstrip("/") + "/"
        self._transport = transport
        self._scratch = scratch

    def close(self) -> None:
        """End all that is under way."""
        self._transport.close()

    def fetch(self, path: str, limit: int = MAX_FILE) -> Path | None:
        """A fresh download; the caller may delete it."""
        url = urljoin(self.location, quote(_checked(path)))
        with tempfile.NamedTemporaryFile(dir=self._scratch, delete=False) as file:
            answer = self._transport.request("GET", url, limit=limit, sink=file)
        if answer.status == 200:
            return Path(file.name)
        Path(file.name).unlink()
        if answer.status in {404, 410}:
            return None
        raise RegistryError(f"{url} answered {answer.status}; the published channel can't be read.")


@contextlib.contextmanager
def open_published(location: str, transport: Transport) -> Iterator[Published]:
    """A channel by folder or http(s) address. Raises ConfigError for anything else."""
    if location.startswith(("http://", "https://")):
        with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
            yield Website(location, transport, Path(scratch))
        return
    if "://" in location:
        raise ConfigError(f"{location!r} is neither a folder nor an http(s) address.")
    yield Folder(Path(location))


def read_bytes(channel: Published, path: str, limit: int) -> bytes | None:
    """A small file's content; None where the channel doesn't have it."""
    file = channel.fetch(path, limit)
    if file is None:
        return None
    data = file.read_bytes()
    if not isinstance(channel, Folder):
        file.unlink()
    return data


def _checked(path: str) -> str:
    if not is_path(path):
        raise ContentError(f"{path[:200]!r} leads out of the channel")
    return path
