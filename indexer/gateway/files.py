"""How many files and connections the process may have open at once."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace

from indexer.gateway.options import Options

# For the program itself, and for its looks at the source.
_OWN = 128
# Of a client: its own connection, and a registry's or a file.
_EACH = 2


def fit_to_files(options: Options, tell: Callable[[str], None]) -> Options:
    """The same, with no more connections than there can be; as many as the system lets us have.

    Without a file to be had, not even a new client could be refused.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OWN + _EACH * options.connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return options
    connections = max((soft - _OWN) // _EACH, 1)
    tell(
        f"Only {connections} connections at once: the process may have {soft} files open "
        f"(ulimit -n), and {wanted} are needed for {options.connections}."
    )
    return replace(options, connections=connections)
