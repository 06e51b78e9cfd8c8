"""``cf-index status`` as a monitor meets it: one line, an exit code, nothing that acts."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from demo.packages import build
from indexer.cli import main
from indexer.registry.exchange import Clock
from indexer.settings import read_duration
from tests.support import faults
from tests.support.rig import Rig
from tests.watching.host import Host, hosted


@pytest.fixture
def host(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    rig.push(build("alpha"))
    rig.push(build("beta"), validated=False)
    rig.now = datetime.now(UTC) - timedelta(minutes=27)
    rig.rebuild(run="1-1")
    passed = [0.0]
    monkeypatch.setattr(
        # The command hides the module of its name.
        sys.modules["indexer.cli.status"],
        "CLOCK",
        Clock(now=lambda: passed[0], sleep=lambda s: passed.append(passed.pop() + s)),
    )
    with hosted(rig.site) as host:
        yield host


def status(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["status", "--retry-for", "0", *arguments])


def test_all_is_well_in_one_line(host: Host) -> None:
    done = status(host.address)
    assert done.exit_code == 0
    assert re.fullmatch(
        rf"OK: {host.address}: served is the site of \S+Z \(run 1-1\), 12 minutes old: "
        r"1 record, 1 waiting\.\n",
        done.stdout,
    )
    assert done.stderr == ""


def test_a_stale_site_exits_1_and_says_which_is_served(host: Host) -> None:
    done = status(host.address, "--max-age", "10m")
    assert done.exit_code == 1
    assert done.stdout.startswith(
        f"STALE: {host.address}: status.json: it is older than 10 minutes"
    )
    assert "served is the site of" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_ninety_minutes_are_the_limit_where_none_is_said(host: Host, rig: Rig) -> None:
    path = rig.site / "status.json"
    old = (datetime.now(UTC) - timedelta(minutes=95)).strftime("%Y-%m-%dT%H:%M:%SZ")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"time": old}))
    assert status(host.address).exit_code == 1
    assert status(host.address, "--max-age", "2h").exit_code == 0
    # A deployment that is done again has the age that it has.
    assert status(host.address, "--run", "1-1").exit_code == 0
    assert status(host.address, "--run", "1-1", "--max-age", "90m").exit_code == 1


def test_a_run_that_is_not_served_exits_1_loudly(host: Host) -> None:
    done = status(host.address, "--run", "2-1", "--wait", "1m")
    assert done.exit_code == 1
    assert done.stdout.startswith("ANOTHER RUN: ")
    assert "(run 1-1)" in done.stdout
    # Said once, however often it was looked.
    assert done.stderr.count("Waiting.") == 1
    assert len(host.asked) == 7


def test_a_host_out_of_reach_exits_3(host: Host) -> None:
    host.status = 503
    done = status(host.address)
    assert done.exit_code == 3
    assert done.stdout.startswith("UNREACHABLE: ")
    assert "no stamp is served" in done.stdout
    assert status("http://127.0.0.1:9/").exit_code == 3


def test_a_folder_that_is_not_there_is_a_mistake_of_who_calls(tmp_path: Path) -> None:
    assert status(str(tmp_path / "missing")).exit_code == 2
    assert status(str(tmp_path)).exit_code == 1


def test_a_folder_is_looked_at_too(host: Host) -> None:
    assert status(str(host.folder)).exit_code == 0


def test_json_has_everything(host: Host) -> None:
    document = json.loads(status(host.address, "--json").stdout)
    assert document["state"] == "fine"
    assert document["exit_code"] == 0
    assert (document["run"], document["records"], document["waiting"]) == ("1-1", 1, 1)
    assert document["problems"] == []
    document = json.loads(status(host.address, "--json", "--run", "2").stdout)
    assert document["state"] == "another-run"
    assert document["problems"] == [{"where": "status.json", "what": "it is not that of run 2"}]


@pytest.mark.parametrize("run", ["\x1b[31m\n::error::x", "##[add-mask]x", "\u202e"])
@pytest.mark.parametrize("flag", ["--max-age=90m", "--json", "--log-format=github"])
def test_nothing_that_is_served_acts(host: Host, rig: Rig, run: str, flag: str) -> None:
    path = rig.site / "status.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"run": run}))
    done = status(host.address, flag, "--run", "1-1")
    assert done.exit_code == 1
    assert "##[" not in done.output
    assert "\x1b" not in done.output
    commands = [line for line in done.output.splitlines() if line.lstrip().startswith("::")]
    assert len(commands) == (1 if "github" in flag else 0)


def test_a_workflow_is_told(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CF_INDEX_LOG_FORMAT", "github")
    monkeypatch.setenv("CF_INDEX_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    assert status(host.address).exit_code == 0
    assert not (tmp_path / "summary.md").exists()
    done = status(host.address, "--run", "2-1")
    assert "\n::error title=cf-index status::ANOTHER RUN" in done.stdout
    assert (tmp_path / "summary.md").read_text().startswith("## cf-index status: another-run\n")
    assert (tmp_path / "outputs").read_text().splitlines()[1::3] == ["fine", "another-run"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("2h", 7200), ("1d", 86_400), ("0s", 0)]
)
def test_a_duration_has_a_unit(text: str, seconds: int) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "m", "-1m", "1.5h", "1w", "1h30m", "9999999d", "٣m"])
def test_what_is_no_duration_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="duration"):
        read_duration(text)
    for flag in ("--max-age", "--wait"):
        if text:
            done = status(str(tmp_path), f"{flag}={text}")
            assert done.exit_code == 2
            assert flag in done.stderr


def test_a_run_that_can_be_none_is_refused(tmp_path: Path) -> None:
    assert status(str(tmp_path), "--run", "a b\n").exit_code == 2


def test_a_host_that_drips_is_not_listened_to_for_ever(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["indexer.cli.status"], "_LONGEST", 1.0)
    dripping = faults.Answer(200, {}, b" " * 100_000, delivery=faults.Delivery.DRIP, interval=0.05)
    rig.fake.knobs.faults = [faults.Fault(faults.anything, None, lambda *_: dripping)]
    began = time.monotonic()
    done = status(rig.fake.http)
    assert done.exit_code == 3
    # Whole, it would take more than an hour.
    assert time.monotonic() - began < 60


def test_one_may_wait_for_as_long_as_one_likes(host: Host) -> None:
    assert status(host.address, "--wait", "200000d").exit_code == 0
