"""What an index.json must not say, and what it may leave out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from indexer.channel.index_json import MAX_BYTES, OWNED, parse_index_json
from indexer.errors import ContentError
from tests.channel.samples import index, parsed, without


def refused(match: str, **changes: Any) -> None:
    with pytest.raises(ContentError, match=match):
        parsed(**changes)


@pytest.mark.parametrize(
    "name",
    [
        "../openssl",
        "a/b",
        "a\\b",
        "..",
        ".hidden",
        "-rf",
        "a b",
        "a\nb",
        "A",
        "é",
        "a\u202eb",
        "",
        "a" * 129,
        "a%2fb",
        "<b>",
    ],
)
def test_names_that_lead_elsewhere_or_break_lines_are_refused(name: str) -> None:
    refused("name", name=name)


@pytest.mark.parametrize("name", ["__glibc", "__cuda", "__unix", "__"])
def test_nobody_may_publish_a_virtual_package(name: str) -> None:
    refused("name", name=name)


@pytest.mark.parametrize("name", ["_libgcc_mutex", "r-base", "zlib-ng", "backports.zstd", "7zip"])
def test_names_in_use_are_let_in(name: str) -> None:
    assert parsed(name=name).name == name


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1.0-1",
        "1..0",
        "_",
        "1!",
        "1+2+3",
        "a b",
        "../1",
        "1/2",
        "1\x00",
        "*",
        "1" * 129,
        "é",
        "1+1_",
        "1+a..b",
    ],
)
def test_versions_that_are_none_are_refused(version: str) -> None:
    refused("version", version=version)


@pytest.mark.parametrize(
    "version",
    ["0", "1!2.0", "2.0+cu12", "1.0.post1", "2024a", "1.0_1", "9e", "1.0.2_", "1!1.0.2_+a.b"],
)
def test_versions_in_use_are_let_in(version: str) -> None:
    assert parsed(version=version).version == version


@pytest.mark.parametrize("build", ["", "a-b", "a/b", "a b", "a\n", "é", "b" * 129, "a=b"])
def test_builds_that_would_change_the_file_name_are_refused(build: str) -> None:
    refused("build", build=build)


@pytest.mark.parametrize("subdir", ["../noarch", "linux", "linux-64/x", "Linux-64", "", "a-b-c"])
def test_subdirs_that_are_none_are_refused(subdir: str) -> None:
    refused("subdir", subdir=subdir)


@pytest.mark.parametrize("field", ["name", "version", "build", "build_number"])
def test_a_field_that_makes_the_file_name_must_be_there(field: str) -> None:
    with pytest.raises(ContentError, match=field):
        parse_index_json(orjson.dumps(without(index(), field)))


@pytest.mark.parametrize(
    "text", ["bell\x07", "esc\x1b[31m", "nul\x00", "del\x7f", "nel\x85", "rtl\u202e", "ls\u2028"]
)
@pytest.mark.parametrize("place", ["value", "key", "deep"])
def test_control_characters_are_refused_wherever_they_stand(text: str, place: str) -> None:
    value = {"value": text, "key": {text: 1}, "deep": [[{"a": [text]}]]}[place]
    refused("control character", unknown=value)


def test_control_characters_are_refused_in_the_top_level_keys() -> None:
    refused("control character", **{"x\x1b": 1})


def test_line_breaks_are_refused_where_clients_print_one_line() -> None:
    refused("line break", license_family="MIT\nroot:x")
    assert parsed(license="MIT\nor later").fields["license"] == "MIT\nor later"


def test_more_than_a_mebibyte_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ContentError, match=str(MAX_BYTES)):
        parse_index_json(b"[" * (MAX_BYTES + 1))


def test_a_mebibyte_is_still_read() -> None:
    data = orjson.dumps(index())
    assert parse_index_json(data.ljust(MAX_BYTES)).name == "alpha"


def nested(levels: int, kind: type) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"k": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize("kind", [dict, list])
def test_nesting_deeper_than_64_is_refused_and_less_is_not(kind: type) -> None:
    assert parsed(x=nested(62, kind)).fields["x"] == nested(62, kind)
    refused("nested deeper", x=nested(64, kind))


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_nesting_that_could_exhaust_the_stack_is_refused(bracket: bytes) -> None:
    with pytest.raises(ContentError):
        parse_index_json(bracket * 100_000)


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"9223372036854775808"]
)
def test_numbers_that_are_none_or_too_large_are_refused(number: bytes) -> None:
    with pytest.raises(ContentError):
        parse_index_json(orjson.dumps(index())[:-1] + b',"x":' + number + b"}")


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b'"x"', b"{", b"\xff{}", b'{"a":1}x'])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ContentError, match="JSON"):
        parse_index_json(data)


TEXTS = {"a": 1, "l": ["x"], "d": {"a": "b"}, "b": True}.values()
WRONG: dict[str, list[object]] = {
    "arch": [1, ["x"], True],
    "build_number": ["0", -1, 1.5, True, None, [], 2**63],
    "constrains": ["a", None, [1], [None], {"a": 1}, [["a"]]],
    "depends": ["a", None, [1], [None], {"a": 1}, [["a"]]],
    "extra_depends": [["a"], "a", {"x": "a"}, {"x": [1]}, None],
    "features": [1, ["x"]],
    "flags": ["x", [1], None],
    "legacy_bz2_md5": ["abc", 1, "g" * 32],
    "legacy_bz2_size": ["1", 1.5, True, -1],
    "license": [["MIT"], 1, {"a": 1}],
    "license_family": [["MIT"], 1],
    "noarch": ["Python", "", 1, [], "x"],
    "platform": [1, ["linux"]],
    "preferred_env": [1, ["x"]],
    "purls": ["pkg:pypi/x", [1], ["no purl"], {"a": 1}],
    "python_site_packages_path": [1, ["x"]],
    "run_exports": [["a"], "a", {"weak": "a"}, {"weak": [1]}, {"weak": None}],
    "subdir": [1, ["noarch"], {}],
    "timestamp": ["1", 1.5, True, None, -1, 253_402_207_200_000, 2**62],
    "track_features": [1, [1], {"a": 1}, None],
}


@pytest.mark.parametrize(("field", "values"), WRONG.items())
def test_a_field_of_the_wrong_type_is_refused(field: str, values: list[object]) -> None:
    accepted = [value for value in values if accepts(**{field: value})]
    assert accepted == []


def accepts(**changes: Any) -> bool:
    try:
        parsed(**changes)
    except ContentError:
        return False
    return True


def test_old_packages_without_subdir_or_depends_are_read() -> None:
    old = parse_index_json(orjson.dumps(without(index(), "subdir", "depends")))
    assert old.subdir is None
    assert old.fields["depends"] == []


def test_fields_that_nobody_knows_are_kept() -> None:
    assert parsed(app_entry="x", extra={"a": [1, 2.5, None]}).fields["extra"] == {
        "a": [1, 2.5, None]
    }


def test_a_package_cannot_speak_for_the_channel() -> None:
    claims = dict.fromkeys(OWNED, "0" * 64)
    result = parsed(**claims)
    assert result.dropped == tuple(sorted(OWNED))
    assert {"sha256", "md5", "size", "url", "channel"} <= OWNED
    assert not OWNED & result.fields.keys()


# Fields that conda reads and that no schema names (conda 26, core/subdir_data.py and
# models/records.py). The first it compares with a number while it loads the channel, the next
# two are its constructor's own arguments, the others it checks when it lists all records.
STOPPING_VALUES: dict[str, list[Any]] = {
    "record_version": [None, "1", 2, 1.5, [], {}],
    "self": [1],
    "cls": ["x"],
    "package_type": ["conda", "", 1, [], {}],
    "date": [[], {}, ["2026"]],
    "features": [None],
}
STOPPING_CONDA = [(field, value) for field, values in STOPPING_VALUES.items() for value in values]


@pytest.mark.parametrize(("field", "value"), STOPPING_CONDA)
def test_a_field_that_stops_conda_for_the_whole_channel_is_not_published(
    field: str, value: object
) -> None:
    assert not accepts(**{field: value}) or field not in parsed(**{field: value}).fields


def test_old_fields_that_conda_understands_are_published() -> None:
    old = {"package_type": "noarch_python", "date": "2014-05-01", "features": "mkl"}
    assert parsed(**old).fields.items() >= old.items()


def test_the_last_of_two_equal_keys_is_what_is_checked_and_what_is_kept() -> None:
    data = orjson.dumps(index())[:-1] + b',"name":"omega"}'
    result = parse_index_json(data)
    assert (result.name, result.fields["name"]) == ("omega", "omega")


def test_a_refusal_quotes_no_more_than_a_line_of_hostile_text() -> None:
    with pytest.raises(ContentError) as caught:
        parsed(name="x" * 100_000)
    assert len(str(caught.value)) < 300
