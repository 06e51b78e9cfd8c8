"""Reads any channel back, as streams, and says what is wrong with it.

Forms are compared by sums of record hashes for each package name, so memory grows with the
names and not with the records; only names whose sums differ are looked at again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from indexer.channel.index_json import against_fields, against_parsing
from indexer.channel.record import encode, section_of
from indexer.errors import ContentError, printable
from indexer.files import sha256_of
from indexer.parallel import in_order
from indexer.progress import SILENCE, Progress, counted
from indexer.published import Folder, Published, is_path, read_bytes, read_place, resolve
from indexer.published.records import is_json, read_records, same_when_unpacked
from indexer.render import channeldata, history, repodata, shards
from indexer.render.zstd import decompress

_MAX_SMALL = 256 * 1024 * 1024
_MAX_PROBLEMS = 100
_SHOWN = 10
_THREADS = 8
_HEX64 = re.compile(r"[0-9a-f]{64}")
_HEX32 = re.compile(r"[0-9a-f]{32}")
# What a subdir may have besides; nothing but JSON is asked of them.
_OTHERS = ("current_repodata.json", "repodata_from_packages.json", "run_exports.json")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: in which file, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class Findings:
    """What a check came to. Beyond a hundred problems they are only counted."""

    problems: list[Problem] = field(default_factory=list)
    uncounted: int = 0
    records: dict[str, int] = field(default_factory=dict)

    def add(self, where: str, what: str) -> None:
        """Note a problem."""
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(printable(where), printable(what)))
        else:
            self.uncounted += 1


@dataclass(slots=True)
class _Form:
    """The records of one form: for each name a sum of their hashes, in any order the same."""

    sums: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def add(self, name: str, file_name: str, fields: dict[str, Any]) -> None:
        self.count += 1
        self.sums[name] = (self.sums.get(name, 0) + _hash(file_name, fields)) % 2**128


def check_channel(
    channel: Published,
    subdirs: Sequence[str] | None = None,
    progress: Progress = SILENCE,
) -> Findings:
    """Check a published channel; without ``subdirs``, all that it says it has."""
    findings = Findings()
    snapshot = _check_snapshot(channel, findings, subdirs)
    known = _subdirs(channel, snapshot, findings) if subdirs is None else set(subdirs)
    if "noarch" not in known and channel.fetch("noarch/repodata.json") is None:
        findings.add("noarch/repodata.json", "missing; every channel must have it")
    for subdir in sorted(known):
        _Subdir(channel, subdir, findings, progress).check()
    return findings


def _subdirs(channel: Published, snapshot: history.Snapshot | None, findings: Findings) -> set[str]:
    """The subdirs that a channel says it has, and those that it has without saying so."""
    # Every channel must have noarch (CEP 26).
    found = {"noarch"}
    if isinstance(channel, Folder):
        found |= {path.parent.name for path in channel.root.glob("*/repodata.json")}
    if snapshot is not None:
        return found | snapshot.subdirs.keys()
    data = read_bytes(channel, channeldata.FILE_NAME, _MAX_SMALL)
    if data is not None:
        try:
            listed = orjson.loads(data)["subdirs"]
            return found | {item for item in listed if isinstance(item, str) and is_path(item)}
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            findings.add(channeldata.FILE_NAME, f"has no list of subdirs ({error!r})")
    elif not isinstance(channel, Folder):
        findings.add(channel.location, "doesn't say which subdirs it has; name them with --subdir")
    return found


def _check_snapshot(
    channel: Published, findings: Findings, subdirs: Sequence[str] | None
) -> history.Snapshot | None:
    data = read_bytes(channel, history.SNAPSHOT, _MAX_SMALL)
    if data is None:
        return None
    try:
        snapshot = history.decode_snapshot(data)
    except ContentError as error:
        findings.add(history.SNAPSHOT, str(error))
        return None
    listed: dict[str, history.FileEntry] = dict(snapshot.files)
    for name, entry in snapshot.subdirs.items():
        if subdirs is None or name in subdirs:
            listed |= entry.files
    for path, expected in listed.items():
        try:
            file = channel.fetch(path) if is_path(path) else None
        except ContentError:
            file = None
        if file is None:
            findings.add(path, "is listed in the snapshot, and missing")
        elif sha256_of(file) != expected.sha256:
            findings.add(path, "doesn't have the sha256 that the snapshot lists")
        if file is not None and not isinstance(channel, Folder):
            file.unlink()
    return snapshot


class _Subdir:
    """The check of one subdir."""

    def __init__(
        self, channel: Published, subdir: str, findings: Findings, progress: Progress
    ) -> None:
        self._channel = channel
        self._progress = progress
        self._subdir = subdir
        self._findings = findings

    def check(self) -> None:
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
            if hashlib.sha256(data).hexdigest() != digest:
                raise ContentError("doesn't have its sha256")  # noqa: TRY301  one way out
            records = shards.unpack_shard(decompress(data, shards.MAX_SHARD))
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


def against_record(section: str, file_name: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """What clients would miss in a record of repodata.json."""
    for key in ("name", "version", "build"):
        if not isinstance(fields.get(key), str):
            yield f"no {key}"
    for key in ("build_number", "size"):
        if type(fields.get(key)) is not int or fields[key] < 0:
            yield f"no {key}"
    yield from _against_hashes(fields)
    yield from _against_specs(fields)
    try:
        if reason := against_fields(fields):
            yield f"refused by a client's parser: {reason}"
    except TypeError as error:
        yield f"can't be encoded: {error}"
    stem = f"{fields.get('name')}-{fields.get('version')}-{fields.get('build')}"
    if file_name not in {f"{stem}.conda", f"{stem}.tar.bz2"}:
        yield f"its file name isn't that of {stem[:200]}"
    elif section != section_of(file_name):
        yield f"is in section {section}"


def _against_specs(fields: Mapping[str, Any]) -> Iterator[str]:
    for key in ("depends", "constrains"):
        specs = fields.get(key)
        for spec in specs if isinstance(specs, list) else ():
            if isinstance(spec, str) and (reason := against_parsing(spec)):
                yield f"{key}: {spec[:80]!r}: {reason}"


def _against_hashes(fields: Mapping[str, Any]) -> Iterator[str]:
    for key, pattern in (("sha256", _HEX64), ("md5", _HEX32)):
        value = fields.get(key)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            yield f"{key} isn't one"
    if fields.get("sha256") is None and fields.get("md5") is None:
        yield "no hash at all"
