"""Keeps the source fresh while it is served; goes on with the last good state."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from indexer.errors import RegistryError
from indexer.gateway.found import Source
from indexer.gateway.telemetry import Metrics

# Taking a large index over is a second of work; clients wait milliseconds.
_NICE = 10


class Keeper:
    """Looks at the source every ``interval`` seconds. ``tell`` is given a line for a person."""

    def __init__(
        self, source: Source, metrics: Metrics, interval: float, tell: Callable[[str], None]
    ) -> None:
        self.source = source
        self.is_ready = False
        self.problem = "what is served hasn't been read yet"
        self.changes = 0
        self.fatal: Exception | None = None
        self._has_begun = False
        self.metrics = metrics
        self._interval = interval
        self._tell = tell

    def begin(self) -> None:
        """Look for the first time. Raises ConfigError, ContentError: no waiting mends these."""
        try:
            self._took(is_new=self.source.refresh())
        except RegistryError as error:
            self._failed(error)
        self._has_begun = True

    async def begun(self) -> None:
        """See to it that somebody has looked; what no waiting mends is in ``fatal`` then."""
        if self._has_begun:
            return
        try:
            await asyncio.to_thread(self.begin)
        except Exception as error:  # noqa: BLE001  for whoever ends the program with it
            self.fatal = error

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        thread = ThreadPoolExecutor(1, "refresh", initializer=_give_way)
        try:
            while True:
                await asyncio.sleep(self._interval)
                await asyncio.get_running_loop().run_in_executor(thread, self.look)
        finally:
            thread.shutdown(wait=False)

    def look(self) -> None:
        """Look now, and go on with what there is where that fails."""
        try:
            self._took(is_new=self.source.refresh())
        except Exception as error:  # noqa: BLE001  no fault is a reason to stop looking
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """A problem is told when it begins, and when it is over."""
        self.metrics.refreshes.labels("failed").inc()
        if str(error) != self.problem:
            self._tell(f"Not fresh: {error}")
        self.problem = str(error)

    def _took(self, *, is_new: bool) -> None:
        self.metrics.refreshes.labels("new" if is_new else "same").inc()
        self.metrics.refreshed.set(time.time())
        self.changes += is_new
        if self.is_ready and (is_new or self.problem):
            self._tell("A new state is served." if is_new else "Fresh again.")
        self.is_ready, self.problem = True, ""


def _give_way() -> None:
    """Have the calling thread, and those that it begins, run when the others have nothing to do."""
    # Linux knows priorities of threads; elsewhere it would be the whole process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
