"""All who are told of a run: a terminal or a log, a report file, a summary, a workflow."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from indexer.cli import github
from indexer.cli.display import JsonLog, Terminal
from indexer.cli.explaining import explain
from indexer.cli.summary import summary_of, summary_of_failure
from indexer.config import PREFIX, Config, load_config
from indexer.errors import CfIndexError, ConfigError
from indexer.rebuild.report import Report
from indexer.rebuild.run import Run


class Telling:
    """Tells of one run of ``command``, however it ends.

    ``output`` is the folder that it writes. ``display`` is what shows its progress; ``failing`` is
    to be called with the report of a run that fails, as far as it came.
    """

    def __init__(
        self,
        command: str,
        *,
        output: Path,
        log_format: str = "text",
        report: Path | None = None,
        summary: Path | None = None,
    ) -> None:
        self._command = command
        self._output = output
        self._format = log_format
        self._places = {"--report": report, "--summary": summary}
        self._so_far: Report | None = None
        self.display = JsonLog(sys.stderr) if log_format == "json" else Terminal()

    @classmethod
    def without_settings(
        cls, command: str, flags: Mapping[str, Any], environ: Mapping[str, str]
    ) -> Telling:
        """Who is told that the settings themselves are wrong: whom flags and environment name."""
        log_format = flags.get("log_format") or environ.get(PREFIX + "LOG_FORMAT") or "text"
        summary = flags.get("summary") or environ.get(PREFIX + "SUMMARY")
        return cls(
            command,
            output=Path(),
            log_format=str(log_format),
            summary=Path(summary) if summary else None,
        )

    def check(self) -> None:
        """Raise ConfigError where a file can't be written: before the run, not after it."""
        for flag, path in self._places.items():
            if path is None:
                continue
            if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
                raise ConfigError(f"{flag} {path}: no file can be written there.")
            if self._output.resolve() in path.resolve().parents:
                raise ConfigError(f"{flag} {path} lies in the output, which is replaced whole.")

    def failing(self, report: Report) -> None:
        """Remember how far a run came that is about to fail."""
        self._so_far = report

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Tell of what ends the run, and let it pass; ends the program where all has been told."""
        try:
            yield
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            self.display.end()
            self._tell_failure(*explain(error))
            if isinstance(error, CfIndexError) and self.display.fail(error):
                sys.exit(error.exit_code)
            raise
        finally:
            self.display.end()

    def done(self, report: Report) -> None:
        """Tell of a run that came to its end. Raises ConfigError where a file can't be written."""
        self._write_report(report)
        self._append_summary(summary_of(self._command, report))
        self.display.end()
        self.display.show(report, site=self._output)
        if self._format == "github":
            for line in github.annotations_of(self._command, report):
                click.echo(line)
            self.hand_on({"outcome": report.outcome.partition(":")[0]})

    def hand_on(self, outputs: Mapping[str, str]) -> None:
        """Give a workflow's next steps something. Raises ConfigError where it can't be written."""
        if self._format == "github":
            with _told("The file that GITHUB_OUTPUT names"):
                github.write_outputs(os.environ, outputs)

    def _tell_failure(self, code: int, text: str) -> None:
        report = self._so_far
        if report is not None and report.subdirs:
            self.display.show(report, site=self._output)
        # What ended the run is what has to be told, whatever else goes wrong.
        if report is not None:
            with contextlib.suppress(ConfigError):
                self._write_report(report)
        with contextlib.suppress(ConfigError):
            self._append_summary(summary_of_failure(self._command, code, text, report))
        if self._format == "github":
            click.echo(github.annotation_of_failure(self._command, code, text))
            for line in github.annotations_of(self._command, report) if report else ():
                click.echo(line)
            with contextlib.suppress(OSError):
                github.write_outputs(os.environ, {"outcome": "failed", "exit": str(code)})

    def _write_report(self, report: Report) -> None:
        if (path := self._places["--report"]) is not None:
            with _told(f"--report {path}"):
                path.write_bytes(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2))

    def _append_summary(self, text: str) -> None:
        if (path := self._places["--summary"]) is not None:
            with _told(f"--summary {path}"), path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")


def run_told(
    command: str,
    flags: Mapping[str, Any],
    config_file: Path | None,
    work: Callable[[Config, Run], Report],
) -> tuple[Config, Report]:
    """Do a command's ``work`` by its settings, and tell of it, however it ends."""
    config = settings_told(command, flags, config_file)
    telling = Telling(
        command,
        output=config.part or config.output,
        log_format=config.log_format,
        report=config.report,
        summary=config.summary,
    )
    with telling.failures():
        telling.check()
        report = work(config, Run.ordinary(telling.display, telling.failing))
        telling.done(report)
    return config, report


def settings_told(command: str, flags: Mapping[str, Any], config_file: Path | None) -> Config:
    """The settings of a command; whom they would name is told where they are wrong."""
    try:
        return load_config(flags, os.environ, config_file)
    except ConfigError:
        with Telling.without_settings(command, flags, os.environ).failures():
            raise


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{what} can't be written: {error.strerror}.") from error
