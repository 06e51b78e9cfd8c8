"""Which GitHub repository a folder is a clone of: hostile input, read by one strict pattern."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# As git takes them: with a scheme, or as ssh's short form. Whoever logs in is dropped.
_REMOTE = re.compile(
    r"(?:(?:https?|git|ssh|git\+ssh)://(?:[^/@\s]*@)?(?:www\.|ssh\.)?github\.com(?::[0-9]{1,5})?/"
    r"|(?:[^/@:\s]+@)?github\.com:/?)"
    r"(?P<owner>[A-Za-z0-9][A-Za-z0-9_-]{0,99})"
    r"/(?P<name>[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?",
    re.IGNORECASE | re.ASCII,
)
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Origin:
    """A repository on GitHub, as its owner spells it."""

    owner: str
    name: str

    @property
    def web(self) -> str:
        """Its address."""
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def pages(self) -> str:
        """Where GitHub Pages shows it, unless it has a domain of its own."""
        host = f"{self.owner}.github.io".lower()
        return f"https://{host}/" + ("" if self.name.lower() == host else f"{self.name}/")


def read_origin(url: str) -> Origin | None:
    """What the address of a remote names; None for anything but a repository on github.com."""
    match = _REMOTE.fullmatch(url)
    if match is None or match["name"] in {".", ".."}:
        return None
    return Origin(match["owner"], match["name"])


def origin_of(folder: Path) -> Origin | None:
    """What the remote ``origin`` of a clone names; None where that can't be found out.

    A folder within a clone is none: workflows count at its top alone.
    """
    if not (folder / ".git").exists():
        return None
    # What a hook sets would name another repository.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603  fixed words; the folder is a word of its own
            ["git", "-C", os.fspath(folder), "remote", "get-url", "origin"],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
            env=environ,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_origin(done.stdout.decode(errors="replace").strip())
