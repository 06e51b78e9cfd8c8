"""What was written into the state can be read; what can't be was altered."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

_UNREADABLE = (ArithmeticError, AttributeError, TypeError, ValueError, sqlite3.OperationalError)


class DamagedStateError(Exception):
    """The state can't be relied on. It is a cache: whoever meets this begins without it."""


@contextlib.contextmanager
def decoding() -> Iterator[None]:
    """Raise DamagedStateError for what can't be read."""
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedStateError(str(error)) from error
