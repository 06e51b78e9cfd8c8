"""What ``prune`` makes of verdicts, and of what anyone who may push can write or move."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from demo.layers import VALIDATED
from demo.packages import build
from indexer.channel.policy import Policy
from indexer.registry.content import OCI_MANIFEST, Digest
from indexer.registry.removal import RegistryRemover
from indexer.transfer import prune
from indexer.transfer.doomed import Limits
from indexer.trust.judging import Held
from indexer.trust.storage import ENVELOPE_TYPE, VerdictTag
from tests.support.rig import Rig
from tests.support.validator import Validator, put_beside, verdict_of
from tests.transfer.test_prune_command import (
    ALPHA,
    ATTESTED,
    BETA,
    BOTH,
    DAY,
    FULL,
    REJECTED,
    Stage,
    run,
)

GAMMA = build("gamma")
# Nothing of interest in it; the registry takes it.
EMPTY = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()


@pytest.fixture
def stage(rig: Rig) -> Stage:
    return Stage(rig, rig.config().registry)


@pytest.fixture
def attested(stage: Stage, tmp_path: Path) -> Stage:
    stage.policy, stage.validator = ATTESTED, Validator(tmp_path)
    return stage


@pytest.fixture
def unread(attested: Stage) -> Stage:
    """A channel with verdicts, whoever looks at it with no key, and by annotations."""
    attested.push(ALPHA, days=90)
    attested.push(BETA, days=90)
    attested.push(GAMMA, days=90, annotations=REJECTED)
    attested.say(ALPHA, time=attested.rig.now - 80 * DAY)
    attested.say(GAMMA, passed=False, time=attested.rig.now - 80 * DAY)
    lone = build("lone")
    attested.push(lone)
    attested.say(lone, passed=False, time=attested.rig.now - 80 * DAY)
    attested.rig.fake.remove_tag("acme/forge/noarch/lone", "1.0-0")
    attested.policy, attested.validator = Policy(), None
    return attested


def test_without_a_key_no_verdict_goes_and_nothing_that_has_one(unread: Stage) -> None:
    done = unread.prune()
    assert done.removed == ["noarch/beta:1.0-0"]
    for name in ("alpha", "gamma"):
        assert len(unread.tags(name)) == 2
        assert f"noarch/{name}:1.0-0 stays: there are verdicts on it, and no key" in done.notes
    assert len(unread.tags("lone")) == 1


def test_the_command_says_how_to_have_them_read(unread: Stage) -> None:
    words = ("--unmarked-for", "24h", "--rejected-for", "7d", "--max-prune", "100%", "--yes")
    done = run(unread, *words)
    assert "say --policy attestation and --trust, as for rebuild" in done.stdout
    assert [len(unread.tags(name)) for name in ("alpha", "beta", "gamma", "lone")] == [2, 0, 2, 1]


def test_without_a_key_a_verdict_that_came_meanwhile_keeps_its_build(
    stage: Stage, tmp_path: Path
) -> None:
    stage.push(ALPHA)
    validator = Validator(tmp_path)
    done = stage.prune(between=lambda: validator.say(stage.address, "forge", ALPHA))
    assert (len(done.planned), done.removed) == (1, [])
    assert "has come meanwhile" in done.notes


def test_a_verdict_that_can_not_be_read_never_goes(attested: Stage) -> None:
    # Its envelope isn't there, for now.
    layer = {"mediaType": ENVELOPE_TYPE, "digest": f"sha256:{'0' * 64}", "size": 9}
    body = json.dumps({"schemaVersion": 2, "config": {}, "layers": [layer]}).encode()
    tag = VerdictTag(verdict_of(ALPHA).archive, "0" * 32)
    attested.rig.fake.add_manifest(FULL, str(tag), body, OCI_MANIFEST)
    done = attested.prune()
    assert (done.planned, attested.tags()) == ([], [str(tag)])
    assert "can't be read, and stay without their packages: 1" in done.notes


@pytest.mark.parametrize(
    ("limits", "days", "goes"),
    [
        (BOTH, 6.9, False),
        (BOTH, 7, False),
        (BOTH, 7.1, True),
        (Limits(DAY, None), 1.1, True),
        (Limits(DAY, None), 0.9, False),
        (Limits(None, 7 * DAY), 6, False),
        (Limits(7 * DAY, DAY), 6, False),
        (BOTH, -1, False),
    ],
)
@pytest.mark.parametrize("passed", [True, False])
def test_a_verdict_whose_archive_was_moved_away_goes_when_it_is_old(
    attested: Stage, limits: Limits, days: float, *, goes: bool, passed: bool
) -> None:
    attested.push(ALPHA)
    time = attested.rig.now - timedelta(days=days)
    tag = attested.say(ALPHA, passed=passed, time=time)
    attested.rejections = (Held(verdict_of(ALPHA, passed=False, time=time), "key"),)
    if passed:
        attested.rejections = ()
    # What anybody does who may push.
    attested.push(BETA, days=0, tag="1.0-0", repository="alpha")
    done = attested.prune(limits=limits)
    assert done.removed == ([f"noarch/alpha:{tag}"] if goes else [])
    assert ("older than the larger of the limits: 1. They go in a later run" in done.notes) != goes


def test_what_goes_leaves_its_younger_yes_behind(attested: Stage) -> None:
    attested.push(ALPHA, days=90)
    now = attested.rig.now
    old = attested.say(ALPHA, time=now - 8 * DAY)
    young = attested.say(ALPHA, time=now - 3 * DAY)
    no = attested.say(ALPHA, passed=False, time=now - 2 * DAY)
    void = put_beside(attested.address, "forge", ALPHA, b"junk")
    attested.rejections = (Held(verdict_of(ALPHA, passed=False, time=now - 2 * DAY), "key"),)
    done = attested.prune()
    assert done.removed == sorted(f"noarch/alpha:{tag}" for tag in ("1.0-0", old, no, void))
    assert attested.tags() == [str(young)]
    assert "stay without their packages, since they aren't older" in done.notes
    attested.rig.now = now + 5 * DAY
    assert attested.prune().removed == [f"noarch/alpha:{young}"]


@pytest.mark.parametrize("annotations", [REJECTED, None], ids=["rejected", "unmarked"])
def test_by_both_no_annotation_takes_out_what_a_key_let_in(
    attested: Stage, annotations: dict[str, str] | None
) -> None:
    attested.policy = Policy("both")
    for package in (ALPHA, BETA):
        attested.push(package, days=900, annotations=annotations)
    attested.say(ALPHA, time=attested.rig.now - 800 * DAY)
    done = attested.prune()
    assert (done.removed, len(attested.tags())) == (["noarch/beta:1.0-0"], 2)
    assert "noarch/alpha:1.0-0 stays: a trusted key let it in" in done.notes


@pytest.mark.parametrize("why", ["no", "other index.json"])
def test_by_both_a_build_goes_that_no_verdict_lets_in(attested: Stage, why: str) -> None:
    attested.policy = Policy("both")
    attested.push(ALPHA, days=90, annotations=REJECTED)
    if why == "no":
        attested.say(ALPHA)
        attested.say(ALPHA, passed=False, time=attested.rig.now)
    else:
        attested.say(ALPHA, index_json=verdict_of(BETA).index_json)
    assert attested.prune().removed == ["noarch/alpha:1.0-0"]


def asked(stage: Stage, method: str, reference: str) -> int:
    """How often a tag was asked for since the last run began."""
    found = [r for r in stage.rig.fake.requests if r.reference == reference]
    return sum(request.method == method for request in found)


def test_a_tag_such_as_latest_that_moved_meanwhile_keeps_what_it_needs(stage: Stage) -> None:
    stage.push(ALPHA)
    stage.push(build("alpha", "2.0"), annotations=VALIDATED)
    stage.push(build("alpha", "2.0"), annotations=VALIDATED, tag="latest")
    done = stage.prune(between=lambda: stage.push(ALPHA, tag="latest"))
    assert (done.planned, done.removed) == (["noarch/alpha:1.0-0"], [])
    assert "latest has moved meanwhile, and needs it" in done.notes
    assert stage.tags() == ["1.0-0", "2.0-0", "latest"]


def test_so_does_one_that_moved_to_where_a_verdict_is_needed(attested: Stage) -> None:
    attested.push(build("alpha", "2.0"), tag="latest")
    attested.push(ALPHA)
    tag = put_beside(attested.address, "forge", ALPHA, b"junk")
    attested.rig.fake.remove_tag(FULL, "1.0-0")
    done = attested.prune(between=lambda: attested.push(ALPHA, tag="latest"))
    assert (done.planned, done.removed) == ([f"noarch/alpha:{tag}"], [])


def test_one_that_moved_elsewhere_or_nowhere_keeps_nothing(stage: Stage) -> None:
    stage.push(ALPHA)
    other = f"sha256-{0:064x}"
    for tag in ("latest", other):
        stage.push(build("alpha", "2.0"), tag=tag)

    def between() -> None:
        stage.push(build("alpha", "3.0"), tag="latest")
        stage.rig.fake.remove_tag(FULL, other)

    assert stage.prune(between=between).removed == ["noarch/alpha:1.0-0"]


def test_many_such_tags_are_not_looked_at_again(stage: Stage) -> None:
    stage.push(ALPHA)
    for number in range(21):
        stage.push(build("alpha", "2.0"), tag=f"sha256-{number:064x}")
    assert stage.prune().removed == ["noarch/alpha:1.0-0"]
    assert asked(stage, "GET", f"sha256-{0:064x}") == 1


def lists(stage: Stage) -> int:
    return stage.rig.fake.count("tags")


def test_tags_are_listed_once_for_many_removals(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        stage.push(build("alpha", str(number)))
        stage.push(build("beta", str(number)))
    stage.prune(act=False)
    planning = lists(stage)
    monkeypatch.setattr(prune, "_BATCH", 4)
    assert len(stage.prune().removed) == 10
    # Two repositories, and each anew after four.
    assert lists(stage) - planning == 4


def test_what_moves_after_the_listing_stays_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        stage.push(build("alpha", str(number)))
    remove = RegistryRemover.remove
    went: list[str] = []

    def and_move(remover: RegistryRemover, repository: str, digest: Digest) -> None:
        remove(remover, repository, digest)
        went.extend({"1-0", "2-0", "3-0"} - set(stage.tags()))
        if len(went) == 1:
            moved, gone = stage.tags()
            stage.push(build("alpha", "9"), tag=moved, days=0)
            stage.rig.fake.remove_tag(FULL, gone)

    monkeypatch.setattr(RegistryRemover, "remove", and_move)
    done = stage.prune(jobs=1)
    assert done.removed == [f"noarch/alpha:{went[0]}"]
    (stays,) = stage.tags()
    assert f"{stays} leads to sha256:" in done.notes
