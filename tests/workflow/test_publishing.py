"""The workflow's own steps, against a real registry: what is published, and when."""

from __future__ import annotations

from demo.packages import build
from tests.support.fake_registry import FakeRegistry
from tests.support.workflow.channel import Channel
from tests.support.workflow.running import Event

JOBS = ("plan", "part", "join", "deploy", "verify", "redeploy", "reverify", "report")
READ = ("plan", "part", "join")
DEPLOYED = (*READ, "deploy", "verify")


def went(*jobs: str) -> dict[str, str]:
    """The results of a run in which these jobs, and the report, did what they had to."""
    return {job: "success" if job in {*jobs, "report"} else "skipped" for job in JOBS}


def test_a_channel_from_its_first_run_on(channel: Channel) -> None:
    channel.push(build("alpha"), build("beta", subdir="linux-64"))
    first = channel.works()
    assert first.results == went(*DEPLOYED)
    subdirs = [leg.matrix["subdir"] for leg in first.jobs["part"].legs]
    assert subdirs == ["linux-64", "noarch"]
    assert channel.files() == {"alpha-1.0-0.conda", "beta-1.0-0.conda"}
    assert channel.stamp == "9001-1"
    assert "cf-index join: published" in first.summary
    assert "added `alpha-1.0-0.conda`" in first.summary
    # By each part and by what joins them, once.
    assert first.summary.count("a first publication") == 3
    same = channel.tree()

    # Nothing is new: nothing is deployed.
    nothing = channel.works()
    assert nothing.results == went(*READ)
    assert "cf-index join: unchanged" in nothing.summary
    assert len(channel.pages.deployments) == 1

    # But for its status, which monitors look at; and no cache is needed to see that.
    channel.age(31)
    channel.github.caches.drop()
    refreshed = channel.works()
    assert refreshed.results == went(*DEPLOYED)
    assert "cf-index join: unchanged" in refreshed.summary
    assert channel.stamp == "9003-1"
    assert channel.tree() == same

    # A change, upon lost caches: when records entered is known from the site alone.
    entered = channel.records()["alpha-1.0-0.conda"]["indexed_timestamp"]
    channel.github.caches.drop()
    channel.push(build("gamma"))
    changed = channel.works()
    assert changed.results == went(*DEPLOYED)
    assert channel.files() == {"alpha-1.0-0.conda", "beta-1.0-0.conda", "gamma-1.0-0.conda"}
    assert channel.records()["alpha-1.0-0.conda"]["indexed_timestamp"] == entered
    assert channel.records()["gamma-1.0-0.conda"]["indexed_timestamp"] > entered
    assert "added `gamma-1.0-0.conda`" in changed.summary
    assert "alpha" not in changed.summary
    assert channel.github.issues == {}


def test_an_earlier_generation_is_put_back(fake_channel: tuple[Channel, FakeRegistry]) -> None:
    channel, fake = fake_channel
    channel.push(build("alpha"))
    channel.works()
    then = channel.status["time"]
    records = channel.records()
    channel.push(build("bad"))
    channel.works()
    assert channel.files() == {"alpha-1.0-0.conda", "bad-1.0-0.conda"}

    fake.clear_requests()
    restored = channel.works(Event("workflow_dispatch", {"restore": then}))
    assert restored.results == went(*DEPLOYED) | {"part": "skipped"}
    assert channel.records() == records
    assert channel.stamp == "9003-1"
    assert "removed `bad-1.0-0.conda`" in restored.summary
    # The registry may be what is wrong.
    assert fake.requests == []
