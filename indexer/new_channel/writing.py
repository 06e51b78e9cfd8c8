"""Several files written into somebody's folder: all of them or none, and nothing by surprise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from indexer.errors import ConfigError
from indexer.files import linked_folder


def write_all(folder: Path, texts: Mapping[str, str], *, force: bool) -> None:
    """Write files below a folder, which is made where it isn't there.

    Raises ConfigError, and nothing is written, where one of them is there already (with ``force``:
    isn't an ordinary file), where a symbolic link is on the way, or where one can't be written.
    """
    there = [name for name in texts if _is_there(folder, name)]
    if there and not force:
        raise ConfigError(
            f"{' and '.join(there)} in {folder} would be overwritten, so nothing was written. Say "
            "--force to replace what is there."
        )
    staged: dict[Path, Path] = {}
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f".{path.name}.cf-index-new")
            scratch.unlink(missing_ok=True)
            staged[scratch] = path
            with scratch.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
        for scratch, path in staged.items():
            scratch.replace(path)
    except OSError as error:
        raise ConfigError(f"{folder} can't be written into: {error.strerror}.") from error
    finally:
        for scratch in staged:
            _forget(scratch)


def _is_there(folder: Path, name: str) -> bool:
    """Whether there is a file of this name. Raises ConfigError where none may ever be written."""
    path = folder / name
    linked = linked_folder(folder, name)
    if linked is not None or path.is_symlink():
        raise ConfigError(
            f"{folder / linked if linked is not None else path} is a symbolic link, and nothing is "
            "written through one."
        )
    if not os.path.lexists(path):
        return False
    if not path.is_file():
        raise ConfigError(f"{path} is there, and isn't a file.")
    return True


def _forget(scratch: Path) -> None:
    try:
        scratch.unlink(missing_ok=True)
    except OSError:
        return
