"""Takes a subdir's index over from a site: checked by the snapshot, made fit for this address.

Packages are at ``<this address>/<subdir>/<file name>``. With no base_url every client looks for
them there, in both forms of the index (what works with which is in docs/gateway.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import ContentError
from indexer.files import sha256_of
from indexer.gateway.channel.sites import Site
from indexer.gateway.found import LocalFile
from indexer.gateway.types import media_type
from indexer.published.rewriting import rebase
from indexer.render import repodata, shards
from indexer.render.history import FileEntry, SubdirEntry
from indexer.render.zstd import reader, zstd

FILES = (repodata.FILE_NAME, repodata.ZST_NAME, shards.INDEX_NAME)
# A new build is to be found as soon as it is published. mamba knows max-age alone: without one it
# asks again after an hour.
CACHE = "no-cache, max-age=0"
_MAX_PLAIN = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class SubdirIndex:
    """A subdir's files by name, its shards' hashes (hex) by package name, and what it came from."""

    files: Mapping[str, LocalFile]
    shards: Mapping[str, str]
    entry: SubdirEntry


def take(
    site: Site, subdir: str, entry: SubdirEntry, base_url: str | None, folder: Path
) -> SubdirIndex:
    """Copy a subdir's index into an empty folder, with this base_url or none.

    Raises ContentError where it isn't what the snapshot lists, RegistryError where it can't be had.
    """
    listed = {name: entry.files.get(f"{subdir}/{name}") for name in FILES}
    lacking = [name for name, file in listed.items() if file is None]
    if lacking:
        raise ContentError(f"the snapshot lists no {', '.join(lacking)} for {subdir}")
    given = {name: file for name, file in listed.items() if file is not None}
    index = folder / shards.INDEX_NAME
    site.copy(f"{subdir}/{index.name}", given[index.name], index)
    info, hashes = shards.unpack_index(index.read_bytes())
    if info["subdir"] != subdir or info["shards_base_url"].strip("./") != shards.FOLDER:
        raise ContentError(f"{subdir}/{index.name} isn't that of a site of cf-index")
    packed = folder / repodata.ZST_NAME
    site.copy(f"{subdir}/{packed.name}", given[packed.name], packed)
    plain = folder / repodata.FILE_NAME
    _unpack(packed, plain, given[plain.name])
    if info["base_url"] != (base_url or ""):
        source = plain.rename(folder / "as-published.json")
        packed.unlink()
        rebase(source, folder, subdir, base_url)
        source.unlink()
        index.write_bytes(shards.pack_index(subdir, base_url, hashes))
    return SubdirIndex({name: _file(folder / name) for name in FILES}, hashes, entry)


def _unpack(packed: Path, plain: Path, entry: FileEntry) -> None:
    """repodata.json out of its .zst, which is a tenth to fetch."""
    if entry.size > _MAX_PLAIN:
        raise ContentError(f"{plain.name} has more than {_MAX_PLAIN} bytes")
    try:
        with packed.open("rb") as raw, reader(raw) as stream, plain.open("wb") as file:
            left = entry.size + 1
            while left and (chunk := stream.read(min(1 << 20, left))):
                file.write(chunk)
                left -= len(chunk)
    except (zstd.ZstdError, EOFError) as error:
        raise ContentError(f"{packed.name} can't be unpacked: {error}") from error
    if sha256_of(plain) != entry.sha256:
        raise ContentError(f"{packed.name} doesn't hold what {plain.name} is")


def _file(path: Path) -> LocalFile:
    return LocalFile(path, path.stat().st_size, sha256_of(path), media_type(path.name), CACHE)
