"""A repodata.json written anew for another place: with another base_url, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import orjson

from indexer.channel.record import encode
from indexer.errors import ContentError, printable
from indexer.published import is_path
from indexer.published.records import read_records
from indexer.render import repodata
from indexer.render.repodata import Written
from indexer.render.sorted_lines import SortedLines


def rewrite(
    plain: Path, folder: Path, subdir: str, base_url: str | None
) -> tuple[Written, Written]:
    """Write a repodata.json and its .zst into ``folder``; ours is copied line by line.

    Gives what both came to. Raises ContentError where the file isn't one of this subdir, or names
    files outside of its folder.
    """
    with plain.open("rb") as file:
        try:
            lines = repodata.Lines(file)
        except ContentError:
            sections: Mapping[str, Iterable[tuple[str, bytes]]] = _foreign(plain, subdir)
        else:
            if not isinstance(lines.info, dict) or lines.info.get("subdir") != subdir:
                raise ContentError(f"info.subdir is not {subdir}")
            sections = {
                section: _checked(_parsed(lines.section(section))) for section in repodata.SECTIONS
            }
        return repodata.write_repodata(
            folder,
            subdir,
            base_url,
            {section: repodata.lines(records) for section, records in sections.items()},
        )


def rebase(plain: Path, folder: Path, subdir: str, base_url: str | None) -> tuple[Written, Written]:
    """The same for a file that is known to be ours, whose lines are copied as blocks, unread.

    So no other thread of the program waits for this one. Raises ContentError where it isn't of our
    layout, or of another subdir.
    """
    with plain.open("rb") as file:
        lines = SortedLines(file)
        if not isinstance(lines.info, dict) or lines.info.get("subdir") != subdir:
            raise ContentError(f"info.subdir is not {subdir}")
        sections = {name: lines.blocks(*lines.section(name)) for name in repodata.SECTIONS}
        return repodata.write_repodata(folder, subdir, base_url, sections)


def _foreign(plain: Path, subdir: str) -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {section: [] for section in repodata.SECTIONS}
    for section, file_name, fields in read_records(plain, subdir, packed=False):
        found[section].append((file_name, encode(fields)))
    return {section: sorted(_checked(records)) for section, records in found.items()}


def _parsed(records: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The same records. Raises ContentError for a line that is more, or less, than one."""
    for file_name, body in records:
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ContentError(f"{file_name} is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ContentError(f"{file_name} is no record")
        yield file_name, body


def _checked(records: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The same records. Raises ContentError where one's file would be out of its folder."""
    for file_name, body in records:
        if "/" in file_name or not is_path(file_name):
            raise ContentError(f"{printable(file_name, 100)!r} is no file name")
        yield file_name, body
