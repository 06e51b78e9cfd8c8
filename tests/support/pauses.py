"""Faults of answers on their way: that stop half way, have no length, or another head."""

from __future__ import annotations

from dataclasses import replace

from tests.support.faults import Delivery, Fault, Match, Pause


def paused(pause: Pause, *, match: Match, times: int | None = None) -> Fault:
    """Stop on the way, until the test says so."""
    return Fault(match, times, lambda _request, ready: replace(ready, pause=pause))


def unannounced(body: bytes, *, match: Match, times: int | None = None) -> Fault:
    """Send a body of which no length is said."""
    return Fault(
        match,
        times,
        lambda _request, ready: replace(ready, body=body, delivery=Delivery.UNANNOUNCED),
    )


def with_headers(*, match: Match, times: int | None = None, **headers: str) -> Fault:
    """Say something else in the head; underscores in a name stand for hyphens."""
    return Fault(match, times, lambda _request, ready: ready.with_headers(**headers))
