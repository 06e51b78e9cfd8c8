"""With signed verdicts, an attacker who may push anything gets nothing in, and is named.

On the fake registry and on a real one: the attacker writes what they like, as they like.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import shutil
from datetime import timedelta

import pytest

from demo.layers import digest_of, package_manifest
from demo.packages import build
from indexer.channel.policy import Policy
from indexer.errors import GuardError
from indexer.registry.content import Digest
from tests.support.gate import VALIDATED, Gate, swapped, told
from tests.support.registry_process import RegistryProcess
from tests.support.rig import Rig
from tests.support.validator import VALIDATED_AT, Validator, verdict_of

ALPHA = build("alpha")
EVIL = build("alpha", message="evil")
HOUR = timedelta(hours=1)
NUMBERS = itertools.count()


@pytest.fixture(params=["fake", "docker-registry"])
def gate(request: pytest.FixtureRequest, rig: Rig) -> Gate:
    http = rig.fake.http
    if request.param == "docker-registry":
        docker: RegistryProcess = request.getfixturevalue("docker_registry")
        http = docker.http
    validator, stranger = Validator(rig.root), Validator(rig.root, "stranger")
    return Gate(rig, http, f"channel{next(NUMBERS)}", validator, stranger)


def test_what_was_validated_is_let_in_and_the_rest_waits(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.push(build("beta"))
    gate.validate(ALPHA)
    report = gate.rebuild()
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    assert [item.repository for item in report.waiting] == ["beta"]
    assert (report.left_out, report.rejected) == ([], [])
    assert report.subdirs["noarch"].verdicts == 1


def test_a_forged_annotation_lets_nothing_in(gate: Gate) -> None:
    gate.push(ALPHA, annotations=VALIDATED)
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "alpha:1.0-0 : org.conda-forge.status=validated alone: no verdict" in told(report)


def test_a_strangers_key_lets_nothing_in(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.stranger.say(gate.address, gate.channel, ALPHA)
    report = gate.rebuild()
    assert gate.indexed() == {}
    stranger = gate.stranger.keyring.keys[0].name
    assert f"counts for nothing: it is signed by {stranger}, no trusted key" in told(report)
    assert report.subdirs["noarch"].void == 1


def test_a_payload_that_was_swapped_after_signing_lets_nothing_in(gate: Gate) -> None:
    gate.push(EVIL)
    genuine = json.loads(gate.envelope(ALPHA))
    forged = json.loads(gate.stranger.sign(verdict_of(EVIL)))
    genuine["payload"] = forged["payload"]
    gate.replay(EVIL, json.dumps(genuine).encode())
    report = gate.rebuild()
    assert gate.indexed() == {}
    key = gate.validator.keyring.keys[0].name
    assert f"its signature isn't that of the key {key}" in told(report)


@pytest.mark.parametrize("as_its_own", [True, False])
def test_a_verdict_replayed_onto_other_bytes(gate: Gate, as_its_own: bool) -> None:  # noqa: FBT001
    """Under the tag of the archive that it is to let in, or under its own beside that archive."""
    gate.push(EVIL)
    gate.replay(EVIL, gate.envelope(ALPHA), EVIL.sha256 if as_its_own else ALPHA.sha256)
    report = gate.rebuild()
    assert gate.indexed() == {}
    expected = (
        f"it speaks of the archive sha256:{ALPHA.sha256}, not of that in its tag"
        if as_its_own
        else f"with the archive sha256:{ALPHA.sha256}; here it is sha256:{EVIL.sha256}"
    )
    assert expected in told(report)


def test_a_verdict_replayed_onto_another_name(gate: Gate) -> None:
    # The same bytes, called otherwise.
    other = dataclasses.replace(ALPHA, file_name="openssl-1.0-0.conda")
    gate.push(other)
    gate.replay(other, gate.envelope(ALPHA))
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "it speaks of the package alpha" in told(report)


def test_a_verdict_replayed_onto_another_subdir(gate: Gate) -> None:
    other = dataclasses.replace(ALPHA, subdir="linux-64")
    gate.push(other)
    gate.replay(other, gate.envelope(ALPHA))
    report = gate.rebuild()
    assert gate.indexed("linux-64") == {}
    assert "it speaks of the subdir noarch" in told(report)


def test_a_verdict_replayed_onto_an_older_version(gate: Gate) -> None:
    old = build("alpha", "0.9")
    gate.push(old)
    gate.replay(old, gate.envelope(ALPHA))
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "it speaks of the archive" in told(report)


def test_an_older_build_under_a_newer_tag(gate: Gate) -> None:
    """With all that belongs to it, verdict included, but under another tag of its repository."""
    old = build("alpha", "0.9")
    gate.push(old, tag="1.0-0")
    gate.replay(old, gate.envelope(old), tag="1.0-0")
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "version and build give the tag 0.9-0, not 1.0-0" in told(report)


def test_an_archive_with_another_index_json(gate: Gate) -> None:
    free = build("alpha", depends=["evil"])
    gate.put(swapped(package_manifest([ALPHA]), ALPHA, free), ALPHA)
    gate.validate(ALPHA)
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert f"with the index.json {verdict_of(ALPHA).index_json}; here it is" in told(report)


def test_an_index_json_swapped_once_it_is_indexed(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    free = build("alpha", depends=["evil"])
    gate.put(swapped(package_manifest([ALPHA]), ALPHA, free), ALPHA)
    for settings in ({}, {"recheck": 1}, {"full": True}):
        report = gate.rebuild(**settings)
        assert gate.rig.records().get(ALPHA.file_name, {}).get("depends", []) == []
    assert "with the index.json" in told(report)


@pytest.mark.parametrize("annotations", [None, VALIDATED])
def test_a_tag_that_moves_after_validation(gate: Gate, annotations: dict[str, str] | None) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.push(EVIL, annotations=annotations)
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert f"here it is sha256:{EVIL.sha256}" in told(report)


def test_a_tag_that_moves_once_it_is_indexed(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    gate.push(EVIL)
    gate.rebuild()
    # The index points at bytes, not at tags.
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    report = gate.rebuild(recheck=1)
    assert gate.indexed() == {}
    assert f"here it is sha256:{EVIL.sha256}" in told(report)


def test_another_persons_package_under_ones_own_name(gate: Gate) -> None:
    gate.push(ALPHA, repository="mine")
    gate.replay(ALPHA, gate.envelope(ALPHA), repository="mine")
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "it speaks of the package alpha" in told(report)


def test_a_no_withdraws_what_was_let_in(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.push(build("beta"))
    gate.validate(ALPHA)
    gate.validate(build("beta"))
    gate.rebuild()
    gate.reject(ALPHA, time=VALIDATED_AT + HOUR, reason="it phones home")
    report = gate.rebuild()
    assert set(gate.indexed()) == {"beta-1.0-0.conda"}
    assert [item.reason.partition(" UTC")[0] for item in report.rejected] == [
        "rejected 2026-10-31 13:00:00"
    ]
    assert report.rejected[0].reason.endswith(": it phones home")


@pytest.mark.parametrize("lost", ["nothing", "the state", "the verdict of yes, too"])
def test_a_no_that_was_seen_is_remembered(gate: Gate, lost: str) -> None:
    gate.push(ALPHA)
    yes = gate.validate(ALPHA)
    gate.rebuild()
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    gate.remove_verdict(ALPHA, no)
    if lost == "the state":
        gate.rig.state_file.unlink()
    if lost == "the verdict of yes, too":
        gate.remove_verdict(ALPHA, yes)
        gate.rebuild()
        gate.validate(ALPHA)
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "the verdict itself is gone from the registry" in told(report)
    # Only the validator can take it back.
    gate.validate(ALPHA, time=VALIDATED_AT + 2 * HOUR)
    gate.rebuild()
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}


def test_a_no_that_was_seen_counts_for_other_bytes_only_of_that_archive(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.reject(ALPHA)
    gate.rebuild()
    mended = build("alpha", message="mended")
    gate.push(mended)
    gate.validate(mended)
    gate.rebuild()
    assert gate.indexed() == {mended.file_name: mended.sha256}


@pytest.mark.parametrize("apart", [timedelta(0), timedelta(days=-400)])
def test_a_tie_is_a_no_and_an_older_yes_doesnt_win(gate: Gate, apart: timedelta) -> None:
    gate.push(ALPHA)
    gate.reject(ALPHA)
    gate.validate(ALPHA, time=VALIDATED_AT + apart)
    gate.rebuild()
    assert gate.indexed() == {}


def test_a_yes_from_the_future_waits_until_then(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA, time=gate.rig.now + HOUR)
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "which lies in the future" in told(report)
    gate.rig.now += HOUR
    gate.rebuild()
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}


def test_a_no_from_the_future_counts(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.reject(ALPHA, time=gate.rig.now + 1000 * HOUR)
    gate.rebuild()
    assert gate.indexed() == {}


def test_what_is_held_back_isnt_kept_once_it_is_rejected(gate: Gate) -> None:
    """Other bytes under the same name hold the old record; not where the old one was taken back."""
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    gate.push(EVIL)
    gate.validate(EVIL)
    gate.rebuild(recheck=1)
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild(recheck=1)
    assert gate.indexed() == {}


def test_a_verdict_that_is_gone_takes_its_package_along(gate: Gate) -> None:
    # Whoever may delete may withhold; docs/trust.md says so.
    gate.push(ALPHA)
    tag = gate.validate(ALPHA)
    gate.rebuild()
    gate.remove_verdict(ALPHA, tag)
    gate.rebuild()
    assert gate.indexed() == {}


def test_with_both_an_annotation_or_a_verdict_alone_isnt_enough(gate: Gate) -> None:
    both = Policy("both")
    gate.push(ALPHA, annotations=VALIDATED)
    gate.push(build("beta"))
    gate.validate(build("beta"))
    gate.rebuild(policy=both)
    assert gate.indexed() == {}
    gate.validate(ALPHA)
    gate.push(build("beta"), annotations=VALIDATED)
    gate.rebuild(policy=both)
    assert set(gate.indexed()) == {"alpha-1.0-0.conda", "beta-1.0-0.conda"}
    gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild(policy=both)
    assert set(gate.indexed()) == {"beta-1.0-0.conda"}


def test_garbage_under_verdicts_tags_is_named_and_stops_nothing(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    for garbage in (b"", b"{}", b"[" * 10_000, base64.b64encode(b"x" * 1000)):
        gate.replay(ALPHA, garbage)
    # A package's manifest in the place of a verdict.
    gate.push(ALPHA, tag=f"sha256-{ALPHA.sha256}.{'0' * 32}")
    report = gate.rebuild()
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    assert told(report).count("a verdict that counts for nothing") == 5
    assert "its manifest is not that of a verdict" in told(report)


FREE = build("alpha", depends=["evil"])
UNSIGNED = swapped(package_manifest([ALPHA], annotations=VALIDATED), ALPHA, FREE)


@pytest.mark.parametrize("let_in_by", ["an annotation", "a key that is trusted no more"])
def test_what_nobody_signed_is_not_held_back_either(gate: Gate, let_in_by: str) -> None:
    """Let in before, with an index.json that is not the archive's; then other bytes come along."""
    gate.put(UNSIGNED, ALPHA)
    if let_in_by == "an annotation":
        gate.rebuild(policy=Policy("annotation"), trust=())
    else:
        gate.stranger.say(gate.address, gate.channel, ALPHA, index_json=Digest.of(FREE.index_json))
        gate.rebuild(trust=(gate.validator.file, gate.stranger.file))
    assert gate.rig.records()[ALPHA.file_name]["depends"] == ["evil"]
    gate.validate(ALPHA)
    gate.push(EVIL)
    gate.validate(EVIL)
    for settings in ({}, {"recheck": 1}, {"full": True}):
        gate.rebuild(**settings)
        assert gate.rig.records().get(ALPHA.file_name, {}).get("depends", []) == []


def test_what_is_held_is_what_was_signed(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    gate.push(EVIL)
    gate.validate(EVIL)
    report = gate.rebuild(recheck=1)
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    assert "the old record stays" in told(report)


def test_a_no_that_a_run_saw_is_remembered_though_the_run_failed(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    packages = [build(f"p{number}") for number in range(25)]
    tags = []
    for package in packages:
        gate.push(package)
        tags.append(gate.validate(package))
    gate.rebuild()
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    # Too much goes at once.
    for package, tag in zip(packages[:12], tags, strict=False):
        gate.remove_verdict(package, tag)
    with pytest.raises(GuardError, match=r"12 of 26 records would go, 46\.2%"):
        gate.rebuild()
    gate.remove_verdict(ALPHA, no)
    for package in packages[:12]:
        gate.validate(package)
    report = gate.rebuild()
    assert ALPHA.file_name not in gate.indexed()
    assert "the verdict itself is gone" in told(report)


def test_what_is_withdrawn_is_no_accident(gate: Gate) -> None:
    packages = [build(f"p{number}") for number in range(25)]
    for package in packages:
        gate.push(package)
        gate.validate(package)
    gate.rebuild()
    for package in packages[:20]:
        gate.reject(package, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    assert len(gate.indexed()) == 5


@pytest.mark.parametrize("lost", ["the site", "the site and the state"])
def test_a_no_outlives_a_lost_site(gate: Gate, lost: str) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    gate.remove_verdict(ALPHA, no)
    shutil.rmtree(gate.rig.site)
    if lost == "the site and the state":
        gate.rig.state_file.unlink()
    gate.rebuild()
    assert gate.indexed() == {}


def test_a_no_to_an_archive_beside_another_is_told(gate: Gate) -> None:
    bz2 = build("alpha", archive="tar.bz2")
    gate.push(ALPHA, bz2)
    gate.validate(ALPHA)
    gate.rebuild()
    gate.reject(bz2)
    report = gate.rebuild()
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    assert "alpha-1.0-0.tar.bz2: rejected" in told(report)


def test_titles_of_others_neither_act_nor_fill_the_report(gate: Gate) -> None:
    title = "\x1b[31mEVIL\n::error::pwned" + "x" * 100_000 + ".conda"
    image = package_manifest([ALPHA])
    document = json.loads(image.manifest)
    for name in (title, None):
        layer = dict(document["layers"][0])
        layer["annotations"] = {"org.opencontainers.image.title": name} if name else {}
        layer["digest"] = digest_of(EVIL.data)
        document["layers"].append(layer)
    blobs = dict(image.blobs) | {digest_of(EVIL.data): EVIL.data}
    body = json.dumps(document).encode()
    gate.put(dataclasses.replace(image, manifest=body, blobs=blobs), ALPHA)
    gate.validate(ALPHA)
    report = gate.rebuild()
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    assert report.notes
    for note in report.notes:
        assert note.isprintable()
        assert len(note) < 1500


@pytest.mark.parametrize(("field", "lie"), [("md5", "0" * 32), ("size", 7)])
def test_a_lie_about_an_archive_lets_nothing_in(gate: Gate, field: str, lie: object) -> None:
    """What stands in a record beside index.json comes from the manifest."""
    gate.push(ALPHA)
    gate.validate(ALPHA, md5=ALPHA.md5, size=ALPHA.size)
    gate.rebuild()
    assert gate.indexed() == {ALPHA.file_name: ALPHA.sha256}
    image = package_manifest([ALPHA])
    document = json.loads(image.manifest)
    archive = document["layers"][0]
    if field == "md5":
        archive["annotations"]["org.conda.md5"] = lie
    else:
        archive["size"] = lie
    gate.put(dataclasses.replace(image, manifest=json.dumps(document).encode()), ALPHA)
    report = gate.rebuild(recheck=1)
    assert gate.indexed() == {}
    assert f"with the {field} {getattr(ALPHA, field)}; here it is {lie}" in told(report)
    del archive["annotations"]["org.conda.md5"]
    archive["size"] = ALPHA.size
    gate.put(dataclasses.replace(image, manifest=json.dumps(document).encode()), ALPHA)
    gate.rebuild()
    assert gate.rig.records()[ALPHA.file_name]["md5"] is None
