"""What a served status.json says of the run that it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from indexer.errors import ContentError, printable
from indexer.render.history import read_seconds

STATUS = "status.json"
# In bytes. Its lists are cut; the longest texts of the most hostile registry make a tenth of it.
MAX_STATUS = 16 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_RUN = 200


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which run's site is served.

    ``time`` is when that run began (RFC 3339), ``seconds`` the same since 1970. ``run`` is what
    its scheduler called it, empty where it has no name; ``snapshot`` the sha256 of the snapshot
    that it was published with. What an older version didn't say, or nobody can read, is None.
    """

    time: str
    seconds: int
    run: str
    version: str
    snapshot: str | None
    records: int | None
    waiting: int | None
    oldest: str | None

    def __str__(self) -> str:
        return f"the site of {self.time} ({self.named()})"

    def named(self) -> str:
        """The run, for people."""
        return f"run {printable(self.run, _MAX_RUN)}" if self.run else "a run without an id"


def read_stamp(data: bytes) -> Stamp:
    """Read a status.json of any version. Raises ContentError where it is none."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ContentError(f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ContentError("it is not that of a run")
    time, run, snapshot = (document.get(key, "") for key in ("time", "run", "snapshot"))
    seconds = _seconds(time)
    if seconds is None:
        raise ContentError(f"its time is {_shown(time)}, which is none")
    if not isinstance(run, str) or len(run) > _MAX_RUN:
        raise ContentError(f"its run is {_shown(run)}, which is none")
    if not isinstance(snapshot, str) or not (_SHA256.fullmatch(snapshot) or not snapshot):
        raise ContentError(f"its snapshot is {_shown(snapshot)}, which is no sha256")
    waiting = _part(document, "waiting")
    oldest = waiting.get("oldest")
    return Stamp(
        time=time,
        seconds=seconds,
        run=run,
        version=_shown(document.get("version")),
        snapshot=snapshot or None,
        records=_count(_part(_part(document, "counts"), "records").get("total")),
        waiting=_count(waiting.get("total")),
        oldest=oldest if _seconds(oldest) is not None else None,
    )


def _shown(value: Any) -> str:
    """A short text for people; of anything else its kind, since it may be nested very deep."""
    return printable(value, 40) if isinstance(value, str) else type(value).__name__


def _seconds(value: Any) -> int | None:
    if not isinstance(value, str) or len(value) > 20:
        return None
    try:
        return read_seconds(value)
    except (ValueError, OverflowError):
        return None


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = document.get(key)
    return part if isinstance(part, dict) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None
