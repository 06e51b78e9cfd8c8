"""Signed statements: DSSE envelopes (https://github.com/secure-systems-lab/dsse) with Ed25519."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, Signature

from indexer.errors import ContentError, printable
from indexer.trust.keys import Keyring, TrustedKey, short_id
from indexer.trust.verdict import Verdict, decode_statement, encode_statement

PAYLOAD_TYPE = "application/vnd.in-toto+json"
# One of a verdict has less than 2 kB.
MAX_ENVELOPE = 64 * 1024
_MAX_SIGNATURES = 8
_UNNAMED = "somebody unnamed"


@dataclass(frozen=True, slots=True)
class Signed:
    """A verdict and the id of the key that it was found to be signed with."""

    verdict: Verdict
    key_id: str


def sign(verdict: Verdict, signer: CryptoSigner) -> bytes:
    """The envelope's bytes. Raises ContentError for what would count for nothing as a verdict."""
    payload = encode_statement(verdict)
    decode_statement(payload)
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    data = orjson.dumps(envelope.to_dict())
    _check_size(data)
    return data


def open_envelope(data: bytes, keyring: Keyring) -> Signed:
    """A verdict by one of these keys. Raises ContentError for all else, with the reason.

    A key's id in an envelope is a hint of whoever wrote it: every key is tried.
    """
    envelope = _parse(data)
    verdict, refusals = None, []
    for key in _signers(envelope, keyring):
        # Only now: what nobody signed isn't worth being understood.
        verdict = verdict or decode_statement(envelope.payload)
        refusal = _refusal(verdict, key)
        if refusal is None:
            return Signed(verdict, str(key.key.keyid))
        refusals.append(refusal)
    raise ContentError(refusals[0] if refusals else _unsigned(envelope, keyring))


def _check_size(data: bytes) -> None:
    if len(data) > MAX_ENVELOPE:
        raise ContentError(f"its envelope has {len(data)} bytes (at most {MAX_ENVELOPE})")


def peek(data: bytes) -> tuple[Verdict, str]:
    """What an envelope says, and the id of the key that it names first: nothing of it is checked.

    For showing alone. Raises ContentError where it isn't one of a verdict.
    """
    envelope = _parse(data)
    named = [str(key_id) for key_id in envelope.signatures]
    return decode_statement(envelope.payload), named[0] if named else ""


def _parse(data: bytes) -> Envelope:
    _check_size(data)
    try:
        document: Any = orjson.loads(data)
        kind, signatures = document["payloadType"], document["signatures"]
        if len(signatures) > _MAX_SIGNATURES:
            raise ContentError(f"its envelope has more than {_MAX_SIGNATURES} signatures")
        for number, signature in enumerate(signatures):
            # DSSE lets it out, the library doesn't, and tells signatures apart by it.
            signature["keyid"] = signature.get("keyid") or f"{_UNNAMED} {number}"
        envelope = Envelope.from_dict(document)
    except (KeyError, TypeError, ValueError, AttributeError, FormatError) as error:
        raise ContentError("it is no DSSE envelope") from error
    # What isn't text may be nested deeper than Python could print.
    if not isinstance(kind, str):
        raise ContentError("it is no DSSE envelope: its payloadType is no text")
    if kind != PAYLOAD_TYPE:
        raise ContentError(f"its payload has type {printable(kind, 100)!r}, not {PAYLOAD_TYPE!r}")
    return envelope


def _signers(envelope: Envelope, keyring: Keyring) -> Iterator[TrustedKey]:
    """The trusted keys that signed it, those first whose ids it names."""
    signed = envelope.pae()
    for key in sorted(keyring.keys, key=lambda key: key.key.keyid not in envelope.signatures):
        for signature in envelope.signatures.values():
            try:
                # By its own id, since the library compares them first.
                own = Signature(str(key.key.keyid), signature.signature)
                key.key.verify_signature(own, signed)
            except UnverifiedSignatureError:
                continue
            yield key
            break


def _unsigned(envelope: Envelope, keyring: Keyring) -> str:
    """What to say of an envelope that no trusted key signed."""
    named = [str(key_id) for key_id in envelope.signatures]
    known = {str(key.key.keyid) for key in keyring.keys} & set(named)
    if known:
        return f"its signature isn't that of the key {short_id(min(known))}"
    who = printable(short_id(named[0]), 80) if named else "nobody"
    return f"it is signed by {who}, no trusted key"


def _refusal(verdict: Verdict, key: TrustedKey) -> str | None:
    """Why a key's word doesn't count here; None where it does.

    Its times are for letting something in: a no counts whatever its date.
    """
    file = key.file
    if file.verifier is not None and verdict.verifier != file.verifier:
        return f"its verifier is {printable(verdict.verifier, 200)}, not that of the key {key.name}"
    if not verdict.passed:
        return None
    if file.not_before is not None and verdict.time < file.not_before:
        return f"it is dated {verdict.time}, before the key {key.name} counts"
    if file.not_after is not None and verdict.time > file.not_after:
        return f"it is dated {verdict.time}, when the key {key.name} counted no more"
    return None
