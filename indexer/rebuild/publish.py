"""A staged tree beside the output, swapped in whole: killed at any point, the old site is whole.

The staged tree shares (hard links) every file that doesn't change with the old one. Files
that this program doesn't know, such as a CNAME, are carried along.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from indexer.errors import CfIndexError, ConfigError
from indexer.files import linked_folder, locked, refuse_links, remove
from indexer.render.history import SNAPSHOT, decode_snapshot

# In an output whose kept folders are being changed: gone once the new site is there.
UNFINISHED = ".cf-index-unfinished"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class Output:
    """The folder that a site is published into; made by ``open_output``, which holds its lock.

    ``kept`` are folders in it that aren't staged: see rebuild/kept.py.
    """

    def __init__(self, folder: Path, kept: Collection[str] = ()) -> None:
        self.folder = folder
        self._kept = kept
        self.staged = folder.with_name(f".{folder.name}.staged")
        # For the previous site, when it is fetched: on the same disk, so that it can be linked.
        self.scratch = folder.with_name(f".{folder.name}.previous")
        self._old = folder.with_name(f".{folder.name}.old")

    def recover(self) -> None:
        """Clear what a killed run left: scratch trees, or a swap that was cut in two."""
        if self._old.exists() and not self.folder.exists():
            self._old.rename(self.folder)
        if self._has_kept():
            self._bring_back()
        leftovers = [self.staged, self.scratch]
        if (self.folder / SNAPSHOT).is_file():
            # Else it may be the only whole one.
            leftovers.append(self._old)
        for leftover in leftovers:
            if leftover.exists():
                shutil.rmtree(leftover)

    def _has_kept(self) -> bool:
        """Whether the site that is there has these folders, by its snapshot."""
        try:
            snapshot = decode_snapshot((self.folder / SNAPSHOT).read_bytes())
        except (OSError, CfIndexError):
            return False
        return snapshot.pages is not None

    def _take_along(self) -> None:
        """Move the kept folders into the staged tree."""
        for path in self._kept:
            if linked_folder(self.folder, f"{path}/...") is None:
                _move(self.folder / path, self.staged / path)

    def _bring_back(self) -> None:
        """Move those back that a swap that didn't come about had taken along."""
        for path in self._kept if self.staged.is_dir() and self.folder.is_dir() else ():
            if not os.path.lexists(self.folder / path):
                refuse_links(self.folder, path)
                _move(self.staged / path, self.folder / path)

    def stage(self, base: Path | None, *, without: Collection[str] = ()) -> Staged:
        """A staged tree with everything that ``base`` has, but the paths in ``without``."""
        with told(self.folder):
            shutil.rmtree(self.staged, ignore_errors=True)
            self.staged.mkdir(parents=True)
            if base is not None and base.is_dir():
                left_out = frozenset((*without, UNFINISHED))
                kept = frozenset(self._kept)
                _link_tree(os.fspath(base), os.fspath(self.staged), left_out, kept)
        return Staged(self.staged)

    def swap(self, *, in_place: bool) -> None:
        """Put the staged tree in the output's place, and delete what was there.

        ``in_place``: the kept folders that are there stay, whatever the staged tree has of them.
        """
        with told(self.folder):
            try:
                if in_place:
                    self._take_along()
                self._swap()
            except BaseException:
                # Ctrl-C, too: what is discarded next must not hold what was taken along.
                if in_place:
                    self._bring_back()
                raise

    def _swap(self) -> None:
        if not self.folder.exists():
            self.staged.rename(self.folder)
            return
        if not _exchange(self.staged, self.folder):
            # Two steps where the system can't exchange: recover() mends a kill between them.
            self.folder.rename(self._old)
            try:
                self.staged.rename(self.folder)
            except BaseException:
                self._old.rename(self.folder)
                raise
        shutil.rmtree(self.staged, ignore_errors=True)
        shutil.rmtree(self._old, ignore_errors=True)

    def discard(self) -> None:
        """Delete the staged tree."""
        shutil.rmtree(self.staged, ignore_errors=True)


class Staged:
    """A tree on its way to be published."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, data: bytes) -> None:
        """Put a file in place; never into one that the old site shares."""
        target = self.make_room(path)
        with target.open("xb") as file:
            file.write(data)

    def put(self, path: str, data: bytes) -> None:
        """Put a file in place unless these are its bytes already."""
        target = self.root / path
        refuse_links(self.root, path)
        try:
            if not target.is_symlink() and target.read_bytes() == data:
                return
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            pass
        self.write(path, data)

    def remove(self, path: str) -> None:
        """Take a file or folder out, and the folders that are empty then."""
        target = self.root / path
        refuse_links(self.root, path)
        remove(target)
        for folder in target.relative_to(self.root).parents[:-1]:
            try:
                (self.root / folder).rmdir()
            except OSError:
                # It isn't empty, or was never there.
                break

    def make_room(self, path: str) -> Path:
        """A path where a new file may be made."""
        target = self.root / path
        # They were carried along as they are: writing through one would change the live site.
        refuse_links(self.root, path)
        for folder in target.relative_to(self.root).parents:
            if (self.root / folder).is_file():
                # In the way of one of ours.
                (self.root / folder).unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(target)
        return target


@contextlib.contextmanager
def open_output(
    folder: Path,
    *,
    only_look: bool = False,
    apart_from: Collection[Path] = (),
    kept: Collection[str] = (),
) -> Iterator[Output]:
    """Lock the output folder and clear leftovers, or ``only_look``.

    Raises ConfigError where another run holds it, where it can't be written, or where it
    holds something that isn't a site of this program, ``apart_from`` folders among that: the
    swap would be no friend to it.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  symbolic links stay as they are
    with told(folder):
        _check_place(folder, apart_from)
    if only_look:
        _check_ours(folder)
        yield Output(folder, kept)
        return
    with contextlib.ExitStack() as stack:
        with told(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = folder.with_name(f".{folder.name}.lock")
            stack.enter_context(locked(lock, f"the output {folder}"))
            output = Output(folder, kept)
            output.recover()
            _check_ours(folder)
        yield output


@contextlib.contextmanager
def told(folder: Path) -> Iterator[None]:
    """Tell of a disk that is full or read-only as what it is."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"The output {folder} can't be written: {error}.") from error


def _check_place(folder: Path, apart_from: Collection[Path]) -> None:
    here = Path.cwd()
    if folder == here or folder in here.parents:
        raise ConfigError(
            f"The output {folder} holds the current folder; it is replaced whole at each "
            "publication. Name a folder of its own, such as ./site."
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or folder.is_mount():
        raise ConfigError(
            f"The output {folder} is not a folder that can be replaced. Name an ordinary one."
        )
    # Links may lead to one another, too.
    output = folder.resolve()
    for other in apart_from:
        place = other.resolve()
        if place == output or output in place.parents or place in output.parents:
            raise ConfigError(
                f"The output {folder} and {other} lie within one another; give each a folder of "
                "its own."
            )


def _check_ours(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SNAPSHOT).is_file():
        raise ConfigError(
            f"The output {folder} is not empty and was not made by cf-index (it has no "
            f"{SNAPSHOT}). Empty it, or name another folder."
        )


def _link_tree(
    source: str, target: str, without: frozenset[str], kept: frozenset[str], place: str = ""
) -> None:
    """Link what a folder holds, but the files in ``without`` and the folders in ``kept``.

    ``place`` is its path below the first, with a slash at its end.

    In strings: there may be 25,000 shards, of which a path object costs more than its link.
    """
    with os.scandir(source) as entries:
        for entry in entries:
            path, there = f"{place}{entry.name}", f"{target}/{entry.name}"
            # A symbolic link to a folder is carried along as it is, like a file.
            if entry.is_dir(follow_symlinks=False):
                if path not in kept:
                    os.mkdir(there)  # noqa: PTH102  see above
                    _link_tree(entry.path, there, without, kept, f"{path}/")
            elif path not in without:
                _link(entry.path, there)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
            raise
        shutil.copy2(source, target, follow_symlinks=False)


def _move(one: Path, other: Path) -> None:
    """Move a folder, if it is one; over what was emptied before."""
    if one.is_dir() and not one.is_symlink():
        shutil.rmtree(other, ignore_errors=True)
        other.parent.mkdir(parents=True, exist_ok=True)
        one.rename(other)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step (Linux renameat2); False where that can't be done."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    result = function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if result == 0:
        return True
    if ctypes.get_errno() in {errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EOPNOTSUPP}:
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
