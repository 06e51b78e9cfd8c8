"""What differs between two channels, as JSON for programs: all of it, piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from indexer.diff import ChannelDiff, SubdirDiff
from indexer.diff.fields import Change

FORMAT = 1


def as_json(diff: ChannelDiff) -> Iterator[str]:
    """The pieces of one JSON document (docs: "Comparing two channels"); ASCII alone."""
    yield f'{{"format": {FORMAT}, "old": {_json(diff.old)}, "new": {_json(diff.new)}, '
    yield f'"same": {_json(diff.is_same)}, "subdirs": {{'
    yield from _separated(_part(part) for part in diff.subdirs)
    yield "}}\n"


def _part(part: SubdirDiff) -> Iterator[str]:
    compared = {"old": part.old or None, "new": part.new or None}
    counts = {
        "added": len(part.added),
        "removed": len(part.removed),
        "changed": part.changed_count,
    }
    yield f'{_json(part.subdir)}: {{"same": {_json(part.is_same)}, '
    yield f'"compared": {_json(compared)}, "counts": {_json(counts)}, '
    yield f'"info": {_fields(part.info)}'
    for kind, names in (("added", part.added), ("removed", part.removed)):
        yield f', "{kind}": ['
        yield from _separated((_json(name),) for name in names)
        yield "]"
    yield ', "changed": {'
    yield from _separated((f"{_json(name)}: {_fields(fields)}",) for name, fields in part.changed())
    yield "}}"


def _separated(items: Iterable[Iterable[str]]) -> Iterator[str]:
    """Each on a line of its own."""
    separator = "\n"
    for pieces in items:
        yield separator
        yield from pieces
        separator = ",\n"


def _fields(fields: Mapping[str, Change]) -> str:
    return _json({key: change.as_dict() for key, change in fields.items()})


def _json(value: object) -> str:
    # Printed into a log it must do nothing either: a runner takes ##[ for a command.
    return json.dumps(value).replace("##[", "#\\u0023[")
