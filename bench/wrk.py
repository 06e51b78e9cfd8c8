"""What a server gives at most: Debian's ``wrk`` asks for the same addresses in turn."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

PROGRAM = "wrk"
_RATE = re.compile(r"Requests/sec: +([0-9.]+)")
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
    wasn't one of 200.
    """
    script = _SCRIPT % (json.dumps(accept), ",\n".join(map(json.dumps, paths)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ask.lua"
        file.write_text(script)
        command = [PROGRAM, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(file), address]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = _RATE.search(said)
    if found is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{' '.join(command)}\n{said}")
    return float(found[1])
