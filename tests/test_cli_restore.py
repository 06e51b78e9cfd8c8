"""``cf-index restore`` as an operator in a hurry meets it: what it prints, and how it exits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from demo.packages import build
from indexer.render import shards
from indexer.render.generations import GENERATIONS
from tests.support.rig import Rig, records_in, tree_of
from tests.support.web import served
from tests.test_cli import run


@pytest.fixture
def channel(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Two generations, and a settings file."""
    monkeypatch.chdir(rig.root)
    Path("cf-index.toml").write_text(
        f'registry = "oci+{rig.fake.http}/acme"\nchannel = "forge"\noutput = "site"\n'
        'retry-for = 0.2\nstate = "state"\n'
    )
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("alpha", "6.6.6"))
    rig.rebuild()
    return rig


def times(site: Path) -> list[str]:
    return [item["time"] for item in json.loads((site / GENERATIONS).read_bytes())]


def test_list_then_restore_then_list(channel: Rig) -> None:
    listed = run("restore", "--list")
    assert listed.returncode == 0, listed.stderr
    new, old = times(channel.site)
    assert listed.stdout.splitlines() == [
        f"{new}  2 records (noarch 2); published now",
        f"{old}  1 records (noarch 1)",
    ]

    done = run("restore", old)

    assert done.returncode == 0, done.stderr
    assert f"Note: this is the channel as it was published at {old}" in done.stdout
    assert "0 records come, 1 go, 0 change" in done.stdout
    assert "Published: site" in done.stdout
    assert set(records_in(channel.site, "noarch")) == {"alpha-1.0-0.conda"}
    assert f"published now; the same as {old}" in run("restore", "--list").stdout
    channel.assert_sound()


def test_a_schedulers_step_is_told_as_of_every_run(channel: Rig) -> None:
    done = run(
        *("restore", "--previous", "site", "--output", "new", "--run", "4711"),
        *("--summary", "summary.md", "--"),
        times(channel.site)[1],
        CF_INDEX_LOG_FORMAT="github",
        GITHUB_OUTPUT="outputs",
    )
    assert done.returncode == 0, done.stderr
    assert Path("outputs").read_text().splitlines()[1] == "published"
    assert times(channel.site)[1] in Path("summary.md").read_text()
    assert json.loads(Path("new/status.json").read_text())["run"] == "4711"


@pytest.mark.parametrize("time", ["1999", "2026", "; rm -rf /", "--help-me"])
def test_a_time_that_is_none_exits_2_and_changes_nothing(channel: Rig, time: str) -> None:
    before = tree_of(channel.site)
    done = run("restore", "--", time)
    assert done.returncode == 2
    assert times(channel.site)[0] in done.stderr
    assert tree_of(channel.site) == before


def test_a_damaged_generation_exits_4_and_changes_nothing(channel: Rig) -> None:
    (kept,) = (channel.site / "history/noarch").glob(f"*{shards.SUFFIX}")
    kept.write_bytes(b"x")
    before = tree_of(channel.site)
    done = run("restore", "--summary", "summary.md")
    assert done.returncode == 4
    assert "can't be restored" in done.stderr
    assert "can't be restored" in Path("summary.md").read_text()
    assert tree_of(channel.site) == before


def test_from_an_address_on_a_machine_with_nothing_but_the_settings(channel: Rig) -> None:
    shutil.move(channel.site, "published")
    shutil.rmtree("state")
    with served(channel.root / "published") as address:
        listed = run("restore", "--list", "--previous", address)
        assert len(listed.stdout.splitlines()) == 2
        assert not channel.site.exists()
        done = run("restore", "--previous", address)
    assert done.returncode == 0, done.stderr
    assert set(records_in(channel.site, "noarch")) == {"alpha-1.0-0.conda"}


def test_an_address_that_does_not_answer_exits_3(channel: Rig) -> None:
    before = tree_of(channel.site)
    for words in (["--list"], []):
        done = run("restore", *words, "--previous", "http://127.0.0.1:9/")
        assert done.returncode == 3
    assert tree_of(channel.site) == before


def test_no_site_exits_2(channel: Rig) -> None:
    shutil.rmtree(channel.site)
    for words in (["--list"], []):
        done = run("restore", *words)
        assert done.returncode == 2
        assert "There is no site" in done.stderr
    assert not channel.site.exists()


def test_a_list_that_was_lost_exits_with_an_error_and_a_remedy(channel: Rig) -> None:
    (channel.site / GENERATIONS).unlink()
    assert run("restore", "--list").returncode == 3
    done = run("restore")
    assert done.returncode == 2
    assert "the next publication begins a new list" in " ".join(done.stderr.split())
