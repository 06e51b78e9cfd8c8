"""What the status page shows: what happened last, what was left out, and counts over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import orjson

from indexer.channel.record import encode
from indexer.errors import ContentError, printable
from indexer.render.history import LastChange, read_subdir

# In the units of the drawing.
_WIDTH, _HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 14, 30
# More points of a line can't be told apart.
_POINTS = 200
# Of each list; status.json has more.
MAX_LISTED = 100
# In characters; longer than what a place or a reason can be.
_MAX_TEXT = 4096
# Told apart by their dashes, too: one for each class of the style sheet.
_STYLES = 8


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that isn't in the index: where it is, and why, or since when."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Listed:
    """The first of a list, and how long it is in all."""

    total: int
    first: Sequence[Artifact]


@dataclass(frozen=True, slots=True)
class Outside:
    """What of a subdir isn't in the index: left out, rejected by the validator, or waiting.

    Of what waits the text is the time (RFC 3339) since when, the oldest first.
    """

    left_out: Listed
    rejected: Listed
    waiting: Listed


@dataclass(frozen=True, slots=True)
class Line:
    """A subdir's records over time: a polyline's points, and what they tell in words."""

    subdir: str
    style: int
    points: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Counts over time, ready to be drawn. ``since`` and ``until`` are by RFC 3339."""

    width: int
    height: int
    left: int
    right: int
    bottom: int
    lines: Sequence[Line]
    rows: Sequence[Tick]
    columns: Sequence[Tick]
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class Status:
    """All that the page shows. ``counts`` are builds and names by subdir."""

    change: LastChange | None
    counts: dict[str, tuple[int, int]]
    left_out: Listed
    rejected: Listed
    waiting: Listed
    oldest: str
    plot: Plot | None


def encode_outside(subdirs: Mapping[str, Outside]) -> bytes:
    """``history/left_out.json``: so that a run of some subdirs knows of the others."""
    lines = [encode(name) + b":" + encode(asdict(subdirs[name])) for name in sorted(subdirs)]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def decode_outside(data: bytes) -> dict[str, Outside]:
    """Read what ``encode_outside`` wrote. Raises ContentError for anything else."""
    try:
        return {
            read_subdir(name): Outside(**{key: _listed(item) for key, item in parts.items()})
            for name, parts in orjson.loads(data).items()
        }
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContentError(f"what was left out can't be read: {error}") from error


def _listed(value: Mapping[str, Any]) -> Listed:
    total, first = value["total"], value["first"]
    if type(total) is not int or not len(first) <= min(total, MAX_LISTED) < 2**53:
        raise ValueError("a list that isn't as long as it says")
    return Listed(total, [Artifact(_text(item["place"]), _text(item["text"])) for item in first])


def _text(value: Any) -> str:
    if not isinstance(value, str) or printable(value, _MAX_TEXT) != value:
        raise ValueError("a text that can't be shown")
    return value


def plot_counts(counts: Sequence[dict[str, Any]]) -> Plot | None:
    """Draw the records by subdir over time; None where nothing was counted yet.

    ``counts`` are as ``history/counts.json`` has them, oldest first.
    """
    points = _thinned(_points(counts))
    if not points:
        return None
    subdirs = sorted({subdir for _, records in points for subdir in records})
    first, last = points[0][0], points[-1][0]
    top = _ceiling(max((max(records.values(), default=0) for _, records in points), default=0))
    lines = []
    for number, subdir in enumerate(subdirs):
        values = [(time, records.get(subdir, 0)) for time, records in points]
        drawn = _steps([(_x(time, first, last), _y(count, top)) for time, count in values])
        style = number % _STYLES
        lines.append(Line(subdir, style, drawn, values[0][1], values[-1][1]))
    return Plot(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        bottom=_HEIGHT - _BOTTOM,
        lines=lines,
        rows=[Tick(_y(top * part // 2, top), f"{top * part // 2:,}") for part in range(3)],
        columns=[Tick(_x(time, first, last), _day(time)) for time in sorted({first, last})],
        since=_day(first),
        until=_day(last),
    )


def _points(counts: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, int]]]:
    """Seconds since 1970 and records by subdir; what isn't of that form is passed over."""
    points = []
    for item in counts:
        try:
            time = datetime.strptime(item["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            records = {str(subdir): int(count) for subdir, count in item["records"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
        if min(records.values(), default=0) >= 0:
            points.append((int(time.timestamp()), records))
    return sorted(points, key=lambda point: point[0])


def _thinned(points: list[tuple[int, dict[str, int]]]) -> list[tuple[int, dict[str, int]]]:
    """At most so many points, the first and the last among them."""
    if len(points) <= _POINTS:
        return points
    step = (len(points) - 1) / (_POINTS - 1)
    return [points[round(number * step)] for number in range(_POINTS)]


def _ceiling(count: int) -> int:
    """The end of an axis: one even digit and zeros, so that its half is a whole number, too."""
    step = 2
    while step * 5 < count:
        step *= 10
    return step * max(1, -(-count // step))


def _x(time: int, first: int, last: int) -> float:
    share = (time - first) / (last - first) if last > first else 1.0
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(count: int, top: int) -> float:
    return round(_HEIGHT - _BOTTOM - count / top * (_HEIGHT - _TOP - _BOTTOM), 1)


def _steps(places: Sequence[tuple[float, float]]) -> str:
    """A count stays as it is until it changes; one alone is a line as wide as the drawing."""
    if len(places) == 1:
        places = [(float(_LEFT), places[0][1]), places[0]]
    drawn = [places[0]]
    for (_, before), (x, y) in pairwise(places):
        drawn += [(x, before), (x, y)] if y != before else [(x, y)]
    return " ".join(f"{x:g},{y:g}" for x, y in drawn)


def _day(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")
