"""``cf-index rebuild``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from indexer.cli import options
from indexer.cli.display import JsonLog, Terminal
from indexer.config import PREFIX, Config, load_config
from indexer.errors import CfIndexError, ConfigError
from indexer.rebuild import pipeline
from indexer.rebuild.report import Report

_STRICT_EXIT = 5


@click.command(short_help="Read the registry, write the index, publish it into a folder.")
@options.config_file
@options.registry
@options.channel
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The site's folder. It is replaced whole at each publication.",
)
@options.subdir("Read this subdir; repeatable.  [default: all that the registry has]")
@options.package("Refresh only packages of these names; repeatable. All others stay.")
@click.option(
    "--names",
    metavar="FILE",
    help="Names of the channel's packages, one a line (NAME or SUBDIR/NAME); - is stdin.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What was read before, a cache.  [default: .cf-index]",
)
@click.option(
    "--previous", metavar="DIR|URL", help="The site as published last.  [default: the output]"
)
@click.option(
    "--base-url",
    metavar="auto|oci|none|URL",
    help="Where clients find packages. auto: the registry, where oci:// clients can "
    "reach it, else none. URL: a channel address that answers /SUBDIR/FILE.",
)
@click.option(
    "--site-url", metavar="URL", help="The site's own address: for commands, feeds and the sitemap."
)
@click.option(
    "--pages/--no-pages",
    default=None,
    help="Write pages and the JSON API beside the index, or the index alone.  [default: pages]",
)
@click.option(
    "--max-site-size",
    metavar="SIZE",
    help="What the host takes. Above it pages are left out, then the API, never the index.  "
    "[default: 1 GB]",
)
@options.policy
@options.trust
@click.option(
    "--all", "all", is_flag=True, help="Let everything in, validated or not (policy none)."
)
@click.option(
    "--max-drop",
    metavar="PERCENT",
    help="Refuse to publish when more of a subdir's records would go.  [default: 10%]",
)
@click.option("--allow-drop", is_flag=True, help="Publish even so.")
@click.option(
    "--allow-changed",
    multiple=True,
    metavar="GLOB",
    help="Files that may come with other bytes than before; repeatable.",
)
@click.option(
    "--recheck",
    metavar="SHARE",
    help="Look again at this share of the validated artifacts, such as 1/96.",
)
@click.option(
    "--list-all",
    is_flag=True,
    help="List every repository's tags, whatever GitHub says has changed.",
)
@click.option("--full", is_flag=True, help="Read everything anew, without the state.")
@options.dry_run("Print the plan and write nothing.")
@click.option("--strict", is_flag=True, help="Exit 5 when artifacts were left out.")
@options.jobs
@options.retry_for
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all that was found as JSON.",
)
@click.option(
    "--log-format",
    metavar="text|json",
    help="json: one object a line on stderr.  [default: text]",
)
def rebuild(config_file: Path | None, **flags: Any) -> None:
    """Make the channel's index from its registry, and publish it into a folder.

    Lists the packages' repositories and tags, reads each new artifact's manifest and
    index.json, keeps what is validated, and writes repodata (monolithic and sharded)
    whose sha256 values point at the registry's blobs.

    What is validated is said by an annotation, which anybody who may push can write (policy
    annotation), or by a verdict that is signed with a key you --trust (policy attestation), or by
    both together (policy both).

    Most options may also stand in cf-index.toml (max-drop = "10%") or in the environment
    (CF_INDEX_MAX_DROP); options win over the environment, and that over the file. Those for
    one run alone (--package, --full, --allow-drop, --dry-run) can't stand in the file.

    \b
    Example:
      cf-index rebuild --registry oci://ghcr.io/acme --channel forge --output site
    """
    try:
        config = load_config(flags, os.environ, config_file)
    except ConfigError as error:
        if _wants_json(flags) and JsonLog(sys.stderr).fail(error):
            sys.exit(error.exit_code)
        raise
    display = JsonLog(sys.stderr) if config.log_format == "json" else Terminal()

    def tell_failure(report: Report) -> None:
        display.end()
        if report.subdirs:
            display.show(report, site=config.output)
        with contextlib.suppress(ConfigError):
            # What ended the run is what has to be told.
            _write_report(config.report, report)

    try:
        _check_report(config)
        report = pipeline.rebuild(config, pipeline.Run.ordinary(display, tell_failure))
        _write_report(config.report, report)
    except CfIndexError as error:
        if display.fail(error):
            sys.exit(error.exit_code)
        raise
    finally:
        display.end()
    display.show(report, site=config.output)
    if config.strict and report.left_out:
        sys.exit(_STRICT_EXIT)


def _wants_json(flags: Mapping[str, Any]) -> bool:
    """Whether errors are to be JSON, where the configuration itself is the error."""
    return (flags.get("log_format") or os.environ.get(PREFIX + "LOG_FORMAT")) == "json"


def _check_report(config: Config) -> None:
    """Find out before the run, not after it."""
    path = config.report
    if path is None:
        return
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"--report {path}: no file can be written there.")
    if config.output.resolve() in path.resolve().parents:
        raise ConfigError(f"--report {path} lies in the output, which is replaced whole.")


def _write_report(path: Path | None, report: Report) -> None:
    if path is None:
        return
    try:
        path.write_bytes(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise ConfigError(f"--report {path} can't be written: {error.strerror}.") from error
