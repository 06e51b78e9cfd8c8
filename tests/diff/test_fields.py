"""Records in one spelling: what can't be one is refused, whoever parsed it."""

from __future__ import annotations

from typing import Any

import pytest

from indexer.diff.fields import Change, changes, spelt
from indexer.errors import ContentError

NOTHING: frozenset[str] = frozenset()


def test_hashes_as_bytes_and_as_text_are_spelt_alike() -> None:
    ones = {"sha256": b"\xab" * 32, "md5": None, "legacy_bz2_md5": b"\xcd" * 16}
    others = {"legacy_bz2_md5": "CD" * 16, "sha256": "ab" * 32}
    assert spelt("a", ones, NOTHING) == spelt("a", others, NOTHING)


def test_only_hashes_are_folded() -> None:
    assert spelt("a", {"license": "MIT"}, NOTHING) != spelt("a", {"license": "mit"}, NOTHING)
    assert spelt("a", {"license": None}, NOTHING) != spelt("a", {}, NOTHING)


@pytest.mark.parametrize(
    ("file_name", "fields"),
    [("\ud800", {}), ("a", {"x": "\ud800"}), ("a", {"x": 2**70}), ("a", {"x": [b""]})],
    ids=ascii,
)
def test_what_has_no_form_as_json_is_refused(file_name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ContentError, match="is no record"):
        spelt(file_name, fields, NOTHING)


def test_a_change_says_which_side_lacks_the_field() -> None:
    found = changes(b'{"a":1,"b":null,"same":[1.0]}', b'{"a":2,"c":null,"same":[1]}')
    assert found == {
        "a": Change(1, 2),
        "b": Change(None, None, is_absent=True),
        "c": Change(None, None, was_absent=True),
    }
    assert [change.as_dict() for change in found.values()] == [
        {"old": 1, "new": 2},
        {"old": None},
        {"new": None},
    ]
