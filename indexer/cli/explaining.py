"""What an error is to whoever ran the command: an exit code and a line of text."""

from __future__ import annotations

import errno

from indexer.errors import CfIndexError, ConfigError, printable

# What the machine has not: space, rights.
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
REMEDIES = {
    1: "A fault of cf-index. Run it again with --debug, and report what it prints.",
    2: "Usage or configuration, or an output that can't be used. The message names what to change.",
    3: (
        "A registry, or the published site, can't be read to the end. The site is as it was, and "
        "the next run tries again. If it stays: address, credentials, and the registry's health."
    ),
    4: (
        "The guard refused, and the site is as it was. Look at what would go and why; where it is "
        "meant, run once more with --allow-drop."
    ),
    5: "The site is published, but artifacts were left out. The report names each, and why.",
    130: "Interrupted. What was read is kept; run it again.",
    143: "Terminated, as by a time limit. What was read is kept; run it again.",
}
"""What to do, by exit code."""


class TerminatedError(KeyboardInterrupt):
    """Somebody else ends us; everything is to be left as after an interruption."""


def terminate(*_: object) -> None:
    """For SIGTERM."""
    raise TerminatedError


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the words for an error."""
    if isinstance(error, CfIndexError):
        return error.exit_code, printable(str(error), 4000)
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        place = f"{error.filename} can't be written" if error.filename else "Writing failed"
        return ConfigError.exit_code, printable(f"{place}: {error.strerror}.")
    if isinstance(error, TerminatedError):
        return 143, "Terminated; what was done so far is kept. Run it again to go on."
    if isinstance(error, KeyboardInterrupt):
        return 130, "Interrupted; what was done so far is kept. Run it again to go on."
    return 1, (
        f"A fault in cf-index: {printable(f'{type(error).__name__}: {error}', 4000)}\n"
        "Run it again as cf-index --debug ... and report what it prints."
    )
