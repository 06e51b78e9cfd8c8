"""Runs one script as the runner does: bounded in time, and ended when the run is cancelled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.workflow.values import HarnessError

SHELLS = {
    None: ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "sh": ["sh", "-e"],
}
POLL_SECONDS = 0.02
INTERRUPT_SECONDS = 7.5
TERMINATE_SECONDS = 2.5
PROGRAMS = ("bash", "curl", "jq")


@dataclass(frozen=True)
class Ended:
    """How a script ended; `stopped` says why, where it wasn't by itself."""

    code: int
    log: str
    stopped: str = ""


def missing_reason() -> str | None:
    """Why workflows can't be run on this machine, or None when they can."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"the program {program!r} is not installed (Debian: apt-get install {program})"
    return None


def run_script(
    script: Path,
    shell: str | None,
    *,
    cwd: Path,
    env: Mapping[str, str],
    deadline: float,
    cancelled: threading.Event,
) -> Ended:
    """Run a script until it ends, is cancelled, or the deadline (of the monotonic clock) passes."""
    if shell not in SHELLS:
        raise HarnessError(f"the harness doesn't know the shell {shell!r}")
    log = script.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*SHELLS[shell], str(script)],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stopped = ""
    while process.poll() is None and not stopped:
        if cancelled.is_set():
            stopped = "cancelled"
        elif time.monotonic() > deadline:
            stopped = "timed out"
        else:
            time.sleep(POLL_SECONDS)
    if stopped:
        _end(process)
    return Ended(process.wait(), log.read_text("utf-8", errors="replace"), stopped)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As the runner does: the shell is asked, asked again, then all it started is killed."""
    for ask, seconds in ((signal.SIGINT, INTERRUPT_SECONDS), (signal.SIGTERM, TERMINATE_SECONDS)):
        process.send_signal(ask)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def write_tools(folder: Path) -> tuple[Path, Path]:
    """Make what steps find on PATH: what every runner has, and what Install adds to that.

    Programs that would reach the network, or wait, are stood in for.
    """
    runner, installed = folder / "runner", folder / "installed"
    runner.mkdir(parents=True)
    installed.mkdir()
    gh = Path(__file__).with_name("gh.py")
    _tool(runner / "gh", f'exec "{sys.executable}" -E "{gh}" "$@"')
    _tool(runner / "python3", f'exec "{sys.executable}" "$@"')
    _tool(runner / "python", f'exec "{sys.executable}" "$@"')
    # What is waited for here is there at once, or never.
    _tool(runner / "sleep", ":")
    _tool(runner / "docker", 'echo "docker $*" >> "$HOME/docker.log"; cat > /dev/null')
    _tool(installed / "cf-index", f'exec "{Path(sys.executable).with_name("cf-index")}" "$@"')
    return runner, installed


def _tool(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    path.chmod(0o755)
