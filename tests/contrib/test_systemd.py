"""The systemd unit of the gateway, read by systemd's own tools."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.cli import main
from indexer.gateway.options import Options
from tests.conftest import skip_unless
from tests.support.proxies import CONTRIB

UNIT = CONTRIB / "systemd" / "cf-index-gateway.service"
ENVIRONMENT = CONTRIB / "systemd" / "gateway.env"
PROGRAM = "/opt/cf-index/bin/cf-index"


def setting(name: str) -> str:
    """The one value that the unit has for a name."""
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    return str(value)


def in_words(line: str) -> dict[str, str]:
    """The variables of an EnvironmentFile, with the ones that are commented out."""
    found = re.findall(r"^#?([A-Z_]+)=(.*)$", line, re.MULTILINE)
    return {name: "".join(shlex.split(value)) for name, value in found}


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    reason = "the program 'systemd-analyze' is not installed (Debian: apt-get install systemd)"
    skip_unless(None if shutil.which("systemd-analyze") else reason)
    text = UNIT.read_text(encoding="utf-8")
    assert PROGRAM in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
    return copy


def test_systemd_finds_no_fault_with_the_unit(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_exposes_no_more_than_it_must(unit: Path) -> None:
    # In tenths: 12 with systemd 252, which rates each version's list of settings. What is left: it
    # uses the network, and may be asked by anybody.
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_units_flags_are_those_of_the_program() -> None:
    command, name, serve, *more = setting("ExecStart").split()
    assert (command, name, serve, more) == (PROGRAM, "serve", "$SERVE", [])
    words = in_words(ENVIRONMENT.read_text(encoding="utf-8"))
    # systemd splits what it puts in place of $SERVE at spaces.
    params = main.commands["serve"].make_context("serve", words["SERVE"].split()).params
    assert params["registry"]
    assert {"ORAS_USER", "ORAS_PASS", "SSL_CERT_FILE"} < words.keys()


def test_answers_under_way_have_their_time_before_it_is_killed() -> None:
    assert setting("KillSignal") == "SIGTERM"
    assert int(setting("TimeoutStopSec")) > Options().grace + 5


def test_wrong_flags_start_nothing_again_and_again() -> None:
    # The exit code of ConfigError.
    assert setting("RestartPreventExitStatus") == "2"


def test_there_are_files_enough_for_all_clients() -> None:
    options = Options()
    assert int(setting("LimitNOFILE")) > 2 * (options.connections + options.streams)
