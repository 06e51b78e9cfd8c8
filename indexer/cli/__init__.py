"""The command line: flags to configuration, one call, print, exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback

import click

import indexer
from indexer.cli.check import check
from indexer.cli.diff import diff
from indexer.cli.explaining import explain, terminate
from indexer.cli.init import init
from indexer.cli.join import join
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
from indexer.cli.restore import restore
from indexer.cli.serve import serve
from indexer.cli.show import show
from indexer.cli.status import status
from indexer.cli.subdirs import subdirs

_PIPE_EXIT = 141


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
            code, text = explain(error)
            click.echo(f"Error: {text}", err=True)
            sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(indexer.__version__, prog_name="cf-index")
@click.option("--debug", is_flag=True, help="Print tracebacks of errors.")
def main(*, debug: bool) -> None:
    """Make a conda channel's index from the OCI registry that holds its packages.

    \b
    Exit codes: 0 done or nothing to do; 1 a fault of cf-index (check, status: something is wrong,
    diff: they differ); 2 usage or configuration; 3 registry unavailable or its listing incomplete;
    4 refused by the guard; 5 some artifacts left out (--strict) or not transferred.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal can't show is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    del debug  # read from the context where an error is caught


main.add_command(init)
main.add_command(rebuild)
main.add_command(subdirs)
main.add_command(join)
main.add_command(restore)
main.add_command(check)
main.add_command(serve)
main.add_command(status)
main.add_command(diff)
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
