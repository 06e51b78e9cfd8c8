"""What type checkers of other programs are told."""

from __future__ import annotations

from pathlib import Path

import indexer


def test_the_types_of_the_package_count_for_others() -> None:
    assert (Path(indexer.__file__).parent / "py.typed").read_bytes() == b""
