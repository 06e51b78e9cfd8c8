"""Signed verdicts: whoever holds no trusted key can make none, and stops nobody by trying."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from securesystemslib.signer import Signature

from indexer.errors import ContentError
from indexer.trust.envelope import MAX_ENVELOPE, PAYLOAD_TYPE, Signed, open_envelope, peek
from indexer.trust.keys import KeyFile, Keyring, load_keyring, load_signer
from indexer.trust.verdict import encode_statement
from tests.registry.help import STEADY
from tests.support.validator import Validator
from tests.trust.help import (
    HOUR,
    NOON,
    OTHER_ARCHIVE,
    VERDICT,
    altered,
    b64,
    predicate,
    signed,
    statement,
    verdict,
)
from tests.trust.test_verdict import JSON, VERDICTS


def id_of(validator: Validator) -> str:
    return str(load_signer(validator.private).public_key.keyid)


def test_a_verdict_is_known_by_its_key(validator: Validator, stranger: Validator) -> None:
    found = open_envelope(validator.sign(VERDICT), validator.keyring)
    assert found == Signed(VERDICT, id_of(validator))
    both = load_keyring([stranger.file, validator.file])
    assert open_envelope(validator.sign(VERDICT), both) == found


@given(said=VERDICTS)
@STEADY
def test_any_verdict_survives_being_signed(validator: Validator, said: Any) -> None:
    assert open_envelope(validator.sign(said), validator.keyring).verdict == said


def test_the_envelope_is_what_dsse_says(validator: Validator) -> None:
    document = json.loads(validator.sign(VERDICT))
    assert document.keys() == {"payload", "payloadType", "signatures"}
    assert document["payloadType"] == "application/vnd.in-toto+json"
    assert document["payload"] == b64(encode_statement(VERDICT))
    (signature,) = document["signatures"]
    assert signature.keys() == {"keyid", "sig"}


def test_what_would_count_for_nothing_is_not_signed(validator: Validator) -> None:
    for changes in (
        {"verifier": ""},
        {"subdir": "../.."},
        {"file_name": "x" * 2000 + "-1-0.conda"},
        {"reason": "x" * MAX_ENVELOPE},
    ):
        with pytest.raises(ContentError):
            validator.sign(verdict(**changes))


# Who signed


def test_a_stranger_is_named_as_one(validator: Validator, stranger: Validator) -> None:
    with pytest.raises(ContentError, match=f"signed by {id_of(stranger)[:16]}, no trusted key"):
        open_envelope(stranger.sign(VERDICT), validator.keyring)


def test_nobody_is_trusted_where_no_key_is(validator: Validator) -> None:
    with pytest.raises(ContentError, match="no trusted key"):
        open_envelope(validator.sign(VERDICT), Keyring())


def test_a_stranger_who_gives_a_trusted_id_is_none_the_less_one(
    validator: Validator, stranger: Validator
) -> None:
    lie = altered(
        stranger.sign(VERDICT), lambda found: found["signatures"][0].update(keyid=id_of(validator))
    )
    with pytest.raises(ContentError, match=f"isn't that of the key {id_of(validator)[:16]}"):
        open_envelope(lie, validator.keyring)


@pytest.mark.parametrize("key_id", ["", "another", 7, None, 1.5, True])
def test_a_key_id_is_a_hint_and_no_more(validator: Validator, key_id: Any) -> None:
    envelope = altered(
        validator.sign(VERDICT), lambda found: found["signatures"][0].update(keyid=key_id)
    )
    assert open_envelope(envelope, validator.keyring).key_id == id_of(validator)


def test_a_key_id_may_be_left_out(validator: Validator) -> None:
    envelope = altered(validator.sign(VERDICT), lambda found: found["signatures"][0].pop("keyid"))
    assert open_envelope(envelope, validator.keyring).verdict == VERDICT


def test_several_key_ids_may_be_left_out(validator: Validator, stranger: Validator) -> None:
    def forget(found: Any) -> None:
        for signature in found["signatures"]:
            del signature["keyid"]

    envelope = altered(signed(statement(), stranger, validator), forget)
    assert open_envelope(envelope, validator.keyring).verdict == VERDICT


def test_one_of_several_signatures_is_enough(validator: Validator, stranger: Validator) -> None:
    envelope = signed(statement(), stranger, validator)
    assert open_envelope(envelope, validator.keyring) == Signed(VERDICT, id_of(validator))
    assert open_envelope(envelope, stranger.keyring) == Signed(VERDICT, id_of(stranger))


def test_the_key_that_an_envelope_names_is_tried_first(
    validator: Validator, stranger: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = load_keyring([stranger.file, validator.file])
    tried = []
    kind = type(ring.keys[0].key)
    verify = kind.verify_signature

    def count(self: Any, signature: Signature, data: bytes) -> None:
        tried.append(self.keyid)
        verify(self, signature, data)

    monkeypatch.setattr(kind, "verify_signature", count)
    open_envelope(validator.sign(VERDICT), ring)
    assert tried == [id_of(validator)]


# What was signed


def test_a_payload_swapped_after_signing_counts_for_nothing(validator: Validator) -> None:
    yes, no = validator.sign(VERDICT), validator.sign(verdict(passed=False))
    for one, other in ((yes, no), (no, yes)):
        mixed = orjson.dumps({**json.loads(one), "payload": json.loads(other)["payload"]})
        with pytest.raises(ContentError, match="its signature isn't that of the key"):
            open_envelope(mixed, validator.keyring)


def test_what_was_signed_as_something_else_is_no_verdict(validator: Validator) -> None:
    text = signed(statement(), validator, kind="text/plain")
    with pytest.raises(ContentError, match="payload has type 'text/plain', not"):
        open_envelope(text, validator.keyring)
    passed_off = altered(text, lambda found: found.update(payloadType=PAYLOAD_TYPE))
    with pytest.raises(ContentError, match="its signature isn't that of the key"):
        open_envelope(passed_off, validator.keyring)


def test_the_bare_payload_signed_is_no_envelope(validator: Validator) -> None:
    # Without DSSE's own encoding around it, type and payload could be told apart in two ways.
    bare = load_signer(validator.private).sign(statement()).to_dict()
    raw = altered(
        validator.sign(VERDICT),
        lambda found: found["signatures"][0].update(sig=b64(bytes.fromhex(bare["sig"]))),
    )
    with pytest.raises(ContentError, match="its signature isn't that of the key"):
        open_envelope(raw, validator.keyring)


def test_a_trusted_key_that_signs_nonsense_is_told_why_it_counts_for_nothing(
    validator: Validator,
) -> None:
    for payload, reason in (
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 30_000, "not JSON"),
        (b"[]", "no proper _type"),
        (predicate(timeVerified="soon"), "timeVerified"),
    ):
        with pytest.raises(ContentError, match=reason):
            open_envelope(signed(payload, validator), validator.keyring)


def test_what_nobody_signed_is_not_looked_into(validator: Validator, stranger: Validator) -> None:
    with pytest.raises(ContentError, match="no trusted key"):
        open_envelope(signed(b"[" * 30_000, stranger), validator.keyring)


@given(data=st.data())
@STEADY
def test_no_flipped_byte_makes_another_verdict(validator: Validator, data: st.DataObject) -> None:
    envelope = bytearray(validator.sign(VERDICT))
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] ^= data.draw(st.integers(1, 255))
    try:
        found = open_envelope(bytes(envelope), validator.keyring)
    except ContentError:
        return
    # Its key id, a name that nobody reads, or the spare bits at the end of base64.
    assert found == Signed(VERDICT, id_of(validator))


def test_every_bit_of_payload_and_signature_counts(validator: Validator) -> None:
    document = json.loads(validator.sign(VERDICT))
    payload = bytearray(statement())
    for place in range(0, len(payload), 7):
        payload[place] ^= 1
        with pytest.raises(ContentError):
            open_envelope(
                orjson.dumps({**document, "payload": b64(bytes(payload))}), validator.keyring
            )
        payload[place] ^= 1


# What is no envelope


@given(value=JSON)
@STEADY
def test_any_json_is_an_envelope_or_a_content_error(validator: Validator, value: Any) -> None:
    with pytest.raises(ContentError):
        open_envelope(json.dumps(value).encode(), validator.keyring)


@given(
    payload=JSON,
    kind=JSON | st.just(PAYLOAD_TYPE),
    signatures=JSON | st.lists(st.dictionaries(st.sampled_from(["keyid", "sig", "x"]), JSON)),
)
@example(payload="e30=", kind=PAYLOAD_TYPE, signatures=[{"sig": "AA==", "keyid": "a"}] * 2)
@example(payload="e30=", kind=PAYLOAD_TYPE, signatures={"sig": "AA=="})
@example(payload="e30=", kind=PAYLOAD_TYPE, signatures="sig")
@STEADY
def test_the_parts_of_an_envelope_may_be_anything(
    validator: Validator, payload: Any, kind: Any, signatures: Any
) -> None:
    document = {"payload": payload, "payloadType": kind, "signatures": signatures}
    for read in (peek, lambda found: open_envelope(found, validator.keyring)):
        with pytest.raises(ContentError):
            read(json.dumps(document).encode())


def test_what_nobody_vouches_for_can_be_looked_at(stranger: Validator) -> None:
    assert peek(stranger.sign(VERDICT)) == (VERDICT, id_of(stranger))
    assert peek(altered(stranger.sign(VERDICT), lambda found: found["signatures"].clear())) == (
        VERDICT,
        "",
    )
    for payload in (b"", b"[" * 30_000, predicate(resourceUri="pkg:conda/" + "%" * 99)):
        with pytest.raises(ContentError):
            peek(signed(payload, stranger))


@given(data=st.binary(max_size=200))
@STEADY
def test_any_bytes_are_an_envelope_or_a_content_error(validator: Validator, data: bytes) -> None:
    with pytest.raises(ContentError):
        open_envelope(data, validator.keyring)


@pytest.mark.parametrize("depth", [100, 900, 1000, 1023, 1024, 30_000])
@pytest.mark.parametrize(
    "around",
    [
        b'{"payload":"","payloadType":%b,"signatures":[]}',
        b'{"payload":%b,"payloadType":"x","signatures":[]}',
        b'{"payload":"","payloadType":"x","signatures":%b}',
        b'{"payload":"","payloadType":"x","signatures":[{"keyid":%b,"sig":""}]}',
        b'{"payload":"","payloadType":"x","signatures":[{"keyid":"","sig":%b}]}',
        b'{"payload":"","payloadType":"x","signatures":[{"keyid":"","sig":"","x":%b}]}',
        b"%b",
    ],
)
def test_depth_stops_nobody(validator: Validator, around: bytes, depth: int) -> None:
    # Of more than a thousand levels Python prints none, and a message about them would end a run.
    with pytest.raises(ContentError):
        open_envelope(around % (b"[" * depth + b"]" * depth), validator.keyring)


ENVELOPES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda found: found.pop("payload"), "no DSSE envelope"),
    (lambda found: found.pop("payloadType"), "no DSSE envelope"),
    (lambda found: found.pop("signatures"), "no DSSE envelope"),
    (lambda found: found["signatures"].clear(), "signed by nobody"),
    (lambda found: found["signatures"][0].pop("sig"), "no DSSE envelope"),
    (lambda found: found["signatures"][0].update(sig="%%%"), "no DSSE envelope"),
    (lambda found: found["signatures"][0].update(sig="AAA"), "no DSSE envelope"),
    (lambda found: found["signatures"][0].update(sig=""), "isn't that of the key"),
    (lambda found: found["signatures"][0].update(sig=b64(bytes(64))), "isn't that of the key"),
    (lambda found: found["signatures"][0].update(sig=b64(bytes(65))), "isn't that of the key"),
    (lambda found: found["signatures"].append(found["signatures"][0]), "no DSSE envelope"),
    (lambda found: found.update(payload="ÿ"), "no DSSE envelope"),
    (lambda found: found.update(payload=found["payload"] + "\n"), "no DSSE envelope"),
    (lambda found: found.update(payloadType=["x"]), "payloadType is no text"),
    (lambda found: found.update(payloadType="\x1b[2J"), r"type '\\\\x1b\[2J'"),
    (
        lambda found: found.update(signatures=[{"keyid": str(n), "sig": ""} for n in range(9)]),
        "more than 8 signatures",
    ),
    (lambda found: found.update(signatures=[{"keyid": "\n\x1b" * 99, "sig": ""}]), "signed by "),
]


@pytest.mark.parametrize(("change", "reason"), ENVELOPES)
def test_broken_envelopes_say_what_is_wrong(
    validator: Validator, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    with pytest.raises(ContentError, match=reason) as caught:
        open_envelope(altered(validator.sign(VERDICT), change), validator.keyring)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_field_that_comes_twice_is_verified_as_it_is_read(validator: Validator) -> None:
    # JSON lets either be taken; both sides of the check must take the same.
    good = validator.sign(VERDICT)
    evil = b64(encode_statement(verdict(archive=OTHER_ARCHIVE)))
    before = b'{"payload":"' + evil.encode() + b'",' + good[1:]
    assert open_envelope(before, validator.keyring).verdict == VERDICT
    behind = good[:-1] + b',"payload":"' + evil.encode() + b'"}'
    with pytest.raises(ContentError, match="its signature isn't that of the key"):
        open_envelope(behind, validator.keyring)


def test_an_envelope_has_a_largest_size(validator: Validator) -> None:
    envelope = validator.sign(VERDICT)
    padded = envelope + b" " * (MAX_ENVELOPE - len(envelope))
    assert open_envelope(padded, validator.keyring).verdict == VERDICT
    with pytest.raises(ContentError, match="65537 bytes"):
        open_envelope(padded + b" ", validator.keyring)


def test_the_longest_verdict_that_can_be_signed_is_not_too_large(validator: Validator) -> None:
    said = verdict(verifier="\x01" * 1000, policy="\x01" * 1000, reason="\U0001f4a9" * 5000)
    data = validator.sign(said)
    assert len(data) <= MAX_ENVELOPE
    assert open_envelope(data, validator.keyring).verdict.reason.startswith("\U0001f4a9" * 1000)


# Limits of a key


def limited(validator: Validator, **limits: Any) -> Keyring:
    return load_keyring([KeyFile(path=validator.public, **limits)])


TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (NOON - TICK, "before the key"),
        (NOON, None),
        (NOON + HOUR, None),
        (NOON + HOUR + TICK, "counted no more"),
    ],
)
def test_a_yes_counts_where_it_is_dated_within_its_keys_times(
    validator: Validator, time: Any, reason: str | None
) -> None:
    ring = limited(validator, not_before=NOON, not_after=NOON + HOUR)
    envelope = validator.sign(verdict(time=time))
    if reason is None:
        assert open_envelope(envelope, ring).verdict.time == time
    else:
        with pytest.raises(ContentError, match=reason):
            open_envelope(envelope, ring)


@pytest.mark.parametrize("time", [NOON - HOUR, NOON + 2 * HOUR])
def test_a_no_counts_whatever_its_date(validator: Validator, time: Any) -> None:
    ring = limited(validator, not_before=NOON, not_after=NOON + HOUR)
    said = verdict(time=time, passed=False)
    assert open_envelope(validator.sign(said), ring).verdict == said


@pytest.mark.parametrize("passed", [True, False])
def test_a_key_speaks_for_its_own_verifier_alone(validator: Validator, *, passed: bool) -> None:
    ring = limited(validator, verifier="urn:test:validator")
    said = verdict(passed=passed)
    assert open_envelope(validator.sign(said), ring).verdict == said
    other = verdict(passed=passed, verifier="urn:test:validator\x1b")
    with pytest.raises(ContentError, match=r"verifier is urn:test:validator\\x1b, not that"):
        open_envelope(validator.sign(other), ring)


def test_where_one_key_has_run_out_another_that_signed_too_still_counts(
    validator: Validator, stranger: Validator
) -> None:
    envelope = signed(statement(), validator, stranger)
    old = KeyFile(path=validator.public, not_after=NOON - HOUR)
    for files in ([old, stranger.file], [stranger.file, old]):
        assert open_envelope(envelope, load_keyring(files)).key_id == id_of(stranger)


def test_a_key_made_anew_under_an_old_name_is_another_one(
    validator: Validator, tmp_path: Path
) -> None:
    again = Validator(tmp_path, validator.name)
    with pytest.raises(ContentError, match="no trusted key"):
        open_envelope(validator.sign(VERDICT), again.keyring)
