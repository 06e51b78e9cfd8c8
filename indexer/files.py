"""Files on this machine: their hashes, their locks, and replacing one whole."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Literal

from indexer.errors import ConfigError

Kind = Literal["file", "folder", "other"]


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


def names_in(folder: Path) -> list[str]:
    """What lies right in a folder, in order; nothing where there is no folder."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  there may be 30,000: no path objects
    except (FileNotFoundError, NotADirectoryError):
        return []


def kinds_in(folder: Path) -> dict[str, Kind]:
    """What lies right in a folder, by name."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _kind(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def size_there(path: Path) -> int:
    """The size in bytes of a file, a link itself, or all below a folder; 0 where nothing is."""
    if path.is_dir() and not path.is_symlink():
        return size_of_tree(path)
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def remove(path: Path) -> None:
    """Delete a file, a link, or a folder with all in it; nothing where nothing is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def linked_folder(root: Path, path: str) -> PurePath | None:
    """The folder on the way to a file below ``root`` that is a symbolic link, if one is."""
    folders = PurePath(path).parents[:-1]
    return next((folder for folder in folders if (root / folder).is_symlink()), None)


def refuse_links(root: Path, path: str) -> None:
    """Raise ConfigError where a folder on the way to a file below ``root`` is a symbolic link."""
    if (folder := linked_folder(root, path)) is not None:
        raise ConfigError(
            f"{folder} in the output is a symbolic link. A site is replaced whole, so put "
            "the folder itself there (or the whole output where there is room)."
        )


def size_of_tree(folder: Path, without: Collection[Path] = ()) -> int:
    """The sizes in bytes of all files below a folder, 0 where there is none.

    Links aren't followed; folders in ``without`` aren't looked into.
    """
    size = 0
    waiting = [os.fspath(folder)]
    left_out = set(map(os.fspath, without))
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        size += entry.stat(follow_symlinks=False).st_size
                    elif entry.path not in left_out:
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return size


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
