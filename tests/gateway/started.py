"""A gateway that the shell starts as a test says, on a port that is known before it is up."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import IO, Self

import requests

from tests.support.proxies import free_port
from tests.support.waiting import wait_until

SECONDS = 30.0


class Started:
    """``before`` is what is before the command, ``after`` what is after it; up when ``up`` is 200.

    What it says goes to a file, unless ``after`` says otherwise.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        before: str = "exec",
        after: str = "",
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        up: str = "-/ready",
    ) -> None:
        self.port = free_port()
        self.http = f"http://127.0.0.1:{self.port}"
        self._said = folder / "said"
        command = shlex.join(
            [sys.executable, "-m", "indexer", "serve", *arguments, "--port", str(self.port)]
        )
        with self._said.open("wb") as said:
            self.popen = subprocess.Popen(
                ["/bin/sh", "-c", f"{before} {command} {after}"],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=said,
                env=os.environ | {"COLUMNS": "200"},
            )
        wait_until(lambda: self._is(up), SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.communicate()

    def told(self) -> str:
        """What it has told so far."""
        return self._said.read_text()

    def get(self, path: str) -> requests.Response:
        """An answer, whole; redirects aren't followed."""
        return requests.get(f"{self.http}/{path}", timeout=SECONDS, allow_redirects=False)

    def ends(self, seconds: float) -> int:
        """Its exit code, once it is told to end; it has so many seconds for that."""
        self.popen.terminate()
        return self.popen.wait(seconds)

    def _is(self, up: str) -> bool:
        assert self.popen.poll() is None, self.told()
        with contextlib.suppress(requests.ConnectionError):
            return self.get(up).status_code == 200
        return False
