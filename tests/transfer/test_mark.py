"""Marking: what is written, what is refused, and what it comes to when it is looked at."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.packages import Package, build
from indexer.channel.policy import PolicyName
from indexer.errors import ConfigError
from indexer.registry.content import OCI_INDEX, OCI_MANIFEST
from tests.support.validator import Validator
from tests.transfer.help import KEY, Shop, failures, moved
from tests.transfer.marking import ALPHA, ALPHA_BZ2, BETA, NOW, Desk, KilledError, meddled

TAG = "noarch/alpha:1.0-0"
FILE = "noarch/alpha-1.0-0.conda"


def annotated(desk: Desk, package: Package = ALPHA) -> Mapping[str, str]:
    """Its annotations, but for what the package says of itself."""
    found: Mapping[str, str] = desk.shop.manifest(package)["annotations"]
    return {key: text for key, text in found.items() if not key.startswith("org.opencontainers.")}


@pytest.mark.parametrize("policy", ["annotation", "none"])
def test_an_annotation_lets_a_build_in_and_changes_nothing_else(
    stocked: Desk, policy: PolicyName
) -> None:
    before = stocked.shop.manifest(ALPHA)
    old = stocked.digest(ALPHA)
    outcome = stocked.mark(TAG, policy=policy)
    assert moved(outcome) == ["noarch/alpha-1.0-0.conda", "noarch/alpha-1.0-0.tar.bz2"]
    assert stocked.look(ALPHA, "annotation").status == "indexed"
    new = stocked.digest(ALPHA)
    assert all(item.digest == new for item in outcome.moved.first)
    assert all(old in item.detail and new in item.detail for item in outcome.moved.first)
    after = stocked.shop.manifest(ALPHA)
    assert after.pop("annotations") == before.pop("annotations") | {KEY: "validated"}
    assert (after, list(after)) == (before, list(before))


def test_rejection_by_annotation_says_why_and_the_next_word_takes_that_away(stocked: Desk) -> None:
    stocked.mark(TAG, said="rejected", reason="bad license")
    assert annotated(stocked) == {KEY: "rejected", f"{KEY}.reason": "bad license"}
    reading = stocked.look(ALPHA, "annotation")
    assert reading.status == "rejected"
    assert "bad license" in reading.reading.faults[0].reason
    stocked.mark(TAG)
    assert annotated(stocked) == {KEY: "validated"}


def test_what_is_annotated_already_is_not_written_again(stocked: Desk) -> None:
    stocked.mark(TAG, reason="fine")
    before, lines = stocked.digest(ALPHA), stocked.audited()
    outcome = stocked.mark(TAG, reason="fine")
    assert (outcome.present, outcome.moved.count) == (2, 0)
    assert (stocked.digest(ALPHA), stocked.audited()) == (before, lines)


def test_a_file_that_shares_its_manifest_is_not_annotated_alone_and_that_is_said(
    stocked: Desk,
) -> None:
    outcome = stocked.mark(FILE)
    assert moved(outcome) == [FILE]
    (note,) = outcome.notes
    assert "alpha-1.0-0.tar.bz2 too" in note
    assert len(stocked.look(ALPHA, "annotation").reading.records) == 2
    assert stocked.mark("linux-64/beta-1.0-0.conda").notes == []


@pytest.mark.parametrize("signed", [False, True])
def test_a_digest_from_which_the_tag_has_moved_is_refused_and_both_are_named(
    stocked: Desk,
    signed: bool,  # noqa: FBT001
) -> None:
    looked_at = stocked.digest(ALPHA)
    moved_to = stocked.rewrite(ALPHA, lambda document: document["annotations"].update(by="whom"))
    outcome = stocked.mark(f"{TAG}@{looked_at}", "linux-64/beta:1.0-0", signed=signed)
    ((_, reason),) = failures(outcome).items()
    assert looked_at in reason
    assert moved_to in reason
    assert moved(outcome) == ["linux-64/beta-1.0-0.conda"]
    assert KEY not in annotated(stocked)
    assert stocked.verdicts(ALPHA) == []


@pytest.mark.parametrize("policy", ["annotation", "both"])
def test_the_digest_that_was_marked_is_no_other_one_at_the_next_run(
    stocked: Desk, policy: PolicyName
) -> None:
    name, signed = f"{TAG}@{stocked.digest(ALPHA)}", policy == "both"
    assert stocked.mark(name, policy=policy, signed=signed).moved.count == 2
    outcome = stocked.mark(name, policy=policy, signed=signed)
    assert (outcome.present, outcome.moved.count, outcome.failed) == (2, 0, 0)
    # Another word is not what that run has said.
    assert stocked.mark(name, policy=policy, signed=signed, said="rejected").failed == 1


def test_a_tag_that_moves_between_looking_and_writing_is_not_marked(stocked: Desk) -> None:
    evil: list[str] = []

    def move(method: str, arguments: tuple[Any, ...]) -> None:
        if method == "put_manifest" and not evil:
            change = {"annotations": {"by": "whom"}}
            evil.append(stocked.rewrite(ALPHA, lambda document: document.update(change)))
            assert arguments[1] == "1.0-0"

    stocked.registry = meddled(stocked.shop.registry, before=move)
    outcome = stocked.mark(TAG)
    assert evil[0] in failures(outcome)["alpha:1.0-0"]
    assert outcome.moved.count == 0
    assert stocked.digest(ALPHA) == evil[0]
    assert [line.get("failed", "") != "" for line in stocked.audited()] == [False, True]


def test_what_somebody_else_overwrites_at_once_is_no_success(remote: Shop, tmp_path: Path) -> None:
    """HTTP has no way to keep that from happening; so it is looked at again."""
    desk = Desk(remote, Validator(tmp_path), tmp_path)
    remote.lay(ALPHA)
    remote.push()
    theirs = json.dumps(remote.manifest(ALPHA)).encode()

    def overwrite(method: str, _: tuple[Any, ...]) -> None:
        if method == "put_manifest":
            remote.registry.put_manifest(*remote.where(ALPHA), theirs, OCI_MANIFEST)

    desk.registry = meddled(remote.registry, after=overwrite)
    outcome = desk.mark(TAG)
    assert "somebody else" in failures(outcome)["alpha:1.0-0"]
    assert desk.audited()[-1]["failed"]


@pytest.mark.parametrize("said", ["validated", "rejected"])
def test_an_image_index_and_what_is_no_package_are_not_rewritten(stocked: Desk, said: str) -> None:
    repository, tag = stocked.shop.where(ALPHA)
    raw = stocked.shop.registry.manifest(repository, tag)
    child = {"mediaType": OCI_MANIFEST, "digest": str(raw.digest), "size": len(raw.body)}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]})
    stocked.shop.registry.put_manifest(repository, tag, body.encode(), OCI_INDEX)
    outcome = stocked.mark(TAG, said=said)
    assert "image index" in failures(outcome)["alpha:1.0-0"]
    stocked.mark("linux-64/beta:1.0-0", signed=True)
    (verdict,) = stocked.verdicts(BETA)
    outcome = stocked.mark(f"linux-64/beta:{verdict.tag}", said=said)
    assert "not the tag of a package" in next(iter(failures(outcome).values()))


def test_what_holds_no_archive_can_be_rejected_and_not_validated(stocked: Desk) -> None:
    stocked.rewrite(ALPHA, lambda document: document.update(layers=document["layers"][1:2]))
    assert "is a conda archive" in failures(stocked.mark(TAG))["alpha:1.0-0"]
    assert moved(stocked.mark(TAG, said="rejected")) == [TAG]
    assert annotated(stocked)[KEY] == "rejected"
    outcome = stocked.mark(TAG, said="rejected", reason="x", policy="both", signed=True)
    assert (moved(outcome), outcome.failed) == ([TAG], 0)
    assert "gets no verdict" in outcome.notes[0]
    assert stocked.mark(TAG, said="rejected", signed=True).failed == 1


# Which builds are meant.


def test_files_are_looked_for_where_nobody_says_their_subdir(stocked: Desk) -> None:
    assert moved(stocked.mark("beta-1.0-0.conda")) == ["linux-64/beta-1.0-0.conda"]
    assert failures(stocked.mark("beta-1.0-0.conda", subdirs=("noarch",))) == {
        "beta-1.0-0.conda": "there is no beta:1.0-0 in noarch"
    }
    stocked.shop.lay(build("beta", subdir="osx-64"))
    stocked.shop.push()
    reason = failures(stocked.mark("beta-1.0-0.conda"))["beta-1.0-0.conda"]
    assert "it is in linux-64, osx-64: say which, as SUBDIR/beta-1.0-0.conda" in reason
    assert stocked.mark("beta-1.0-0.conda", subdirs=("osx-64",)).moved.count == 1


def test_a_tag_that_holds_other_files_is_not_the_one(stocked: Desk) -> None:
    reason = failures(stocked.mark("beta-1.0-0.tar.bz2"))["beta-1.0-0.tar.bz2"]
    assert "holds no such file" in reason


def test_what_is_not_there_is_refused_by_some(remote: Shop, tmp_path: Path) -> None:
    remote.lay(BETA)
    remote.push()
    desk = Desk(remote, Validator(tmp_path), tmp_path)
    remote.rig.fake.knobs.absent_status = 403
    assert desk.mark("beta-1.0-0.conda").moved.count == 1


def test_one_that_fails_costs_itself_alone(stocked: Desk) -> None:
    outcome = stocked.mark("noarch/nope:1-0", TAG, "linux-64/nope:1-0", signed=True)
    assert outcome.failed == 2
    assert outcome.moved.count == 2


def test_the_same_build_by_several_names_is_marked_once(stocked: Desk) -> None:
    names = (TAG, FILE, "alpha-1.0-0.conda", "noarch/alpha-1.0-0.tar.bz2", TAG)
    outcome = stocked.mark(*names, signed=True, policy="both")
    assert (outcome.moved.count, outcome.failed) == (2, 0)
    assert len(stocked.verdicts(ALPHA)) == len(stocked.verdicts(ALPHA_BZ2)) == 1
    assert len(stocked.audited()) == 3


# Being told, and being killed.


@pytest.mark.parametrize("policy", ["annotation", "both"])
def test_a_dry_run_writes_nothing(stocked: Desk, policy: PolicyName) -> None:
    signed = policy == "both"
    repository, _ = stocked.shop.where(ALPHA)
    before = (stocked.digest(ALPHA), stocked.shop.registry.tags(repository))
    outcome = stocked.mark(TAG, policy=policy, signed=signed, dry_run=True)
    assert (outcome.dry_run, outcome.moved.count) == (True, 2)
    assert (
        stocked.digest(ALPHA),
        stocked.shop.registry.tags(stocked.shop.where(ALPHA)[0]),
    ) == before
    assert not stocked.audit.exists()


def test_every_write_is_in_the_audit_log_with_what_it_was(stocked: Desk) -> None:
    stocked.mark(FILE, signed=True, said="rejected", reason="bad")
    (line,) = stocked.audited()
    (held,) = stocked.verdicts(ALPHA)
    _, tag = stocked.shop.where(ALPHA)
    assert line == {
        "time": NOW.isoformat(),
        "who": "somebody",
        "action": "marked",
        "as": "rejected",
        "registry": str(stocked.shop.registry.address),
        "channel": "forge",
        "subdir": "noarch",
        "repository": "alpha",
        "tag": tag,
        "digest": stocked.digest(ALPHA),
        "file_name": ALPHA.file_name,
        "sha256": ALPHA.sha256,
        "key": held.key_id,
        "reason": "bad",
        "verdict": held.tag,
    }


def test_without_an_audit_log_nothing_is_written(stocked: Desk) -> None:
    stocked.audit.mkdir()
    before = stocked.digest(ALPHA)
    for signed in (False, True):
        with pytest.raises(ConfigError, match="audit"):
            stocked.mark(TAG, signed=signed)
    assert stocked.digest(ALPHA) == before
    assert stocked.verdicts(ALPHA) == []


def kill_at(last: int) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook that raises at this request."""
    requests: Iterator[int] = itertools.count(1)

    def step(*_: object) -> None:
        if next(requests) == last:
            raise KilledError

    return step


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("policy", ["annotation", "attestation", "both"])
def test_killed_at_any_request_it_finishes_at_the_next_run(
    desk: Desk,
    policy: PolicyName,
    is_after: bool,  # noqa: FBT001
) -> None:
    """No half of it is ever seen; and what was done is not done twice."""
    signed, seen = policy != "annotation", set()
    for number in range(1, 100):
        package = build(f"p{number}")
        desk.shop.push(*desk.shop.lay(package))
        name = f"noarch/p{number}:1.0-0@{desk.digest(package)}"
        step = kill_at(number)
        hook = {"after": step} if is_after else {"before": step}
        desk.registry = meddled(desk.shop.registry, **hook)
        try:
            desk.mark(name, policy=policy, signed=signed)
        except KilledError:
            was_killed = True
        else:
            was_killed = False
        desk.registry = desk.shop.registry
        seen.add(desk.look(package, policy).status)
        assert desk.shelf(package).void == ()

        outcome = desk.mark(name, policy=policy, signed=signed)
        assert outcome.failed == 0
        assert outcome.present + outcome.moved.count == 1
        assert desk.look(package, policy).status == "indexed"
        assert len(desk.verdicts(package)) == signed
        assert (annotated(desk, package) == {KEY: "validated"}) == (policy != "attestation")
        if not was_killed:
            assert outcome.present == 1
            break
    else:
        pytest.fail("it never came to its end")
    assert number >= 3
    assert seen == {"waiting", "indexed"}
