"""mirror, pull and publish as a person or a scheduler meets them: exit codes, words, streams."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from demo.packages import build
from indexer.cli import main
from indexer.cli.display import Terminal
from tests.support import faults
from tests.support.loopback import FileHost
from tests.support.rig import Rig
from tests.transfer.stage import Origin, exactly, held_by

ALPHA, BETA = build("alpha"), build("beta", subdir="linux-64")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "upstream")
    made.add(ALPHA, BETA)
    return made.write()


def run(rig: Rig, *words: object) -> Result:
    target = ["--registry", f"oci+{rig.fake.http}/acme", "--channel", "forge"]
    command = [*map(str, words), *target, "--retry-for", "0.1"]
    done = CliRunner().invoke(main, command)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    return done


def test_a_channel_goes_round(rig: Rig, origin: Origin) -> None:
    done = run(rig, "mirror", "--from", origin.root)
    assert done.exit_code == 0, done.output
    assert "2 files mirrored" in done.stdout
    assert "Mirrored: noarch/alpha-1.0-0.conda" in done.stdout
    done = run(rig, "pull", "--output", rig.root / "out")
    assert (done.exit_code, (rig.root / "out/noarch" / ALPHA.file_name).read_bytes()) == (
        0,
        ALPHA.data,
    )
    done = run(rig, "publish", rig.root / "out")
    assert done.exit_code == 0, done.output
    assert "4 files published" in done.stdout
    done = run(rig, "mirror", "--from", origin.root)
    assert "0 files mirrored (0 B); 2 were there already" in done.stdout


def test_a_dry_run_says_that_it_was_one(rig: Rig, origin: Origin) -> None:
    done = run(rig, "mirror", "--from", origin.root, "--dry-run")
    size = (ALPHA.size + BETA.size) / 1000
    assert f"2 files would be mirrored ({size:.1f} kB)" in done.stdout
    assert "Would be mirrored: linux-64/beta-1.0-0.conda" in done.stdout
    assert held_by(rig) == {}


def test_what_failed_is_named_and_exits_5(rig: Rig, origin: Origin) -> None:
    with FileHost(origin.root) as host:
        bad = f"/noarch/{ALPHA.file_name}"
        host.faults = [faults.tampered(match=faults.is_path(bad))]
        done = run(rig, "mirror", "--from", host.http)
    assert done.exit_code == 5
    assert "Failed: noarch/alpha-1.0-0.conda: what http://" in done.stdout
    assert "1 failed" in done.stdout
    assert held_by(rig) == exactly(BETA)
    digest = f"sha256:{BETA.sha256}"
    rig.fake.knobs.faults = [faults.tampered(match=faults.is_blob(digest=digest))]
    done = run(rig, "pull", "--output", rig.root / "out")
    assert done.exit_code == 5
    assert "Failed: linux-64/beta-1.0-0.conda" in done.stdout


def test_the_guard_exits_4_and_says_how_to_go_on(rig: Rig, origin: Origin) -> None:
    run(rig, "mirror", "--from", origin.root)
    origin.remove(BETA)
    origin.write()
    done = run(rig, "mirror", "--from", origin.root, "--prune")
    assert done.exit_code == 4
    assert "--allow-drop" in done.stderr
    done = run(rig, "mirror", "--from", origin.root, "--prune", "--allow-drop")
    assert done.exit_code == 0, done.output
    assert "1 removed" in done.stdout
    assert held_by(rig) == exactly(ALPHA)


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize("auth", ["basic", "token"])
def test_without_credentials_writing_is_an_error_that_says_what_to_do(
    rig: Rig, origin: Origin, auth: str, dry_run: list[str]
) -> None:
    rig.fake.knobs.auth = "basic" if auth == "basic" else "token"
    rig.fake.knobs.anonymous = auth == "token"
    rig.fake.knobs.users = {"me": "right"}
    for command in (["mirror", "--from", origin.root], ["publish", origin.root]):
        done = run(rig, *command, *dry_run)
        if dry_run and auth == "token":
            continue  # anybody may read there, and a dry run does no more
        assert done.exit_code == 3, done.output
        assert "ORAS_USER" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mirror"], "--from"),
        (["mirror", "--from", "no such"], "is no channel"),
        (["mirror", "--from", "./absent"], "There is no folder"),
        (["mirror", "--from", ".", "--max-drop", "lots"], "percentage"),
        (["mirror", "--from", ".", "--subdir", "../x"], "--subdir"),
        (["pull"], "--output"),
        (["pull", "--output", "/dev/null/x"], "can't be made"),
        (["publish"], "DIR|URL"),
        (["publish", "./absent"], "There is no folder"),
    ],
    ids=str,
)
def test_wrong_usage_exits_2_and_says_what_is_right(
    rig: Rig, words: list[str], sentence: str
) -> None:
    done = run(rig, *words)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not [r for r in rig.fake.requests if r.method not in {"GET", "HEAD"}]


def test_an_unavailable_registry_exits_3(rig: Rig, origin: Origin) -> None:
    rig.fake.knobs.faults = [faults.status(503)]
    for words in (["pull", "--output", rig.root / "out"], ["publish", origin.root]):
        done = run(rig, *words)
        assert done.exit_code == 3
        assert "503" in done.stderr


def test_whole_names_need_no_catalog_to_be_pulled(rig: Rig, origin: Origin) -> None:
    run(rig, "mirror", "--from", origin.root)
    rig.fake.knobs.catalog = False
    words = ["--package", "alpha", "--subdir", "noarch", "--subdir", "linux-64"]
    done = run(rig, "pull", "--output", rig.root / "out", *words)
    assert done.exit_code == 0, done.output
    assert (rig.root / "out/noarch" / ALPHA.file_name).exists()
    assert run(rig, "pull", "--output", rig.root / "out", "--package", "al*").exit_code == 3


def test_hostile_names_do_not_reach_the_terminal_as_control_codes(rig: Rig, origin: Origin) -> None:
    records = origin.records["noarch"]
    records["\x1b[31m.conda"] = records.pop(ALPHA.file_name)
    done = run(rig, "mirror", "--from", origin.write().root)
    assert done.exit_code == 5
    assert "\x1b" not in done.output


HIDDEN = "SECRETTOKEN"


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a terminal would be told is being done."""
    told: list[str] = []

    def begin(_: Terminal, what: str, total: int | None, unit: str = "items") -> None:
        told.append(f"{what} {total} {unit}")

    monkeypatch.setattr(Terminal, "begin", begin)
    return told


@pytest.mark.parametrize("command", [["mirror", "--from"], ["publish"]])
def test_a_token_in_an_address_where_nobody_answers_is_not_shown(
    rig: Rig, bars: list[str], command: list[str]
) -> None:
    done = run(rig, *command, f"http://127.0.0.1:9/t/{HIDDEN}/ch")
    assert done.exit_code != 0
    assert "http://127.0.0.1:9/t/.../ch/" in done.output
    assert HIDDEN not in done.output + "".join(bars)


@pytest.mark.parametrize("status", [None, 403, 404, 500])
@pytest.mark.parametrize("ending", [".zst", ".json", ".conda", ""])
@pytest.mark.parametrize("command", [["mirror", "--from"], ["publish"]])
def test_a_token_in_an_address_is_not_shown_whatever_goes_wrong(
    rig: Rig, tmp_path: Path, bars: list[str], command: list[str], ending: str, status: int | None
) -> None:
    root = tmp_path / "host"
    made = Origin(root / "t" / HIDDEN / "ch")
    made.add(ALPHA, BETA)
    made.write()
    with FileHost(root) as host:

        def match(request: faults.Request) -> bool:
            return request.path.endswith(ending)

        fault = faults.status(status, match=match) if status else faults.tampered(match=match)
        host.faults = [fault]
        done = run(rig, *command, f"{host.http}/t/{HIDDEN}/ch")
    assert HIDDEN not in done.output + "".join(bars)
    # That of publish is about what it pushes, and names no address.
    assert ("/t/.../ch/" in "".join(bars)) == (command[0] == "mirror")


@pytest.mark.parametrize("command", ["mirror", "publish"])
def test_nobody_is_promised_subdirs_that_an_address_does_not_tell(command: str) -> None:
    told = " ".join(CliRunner().invoke(main, [command, "--help"]).stdout.split())
    assert "[default: all of a folder; at an address all that are known]" in told
