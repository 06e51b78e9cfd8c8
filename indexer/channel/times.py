"""Times as others write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# Python's own reader takes much else besides.
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:)([0-9]{2})"
    r"((?:\.[0-9]{1,9})?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)


def read_rfc3339(text: str) -> datetime | None:
    """A time by RFC 3339, in UTC; None for anything else."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    start, seconds, end = match.groups()
    # Python has no leap seconds; such a one is the second before.
    second = "59" if seconds == "60" else seconds
    try:
        return datetime.fromisoformat(f"{start}{second}{end}".upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
