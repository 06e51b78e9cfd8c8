"""A channel as it is published, in a folder or at an address: ours, or another tool's."""

from __future__ import annotations

import contextlib
import posixpath
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from urllib.parse import quote, urljoin, urlsplit

from indexer.errors import (
    ConfigError,
    ContentError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnsupportedError,
    printable,
)
from indexer.registry.transport import Transport
from indexer.registry.urls import shown

MAX_FILE = 4 * 1024**3
_PATH = re.compile(r"[A-Za-z0-9._+!-][A-Za-z0-9._+!-]*(?:/[A-Za-z0-9._+!-]+)*")

_LENGTH = re.compile(r"[0-9]{1,15}")


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

    def size_of(self, path: str) -> int | None:
        """How many bytes ``path`` has, without fetching it; None where the channel doesn't have it.

        Raises UnsupportedError where the server doesn't tell, RegistryError where that can't be
        found out, ContentError for a path that leads out of the channel.
        """
        ...

    def fetch_address(self, address: str, limit: int) -> bytes | None:
        """What is at an http(s) address outside the channel; None where there is nothing.

        Raises RegistryError where that can't be found out, ContentError for more than
        ``limit`` bytes.
        """
        ...

    def address_of(self, path: str) -> str:
        """The http(s) address of a path of the channel; the path itself in a folder.

        Raises ContentError for a path that leads out of the channel.
        """
        ...

    def download(self, address: str, file: IO[bytes], limit: int) -> None:
        """What is at an http(s) address into a file; what the file holds isn't asked for again.

        Raises NotFoundError, RegistryError and ContentError.
        """
        ...

    def close(self) -> None:
        """End all that is under way: nothing more is asked."""
        ...


def is_path(path: str) -> bool:
    """Whether this can be the path of a file within a channel."""
    return bool(_PATH.fullmatch(path)) and not {".", ".."} & set(PurePosixPath(path).parts)


class Folder:
    """A channel in a folder; without a transport nothing outside of it can be looked at."""

    def __init__(self, root: Path, transport: Transport | None = None) -> None:
        self.root = root
        self.location = str(root)
        self._transport = transport

    def close(self) -> None:
        """End what is under way outside."""
        if self._transport is not None:
            self._transport.close()

    def fetch_address(self, address: str, limit: int) -> bytes | None:
        """What is at an address outside."""
        if self._transport is None:
            raise ContentError(f"{shown(address)} is outside of the channel")
        return _fetch_address(self._transport, address, limit)

    def address_of(self, path: str) -> str:
        """The path."""
        return _checked(path)

    def download(self, address: str, file: IO[bytes], limit: int) -> None:
        """What is at an address outside, into a file."""
        if self._transport is None:
            raise ContentError(f"{shown(address)} is outside of the channel")
        _download(self._transport, address, file, limit)

    def size_of(self, path: str) -> int | None:
        """The file's size."""
        file = self.root / _checked(path)
        try:
            return file.stat().st_size if file.is_file() else None
        except OSError as error:
            raise RegistryError(f"{file} can't be read: {error.strerror}.") from error

    def fetch(self, path: str, limit: int = MAX_FILE) -> Path | None:
        """The file itself."""
        file = self.root / _checked(path)
        size = self.size_of(path)
        if size is None:
            return None
        if size > limit:
            raise ContentError(f"{path} has more than {limit} bytes")
        return file


class Website:
    """A channel at an http(s) address; what is fetched lies in a scratch folder.

    ``fresh``: no cache on the way is to answer, which may hold a file for minutes after another one
    is published.
    """

    def __init__(
        self, address: str, transport: Transport, scratch: Path, *, fresh: bool = False
    ) -> None:
        self._address = address.rstrip("/") + "/"
        self.location = shown(self._address)
        self._transport = transport
        self._scratch = scratch
        self._fresh = fresh

    def close(self) -> None:
        """End all that is under way."""
        self._transport.close()

    def fetch_address(self, address: str, limit: int) -> bytes | None:
        """What is at an address outside."""
        return _fetch_address(self._transport, address, limit)

    def address_of(self, path: str) -> str:
        """The path's address."""
        return urljoin(self._address, quote(_checked(path)))

    def download(self, address: str, file: IO[bytes], limit: int) -> None:
        """What is at an address into a file."""
        _download(self._transport, address, file, limit)

    def fetch(self, path: str, limit: int = MAX_FILE) -> Path | None:
        """A fresh download; the caller may delete it."""
        url, headers = self._question(path)
        with tempfile.NamedTemporaryFile(dir=self._scratch, delete=False) as file:
            kept = Path(file.name)
            try:
                answer = self._transport.request(
                    "GET", url, headers=headers, limit=limit, sink=file
                )
            except BaseException:
                # Whoever asks again and again would fill the disk.
                kept.unlink()
                raise
        if answer.status == 200:
            return kept
        kept.unlink()
        _check_absent(answer.status, url)
        return None

    def size_of(self, path: str) -> int | None:
        """What the server says of it."""
        url, headers = self._question(path)
        answer = self._transport.request("HEAD", url, headers=headers, limit=0)
        if answer.status == 200:
            length = answer.headers.get("Content-Length", "")
            # Compressed on the way, it has another length than the file.
            if "Content-Encoding" in answer.headers or not _LENGTH.fullmatch(length):
                raise UnsupportedError(f"{shown(url)}: the server doesn't tell how large it is.")
            return int(length)
        if answer.status in {405, 501}:
            raise UnsupportedError(f"{shown(url)}: the server knows no HEAD requests.")
        _check_absent(answer.status, url)
        return None

    def _question(self, path: str) -> tuple[str, dict[str, str]]:
        """The address to ask for a path, and headers."""
        url = self.address_of(path)
        if not self._fresh:
            return url, {}
        # Many caches pass over the header; none has an answer to what was never asked.
        return f"{url}?fresh={secrets.token_hex(8)}", {"Cache-Control": "no-cache"}


@contextlib.contextmanager
def open_published(
    location: str, transport: Transport, *, fresh: bool = False
) -> Iterator[Published]:
    """A channel by folder or http(s) address. Raises ConfigError for anything else.

    With ``fresh``, no cache on the way to an address is to answer.
    """
    if is_address(location):
        check_address(location)
        with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
            yield Website(location, transport, Path(scratch), fresh=fresh)
        return
    if "://" in location:
        raise ConfigError(f"{shown(location)!r} is neither a folder nor an http(s) address.")
    yield Folder(Path(location), transport)


def is_address(location: str) -> bool:
    """Whether this is meant as an http(s) address."""
    return location.startswith(("http://", "https://"))


def check_address(address: str) -> None:
    """Raise ConfigError for an address that can't be one, or that holds a password."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(
            f"{printable(shown(address), 200)!r} is not an address: {error}."
        ) from error
    if "@" in parts.netloc:
        raise ConfigError(
            f"The address of {host} holds a user or password, which would be printed. A published "
            "channel that needs them can't be read."
        )
    if not host:
        raise ConfigError(
            f"{printable(shown(address), 200)!r} is not an address: it names no host."
        )


def resolve(subdir: str, base: str) -> str:
    """Where what a subdir's index calls ``base`` is: an address, or a folder of the channel.

    CEP 15 and CEP 16: relative to the index. It ends with a slash. What leads out of the
    channel stays as it is, and is refused where it is fetched.
    """
    base += "" if not base or base.endswith("/") else "/"
    if "://" in base:
        return base
    path = posixpath.normpath(posixpath.join(subdir, base))
    return f"{path}/"


def download(channel: Published, place: str, file: IO[bytes], limit: int) -> None:
    """What is at a path of the channel, or at an address, into a file; goes on after its content.

    Raises NotFoundError where there is nothing, RegistryError where it can't be had, and
    ContentError for more than ``limit`` bytes.
    """
    if not is_address(place):
        place = channel.address_of(place)
    if is_address(place):
        channel.download(place, file, limit)
        return
    path = channel.fetch(place, limit)
    if path is None:
        raise NotFoundError(f"{channel.location} has no {place}.")
    file.seek(0)
    file.truncate()
    with path.open("rb") as source:
        shutil.copyfileobj(source, file, 1 << 20)


def read_bytes(channel: Published, path: str, limit: int) -> bytes | None:
    """A small file's content; None where the channel doesn't have it."""
    file = channel.fetch(path, limit)
    if file is None:
        return None
    data = file.read_bytes()
    if not isinstance(channel, Folder):
        file.unlink()
    return data


def read_place(channel: Published, place: str, limit: int) -> bytes | None:
    """A small file's content, by its path in the channel or its address; None where it isn't."""
    if is_address(place):
        return channel.fetch_address(place, limit)
    return read_bytes(channel, place, limit)


def _fetch_address(transport: Transport, address: str, limit: int) -> bytes | None:
    answer = transport.request("GET", address, limit=limit)
    if answer.status == 200:
        return answer.body
    _check_absent(answer.status, address)
    return None


def _download(transport: Transport, address: str, file: IO[bytes], limit: int) -> None:
    answer = transport.retry(
        "GET", address, lambda: transport.once("GET", address, limit=limit, sink=file)
    )
    if answer.status in {404, 410}:
        raise NotFoundError(f"{shown(address)} answered {answer.status}.")
    if answer.status not in {200, 206}:
        raise RefusedError(f"{shown(address)} answered {answer.status}.")


def _check_absent(status: int, url: str) -> None:
    """Raise RegistryError for a refusal that doesn't say that there is nothing."""
    if status not in {404, 410}:
        raise RefusedError(f"{shown(url)} answered {status}; the published channel can't be read.")


def _checked(path: str) -> str:
    if not is_path(path):
        raise ContentError(f"{path[:200]!r} leads out of the channel")
    return path
