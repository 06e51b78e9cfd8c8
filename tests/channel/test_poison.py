"""One accepted record must not make the channel unreadable for everybody else.

rattler reads repodata with strict types: one field of another type, and it reads nothing. So
whatever the checks let through is given to rattler itself.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import orjson
import rattler
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.channel.index_json import IndexJson, parse_index_json
from indexer.channel.record import CONDA, TARBZ2, Record
from indexer.errors import ContentError
from tests.channel.samples import MD5, index, parsed, sha256, without
from tests.render.channels import query, write_repodata, write_subdir
from tests.support.web import served

# Every field that some client reads, and some that nobody knows.
FIELDS = [
    *("arch", "build", "build_number", "constrains", "depends", "extra_depends", "features"),
    *("flags", "legacy_bz2_md5", "legacy_bz2_size", "license", "license_family", "name"),
    *("noarch", "platform", "preferred_env", "purls", "python_site_packages_path"),
    *("repodata_revision", "run_exports", "subdir", "timestamp", "track_features", "version"),
    *("date", "indexed_timestamp", "sha256", "size", "url", "v3", "unknown"),
]
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 1.5, -0.0, 1e300),
    *("", "a", "1.0", "a b,c", "é", "\u200b", "'\"\\", "\n", "generic", "python", "noarch"),
    *([], {}, ["a"], [""], ["a", "a"], [None], [["a"]], [1], {"": []}, {"a": ["b"]}),
    *({"weak": ["b"]}, ["pkg:pypi/a@1"], ["pkg:a/b?c=d#e"], ["a:b"], MD5, MD5.upper()),
    *(1_700_000_000, 1_700_000_000_000, 253_402_300_799, 253_402_300_800),
]

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
VALUES = st.one_of(st.sampled_from(ODD), JSON)
MUTATIONS = st.builds(
    lambda changes, dropped: without(index() | changes, *dropped),
    st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=8)), VALUES, max_size=3),
    st.sets(st.sampled_from(FIELDS), max_size=2),
)


def accept(data: bytes) -> IndexJson | None:
    """Parse; None where it is refused. Anything but a ContentError gets through."""
    try:
        return parse_index_json(data)
    except ContentError:
        return None


def as_record(accepted: IndexJson, end: str = CONDA) -> Record:
    """The record that is published of an accepted index.json."""
    hashes = {"md5": None, "sha256": sha256(accepted.stem + end), "size": 1}
    fields = {**accepted.fields, **hashes, "subdir": "noarch"}
    return Record.make(accepted.stem + end, fields)


@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_and_nothing_worse(data: bytes) -> None:
    assert accept(data) is None


@given(value=JSON)
def test_json_of_any_kind_is_refused_and_nothing_worse(value: object) -> None:
    assert accept(json.dumps(value).encode()) is None


@given(document=MUTATIONS)
@example(index(legacy_bz2_size=-1))
@example(index(timestamp=253_402_207_199_999))
@example(index(noarch=None, track_features=["a", "b"], purls=None))
def test_whatever_is_accepted_can_be_read_by_a_real_client(document: dict[str, Any]) -> None:
    accepted = accept(json.dumps(document).encode())
    if accepted is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "noarch"
        write_repodata(folder, [as_record(accepted), as_record(accepted, TARBZ2)])
        rattler.RepoData.from_path(folder / "repodata.json")


@given(document=MUTATIONS)
def test_whatever_is_accepted_is_published_unchanged(document: dict[str, Any]) -> None:
    accepted = accept(json.dumps(document).encode())
    if accepted is not None:
        read_again = orjson.loads(as_record(accepted).body)
        for key, value in accepted.fields.items():
            assert key == "subdir" or read_again[key] == value


def test_odd_values_reach_a_client_alike_by_both_ways_or_not_at_all(tmp_path: Path) -> None:
    records: list[Record] = []
    for field in FIELDS:
        for value in ODD:
            accepted = accept(json.dumps(index() | {field: value}).encode())
            if accepted is not None:
                name = f"{field.strip('_')}-{len(records)}"
                records.append(as_record(parsed(**{**accepted.fields, "name": name})))
    assert len(records) > 300
    write_subdir(tmp_path / "channel", records)
    names = [record.name for record in records]
    with served(tmp_path / "channel") as address:
        sharded = query(address, names, tmp_path / "a", sharded=True)
        whole = query(address, names, tmp_path / "b", sharded=False)
    assert sorted(found.file_name for found in sharded) == sorted(r.file_name for r in records)
    assert [told(found) for found in sharded] == [told(found) for found in whole]


def told(found: rattler.RepoDataRecord) -> object:
    """All that a client knows of a record."""
    return json.loads(found.to_json())
