"""A record's bytes depend on what it says alone."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.record import INDEXED, Record, encode, section_of
from tests.channel.samples import record

FIELDS = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=5))
)


@given(fields=FIELDS)
def test_the_order_in_which_a_package_lists_its_fields_changes_no_byte(
    fields: dict[str, object],
) -> None:
    backwards = dict(reversed(fields.items()))
    assert encode({"a": fields}) == encode({"a": backwards})
    assert orjson.loads(encode(fields)) == fields


def test_a_record_is_one_line() -> None:
    assert b"\n" not in record(license="MIT\nor\r\nlater", summary="\u2028").body


def test_the_time_of_entry_is_all_that_publishing_adds() -> None:
    item = record()
    assert item.indexed(5).fields() == item.fields() | {INDEXED: 5}
    assert item.indexed(5).indexed(6) == item.indexed(6)
    assert (item.indexed(5).name, item.indexed(5).sha256) == (item.name, item.sha256)


@pytest.mark.parametrize(
    ("file_name", "section"),
    [("a-1-0.conda", "packages.conda"), ("a-1-0.tar.bz2", "packages")],
)
def test_each_format_has_its_section(file_name: str, section: str) -> None:
    assert section_of(file_name) == section


def test_a_record_without_sha256_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        Record.make("a-1-0.conda", {"name": "a"})
