"""Two channels to compare, each in the form and the layout that a test asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgpack
import orjson
from click.testing import CliRunner, Result

from indexer.channel.record import Record, section_of
from indexer.cli import main
from indexer.diff import Spool, compare_channels
from indexer.diff.document import as_json
from indexer.published import open_published
from indexer.registry import Transport
from indexer.render import repodata, shards, zstd
from tests.channel.samples import record

SHARDED, PACKED, PLAIN = shards.INDEX_NAME, repodata.ZST_NAME, repodata.FILE_NAME
FORMS = (SHARDED, PACKED, PLAIN)

Records = Mapping[str, Mapping[str, Any]]

ALPHA = record("alpha", subdir="noarch", depends=["beta >=1", "gamma"])
BETA = record("beta", subdir="noarch", end=".tar.bz2")
GAMMA = record("gamma", subdir="noarch")


def fields_of(*records: Record) -> dict[str, dict[str, Any]]:
    return {item.file_name: item.fields() for item in records}


def publish(
    root: Path,
    records: Records | Sequence[Record],
    *forms: str,
    subdir: str = "noarch",
    **info: Any,
) -> Path:
    """A channel as other tools write it, in these forms (all of them by default)."""
    if not isinstance(records, Mapping):
        records = fields_of(*records)
    folder = root / subdir
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {section: {} for section in repodata.SECTIONS}
    for file_name, fields in records.items():
        document[section_of(file_name)][file_name] = fields
    document |= {"info": {"subdir": subdir} | info, "removed": [], "repodata_version": 1}
    plain = json.dumps(document).encode()
    for form in forms or FORMS:
        if form == SHARDED:
            write_shards(folder, records, subdir, info)
        else:
            (folder / form).write_bytes(plain if form == PLAIN else zstd.compress(plain))
    return root


def write_shards(folder: Path, records: Records, subdir: str, info: Mapping[str, Any]) -> None:
    names: dict[str, dict[str, Any]] = {}
    for file_name, fields in records.items():
        shard = names.setdefault(str(fields["name"]), {"packages": {}, "packages.conda": {}})
        shard[section_of(file_name)][file_name] = {
            key: bytes.fromhex(value)
            if key in {"sha256", "md5"} and isinstance(value, str)
            else value
            for key, value in fields.items()
        }
    hashes = {name: put_shard(folder, msgpack.packb(shard)) for name, shard in names.items()}
    told: dict[str, Any] = {"subdir": subdir, "base_url": "", "shards_base_url": "shards/", **info}
    write_index(folder, {"version": 1, "info": told, "shards": hashes})


def put_shard(folder: Path, packed: bytes) -> bytes:
    data = zstd.compress(packed)
    digest = hashlib.sha256(data)
    (folder / "shards").mkdir(exist_ok=True)
    (folder / "shards" / f"{digest.hexdigest()}{shards.SUFFIX}").write_bytes(data)
    return digest.digest()


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    (folder / SHARDED).write_bytes(zstd.compress(msgpack.packb(index)))


def compared(old: Path | str, new: Path | str, *subdirs: str, **choices: Any) -> dict[str, Any]:
    """The whole JSON document of a comparison."""
    with ExitStack() as stack:
        transport = stack.enter_context(closing(Transport(retry_for=0)))
        spool = stack.enter_context(Spool())
        one, two = (
            stack.enter_context(open_published(str(location), transport)) for location in (old, new)
        )
        diff = compare_channels(one, two, spool, subdirs=subdirs, **choices)
        document: dict[str, Any] = orjson.loads("".join(as_json(diff)))
    return document


def noarch(old: Path | str, new: Path | str) -> dict[str, Any]:
    """How noarch differs, without what was compared."""
    part: dict[str, Any] = compared(old, new, "noarch")["subdirs"]["noarch"]
    return {key: part[key] for key in ("added", "removed", "changed", "info") if part[key]}


def run(*arguments: str | Path) -> Result:
    """The command, as it is called."""
    words = ["diff", "--retry-for", "0", *map(str, arguments)]
    return CliRunner().invoke(main, words)
