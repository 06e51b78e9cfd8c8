"""What differs is found in whatever forms two channels come, and nothing else is."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rattler.index import index_fs

from demo.packages import build
from indexer.channel.record import Record
from indexer.diff import Spool, compare_channels
from indexer.published import Folder, Website
from indexer.registry import Transport
from tests.channel.samples import MD5, record, sha256, without
from tests.diff.help import (
    ALPHA,
    BETA,
    FORMS,
    GAMMA,
    PACKED,
    PLAIN,
    SHARDED,
    compared,
    fields_of,
    noarch,
    publish,
)
from tests.render.channels import write_subdir
from tests.support.loopback import FileHost

NEWER = record("alpha", subdir="noarch", depends=["beta >=2", "gamma"], md5=MD5)
DELTA = record("delta", subdir="noarch")
PAIRS = list(itertools.product(FORMS, FORMS))


def shuffled(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = list(value.items())
    random.Random(5).shuffle(items)  # noqa: S311  the same order each time
    return {key: shuffled(item) for key, item in items}


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_the_same_records_are_the_same_in_any_two_forms(tmp_path: Path, old: str, new: str) -> None:
    records = fields_of(ALPHA, BETA, GAMMA)
    one = publish(tmp_path / "old", records, old)
    two = publish(tmp_path / "new", shuffled(records), new)
    found = compared(one, two)
    assert found["same"] is True
    assert found["subdirs"]["noarch"]["compared"] == {"old": old, "new": new}
    assert noarch(one, two) == {}


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_what_came_went_and_changed_is_found_in_any_two_forms(
    tmp_path: Path, old: str, new: str
) -> None:
    one = publish(tmp_path / "old", [ALPHA, BETA, GAMMA], old)
    two = publish(tmp_path / "new", [NEWER, DELTA, GAMMA], new)
    assert compared(one, two)["same"] is False
    assert noarch(one, two) == {
        "added": [DELTA.file_name],
        "removed": [BETA.file_name],
        "changed": {
            ALPHA.file_name: {
                "depends": {"old": ["beta >=1", "gamma"], "new": ["beta >=2", "gamma"]},
                "md5": {"new": MD5},
            }
        },
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"sha256": sha256("x").upper()}, {"sha256": sha256("x")}),
        ({"md5": None}, {}),
        ({"extra": {"a": 1, "b": [1.0]}}, {"extra": {"b": [1], "a": 1}}),
    ],
    ids=["upper case", "no hash", "order and numbers"],
)
@pytest.mark.parametrize("form", [PACKED, PLAIN])
def test_another_spelling_of_the_same_is_no_change(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], form: str
) -> None:
    bare = without(GAMMA.fields(), "md5")
    one, two = (
        publish(tmp_path / name, {GAMMA.file_name: bare | change}, form)
        for name, change in (("old", old), ("new", new))
    )
    assert noarch(one, two) == {}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("old", "new"),
    [(True, 1), (None, False), ("1", 1), ([1, 2], [2, 1]), ({}, []), (0.1, 0.2), ("", None)],
    ids=str,
)
def test_other_values_are_a_change_however_alike_they_look(
    tmp_path: Path, old: Any, new: Any, form: str
) -> None:
    one, two = (
        publish(tmp_path / name, {GAMMA.file_name: GAMMA.fields() | {"extra": value}}, form)
        for name, value in (("old", old), ("new", new))
    )
    assert noarch(one, two) == {"changed": {GAMMA.file_name: {"extra": {"old": old, "new": new}}}}


def test_null_is_told_from_a_field_that_is_not_there(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", {GAMMA.file_name: GAMMA.fields() | {"extra": None}})
    two = publish(tmp_path / "new", [GAMMA])
    assert noarch(one, two) == {"changed": {GAMMA.file_name: {"extra": {"old": None}}}}


@pytest.mark.parametrize(("forms", "differs"), [((SHARDED, PLAIN), False), ((PLAIN, PLAIN), True)])
def test_run_exports_count_only_where_both_forms_have_them(
    tmp_path: Path, forms: tuple[str, str], *, differs: bool
) -> None:
    more = {GAMMA.file_name: GAMMA.fields() | {"run_exports": {"weak": ["gamma"]}}}
    one = publish(tmp_path / "old", more, forms[0])
    two = publish(tmp_path / "new", [GAMMA], forms[1])
    assert bool(noarch(one, two)) is differs


def test_two_channels_are_read_in_a_form_that_both_have(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", [GAMMA], PLAIN)
    two = publish(tmp_path / "new", [GAMMA], SHARDED, PLAIN)
    part = compared(one, two)["subdirs"]["noarch"]
    assert part["compared"] == {"old": PLAIN, "new": PLAIN}


def test_what_is_removed_or_patched_by_a_tool_is_no_record(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", [GAMMA], PLAIN)
    two = publish(tmp_path / "new", [GAMMA], PLAIN)
    path = two / "noarch" / PLAIN
    more = {"removed": ["alpha-1.0-h1_0.conda"], "patch_instructions_version": 1}
    path.write_text(json.dumps(json.loads(path.read_bytes()) | more))
    (two / "noarch" / "patch_instructions.json").write_text("{}")
    assert compared(one, two)["same"] is True


@pytest.mark.parametrize("form", FORMS)
def test_where_packages_are_is_told_when_it_changed(tmp_path: Path, form: str) -> None:
    one = publish(tmp_path / "old", [GAMMA], form)
    two = publish(tmp_path / "new", [GAMMA], form, base_url="oci://host/x")
    assert compared(one, two)["same"] is False
    assert noarch(one, two) == {"info": {"base_url": {"new": "oci://host/x"}}}
    assert noarch(two, one) == {"info": {"base_url": {"old": "oci://host/x"}}}


def test_where_packages_are_is_compared_across_forms(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", [GAMMA], PLAIN, base_url="https://a/", arch="x86_64")
    two = publish(tmp_path / "new", [GAMMA], SHARDED, base_url="https://b/")
    assert noarch(one, two) == {"info": {"base_url": {"old": "https://a/", "new": "https://b/"}}}


def test_when_and_where_shards_were_written_is_no_difference(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", [GAMMA], SHARDED, created_at="2026-01-01T00:00:00Z")
    two = publish(tmp_path / "new", [GAMMA], SHARDED, shards_base_url="./shards")
    assert compared(one, two)["same"] is True


def test_an_empty_subdir_that_came_or_went_is_a_difference(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", [GAMMA])
    two = publish(tmp_path / "new", [GAMMA])
    publish(two, [], subdir="win-64")
    for pair in ((one, two), (two, one)):
        found = compared(*pair)
        assert found["same"] is False
        assert sorted(found["subdirs"]) == ["noarch", "win-64"]
        assert found["subdirs"]["win-64"]["same"] is False
        assert found["subdirs"]["noarch"]["same"] is True


def test_only_the_subdirs_that_are_asked_for_are_compared(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", [GAMMA])
    two = publish(tmp_path / "new", [GAMMA])
    publish(two, [GAMMA], subdir="win-64")
    assert compared(one, two, "noarch")["same"] is True
    assert list(compared(one, two, "win-64", "noarch")["subdirs"]) == ["noarch", "win-64"]


def test_a_subdir_that_the_new_channel_lost_is_all_removed(tmp_path: Path) -> None:
    one = publish(tmp_path / "old", [GAMMA])
    publish(one, [ALPHA], subdir="win-64")
    two = publish(tmp_path / "new", [GAMMA])
    assert compared(one, two, "win-64")["subdirs"]["win-64"]["removed"] == [ALPHA.file_name]


def test_only_shards_that_differ_are_fetched(tmp_path: Path) -> None:
    many = [record(f"same{number}", subdir="noarch") for number in range(30)]
    with (
        FileHost(publish(tmp_path / "old", [*many, ALPHA, BETA])) as one,
        FileHost(publish(tmp_path / "new", [*many, NEWER, DELTA])) as two,
    ):
        found = noarch(one.http, two.http)
        assert len(found["changed"]) == len(found["added"]) == len(found["removed"]) == 1
        for host in (one, two):
            paths = [request.path for request in host.requests]
            assert sum("/shards/" in path for path in paths) == 2
            assert [path for path in paths if PLAIN in path] == []


def test_channels_with_the_same_shard_index_cost_a_request_each(tmp_path: Path) -> None:
    with FileHost(publish(tmp_path, [ALPHA, BETA])) as host:
        assert compared(host.http, host.http, "noarch")["same"] is True
        assert [request.path for request in host.requests] == [f"/noarch/{SHARDED}"] * 2


def test_a_download_goes_when_it_has_been_read(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    root = publish(tmp_path / "channel", [ALPHA], PLAIN)
    publish(root, [ALPHA], PACKED, subdir="win-64")
    publish(root, [ALPHA], SHARDED, subdir="osx-64")
    with FileHost(root) as host, closing(Transport(retry_for=0)) as transport, Spool() as spool:
        site = Website(host.http, transport, scratch)
        assert len(compare_channels(site, Folder(root), spool).subdirs) == 3
    assert list(scratch.iterdir()) == []


def test_subdirs_that_nobody_knows_are_found_where_a_channel_says_it_has_them(
    tmp_path: Path,
) -> None:
    root = publish(tmp_path, [GAMMA], PLAIN)
    publish(root, [GAMMA], PLAIN, subdir="linux-odd1")
    said = {"subdirs": ["linux-odd1", "../noarch", 5]}
    (root / "channeldata.json").write_text(json.dumps(said))
    with FileHost(root) as host:
        assert list(compared(host.http, host.http)["subdirs"]) == ["linux-odd1", "noarch"]


def test_a_subdir_that_one_channel_says_is_asked_of_the_other(tmp_path: Path) -> None:
    folder = publish(tmp_path / "old", [GAMMA], subdir="linux-odd1")
    with FileHost(publish(tmp_path / "new", [GAMMA], subdir="linux-odd1")) as host:
        # The address says nothing of it.
        assert compared(folder, host.http)["same"] is True


@pytest.mark.parametrize("form", [PACKED, SHARDED])
def test_hashes_and_fields_are_those_of_another_tool(tmp_path: Path, form: str) -> None:
    packages = [build("alpha"), build("alpha", "1.1", archive="tar.bz2"), build("_beta", "1!2.0+x")]
    root = tmp_path / "rattler"
    (root / "noarch").mkdir(parents=True)
    for package in packages:
        (root / "noarch" / package.file_name).write_bytes(package.data)
    asyncio.run(index_fs(root, write_zst=True, write_shards=form == SHARDED))
    records = [
        Record.make(
            package.file_name,
            package.index
            | {"sha256": package.sha256, "md5": package.md5, "size": len(package.data)},
        )
        for package in packages
    ]
    write_subdir(tmp_path / "ours", records)
    found = compared(tmp_path / "ours", root)["subdirs"]["noarch"]
    assert found["compared"] == {"old": form, "new": form}
    assert (found["added"], found["removed"]) == ([], [])
    # That tool leaves out what is null in index.json, and notes a time of its own.
    changed = {
        key: change for fields in found["changed"].values() for key, change in fields.items()
    }
    assert changed["arch"] == changed["platform"] == {"old": None}
    assert changed.keys() == {"arch", "platform", "indexed_timestamp"}


def test_memory_does_not_hold_the_records(tmp_path: Path) -> None:
    filling = [f"package{number} >=1.0,<2.0a0" for number in range(60)]
    base = GAMMA.fields() | {"depends": filling}
    many = {f"gamma-{number}-h1_0.conda": base | {"version": str(number)} for number in range(1000)}
    other = {name: fields | {"license": "BSD"} for name, fields in many.items()}
    one = publish(tmp_path / "old", many, PLAIN)
    two = publish(tmp_path / "new", other, PLAIN)
    size = (one / "noarch" / PLAIN).stat().st_size
    tracemalloc.start()
    try:
        found = count(one, two)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == 1000
    assert peak < size / 2


def count(old: Path, new: Path) -> int:
    with Spool() as spool:
        (part,) = compare_channels(Folder(old), Folder(new), spool).subdirs
        return part.changed_count
