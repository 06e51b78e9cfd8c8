"""Folders that stay where they are while a site is replaced, and are changed file by file.

Those of single names: 120,000 files in a large channel, of which a run changes a handful. Linking
them all into the staged tree, and deleting the old links, takes ten seconds (bench/site.py). No
client installs from them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path, PurePath

from indexer.files import (
    Kind,
    kinds_in,
    linked_folder,
    refuse_links,
    remove,
    size_of_tree,
    size_there,
)
from indexer.rebuild.publish import UNFINISHED, Staged


class Kept:
    """Such folders of a site that is to be published.

    ``live`` is where they are now; None where they are made from nothing. Whatever is asked, it
    is answered as if all that was put and removed were done; it is done by ``settle``.
    """

    def __init__(self, staged: Staged, live: Path | None, folders: Sequence[str]) -> None:
        self._staged = staged
        self._live = live
        self._folders = folders
        # Whether they are what a run before left, and not what it broke off at.
        self.is_sound = live is not None and not (live / UNFINISHED).exists()
        # Sizes of what was put, by entry (what lies right in a folder) and path.
        self._fresh: dict[str, dict[str, int]] = {}
        self._gone: set[str] = set()
        # Of all files, in bytes.
        self.size = 0
        if live is not None:
            self.size = sum(
                size_of_tree(live / folder)
                for folder in folders
                if linked_folder(live, f"{folder}/...") is None
            )

    def refuse_links(self) -> None:
        """Raise ConfigError where one of the folders is a symbolic link, or lies below one."""
        if self._live is not None:
            for folder in self._folders:
                refuse_links(self._live, f"{folder}/...")

    def holds_any(self, folder: str) -> bool:
        """Whether there is anything in its place but an empty folder."""
        if self._live is None:
            return False
        place = self._live / folder
        return place.is_symlink() or place.is_file() or bool(self.entries(folder))

    def entries(self, folder: str) -> dict[str, Kind]:
        """What lies right in a folder, by name, and of which kind each is."""
        there = kinds_in(self._live / folder) if self._live is not None else {}
        left = {name: kind for name, kind in there.items() if f"{folder}/{name}" not in self._gone}
        return left | kinds_in(self._staged.root / folder)

    def put(self, path: str, data: bytes) -> None:
        """Put a file in place unless these are its bytes already.

        Raises ConfigError where a link would lead elsewhere.
        """
        entry = self._entry(path)
        self._drop(entry, path)
        before = self._read(entry, path)
        if before == data:
            return
        self._staged.write(path, data)
        self._fresh.setdefault(entry, {})[path] = len(data)
        self.size += len(data) - len(before or b"")

    def remove(self, entry: str) -> None:
        """Take out what lies right in a folder, be it a file, a link or a folder itself."""
        for path in list(self._fresh.get(entry, ())):
            self._drop(entry, path)
        if self._live is not None and entry not in self._gone:
            self.size -= size_there(self._live / entry)
        self._gone.add(entry)

    def settle(self) -> None:
        """Do it. The staged tree, which is put in place next, takes the folders along then.

        Where a run is killed in between, the pages are ahead of the index, and the next run is
        told so: all are drawn again.
        """
        live = self._live
        if live is None or not (self._fresh or self._gone):
            return
        (live / UNFINISHED).touch()
        for entry in self._gone:
            remove(live / entry)
        for folder in self._folders:
            for place in (*PurePath(folder).parents[:-1], PurePath(folder)):
                if (live / place).is_file():
                    (live / place).unlink()
            with contextlib.suppress(OSError):
                # Only what is empty now.
                (live / folder).rmdir()
        for path in (path for paths in self._fresh.values() for path in paths):
            target = live / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                remove(target)
            (self._staged.root / path).replace(target)

    def _entry(self, path: str) -> str:
        folder = next(one for one in self._folders if path.startswith(f"{one}/"))
        name, _, _ = path.removeprefix(f"{folder}/").partition("/")
        return f"{folder}/{name}"

    def _read(self, entry: str, path: str) -> bytes | None:
        """What there is now, apart from what was put."""
        if self._live is None or entry in self._gone:
            return None
        refuse_links(self._live, path)
        try:
            return (self._live / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def _drop(self, entry: str, path: str) -> None:
        """Forget what was put at a path."""
        size = self._fresh.get(entry, {}).pop(path, None)
        if size is not None:
            self._staged.remove(path)
            self.size += len(self._read(entry, path) or b"") - size
