"""What a validator says of one archive, and the statement that says it.

An in-toto Statement v1 (https://in-toto.io/Statement/v1) with a SLSA Verification Summary v1
(https://slsa.dev/verification_summary/v1) as its predicate. The package is named by a purl of
type conda (https://github.com/package-url/purl-spec), which no registry's name is part of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from packageurl import PackageURL

from indexer.channel.index_json import SUBDIR
from indexer.channel.record import CONDA, EXTENSIONS, TARBZ2
from indexer.channel.times import read_rfc3339
from indexer.errors import ContentError, printable
from indexer.registry.content import Digest

T = TypeVar("T")

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
INDEX_JSON = "info/index.json"
# "Producers MAY add extension fields using field names that are URIs."
REASON = "urn:cf-index:reason"
_SIZE = "urn:cf-index:size"

_PASSED, _FAILED = "PASSED", "FAILED"
# What was validated says nothing of how the package was built.
_LEVELS = {True: "SLSA_BUILD_LEVEL_UNEVALUATED", False: _FAILED}
_PURL_TYPES = {CONDA: "conda", TARBZ2: "tar.bz2"}
_MAX_TEXT = 1000
_HEX = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """That a validator let an archive in (``passed``), or that it did not.

    It speaks of one archive, by its file name and digest, together with one index.json. Where
    ``md5`` (hex) and ``size`` (in bytes) are said, nothing else may be said of the archive.
    ``verifier`` and ``policy`` are URIs: who judged, and by which rules; ``reason`` is for people.
    """

    subdir: str
    file_name: str
    archive: Digest
    index_json: Digest
    passed: bool
    time: datetime
    verifier: str
    policy: str
    reason: str = ""
    md5: str | None = None
    size: int | None = None

    @property
    def name(self) -> str:
        """The package's name."""
        return self.file_name.rsplit("-", 2)[0]


def encode_statement(verdict: Verdict) -> bytes:
    """The statement's bytes, which are what is signed. Raises ContentError for what is no text."""
    predicate: dict[str, Any] = {
        "verifier": {"id": verdict.verifier},
        "timeVerified": verdict.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "resourceUri": purl_of(verdict.subdir, verdict.file_name),
        "policy": {"uri": verdict.policy},
        "verificationResult": _PASSED if verdict.passed else _FAILED,
        "verifiedLevels": [_LEVELS[verdict.passed]],
    }
    if verdict.reason:
        predicate[REASON] = verdict.reason
    archive: dict[str, Any] = {
        "name": verdict.file_name,
        "digest": {"sha256": verdict.archive.hex},
    }
    if verdict.md5 is not None:
        archive["digest"]["md5"] = verdict.md5
    if verdict.size is not None:
        archive["annotations"] = {_SIZE: verdict.size}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            archive,
            {"name": INDEX_JSON, "digest": {"sha256": verdict.index_json.hex}},
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    try:
        return orjson.dumps(statement)
    except TypeError as error:
        raise ContentError(f"its statement can't be written: {error}") from error


def decode_statement(payload: bytes) -> Verdict:
    """Read a statement. Raises ContentError for what isn't one of a conda package."""
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise ContentError(f"its statement is not JSON: {error}") from error
    _expect(_field(document, "_type", str), STATEMENT_TYPE, "statement type")
    _expect(_field(document, "predicateType", str), PREDICATE_TYPE, "predicate type")
    subjects = _subjects(_field(document, "subject", list))
    file_name, archive, index_json = subjects.file_name, subjects.archive, subjects.index_json
    predicate = _field(document, "predicate", dict)
    result = _field(predicate, "verificationResult", str)
    if result not in {_PASSED, _FAILED}:
        raise ContentError(f"its verificationResult is {printable(result, 80)!r}")
    levels = _field(predicate, "verifiedLevels", list)
    if not all(isinstance(level, str) for level in levels):
        raise ContentError("its verifiedLevels aren't strings")
    if result == _PASSED and _FAILED in levels:
        raise ContentError("its verificationResult is PASSED, its verifiedLevels say FAILED")
    reason = predicate.get(REASON, "")
    return Verdict(
        subdir=_subdir(_field(predicate, "resourceUri", str), file_name),
        file_name=file_name,
        archive=archive,
        index_json=index_json,
        passed=result == _PASSED,
        time=_time(_field(predicate, "timeVerified", str)),
        verifier=_text(_field(predicate, "verifier", dict), "id"),
        policy=_text(_field(predicate, "policy", dict), "uri"),
        reason=printable(reason, _MAX_TEXT) if isinstance(reason, str) else "",
        md5=subjects.md5,
        size=subjects.size,
    )


def purl_of(subdir: str, file_name: str) -> str:
    """The package URL of a package file. Raises ContentError for what isn't called as one."""
    name, version, build, kind = _parts(file_name)
    qualifiers = {"build": build, "subdir": subdir, "type": kind}
    return str(PackageURL("conda", None, name, version, qualifiers).to_string())


def _subdir(purl: str, file_name: str) -> str:
    """The subdir that a purl names, provided that the rest of it is this file."""
    try:
        # Its own message may quote all of a long purl.
        found = PackageURL.from_string(_bounded(purl, "resourceUri"))
    except ValueError as error:
        raise ContentError("its resourceUri is no purl") from error
    qualifiers = found.qualifiers
    if found.type != "conda":
        raise ContentError("its resourceUri is no purl of a conda package")
    subdir = str(qualifiers.get("subdir", ""))
    name, version, build, kind = _parts(file_name)
    meant = {"build": build, "subdir": subdir, "type": kind}
    rest = (found.namespace, found.name, found.version, found.subpath)
    # Of a qualifier that stands there twice, readers may take either.
    count = purl.partition("?")[2].count("&") + 1
    if qualifiers != meant or rest != (None, name, version, None) or count != len(meant):
        raise ContentError(
            f"its resourceUri is {printable(purl, 300)}, "
            f"and its subject {printable(file_name, 200)}"
        )
    if not SUBDIR.fullmatch(subdir):
        raise ContentError(f"its resourceUri names the subdir {printable(subdir, 80)!r}")
    return subdir


def _parts(file_name: str) -> tuple[str, str, str, str]:
    """Name, version, build and, in a purl's words, type of a package file."""
    extension = next((end for end in EXTENSIONS if file_name.endswith(end)), None)
    parts = file_name.removesuffix(extension or "").rsplit("-", 2)
    if extension is None or len(parts) != 3 or not all(parts):
        raise ContentError(f"{printable(file_name, 200)!r} is no package file's name")
    return parts[0], parts[1], parts[2], _PURL_TYPES[extension]


@dataclass(frozen=True, slots=True)
class _Subjects:
    """What a statement is about."""

    file_name: str
    archive: Digest
    index_json: Digest
    md5: str | None
    size: int | None


def _subjects(subjects: list[Any]) -> _Subjects:
    digests = [_sha256(subject) for subject in subjects]
    named = {
        _text(subject, "name"): (subject, digest)
        for subject, digest in zip(subjects, digests, strict=True)
    }
    index_json = named.pop(INDEX_JSON, None)
    if index_json is None or len(named) != 1 or len(subjects) != 2:
        raise ContentError(f"its subjects aren't one archive and {INDEX_JSON}")
    ((file_name, (archive, digest)),) = named.items()
    md5 = _field(archive, "digest", dict).get("md5")
    if md5 is not None and not (isinstance(md5, str) and _MD5.fullmatch(md5)):
        raise ContentError("a subject's md5 is none")
    annotations = archive.get("annotations")
    size = annotations.get(_SIZE) if isinstance(annotations, dict) else None
    if size is not None and (type(size) is not int or size < 0):
        raise ContentError("a subject's size is none")
    return _Subjects(file_name, digest, index_json[1], md5, size)


def _sha256(subject: object) -> Digest:
    sha256 = _field(_field(subject, "digest", dict), "sha256", str)
    if not _HEX.fullmatch(sha256):
        raise ContentError("a subject's sha256 is none")
    return Digest(sha256)


def _time(text: str) -> datetime:
    time = read_rfc3339(text)
    if time is None:
        raise ContentError(f"its timeVerified is {printable(text, 80)!r}, no time by RFC 3339")
    return time


def _field(document: object, key: str, kind: type[T]) -> T:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, kind):
        raise ContentError(f"its statement has no proper {key}")
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    text = _bounded(_field(document, key, str), key)
    if not text:
        raise ContentError(f"its {key} is empty")
    return text


def _bounded(text: str, what: str) -> str:
    if len(text) > _MAX_TEXT:
        raise ContentError(f"its {what} has {len(text)} characters")
    return text


def _expect(found: str, meant: str, what: str) -> None:
    if found != meant:
        raise ContentError(f"its {what} is {printable(found, 100)!r}, not {meant!r}")
