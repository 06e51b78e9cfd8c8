"""A deployment is right when it is served, whatever Pages says."""

from __future__ import annotations

from demo.packages import build
from tests.support.fake_registry import FakeRegistry
from tests.support.workflow.channel import Channel
from tests.support.workflow.pages import Serving

BRANCH = "cf-index-deployment"
Fake = tuple[Channel, FakeRegistry]


def test_one_that_is_reported_and_not_served(fake_channel: Fake) -> None:
    channel, _ = fake_channel
    # Between Pages and its readers there are copies; and nothing else is known of the last run.
    channel.pages.copies.on = True
    channel.runner.meddle = lambda job, _: channel.github.caches.drop() if job == "plan" else None
    channel.push(build("alpha"))
    assert channel.works().results["redeploy"] == "skipped"

    # Of the same commit: it is made again, by another one.
    channel.pages.serving = Serving.NEW_COMMITS
    channel.push(build("beta"))
    again = channel.works()
    assert [again.results[job] for job in ("verify", "redeploy", "reverify")] == ["success"] * 3
    assert channel.stamp == "9002-1"
    assert channel.files() == {"alpha-1.0-0.conda", "beta-1.0-0.conda"}
    assert "not that of run 9002-1" in again.summary
    assert channel.issue is None
    ignored, served = channel.pages.deployments[-2:]
    assert ignored.build_version == channel.github.sha
    assert channel.github.refs[f"refs/heads/{BRANCH}"] == served.build_version
    parents = channel.github.commits[served.build_version]["parents"]
    assert parents == [{"sha": channel.github.sha}]

    entered = channel.records()

    # That doesn't help either.
    channel.pages.serving = Serving.NONE
    channel.push(build("gamma"))
    failed = channel.run()
    assert failed.results["reverify"] == "failure"
    (said,) = (one.message for one in failed.annotations if one.level == "error")
    assert "not that of run 9003-1" in said
    assert "(run 9002-1)" in said
    assert said in failed.summary
    assert "gamma-1.0-0.conda" not in channel.files()
    assert channel.issue is not None
    assert "Failing: reverify\n" in channel.issue.body
    # The branch has moved on all the same.
    last = channel.pages.deployments[-1]
    assert channel.github.refs[f"refs/heads/{BRANCH}"] == last.build_version

    # It fails outright.
    channel.pages.fails = True
    failed = channel.run()
    assert failed.results["deploy"] == "failure"
    assert failed.results["verify"] == failed.results["redeploy"] == "skipped"
    assert "Now failing: deploy. Before: reverify." in channel.issue.comments[-1]

    # What was made and not served isn't taken for published.
    channel.pages.fails = False
    channel.pages.serving = Serving.ALL
    channel.works()
    assert channel.files() == {"alpha-1.0-0.conda", "beta-1.0-0.conda", "gamma-1.0-0.conda"}
    assert channel.stamp == "9005-1"
    # What had entered has entered then, whatever the copies say.
    assert {name: channel.records()[name] for name in entered} == entered
    assert channel.issue is None


def test_an_older_run_that_is_started_again_replaces_no_newer_one(fake_channel: Fake) -> None:
    channel, _ = fake_channel
    channel.push(build("alpha"))
    channel.works()
    channel.push(build("beta"))
    channel.pages.fails = True
    failed = channel.run()
    assert failed.results["deploy"] == "failure"
    channel.pages.fails = False
    channel.push(build("gamma"))
    channel.works()
    before = channel.tree()

    again = channel.runner.run_again(failed)
    assert again.results["deploy"] == "failure"
    (said,) = (one.message for one in again.annotations if one.level == "error")
    assert "Start a new run instead" in said
    assert channel.tree() == before
    assert channel.stamp == "9003-1"
