"""The families of errors, each with the exit code it ends the program with.

An error's text is for a person: what happened, where, and what to do. What it quotes from
outside goes through ``printable``.
"""


def printable(text: str, limit: int = 1000) -> str:
    """Text from outside for a terminal or a log: one line, cut, nothing in it acts."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text[:limit]
    )
    return inert(shown if len(text) <= limit else shown + "...")


def inert(line: str) -> str:
    """A line that is no command to the CI system that runs this.

    GitHub's runner obeys what begins with ``::``, spaces or not, and what follows ``##[`` wherever
    in a line it stands.
    """
    line = line.replace("##[", "##\\x5b")
    if line.lstrip().startswith(":"):
        line = line.replace(":", "\\x3a", 1)
    return line


class CfIndexError(Exception):
    """Any error this program raises on purpose; by itself, a fault of ours."""

    exit_code = 1


class ConfigError(CfIndexError):
    """Usage, configuration, or an output folder that this program must not touch."""

    exit_code = 2


class RegistryError(CfIndexError):
    """A registry (or the published channel) can't be read to the end; nothing is published."""

    exit_code = 3


class UnansweredError(RegistryError):
    """Nobody answered within the retry time, or the run has ended: it is about no one artifact."""


class NotFoundError(RegistryError):
    """The registry says that the repository, manifest or blob isn't there."""


class DeniedError(RegistryError):
    """The registry refuses; some (GHCR) also answer so for what doesn't exist."""


class LoginError(DeniedError):
    """Nobody is let in: no credentials are known to who writes, or those known are wrong."""


class RefusedError(RegistryError):
    """The registry answers this one request with any other no."""


class ConflictError(RegistryError):
    """A tag leads elsewhere by now: somebody else wrote it meanwhile."""


class UnsupportedError(RegistryError):
    """The registry lacks this part of the API, such as the catalog."""


class ContentError(CfIndexError):
    """Content from outside isn't what it says it is. Costs one artifact, never a whole run."""

    exit_code = 3


class GuardError(CfIndexError):
    """The plan would take too much out of the channel."""

    exit_code = 4
