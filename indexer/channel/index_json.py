"""Checks an ``info/index.json`` (CEP 34) once, at the border, before anything uses it.

What comes out can be published as it is: every field that clients parse has the type they
expect, and nothing in it can hurt a client, a terminal or a page.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from rattler import MatchSpec, Version
from rattler.package.index_json import IndexJson as RattlerIndexJson

from indexer.errors import ContentError

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 64
_MAX_INTEGER = 2**63
_MAX_TEXT = 4096

# CEP 26. Names that begin with "__" are those of virtual packages: nobody may publish one.
NAME = re.compile(r"(?!__)[a-z0-9_][a-z0-9_.-]{0,63}")
_BUILD = re.compile(r"[a-zA-Z0-9_.+]{1,64}")
_VERSION = re.compile(r"[a-zA-Z0-9_.+!]{1,64}")
SUBDIR = re.compile(r"noarch|[a-z0-9]{1,32}-[a-z0-9]{1,32}")

# Line breaks and tabs are common in licenses and summaries, and harmless inside JSON.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_BREAK = re.compile(r"[\t\n\r]")

# The index decides these; a package that sets them would speak for the channel. The second
# line would stop conda for the whole channel, or reach its solver unchecked.
OWNED = frozenset(
    {"channel", "fn", "indexed_timestamp", "md5", "schannel", "sha256", "size", "url"}
    | {"cls", "defaulted_keys", "record_version", "self", "signatures"}
)

# Types that clients parse strictly: one field of another type, and rattler can't read the
# channel at all (measured with py-rattler 0.28, RepoData.from_path). None stands for null.
_Types = tuple[type, ...]
_FIELDS: Mapping[str, _Types] = {
    "arch": (str, type(None)),
    "date": (str,),
    "features": (str, type(None)),
    "legacy_bz2_md5": (str, type(None)),
    "legacy_bz2_size": (int, type(None)),
    "license": (str, type(None)),
    "license_family": (str, type(None)),
    "noarch": (str, bool, type(None)),
    "package_type": (str, type(None)),
    "platform": (str, type(None)),
    "preferred_env": (str, type(None)),
    "purls": (list, type(None)),
    "python_site_packages_path": (str, type(None)),
    "subdir": (str,),
    "timestamp": (int,),
    "track_features": (str, list),
}
_TIMESTAMP_LIMIT = 253_402_207_200_000  # what rattler can hold: the end of 9999, in milliseconds
_MD5 = re.compile(r"[0-9a-f]{32}")
_PACKAGE_TYPES = {None, "noarch_generic", "noarch_python"}

# What rattler's lenient parser swallows and conda's or libsolv's doesn't. A name, after a
# channel at most; then a version and a build; then keys in brackets.
_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_ONE = r"(?:(?:[<>=!~]=|[<>=])? *(?:[0-9]+!)?[0-9A-Za-z_][0-9A-Za-z_.+-]*(?:\.?\*)?|\*)"
_SPEC = re.compile(
    rf"(?:[A-Za-z0-9_.-]+(?:/[a-z0-9-]+)?::)?{_WORD}"
    rf"(?: *(?P<versions>{_ONE}(?: *[,|] *{_ONE})*)(?:(?: +=?|=)[A-Za-z0-9_.*+]+)?)?"
    r"(?:\[(?!namespace)[a-z_0-9]+=['\"]?[A-Za-z0-9 _.*+!=<>~|,-]+['\"]?\])? *"
)
_NAME_IN_SPEC = re.compile(r" *([^\s=<>!~\[;|,:]*)(::)?")
_ALTERNATIVE = re.compile(r"[,|]")
_SEPARATOR = re.compile(r"[._]")


@dataclass(frozen=True, slots=True)
class Identity:
    """What an index.json says its package is; ``subdir`` is None where it doesn't say."""

    name: str
    version: str
    build: str
    subdir: str | None

    @property
    def stem(self) -> str:
        """The archive's file name without its extension (CEP 26)."""
        return f"{self.name}-{self.version}-{self.build}"


@dataclass(frozen=True, slots=True)
class IndexJson(Identity):
    """A checked index.json. ``fields`` is what a record takes over, without what is OWNED."""

    fields: Mapping[str, Any]
    dropped: tuple[str, ...] = ()


def parse_identity(data: bytes) -> Identity:
    """What a package is, by an index.json that need not be fit for an index otherwise.

    Raises ContentError with the first reason against it.
    """
    return identity_of(_load(data))


def parse_index_json(data: bytes) -> IndexJson:
    """Read and check index.json. Raises ContentError with the first reason against it."""
    document = _load(data)
    identity = identity_of(document)
    _check_build_number(document)
    for key, types in _FIELDS.items():
        if key in document:
            _check_type(document[key], types, key)
    _check_values(document)
    for key in ("depends", "constrains"):
        _check_specs(document, key)
    for key in ("run_exports", "extra_depends"):
        _check_maps_of_specs(document, key)
    if reason := against_fields(document):
        raise ContentError(f"index.json is refused by rattler: {reason}")
    fields = {key: value for key, value in document.items() if key not in OWNED}
    if fields.get("features", "") is None:
        # No more than its absence, but conda can't read it.
        del fields["features"]
    fields.setdefault("depends", [])
    dropped = tuple(sorted(OWNED & document.keys()))
    return IndexJson(
        identity.name, identity.version, identity.build, identity.subdir, fields, dropped
    )


def _load(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ContentError(f"index.json has {len(data)} bytes (at most {MAX_BYTES})")
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ContentError(f"index.json is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ContentError("index.json is not a JSON object")
    _check_value(document, "index.json", 1)
    return document


def identity_of(document: Mapping[str, Any]) -> Identity:
    """What a package is, by an index.json or a record of any index. Raises ContentError."""
    name = _matching(document, "name", NAME)
    version = _version(document)
    build = _matching(document, "build", _BUILD)
    if "subdir" in document:
        subdir = document["subdir"]
        _check_type(subdir, _FIELDS["subdir"], "subdir")
        if not SUBDIR.fullmatch(subdir):
            raise ContentError(f"index.json's subdir {subdir[:80]!r} isn't one by CEP 26")
    return Identity(name, version, build, document.get("subdir"))


def _check_value(value: object, where: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ContentError(f"index.json is nested deeper than {_MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_scalar(key, f"a key of {where}")
            _check_value(item, f"{where} {key!r}"[:200], depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_value(item, where, depth + 1)
    else:
        _check_scalar(value, where)


def _check_scalar(value: object, where: str) -> None:
    if isinstance(value, str) and (match := _CONTROL.search(value)):
        raise ContentError(f"{where} holds a control character (U+{ord(match[0]):04X})")
    if isinstance(value, float) and not math.isfinite(value):
        raise ContentError(f"{where} holds a number that isn't finite")
    if type(value) is int and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise ContentError(f"{where} holds a number beyond 64 bits")


def _check_type(value: object, types: _Types, key: str) -> None:
    if type(value) not in types:
        raise ContentError(f"index.json's {key} is a {_json_type(value)}")
    if isinstance(value, str) and _BREAK.search(value) and key != "license":
        raise ContentError(f"index.json's {key} holds a line break or tab")
    if key == "legacy_bz2_md5" and isinstance(value, str) and not _MD5.fullmatch(value):
        raise ContentError("index.json's legacy_bz2_md5 is not an md5")
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise ContentError(f"index.json's {key} is not a list of strings")


def _matching(document: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise ContentError(f"index.json's {key} is {_json_type(value)}, not a string")
    if not pattern.fullmatch(value):
        raise ContentError(f"index.json's {key} {value[:80]!r} isn't one by CEP 26")
    return value


def _version(document: Mapping[str, Any]) -> str:
    version = _matching(document, "version", _VERSION)
    if reason := _refused(lambda: Version(version)) or _against_components(version):
        raise ContentError(f"index.json's version {version!r} isn't one: {reason}")
    return version


def _against_components(version: str) -> str | None:
    """Why conda wouldn't read a version that rattler does: it wants no component to be empty.

    By conda's VersionOrder: a trailing underscore is let be, but not that of a local version.
    """
    release, plus, local = version.rpartition("!")[2].replace("-", "_").partition("+")
    parts = _SEPARATOR.split(release.removesuffix("_"))
    if plus:
        parts += _SEPARATOR.split(local)
    return None if all(parts) else "a component of it is empty"


def _check_build_number(document: Mapping[str, Any]) -> None:
    number = document.get("build_number")
    if type(number) is not int or number < 0:
        raise ContentError(f"index.json's build_number is {str(number)[:40]!r}, no whole number")


def _check_values(document: Mapping[str, Any]) -> None:
    if "timestamp" in document and not 0 <= document["timestamp"] < _TIMESTAMP_LIMIT:
        raise ContentError("index.json's timestamp is out of range")
    if document.get("package_type") not in _PACKAGE_TYPES:
        raise ContentError(f"index.json's package_type is {document['package_type'][:40]!r}")
    if (document.get("legacy_bz2_size") or 0) < 0:
        raise ContentError("index.json's legacy_bz2_size is below zero")
    noarch = document.get("noarch")
    if isinstance(noarch, str) and noarch not in {"generic", "python"}:
        raise ContentError(f"index.json's noarch is {noarch[:40]!r}, not generic or python")


def _check_maps_of_specs(document: Mapping[str, Any], key: str) -> None:
    """CEP 12's run exports, and what is alike: a map of lists of match specs."""
    lists = document.get(key)
    if lists is None:
        return
    if not isinstance(lists, dict):
        raise ContentError(f"index.json's {key} is a {_json_type(lists)}")
    for name in lists:
        _check_specs(lists, name)


def against_fields(fields: Mapping[str, Any]) -> str | None:
    """Why a client's own parser refuses these fields of a record; None where it reads them.

    rattler's, for what it checks beyond types: 1.9 µs a record.
    """
    text = orjson.dumps(fields).decode()
    return _refused(lambda: RattlerIndexJson.from_str(text))


def _refused(parse: Callable[[], object]) -> str | None:
    """Why rattler refuses something; None where it takes it.

    Its errors have no public common base, and its panics aren't even Exceptions: measured
    with a build_number of twenty digits in a match spec.
    """
    try:
        parse()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  see above
        return str(error)[:200] or type(error).__name__
    return None


def _check_specs(document: Mapping[str, Any], key: str) -> None:
    specs = document.get(key, [])
    if not isinstance(specs, list) or not all(isinstance(item, str) for item in specs):
        raise ContentError(f"index.json's {key} is not a list of strings")
    for spec in specs:
        if reason := _against_spec(spec):
            raise ContentError(f"index.json's {key}: {spec[:80]!r}: {reason}")


# Measured on 25,650 real records: 139,840 specs, 5,568 different ones.
@functools.lru_cache(maxsize=65536)
def _against_spec(spec: str) -> str | None:
    """Why clients must not get this match spec; None where it is sound.

    One spec that doesn't parse makes mamba give up on the whole channel.
    """
    if len(spec) > _MAX_TEXT or not spec.isascii() or not spec.isprintable():
        return "characters that no match spec has, or too many"
    if "://" in spec or "url=" in spec:
        return "a match spec that names an address, past the channel"
    match = _SPEC.fullmatch(spec)
    if not match:
        return "no match spec that all clients can read"
    for part in _ALTERNATIVE.split(match["versions"] or "*"):
        version = part.strip(" <>=!~").rstrip("*").removesuffix(".")
        if version and (reason := _against_components(version)):
            return f"no match spec that all clients can read ({version!r}: {reason})"
    return against_parsing(spec)


@functools.lru_cache(maxsize=65536)
def dependency_name(spec: str) -> str:
    """The name of the package that a match spec asks for, lower-cased as conda does it.

    Empty where there is none, or where the spec names a channel: it may be another one.
    """
    match = _NAME_IN_SPEC.match(spec)
    return match[1].lower() if match and not match[2] else ""


@functools.lru_cache(maxsize=65536)
def against_parsing(spec: str) -> str | None:
    """Why a match spec doesn't parse; None where it does."""
    reason = _refused(lambda: MatchSpec(spec, extras=False, conditionals=False, flags=False))
    return reason and f"no match spec ({reason})"


def _json_type(value: object) -> str:
    names = {type(None): "null", bool: "boolean", str: "string", list: "list", dict: "object"}
    return names.get(type(value), "number")
