"""Plain verdicts and statements that tests start from, and change in one place."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from securesystemslib.dsse import Envelope

from indexer.registry.content import Digest
from indexer.trust.envelope import PAYLOAD_TYPE
from indexer.trust.judging import Held
from indexer.trust.keys import load_signer
from indexer.trust.verdict import Verdict, encode_statement
from tests.support.validator import Validator

FILE = "alpha-1.0-h1_0.conda"
ARCHIVE, OTHER_ARCHIVE = Digest.of(b"archive"), Digest.of(b"another archive")
INDEX_JSON, OTHER_INDEX_JSON = Digest.of(b"index.json"), Digest.of(b"another index.json")
NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

VERDICT = Verdict(
    subdir="linux-64",
    file_name=FILE,
    archive=ARCHIVE,
    index_json=INDEX_JSON,
    passed=True,
    time=NOON,
    verifier="urn:test:validator",
    policy="urn:test:policy",
)


def verdict(**changes: Any) -> Verdict:
    return replace(VERDICT, **changes)


def held(*, tag: str = "a-tag", **changes: Any) -> Held:
    """A verdict that counts, by some key."""
    return Held(verdict(**changes), "0123456789abcdef0123", tag)


def statement(change: Callable[[dict[str, Any]], Any] = lambda _: None) -> bytes:
    """A sound statement, after somebody had his hands on it."""
    document: dict[str, Any] = orjson.loads(encode_statement(VERDICT))
    change(document)
    return orjson.dumps(document)


def predicate(**changes: Any) -> bytes:
    """A sound statement but for these fields of its predicate; None takes one out."""

    def change(document: dict[str, Any]) -> None:
        for key, value in changes.items():
            if value is None:
                del document["predicate"][key]
            else:
                document["predicate"][key] = value

    return statement(change)


def signed(payload: bytes, *validators: Validator, kind: str = PAYLOAD_TYPE) -> bytes:
    """An envelope around any payload, honestly signed by these."""
    envelope = Envelope(payload, kind, {})
    for validator in validators:
        envelope.sign(load_signer(validator.private))
    return orjson.dumps(envelope.to_dict())


def altered(envelope: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """An envelope, after somebody who can't sign had his hands on it."""
    document: dict[str, Any] = orjson.loads(envelope)
    change(document)
    return orjson.dumps(document)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
