"""Each file of the API is as the schema beside it says, and says what isn't known by null."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from indexer.channel.about import About
from indexer.render import api, pages
from indexer.render.detail import FULL, LEVELS, Detail
from indexer.render.history import MAX_CHANGES
from indexer.render.templates import static_files
from tests.channel.samples import record
from tests.render.site import INFO, SITE, Site, change, channel_of, summaries_of

SCHEMAS = {
    path.removeprefix("api/v1/schemas/").removesuffix(".schema.json"): orjson.loads(data)
    for path, data in static_files().items()
    if path.startswith("api/v1/schemas/")
}
BARE = dataclasses.replace(INFO, site_url="", blobs=None)
UNKNOWN = Site({"noarch": [record("beta", license=None, timestamp=0)]}, info=BARE)
EMPTY = Site({"noarch": []}, info=BARE)


def schema_of(path: str) -> str:
    for folder, schema in (("packages/", "package"), ("badges/", "badge")):
        if path.startswith(f"api/v1/{folder}"):
            return schema
    return path.removeprefix("api/v1/").removesuffix(".json")


def answers(site: Site) -> dict[str, Any]:
    return {
        path: orjson.loads(data)
        for path, data in site.files().items()
        if path.startswith("api/v1/") and "/schemas/" not in path and path.endswith(".json")
    }


@pytest.mark.parametrize("detail", LEVELS, ids=lambda detail: detail.level)
@pytest.mark.parametrize("site", [SITE, UNKNOWN, EMPTY], ids=["full", "unknown", "empty"])
def test_each_file_is_as_its_schema_says(site: Site, detail: Detail) -> None:
    found = answers(dataclasses.replace(site, detail=detail))
    kinds = {"channel", "changes"}
    if detail.lists:
        kinds |= {"packages"}
    if detail.api and site is not EMPTY:
        kinds |= {"package", "badge"}
    assert {schema_of(path) for path in found} == kinds
    for path, document in found.items():
        Draft202012Validator(SCHEMAS[schema_of(path)]).validate(document)


def objects(schema: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """All parts of a schema that describe a JSON object by its fields."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield path, schema
        for key, value in schema.items():
            yield from objects(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from objects(value, f"{path}[{number}]")


@pytest.mark.parametrize("name", ["channel", "packages", "package", "changes", "badge", "status"])
def test_no_schema_lets_a_field_pass_that_it_does_not_know(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    found = list(objects(schema))
    assert found
    for path, part in found:
        assert part["additionalProperties"] is False, path
        # What isn't known is null: every field is there in every file, but for whole records.
        assert set(part["properties"]) - set(part["required"]) <= {"record"}, path


def test_there_is_a_schema_for_each_file_and_no_other() -> None:
    # That of status.json is tested with the runs that write it.
    assert SCHEMAS.keys() == {"channel", "packages", "package", "changes", "badge", "status"}


@pytest.mark.parametrize("path", [path for path in answers(SITE) if "_mutex" not in path])
def test_a_field_more_is_no_longer_version_one(path: str) -> None:
    document = answers(SITE)[path]
    validator = Draft202012Validator(SCHEMAS[schema_of(path)])
    assert validator.is_valid(document)
    assert not validator.is_valid(document | {"more": None})
    for key in document:
        assert not validator.is_valid({k: v for k, v in document.items() if k != key}), key


def channel(site: Site) -> dict[str, Any]:
    found = answers(site)["api/v1/channel.json"]
    assert isinstance(found, dict)
    return found


def test_the_channel_tells_where_everything_is() -> None:
    info = dataclasses.replace(INFO, gateway_url="https://conda.acme.invalid")
    assert channel(dataclasses.replace(SITE, info=info)) == {
        "channel": "forge",
        "site": "https://acme.invalid/forge",
        "gateway": "https://conda.acme.invalid",
        "registry": "oci://ghcr.io/acme",
        "blobs": {"https": "https://ghcr.io/v2/acme/forge", "oci": "oci://ghcr.io/acme/forge"},
        "installs_by": "oci",
        "policy": INFO.policy,
        "validated_only": True,
        "detail": "full",
        "builds": 5,
        "names": 3,
        "subdirs": {
            subdir: {
                "builds": builds,
                "names": names,
                "repodata": f"{subdir}/repodata.json",
                "repodata_zst": f"{subdir}/repodata.json.zst",
                "shards": f"{subdir}/repodata_shards.msgpack.zst",
            }
            for subdir, builds, names in (("linux-64", 4, 3), ("noarch", 1, 1))
        },
    }


def test_what_is_not_known_of_a_channel_is_null() -> None:
    found = channel(UNKNOWN)
    assert (found["site"], found["gateway"], found["blobs"]) == (None, None, None)


def test_packages_are_told_of_with_their_newest_version_over_all_subdirs() -> None:
    found = answers(SITE)["api/v1/packages.json"]["packages"]
    assert list(found) == ["_mutex", "alpha", "beta"]
    assert found["alpha"] == {
        "version": "1.10",
        "summary": "Numbers, in rows",
        "builds": 3,
        "subdirs": ["linux-64", "noarch"],
    }
    assert found["beta"]["summary"] is None


def test_changes_are_told_in_their_order() -> None:
    found = answers(SITE)["api/v1/changes.json"]["changes"]
    assert [item["kind"] for item in found] == ["added", "removed"]
    assert found[0] == {
        "time": "2026-11-01T12:00:00Z",
        "kind": "added",
        "subdir": "noarch",
        "file": "alpha-1.9-h1_0.conda",
        "name": "alpha",
        "version": "1.9",
        "build": "h1_0",
    }


def test_the_schema_holds_as_many_changes_as_are_remembered() -> None:
    validator = Draft202012Validator(SCHEMAS["changes"])
    for count, sound in ((MAX_CHANGES, True), (MAX_CHANGES + 1, False)):
        drawn = api.draw_api(channel_of({}, [change()] * count))
        assert validator.is_valid(orjson.loads(drawn["api/v1/changes.json"])) is sound


def search(about: About) -> Any:
    summaries = summaries_of({"noarch": [record()]}, {"alpha": about})
    return orjson.loads(api.draw_api(channel_of(summaries))[api.SEARCH])


def test_search_reads_name_version_and_summary_of_each() -> None:
    found = orjson.loads(SITE.files()["search/names.json"])
    assert found == [
        ["_mutex", "0.1", ""],
        ["alpha", "1.10", "Numbers, in rows"],
        ["beta", "1.0", ""],
    ]
    assert orjson.loads(EMPTY.files()["search/names.json"]) == []


def test_what_every_visitor_loads_has_the_beginning_of_a_summary_alone() -> None:
    long = "ä" * 300
    for length, kept in ((99, 99), (100, 100), (101, 100), (300, 100)):
        assert search(About(long[:length])) == [["alpha", "1.0", long[:kept]]]
    # The API has all of it.
    site = Site({"noarch": [record()]}, about={"alpha": About(long)})
    assert answers(site)["api/v1/packages.json"]["packages"]["alpha"]["summary"] == long


def test_names_of_the_search_are_the_same_at_each_level() -> None:
    drawn = {
        dataclasses.replace(SITE, detail=detail).files()["search/names.json"]
        for detail in LEVELS
        if detail.lists
    }
    assert len(drawn) == 1


@pytest.mark.parametrize("level", [detail.level for detail in LEVELS])
def test_the_schema_knows_each_level(level: str) -> None:
    assert level in SCHEMAS["channel"]["properties"]["detail"]["enum"]
    assert len(SCHEMAS["channel"]["properties"]["detail"]["enum"]) == len(LEVELS)


def test_the_documentation_names_each_file_and_its_schema() -> None:
    channel = channel_of({"noarch": {}}, detail=FULL)
    text = pages.draw_pages(channel)["api/index.html"].decode()
    for path in ("channel.json", "packages.json", "packages/NAME.json", "changes.json"):
        assert f"api/v1/{path}</" in text, path
    assert "badges/NAME.json" in text
    assert set(re.findall(r"v1/schemas/([a-z]+)\.schema\.json", text)) == SCHEMAS.keys()
