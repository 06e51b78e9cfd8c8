"""Names that strangers give to files, and what they come to as paths."""

from __future__ import annotations

_MAX_PATH = 1024
_MAX_NAME = 255


def clean(text: str) -> str | None:
    """A relative path in one spelling, ``""`` for the root; None where it is none that we serve.

    ``.`` between slashes and one slash at the end say nothing. What leads out (``..``, a slash at
    the beginning), a backslash, an empty name and what can't be printed are no paths of ours.
    """
    if "\\" in text or not text.isprintable():
        return None
    parts = text.removesuffix("/").split("/") if text else []
    if any(part in {"", ".."} or len(part.encode()) > _MAX_NAME for part in parts):
        return None
    path = "/".join(part for part in parts if part != ".")
    return path if len(path.encode()) <= _MAX_PATH else None


def is_below(path: str, folder: str) -> bool:
    """Whether a clean path is in a folder, ``""`` being the root."""
    return not folder or path.startswith(f"{folder}/")
