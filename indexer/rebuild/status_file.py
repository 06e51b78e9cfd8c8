"""status.json: what the last run came to, and which site it goes with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson

from indexer.rebuild.report import Report
from indexer.render.history import SNAPSHOT, decode_snapshot


def status_bytes(report: Report, folder: Path) -> bytes:
    """status.json for the site in ``folder``: the only published file with the run's time in it.

    It names the snapshot, by its hash, so that whoever is served the status of one publication
    with the files of another can tell. The report is told of it, too.
    """
    data = (folder / SNAPSHOT).read_bytes()
    report.snapshot = hashlib.sha256(data).hexdigest()
    report.records = {
        subdir: entry.records for subdir, entry in sorted(decode_snapshot(data).subdirs.items())
    }
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(report.as_status(), option=options)
