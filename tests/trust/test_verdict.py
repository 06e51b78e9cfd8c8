"""What a validator says, as a statement and back; whatever isn't one is a ContentError."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.errors import ContentError
from indexer.registry.content import Digest
from indexer.trust.verdict import (
    REASON,
    Verdict,
    decode_statement,
    encode_statement,
    purl_of,
)
from tests.registry.help import STEADY
from tests.trust.help import ARCHIVE, FILE, NOON, VERDICT, predicate, statement, verdict

PURL = "pkg:conda/alpha@1.0?build=h1_0&subdir=linux-64&type=conda"

# CEP 26, as indexer/channel/index_json.py has them.
NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,20}", fullmatch=True)
VERSIONS = st.from_regex(r"[a-zA-Z0-9_.+!]{1,20}", fullmatch=True)
BUILDS = st.from_regex(r"[a-zA-Z0-9_.+]{1,20}", fullmatch=True)
SUBDIRS = st.from_regex(r"noarch|[a-z0-9]{1,8}-[a-z0-9]{1,8}", fullmatch=True)
DIGESTS = st.binary(max_size=4).map(Digest.of)
SHOWABLE = st.text(st.characters(categories=["L", "N", "P"]), max_size=60)
VERDICTS = st.builds(
    Verdict,
    subdir=SUBDIRS,
    file_name=st.builds(
        "{}-{}-{}{}".format, NAMES, VERSIONS, BUILDS, st.sampled_from([".conda", ".tar.bz2"])
    ),
    archive=DIGESTS,
    index_json=DIGESTS,
    passed=st.booleans(),
    time=st.datetimes(timezones=st.just(UTC)),
    verifier=SHOWABLE.filter(bool),
    policy=SHOWABLE.filter(bool),
    reason=SHOWABLE,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(VERDICTS)
@STEADY
def test_what_is_said_is_what_is_read(said: Verdict) -> None:
    assert decode_statement(encode_statement(said)) == said


def test_a_statement_is_in_toto_with_all_that_a_verification_summary_must_have() -> None:
    document = json.loads(encode_statement(verdict(passed=False, reason="no licence")))
    assert document == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": FILE, "digest": {"sha256": ARCHIVE.hex}},
            {"name": "info/index.json", "digest": {"sha256": VERDICT.index_json.hex}},
        ],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": {"id": "urn:test:validator"},
            "timeVerified": "2026-11-01T12:00:00Z",
            "resourceUri": PURL,
            "policy": {"uri": "urn:test:policy"},
            "verificationResult": "FAILED",
            "verifiedLevels": ["FAILED"],
            "urn:cf-index:reason": "no licence",
        },
    }


def test_a_yes_without_a_reason_has_none_and_its_level_is_no_failure() -> None:
    said = json.loads(encode_statement(VERDICT))["predicate"]
    assert said["verificationResult"] == "PASSED"
    assert said["verifiedLevels"] == ["SLSA_BUILD_LEVEL_UNEVALUATED"]
    assert REASON not in said


def test_the_name_is_what_stands_before_version_and_build() -> None:
    assert verdict(file_name="a-b-c-1.0-0.tar.bz2").name == "a-b-c"


def test_who_reads_a_statement_lets_be_what_it_does_not_know() -> None:
    def more(document: dict[str, Any]) -> None:
        document["comment"] = ["x"]
        document["subject"][0]["digest"]["sha512"] = "0" * 128
        document["subject"][0]["annotations"] = {"a": 1}
        document["predicate"]["slsaVersion"] = "1.1"
        document["predicate"]["dependencyLevels"] = {"SLSA_BUILD_LEVEL_1": 3}

    assert decode_statement(statement(more)) == VERDICT


# What isn't one


@given(JSON)
@STEADY
def test_any_json_is_a_verdict_or_a_content_error(value: Any) -> None:
    with pytest.raises(ContentError):
        decode_statement(json.dumps(value).encode())


@given(st.data())
@STEADY
def test_a_statement_with_any_part_replaced_is_as_it_was_or_refused(data: st.DataObject) -> None:
    document = orjson.loads(statement())
    node: Any = document
    path: list[Any] = []
    while isinstance(node, dict | list) and node and (not path or data.draw(st.booleans())):
        holder = node
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        path.append(data.draw(st.sampled_from(keys)))
        node = node[path[-1]]
    holder[path[-1]] = data.draw(JSON)
    try:
        read = decode_statement(json.dumps(document).encode())
    except ContentError:
        return
    # No number or map can have been taken for the text that decides.
    assert (read.subdir, read.file_name, read.passed) == (VERDICT.subdir, FILE, True)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b'{"_type": "\xff"}',
        b'{"_type": NaN}',
        b"[" * 100_000,
        b'{"_type":' + b"[" * 1000 + b"]" * 1000 + b"}",
    ],
)
def test_what_is_no_statement_is_refused(payload: bytes) -> None:
    with pytest.raises(ContentError):
        decode_statement(payload)


SUBJECTS: list[tuple[Callable[[list[Any]], Any], str]] = [
    (lambda subjects: subjects.clear(), "subjects aren't one archive"),
    (lambda subjects: subjects.pop(0), "subjects aren't one archive"),
    (lambda subjects: subjects.pop(1), "subjects aren't one archive"),
    (lambda subjects: subjects.append(subjects[0]), "subjects aren't one archive"),
    (lambda subjects: subjects.append(subjects[1]), "subjects aren't one archive"),
    (
        lambda subjects: subjects.append({**subjects[0], "name": "beta-1.0-h1_0.conda"}),
        "subjects aren't one archive",
    ),
    (lambda subjects: subjects[1].update(name="info/index.json "), "subjects aren't one archive"),
    (lambda subjects: subjects[0].update(name=""), "name is empty"),
    (lambda subjects: subjects[0].update(name="a" * 2000), "name has 2000 characters"),
    (lambda subjects: subjects[0].pop("name"), "no proper name"),
    (lambda subjects: subjects[0].update(digest=ARCHIVE.hex), "no proper digest"),
    (lambda subjects: subjects[0].update(digest={"sha512": "0" * 128}), "no proper sha256"),
    (lambda subjects: subjects[0].update(digest={"sha256": ARCHIVE.hex.upper()}), "sha256 is none"),
    (lambda subjects: subjects[0].update(digest={"sha256": ARCHIVE.hex[:-1]}), "sha256 is none"),
    (lambda subjects: subjects[0].update(digest={"sha256": str(ARCHIVE)}), "sha256 is none"),
    (
        lambda subjects: subjects[0].update(digest={"sha256": ARCHIVE.hex + "\n"}),
        "sha256 is none",
    ),
    (lambda subjects: subjects.__setitem__(0, "text"), "no proper digest"),
]


@pytest.mark.parametrize(("change", "reason"), SUBJECTS)
def test_the_subjects_are_one_archive_and_index_json(
    change: Callable[[list[Any]], Any], reason: str
) -> None:
    with pytest.raises(ContentError, match=reason):
        decode_statement(statement(lambda document: change(document["subject"])))


@pytest.mark.parametrize("key", ["_type", "predicateType", "subject", "predicate"])
def test_every_part_of_the_statement_is_needed(key: str) -> None:
    with pytest.raises(ContentError, match=f"no proper {key}"):
        decode_statement(statement(lambda document: document.pop(key)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1"),
        ("predicateType", "https://slsa.dev/provenance/v1"),
        ("predicateType", "https://slsa.dev/verification_summary/v0.2"),
    ],
)
def test_other_kinds_of_statements_say_nothing_here(key: str, value: str) -> None:
    with pytest.raises(ContentError, match="type is 'https"):
        decode_statement(statement(lambda document: document.update({key: value})))


@pytest.mark.parametrize(
    "key",
    [
        "verifier",
        "timeVerified",
        "resourceUri",
        "policy",
        "verificationResult",
        "verifiedLevels",
    ],
)
def test_every_required_field_of_the_summary_is_needed(key: str) -> None:
    with pytest.raises(ContentError, match=f"no proper {key}"):
        decode_statement(predicate(**{key: None}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verificationResult": "passed"}, "verificationResult is 'passed'"),
        ({"verificationResult": "PASSED "}, "verificationResult is 'PASSED '"),
        ({"verificationResult": True}, "no proper verificationResult"),
        ({"verifiedLevels": [1]}, "aren't strings"),
        ({"verifiedLevels": ["FAILED"]}, "say FAILED"),
        ({"verifier": {"id": ""}}, "id is empty"),
        ({"verifier": "urn:test:validator"}, "no proper verifier"),
        ({"policy": {}}, "no proper uri"),
        ({"policy": {"uri": "x" * 1001}}, "uri has 1001 characters"),
        ({"timeVerified": 1_800_000_000}, "no proper timeVerified"),
    ],
)
def test_fields_of_another_kind_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContentError, match=reason):
        decode_statement(predicate(**changes))


def test_a_reason_can_do_nothing_to_a_terminal_and_is_short() -> None:
    said = decode_statement(predicate(**{REASON: "\x1b[2J\n" + "x" * 5000}))
    assert said.reason.startswith("\\x1b[2J\\nx")
    assert len(said.reason) < 1100
    assert decode_statement(predicate(**{REASON: ["x"]})).reason == ""


# The package's URL


@pytest.mark.parametrize(
    ("subdir", "file_name", "purl"),
    [
        ("linux-64", FILE, PURL),
        ("noarch", "a-b-1.0-0.tar.bz2", "pkg:conda/a-b@1.0?build=0&subdir=noarch&type=tar.bz2"),
        (
            "noarch",
            "_x-1!2.0+3-py_0.conda",
            "pkg:conda/_x@1%212.0%2B3?build=py_0&subdir=noarch&type=conda",
        ),
    ],
)
def test_a_package_file_has_one_url(subdir: str, file_name: str, purl: str) -> None:
    assert purl_of(subdir, file_name) == purl


@pytest.mark.parametrize(
    "file_name",
    ["", "alpha", "alpha-1.0-0", "alpha-1.0.conda", "-1-0.conda", "a--0.conda", "a-1-.conda"],
)
def test_what_is_not_called_as_a_package_has_none(file_name: str) -> None:
    with pytest.raises(ContentError, match="no package file's name"):
        purl_of("noarch", file_name)


@pytest.mark.parametrize(
    "purl",
    [
        # In another order, with more escaped than has to be, and the scheme's odd slashes.
        "pkg:conda/alpha@1.0?type=conda&subdir=linux-64&build=h1_0",
        "pkg:conda/alpha@1%2E0?build=h1%5F0&subdir=linux%2D64&type=conda",
        "pkg:Conda/alpha@1.0?build=h1_0&subdir=linux-64&type=conda",
        "pkg://conda/alpha@1.0?build=h1_0&subdir=linux-64&type=conda",
    ],
)
def test_one_package_may_be_spelt_in_several_ways(purl: str) -> None:
    assert decode_statement(predicate(resourceUri=purl)) == VERDICT


@pytest.mark.parametrize(
    "purl",
    [
        "",
        "alpha",
        "pkg:conda",
        "pkg:pypi/alpha@1.0?build=h1_0&subdir=linux-64&type=conda",
        "https://conda/alpha@1.0?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/Alpha@1.0?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/beta@1.0?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/forge/alpha@1.0?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/forge%2Falpha@1.0?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/alpha?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.1?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0-h1_0?subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0?build=h2_0&subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0?subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=linux-64",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=linux-64&type=tar.bz2",
        "pkg:conda/alpha@1.0?build=h1_0&channel=forge&subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&repository_url=x&subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=linux-64&type=conda#info",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=..&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=linux-64%2Fx&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=Linux-64&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=linux-64%0A&type=conda",
        # Readers may take either, so neither is said.
        "pkg:conda/alpha@1.0?build=h1_0&subdir=noarch&subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&subdir=linux-64&subdir=&type=conda",
        "pkg:conda/alpha@1.0?build=h1_0&SUBDIR=noarch&subdir=linux-64&type=conda",
        "pkg:conda//[alpha@1.0?build=h1_0&subdir=linux-64&type=conda",
        "pkg:conda/alpha@1.0?build&subdir=linux-64&type=conda",
        "pkg:conda/" + "a" * 2000,
    ],
)
def test_a_url_of_anything_else_is_refused(purl: str) -> None:
    with pytest.raises(ContentError, match="resourceUri"):
        decode_statement(predicate(resourceUri=purl))


@given(st.text(max_size=40))
@example("%")
@example("?#")
@example("alpha@1.0?build=h1_0&subdir=%F0%9F&type=conda")
@STEADY
def test_no_url_raises_anything_but_a_content_error(rest: str) -> None:
    try:
        payload = predicate(resourceUri=f"pkg:conda/{rest}")
    except orjson.JSONEncodeError:
        return
    with pytest.raises(ContentError):
        decode_statement(payload)


# Times


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-01T12:00:00Z", NOON),
        ("2026-11-01t12:00:00z", NOON),
        ("2026-11-01T14:30:00+02:30", NOON),
        ("2026-11-01T01:00:00-11:00", NOON),
        ("2026-11-01T12:00:00-00:00", NOON),
        ("2026-11-01T12:00:00.000001Z", NOON + timedelta(microseconds=1)),
        ("2026-11-01T12:00:00.000000999Z", NOON),
        ("2026-12-31T23:59:60Z", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1969-12-31T23:59:59Z", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_read_by_rfc_3339_whatever_their_offset(text: str, time: datetime) -> None:
    read = decode_statement(predicate(timeVerified=text)).time
    assert read == time
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-01",
        "2026-11-01T12:00:00",
        "2026-11-01 12:00:00Z",
        "2026-11-01T12:00Z",
        "20261101T120000Z",
        "2026-W44-7T12:00:00Z",
        "2026-11-01T12:00:00Z\n",
        " 2026-11-01T12:00:00Z",
        "2026-11-01T12:00:00,5Z",
        "2026-11-01T12:00:00.Z",
        "2026-11-01T12:00:00+0200",
        "2026-11-01T12:00:00+24:00",
        "2026-11-01T12:00:00+12:60",
        "2026-11-01T24:00:00Z",
        "2026-11-01T12:60:00Z",
        "2026-11-01T12:00:61Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "10000-01-01T00:00:00Z",
        "٢٠٢٦-11-01T12:00:00Z",
        "1800000000",
    ],
)
def test_what_is_no_time_by_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ContentError, match="no time by RFC 3339"):
        decode_statement(predicate(timeVerified=text))


def test_a_time_is_written_in_utc() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert encode_statement(verdict(time=there)) == encode_statement(VERDICT)


def test_what_is_no_text_can_not_be_said() -> None:
    with pytest.raises(ContentError, match="can't be written"):
        encode_statement(verdict(reason="\udcff"))
