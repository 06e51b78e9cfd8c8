"""status.json has what a monitor needs, and says which files it was published with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from demo.packages import build
from indexer.rebuild import report as reports
from indexer.rebuild.report import Report, Waiting
from tests.support.rig import Rig

SCHEMA = "api/v1/schemas/status.schema.json"


def status_of(rig: Rig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((rig.site / "status.json").read_bytes())
    return found


def snapshot_hash(site: Path) -> str:
    return hashlib.sha256((site / "history/snapshot.json").read_bytes()).hexdigest()


def test_a_status_names_the_snapshot_that_it_was_published_with(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    first = status_of(rig)["snapshot"]
    assert first == snapshot_hash(rig.site)
    rig.rebuild()
    assert status_of(rig)["snapshot"] == first
    rig.push(build("beta"))
    rig.rebuild()
    assert first != status_of(rig)["snapshot"] == snapshot_hash(rig.site)


def test_a_status_that_is_swapped_in_with_its_site_is_whole_by_itself(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the swap and the last word, the site has the status that was staged."""
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("beta"))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("indexer.rebuild.finishing.refresh_status", killed)
    with pytest.raises(KeyboardInterrupt):
        rig.rebuild()
    status = status_of(rig)
    assert status["snapshot"] == snapshot_hash(rig.site)
    assert status["counts"]["records"]["total"] == 2
    assert status["outcome"] == "published"


def test_a_run_of_one_subdir_counts_the_records_of_all(rig: Rig) -> None:
    for subdir in ("linux-64", "osx-64"):
        rig.push(build("alpha", subdir=subdir))
    rig.rebuild()
    rig.push(build("beta", subdir="linux-64"))
    report = rig.rebuild(subdirs=("linux-64",))
    counts = status_of(rig)["counts"]
    assert counts["records"] == {
        "total": 3,
        "subdirs": {"linux-64": 2, "noarch": 0, "osx-64": 1},
    }
    assert counts["requests"] == sum(report.requests.values()) > 0


def test_the_longest_waiting_is_named_though_it_is_in_the_last_subdir(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push(build("old", subdir="osx-64"), validated=False)
    rig.rebuild()
    since = rig.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    rig.push(build("young", subdir="linux-64"), validated=False)
    monkeypatch.setattr(reports, "MAX_NAMED", 1)
    rig.rebuild()
    waiting = status_of(rig)["waiting"]
    assert [item["repository"] for item in waiting["first"]] == ["young"]
    assert waiting["oldest"] == since
    assert waiting["longest"] == {
        "subdir": "osx-64",
        "repository": "old",
        "tag": "1.0-0",
        "since": since,
    }


def test_where_nothing_waits_nothing_is_named(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    waiting = status_of(rig)["waiting"]
    assert (waiting["oldest"], waiting["longest"]) == (None, None)
    assert status_of(rig)["counts"]["waiting"] == 0


def test_the_duration_is_that_of_the_run_not_of_writing_it_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "_now", lambda: 103.5)
    report = Report("2026-11-01T12:00:00Z", "0", "r", "c", "p", "o", _began=100.0)
    assert report.as_status()["seconds"] == 3.5


def test_a_report_of_very_many_waiting_is_cut_before_it_is_copied() -> None:
    report = Report("2026-11-01T12:00:00Z", "0", "r", "c", "p", "o")
    report.waiting = [
        Waiting("noarch", "a", str(n), f"2026-11-01T12:00:{59 - n % 60:02}Z") for n in range(5000)
    ]
    status = report.as_status()
    assert len(status["waiting"]["first"]) == reports.MAX_NAMED
    assert status["waiting"]["longest"]["since"] == "2026-11-01T12:00:00Z"


def test_each_status_is_as_its_schema_says(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("waits"), validated=False)
    rig.push(build("liar"), repository="honest")
    for run in ("", "12-1"):
        rig.rebuild(run=run)
        schema = json.loads((rig.site / SCHEMA).read_bytes())
        validator = Draft202012Validator(schema)
        status = status_of(rig)
        validator.validate(status)
        assert status["run"] == run
        assert not validator.is_valid(status | {"more": None})
        for key in status:
            assert not validator.is_valid({k: v for k, v in status.items() if k != key}), key
    assert status["left_out"]["total"] == 1
