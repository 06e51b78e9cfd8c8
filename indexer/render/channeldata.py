"""channeldata.json (CEP 38): what a channel has, by package name."""

from __future__ import annotations

from collections.abc import Mapping

from indexer.channel.record import encode
from indexer.render.summary import NameSummary, newest_of

FILE_NAME = "channeldata.json"

# Required by CEP 38, and said by files in the archive that an indexer of a registry doesn't
# read (docs/decisions/0006-channeldata.md). No client acts on them.
_NOT_READ: dict[str, object] = {
    "activate.d": False,
    "binary_prefix": False,
    "deactivate.d": False,
    "post_link": False,
    "pre_link": False,
    "pre_unlink": False,
    "run_exports": {},
    "text_prefix": False,
}
# What CEP 38 calls what a package says of itself.
_ABOUT = {
    "summary": "summary",
    "home": "home",
    "dev_url": "source",
    "doc_url": "documentation",
}


def by_name(
    subdirs: Mapping[str, Mapping[str, NameSummary]],
) -> dict[str, dict[str, NameSummary]]:
    """Turn names by subdir into subdirs by name, both in order."""
    names: dict[str, dict[str, NameSummary]] = {}
    for subdir in sorted(subdirs):
        for name, summary in subdirs[subdir].items():
            names.setdefault(name, {})[subdir] = summary
    return dict(sorted(names.items()))


def render_channeldata(subdirs: Mapping[str, Mapping[str, NameSummary]]) -> bytes:
    """The file's bytes, one name a line."""
    head = {"channeldata_version": 1, "subdirs": sorted(subdirs)}
    lines = [
        encode(name) + b":" + encode(_package(found)) for name, found in by_name(subdirs).items()
    ]
    packages = b'"packages":{\n' + b",\n".join(lines) + b"\n}"
    return encode(head)[:-1] + b",\n" + packages + b"\n}\n"


def _package(found: Mapping[str, NameSummary]) -> dict[str, object]:
    latest = newest_of(found.values())
    fields: dict[str, object] = {
        **_NOT_READ,
        "subdirs": list(found),
        # Seconds, unlike a record's milliseconds (CEP 38, changelog of 2026-06-08).
        "timestamp": max(item.timestamp for item in found.values()),
        "version": latest.version,
    }
    if latest.license is not None:
        fields["license"] = latest.license
    about = latest.about.as_dict()
    return fields | {key: about[field] for key, field in _ABOUT.items() if field in about}
