"""Reads a subdir back, as streams, whatever tool made it, and says what is wrong with it.

Forms are compared by sums of record hashes for each package name, so memory grows with the
names and not with the records; only names whose sums differ are looked at again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from indexer.channel.record import encode
from indexer.check.findings import Findings
from indexer.check.record import against_record
from indexer.errors import ContentError
from indexer.parallel import in_order
from indexer.progress import Progress, counted
from indexer.published import Published, read_place, resolve
from indexer.published.records import is_json, read_records, same_when_unpacked
from indexer.render import repodata, shards

_SHOWN = 10
_THREADS = 8
# What a subdir may have besides; nothing but JSON is asked of them.
_OTHERS = ("current_repodata.json", "repodata_from_packages.json", "run_exports.json")


@dataclass(slots=True)
class _Form:
    """The records of one form: for each name a sum of their hashes, in any order the same."""

    sums: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def add(self, name: str, file_name: str, fields: dict[str, Any]) -> None:
        self.count += 1
        self.sums[name] = (self.sums.get(name, 0) + _hash(file_name, fields)) % 2**128


class SubdirCheck:
    """The check of one subdir."""

    def __init__(
        self, channel: Published, subdir: str, findings: Findings, progress: Progress
    ) -> None:
        self._channel = channel
        self._progress = progress
        self._subdir = subdir
        self._findings = findings

    def check(self) -> None:
        """Add to the findings what is wrong."""
        plain = self._fetch(repodata.FILE_NAME, required=True)
        packed = self._fetch(repodata.ZST_NAME)
        forms: dict[str, _Form] = {}
        if plain is not None:
            forms[repodata.FILE_NAME] = self._read(repodata.FILE_NAME, plain)
            self._findings.records[self._subdir] = forms[repodata.FILE_NAME].count
        if packed is not None and not (plain and same_when_unpacked(plain, packed)):
            forms[repodata.ZST_NAME] = self._read(repodata.ZST_NAME, packed)
        sharded = self._read_shards()
        if sharded is not None:
            forms[shards.INDEX_NAME] = sharded
        self._compare(forms)
        for name in _OTHERS:
            other = self._fetch(name)
            if other is not None and not is_json(other):
                self._findings.add(self._where(name), "is not JSON")

    def _where(self, name: str) -> str:
        return f"{self._subdir}/{name}"

    def _fetch(self, name: str, *, required: bool = False) -> Path | None:
        try:
            path = self._channel.fetch(self._where(name))
        except ContentError as error:
            self._findings.add(self._where(name), str(error))
            return None
        if path is None and required:
            self._findings.add(self._where(name), "missing")
        return path

    def _read(self, name: str, path: Path) -> _Form:
        form = _Form()
        seen = ""
        self._progress.begin(f"Checking {self._where(name)}", None)
        try:
            records = read_records(path, self._subdir, packed=".zst" in name)
            for section, file_name, fields in counted(records, self._progress):
                if file_name == seen:
                    self._findings.add(self._where(name), f"{file_name} is there twice")
                seen = file_name
                for problem in against_record(section, file_name, fields):
                    self._findings.add(self._where(name), f"{file_name}: {problem}")
                form.add(str(fields.get("name")), file_name, fields)
        except ContentError as error:
            self._findings.add(self._where(name), str(error))
        self._progress.end()
        return form

    def _read_shards(self) -> _Form | None:
        path = self._fetch(shards.INDEX_NAME)
        if path is None:
            return None
        try:
            info, hashes = shards.unpack_index(path.read_bytes())
        except ContentError as error:
            self._findings.add(self._where(shards.INDEX_NAME), str(error))
            return _Form()
        if info["subdir"] != self._subdir:
            self._findings.add(
                self._where(shards.INDEX_NAME), f"is said to be that of {info['subdir']}"
            )
        form = _Form()
        place = resolve(self._subdir, info["shards_base_url"])
        where = (f"{place}{digest}{shards.SUFFIX}" for digest in hashes.values())
        contents = in_order(self._shard, where, jobs=_THREADS, abort=self._channel.close)
        self._progress.begin(f"Checking the shards of {self._subdir}", len(hashes))
        for (name, digest), result in zip(hashes.items(), contents, strict=True):
            self._take_shard(form, name, digest, result)
            self._progress.step()
        self._progress.end()
        return form

    def _shard(self, where: str) -> bytes | ContentError | None:
        try:
            return read_place(self._channel, where, shards.MAX_SHARD)
        except ContentError as error:
            return error

    def _take_shard(
        self, form: _Form, name: str, digest: str, data: bytes | ContentError | None
    ) -> None:
        where = self._where(f"{shards.FOLDER}/{digest}{shards.SUFFIX}")
        try:
            if isinstance(data, ContentError):
                raise data
            if data is None:
                self._findings.add(where, f"the shard of {name} is missing")
                return
            records = shards.unpack_shard(shards.open_shard(data, digest))
        except ContentError as error:
            self._findings.add(where, f"{error} (the shard of {name})")
            return
        for record in records.values():
            if record.name != name:
                self._findings.add(where, f"{record.file_name} is in the shard of {name}")
            form.add(name, record.file_name, record.fields())

    def _compare(self, forms: Mapping[str, _Form]) -> None:
        (first, one), *others = forms.items() or [("", _Form())]
        for second, other in others:
            names = sorted(
                name
                for name in one.sums.keys() | other.sums.keys()
                if one.sums.get(name) != other.sums.get(name)
            )
            if names:
                shown = ", ".join(names[:_SHOWN]) + (" and more" if len(names) > _SHOWN else "")
                self._findings.add(
                    self._where(second),
                    f"holds other records than {first} ({other.count} and {one.count} in all), "
                    f"for {len(names)} names: {shown}",
                )


def _hash(file_name: str, fields: dict[str, Any]) -> int:
    # CEP 21 has run_exports in shards, where repodata.json needn't have them.
    content = {
        key: value
        for key, value in fields.items()
        if key != "run_exports" and (value is not None or key not in {"md5", "sha256"})
    }
    digest = hashlib.blake2b(file_name.encode() + b"\0" + encode(content), digest_size=16)
    return int.from_bytes(digest.digest())
