"""What a monitor is told of a site: stale, mixed, of another run, out of reach; or fine."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.packages import build
from indexer.published import Folder, Website
from indexer.registry import Transport
from indexer.registry.exchange import Clock
from indexer.watching.look import EVERY, Asked, Seen, State, for_people, look, watch
from tests.support.rig import Rig
from tests.watching.host import Host, hosted

INDEX = "noarch/repodata_shards.msgpack.zst"


@pytest.fixture
def host(rig: Rig) -> Iterator[Host]:
    for name in ("alpha", "beta"):
        rig.push(build(name))
    rig.push(build("gamma", subdir="linux-64"))
    rig.rebuild(run="1-1")
    with hosted(rig.site) as host:
        yield host


@dataclass
class Time:
    """A clock that is moved by who waits."""

    rig: Rig
    passed: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.passed += seconds
        self.slept.append(seconds)


def see(host: Host, rig: Rig, wait: float = 0, time: Time | None = None, **asked: Any) -> Seen:
    time = time or Time(rig)
    transport = Transport(retry_for=0)
    with tempfile.TemporaryDirectory() as scratch:
        seen = watch(
            Website(host.address, transport, Path(scratch), fresh=True),
            Asked(**asked),
            wait=timedelta(seconds=wait),
            clock=Clock(now=lambda: time.passed, sleep=time.sleep),
            now=lambda: rig.now + timedelta(seconds=time.passed),
        )
        transport.close()
        # Who looks again and again must not fill the disk.
        assert list(Path(scratch).iterdir()) == []
    return seen


def problems(seen: Seen) -> list[str]:
    return [str(problem) for problem in seen.findings.problems]


def edit(host: Host, **fields: Any) -> None:
    """Serve another status.json."""
    status = json.loads((host.folder / "status.json").read_bytes())
    for key, value in fields.items():
        status[key] = value
        if value is None:
            del status[key]
    (host.folder / "status.json").write_text(json.dumps(status))


def test_a_site_as_it_was_published_is_fine(host: Host, rig: Rig) -> None:
    seen = see(host, rig, run="1-1", max_age=timedelta(minutes=1))
    assert (seen.state, problems(seen), seen.uncompared) == (State.FINE, [], [])
    assert seen.age == 0
    assert INDEX in seen.compared
    assert "linux-64/repodata.json.zst" in seen.compared
    # The large files are asked for their size alone.
    assert not [
        what for what, _ in host.asked if what.startswith("GET") and "repodata.json" in what
    ]
    assert len(host.asked) < 12


def test_a_site_in_a_folder_is_looked_at_as_well(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild(run="1-1")
    assert look(Folder(rig.site), Asked(run="1-1"), rig.now).state is State.FINE
    (rig.site / "noarch/repodata.json").unlink()
    assert problems(look(Folder(rig.site), Asked(), rig.now)) == ["noarch/repodata.json: missing"]


@pytest.mark.parametrize(("minutes", "state"), [(90, State.FINE), (91, State.STALE)])
def test_a_site_is_stale_when_it_is_older_than_it_may_be(
    host: Host, rig: Rig, minutes: int, state: State
) -> None:
    rig.now += timedelta(minutes=minutes)
    seen = see(host, rig, max_age=timedelta(minutes=90))
    assert seen.state is state
    assert seen.age == minutes * 60
    assert see(host, rig).state is State.FINE


@pytest.mark.parametrize(("minutes", "state"), [(10, State.FINE), (11, State.STALE)])
def test_a_time_in_the_future_is_no_way_to_stay_fresh_for_ever(
    host: Host, rig: Rig, minutes: int, state: State
) -> None:
    rig.now -= timedelta(minutes=minutes)
    seen = see(host, rig)
    assert seen.state is state
    assert seen.age == -minutes * 60
    assert [text for text in problems(seen) if "in the future" not in text] == []


def test_what_a_cache_holds_is_not_asked_for(host: Host, rig: Rig) -> None:
    """The cache has each address as it was first asked for: with or without our run."""
    assert see(host, rig, run="1-1").state is State.FINE
    rig.push(build("delta"))
    rig.rebuild(run="2-1")
    assert see(host, rig, run="2-1").state is State.FINE
    assert {control for _, control in host.asked} == {"no-cache"}
    assert len({what for what, _ in host.asked}) == len(host.asked)


@pytest.mark.parametrize(
    "stale",
    ["history/snapshot.json", INDEX, "noarch/repodata.json", "noarch/repodata.json.zst"],
)
def test_files_of_two_publications_are_told_apart(host: Host, rig: Rig, stale: str) -> None:
    old = (rig.site / stale).read_bytes()
    rig.push(build("delta-with-a-name"))
    rig.rebuild(run="2-1")
    host.change = lambda path, data: old if path == stale else data
    seen = see(host, rig, run="2-1")
    assert seen.state is State.INCONSISTENT
    assert problems(seen)[0].startswith(f"{stale}: ")


def test_a_status_that_is_older_than_its_files_is_told(host: Host, rig: Rig) -> None:
    old = (rig.site / "status.json").read_bytes()
    rig.push(build("delta"))
    rig.rebuild(run="2-1")
    host.change = lambda path, data: old if path == "status.json" else data
    seen = see(host, rig)
    assert seen.state is State.INCONSISTENT
    assert "history/snapshot.json: it is not that of status.json" in problems(seen)[0]


@pytest.mark.parametrize(
    "lost", ["status.json", "history/snapshot.json", INDEX, "channeldata.json"]
)
def test_a_file_that_is_missing_is_named(host: Host, rig: Rig, lost: str) -> None:
    host.change = lambda path, data: None if path == lost else data
    seen = see(host, rig)
    assert seen.state is State.INCONSISTENT
    assert problems(seen)[0].startswith(f"{lost}: missing")


def test_a_shard_index_of_the_same_size_is_told_by_its_hash(host: Host, rig: Rig) -> None:
    host.change = lambda path, data: (data or b"")[::-1] if path == INDEX else data
    seen = see(host, rig)
    assert "its sha256 is" in problems(seen)[0]
    assert seen.state is State.INCONSISTENT


def test_a_site_that_is_published_while_it_is_looked_at_is_looked_at_again(
    host: Host, rig: Rig
) -> None:
    published: list[str] = []

    def change(path: str, data: bytes | None) -> bytes | None:
        if path == "history/snapshot.json" and not published:
            published.append(path)
            rig.push(build("delta"))
            rig.now -= timedelta(minutes=15)
            rig.rebuild(run="2-1")
            return (rig.site / path).read_bytes()
        return data

    host.change = change
    seen = see(host, rig)
    assert published
    assert (seen.state, problems(seen)) == (State.FINE, [])
    assert seen.stamp is not None
    assert seen.stamp.run == "2-1"


def test_a_site_that_changes_all_the_time_is_not_looked_at_for_ever(host: Host, rig: Rig) -> None:
    count = iter(range(1000))

    def change(path: str, data: bytes | None) -> bytes | None:
        if path == "status.json" and data:
            return json.dumps(json.loads(data) | {"run": f"{next(count)}-1"}).encode()
        return None if path == INDEX else data

    host.change = change
    assert see(host, rig).state is State.INCONSISTENT
    assert next(count) < 10


def test_another_run_is_named_and_its_files_are_not_looked_at(host: Host, rig: Rig) -> None:
    seen = see(host, rig, run="2-1")
    assert seen.state is State.ANOTHER_RUN
    assert seen.stamp is not None
    assert seen.stamp.run == "1-1"
    assert len(host.asked) == 1


def test_a_run_that_comes_in_time_is_waited_for(host: Host, rig: Rig) -> None:
    time = Time(rig)

    def change(path: str, data: bytes | None) -> bytes | None:
        if path == "status.json" and time.passed >= 25 and data:
            return json.dumps(json.loads(data) | {"run": "2-1"}).encode()
        return data

    host.change = change
    seen = see(host, rig, wait=600, time=time, run="2-1")
    assert seen.state is State.FINE
    assert time.slept == [EVERY] * 3


def test_a_run_that_never_comes_is_waited_for_no_longer_than_said(host: Host, rig: Rig) -> None:
    """As where a deployment is reported, and isn't served."""
    time = Time(rig)
    seen = see(host, rig, wait=25, time=time, run="2-1")
    assert seen.state is State.ANOTHER_RUN
    assert time.slept == [EVERY, EVERY, 5]
    assert len(host.asked) == 4


def test_without_waiting_nobody_sleeps(host: Host, rig: Rig) -> None:
    time = Time(rig)
    see(host, rig, time=time, run="2-1")
    assert time.slept == []


def test_a_host_that_is_away_is_out_of_reach_until_it_is_back(host: Host, rig: Rig) -> None:
    host.status = 503
    seen = see(host, rig)
    assert (seen.state, seen.state.exit_code) == (State.UNREACHABLE, 3)
    assert "503" in problems(seen)[0]
    time = Time(rig)

    def sleep(seconds: float) -> None:
        Time.sleep(time, seconds)
        host.status = None

    time.sleep = sleep  # type: ignore[method-assign]
    assert see(host, rig, wait=60, time=time).state is State.FINE
    assert time.slept == [EVERY]


def test_a_refusal_is_no_site_that_is_gone(host: Host, rig: Rig) -> None:
    host.status = 403
    assert see(host, rig).state is State.UNREACHABLE


@pytest.mark.parametrize("how", ["method", "length"])
def test_a_host_that_tells_no_sizes_is_not_said_to_be_inconsistent(
    host: Host, rig: Rig, how: str
) -> None:
    if how == "method":
        host.head = 405
    else:
        host.length = False
    seen = see(host, rig)
    assert (seen.state, problems(seen)) == (State.FINE, [])
    assert "noarch/repodata.json" in seen.uncompared
    assert INDEX in seen.compared


def test_a_status_of_a_version_before_is_borne(host: Host, rig: Rig) -> None:
    edit(host, run=None, snapshot=None, counts=None, seconds=None)
    seen = see(host, rig)
    assert (seen.state, problems(seen)) == (State.FINE, [])
    assert see(host, rig, run="1-1").state is State.ANOTHER_RUN
    host.change = lambda path, data: None if path == INDEX else data
    assert see(host, rig).state is State.INCONSISTENT


@pytest.mark.parametrize(
    "data",
    [b"no JSON", b"{}", b"[" * 10_000, b'{"time": "now"}', b" " * (17 * 1024 * 1024)],
    ids=lambda data: str(data[:10]),
)
def test_a_status_that_is_none_is_a_problem_and_no_fault(host: Host, rig: Rig, data: bytes) -> None:
    host.change = lambda path, content: data if path == "status.json" else content
    seen = see(host, rig)
    assert seen.state is State.INCONSISTENT
    assert problems(seen)[0].startswith("status.json: ")
    assert seen.stamp is None


def hostile_snapshot(host: Host, **changes: Any) -> None:
    """A snapshot with other content, which status.json vouches for."""
    path = host.folder / "history/snapshot.json"
    data = json.dumps(json.loads(path.read_bytes()) | changes).encode()
    path.write_bytes(data)
    edit(host, snapshot=hashlib.sha256(data).hexdigest())


def test_a_snapshot_of_very_many_subdirs_costs_no_requests(host: Host, rig: Rig) -> None:
    entry = json.loads((host.folder / "history/snapshot.json").read_bytes())["subdirs"]["noarch"]
    hostile_snapshot(host, subdirs={f"linux-{n}": entry for n in range(5000)})
    seen = see(host, rig)
    assert seen.state is State.INCONSISTENT
    assert "5,000 subdirs" in problems(seen)[0]
    assert len(host.asked) < 10


@pytest.mark.parametrize("size", [-1, 0, 2**53 - 1])
def test_a_size_that_is_a_lie_is_a_problem(host: Host, rig: Rig, size: int) -> None:
    subdirs = json.loads((host.folder / "history/snapshot.json").read_bytes())["subdirs"]
    for path in ("noarch/repodata.json", INDEX):
        subdirs["noarch"]["files"][path]["size"] = size
    hostile_snapshot(host, subdirs=subdirs)
    seen = see(host, rig)
    assert seen.state is State.INCONSISTENT


@pytest.mark.parametrize("changes", [{"format": 99}, {"format": 0}, {"subdirs": []}])
def test_a_snapshot_that_nobody_here_can_read_is_a_problem(
    host: Host, rig: Rig, changes: dict[str, Any]
) -> None:
    hostile_snapshot(host, **changes)
    seen = see(host, rig)
    assert seen.state is State.INCONSISTENT
    assert problems(seen)[0].startswith("history/snapshot.json: ")


def test_what_is_wrong_with_the_files_comes_before_their_age(host: Host, rig: Rig) -> None:
    host.change = lambda path, data: None if path == INDEX else data
    rig.now += timedelta(days=3)
    seen = see(host, rig, max_age=timedelta(minutes=90))
    assert seen.state is State.INCONSISTENT
    assert [text.partition(":")[0] for text in problems(seen)] == [INDEX, "status.json"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (172_800, "2 days"),
        (10**9, "11,574 days"),
    ],
)
def test_a_duration_for_people(seconds: int, text: str) -> None:
    assert for_people(timedelta(seconds=seconds)) == text
