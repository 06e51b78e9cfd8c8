"""A channel made of records alone, without a registry, and a real client that reads it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rattler import Gateway, RepoDataRecord, SourceConfig, Subdir
from rattler.channel import Channel

from indexer.channel.record import Record, section_of
from indexer.render import repodata, shards, summary, zstd


def in_section(section: str, records: Iterable[Record]) -> Iterator[tuple[str, bytes]]:
    """The records of one section, as the writer takes them."""
    for record in sorted(records, key=lambda item: item.file_name):
        if section_of(record.file_name) == section:
            yield record.file_name, record.body


def write_repodata(
    folder: Path, records: Sequence[Record], subdir: str = "noarch", base_url: str | None = None
) -> bytes:
    """Write repodata.json and its .zst into a new folder; give the plain one's bytes."""
    folder.mkdir(parents=True)
    sections = {
        section: repodata.lines(in_section(section, records)) for section in repodata.SECTIONS
    }
    repodata.write_repodata(folder, subdir, base_url, sections)
    return (folder / repodata.FILE_NAME).read_bytes()


def write_shards(folder: Path, records: Sequence[Record], subdir: str = "noarch") -> dict[str, str]:
    """Write shards and their index; give the shards' hashes by name."""
    (folder / shards.FOLDER).mkdir(parents=True)
    index = {}
    for name in sorted({record.name for record in records}):
        data = zstd.compress(shards.pack_shard(r for r in records if r.name == name))
        index[name] = hashlib.sha256(data).hexdigest()
        (folder / shards.FOLDER / f"{index[name]}{shards.SUFFIX}").write_bytes(data)
    (folder / shards.INDEX_NAME).write_bytes(shards.pack_index(subdir, None, index))
    return index


def write_subdir(root: Path, records: Sequence[Record], subdir: str = "noarch") -> Path:
    """Write all forms of a subdir; give its folder."""
    folder = root / subdir
    write_repodata(folder, records, subdir)
    write_shards(folder, records, subdir)
    return folder


def query(
    address: str, names: Sequence[str], cache: Path, *, sharded: bool
) -> list[RepoDataRecord]:
    """What py-rattler finds of some names, by one of the two forms."""

    async def ask() -> list[RepoDataRecord]:
        config = SourceConfig(sharded_enabled=sharded, cache_action="no-cache")
        gateway = Gateway(cache_dir=cache, default_config=config)
        records: list[RepoDataRecord] = []
        # One at a time: many connections at once make the small server drop some.
        for name in names:
            try:
                found = await gateway.query(
                    [Channel(address)], [Subdir("noarch")], [name], recursive=False
                )
            except Exception as error:  # rattler's errors have no public common base
                raise AssertionError(f"{name} can't be read: {error}") from error
            records += [record for part in found for record in part]
        return records

    return asyncio.run(ask())


def summarize(records: Iterable[Record]) -> summary.NameSummary:
    """The summary of one name's records."""
    return summary.summarize({record.file_name: record.fields() for record in records})
