"""What becomes of each file from one index to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from indexer.channel.plan import Count, NamePlan, matches, plan_name
from indexer.channel.record import INDEXED, Record
from tests.channel.samples import published, record, sha256

NOW = 9_000
OLD = record(content="old bytes")
NEW = record(content="new bytes")
FILE = OLD.file_name


def never(_: object) -> bool:
    return False


def always(_: object) -> bool:
    return True


def plan(
    before: Mapping[str, Record],
    after: Mapping[str, Record],
    *,
    may_change: Callable[[str], bool] = never,
    blob_stays: Callable[[Record], bool] = always,
) -> NamePlan:
    return plan_name(before, after, now=NOW, may_change=may_change, blob_stays=blob_stays)


def entered(result: NamePlan) -> object:
    return result.records[FILE].fields()[INDEXED]


def kinds(result: NamePlan) -> dict[str, str]:
    return {change.file_name: change.kind for change in result.changes}


def test_a_new_file_enters_now() -> None:
    result = plan({}, {FILE: NEW})
    assert kinds(result) == {FILE: "added"}
    assert entered(result) == NOW


def test_a_vanished_file_leaves() -> None:
    result = plan(published(OLD), {})
    assert kinds(result) == {FILE: "removed"}
    assert result.records == {}
    assert result.changes[0].record is None


def test_what_stays_keeps_the_time_of_its_entry_and_its_bytes() -> None:
    result = plan(published(OLD, 1_000), {FILE: OLD})
    assert kinds(result) == {FILE: "kept"}
    assert entered(result) == 1_000
    assert result.records[FILE].body == OLD.indexed(1_000).body


def test_other_metadata_of_the_same_bytes_is_no_new_entry() -> None:
    mended = record(content="old bytes", license="BSD-3-Clause")
    result = plan(published(OLD, 1_000), {FILE: mended})
    assert kinds(result) == {FILE: "changed"}
    assert entered(result) == 1_000
    assert result.records[FILE].fields()["license"] == "BSD-3-Clause"


@pytest.mark.parametrize("damaged", [None, "2026", 1.5, True])
def test_a_time_of_entry_that_is_none_is_replaced(damaged: object) -> None:
    before = Record.make(FILE, OLD.fields() | {INDEXED: damaged})
    assert entered(plan({FILE: before}, {FILE: OLD})) == NOW


def test_other_bytes_under_an_old_name_do_not_replace_the_record() -> None:
    result = plan(published(OLD, 1_000), {FILE: NEW})
    assert kinds(result) == {FILE: "kept"}
    assert result.records[FILE] == OLD.indexed(1_000)
    (held,) = result.held
    assert (held.file_name, held.old_stays) == (FILE, True)
    assert (held.old_sha256, held.new_sha256) == (sha256("old bytes"), sha256("new bytes"))


def test_a_record_whose_archive_is_gone_is_not_kept_for_another_ones_sake() -> None:
    result = plan(published(OLD), {FILE: NEW}, blob_stays=never)
    assert kinds(result) == {FILE: "removed"}
    assert result.records == {}
    assert not result.held[0].old_stays


def test_the_registry_is_asked_for_the_old_archive_and_only_when_it_matters() -> None:
    asked: list[str] = []

    def blob_stays(item: Record) -> bool:
        asked.append(item.sha256)
        return True

    plan(published(OLD), {FILE: OLD}, blob_stays=blob_stays)
    plan(published(OLD), {}, blob_stays=blob_stays)
    plan(published(OLD), {FILE: NEW}, may_change=always, blob_stays=blob_stays)
    assert asked == []
    plan(published(OLD), {FILE: NEW}, blob_stays=blob_stays)
    assert asked == [OLD.sha256]


def test_other_bytes_that_were_allowed_are_a_new_entry() -> None:
    result = plan(published(OLD, 1_000), {FILE: NEW}, may_change=lambda name: name == FILE)
    assert kinds(result) == {FILE: "changed"}
    assert entered(result) == NOW
    assert result.records[FILE].sha256 == sha256("new bytes")
    assert result.held == ()


def test_one_held_file_holds_back_no_other() -> None:
    other = record(version="2.0")
    result = plan(published(OLD), {FILE: NEW, other.file_name: other})
    assert kinds(result) == {FILE: "kept", other.file_name: "added"}


def test_changes_come_in_order_of_file_names() -> None:
    files = {item.file_name: item for item in (record(version=f"{n}.0") for n in (3, 1, 2))}
    names = [change.file_name for change in plan(files, {}).changes]
    assert names == sorted(files)


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [
        ("alpha-1.0-h1_0.conda", True),
        ("alpha-*", True),
        ("*.conda", True),
        ("alpha-1.0-h1_?.conda", True),
        ("ALPHA-*", False),
        ("alpha", False),
        ("*.tar.bz2", False),
    ],
)
def test_a_glob_allows_what_it_matches_whole_and_case_counts(pattern: str, *, answer: bool) -> None:
    assert matches(pattern, FILE) is answer


def test_counts_tell_how_many_there_will_be() -> None:
    count = Count(before=3)
    added = record(version="2.0")
    count.add(plan(published(OLD), {FILE: NEW, added.file_name: added}))
    gone = record("beta")
    count.add(plan(published(gone), {}))
    assert (count.added, count.removed, count.changed, count.held) == (1, 1, 0, 1)
    assert count.after == 3
    assert count.total > 0


def test_a_plan_that_only_keeps_changes_nothing() -> None:
    count = Count(before=1)
    count.add(plan(published(OLD), {FILE: OLD}))
    assert count.total == 0
    assert Count(added=1, removed=2, changed=3).total == 6


@pytest.mark.parametrize("entered", [-1, 10**15, "x", None, True])
def test_a_time_of_entry_that_is_none_is_not_carried_on(entered: object) -> None:
    old = Record.make(OLD.file_name, {**OLD.fields(), INDEXED: entered})
    result = plan({OLD.file_name: old}, {OLD.file_name: OLD})
    assert result.records[OLD.file_name].fields()[INDEXED] == NOW
