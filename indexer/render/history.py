"""``history/``: what a run must remember and the registry doesn't hold (DESIGN decision 2).

``snapshot.json`` lists every file of the site with its hash (shards are listed by the
shard indexes), so that a machine that starts from nothing can read a published site back
and trust it as far as it trusts where it got the snapshot from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from indexer.channel.index_json import SUBDIR
from indexer.errors import ConfigError, ContentError
from indexer.render.detail import LEVELS

FOLDER = "history"
SNAPSHOT = f"{FOLDER}/snapshot.json"
CHANGES = f"{FOLDER}/changes.json"
COUNTS = f"{FOLDER}/counts.json"
REJECTIONS = f"{FOLDER}/rejections.json"
UNSETTLED = f"{FOLDER}/unsettled.json"
LEFT_OUT = f"{FOLDER}/left_out.json"
FORMAT = 1
# In bytes; none of these files comes near it.
MAX_FILE = 256 * 1024 * 1024

# Clients may hold yesterday's shard index; a missing shard is a hard error in rattler and conda.
SUPERSEDED_FOR = timedelta(days=7)
MAX_CHANGES = 200
MAX_COUNTS = 2000


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A published file: its sha256 (hex) and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class SubdirEntry:
    """What the snapshot says of a subdir.

    ``superseded`` are shards no longer in the index, and the time until which they stay;
    ``shard_bytes`` is what those in it add up to; ``rendering`` names what went into its files
    besides records.
    """

    records: int
    names: int
    shard_bytes: int
    files: Mapping[str, FileEntry]
    superseded: Mapping[str, str] = field(default_factory=dict)
    rendering: str = ""


@dataclass(frozen=True, slots=True)
class PagesEntry:
    """What the snapshot says of pages and API: ``level`` tells how much of them there is.

    ``files`` are those of the whole channel; those of single names aren't listed: there are
    ``names`` of these, whose files have ``bytes`` in all. ``refused_at`` is the size of the whole
    site when more than this level was found to be too much; 0 where it never was.
    """

    level: str
    names: int
    bytes: int
    files: Mapping[str, FileEntry]
    refused_at: int = 0


@dataclass(frozen=True, slots=True)
class LastChange:
    """The last run that changed records, and how many; ``time`` by RFC 3339, in UTC."""

    time: str
    added: int
    removed: int
    changed: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a published site is made of; ``rendering`` is for the channel-wide files.

    ``pages`` is None where the site has none. ``size`` is that of the whole site, in bytes.
    """

    registry: str
    channel: str
    rendering: str
    subdirs: Mapping[str, SubdirEntry]
    files: Mapping[str, FileEntry]
    pages: PagesEntry | None = None
    change: LastChange | None = None
    size: int = 0

    def listed(self, subdirs: Collection[str] | None = None) -> dict[str, FileEntry]:
        """All files that it lists, by path; of the subdirs those of these alone."""
        found = dict(self.files)
        if self.pages is not None:
            found |= self.pages.files
        for name, entry in self.subdirs.items():
            if subdirs is None or name in subdirs:
                found |= entry.files
        return found


@dataclass(frozen=True, slots=True)
class ChangeEntry:
    """One file that came, went or changed; ``time`` by RFC 3339, in UTC."""

    time: str
    kind: str
    subdir: str
    file_name: str
    name: str
    version: str
    build: str


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The snapshot's bytes."""
    return _pretty({"format": FORMAT, **asdict(snapshot)})


def decode_snapshot(data: bytes) -> Snapshot:
    """Read a snapshot. Raises ContentError where it isn't one, ConfigError for a newer format."""
    document = _load(data, "the snapshot")
    version = document.get("format") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise ConfigError(
            f"The site was published by a newer cf-index (its snapshot has format {version}, this "
            f"one writes {FORMAT}). Use that version, or a newer one."
        )
    if version != FORMAT:
        raise ContentError("the snapshot has the format of another version of cf-index")
    try:
        subdirs = {
            read_subdir(name): SubdirEntry(
                records=_number(entry["records"]),
                names=_number(entry["names"]),
                shard_bytes=_number(entry["shard_bytes"]),
                files=_files(entry["files"]),
                superseded={str(k): str(v) for k, v in entry["superseded"].items()},
                rendering=str(entry["rendering"]),
            )
            for name, entry in document["subdirs"].items()
        }
        return Snapshot(
            registry=str(document["registry"]),
            channel=str(document["channel"]),
            rendering=str(document["rendering"]),
            subdirs=subdirs,
            files=_files(document["files"]),
            pages=_pages(document.get("pages")),
            change=_change(document.get("change")),
            size=_number(document.get("size", 0)),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ContentError(f"the snapshot can't be read: {error!r}") from error


def encode_changes(changes: Iterable[ChangeEntry]) -> bytes:
    """The last changes, newest first."""
    return _lines([asdict(change) for change in changes][:MAX_CHANGES])


def decode_changes(data: bytes) -> list[ChangeEntry]:
    """Read what ``encode_changes`` wrote. Raises ContentError."""
    items = _load(data, CHANGES)
    try:
        if not isinstance(items, list) or not all(
            isinstance(value, str) for item in items for value in item.values()
        ):
            raise TypeError("not a list of changes")  # noqa: TRY301  one way out
        return [check_change(ChangeEntry(**item)) for item in items]
    except (TypeError, AttributeError, ValueError) as error:
        raise ContentError(f"{CHANGES} can't be read: {error}") from error


def check_change(change: ChangeEntry) -> ChangeEntry:
    """The change itself. Raises ValueError where it can't be one, or can't be shown."""
    read_seconds(change.time)
    read_subdir(change.subdir)
    # A feed is XML, which has no way to say some characters.
    for text in (change.file_name, change.name, change.version, change.build):
        if not text.isprintable():
            raise ValueError(f"{text[:80]!r} can't be shown")
    if change.kind not in {"added", "removed", "changed"}:
        raise ValueError(f"{change.kind[:80]!r} is no kind of change")
    return change


def encode_counts(counts: list[dict[str, Any]]) -> bytes:
    """Records by subdir over time, oldest first; of many early points every other one goes."""
    while len(counts) > MAX_COUNTS:
        half = len(counts) // 2
        counts = counts[:half:2] + counts[half:]
    return _lines(counts)


def decode_counts(data: bytes) -> list[dict[str, Any]]:
    """Read what ``encode_counts`` wrote. Raises ContentError."""
    counts = _load(data, COUNTS)
    if not isinstance(counts, list) or not all(
        isinstance(item, dict) and isinstance(item.get("records"), dict) for item in counts
    ):
        raise ContentError(f"{COUNTS} can't be read")
    return counts


def encode_unsettled(first_seen: Mapping[tuple[str, str, str], int]) -> bytes:
    """When what isn't let in was first seen, by subdir, repository and tag.

    In seconds since 1970. Whoever counts the age of a build without a time of its own asks this.
    """
    return _lines(
        [
            [*key, rfc3339(datetime.fromtimestamp(seconds, UTC))]
            for key, seconds in sorted(first_seen.items())
        ]
    )


def decode_unsettled(data: bytes) -> dict[tuple[str, str, str], int]:
    """Read what ``encode_unsettled`` wrote. Raises ContentError for anything else."""
    items = _load(data, UNSETTLED)
    found: dict[tuple[str, str, str], int] = {}
    try:
        if not isinstance(items, list):
            raise TypeError("not a list")  # noqa: TRY301  one way out
        for item in items:
            if not isinstance(item, list) or not all(isinstance(text, str) for text in item):
                raise TypeError("not a list of texts")  # noqa: TRY301
            subdir, repository, tag, time = item
            key = (read_subdir(subdir), repository, tag)
            if key in found or not repository or not tag:
                raise ValueError("a build that is there twice, or has no name")  # noqa: TRY301
            found[key] = read_seconds(time)
    except (TypeError, ValueError, OverflowError) as error:
        raise ContentError(f"{UNSETTLED} can't be read: {error}") from error
    return found


def supersede(
    superseded: Mapping[str, str], replaced: Iterable[str], current: Iterable[str], now: datetime
) -> tuple[dict[str, str], list[str]]:
    """Which shards stay beside the current ones until when, and which may be deleted now."""
    until = rfc3339(now + SUPERSEDED_FOR)
    alive = set(current)
    waiting = {shard: time for shard, time in superseded.items() if shard not in alive}
    for shard in replaced:
        if shard not in alive:
            waiting.setdefault(shard, until)
    expired = {shard for shard, time in waiting.items() if time <= rfc3339(now)}
    stay = {shard: time for shard, time in sorted(waiting.items()) if shard not in expired}
    return stay, sorted(expired)


def rfc3339(time: datetime) -> str:
    """UTC to the second, in a form that sorts."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_seconds(text: str) -> int:
    """Seconds since 1970, of a time as ``rfc3339`` writes it. Raises ValueError."""
    time = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if rfc3339(time) != text or time.timestamp() < 0:
        raise ValueError(f"{text[:80]!r} is not a time")
    return int(time.timestamp())


def read_subdir(name: str) -> str:
    """A subdir as it stands in a file. Raises ValueError where it can't be one."""
    if not SUBDIR.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not a subdir")
    return name


def _files(value: Mapping[str, Mapping[str, Any]]) -> dict[str, FileEntry]:
    return {
        path: FileEntry(str(item["sha256"]), _number(item["size"])) for path, item in value.items()
    }


def _pages(value: Mapping[str, Any] | None) -> PagesEntry | None:
    if value is None:
        return None
    return PagesEntry(
        level=_level(value["level"]),
        names=_number(value["names"]),
        bytes=_number(value["bytes"]),
        refused_at=_number(value["refused_at"]),
        files=_files(value["files"]),
    )


def _change(value: Mapping[str, Any] | None) -> LastChange | None:
    if value is None:
        return None
    read_seconds(value["time"])
    return LastChange(
        value["time"],
        _number(value["added"]),
        _number(value["removed"]),
        _number(value["changed"]),
    )


def _level(value: object) -> str:
    if value not in {detail.level for detail in LEVELS}:
        raise ValueError(f"{str(value)[:80]!r} is no level of detail")
    return str(value)


def _number(value: object) -> int:
    """A whole number as JSON has them everywhere; -1 stands for none."""
    if type(value) is not int or not -1 <= value < 2**53:
        raise ValueError(f"{str(value)[:80]!r} is no count")
    return value


def _load(data: bytes, what: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ContentError(f"{what} is not JSON: {error}") from error


def _pretty(value: object) -> bytes:
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(value, option=options)


def _lines(items: Sequence[Any]) -> bytes:
    encoded = [orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in items]
    return b"[\n" + b",\n".join(encoded) + b"\n]\n"
