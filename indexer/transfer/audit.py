"""The audit log: who marked, promoted or removed what, and when; only ever added to.

One JSON object a line. A line is written before the registry is changed, so that nothing is done
without one; where the change fails, a line with ``failed`` follows.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from indexer.errors import CfIndexError, ConfigError, printable


@dataclass(frozen=True, slots=True)
class AuditLog:
    """A log in a file; from any thread, and beside other processes."""

    path: Path
    who: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @contextmanager
    def doing(self, action: str, **details: str) -> Iterator[None]:
        """Tell of an action that is about to happen, and of its failure, should it fail.

        Raises ConfigError where the log can't be written; then nothing is to be done.
        """
        line = {"action": action, **{key: text for key, text in details.items() if text}}
        self._write(line)
        try:
            yield
        except CfIndexError as error:
            self._write(line | {"failed": str(error)})
            raise

    def check(self) -> None:
        """Raise ConfigError where nothing could be written, before anything is done."""
        os.close(self._open())

    def _write(self, line: Mapping[str, str]) -> None:
        entry = {"time": self.now().astimezone(UTC).isoformat(), "who": self.who, **line}
        # What no terminal can show, JSON may have no form for.
        entry = {key: printable(text) for key, text in entry.items()}
        data = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            descriptor = self._open()
            try:
                # A line that another process is just writing looks like one that broke off.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _ends_amid_a_line(descriptor):
                    data = b"\n" + data
                # One write at the end of the file: lines of two processes don't mix.
                if os.write(descriptor, data) != len(data):
                    raise ConfigError(f"The audit log {self.path} can't be written whole.")
            except OSError as error:
                raise ConfigError(
                    f"The audit log {self.path} can't be written: {error.strerror}."
                ) from error
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A pipe that nobody reads must not hold us up.
            descriptor = os.open(self.path, flags | os.O_NONBLOCK, 0o644)
        except OSError as error:
            raise ConfigError(
                f"The audit log {self.path} can't be written: {error.strerror}."
            ) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ConfigError(f"The audit log {self.path} is no file.")
        return descriptor


def _ends_amid_a_line(descriptor: int) -> bool:
    """Whether a line broke off, as on a full disk; the next one mustn't be glued to it."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def whoever_runs_this(environ: Mapping[str, str]) -> str:
    """``user@host``; of a job on GitHub Actions whose doing it is, and which run."""
    user = "unknown"
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
    who = f"{user}@{socket.gethostname()}"
    if actor := environ.get("GITHUB_ACTOR"):
        who += f" for {actor}, run {environ.get('GITHUB_RUN_ID', 'unknown')}"
    return who
