"""Puts what reading and planning found into the report: nothing is left out silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from indexer.channel import codec
from indexer.channel.artifact import Place, place_of
from indexer.rebuild.planning import SubdirPlan
from indexer.rebuild.report import Report, SubdirReport, Waiting
from indexer.rebuild.standings import Told
from indexer.rebuild.state import State
from indexer.rebuild.tally import LeftOut, Tally, left_out_of, void_verdict
from indexer.registry.feed import SOURCE
from indexer.registry.names import Listing
from indexer.render import history

# Changes and waiting artifacts of each subdir: a first run of a large channel would name every
# file that it has.
_MAX_NAMED = 10_000


def tell(
    report: Report, state: State, tallies: Mapping[str, Tally], plans: Sequence[SubdirPlan]
) -> None:
    """Fill the report's parts about artifacts."""
    for plan in plans:
        subdir, tally = plan.subdir, tallies[plan.subdir]
        statuses = state.standings.counts(subdir)
        report.subdirs[subdir] = SubdirReport(
            repositories=tally.repositories,
            unchanged=tally.unchanged,
            tags=tally.tags,
            read=tally.read,
            looked_again=tally.looked_again,
            indexed=statuses.get("indexed", 0),
            waiting=statuses.get("waiting", 0),
            rejected=statuses.get("rejected", 0),
            verdicts=state.verdicts.count(subdir),
            unsound=statuses.get("unsound", 0),
            count=plan.count,
        )
        report.passed_over += tally.passed_over
        report.left_out += tally.left_out
        for told in state.standings.told(subdir):
            told_of = report.rejected if told.status == "rejected" else report.left_out
            told_of += _faults(told)
            report.notes += [f"{_name(told)}: {note}" for note in told.notes]
        for void in state.verdicts.void(subdir):
            report.subdirs[subdir].void += 1
            place = Place(subdir, void.repository, void.tag)
            report.left_out.append(left_out_of(place, void_verdict(void.reason)))
        waiting = report.subdirs[subdir].waiting
        if max(plan.count.total, waiting) > _MAX_NAMED:
            report.notes.append(
                f"{subdir}: of the {plan.count.total:,} changes and {waiting:,} waiting artifacts "
                f"the report names the first {_MAX_NAMED:,} each, what is removed before all else"
            )
        report.waiting += [_waiting(told) for told in state.standings.waiting(subdir, _MAX_NAMED)]
        report.left_out += _held(plan)
        report.left_out += _oversize(plan)
        name_changes(report, plan)


def name_changes(report: Report, plan: SubdirPlan) -> None:
    """Name what comes, goes and changes by a plan: the first of very many, what goes before all."""
    for _, change in plan.spool.changes(_MAX_NAMED, first="removed"):
        entry = {"kind": change.kind, "subdir": plan.subdir, "file_name": change.file_name}
        report.changes.append(entry)


def tell_of_changes(report: Report, tallies: Mapping[str, Tally], listing: Listing) -> None:
    """Fill the report's part about the change feed."""
    total = sum(tally.repositories for tally in tallies.values())
    unchanged = sum(tally.unchanged for tally in tallies.values())
    untold = sum(tally.untold for tally in tallies.values())
    if any(listing.stamps.values()):
        report.changes_from = (
            f"{SOURCE}: {unchanged:,} of {total:,} repositories unchanged since they were listed"
        )
        if listing.no_feed:
            report.changes_from += f" (it doesn't tell of all: {listing.no_feed})"
    elif listing.no_feed:
        report.changes_from = f"no feed, every repository was listed: {listing.no_feed}"
    if untold:
        report.notes.append(
            f"{untold:,} repositories had other tags than before, though by {SOURCE} nothing "
            "had changed: such changes are seen once a day, and at once with --list-all"
        )


def _name(told: Told) -> str:
    return f"{told.place.subdir}/{told.place.repository}:{told.place.tag}"


def _faults(told: Told) -> Iterator[LeftOut]:
    place = told.place
    for fault in told.faults:
        yield LeftOut(place.subdir, place.repository, place.tag, fault.file_name, fault.reason)


def _waiting(told: Told) -> Waiting:
    since = history.rfc3339(datetime.fromtimestamp(told.since, UTC))
    return Waiting(told.place.subdir, told.place.repository, told.place.tag, since)


def _held(plan: SubdirPlan) -> Iterator[LeftOut]:
    for held in plan.held:
        place = place_of(plan.subdir, held.file_name)
        what = "the old record stays" if held.old_stays else "the old record can't stay either"
        yield LeftOut(
            place.subdir,
            place.repository,
            place.tag,
            held.file_name,
            f"its sha256 changed from {held.old_sha256} to {held.new_sha256}; {what}. "
            f"If the new one is meant, say --allow-changed '{held.file_name}'",
        )


def _oversize(plan: SubdirPlan) -> Iterator[LeftOut]:
    for name, files in plan.oversize.items():
        for file_name in files:
            yield LeftOut(
                plan.subdir,
                codec.repository_name(name),
                "",
                file_name,
                f"with it the records of {name} would be more than clients read of one name",
            )
