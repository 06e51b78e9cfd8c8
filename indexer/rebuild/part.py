"""A part: what one run made of some subdirs, in a folder that ``cf-index join`` takes.

So a CI system's own matrix can read the subdirs beside each other. The folder has ``part.json`` and
the files that changed, by their paths in the site; but not repodata.json, which is made again of
its compressed form, a sixth of its size. It comes from elsewhere: every file is checked against its
hash, and all that part.json says against what it can be.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import orjson

from indexer.channel.index_json import SUBDIR
from indexer.channel.plan import Count
from indexer.errors import ConfigError, ContentError, printable
from indexer.files import has_sha256, size_of
from indexer.rebuild.previous import Previous
from indexer.rebuild.report import Report
from indexer.rebuild.share import Share
from indexer.render import history, repodata, shards, summary, zstd
from indexer.render.history import ChangeEntry, FileEntry, SubdirEntry
from indexer.trust.judging import Held
from indexer.trust.rejections import decode_rejections, encode_rejections

PART = "part.json"
FORMAT = 1
_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_FILE = 256 * 1024 * 1024
_BLOCK = 1 << 20
# Whatever a registry says is cut long before.
_MAX_TEXT = 10_000
_KINDS = frozenset({"added", "removed", "changed"})


@dataclass(frozen=True, slots=True)
class Maker:
    """What has to be the same of all parts of a site; ``run`` is the scheduler's word for it."""

    run: str
    version: str
    registry: str
    channel: str
    policy: str


@dataclass(frozen=True, slots=True)
class Part:
    """What a run made of some subdirs.

    ``bases`` names, for each of them, the published state that it was made upon; ``shares`` are
    those of them that changed. ``unsettled`` is since when artifacts wait or are rejected (seconds
    since 1970, by subdir, repository and tag), ``rejections`` every "no" that is known.
    """

    maker: Maker
    report: Report
    bases: Mapping[str, str]
    shares: Sequence[Share]
    unsettled: Mapping[tuple[str, str, str], int]
    rejections: Sequence[Held]


@dataclass(frozen=True, slots=True)
class _Written:
    """A share as part.json has it."""

    records: int
    names: int
    shard_bytes: int
    rendering: str
    files: dict[str, FileEntry]
    count: Count
    replaced: list[str]
    recent: list[ChangeEntry]


@dataclass(frozen=True, slots=True)
class _Document:
    """part.json."""

    format: int
    maker: Maker
    report: Report
    bases: dict[str, str]
    shares: dict[str, _Written]
    unsettled: list[tuple[str, str, str, int]] = field(default_factory=list)
    rejections: list[dict[str, str]] = field(default_factory=list)


def base_of(previous: Previous, subdir: str) -> str:
    """Names the state of a published subdir: the sha256 (hex) of what the snapshot says of it.

    Empty where there is none.
    """
    entry = previous.snapshot.subdirs.get(subdir) if previous.snapshot else None
    if entry is None:
        return ""
    return hashlib.sha256(orjson.dumps(asdict(entry), option=orjson.OPT_SORT_KEYS)).hexdigest()


@contextlib.contextmanager
def new_part(folder: Path) -> Iterator[Path]:
    """A folder for a part's files; it takes the place of ``folder`` where all goes well.

    Raises ConfigError where there is something else.
    """
    staged = folder.with_name(f".{folder.name}.staged")
    try:
        if folder.is_symlink() or (folder.exists() and not _is_part_or_empty(folder)):
            raise ConfigError(
                f"--part {folder} is there already, and isn't a part. Name a folder of its own."
            )
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        yield staged
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
    except OSError as error:
        raise ConfigError(f"The part {folder} can't be written: {error}.") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _is_part_or_empty(folder: Path) -> bool:
    return folder.is_dir() and ((folder / PART).is_file() or not any(folder.iterdir()))


def write_part(folder: Path, part: Part) -> None:
    """Write part.json beside the files of the part's shares, which are in ``folder`` already."""
    for share in part.shares:
        (folder / share.subdir / repodata.FILE_NAME).unlink()
    document = _Document(
        format=FORMAT,
        maker=part.maker,
        report=replace(part.report, seconds=part.report.took()),
        bases=dict(part.bases),
        shares={share.subdir: _written(share) for share in part.shares},
        unsettled=[(*place, since) for place, since in sorted(part.unsettled.items())],
        rejections=orjson.loads(encode_rejections(part.rejections)),
    )
    value = asdict(document)
    # The clock of this machine.
    del value["report"]["_began"]
    # What is read back has to be shown; whatever a registry says must not make a part useless.
    value["report"] = _shown(value["report"])
    (folder / PART).write_bytes(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _shown(value: Any) -> Any:
    """The same with every text printable, and cut."""
    if isinstance(value, str):
        return printable(value, _MAX_TEXT // 2)[:_MAX_TEXT]
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value


def _written(share: Share) -> _Written:
    entry = share.entry
    return _Written(
        records=entry.records,
        names=entry.names,
        shard_bytes=entry.shard_bytes,
        rendering=entry.rendering,
        files=dict(entry.files),
        count=share.count,
        replaced=list(share.replaced),
        recent=list(share.recent),
    )


def read_part(folder: Path, scratch: Path) -> Part:
    """Read a part; its files are copied into ``scratch``, which no other part uses.

    Raises ConfigError where it isn't one, or isn't whole.
    """
    try:
        document = _decode(folder)
        made = [
            _share(folder, scratch, subdir, written) for subdir, written in document.shares.items()
        ]
        return Part(
            document.maker,
            document.report,
            document.bases,
            made,
            history.decode_unsettled(_unsettled_bytes(document)),
            decode_rejections(orjson.dumps(document.rejections)),
        )
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder} is no part: {error.filename} is missing. Parts are made by cf-index rebuild "
            "--part."
        ) from error
    except OSError as error:
        raise ConfigError(f"The part {folder} can't be read: {error}.") from error
    except (
        ContentError,
        msgspec.MsgspecError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:
        reason = printable(str(error), 300)
        raise ConfigError(f"The part {folder} can't be joined: {reason}. Make it again.") from error


def _decode(folder: Path) -> _Document:
    path = folder / PART
    if path.stat().st_size > _MAX_FILE or path.is_symlink() or not path.is_file():
        raise ContentError(f"{PART} is no file, or too large")
    value = msgspec.json.decode(path.read_bytes())
    version = value.get("format") if isinstance(value, dict) else None
    if version != FORMAT:
        raise ContentError(f"{PART} has the format of another version of cf-index")
    # Those of verdicts are checked as such: what a validator signed may have any text.
    _check_texts({key: item for key, item in value.items() if key != "rejections"})
    document = msgspec.convert(value, _Document)
    if not document.shares.keys() <= document.bases.keys() or not all(
        map(SUBDIR.fullmatch, document.bases)
    ):
        raise ContentError("its subdirs can't be")
    if document.report.subdirs.keys() != document.bases.keys():
        raise ContentError("its report is of other subdirs")
    for change in document.report.changes:
        if change.keys() != {"kind", "subdir", "file_name"} or change["kind"] not in _KINDS:
            raise ContentError("a change in its report can't be one")
    return document


def _check_texts(value: Any) -> None:
    """Raise ContentError for texts that act on a terminal, and for counts below nothing."""
    if isinstance(value, str) and not (value.isprintable() and len(value) <= _MAX_TEXT):
        raise ContentError(f"{value[:80]!r} can't be shown, or is too long")
    if isinstance(value, int | float) and not 0 <= value < 2**53:
        raise ContentError(f"{value} is no count")
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        _check_texts(item)
    if isinstance(value, dict):
        for key in value:
            _check_texts(key)


def _unsettled_bytes(document: _Document) -> bytes:
    return history.encode_unsettled({item[:3]: item[3] for item in document.unsettled})


def _share(folder: Path, scratch: Path, subdir: str, written: _Written) -> Share:
    """One share, its files copied. Raises ContentError where it isn't whole."""
    names = f"{history.FOLDER}/{subdir}/{summary.FILE_NAME}"
    index = f"{subdir}/{shards.INDEX_NAME}"
    plain, packed = f"{subdir}/{repodata.FILE_NAME}", f"{subdir}/{repodata.ZST_NAME}"
    paths = [plain, packed, names, index]
    if written.files.keys() != set(paths):
        raise ContentError(f"it lists other files of {subdir} than a subdir has")
    for path in paths[1:]:
        _copy(folder, scratch, path, written.files[path])
    _unpack(scratch / packed, scratch / plain, written.files[plain])
    _, hashes = shards.unpack_index((scratch / index).read_bytes())
    _check_counts(subdir, written, hashes)
    _copy_shards(folder, scratch, subdir, hashes)
    entry = SubdirEntry(
        records=written.records,
        names=written.names,
        shard_bytes=written.shard_bytes,
        files={path: written.files[path] for path in paths},
        rendering=written.rendering,
    )
    return Share(
        folder=scratch,
        subdir=subdir,
        entry=entry,
        count=written.count,
        shards=hashes,
        replaced=written.replaced,
        summaries=summary.decode_summaries((scratch / names).read_bytes()),
        recent=written.recent[: history.MAX_CHANGES],
    )


def _check_counts(subdir: str, written: _Written, hashes: Mapping[str, str]) -> None:
    """Raise ContentError where what is said of a share can't be, beside its shard index."""
    if written.names != len(hashes) or written.count.after != written.records:
        raise ContentError(f"its counts of {subdir} don't add up")
    if not all(map(_HASH.fullmatch, written.replaced)):
        raise ContentError(f"shards of {subdir} are called by what isn't a hash")
    for change in written.recent:
        history.check_change(change)
        if change.subdir != subdir:
            raise ContentError(f"a change of {subdir} is of {change.subdir}")


def _copy_shards(folder: Path, scratch: Path, subdir: str, hashes: Mapping[str, str]) -> None:
    for digest in set(hashes.values()):
        path = f"{subdir}/{shards.FOLDER}/{digest}{shards.SUFFIX}"
        # Of a shard that didn't change, the published site has the file.
        if (size := size_of(folder / path)) is None:
            continue
        if size > shards.MAX_SHARD:
            raise ContentError(f"{path} is larger than clients read")
        _copy(folder, scratch, path, FileEntry(digest, size))


def _unpack(packed: Path, plain: Path, listed: FileEntry) -> None:
    """Write what a compressed file holds, no more than it should. Raises ContentError."""
    left = listed.size
    try:
        with packed.open("rb") as source, zstd.reader(source) as reader, plain.open("xb") as file:
            while block := reader.read(min(_BLOCK, left + 1)):
                left -= file.write(block)
                if left < 0:
                    break
    except (zstd.zstd.ZstdError, EOFError) as error:
        raise ContentError(f"{packed.name} can't be unpacked: {error}") from error
    if left or not has_sha256(plain, listed.sha256):
        raise ContentError(f"{plain.name} isn't what the part lists")


def _copy(folder: Path, scratch: Path, path: str, listed: FileEntry) -> None:
    source, target = folder / path, scratch / path
    target.parent.mkdir(parents=True, exist_ok=True)
    is_same = source.stat().st_size == listed.size
    if is_same:
        shutil.copyfile(source, target, follow_symlinks=False)
    if not is_same or target.is_symlink() or not has_sha256(target, listed.sha256):
        raise ContentError(f"{path} isn't what the part lists")
