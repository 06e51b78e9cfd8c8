"""What ``history/rejections.json`` holds: every "no" that was once seen.

Deleting a verdict from the registry would otherwise bring the package back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from indexer.channel.index_json import SUBDIR
from indexer.errors import ContentError, printable
from indexer.registry.content import Digest
from indexer.trust.judging import Held
from indexer.trust.verdict import Verdict


def remember(known: Iterable[Held], seen: Iterable[Held]) -> list[Held]:
    """What is known together with what was seen now; of each archive the last "no", in order."""
    latest: dict[tuple[str, str, str], Held] = {}
    for item in (*known, *seen):
        verdict = item.verdict
        if verdict.passed:
            continue
        key = (verdict.subdir, verdict.file_name, verdict.archive.hex)
        if key not in latest or _order(latest[key]) < _order(item):
            latest[key] = Held(verdict, item.key_id)
    return [latest[key] for key in sorted(latest)]


def _order(item: Held) -> tuple[datetime, str, str]:
    # Of several of the same time the same one is kept, whichever was listed first.
    return item.verdict.time, item.verdict.reason, item.key_id


def encode_rejections(rejections: Iterable[Held]) -> bytes:
    """The file's bytes, one rejection a line."""
    lines = [
        orjson.dumps(
            {
                "subdir": item.verdict.subdir,
                "file_name": item.verdict.file_name,
                "sha256": item.verdict.archive.hex,
                "index_json": item.verdict.index_json.hex,
                "time": item.verdict.time.astimezone(UTC).isoformat(),
                "verifier": item.verdict.verifier,
                "policy": item.verdict.policy,
                "reason": item.verdict.reason,
                "key": item.key_id,
            },
            option=orjson.OPT_SORT_KEYS,
        )
        for item in rejections
    ]
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def decode_rejections(data: bytes) -> list[Held]:
    """Read what ``encode_rejections`` wrote. Raises ContentError."""
    try:
        items = orjson.loads(data)
        if not isinstance(items, list):
            raise TypeError("no list")  # noqa: TRY301  an empty map isn't an empty list
        return [_held(item) for item in items]
    except (KeyError, TypeError, ValueError, OverflowError, ContentError) as error:
        reason = printable(f"{type(error).__name__}: {error}", 300)
        raise ContentError(f"the list of rejections can't be read: {reason}") from error


def _held(item: dict[str, Any]) -> Held:
    texts = {
        key: _text(item[key]) for key in ("subdir", "file_name", "verifier", "policy", "reason")
    }
    time = datetime.fromisoformat(item["time"])
    if time.tzinfo is None or not SUBDIR.fullmatch(texts["subdir"]):
        raise ValueError("a rejection that was altered")
    verdict = Verdict(
        subdir=texts["subdir"],
        file_name=texts["file_name"],
        verifier=texts["verifier"],
        policy=texts["policy"],
        reason=texts["reason"],
        archive=Digest.parse(f"sha256:{_text(item['sha256'])}"),
        index_json=Digest.parse(f"sha256:{_text(item['index_json'])}"),
        passed=False,
        time=time.astimezone(UTC),
    )
    return Held(verdict, _text(item["key"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a rejection that was altered")
    return value
