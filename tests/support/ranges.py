"""A part of a body for who asks for one, as registries and file servers give it."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.support.faults import Answer, Request

_ONE_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def ranged(request: Request, whole: Answer) -> Answer:
    """The part of `whole` that a GET asks for: 206, or 416 where it begins after the end.

    Ranges of any other form are passed over, as RFC 9110 allows; so is one whose If-Range names
    another ETag, as the part would be of something else.
    """
    whole = whole.with_headers(Accept_Ranges="bytes")
    found = _ONE_RANGE.fullmatch(request.headers.get("range", ""))
    known = whole.headers.get("ETag", "")
    if found is None or request.method != "GET" or request.headers.get("if-range", known) != known:
        return whole
    total, first = len(whole.body), int(found[1])
    last = min(int(found[2] or total), total - 1)
    if first >= total:
        return Answer(416, {"Content-Range": f"bytes */{total}"})
    if last < first:
        return whole
    part = replace(whole, status=206, body=whole.body[first : last + 1])
    return part.with_headers(Content_Range=f"bytes {first}-{last}/{total}")
