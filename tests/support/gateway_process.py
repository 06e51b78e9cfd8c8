"""``cf-index serve`` in a process of its own, on a free port of loopback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Self

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 15.0

_SERVING = re.compile(r"^Serving .* on (http://127\.0\.0\.1:\d+)$", re.MULTILINE)


class GatewayProcess:
    """A gateway that is up for the length of a ``with`` block.

    ``arguments`` are those of ``cf-index serve``, without the port. What it prints lies in
    ``root``. It must end by itself when asked to: a gateway that has to be killed is an error.
    """

    def __init__(self, root: Path, *arguments: str) -> None:
        self.log = root / "gateway.log"
        self.access_log = root / "gateway-access.log"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def http(self) -> str:
        """The address, without a slash at the end."""
        found = _SERVING.search(self._said())
        if found is None:
            raise RuntimeError("the gateway is not up")
        return found.group(1)

    def asked(self) -> dict[str, dict[str, int]]:
        """By method and path, the status of the last answer; whole once the gateway has ended."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for line in self.access_log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            found[entry["method"]][entry["path"]] = entry["status"]
        return found

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log, self.access_log.open("wb") as access_log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "indexer", "serve", *self._arguments, "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=access_log,
                stderr=log,
            )
        try:
            wait_until(lambda: process.poll() is not None or self._is_up(), START_SECONDS)
            assert process.poll() is None, f"the gateway ended at once:\n{self._said()}"
        except BaseException:
            process.kill()
            process.wait()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        process = self._process
        assert process is not None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def _is_up(self) -> bool:
        return _SERVING.search(self._said()) is not None

    def _said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")
