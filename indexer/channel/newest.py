"""The newest builds of each package, as conda orders versions (CEP 33)."""

from __future__ import annotations

from collections.abc import Iterable

from rattler import Version

from indexer.channel.record import Record


def newest(records: Iterable[Record]) -> list[Record]:
    """Of each package in each subdir all builds of its newest version's highest build number."""
    best: dict[tuple[str, str], tuple[Version, int]] = {}
    ranked = []
    for record in records:
        fields = record.fields()
        key = (str(fields["subdir"]), record.name)
        rank = (Version(fields["version"]), int(fields["build_number"]))
        ranked.append((key, rank, record))
        if key not in best or rank > best[key]:
            best[key] = rank
    return [record for key, rank, record in ranked if rank == best[key]]
