"""What a run is started with reaches the commands, and nothing of it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo.packages import build
from tests.support.fake_registry import FakeRegistry
from tests.support.workflow.channel import Channel, own_workflow
from tests.support.workflow.running import Event

Fake = tuple[Channel, FakeRegistry]


def validated(packages: Any) -> Event:
    return Event("repository_dispatch", payload={"packages": packages}, action="validated")


def test_named_packages_are_looked_at_first(fake_channel: Fake) -> None:
    channel, fake = fake_channel
    channel.push(*(build(name) for name in "abcdefgh"))
    # One at a time, so that there is an order.
    with (channel.github.content / "cf-index.toml").open("a") as settings:
        settings.write("jobs = 1\n")
    fake.clear_requests()
    channel.works(validated(["h", "g"]))
    asked = [one.repository for one in fake.requests if one.kind == "tags"]
    assert set(asked[:2]) == {"acme/forge/noarch/h", "acme/forge/noarch/g"}
    assert len(channel.files()) == 8


@pytest.mark.parametrize(
    "packages",
    [
        [
            "a", "$(touch CANARY)", "`touch CANARY`", "; touch CANARY #", "' && touch CANARY '",
            "::error::pwned", "##[error]pwned", "a\r\n::error::pwned", "../../etc", "-x",
            "A" * 60_000,
        ],
        [{"a": "$(touch CANARY)"}, ["b"], None, 7, True],
        "a\n::error::pwned",
    ],
    ids=["names", "no names", "no list"],
)  # fmt: skip
def test_hostile_names_do_nothing(fake_channel: Fake, tmp_path: Path, packages: Any) -> None:
    channel, _ = fake_channel
    canary = tmp_path / "canary"
    channel.push(build("a"))
    # Whoever names them may be wrong; that is no reason to publish nothing.
    run = channel.works(validated(_with(packages, str(canary))))
    assert not canary.exists()
    assert [one for one in run.annotations if one.level == "error"] == []
    (told,) = {one.message for one in run.annotations if "to be first" in one.message}
    assert "can't be packages' and are ignored" in told
    # GitHub shows so much.
    assert len(told) < 4096
    assert channel.files() == {"a-1.0-0.conda"}


def test_a_payload_without_names_is_a_run_like_any(fake_channel: Fake) -> None:
    channel, _ = fake_channel
    channel.push(build("a"))
    channel.works(validated({"packages": "a"}))
    assert channel.files() == {"a-1.0-0.conda"}


def test_hostile_input_does_nothing(fake_channel: Fake, tmp_path: Path) -> None:
    channel, _ = fake_channel
    canary = tmp_path / "canary"
    channel.push(build("a"))
    refused = channel.run(Event("workflow_dispatch", {"restore": f"$(touch {canary})"}))
    assert refused.conclusion == "failure"
    assert channel.pages.deployments == []
    channel.works(Event("workflow_dispatch", {"package": f"$(touch {canary})"}))
    assert not canary.exists()


def test_a_full_run_by_hand_reads_everything_anew(fake_channel: Fake) -> None:
    channel, fake = fake_channel
    channel.push(build("a"), build("b"))
    channel.works()
    fake.clear_requests()
    channel.works()
    assert [one for one in fake.requests if one.kind == "manifests"] == []
    fake.clear_requests()
    channel.works(Event("workflow_dispatch", {"full": True}))
    assert len([one for one in fake.requests if one.kind == "manifests"]) == 2


def test_a_paused_schedule_takes_nobodys_place(fake_channel: Fake) -> None:
    channel, _ = fake_channel
    channel.push(build("a"))
    channel.works()
    group = own_workflow().concurrency["group"]
    channel.github.variables["CF_INDEX_PAUSED"] = "true"
    by_hand = channel.runner.group_of(Event("workflow_dispatch"))
    assert channel.runner.group_of(Event()) not in {by_hand, "index"}, group
    assert by_hand == "index"
    assert channel.run().results["plan"] == "skipped"
    del channel.github.variables["CF_INDEX_PAUSED"]
    assert channel.runner.group_of(Event()) == "index"


def _with(packages: Any, canary: str) -> Any:
    if isinstance(packages, str):
        return packages.replace("CANARY", canary)
    return [_with(one, canary) for one in packages] if isinstance(packages, list) else packages
