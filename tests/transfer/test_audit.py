"""Who did what: written before it is done, never changed, one line each."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from indexer.errors import ConfigError, RegistryError
from indexer.transfer.audit import AuditLog, whoever_runs_this

NOW = datetime(2026, 11, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "deep/er/audit.jsonl", "anna@host", lambda: NOW)


def entries(log: AuditLog) -> list[dict[str, Any]]:
    text = log.path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


DONE = {"time": "2026-11-01T12:00:00+00:00", "who": "anna@host", "action": "marked"}


def test_a_line_is_there_before_anything_is_done(log: AuditLog) -> None:
    with log.doing("marked", ref="noarch/x:1-0", key=""):
        assert entries(log) == [DONE | {"ref": "noarch/x:1-0"}]
    assert len(entries(log)) == 1


def test_what_failed_is_said_to_have(log: AuditLog) -> None:
    with pytest.raises(RegistryError), log.doing("marked", ref="x"):
        raise RegistryError("no\nanswer")
    assert entries(log) == [DONE | {"ref": "x"}, DONE | {"ref": "x", "failed": "no\\nanswer"}]


def test_what_was_interrupted_stays_announced(log: AuditLog) -> None:
    with pytest.raises(KeyboardInterrupt), log.doing("marked"):
        raise KeyboardInterrupt
    assert entries(log) == [DONE]


def test_what_is_there_is_added_to(log: AuditLog) -> None:
    log.path.parent.mkdir(parents=True)
    log.path.write_text('{"old": 1}\n')
    with log.doing("marked"):
        pass
    assert entries(log) == [{"old": 1}, DONE]


def test_a_line_that_broke_off_stays_a_line_of_its_own(log: AuditLog) -> None:
    with log.doing("marked"):
        pass
    with log.path.open("a") as file:
        file.write('{"time": "2026')
    with log.doing("marked"):
        pass
    lines = log.path.read_text().splitlines()
    assert [json.loads(line) for line in (lines[0], lines[2])] == [DONE, DONE]
    assert lines[1] == '{"time": "2026'


def test_what_no_json_can_hold_is_written_all_the_same(log: AuditLog) -> None:
    # As an argument that is no UTF-8 arrives.
    with log.doing("marked", reason="\udcff \x1b[2J\n", long="x" * 5000):
        pass
    (entry,) = entries(log)
    assert entry["reason"] == "\\udcff \\x1b[2J\\n"
    assert len(entry["long"]) < 1100


def test_the_log_is_for_its_owner_to_write(log: AuditLog) -> None:
    before = os.umask(0)
    try:
        log.check()
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o644
    assert log.path.read_bytes() == b""


def as_folder(path: Path) -> None:
    path.mkdir()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("made", [as_folder, as_pipe, as_link])
def test_where_nothing_can_be_written_nothing_is_done(
    log: AuditLog, made: Callable[[Path], None]
) -> None:
    log.path.parent.mkdir(parents=True)
    made(log.path)
    with pytest.raises(ConfigError, match=r"audit\.jsonl"):
        log.check()
    done = []
    with pytest.raises(ConfigError), log.doing("marked"):
        done.append("marked")
    assert done == []
    assert not log.path.with_name("elsewhere").exists()


def test_a_pipe_that_somebody_reads_is_no_log(log: AuditLog) -> None:
    log.path.parent.mkdir(parents=True)
    os.mkfifo(log.path)
    reader = os.open(log.path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ConfigError, match="is no file"):
            log.check()
    finally:
        os.close(reader)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written"):
        AuditLog(tmp_path / "file/audit.jsonl", "anna").check()


@pytest.mark.parametrize("half", [True, False])
def test_a_full_disk_stops_what_was_to_be_done(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, *, half: bool
) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if half:
            return write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("indexer.transfer.audit.os.write", full)
    done = []
    with pytest.raises(ConfigError, match="can't be written"), log.doing("marked"):
        done.append("marked")
    assert done == []


LINES, WRITERS = 50, 4


def write_some(path: Path, who: str) -> None:
    log = AuditLog(path, who)
    for number in range(LINES):
        with log.doing("marked", number=str(number), filling="x" * 500):
            pass


def test_lines_of_many_threads_and_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    shared = AuditLog(path, "threads")

    def write_shared(name: str) -> None:
        for number in range(LINES):
            with shared.doing("marked", name=name, number=str(number)):
                pass

    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=write_some, args=(path, f"p{n}")) for n in range(2)]
    threads = [threading.Thread(target=write_shared, args=(f"t{n}",)) for n in range(2)]
    for process in processes:
        process.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.join()
    found = entries(shared)
    assert len(found) == LINES * WRITERS
    for who in ("p0", "p1"):
        assert [e["number"] for e in found if e["who"] == who] == [str(n) for n in range(LINES)]


def test_who_runs_this_is_named_and_on_whose_behalf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    monkeypatch.setattr("socket.gethostname", lambda: "host")
    assert whoever_runs_this({}) == "anna@host"
    assert whoever_runs_this({"GITHUB_ACTOR": "bob", "GITHUB_RUN_ID": "7"}) == (
        "anna@host for bob, run 7"
    )
    assert whoever_runs_this({"GITHUB_ACTOR": "bob"}).endswith("for bob, run unknown")


@pytest.mark.parametrize("error", [OSError("no name"), KeyError("uid")])
def test_a_user_without_a_name_is_nobody_known(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", nobody)
    assert whoever_runs_this({}).startswith("unknown@")
