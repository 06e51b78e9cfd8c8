"""Reads any channel back, as streams, and says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.check.changes import ChangesCheck
from indexer.check.findings import Findings, Problem
from indexer.check.subdir import SubdirCheck
from indexer.errors import ContentError
from indexer.files import sha256_of
from indexer.progress import SILENCE, Progress
from indexer.published import Folder, Published, is_path, read_bytes
from indexer.published.forms import listed_subdirs
from indexer.render import channeldata, history

__all__ = ["Findings", "Problem", "check_channel"]

_MAX_SMALL = 256 * 1024 * 1024


def check_channel(
    channel: Published,
    subdirs: Sequence[str] | None = None,
    progress: Progress = SILENCE,
    since: Mapping[str, Folder] | None = None,
) -> Findings:
    """Check a published channel; without ``subdirs``, all that it says it has.

    ``since`` has, for subdirs of a site in a folder, the sound site that they were made from: of
    those only what differs is read.
    """
    findings = Findings()
    snapshot = _check_snapshot(channel, findings, subdirs)
    known = _subdirs(channel, snapshot, findings) if subdirs is None else set(subdirs)
    if "noarch" not in known and channel.fetch("noarch/repodata.json") is None:
        findings.add("noarch/repodata.json", "missing; every channel must have it")
    for subdir in sorted(known):
        before = since.get(subdir) if since else None
        if before is not None and isinstance(channel, Folder):
            ChangesCheck(before, channel, subdir, findings).check()
        else:
            SubdirCheck(channel, subdir, findings, progress).check()
    return findings


def _subdirs(channel: Published, snapshot: history.Snapshot | None, findings: Findings) -> set[str]:
    """The subdirs that a channel says it has, and those that it has without saying so."""
    # Every channel must have noarch (CEP 26).
    found = {"noarch"}
    if isinstance(channel, Folder):
        found |= {path.parent.name for path in channel.root.glob("*/repodata.json")}
    if snapshot is not None:
        return found | snapshot.subdirs.keys()
    try:
        listed = listed_subdirs(channel)
    except ContentError as error:
        findings.add(channeldata.FILE_NAME, str(error))
        return found
    if listed is None and not isinstance(channel, Folder):
        findings.add(channel.location, "doesn't say which subdirs it has; name them with --subdir")
    return found | (listed or set())


def _check_snapshot(
    channel: Published, findings: Findings, subdirs: Sequence[str] | None
) -> history.Snapshot | None:
    data = read_bytes(channel, history.SNAPSHOT, _MAX_SMALL)
    if data is None:
        return None
    try:
        snapshot = history.decode_snapshot(data)
    except ContentError as error:
        findings.add(history.SNAPSHOT, str(error))
        return None
    for path, expected in snapshot.listed(subdirs).items():
        try:
            file = channel.fetch(path) if is_path(path) else None
        except ContentError:
            file = None
        if file is None:
            findings.add(path, "is listed in the snapshot, and missing")
        elif sha256_of(file) != expected.sha256:
            findings.add(path, "doesn't have the sha256 that the snapshot lists")
        if file is not None and not isinstance(channel, Folder):
            file.unlink()
    return snapshot
