"""Where a channel has its indexes: which subdirs it has, in which forms, and a shard's bytes."""

from __future__ import annotations

import contextlib
import hashlib

import orjson

from indexer.channel.index_json import SUBDIR
from indexer.channel.selection import KNOWN_SUBDIRS
from indexer.errors import ConfigError, ContentError, RefusedError
from indexer.published import Folder, Published, is_path, read_bytes, read_place
from indexer.registry.urls import shown
from indexer.render import channeldata, history, repodata, shards

# The best one first: of a sharded index only what is wanted is read.
FORMS = (shards.INDEX_NAME, repodata.ZST_NAME, repodata.FILE_NAME)
_MAX_CHANNELDATA = 256 * 1024 * 1024


def subdirs_of(channel: Published) -> tuple[str, ...]:
    """The subdirs of a channel in a folder; those to ask for at an address, which doesn't say."""
    if not isinstance(channel, Folder):
        return KNOWN_SUBDIRS
    found = {path.parent.name for form in FORMS for path in channel.root.glob(f"*/{form}")}
    return tuple(sorted(name for name in found if SUBDIR.fullmatch(name)))


def possible_subdirs(channel: Published) -> set[str]:
    """Every subdir that a channel may have: it may lack some of those it is to be asked for.

    In a folder those that are there; of a site of ours what it says itself; at an address what
    its channeldata.json says, and all that are known. Raises RegistryError.
    """
    if isinstance(channel, Folder):
        return set(subdirs_of(channel))
    # Where one file is damaged or refused, the next tells; whether it is sound `check` says.
    with contextlib.suppress(ContentError, ConfigError, RefusedError):
        data = read_bytes(channel, history.SNAPSHOT, history.MAX_FILE)
        if data is not None:
            return {"noarch", *history.decode_snapshot(data).subdirs}
    found = set(KNOWN_SUBDIRS)
    with contextlib.suppress(ContentError, RefusedError):
        found |= listed_subdirs(channel) or set()
    return {name for name in found if SUBDIR.fullmatch(name)}


def listed_subdirs(channel: Published) -> set[str] | None:
    """What channeldata.json says; None where there is none. Raises ContentError for a bad one."""
    data = read_bytes(channel, channeldata.FILE_NAME, _MAX_CHANNELDATA)
    if data is None:
        return None
    try:
        listed = orjson.loads(data)["subdirs"]
        return {item for item in listed if isinstance(item, str) and is_path(item)}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ContentError(f"has no list of subdirs ({error!r})") from error


def read_shard(channel: Published, base: str, digest: str) -> bytes:
    """A shard's file, as it is compressed; ``base`` is what ``resolve`` gives.

    Raises ContentError where it is missing or isn't that of this sha256 (hex), RegistryError
    where it can't be had.
    """
    place = f"{base}{digest}{shards.SUFFIX}"
    data = read_place(channel, place, shards.MAX_SHARD)
    if data is None:
        raise ContentError(f"{shown(place)} is missing")
    if hashlib.sha256(data).hexdigest() != digest:
        raise ContentError(f"{shown(place)} doesn't have its sha256")
    return data
