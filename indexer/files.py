"""Files on this machine: their hashes, their locks, and replacing one whole."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from indexer.errors import ConfigError


def sha256_of(path: Path) -> str:
    """The sha256 (hex) of a file, read as a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_sha256(path: Path, digest: str) -> bool:
    """Whether this is a file with this sha256 (hex)."""
    return path.is_file() and sha256_of(path) == digest


def size_of(path: Path) -> int | None:
    """The size of a file in bytes; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def sizes_in(folder: Path) -> dict[str, int]:
    """The sizes in bytes of the files right in a folder, by name; none where there is no folder.

    One look through it: for very many files much faster than one at each. What can't be looked
    at, such as a link to nowhere, isn't there.
    """
    sizes = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_file():
                        sizes[entry.name] = entry.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return sizes


def replace_file(path: Path, data: bytes) -> None:
    """Write a single file that is never seen half-written. Raises ConfigError where it can't be."""
    # One name, so that a killed run's leftover is overwritten; never through a link.
    scratch = path.with_name(f".{path.name}.new")
    try:
        scratch.unlink(missing_ok=True)
        with scratch.open("xb") as file:
            file.write(data)
        scratch.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}.") from error


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file while working.

    Raises ConfigError where somebody else holds it, or where it can't be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            # Through a link, another program's file would be the lock.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = stack.enter_context(os.fdopen(os.open(path, flags, 0o644), "w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another run is using {what} (it holds {path}). Wait for it to end, or give "
                "this one other folders."
            ) from error
        except OSError as error:
            raise ConfigError(f"{path} can't be made: {error.strerror}.") from error
        yield
