"""Whose pages a change touches: the changed names', and those that tell of them."""

from __future__ import annotations

from collections.abc import Mapping

from indexer.rebuild.previous import Previous
from indexer.render.summary import NameSummary

_Summaries = Mapping[str, Mapping[str, NameSummary]]


def to_draw(
    previous: Previous,
    found: Mapping[str, Mapping[str, str]],
    summaries: _Summaries,
    dependents: Mapping[str, list[str]],
) -> list[str]:
    """The names whose files may differ from the previous site's, in order.

    ``found`` are all shard hashes as they are now, ``summaries`` all summaries, both by subdir
    and name; ``dependents`` are by the name that is depended on. Raises ContentError where the
    previous site's summaries can't be read.
    """
    every = {*previous.subdirs(), *found}
    before = {subdir: previous.subdir(subdir) for subdir in every}
    changed: set[str] = set()
    told_before: dict[str, Mapping[str, NameSummary]] = {}
    for subdir in every:
        now = found.get(subdir, {})
        changed |= {name for name, _ in before[subdir].shards.items() ^ now.items()}
        earlier = before[subdir].summaries() if before[subdir].entry is not None else {}
        told_before[subdir] = earlier
        changed |= _differing(earlier, summaries.get(subdir, {}))
    touched = set(changed)
    for name in changed:
        old, new = _depends(told_before, name), _depends(summaries, name)
        touched |= old ^ new
        if _is_there(told_before, name) != _is_there(summaries, name):
            # A link to it comes or goes.
            touched.update(dependents.get(name, ()))
    return sorted(name for name in touched if _is_there(summaries, name))


def _differing(one: Mapping[str, NameSummary], other: Mapping[str, NameSummary]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def _depends(summaries: _Summaries, name: str) -> set[str]:
    found = [names[name] for names in summaries.values() if name in names]
    return {needed for item in found for needed in item.depends}


def _is_there(summaries: _Summaries, name: str) -> bool:
    return any(name in names for names in summaries.values())
