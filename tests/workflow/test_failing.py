"""A run that can't be done leaves the site as it was, and is told of until one succeeds."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from demo.packages import build
from tests.support.fake_registry import FakeRegistry
from tests.support.faults import Answer, Request, hang, is_catalog, is_manifest, is_tags, status
from tests.support.waiting import wait_until
from tests.support.workflow.channel import Channel, own_workflow
from tests.support.workflow.github import GitHub
from tests.support.workflow.results import RunResult
from tests.support.workflow.running import Event


class Gated(FakeRegistry):
    """A registry that answers no manifest while it is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.held = 0

    def receive(self, request: Request) -> Answer:
        if request.kind == "manifests" and request.method == "GET" and not self.gate.is_set():
            self.held += 1
            assert self.gate.wait(120)
        return super().receive(request)


@pytest.fixture
def gated(github: GitHub, tmp_path: Path) -> Iterator[Channel]:
    with Gated() as registry:
        yield Channel(github, registry, tmp_path)


NOTHING_JOINED = {
    "plan": "success",
    "part": "failure",
    "join": "skipped",
    "deploy": "skipped",
    "verify": "skipped",
    "redeploy": "skipped",
    "reverify": "skipped",
    "report": "success",
}


def errors(result: RunResult) -> list[str]:
    return [one.message for one in result.annotations if one.level == "error"]


def fake_of(channel: Channel) -> Gated:
    assert isinstance(channel.registry, Gated)
    return channel.registry


def published(channel: Channel) -> tuple[dict[str, str], int]:
    """What clients see, and how often something was deployed."""
    channel.assert_sound()
    return channel.tree(), len(channel.pages.deployments)


def test_what_cannot_be_done_leaves_the_site_and_is_told_of(gated: Channel) -> None:
    # Of fewer than 20 records the guard doesn't count shares.
    builds = [build("many", f"1.{number}") for number in range(20)]
    gated.push(*builds, build("beta", subdir="linux-64"))
    gated.works()
    before = published(gated)

    # One subdir can be read, of the other the listing alone.
    gated.push(build("gamma"), build("delta", subdir="linux-64"))
    fake_of(gated).knobs.faults.append(status(503, match=is_manifest("acme/forge/noarch/gamma")))
    down = gated.run()
    assert down.results == NOTHING_JOINED
    assert [leg.result for leg in down.jobs["part"].legs] == ["success", "failure"]
    assert "(exit 3)" in down.jobs["part"].legs[1].step("Read").log
    assert "failed (exit 3)" in down.summary
    assert "answered 503" in down.summary
    (error,) = errors(down)
    assert "answered 503" in error
    assert published(gated) == before
    issue = gated.issue
    assert issue is not None
    assert "Failing: part\nFailed runs: 1\n" in issue.body

    # The registry is back, and has lost too much.
    fake_of(gated).knobs.faults.clear()
    for package in builds[:3]:
        fake_of(gated).remove_tag(gated.repository(package), f"{package.version}-0")
    tripped = gated.run()
    assert tripped.results == NOTHING_JOINED
    assert "(exit 4)" in tripped.jobs["part"].legs[1].step("Read").log
    assert "--allow-drop" in tripped.summary
    assert "3 of 20" in tripped.summary
    assert published(gated) == before
    assert gated.issue is issue
    assert "Failing: part\nFailed runs: 2\n" in issue.body
    assert issue.comments == []

    gated.works(Event("workflow_dispatch", {"allow-drop": True}))
    assert len(gated.files()) == 20 - 3 + 3
    assert gated.issue is None
    assert issue.comments == [
        "Published again by https://github.com/acme/channel/actions/runs/9004"
    ]


def test_runs_that_overlap_follow_each_other_and_are_not_mixed(gated: Channel) -> None:
    gated.push(build("alpha"), build("other", subdir="linux-64"))
    fake_of(gated).gate.clear()
    went: dict[int, str] = {}

    def start(number: int) -> threading.Thread:
        thread = threading.Thread(target=lambda: went.update({number: gated.run().conclusion}))
        thread.start()
        wait_until(lambda: gated.github.runs == number)
        return thread

    first = start(1)
    wait_until(lambda: fake_of(gated).held > 0)
    second = start(2)
    wait_until(lambda: gated.runner.waiting == 1)
    third = start(3)
    second.join()
    gated.push(build("beta"))
    fake_of(gated).gate.set()
    first.join()
    third.join()
    assert went == {1: "success", 2: "cancelled", 3: "success"}
    # Whichever of them saw it first.
    assert {"alpha-1.0-0.conda", "beta-1.0-0.conda"} < gated.files()

    before = published(gated)
    gated.push(build("gamma"))
    gated.runner.meddle = partial(_put_an_older_part_in, gated)
    mixed = gated.run()
    assert mixed.results["join"] == "failure"
    (error,) = errors(mixed)
    assert "9003-1" in error
    assert published(gated) == before
    assert gated.issue is not None
    assert "Failing: join\n" in gated.issue.body


def _put_an_older_part_in(channel: Channel, job: str, run: int) -> None:
    if job != "join":
        return
    old, new = (
        next(one for one in channel.github.artifacts.of(number) if one.name == "part-linux-64")
        for number in (3, run)
    )
    shutil.rmtree(new.folder)
    shutil.copytree(old.folder, new.folder)


def test_a_run_that_is_started_again(gated: Channel) -> None:
    gated.push(build("alpha"), build("other", subdir="linux-64"))
    fault = status(503, match=is_manifest("acme/forge/noarch/alpha"))
    fake_of(gated).knobs.faults.append(fault)
    failed = gated.run()
    assert failed.results == NOTHING_JOINED
    fake_of(gated).knobs.faults.clear()

    # What was read then goes with what is read now.
    again = gated.runner.run_again(failed)
    assert again.conclusion == "success", again.log
    assert gated.files() == {"alpha-1.0-0.conda", "other-1.0-0.conda"}
    assert gated.stamp == "9001-1"
    assert gated.issue is None

    gated.push(build("beta"))
    gated.age(31)
    whole = gated.runner.run_again(again, all_jobs=True)
    assert whole.conclusion == "success", whole.log
    assert "beta-1.0-0.conda" in gated.files()
    assert gated.stamp == "9001-3"


def test_a_registry_that_never_answers(gated: Channel) -> None:
    gated.push(build("alpha"), build("beta"))
    fake_of(gated).knobs.faults.append(hang(match=is_tags("acme/forge/noarch/beta")))
    gated.runner.workflow = own_workflow({"timeout-minutes: 60": "timeout-minutes: 4"})
    gated.runner.minute = 1.0
    late = gated.run()
    # The job goes on after its step, to keep what was read; and this is told of, as a failure.
    assert late.results == NOTHING_JOINED
    (leg,) = late.jobs["part"].legs
    assert leg.step("Read").log.endswith("timed out")
    assert leg.step("Keep what was read").outcome == "success"
    assert "Interrupted" in late.summary
    assert gated.issue is not None
    assert gated.pages.deployments == []


def test_a_registry_that_is_down_from_the_start(gated: Channel) -> None:
    gated.push(build("alpha"))
    fake_of(gated).knobs.faults.append(status(503, match=is_catalog()))
    down = gated.run()
    assert down.results == NOTHING_JOINED | {"plan": "failure", "part": "skipped"}
    assert "answered 503" in down.summary
    (error,) = errors(down)
    assert "answered 503" in error
    (gated.github.content / "cf-index.toml").write_text('registry = "nonsense"\n')
    wrong = gated.run()
    assert "failed (exit 2)" in wrong.summary
    assert "'nonsense' is not an address" in errors(wrong)[0]
    assert gated.issue is not None
    assert "Failing: plan\nFailed runs: 2\n" in gated.issue.body


def test_pages_that_are_switched_off(gated: Channel) -> None:
    gated.push(build("alpha"))
    gated.github.pages_are_on = False
    failed = gated.run()
    assert failed.results["plan"] == "failure"
    assert failed.annotations[0].title == "No site"
    assert gated.issue is not None


def test_nothing_at_all_runs_where_it_is_not_wanted(gated: Channel) -> None:
    del gated.github.variables["CF_INDEX_ENABLED"]
    assert set(gated.run().results.values()) == {"skipped"}
    assert fake_of(gated).requests == []
    assert gated.github.issues == {}


def test_issues_that_cannot_be_listed_are_not_opened_twice(gated: Channel) -> None:
    gated.push(build("alpha"))
    fake_of(gated).knobs.faults.append(status(503, match=is_catalog()))
    gated.run()
    assert len(gated.github.issues) == 1
    gated.github.issues_fail = True
    unlisted = gated.run()
    assert any("can't be listed" in one.message for one in unlisted.annotations)
    gated.github.issues_fail = False
    gated.run()
    assert len(gated.github.issues) == 1
