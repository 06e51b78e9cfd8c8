"""Whole commands, measured: time, processor time, and the most memory they held."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
# Stages in the durations of a status.json that come to all files; planning and check are apart.
WRITING = ("staging", "shards", "repodata", "summaries", "channel", "pages", "publishing")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a command: seconds, seconds of processor, MiB at its peak, MB written to files."""

    seconds: float
    processor: float
    peak: float
    written: float


# In a small process between: a child's peak begins with that of whoever starts it.
_WATCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[2:], stdout=sys.stderr)
os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
seconds = time.perf_counter() - start
counts = dict(line.split(": ") for line in open(f"/proc/{process.pid}/io").read().splitlines())
_, status, usage = os.wait4(process.pid, 0)
found = [os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime]
found += [usage.ru_maxrss / 1024, int(counts["write_bytes"]) / 1e6]
open(sys.argv[1], "w").write(json.dumps(found))
"""


def measure(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Measured:
    """Run a command that must succeed; its own children count for processor, not for memory."""
    with tempfile.NamedTemporaryFile("r") as file:
        done = subprocess.run(
            [sys.executable, "-c", _WATCHER, file.name, *command],
            env=os.environ | dict(environ or {}),
            capture_output=True,
            text=True,
            check=True,
        )
        code, *figures = json.load(file)
    if code:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return Measured(*figures)


def write(name: str, rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> None:
    """Print a table and what is to be known about it; keep it as JSON with what it ran on."""
    columns = list(rows[0])
    texts = [[_text(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[n]) for line in [columns, *texts]) for n in range(len(columns))]
    for line in [columns, *texts]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    for note in notes:
        print(note)
    RESULTS.mkdir(exist_ok=True)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    document: dict[str, Any] = {"machine": machine, "rows": list(rows)}
    if notes:
        document["notes"] = list(notes)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
