"""What a site of ours remembers, read from outside and checked by its snapshot."""

from __future__ import annotations

import contextlib
import hashlib

from indexer.errors import ContentError, GuardError
from indexer.published import Published, read_bytes
from indexer.render import generations
from indexer.render.generations import GENERATIONS, Generation, decode_generations
from indexer.render.history import MAX_FILE, REJECTIONS, SNAPSHOT, FileEntry, decode_snapshot
from indexer.trust.judging import Held
from indexer.trust.rejections import decode_rejections


def is_ours(site: Published) -> bool:
    """Whether there is a site that this program made."""
    return read_bytes(site, SNAPSHOT, MAX_FILE) is not None


def read_rejections(site: Published) -> list[Held]:
    """Every "no" that was once seen; none where there is no site.

    Raises GuardError where that can't be known any more, ConfigError for a newer site.
    """
    expected = _listed(site, REJECTIONS)
    try:
        data = read_bytes(site, REJECTIONS, MAX_FILE)
        if expected is None and data is None:
            return []
        _check(data, expected)
        return decode_rejections(data or b"")
    except ContentError as error:
        raise GuardError(
            f"{site.location.rstrip('/')}/{REJECTIONS}: {error}. What was rejected would be "
            "let in again. Put a sound copy of the site there, name one by --previous, or say "
            "--allow-drop."
        ) from error


def rejections_as_they_are(site: Published) -> list[Held]:
    """The same, whatever somebody did to the file; none where it can't be read."""
    with contextlib.suppress(ContentError):
        return decode_rejections(read_bytes(site, REJECTIONS, MAX_FILE) or b"[]")
    return []


def read_generations(site: Published) -> list[Generation]:
    """The channel's last generations, newest first; none where there is no such file.

    Raises ContentError where it can't be relied on, ConfigError for a newer site.
    """
    expected = _listed(site, GENERATIONS)
    data = read_bytes(site, GENERATIONS, generations.MAX_FILE)
    if data is None and expected is None:
        return []
    try:
        _check(data, expected)
    except ContentError as error:
        raise ContentError(f"{GENERATIONS}: {error}") from error
    return decode_generations(data or b"")


def _listed(site: Published, path: str) -> FileEntry | None:
    """What the snapshot says of a file, if anything."""
    data = read_bytes(site, SNAPSHOT, MAX_FILE)
    if data is not None:
        # One that is damaged lists nothing; whoever builds upon it tells of it.
        with contextlib.suppress(ContentError):
            return decode_snapshot(data).files.get(path)
    return None


def _check(data: bytes | None, expected: FileEntry | None) -> None:
    if expected is not None and hashlib.sha256(data or b"").hexdigest() != expected.sha256:
        raise ContentError("it is missing or isn't what the snapshot lists")
