"""Each file of the JSON API is what the schema says that is published beside it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.browser.channel import Channel

API = Path("api") / "v1"
# By the folder and name of a file; "*" is a package's name.
SCHEMAS = {
    "channel.json": "channel",
    "packages.json": "packages",
    "changes.json": "changes",
    "packages/*.json": "package",
    "badges/*.json": "badge",
}


def validators(site: Path) -> dict[str, Draft202012Validator]:
    found = {}
    for name in SCHEMAS.values():
        schema = json.loads((site / API / "schemas" / f"{name}.schema.json").read_bytes())
        Draft202012Validator.check_schema(schema)
        found[name] = Draft202012Validator(schema)
    return found


def documents(site: Path) -> Iterator[tuple[Path, str, Any]]:
    """Every file of the API but the schemas: its path, its schema's name, and what it holds."""
    for pattern, schema in SCHEMAS.items():
        for path in sorted((site / API).glob(pattern)):
            yield path, schema, json.loads(path.read_bytes())


def test_every_file_of_the_api_matches_its_schema(
    site: Path, empty: Channel, single: Channel, crowded: Channel
) -> None:
    for folder in (site, empty.site, single.site, crowded.site):
        known = validators(folder)
        seen = set()
        for path, schema, document in documents(folder):
            wrong = [error.message for error in known[schema].iter_errors(document)]
            assert wrong == [], path
            seen.add(path)
        every = {path for path in (folder / API).rglob("*") if path.is_file()}
        assert seen == {path for path in every if path.parent.name != "schemas"}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a document whose fields a schema names, records left out."""
    if isinstance(value, dict):
        yield value
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(child, dict | list) and key != "record":
            yield from objects(child)


@pytest.mark.parametrize("schema", SCHEMAS.values())
def test_a_file_with_another_field_is_refused(site: Path, schema: str) -> None:
    """A schema that lets everything through would say nothing."""
    validator = validators(site)[schema]
    document = next(item for _, name, item in documents(site) if name == schema)
    for number, _ in enumerate(objects(document)):
        changed = copy.deepcopy(document)
        list(objects(changed))[number]["not in the schema"] = []
        assert not validator.is_valid(changed), f"object {number}"
        if number > 20:
            break


@pytest.mark.parametrize("schema", SCHEMAS.values())
def test_a_file_without_a_field_is_refused(site: Path, schema: str) -> None:
    validator = validators(site)[schema]
    document = next(item for _, name, item in documents(site) if name == schema)
    for field in document:
        changed = {key: value for key, value in document.items() if key != field}
        assert not validator.is_valid(changed), field


def test_the_api_holds_what_the_index_holds(site: Path) -> None:
    indexed: dict[tuple[str, str], Any] = {}
    for path in site.glob("*/repodata.json"):
        repodata = json.loads(path.read_bytes())
        records = repodata["packages"] | repodata["packages.conda"]
        indexed |= {(path.parent.name, name): record for name, record in records.items()}
    told = {}
    whole = 0
    for _, schema, document in documents(site):
        if schema != "package":
            continue
        for number, build in enumerate(document["builds"]):
            record = indexed[build["subdir"], build["file"]]
            told[build["subdir"], build["file"]] = record
            for field in ("version", "build", "sha256", "size", "indexed_timestamp"):
                assert build[field] == record[field]
            assert ("record" in build) == (number < 20)
            if "record" in build:
                assert build["record"] == record
                whole += 1
    assert told == indexed
    assert whole < len(indexed)


def test_a_builds_blob_is_where_the_template_says(site: Path) -> None:
    document = json.loads((site / API / "packages" / "_openmp_mutex.json").read_bytes())
    build = document["builds"][0]
    addresses = {
        kind: text.replace("{subdir}", build["subdir"]).replace("{sha256}", build["sha256"])
        for kind, text in document["blob"].items()
    }
    place = f"forge/{build['subdir']}/zzz_openmp_mutex"
    assert addresses["https"] == (
        f"https://registry.example.org/v2/{place}/blobs/sha256:{build['sha256']}"
    )
    assert addresses["oci"].startswith(f"oci://registry.example.org/{place}")
