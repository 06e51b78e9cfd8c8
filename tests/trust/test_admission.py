"""What each policy lets in of a manifest, by its annotation and by verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from indexer.channel.artifact import Fault
from indexer.channel.policy import Policy, PolicyName
from indexer.registry.content import Descriptor, Digest, ImageManifest
from indexer.trust.admission import Admission, admit
from indexer.trust.judging import Held, Verdicts
from tests.trust.help import (
    ARCHIVE,
    FILE,
    HOUR,
    INDEX_JSON,
    NOON,
    OTHER_ARCHIVE,
    OTHER_INDEX_JSON,
    held,
)

KEY = "org.conda-forge.status"
TITLE = "org.opencontainers.image.title"
CONDA, TARBZ2 = "application/vnd.conda.package.v2", "application/vnd.conda.package.v1"
INDEX_TYPE = "application/vnd.conda.info.index.v1+json"
BZ2 = "alpha-1.0-h1_0.tar.bz2"


def layer(title: str | None, digest: Digest, media_type: str = CONDA) -> Descriptor:
    return Descriptor(media_type, digest, 100, {TITLE: title} if title is not None else {})


ONE = layer(FILE, ARCHIVE)
INFO = layer("alpha-1.0-h1_0/info/index.json", INDEX_JSON, INDEX_TYPE)
OTHER = layer(BZ2, OTHER_ARCHIVE, TARBZ2)


def manifest(*layers: Descriptor, mark: str | None = None, **annotations: str) -> ImageManifest:
    marks = {KEY: mark} if mark is not None else {}
    return ImageManifest(layers or (ONE, INFO), marks | annotations)


def let(
    name: PolicyName, image: ImageManifest, *items: Held, policy: Policy | None = None
) -> Admission:
    return admit(image, policy or Policy(name), Verdicts(items, NOON + 24 * HOUR))


YES, NO = held(), held(passed=False, time=NOON + HOUR, reason="bad")


@pytest.mark.parametrize(
    ("name", "mark", "items", "status"),
    [
        ("none", None, [], "admitted"),
        ("none", "rejected", [NO], "admitted"),
        ("annotation", None, [YES], "waiting"),
        ("annotation", "validated", [], "admitted"),
        ("annotation", "validated", [NO], "admitted"),
        ("annotation", "rejected", [YES], "rejected"),
        ("annotation", "Validated", [], "waiting"),
        # A mark alone is a forgery, and no mark is no hindrance.
        ("attestation", None, [], "waiting"),
        ("attestation", "validated", [], "waiting"),
        ("attestation", None, [YES], "admitted"),
        ("attestation", "rejected", [YES], "admitted"),
        ("attestation", "validated", [YES, NO], "rejected"),
        ("attestation", None, [NO], "rejected"),
        ("both", None, [], "waiting"),
        ("both", None, [YES], "waiting"),
        ("both", "validated", [], "waiting"),
        ("both", "validated", [YES], "admitted"),
        ("both", "rejected", [YES], "rejected"),
        ("both", "validated", [YES, NO], "rejected"),
        ("both", None, [YES, NO], "rejected"),
    ],
)
def test_each_policy_lets_in_what_it_asks_for(
    name: PolicyName, mark: str | None, items: list[Held], status: str
) -> None:
    found = let(name, manifest(mark=mark), *items)
    assert found.status == status
    assert found.manifest == manifest(mark=mark)


@pytest.mark.parametrize("name", get_args(PolicyName))
def test_without_verdicts_at_all_it_is_as_if_there_were_none(name: PolicyName) -> None:
    image = manifest(mark="validated")
    assert admit(image, Policy(name), None) == let(name, image)


@pytest.mark.parametrize("name", ["attestation", "both"])
def test_a_mark_alone_is_reported(name: PolicyName) -> None:
    found = let(name, manifest(mark="validated"))
    assert found.faults == (Fault(f"{KEY}=validated alone: no verdict of a trusted key"),)
    assert let(name, manifest()).faults == ()


def test_a_rejecting_mark_tells_its_reason() -> None:
    plain = let("annotation", manifest(mark="rejected"))
    assert plain.faults == (Fault("marked as rejected"),)
    told = let("both", manifest(mark="rejected", **{f"{KEY}.reason": "no\nlicence"}), YES)
    assert told.faults == (Fault("marked as rejected: no\\nlicence"),)


def test_other_marks_may_be_asked_for() -> None:
    policy = Policy("both", key="org.acme.gate", value="green")
    image = manifest(mark="validated")
    assert let("both", image, YES, policy=policy).status == "waiting"
    green = manifest(**{"org.acme.gate": "green"})
    assert let("both", green, YES, policy=policy).status == "admitted"


# What lies beside


def test_of_two_archives_the_one_that_waits_is_left_out_and_named() -> None:
    found = let("attestation", manifest(ONE, INFO, OTHER), YES)
    assert found == Admission(
        "admitted", manifest(ONE, INFO), (), (f"{BZ2}: no verdict of a trusted key",)
    )


def test_of_two_archives_the_rejected_one_is_left_out_and_told_of() -> None:
    no = held(passed=False, file_name=BZ2, archive=OTHER_ARCHIVE)
    found = let("attestation", manifest(ONE, INFO, OTHER), YES, no)
    assert (found.status, found.manifest, found.notes) == ("admitted", manifest(ONE, INFO), ())
    assert [fault.file_name for fault in found.faults] == [BZ2]


def test_two_archives_with_a_yes_each_are_both_let_in() -> None:
    yes = held(file_name=BZ2, archive=OTHER_ARCHIVE)
    image = manifest(ONE, INFO, OTHER)
    assert let("attestation", image, YES, yes) == Admission("admitted", image)


@pytest.mark.parametrize("first", [True, False])
def test_another_archive_of_the_same_title_is_left_out_and_told_of(*, first: bool) -> None:
    evil = layer(FILE, OTHER_ARCHIVE)
    image = manifest(evil, ONE, INFO) if first else manifest(ONE, INFO, evil)
    found = let("attestation", image, YES)
    assert (found.status, found.manifest.layers) == ("admitted", (ONE, INFO))
    (fault,) = found.faults
    assert str(OTHER_ARCHIVE) in fault.reason


def test_the_same_archive_by_another_title_is_left_out_and_told_of() -> None:
    renamed = layer("alpha-2.0-h1_0.conda", ARCHIVE)
    found = let("attestation", manifest(renamed, INFO), YES)
    assert found.status == "waiting"
    assert [fault.file_name for fault in found.faults] == ["alpha-2.0-h1_0.conda"]
    assert "validated" in found.faults[0].reason


def test_an_archive_without_a_title_is_nobodys() -> None:
    bare = layer(None, ARCHIVE)
    assert let("attestation", manifest(bare, INFO), YES).status == "waiting"
    found = let("attestation", manifest(ONE, bare, INFO), YES)
    assert found.manifest.layers == (ONE, INFO)
    # Where nobody asks for a verdict, its title isn't needed.
    assert let("annotation", manifest(bare, INFO, mark="validated")).status == "admitted"


def test_a_swapped_index_json_is_reported() -> None:
    evil = layer(INFO.title, OTHER_INDEX_JSON, INDEX_TYPE)
    found = let("attestation", manifest(ONE, evil), YES)
    assert found.status == "waiting"
    assert str(OTHER_INDEX_JSON) in found.faults[0].reason


@pytest.mark.parametrize(
    "evil",
    [
        layer("x/info/index.json", OTHER_INDEX_JSON, INDEX_TYPE),
        layer("x/info/index.json", OTHER_INDEX_JSON, "text/plain"),
        layer(None, OTHER_INDEX_JSON, INDEX_TYPE),
        # An archive by its title and index.json by its type: it goes as the one and not as
        # the other, so it must count as the other before it goes.
        layer(BZ2, OTHER_INDEX_JSON, INDEX_TYPE),
    ],
)
def test_of_two_index_jsons_neither_is_the_one(evil: Descriptor) -> None:
    for layers in ((ONE, INFO, evil), (ONE, evil, INFO)):
        found = let("attestation", manifest(*layers), YES)
        assert found.status == "waiting"
        assert "none, or several" in found.faults[0].reason


def test_the_same_index_json_twice_is_one() -> None:
    again = replace(INFO, annotations={TITLE: "again/info/index.json"})
    assert let("attestation", manifest(ONE, INFO, again), YES).status == "admitted"


def test_without_an_index_json_nothing_is_let_in_but_a_no_counts() -> None:
    assert let("attestation", manifest(ONE), YES).status == "waiting"
    assert let("attestation", manifest(ONE), NO).status == "rejected"


def test_what_is_told_can_do_nothing_to_a_terminal() -> None:
    evil = layer("\x1b[2J.conda", OTHER_ARCHIVE)
    found = let("attestation", manifest(ONE, INFO, evil), YES, _no_to("\x1b[2J.conda"))
    assert [fault.file_name for fault in found.faults] == ["\\x1b[2J.conda"]


def _no_to(file_name: str) -> Held:
    return held(passed=False, file_name=file_name, archive=OTHER_ARCHIVE)


def test_a_manifest_of_nothing_waits() -> None:
    assert let("attestation", ImageManifest((), {})).status == "waiting"
