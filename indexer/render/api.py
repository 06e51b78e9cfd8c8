"""The JSON API's files of the whole channel, and what the search page reads.

Those of one name are in ``package_files``.

Each has a JSON Schema, in ``site_templates/schemas/``, that is published beside it. What is
written here stays readable: fields may be added, none goes or changes its meaning (v1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import orjson

from indexer.channel.record import encode
from indexer.render import repodata, shards
from indexer.render.history import ChangeEntry
from indexer.render.pages import Channel, Row

FOLDER = "api/v1"
SEARCH = "search/names.json"
# Of a summary; what is searched through is read by every visitor who searches.
_SEARCHED = 100


def draw_api(channel: Channel) -> dict[str, bytes]:
    """The API's files of the whole channel, by path."""
    files = {
        f"{FOLDER}/channel.json": _channel(channel),
        f"{FOLDER}/changes.json": _changes(channel.changes),
    }
    if channel.detail.lists:
        files[f"{FOLDER}/packages.json"] = _packages(channel.rows)
        files[SEARCH] = _search(channel.rows)
    return files


def _search(rows: Iterable[Row]) -> bytes:
    """What the search page looks through: names, versions and the beginnings of summaries."""
    lines = [encode([row.name, row.version, row.summary[:_SEARCHED]]) for row in rows]
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def _channel(channel: Channel) -> bytes:
    info = channel.info
    subdirs = {
        subdir: {
            "builds": builds,
            "names": names,
            "repodata": f"{subdir}/{repodata.FILE_NAME}",
            "repodata_zst": f"{subdir}/{repodata.ZST_NAME}",
            "shards": f"{subdir}/{shards.INDEX_NAME}",
        }
        for subdir, (builds, names) in channel.counts.items()
    }
    document = {
        "channel": info.channel,
        "site": info.site_url or None,
        "gateway": info.gateway_url or None,
        "registry": info.registry,
        "blobs": {"oci": info.blobs.oci, "https": info.blobs.https} if info.blobs else None,
        "installs_by": info.installs,
        "policy": info.policy,
        "validated_only": info.validated_only,
        "detail": channel.detail.level,
        "builds": sum(builds for builds, _ in channel.counts.values()),
        "names": len(channel.rows),
        "subdirs": subdirs,
    }
    return orjson.dumps(
        document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def _packages(rows: Iterable[Row]) -> bytes:
    lines = [encode(row.name) + b":" + encode(_package(row)) for row in rows]
    return b'{"packages":{\n' + b",\n".join(lines) + b"\n}}\n"


def _package(row: Row) -> Mapping[str, object]:
    return {
        "version": row.version,
        "summary": row.summary or None,
        "builds": row.builds,
        "subdirs": row.subdirs,
    }


def _changes(changes: Sequence[ChangeEntry]) -> bytes:
    lines = []
    for change in changes:
        fields = asdict(change)
        fields["file"] = fields.pop("file_name")
        lines.append(encode(fields))
    return b'{"changes":[\n' + b",\n".join(lines) + b"\n]}\n"
