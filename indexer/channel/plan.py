"""Records before, records after, their difference, and the guard over it (DESIGN decision 4).

The guard is asked before anything is applied. One uploader must not be able to stop the
channel either: a file whose bytes changed keeps its old record, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Literal

from indexer.channel.record import INDEXED, LAST_SECOND, Record
from indexer.errors import GuardError

Kind = Literal["added", "removed", "changed", "kept"]

# Below this many records a percentage says nothing.
GUARDED_FROM = 20


@dataclass(frozen=True, slots=True)
class Change:
    """One file's way from the previous index to the next."""

    kind: Kind
    file_name: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class Held:
    """A file whose sha256 changed, whose new record is therefore left out for now."""

    file_name: str
    old_sha256: str
    new_sha256: str
    old_stays: bool


@dataclass(frozen=True, slots=True)
class NamePlan:
    """What becomes of one package name: its records as they will be published, and how."""

    records: Mapping[str, Record]
    changes: tuple[Change, ...]
    held: tuple[Held, ...] = ()


def in_question(
    before: Mapping[str, Record],
    after: Mapping[str, Record],
    may_change: Callable[[str], bool],
) -> list[Record]:
    """Published records whose file now has other bytes: whether they stay is up to their blobs."""
    return [
        old
        for file_name, old in before.items()
        if (new := after.get(file_name)) and new.sha256 != old.sha256 and not may_change(file_name)
    ]


def plan_name(
    before: Mapping[str, Record],
    after: Mapping[str, Record],
    *,
    now: int,
    may_change: Callable[[str], bool],
    blob_stays: Callable[[Record], bool],
) -> NamePlan:
    """Compare one name's published records with what the registry holds now.

    ``before`` are published records (with their indexed timestamp), ``after`` are not.
    ``now`` (milliseconds) is when a new record enters. ``may_change`` says whether a file
    may come with other bytes than before, ``blob_stays`` whether a record's archive is
    still in the registry: it is asked of those in question alone.
    """
    questioned = {record.file_name for record in in_question(before, after, may_change)}
    records: dict[str, Record] = {}
    changes: list[Change] = []
    held: list[Held] = []
    for file_name in sorted(before.keys() | after.keys()):
        old, new = before.get(file_name), after.get(file_name)
        chosen = new and new.indexed(_entered(old, new, now))
        if old and new and file_name in questioned:
            stays = blob_stays(old)
            held.append(Held(file_name, old.sha256, new.sha256, stays))
            chosen = old if stays else None
        if chosen is not None:
            records[file_name] = chosen
        changes.append(Change(_kind(old, chosen), file_name, chosen))
    return NamePlan(records, tuple(changes), tuple(held))


def plan_return(before: Mapping[str, Record], after: Mapping[str, Record]) -> NamePlan:
    """What becomes of a name whose records are to be these again, as they were published."""
    changes = []
    for file_name in sorted(before.keys() | after.keys()):
        old, new = before.get(file_name), after.get(file_name)
        changes.append(Change(_kind(old, new), file_name, new))
    return NamePlan(after, tuple(changes))


def fit(
    plan: NamePlan,
    before: Mapping[str, Record],
    *,
    size_of: Callable[[Record], int],
    limit: int,
    stands: Callable[[Record], bool] = lambda _: True,
) -> tuple[NamePlan, tuple[str, ...]]:
    """A plan whose records have at most ``limit`` bytes together, and the files left out for it.

    What comes or changes is left out, the largest first; what goes always goes, so that
    nobody can keep a package in by uploading too much beside it. Of what changes, the old record
    stays where it ``stands``.
    """
    total = sum(map(size_of, plan.records.values()))
    records, changes = dict(plan.records), {change.file_name: change for change in plan.changes}
    sizes = {
        change.file_name: size_of(change.record)
        for change in plan.changes
        if change.kind in {"added", "changed"} and change.record is not None
    }
    left_out = []
    for file_name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if total <= limit:
            break
        total -= sizes[file_name]
        left_out.append(file_name)
        old = before.get(file_name)
        changes[file_name] = Change("kept", file_name, old)
        if old is not None and not stands(old):
            changes[file_name] = Change("removed", file_name, None)
            del records[file_name]
        elif old is None:
            del records[file_name]
        else:
            records[file_name] = old
            total += size_of(old)
    return NamePlan(records, tuple(changes.values()), plan.held), tuple(left_out)


def matches(pattern: str, file_name: str) -> bool:
    """Whether a file name matches a glob of ``--allow-changed``."""
    return fnmatchcase(file_name, pattern)


def _entered(old: Record | None, new: Record, now: int) -> int:
    """CEP 47: the time of first entry survives; other bytes under the same name are a new entry."""
    if old is None or old.sha256 != new.sha256:
        return now
    entered = old.fields().get(INDEXED)
    return entered if type(entered) is int and 0 <= entered // 1000 <= LAST_SECOND else now


def _kind(old: Record | None, new: Record | None) -> Kind:
    if old is None:
        return "added" if new is not None else "kept"
    if new is None:
        return "removed"
    return "kept" if old.body == new.body else "changed"


@dataclass(slots=True)
class Count:
    """How many records of one subdir there were, come, go, change, and are held.

    Of those that go, ``withdrawn`` are taken back by whoever let them in.
    """

    before: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    held: int = 0
    withdrawn: int = 0

    def add(self, plan: NamePlan) -> None:
        """Count one name's plan."""
        for change in plan.changes:
            self.added += change.kind == "added"
            self.removed += change.kind == "removed"
            self.changed += change.kind == "changed"
        self.held += len(plan.held)

    @property
    def after(self) -> int:
        """How many records there will be."""
        return self.before + self.added - self.removed

    @property
    def total(self) -> int:
        """How many files come, go or change."""
        return self.added + self.removed + self.changed


@dataclass(frozen=True, slots=True)
class Guard:
    """How much may go at once: a share of the records of a subdir, counted from 20 on.

    What is withdrawn may go: it is no accident.
    """

    max_drop: float = 0.10
    allow_drop: bool = False

    def raise_if_unsafe(
        self,
        counts: Mapping[str, Count],
        *,
        unlisted: Collection[str] = (),
        doing: str = "publish",
        listed: str = "repositories",
    ) -> None:
        """Raise GuardError, with the arithmetic, where a plan takes out too much.

        ``unlisted`` are the subdirs of which nothing was ``listed`` at all; ``doing`` is what
        isn't done then.
        """
        if self.allow_drop:
            return
        problems = []
        # 0.29 is no exact number, 29 % is.
        allowed = Fraction(self.max_drop).limit_denominator(1_000_000)
        for subdir, count in counts.items():
            gone = count.removed - count.withdrawn
            if count.before and subdir in unlisted:
                problems.append(
                    f"{subdir}: no {listed} are listed, where {count.before} records were"
                )
            elif count.before >= GUARDED_FROM and gone > allowed * count.before:
                share = gone / count.before
                problems.append(
                    f"{subdir}: {gone} of {count.before} records would go, "
                    f"{share:.1%}, more than {self.max_drop:.1%}"
                )
        if problems:
            raise GuardError(
                f"Refused to {doing}: " + "; ".join(problems) + ". If this is meant, say "
                "--allow-drop; if not, look at the registry."
            )
