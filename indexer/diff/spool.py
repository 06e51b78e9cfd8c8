"""What needn't be held in memory: pieces of bytes in a file that goes when it is closed."""

from __future__ import annotations

import tempfile
from typing import Self

_LENGTH = 4


class Spool:
    """A scratch file. A piece put there is found again by its position."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="cf-index-")  # noqa: SIM115  closed with the spool
        self._end = 0
        self._at_end = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, piece: bytes) -> int:
        """Keep a piece; give its position."""
        if not self._at_end:
            self._file.seek(self._end)
            self._at_end = True
        position = self._end
        self._file.write(len(piece).to_bytes(_LENGTH) + piece)
        self._end += _LENGTH + len(piece)
        return position

    def get(self, position: int) -> bytes:
        """The piece at a position."""
        self._at_end = False
        self._file.seek(position)
        return self._file.read(int.from_bytes(self._file.read(_LENGTH)))
