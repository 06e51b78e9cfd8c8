"""The command line: flags to configuration, one call, print, exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback

import click

import indexer
from indexer.cli.check import check
from indexer.cli.keygen import keygen
from indexer.cli.mark import mark
from indexer.cli.marks import marks
from indexer.cli.mirror import mirror
from indexer.cli.promote import promote
from indexer.cli.prune import prune
from indexer.cli.publish import publish
from indexer.cli.pull import pull
from indexer.cli.push import push
from indexer.cli.rebuild import rebuild
from indexer.cli.show import show
from indexer.errors import CfIndexError, ConfigError, printable

_PIPE_EXIT = 141
# What the machine has not: space, rights.
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class _TerminatedError(KeyboardInterrupt):
    """Somebody else ends us; everything is to be left as after an interruption."""


def _terminate(*_: object) -> None:
    raise _TerminatedError


class _Group(click.Group):
    """Turns errors into a line or two for a person, and the right exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            # Whoever read this has seen enough; and nothing is to be flushed into it at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_PIPE_EXIT)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the last line of defence
            if ctx.params.get("debug"):
                traceback.print_exc()
            code, text = _explain(error)
            click.echo(f"Error: {text}", err=True)
            sys.exit(code)


def _explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the words for an error."""
    if isinstance(error, CfIndexError):
        return error.exit_code, printable(str(error), 4000)
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        place = f"{error.filename} can't be written" if error.filename else "Writing failed"
        return ConfigError.exit_code, printable(f"{place}: {error.strerror}.")
    if isinstance(error, _TerminatedError):
        return 143, "Terminated; what was done so far is kept. Run it again to go on."
    if isinstance(error, KeyboardInterrupt):
        return 130, "Interrupted; what was done so far is kept. Run it again to go on."
    return 1, (
        f"A fault in cf-index: {type(error).__name__}: {error}\n"
        "Run it again as cf-index --debug ... and report what it prints."
    )


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(indexer.__version__, prog_name="cf-index")
@click.option("--debug", is_flag=True, help="Print tracebacks of errors.")
def main(*, debug: bool) -> None:
    """Make a conda channel's index from the OCI registry that holds its packages.

    \b
    Exit codes: 0 done or nothing to do; 1 a fault of cf-index (check: problems found);
    2 usage or configuration; 3 registry unavailable or its listing incomplete;
    4 refused by the guard; 5 some artifacts left out (--strict) or not transferred.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal can't show is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    del debug  # read from the context where an error is caught


main.add_command(rebuild)
main.add_command(check)
main.add_command(push)
main.add_command(mirror)
main.add_command(pull)
main.add_command(show)
main.add_command(publish)
main.add_command(promote)
main.add_command(keygen)
main.add_command(mark)
main.add_command(marks)
main.add_command(prune)
