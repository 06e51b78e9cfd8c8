"""One package name as pages and the API show it: its builds, versions and neighbours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.channel.about import About
from indexer.channel.index_json import dependency_name
from indexer.channel.record import INDEXED
from indexer.render.summary import NameSummary, newest_of, order_of

# How many a page names; the API has all. A package that all others depend on has thousands.
MAX_VERSIONS = 50
MAX_DEPENDS = 100
MAX_DEPENDENTS = 100


@dataclass(frozen=True, slots=True)
class Build:
    """One archive. ``indexed`` is when it entered the index, in milliseconds; ``size`` in bytes."""

    file_name: str
    subdir: str
    version: str
    build: str
    sha256: str
    size: int
    indexed: int
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """A version, how many builds it has, and in which subdirs."""

    version: str
    builds: int
    subdirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A match spec, and the name it asks for where the channel has that; empty otherwise."""

    spec: str
    name: str


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the newest builds of some subdirs depend on; ``more`` are left out of the list."""

    subdirs: tuple[str, ...]
    specs: tuple[Dependency, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Package:
    """A package name.

    ``latest`` is its newest build, ``builds`` are all, the newest first by conda's version order.
    ``dependents`` are the names in the channel whose newest builds depend on it.
    """

    name: str
    about: About
    license: str
    latest: Build
    subdirs: tuple[str, ...]
    builds: tuple[Build, ...]
    versions: tuple[Version, ...]
    dependencies: tuple[Dependencies, ...]
    dependents: Sequence[str]


def make_package(
    name: str,
    found: Mapping[str, NameSummary],
    records: Mapping[str, Mapping[str, Mapping[str, Any]]],
    names: Collection[str],
    dependents: Sequence[str],
) -> Package:
    """Put a package together.

    ``found`` are its summaries and ``records`` its records by file name, both by subdir;
    ``names`` are all that the channel has.
    """
    builds = sorted(
        (_build(subdir, *item) for subdir in records for item in records[subdir].items()),
        key=lambda build: (*order_of(build.record), build.subdir, build.file_name),
        reverse=True,
    )
    newest = newest_of(found.values())
    latest = next(build for build in builds if build.file_name == newest.file_name)
    return Package(
        name=name,
        about=newest.about,
        license=newest.license or "",
        latest=latest,
        subdirs=tuple(sorted(records)),
        builds=tuple(builds),
        versions=tuple(_versions(builds)),
        dependencies=tuple(_dependencies(found, records, names)),
        dependents=dependents,
    )


def _build(subdir: str, file_name: str, record: Mapping[str, Any]) -> Build:
    return Build(
        file_name=file_name,
        subdir=subdir,
        version=record["version"],
        build=record["build"],
        sha256=record["sha256"],
        size=record["size"],
        indexed=record.get(INDEXED) or 0,
        record=record,
    )


def _versions(builds: Iterable[Build]) -> list[Version]:
    found: dict[str, list[Build]] = {}
    for build in builds:
        found.setdefault(build.version, []).append(build)
    return [
        Version(version, len(items), tuple(sorted({item.subdir for item in items})))
        for version, items in found.items()
    ]


def _dependencies(
    found: Mapping[str, NameSummary],
    records: Mapping[str, Mapping[str, Mapping[str, Any]]],
    names: Collection[str],
) -> list[Dependencies]:
    """By subdir; those that are the same stand once."""
    subdirs: dict[tuple[str, ...], list[str]] = {}
    for subdir in sorted(records):
        newest = records[subdir][found[subdir].file_name]
        subdirs.setdefault(tuple(newest.get("depends") or ()), []).append(subdir)
    return [
        Dependencies(
            tuple(where),
            tuple(_dependency(spec, names) for spec in specs[:MAX_DEPENDS]),
            max(0, len(specs) - MAX_DEPENDS),
        )
        for specs, where in subdirs.items()
    ]


def _dependency(spec: str, names: Collection[str]) -> Dependency:
    name = dependency_name(spec)
    return Dependency(spec, name if name in names else "")


def dependents_of(subdirs: Iterable[Mapping[str, NameSummary]]) -> dict[str, list[str]]:
    """By name, the names whose newest builds, in any subdir, depend on it; in order."""
    found: dict[str, set[str]] = {}
    for summaries in subdirs:
        for name, item in summaries.items():
            for needed in item.depends:
                found.setdefault(needed, set()).add(name)
    return {name: sorted(dependents) for name, dependents in found.items()}
