"""What a server gives at most: Debian's ``wrk`` asks for the same addresses in turn."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "wrk"
_RATE = re.compile(r"Requests/sec: +([0-9.]+)")
_LATENCY = re.compile(r"^ +(50|99)% +([0-9.]+)(us|ms|s|m)$", re.MULTILINE)
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
# Written once, before the first second: asking costs wrk next to nothing.
_SCRIPT = """\
local accept = {["Accept"] = %s}
local asked = {
%s
}
local ready, at = {}, 0
function init(_)
  for n, path in ipairs(asked) do ready[n] = wrk.format("GET", path, accept) end
end
function request()
  at = at %% #ready + 1
  return ready[at]
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Answers a second; the time of the median answer and of one in a hundred, in ms."""

    rate: float
    p50: float
    p99: float


def missing_reason() -> str | None:
    """Why nothing can be measured on this machine, or None."""
    if shutil.which(PROGRAM) is None:
        return f"the program {PROGRAM!r} is not installed (Debian: apt-get install {PROGRAM})"
    return None


def rate(
    address: str, paths: Iterable[str], accept: str, *, connections: int, seconds: int
) -> float:
    """Answers a second, when so many connections ask for the paths one after the other.

    ``address`` is that of the server, with its scheme. Raises RuntimeError where an answer
    wasn't one of 200 or a redirect.
    """
    return load(address, paths, accept, connections=connections, seconds=seconds).rate


def load(
    address: str,
    paths: Iterable[str],
    accept: str,
    *,
    connections: int,
    seconds: int,
    core: int | None = None,
) -> Load:
    """The same with its latencies; ``core`` is the one that wrk has. Raises RuntimeError."""
    script = _SCRIPT % (json.dumps(accept), ",\n".join(map(json.dumps, paths)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ask.lua"
        file.write_text(script)
        command = [PROGRAM, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        command += ["-s", str(file), address]
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        done = subprocess.run([*pinned, *command], capture_output=True, text=True, check=True)
    try:
        return parse(done.stdout)
    except ValueError as error:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}") from error


def parse(said: str) -> Load:
    """What wrk's report says. Raises ValueError where not every request was answered well."""
    found = _RATE.search(said)
    if found is None or "Non-2xx" in said or "Socket errors" in said:
        raise ValueError("wrk wasn't answered well")
    times = {
        which: float(time) * _MILLISECONDS[unit] for which, time, unit in _LATENCY.findall(said)
    }
    return Load(float(found[1]), times["50"], times["99"])
