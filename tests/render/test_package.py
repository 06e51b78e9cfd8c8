"""A package's builds in conda's order, and neighbours that there really are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.about import About
from indexer.channel.record import Record
from indexer.render import package
from indexer.render.package import Dependencies, Dependency, Package, Version, dependents_of
from tests.channel.samples import record
from tests.render.site import Records, Site, by_file, package_of, summaries_of

# Newest first.
ORDER = ["2!0.1", "1!0.1", "1.10.1", "1.10+1", "1.10", "1.9", "1.0.post1", "1.0", "1.0+x", "1.0rc1"]


def depending(*specs: str, name: str = "alpha", **fields: Any) -> Record:
    return record(name, depends=list(specs), **fields)


def names_of(found: Package) -> list[str]:
    return [build.file_name for build in found.builds]


@given(versions=st.permutations(ORDER), where=st.lists(st.booleans(), min_size=10, max_size=10))
def test_builds_and_versions_stand_in_condas_order(versions: list[str], where: list[bool]) -> None:
    subdirs: dict[str, list[Record]] = {"linux-64": [], "noarch": []}
    for version, arch in zip(versions, where, strict=True):
        subdirs["noarch" if arch else "linux-64"].append(record(version=version))
    found = package_of({subdir: items for subdir, items in subdirs.items() if items})
    assert [build.version for build in found.builds] == ORDER
    assert [item.version for item in found.versions] == ORDER
    assert found.latest == found.builds[0]


def test_of_one_version_build_number_counts_before_time_and_time_before_names() -> None:
    builds = [
        record(build="h_a", build_number=10, timestamp=1_000_000_000_000),
        record(build="h_b", build_number=9, timestamp=3_000_000_000_000),
        record(build="h_a", build_number=9, timestamp=2_000_000_000_000, end=".tar.bz2"),
        record(build="h_z", build_number=9, timestamp=1_999_999_999_000),
    ]
    expected = [item.file_name for item in builds]
    assert names_of(package_of({"noarch": builds})) == expected
    assert names_of(package_of({"noarch": builds[::-1]})) == expected


def test_a_build_without_a_time_is_the_oldest_of_its_number() -> None:
    bare = record(build="z", timestamp=0)
    timed = record(build="a", timestamp=1_000_000_000_000)
    assert package_of({"noarch": [bare, timed]}).latest.build == "a"


def test_one_file_in_several_subdirs_stands_in_the_same_place_each_time() -> None:
    one = {subdir: [record(), record(end=".tar.bz2")] for subdir in ("linux-64", "noarch")}
    found = package_of(one)
    assert found == package_of(dict(reversed(one.items())))
    assert [(build.subdir, build.file_name) for build in found.builds] == [
        (subdir, f"alpha-1.0-h1_0{end}")
        for subdir in ("noarch", "linux-64")
        for end in (".tar.bz2", ".conda")
    ]


def test_a_version_is_one_line_with_its_builds_and_subdirs() -> None:
    found = package_of(
        {
            "noarch": [record(version="2.0", build="a")],
            "linux-64": [record(version="2.0"), record(version="2.0", build="b"), record()],
        }
    )
    assert found.versions == (
        Version("2.0", 3, ("linux-64", "noarch")),
        Version("1.0", 1, ("linux-64",)),
    )


def test_the_newest_build_of_all_subdirs_speaks_for_the_package() -> None:
    subdirs = {
        "linux-64": [record(version="1.10", license="MIT")],
        "noarch": [record(version="1.9", license="GPL-2.0-only")],
        "osx-64": [record(version="1.2", license=None)],
    }
    found = package_of(subdirs)
    assert (found.latest.version, found.latest.subdir, found.license) == ("1.10", "linux-64", "MIT")
    assert found.subdirs == ("linux-64", "noarch", "osx-64")


def test_what_a_package_says_of_itself_is_what_its_newest_build_says() -> None:
    records: Records = {
        subdir: [record(version=version)]
        for subdir, version in (("linux-64", "1.9"), ("noarch", "1.10"), ("osx-64", "1.2"))
    }
    found = {
        subdir: replace(names["alpha"], about=About(summary=subdir))
        for subdir, names in summaries_of(records).items()
    }
    fields = {subdir: by_file(items) for subdir, items in records.items()}
    assert package.make_package("alpha", found, fields, (), ()).about.summary == "noarch"


def test_one_build_alone_is_a_package() -> None:
    found = package_of({"noarch": [depending()]})
    assert (len(found.builds), found.versions) == (1, (Version("1.0", 1, ("noarch",)),))
    assert found.dependencies == (Dependencies(("noarch",), (), 0),)
    assert found.dependents == ()
    build = found.latest
    assert (build.sha256, build.size) == (build.record["sha256"], 1000)
    assert build.indexed == 0
    assert package_of({"noarch": [depending().indexed(5)]}).latest.indexed == 5


def test_a_record_that_says_less_is_shown_all_the_same() -> None:
    item = Record.make(
        "alpha-1.0-h1_0.conda",
        {
            key: value
            for key, value in depending().fields().items()
            if key not in {"depends", "license", "timestamp"}
        },
    )
    found = package_of({"noarch": [item]})
    assert (found.license, found.dependencies[0].specs) == ("", ())


def test_a_name_with_an_underscore_keeps_it() -> None:
    found = package_of({"noarch": [record("_mutex")]})
    assert (found.name, names_of(found)) == ("_mutex", ["_mutex-1.0-h1_0.conda"])


def test_dependencies_are_those_of_the_newest_build_of_each_subdir() -> None:
    found = package_of(
        {
            "noarch": [depending("old", version="1.9"), depending("new", version="1.10")],
            "linux-64": [depending("older", version="1.0")],
        }
    )
    assert [(item.subdirs, [spec.spec for spec in item.specs]) for item in found.dependencies] == [
        (("linux-64",), ["older"]),
        (("noarch",), ["new"]),
    ]


def test_subdirs_that_need_the_same_stand_together() -> None:
    subdirs = {
        "win-64": depending("beta", "gamma"),
        "linux-64": depending("beta", "gamma"),
        "osx-64": depending("gamma", "beta"),
        "noarch": depending(),
    }
    found = package_of({subdir: [item] for subdir, item in subdirs.items()})
    assert [item.subdirs for item in found.dependencies] == [
        ("linux-64", "win-64"),
        ("noarch",),
        ("osx-64",),
    ]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("beta", "beta"),
        ("beta >=1.0,<2.0a0", "beta"),
        ("beta>=1", "beta"),
        ("beta=1.0=h1_0", "beta"),
        ("beta[version='>=1']", "beta"),
        ("Beta >=1", "beta"),
        ("conda-forge::beta >=1", ""),
        ("conda-forge/linux-64::beta", ""),
        ("_mutex 0.1 main", "_mutex"),
        ("betamax", ""),
        ("bet", ""),
        ("beta-dev", ""),
        ("missing >=1", ""),
        ("__glibc >=2.17", ""),
        ("__unix", ""),
        ("*", ""),
        ("", ""),
    ],
)
def test_a_dependency_leads_only_to_a_name_that_there_is(spec: str, name: str) -> None:
    found = package_of({"noarch": [depending(spec)]}, names={"beta", "_mutex", "alpha"})
    assert found.dependencies[0].specs == (Dependency(spec, name),)


def test_a_list_of_dependencies_is_cut_and_says_so() -> None:
    most = package.MAX_DEPENDS
    for count, more in ((most - 1, 0), (most, 0), (most + 7, 7)):
        (found,) = package_of(
            {"noarch": [depending(*(f"p{n}" for n in range(count)))]}
        ).dependencies
        assert (len(found.specs), found.more) == (min(count, most), more)
        assert found.specs[0].spec == "p0"


def dependents(channel: Records) -> dict[str, list[str]]:
    return dependents_of(summaries_of(channel).values())


def test_what_depends_on_a_name_is_found_in_all_subdirs() -> None:
    channel = {
        "noarch": [depending("alpha", name="zeta"), depending("alpha", "beta", name="gamma")],
        "linux-64": [depending("alpha >=2", name="delta"), depending("alpha", name="zeta")],
    }
    assert dependents(channel) == {"alpha": ["delta", "gamma", "zeta"], "beta": ["gamma"]}


def test_who_needed_it_once_and_no_more_is_not_named() -> None:
    channel = {
        "noarch": [
            depending("alpha", name="beta", version="1.9"),
            depending(name="beta", version="1.10"),
        ]
    }
    assert dependents(channel) == {}


def test_who_needs_it_in_one_subdir_alone_is_named() -> None:
    channel = {
        "noarch": [depending(name="beta", version="2.0")],
        "win-64": [depending("alpha", name="beta", version="1.0")],
    }
    assert dependents(channel) == {"alpha": ["beta"]}


def test_nothing_depends_on_what_is_no_package() -> None:
    channel = {"noarch": [depending("__glibc >=2.17", "Alpha", "c::alpha", name="beta")]}
    assert dependents(channel) == {"alpha": ["beta"]}


def test_neighbours_lead_to_one_another() -> None:
    site = Site({"noarch": [depending(), depending("alpha >=1", "python", name="beta")]})
    there, back = site.page("packages/beta"), site.page("packages/alpha")
    assert ("../../packages/alpha/", "alpha >=1") in there.links
    assert "python" in there.items
    assert ("../../packages/beta/", "beta") in back.links
    assert "Nothing else in this channel." in there.text
    assert "Nothing else in this channel." not in back.text
