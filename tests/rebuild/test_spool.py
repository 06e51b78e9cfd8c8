"""Changes on their way to the files come out in the files' order, each once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.plan import Change
from indexer.channel.record import Record
from indexer.rebuild.spool import Spool
from tests.channel.samples import record, sha256

ALPHA = record("alpha")
ALPHA_OLD = record("alpha", end=".tar.bz2")
BETA = record("_beta", "1!2+x")
NAMES = ["alpha", "alpha-doc", "alpha_x", "alpha.y", "_beta", "Z", "z", "0"]


@pytest.fixture
def spool() -> Iterator[Spool]:
    made = Spool()
    yield made
    made.close()


def added(item: Record) -> Change:
    return Change("added", item.file_name, item)


def removed(file_name: str) -> Change:
    return Change("removed", file_name, None)


def test_each_format_comes_in_its_section(spool: Spool) -> None:
    for item in (BETA, ALPHA_OLD, ALPHA):
        spool.add(item.name, [(added(item), 0)])
    assert list(spool.section("packages")) == [(ALPHA_OLD.file_name, ALPHA_OLD.body)]
    assert list(spool.section("packages.conda")) == [
        (BETA.file_name, BETA.body),
        (ALPHA.file_name, ALPHA.body),
    ]


def test_a_file_that_goes_has_no_body(spool: Spool) -> None:
    spool.add("gone", [(removed("gone-1.0-0.conda"), 0)])
    assert list(spool.section("packages.conda")) == [("gone-1.0-0.conda", None)]


@given(order=st.permutations(NAMES))
def test_the_order_is_the_one_that_merging_relies_on(order: list[str]) -> None:
    spool = Spool()
    for name in order:
        spool.add(name, [(added(record(name)), 0)])
    names = [file_name for file_name, _ in spool.section("packages.conda")]
    spool.close()
    assert names == sorted(names)
    assert len(names) == len(NAMES)


def test_both_sections_can_be_read_in_turn(spool: Spool) -> None:
    for item in (ALPHA, ALPHA_OLD):
        spool.add(item.name, [(added(item), 0)])
    streams = [spool.section(section) for section in ("packages", "packages.conda")]
    assert [next(stream)[0] for stream in streams] == [ALPHA_OLD.file_name, ALPHA.file_name]


def test_changes_are_told_with_their_records_and_what_stays_is_not(spool: Spool) -> None:
    spool.add("alpha", [(Change("kept", ALPHA.file_name, ALPHA), 0)])
    spool.add("_beta", [(Change("changed", BETA.file_name, BETA), 0)])
    spool.add("alpha", [(added(ALPHA_OLD), 0)])
    spool.add("gone", [(removed("gone-1.0-0.conda"), 0)])
    told = [
        ("gone", removed("gone-1.0-0.conda")),
        ("_beta", Change("changed", BETA.file_name, BETA)),
        ("alpha", added(ALPHA_OLD)),
    ]
    assert list(spool.changes(10, first="removed")) == told
    assert list(spool.changes(2, first="removed")) == told[:2]
    assert list(spool.changes(10, first="added")) == [told[2], told[0], told[1]]


def test_a_shard_is_written_once(spool: Spool) -> None:
    for content in (b"b", b"a", b"b"):
        spool.add_shard(sha256(content.decode()), content)
    assert sorted(data for _, data in spool.shards()) == [b"a", b"b"]
    digests = [digest for digest, _ in spool.shards()]
    assert digests == sorted(digests)
