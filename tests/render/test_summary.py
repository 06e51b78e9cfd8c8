"""The newest of a name's builds, in conda's order and not in the alphabet's."""

from __future__ import annotations

import itertools
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.about import About
from indexer.errors import ContentError
from indexer.render.summary import (
    NameSummary,
    decode_summaries,
    encode_summaries,
    newest_of,
)
from tests.channel.samples import record
from tests.render.channels import summarize

# Oldest first, as conda's documentation has them.
ORDER = [
    *("0.4.1.rc", "0.4.1", "0.5a1", "0.5", "0.9.6", "0.960923", "1.0", "1.1dev1", "1.1_"),
    *("1.1a1", "1.1.dev1", "1.1.a1", "1.1.0rc1", "1.1.0", "1.1.post1", "1.1post1", "1.9"),
    *("1.10", "1.10+1", "1996.07.12", "1!0.4.1", "2!0.1"),
]


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(ORDER)))
def test_the_newest_version_is_condas_newest(older: str, newer: str) -> None:
    for pair in ((older, newer), (newer, older)):
        assert summarize(record(version=version) for version in pair).version == newer


@given(versions=st.permutations(ORDER))
def test_the_order_of_the_records_changes_nothing(versions: list[str]) -> None:
    records = [record(version=version) for version in versions]
    assert summarize(records) == summarize(reversed(records))
    assert summarize(records).version == ORDER[-1]


def test_of_one_version_the_highest_build_number_is_newest() -> None:
    builds = [
        record(build="h0_9", build_number=9, timestamp=9_000_000_000_000),
        record(build="h0_10", build_number=10, timestamp=1_000_000_000_000),
    ]
    latest = summarize(builds)
    assert (latest.build, latest.build_number, latest.builds) == ("h0_10", 10, 2)


def test_of_one_build_number_the_latest_build_is_newest() -> None:
    builds = [record(build=b, timestamp=t * 10**12) for b, t in (("z", 1), ("a", 2))]
    assert summarize(builds).build == "a"


def test_two_formats_of_one_build_are_told_apart_the_same_way_each_time() -> None:
    both = [record(), record(end=".tar.bz2")]
    assert summarize(both) == summarize(reversed(both))
    assert summarize(both).builds == 2


def test_what_a_build_leaves_out_is_left_out() -> None:
    bare = summarize([record(license=None, timestamp=0)])
    assert (bare.license, bare.timestamp) == (None, 0)


def test_the_license_is_the_newest_builds_and_the_time_the_latest_of_all() -> None:
    old = record(version="1.0", license="GPL-2.0-only", timestamp=2_000_000_000_000)
    new = record(version="2.0", license="MIT", timestamp=1_000_000_000_000)
    assert summarize([old, new]).license == "MIT"
    assert summarize([old, new]).timestamp == 2_000_000_000


def test_the_file_that_entered_last_is_known_with_its_time() -> None:
    records = [record(version=v).indexed(t) for v, t in (("2.0", 500), ("1.0", 900))]
    latest = summarize(records)
    assert (latest.version, latest.entered, latest.entered_at) == (
        "2.0",
        records[1].file_name,
        900,
    )


def test_of_two_subdirs_the_newer_version_counts() -> None:
    subdirs = [summarize([record(version=version)]) for version in ("1.10", "1.9")]
    assert newest_of(subdirs).version == "1.10"
    assert newest_of(reversed(subdirs)).version == "1.10"


def test_names_of_what_the_newest_build_needs_are_known_each_once_and_in_order() -> None:
    old = record(version="1.0", depends=["old"])
    specs = ["zeta >=1", "forge::Beta", "__glibc >=2.17", "zeta <3", "python_abi 3.12.* *_cp312"]
    new = record(version="2.0", depends=specs)
    assert summarize([old, new]).depends == ("python_abi", "zeta")
    assert summarize([record(depends=[])]).depends == ()


ABOUT = About("Numbers, in rows", home="https://numpy.org")
SUMMARIES = {name: summarize([record(name)]) for name in ("beta", "_alpha", "alpha")}
SUMMARIES["told"] = replace(SUMMARIES["alpha"], about=ABOUT, depends=())


def test_what_was_written_is_read_back_one_name_a_line() -> None:
    data = encode_summaries(SUMMARIES)
    assert decode_summaries(data) == SUMMARIES
    assert data == encode_summaries(dict(reversed(SUMMARIES.items())))
    assert len(data.splitlines()) == len(SUMMARIES) + 2
    assert decode_summaries(encode_summaries({})) == {}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'"x"', b'{"a":1}', b'{"a":{}}', b'{"a":{"builds":1}}', b"\xff"],
)
def test_what_is_not_ours_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError):
        decode_summaries(data)


def test_a_field_too_many_is_refused_as_another_versions_file() -> None:
    document = orjson.loads(encode_summaries(SUMMARIES))
    document["alpha"]["more"] = 1
    with pytest.raises(ContentError):
        decode_summaries(orjson.dumps(document))


def test_a_summary_cannot_be_changed_by_accident() -> None:
    assert NameSummary.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_what_is_not_known_of_a_package_takes_no_room() -> None:
    document = orjson.loads(encode_summaries(SUMMARIES))
    assert "about" not in document["alpha"]
    assert document["told"]["about"] == {"summary": ABOUT.summary, "home": ABOUT.home}


@pytest.mark.parametrize(
    "fields",
    [
        {"depends": "beta"},
        {"depends": None},
        {"depends": {"beta": 1}},
        {"depends": [1]},
        {"depends": [["beta"]]},
        {"about": None},
        {"about": []},
        {"about": {"summary": 1}},
        {"about": {"other": "x"}},
        {"about": {"home": "javascript:alert(1)"}},
        {"builds": True},
        {"builds": "1"},
        {"build": None},
        {"license": 1},
    ],
)
def test_a_field_of_another_type_is_refused(fields: dict[str, object]) -> None:
    document = orjson.loads(encode_summaries(SUMMARIES))
    document["alpha"] |= fields
    with pytest.raises(ContentError):
        decode_summaries(orjson.dumps(document))


def test_the_file_of_a_version_that_knew_no_dependencies_is_refused() -> None:
    document = orjson.loads(encode_summaries(SUMMARIES))
    del document["alpha"]["depends"]
    with pytest.raises(ContentError, match="depends"):
        decode_summaries(orjson.dumps(document))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../alpha", "a/b", "/alpha", "__glibc", "Alpha", "a b", "a\0", "a" * 65]
)
def test_no_name_that_a_page_could_not_be_called_by_is_read(name: str) -> None:
    document = orjson.loads(encode_summaries(SUMMARIES))
    with pytest.raises(ContentError, match="is no name"):
        decode_summaries(orjson.dumps(document | {name: document["alpha"]}))


@pytest.mark.parametrize(
    "fields",
    [
        {"entered": ""},
        {"entered": "alpha-1.0.conda"},
        {"entered": "alpha-1.0-h1_0\0.conda"},
        {"entered": "alpha-1.0-h1\u202e0.conda"},
        {"entered_at": -1},
        {"entered_at": 253_402_300_800_000},
        {"entered_at": 2**62},
    ],
    ids=str,
)
def test_a_build_that_no_feed_could_name_is_refused(fields: dict[str, object]) -> None:
    document = orjson.loads(encode_summaries(SUMMARIES))
    document["alpha"] |= {"entered_at": 253_402_300_799_999}
    decode_summaries(orjson.dumps(document))
    document["alpha"] |= fields
    with pytest.raises(ContentError):
        decode_summaries(orjson.dumps(document))
