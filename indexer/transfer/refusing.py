"""Why what somebody named is not to be promoted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from indexer.channel.artifact import Fault, Status
from indexer.fetching import Outcome
from indexer.transfer.references import Reference

_WHY: Mapping[Status, str] = {
    "waiting": "it is not validated",
    "rejected": "it is rejected",
    "unsound": "it can't be indexed",
}


def refusal(reference: Reference, looked: Outcome) -> str:
    """Why a build isn't to be promoted, by what became of looking at it; empty where it is."""
    if reference.digest is not None and looked.digest not in {None, reference.digest}:
        return f"its tag leads to {looked.digest}, not to {reference.digest}"
    reading = looked.reading
    if looked.status != "indexed":
        return ": ".join([_WHY[looked.status], *_reasons(reading.faults)])
    if reference.file_name in {"", *(record.file_name for record in reading.records)}:
        return ""
    told = [fault for fault in reading.faults if fault.file_name == reference.file_name]
    start = f"{reference.file_name}: "
    noted = [note.removeprefix(start) for note in reading.notes if note.startswith(start)]
    return ": ".join(["it is not let in, though its build is", *_reasons(told), *noted[:1]])


def _reasons(faults: Iterable[Fault]) -> list[str]:
    """The first few of them, in one text."""
    found = list(dict.fromkeys(fault.reason for fault in faults))
    return ["; ".join(found[:3])] if found else []
