"""The status page: what a run left out, beside what is known of what it didn't read.

Neither the page nor ``history/left_out.json`` is in the snapshot. They are replaced in place, as
status.json is: an upload that nobody has validated changes nothing that clients read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from indexer.files import refuse_links, remove, replace_file
from indexer.rebuild.look import Look
from indexer.rebuild.previous import Previous
from indexer.rebuild.report import Report
from indexer.rebuild.tally import LeftOut
from indexer.render import history, pages
from indexer.render.detail import detail_of
from indexer.render.history import Snapshot
from indexer.render.status import (
    MAX_LISTED,
    Artifact,
    Listed,
    Outside,
    Status,
    encode_outside,
    plot_counts,
)


def refresh_status(
    site: Previous, look: Look, report: Report, known: Mapping[str, Outside], *, whole: bool
) -> None:
    """Write the status page of a published ``site`` where it says something else now.

    ``known`` is what the site told of its subdirs; a run that didn't read all of those that it
    read (not ``whole``) tells nothing new of them.
    """
    folder, snapshot = site.folder, site.snapshot
    if folder is None or snapshot is None or snapshot.pages is None:
        return
    read = outside_of(report)
    found = {**known, **read} if whole else {**read, **known}
    outside = {subdir: found[subdir] for subdir in sorted(found) if subdir in snapshot.subdirs}
    if known or any(_is_any(part) for part in outside.values()):
        _refresh(folder, history.LEFT_OUT, encode_outside(outside))
    view = _status(snapshot, outside, site.counts())
    data = pages.draw_status(view, look.info, detail_of(snapshot.pages.level))
    _refresh(folder, pages.STATUS, data)


def outside_of(report: Report) -> dict[str, Outside]:
    """What a run found that isn't in the index, by subdir."""
    waiting = sorted(report.waiting, key=lambda item: (item.since, item.repository, item.tag))
    return {
        subdir: Outside(
            _listed([item for item in report.left_out if item.subdir == subdir]),
            _listed([item for item in report.rejected if item.subdir == subdir]),
            Listed(
                part.waiting,
                [
                    Artifact(f"{subdir}/{item.repository}:{item.tag}", item.since)
                    for item in waiting
                    if item.subdir == subdir
                ][:MAX_LISTED],
            ),
        )
        for subdir, part in report.subdirs.items()
    }


def _listed(items: Sequence[LeftOut]) -> Listed:
    return Listed(len(items), [Artifact(item.place, item.reason) for item in items[:MAX_LISTED]])


def _is_any(part: Outside) -> bool:
    return bool(part.left_out.total or part.rejected.total or part.waiting.total)


def _status(
    snapshot: Snapshot, outside: Mapping[str, Outside], counts: Sequence[dict[str, Any]]
) -> Status:
    """All that the page shows. Nothing in it changes unless what it tells of does."""
    parts = outside.values()
    waiting = _joined([part.waiting for part in parts])
    first = sorted(waiting.first, key=lambda item: (item.text, item.place))
    entries = sorted(snapshot.subdirs.items())
    # Whatever others a damaged file may have.
    known = [
        {**item, "records": {key: item["records"].get(key, 0) for key in snapshot.subdirs}}
        for item in counts
    ]
    return Status(
        change=snapshot.change,
        counts={subdir: (entry.records, entry.names) for subdir, entry in entries},
        left_out=_joined([part.left_out for part in parts]),
        rejected=_joined([part.rejected for part in parts]),
        waiting=Listed(waiting.total, first[:MAX_LISTED]),
        oldest=first[0].text if first else "",
        plot=plot_counts(known),
    )


def _joined(lists: Sequence[Listed]) -> Listed:
    first = [item for part in lists for item in part.first]
    return Listed(sum(part.total for part in lists), first)


def _refresh(folder: Path, path: str, data: bytes) -> None:
    """Replace a file of the site where it has other bytes; never through a link."""
    refuse_links(folder, path)
    target = folder / path
    with contextlib.suppress(OSError):
        # What can't be read is replaced.
        if target.is_file() and not target.is_symlink() and target.read_bytes() == data:
            return
    if target.parent.is_file() or target.is_dir():
        remove(target.parent if target.parent.is_file() else target)
    target.parent.mkdir(exist_ok=True)
    replace_file(target, data)
