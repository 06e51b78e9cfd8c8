"""Compares two channels, each in a folder or at an address, made by any tool."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from indexer.channel.index_json import SUBDIR
from indexer.diff.comparing import SubdirDiff
from indexer.diff.fields import Change, changed_values
from indexer.diff.side import Sharded, Side, Whole
from indexer.diff.spool import Spool
from indexer.errors import ConfigError, ContentError, RegistryError, printable
from indexer.parallel import in_order
from indexer.progress import SILENCE, Progress, counted
from indexer.published import Folder, Published

__all__ = ["Change", "ChannelDiff", "Spool", "SubdirDiff", "compare_channels"]

_THREADS = 8
# Many times what any channel has; each costs requests, and a line of what is told.
_MAX_SUBDIRS = 200
# Which subdir it is has been checked; the others say when and where the shards were written.
_NOT_COMPARED = {"subdir", "created_at", "shards_base_url"}
# CEP 21 has them in shards, where repodata.json needn't have them.
_IN_SHARDS_ALONE = frozenset({"run_exports"})

_Form = Sharded | Whole | None


@dataclass(slots=True)
class ChannelDiff:
    """How two channels differ, subdir by subdir; ``old`` and ``new`` say where they are."""

    old: str
    new: str
    subdirs: list[SubdirDiff] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether there is no difference."""
        return all(part.is_same for part in self.subdirs)


def compare_channels(
    old: Published,
    new: Published,
    spool: Spool,
    *,
    subdirs: Collection[str] = (),
    allow_missing: bool = False,
    progress: Progress = SILENCE,
) -> ChannelDiff:
    """Compare two channels: those subdirs, or without any all that either has.

    With ``allow_missing`` an old channel that isn't there is taken for an empty one. What changed
    lies in the ``spool``. Raises ConfigError where something isn't there, ContentError for a
    damaged channel, RegistryError for one that can't be read.
    """
    sides = Side(old), Side(new)
    for number, side in enumerate(sides):
        _check_folder(side, may_lack=allow_missing and number == 0)
    for subdir in subdirs:
        if not SUBDIR.fullmatch(subdir):
            raise ConfigError(f"{subdir[:100]!r} is not a subdir, such as linux-64 or noarch.")
    result = ChannelDiff(old.location, new.location)
    for subdir in _to_compare(sides, subdirs):
        part = _compare_subdir(sides, subdir, spool, progress)
        if part is not None:
            result.subdirs.append(part)
        elif subdirs:
            raise ConfigError(_nobody_has(sides, subdir))
    there = [any(part.old for part in result.subdirs), any(part.new for part in result.subdirs)]
    for number, side in enumerate(sides):
        if not there[number] and not (subdirs and side.has_any()):
            _check_lack(side, may_lack=allow_missing and number == 0, is_old=number == 0)
    return result


def _to_compare(sides: tuple[Side, Side], subdirs: Collection[str]) -> list[str]:
    """The subdirs to look for, in order."""
    names = set(subdirs) or sides[0].subdirs() | sides[1].subdirs()
    if len(names) > _MAX_SUBDIRS:
        raise ContentError(
            f"{sides[0].location} and {sides[1].location} say that they have {len(names):,} "
            "subdirs. Name those to compare with --subdir."
        )
    return sorted(names)


def _check_folder(side: Side, *, may_lack: bool) -> None:
    if not isinstance(side.channel, Folder):
        return
    root = side.channel.root
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{printable(str(root))} is no folder.")
    if not root.exists() and not may_lack:
        raise ConfigError(f"There is no folder {printable(str(root))}.")


def _check_lack(side: Side, *, may_lack: bool, is_old: bool) -> None:
    """Raise for a channel that has nothing, unless it may."""
    if refusal := side.refusal():
        raise RegistryError(f"No subdir of {side.location} can be read. {refusal}")
    if not may_lack:
        hint = " Where it was never published, say --allow-missing." if is_old else ""
        raise ConfigError(
            f"{side.location} is no channel: it has no repodata in any subdir. "
            f"Name the folder, or address, that has noarch/ in it.{hint}"
        )


def _nobody_has(sides: tuple[Side, Side], subdir: str) -> str:
    refusals = " ".join(filter(None, (side.refusal(subdir) for side in sides)))
    return (
        f"Neither {sides[0].location} nor {sides[1].location} has {subdir}. Leave --subdir out to "
        f"compare all that they have. {refusals}"
    ).strip()


def _compare_subdir(
    sides: tuple[Side, Side], subdir: str, spool: Spool, progress: Progress
) -> SubdirDiff | None:
    """The differences of a subdir; None where neither channel has it."""
    with contextlib.ExitStack() as stack:
        old, new = _open(stack, sides, subdir)
        if old is None and new is None:
            return None
        for side, form in zip(sides, (old, new), strict=True):
            if form is None and (refusal := side.refusal(subdir)):
                raise RegistryError(
                    f"Whether {side.location} has {subdir} can't be found out. {refusal} "
                    "Where it has none, name the subdirs to compare with --subdir."
                )
        result = SubdirDiff(subdir, _name_of(old), _name_of(new), spool, _info_changes(old, new))
        if isinstance(old, Sharded) and isinstance(new, Sharded):
            _compare_shards(result, old, new, progress)
        else:
            ignored = _IN_SHARDS_ALONE if type(old) is not type(new) else frozenset[str]()
            progress.begin(f"Comparing {subdir}", None)
            result.compare_many(
                counted(old.records(ignored) if old else (), progress),
                counted(new.records(ignored) if new else (), progress),
            )
            progress.end()
        result.finish()
        return result


def _open(
    stack: contextlib.ExitStack, sides: tuple[Side, Side], subdir: str
) -> tuple[_Form, _Form]:
    """Both channels' index of a subdir, in the same form where they have one in common.

    The sharded index is best, of which only what differs is read; it is also taken where there is
    no other.
    """
    old, new = (side.sharded(subdir) for side in sides)
    if old is not None and new is not None:
        return old, new
    whole = [stack.enter_context(side.whole(subdir)) for side in sides]
    return whole[0] or old, whole[1] or new


def _name_of(form: _Form) -> str:
    return "" if form is None else form.form


def _info_changes(old: _Form, new: _Form) -> dict[str, Change]:
    """What changed in ``info``, of what both forms say there; nothing where one isn't there."""
    if old is None or new is None:
        return {}
    infos: list[Mapping[str, Any]] = [
        # CEP 16 must have an empty one where CEP 15 has none.
        {key: value for key, value in form.info.items() if (key, value) != ("base_url", "")}
        for form in (old, new)
    ]
    wanted = (infos[0].keys() | infos[1].keys()) - _NOT_COMPARED
    if type(old) is not type(new):
        wanted &= {"base_url"}
    try:
        return changed_values(*({key: info[key] for key in wanted & info.keys()} for info in infos))
    except ContentError as error:
        raise ContentError(f"info {error}") from error


def _compare_shards(result: SubdirDiff, old: Sharded, new: Sharded, progress: Progress) -> None:
    """Compare by the shards' hashes: only names whose shards differ are read."""
    sides = (old, new)
    names = [
        name
        for name in sorted(old.hashes.keys() | new.hashes.keys())
        if old.hashes.get(name) != new.hashes.get(name)
    ]

    def fetch(name: str) -> list[bytes | ContentError | None]:
        return [side.fetch(name) if name in side.hashes else None for side in sides]

    def abort() -> None:
        for side in sides:
            side.channel.close()

    progress.begin(f"Comparing the shards of {result.subdir}", len(names))
    contents = in_order(fetch, names, jobs=_THREADS, abort=abort)
    with contextlib.closing(contents):
        for name, pair in zip(names, contents, strict=True):
            result.compare_few(
                *(
                    {} if data is None else dict(side.unpack(name, data, frozenset()))
                    for side, data in zip(sides, pair, strict=True)
                )
            )
            progress.step()
    progress.end()
