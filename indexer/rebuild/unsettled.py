"""``history/unsettled.json``: since when artifacts wait or are rejected.

The registry doesn't say when it got something, and a state may be lost; pruning goes by this. It
isn't in the snapshot and is replaced in place, as status.json is: an upload that nobody has
validated changes nothing that clients read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from indexer.files import replace_file, size_of
from indexer.rebuild.previous import Previous
from indexer.render import history


def note_unsettled(
    site: Path,
    previous: Previous,
    since: Mapping[tuple[str, str, str], int],
    is_read: Callable[[str, str], bool],
) -> None:
    """Write the file, unless it says the same already; none where nothing waits or ever did.

    ``since`` is by subdir, repository and tag, in seconds since 1970. ``is_read`` says of a subdir
    and a repository whether this run read it: of the others, what was known before stays.
    """
    known = previous.unsettled()
    kept = {place: since for place, since in known.items() if not is_read(place[0], place[1])}
    unsettled = {**kept, **since}
    path = site / history.UNSETTLED
    data = history.encode_unsettled(unsettled)
    is_there = size_of(path) == len(data) and path.read_bytes() == data
    if (unsettled or known) and not is_there:
        replace_file(path, data)
