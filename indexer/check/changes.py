"""What one run changed in a subdir of a sound site, checked: the cost follows the change.

Of two sites the shards say which records differ; repodata.json must differ in exactly those lines,
and be the very same bytes everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest

from indexer.channel.record import Record, section_of
from indexer.check.findings import Findings
from indexer.check.record import against_record
from indexer.errors import ContentError
from indexer.published import Folder
from indexer.published.records import same_when_unpacked
from indexer.render import repodata, shards
from indexer.render.sorted_lines import SortedLines

# A file's records: as it was and as it is, None where there is none.
_Change = tuple[Record | None, Record | None]


@dataclass(frozen=True, slots=True)
class ChangesCheck:
    """The check of one subdir against the sound site that it was made from."""

    before: Folder
    after: Folder
    subdir: str
    findings: Findings

    def check(self) -> None:
        """Add to the findings what is wrong."""
        try:
            base_url, new = self._shard_index(self.after)
            _, old = self._shard_index(self.before)
            self._check_presence(new)
            changes = self._changes(old, new)
            self._check_repodata(base_url, changes)
        except (ContentError, OSError) as error:
            self.findings.add(self.subdir, str(error))

    def _where(self, name: str) -> str:
        return f"{self.subdir}/{name}"

    def _shard_index(self, site: Folder) -> tuple[str, Mapping[str, str]]:
        """The base_url, and the shards' hashes by name."""
        path = site.root / self.subdir / shards.INDEX_NAME
        info, hashes = shards.unpack_index(path.read_bytes())
        if (info["subdir"], info["shards_base_url"]) != (self.subdir, f"{shards.FOLDER}/"):
            raise ContentError(f"{shards.INDEX_NAME} isn't that of {self.subdir}")
        return info["base_url"], hashes

    def _check_presence(self, hashes: Mapping[str, str]) -> None:
        folder = self.after.root / self.subdir / shards.FOLDER
        there = {path.name for path in folder.iterdir()} if hashes else set()
        for name, digest in hashes.items():
            if f"{digest}{shards.SUFFIX}" not in there:
                self.findings.add(self._where(shards.FOLDER), f"the shard of {name} is missing")

    def _changes(self, old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, _Change]:
        """The records that differ, by file name, as the shards have them."""
        changes: dict[str, _Change] = {}
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name):
                continue
            was = self._records(self.before, name, old.get(name))
            now = self._records(self.after, name, new.get(name))
            for file_name in was.keys() | now.keys():
                change = was.get(file_name), now.get(file_name)
                if change[0] != change[1]:
                    changes[file_name] = change
        return changes

    def _records(self, site: Folder, name: str, digest: str | None) -> dict[str, Record]:
        if digest is None:
            return {}
        path = site.root / self.subdir / shards.FOLDER / f"{digest}{shards.SUFFIX}"
        try:
            records = shards.unpack_shard(shards.open_shard(path.read_bytes(), digest))
        except ContentError as error:
            raise ContentError(f"the shard of {name} {error}") from error
        for record in records.values():
            if record.name != name:
                raise ContentError(f"{record.file_name} is in the shard of {name}")
        return records

    def _check_repodata(self, base_url: str, changes: Mapping[str, _Change]) -> None:
        name = repodata.FILE_NAME
        plain = self.after.root / self.subdir / name
        with ExitStack() as stack:
            old, new = (
                SortedLines(stack.enter_context((site.root / self.subdir / name).open("rb")))
                for site in (self.before, self.after)
            )
            for problem in _against_ends(new, self.subdir, base_url):
                self.findings.add(self._where(name), problem)
            for section in repodata.SECTIONS:
                chosen = {f: change for f, change in changes.items() if section_of(f) == section}
                for problem in _against_lines(old, new, section, chosen):
                    self.findings.add(self._where(name), problem)
        if not same_when_unpacked(plain, plain.with_name(repodata.ZST_NAME)):
            self.findings.add(self._where(repodata.ZST_NAME), f"isn't {name}, compressed")


def _against_ends(lines: SortedLines, subdir: str, base_url: str) -> Iterator[str]:
    """What stands before and after the lines must be by CEP 15, and say what the shards say."""
    info = {"subdir": subdir} | ({"base_url": base_url} if base_url else {})
    if lines.info != info:
        yield f"its info isn't {info}, as the shards have it"
    if lines.rest != {"removed": [], "repodata_version": 2 if base_url else 1}:
        yield "repodata_version must be 2 with a base_url, and 1 without"


def _against_lines(
    old: SortedLines, new: SortedLines, section: str, changes: Mapping[str, _Change]
) -> Iterator[str]:
    """One section must be what it was, but for the lines that changed."""
    (was, was_end), (now, now_end) = old.section(section), new.section(section)
    for file_name, (before, after) in sorted(changes.items()):
        if after is not None:
            for problem in against_record(section, file_name, after.fields()):
                yield f"{file_name}: {problem}"
        there, here = old.find(file_name, was, was_end), new.find(file_name, now, now_end)
        same = _same(old.blocks(was, there.start), new.blocks(now, here.start))
        lines = (old.blocks(there.start, there.following), new.blocks(here.start, here.following))
        if not same or list(map(b"".join, lines)) != [_line(before), _line(after)]:
            yield f"at {file_name} it isn't what the shards say"
            return
        was, now = there.following, here.following
    if not _same(old.blocks(was, was_end), new.blocks(now, now_end)):
        yield f"{section} differs from before where no shard does"


def _same(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    # Blocks are cut by what they hold: the same lines give the same blocks.
    return all(a == b for a, b in zip_longest(one, other))


def _line(record: Record | None) -> bytes:
    return b"" if record is None else repodata.line(record.file_name, record.body)
