"""``cf-index marks``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from indexer.cli import options
from indexer.errors import printable
from indexer.transfer.marks import Entry, Marks, marks_of
from indexer.transfer.outcome import Crew, Outcome
from indexer.transfer.references import read_references
from indexer.trust.keys import short_id

# What an indexer makes of a build, in words.
_STATUS = {
    "indexed": "let in",
    "waiting": "waits",
    "rejected": "rejected",
    "unsound": "unsound",
}


@click.command(short_help="Show who says what of builds, and what the indexer makes of it.")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@options.in_order(
    options.config_file,
    options.registry,
    options.channel,
    options.subdir(
        "Look for files here whose subdir isn't said; repeatable.  [default: all that are known]"
    ),
    options.policy,
    options.trust,
    options.previous,
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line."),
    options.jobs,
    options.retry_for,
)
def marks(
    references: tuple[str, ...], config_file: Path | None, *, as_json: bool, **flags: Any
) -> None:
    """Show what is said of builds in the registry, by whom, and what the indexer makes of it.

    A REF is SUBDIR/NAME:TAG or a file name, as for mark; - reads a list of them from stdin.

    Shows the manifest's digest, its annotation, each verdict on its archives with its date and
    key, those that count for nothing with the reason, and the rejections that the published site
    remembers (--previous). Then whether, by the policy and the trusted keys, the build is let in,
    waits, is rejected, or is unsound, and why. Without --trust all verdicts are listed, but none
    is checked.

    Exits 5 when some of them aren't there, or a line of stdin is no REF.

    \b
    Example:
      cf-index marks linux-64/zlib:1.3-h0 --registry oci://ghcr.io/acme --channel forge \\
        --policy attestation --trust validator.pub
    """
    config = options.read_config(flags, config_file)
    wanted, unread = read_references(references, options.stdin_lines())
    outcome = Outcome()
    outcome.did((), unread)
    with options.session(config, writing=False) as session:
        inspector = options.inspector(config, session, session.registry)
        crew = Crew(outcome, config.jobs, session.transport.close)
        for _, found in crew.each(
            dict.fromkeys(wanted),
            lambda item: marks_of(inspector, item, config.subdirs),
            lambda item: [str(item)],
        ):
            if as_json:
                _print_json(_as_dict(found, str(config.policy)))
            else:
                click.echo("\n".join(_as_text(found, str(config.policy), config.policy.key)))
    for failure in outcome.failures:
        if as_json:
            _print_json({"reference": failure.what, "error": failure.reason})
        else:
            click.echo(f"Failed: {failure.what}: {failure.reason}")
    if outcome.failed:
        sys.exit(options.FAILED_EXIT)


def _as_text(marks: Marks, policy: str, key: str) -> Iterator[str]:
    yield str(marks.found)
    yield f"  manifest {marks.digest}"
    if marks.annotation is None:
        yield "  no annotation"
    else:
        reason = f" ({printable(marks.reason)})" if marks.reason else ""
        yield f"  annotation {key}={printable(marks.annotation, 200)}{reason}"
    for entry in marks.entries:
        yield f"  {_line(entry)}"
        yield f"    {entry.tag or 'remembered by the published site'}"
    let_in = f": {', '.join(marks.let_in)}" if marks.let_in else ""
    yield f"  by the policy {policy}: {_STATUS[marks.status]}{let_in}"
    for fault in marks.faults:
        name = f"{fault.file_name}: " if fault.file_name else ""
        yield f"    {name}{fault.reason}"
    for note in marks.notes:
        yield f"    {printable(note)}"


def _line(entry: Entry) -> str:
    void = f"; void: {printable(entry.void)}" if entry.void else ""
    verdict = entry.verdict
    if verdict is None:
        return f"verdict on {entry.archive}{void}"
    said = "validated" if verdict.passed else "rejected"
    who = printable(short_id(entry.key_id), 80) or "nobody"
    trusted = " (trusted)" if entry.is_trusted else ""
    reason = f": {printable(verdict.reason)}" if verdict.reason else ""
    return (
        f"{printable(verdict.file_name, 200)} {said} {verdict.time:%Y-%m-%d %H:%M:%S} UTC "
        f"by the key {who}{trusted}{reason}{void}"
    )


def _as_dict(marks: Marks, policy: str) -> dict[str, Any]:
    return {
        "reference": str(marks.found),
        "subdir": marks.found.place.subdir,
        "repository": marks.found.full_name,
        "tag": marks.found.place.tag,
        "digest": str(marks.digest),
        "annotation": marks.annotation,
        "annotation_reason": marks.reason,
        "annotation_standing": marks.standing,
        "verdicts": [_entry_as_dict(entry) for entry in marks.entries],
        "policy": policy,
        "status": marks.status,
        "let_in": list(marks.let_in),
        "faults": [{"file_name": f.file_name, "reason": f.reason} for f in marks.faults],
        "notes": list(marks.notes),
    }


def _entry_as_dict(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tag": entry.tag,
        "sha256": entry.archive.hex,
        "key": entry.key_id,
        "trusted": entry.is_trusted,
        "remembered": not entry.tag,
        "void": entry.void,
    }
    if verdict := entry.verdict:
        found |= {
            "file_name": verdict.file_name,
            "subdir": verdict.subdir,
            "index_json": verdict.index_json.hex,
            "said": "validated" if verdict.passed else "rejected",
            "time": verdict.time.isoformat(),
            "verifier": verdict.verifier,
            "policy": verdict.policy,
            "reason": verdict.reason,
        }
    return found


def _print_json(document: dict[str, Any]) -> None:
    click.echo(orjson.dumps(_printable(document)))


def _printable(value: Any) -> Any:
    """JSON leaves characters as they are that act on a terminal."""
    if isinstance(value, str):
        return printable(value, 4000)
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value
