"""channeldata.json by CEP 38."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from indexer.channel.about import About
from indexer.channel.record import Record
from indexer.render.channeldata import by_name, render_channeldata
from indexer.render.summary import NameSummary
from tests.channel.samples import record
from tests.render.channels import summarize

FLAGS = {
    "activate.d",
    "binary_prefix",
    "deactivate.d",
    "post_link",
    "pre_link",
    "pre_unlink",
    "text_prefix",
}


def summaries(*records: Record) -> dict[str, NameSummary]:
    names = {item.name for item in records}
    return {name: summarize(r for r in records if r.name == name) for name in names}


def rendered(subdirs: dict[str, dict[str, NameSummary]]) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(render_channeldata(subdirs))
    return document


def only(*records: Record) -> dict[str, Any]:
    (package,) = rendered({"noarch": summaries(*records)})["packages"].values()
    assert isinstance(package, dict)
    return package


CHANNEL = {
    "noarch": summaries(record("alpha", "1.9"), record("gamma")),
    "linux-64": summaries(record("alpha", "1.10"), record("beta")),
    "osx-64": summaries(),
}


def test_the_whole_says_its_version_and_its_subdirs_in_order() -> None:
    document = rendered(CHANNEL)
    assert document["channeldata_version"] == 1
    assert document["subdirs"] == ["linux-64", "noarch", "osx-64"]
    assert set(document) == {"channeldata_version", "subdirs", "packages"}
    assert list(document["packages"]) == ["alpha", "beta", "gamma"]


def test_a_name_in_two_subdirs_has_the_newest_version_of_both() -> None:
    alpha = rendered(CHANNEL)["packages"]["alpha"]
    assert (alpha["version"], alpha["subdirs"]) == ("1.10", ["linux-64", "noarch"])


def test_every_required_field_is_there_with_its_type() -> None:
    package = only(record(license="MIT"))
    assert {key for key, value in package.items() if value is False} == FLAGS
    assert package["run_exports"] == {}
    assert package["subdirs"] == ["noarch"]
    assert package["version"] == "1.0"
    assert type(package["timestamp"]) is int


def test_fields_that_nobody_said_are_left_out_not_null() -> None:
    assert "license" not in only(record(license=None))
    assert None not in only(record(license=None)).values()
    assert only(record(license="MIT"))["license"] == "MIT"


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        (1_700_000_000_999, 1_700_000_000),
        (0, 0),
        (1_604_417_213, 1_604_417_213),
        (253_402_300_799, 253_402_300_799),
        (253_402_300_800, 253_402_300),
    ],
)
def test_the_time_is_in_seconds_whichever_unit_the_package_used(
    timestamp: int, seconds: int
) -> None:
    # Real packages have both; clients tell them apart by size (fribidi 1.0.10 has seconds).
    assert only(record(timestamp=timestamp))["timestamp"] == seconds


def test_the_time_is_the_latest_of_all_whichever_unit_they_used() -> None:
    old = record(version="1.0", timestamp=1_500_000_000_000)
    new = record(version="1.1", timestamp=1_604_417_213)
    assert only(old, new)["timestamp"] == 1_604_417_213


def test_one_name_a_line_and_the_same_bytes_in_whatever_order() -> None:
    data = render_channeldata(CHANNEL)
    backwards = {
        subdir: dict(reversed(names.items())) for subdir, names in reversed(CHANNEL.items())
    }
    assert render_channeldata(backwards) == data
    assert sum(line.startswith(b'"alpha":') for line in data.splitlines()) == 1


def test_an_empty_channel_is_still_one() -> None:
    assert rendered({"noarch": {}})["packages"] == {}
    assert rendered({}) == {"channeldata_version": 1, "subdirs": [], "packages": {}}


def test_names_by_subdir_are_turned_into_subdirs_by_name() -> None:
    names = by_name(CHANNEL)
    assert {name: list(found) for name, found in names.items()} == {
        "alpha": ["linux-64", "noarch"],
        "beta": ["linux-64"],
        "gamma": ["noarch"],
    }


def test_of_several_subdirs_the_newest_version_speaks_for_a_package() -> None:
    said = {
        subdir: {"alpha": replace(names["alpha"], about=About(summary=subdir))}
        for subdir, names in CHANNEL.items()
        if "alpha" in names
    }
    assert rendered(said)["packages"]["alpha"]["summary"] == "linux-64"


def test_each_link_is_called_as_the_format_has_it() -> None:
    about = About("s", "https://h.org", "https://s.org", "https://d.org")
    said = {"noarch": {"gamma": replace(CHANNEL["noarch"]["gamma"], about=about)}}
    package = rendered(said)["packages"]["gamma"]
    keys = ("summary", "home", "dev_url", "doc_url")
    assert [package[key] for key in keys] == [
        "s",
        "https://h.org",
        "https://s.org",
        "https://d.org",
    ]
    assert not package.keys() & {"source", "documentation", "about"}
    assert not only(record("gamma")).keys() & {*keys}
