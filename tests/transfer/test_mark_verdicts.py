"""Signed verdicts of mark: on what they are put, what is refused, and which word is the last."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from tarfile import SYMTYPE
from typing import Any

import pytest

from demo.packages import Package, build
from indexer.registry.content import Content, parse_descriptor
from indexer.trust.storage import parse_tag
from tests.support import faults
from tests.support.validator import Validator
from tests.transfer.archives import archive, entry
from tests.transfer.help import KEY, Shop, failures, moved
from tests.transfer.marking import ALPHA, ALPHA_BZ2, BETA, NOW, RULES, VERIFIER, Desk, meddled

TAG = "noarch/alpha:1.0-0"
FILE = "noarch/alpha-1.0-0.conda"


def index_json(package: Package, **changes: Any) -> bytes:
    return json.dumps(package.index | changes).encode()


def test_a_verdict_lets_an_archive_in_and_leaves_tag_and_manifest_alone(stocked: Desk) -> None:
    before = stocked.digest(ALPHA)
    outcome = stocked.mark(TAG, signed=True, reason="all well")
    assert stocked.digest(ALPHA) == before
    assert len(stocked.look(ALPHA, "attestation").reading.records) == 2
    assert stocked.look(BETA, "attestation").status == "waiting"
    for package in (ALPHA, ALPHA_BZ2):
        (held,) = stocked.verdicts(package)
        verdict = held.verdict
        assert (verdict.time, verdict.verifier, verdict.policy, verdict.reason) == (
            NOW,
            VERIFIER,
            RULES,
            "all well",
        )
        assert (verdict.md5, verdict.size) == (package.md5, package.size)
        (item,) = (i for i in outcome.moved.first if i.file_name == package.file_name)
        assert item.detail == f"manifest {before}, verdict {held.tag}"


def test_a_file_gets_a_verdict_of_its_own_alone(stocked: Desk) -> None:
    assert moved(stocked.mark(FILE, signed=True)) == [FILE]
    records = stocked.look(ALPHA, "attestation").reading.records
    assert [record.file_name for record in records] == [ALPHA.file_name]
    assert stocked.verdicts(ALPHA_BZ2) == []


def test_the_last_word_counts_and_no_word_is_said_twice(stocked: Desk) -> None:
    stocked.mark(TAG, signed=True)
    stocked.now += timedelta(hours=1)
    assert stocked.mark(TAG, signed=True).present == 2
    assert len(stocked.verdicts(ALPHA)) == 1
    stocked.mark(FILE, signed=True, said="rejected", reason="bad")
    records = stocked.look(ALPHA, "attestation").reading.records
    assert [record.file_name for record in records] == [ALPHA_BZ2.file_name]
    stocked.now += timedelta(hours=1)
    assert stocked.mark(FILE, signed=True, said="rejected").present == 1
    stocked.mark(FILE, signed=True)
    assert [item.verdict.passed for item in stocked.verdicts(ALPHA)] == [True, False, True]
    assert len(stocked.look(ALPHA, "attestation").reading.records) == 2


@pytest.mark.parametrize("said", ["validated", "rejected"])
def test_with_again_it_is_signed_again(stocked: Desk, said: str) -> None:
    stocked.mark(FILE, signed=True, said=said)
    stocked.now += timedelta(seconds=1)
    assert stocked.mark(FILE, signed=True, said=said, again=True).moved.count == 1
    assert len(stocked.verdicts(ALPHA)) == 2


def test_what_another_key_has_said_is_not_what_this_one_says(stocked: Desk, tmp_path: Path) -> None:
    stocked.mark(FILE, signed=True)
    stocked.validator = Validator(tmp_path, "other")
    assert stocked.mark(FILE, signed=True).moved.count == 1
    assert len(stocked.shop.registry.tags(stocked.shop.where(ALPHA)[0])) == 3


def test_a_no_is_later_than_a_yes_of_a_clock_that_was_ahead(stocked: Desk) -> None:
    stocked.now += timedelta(days=300)
    stocked.mark(FILE, signed=True)
    stocked.now = NOW
    assert stocked.mark(FILE, signed=True, said="rejected").moved.count == 1
    stocked.now += timedelta(days=301)
    assert stocked.look(ALPHA, "attestation").status == "rejected"


def test_a_no_is_said_again_where_a_yes_of_a_clock_that_was_ahead_would_outlive_it(
    stocked: Desk,
) -> None:
    stocked.mark(FILE, signed=True, said="rejected")
    stocked.now += timedelta(days=300)
    stocked.mark(FILE, signed=True)
    stocked.now = NOW + timedelta(hours=1)
    assert stocked.mark(FILE, signed=True, said="rejected").moved.count == 1
    stocked.now += timedelta(days=301)
    assert stocked.look(ALPHA, "attestation").status == "rejected"


def test_verdicts_on_other_archives_are_not_read_to_mark_one(stocked: Desk) -> None:
    stocked.mark(TAG, signed=True)
    asked: list[str] = []
    stocked.registry = meddled(
        stocked.shop.registry,
        before=lambda method, arguments: asked.extend(arguments[1:] * (method == "manifest")),
    )
    stocked.mark(FILE, signed=True)
    (held,) = stocked.verdicts(ALPHA)
    assert asked == ["1.0-0", held.tag]


def test_a_yes_that_would_not_count_beside_a_later_no_is_not_signed(stocked: Desk) -> None:
    stocked.now += timedelta(hours=1)
    stocked.mark(FILE, signed=True, said="rejected")
    stocked.now = NOW
    outcome = stocked.mark(FILE, signed=True)
    assert "would change nothing" in failures(outcome)[ALPHA.file_name]
    assert len(stocked.verdicts(ALPHA)) == 1


def test_both_have_the_verdict_first_and_then_the_annotation(stocked: Desk) -> None:
    before = stocked.digest(ALPHA)
    outcome = stocked.mark(TAG, policy="both", signed=True)
    assert stocked.look(ALPHA, "both").status == "indexed"
    assert outcome.moved.count == 2
    said = [("verdict" in line, "becomes" in line) for line in stocked.audited()]
    assert said == [(True, False), (True, False), (False, True)]
    assert {line["digest"] for line in stocked.audited()} == {before}


@pytest.mark.parametrize(
    "change",
    [
        {"depends": ["evil"]},
        {"build_number": False},
        {"timestamp": 1.5},
        {"extra": None},
        {"license": None},
    ],
    ids=str,
)
def test_an_index_json_that_is_not_the_archives_own_is_refused(
    stocked: Desk, change: dict[str, Any]
) -> None:
    stocked.swap(BETA, index_json(BETA, **change))
    outcome = stocked.mark("linux-64/beta:1.0-0", signed=True)
    assert f"differ in {next(iter(change))}" in failures(outcome)[BETA.file_name]
    assert stocked.verdicts(BETA) == []


def test_a_key_that_is_missing_beside_the_archive_is_refused(stocked: Desk) -> None:
    lacking = {key: value for key, value in BETA.index.items() if key != "license"}
    stocked.swap(BETA, json.dumps(lacking).encode())
    outcome = stocked.mark("linux-64/beta:1.0-0", signed=True)
    assert "differ in license" in failures(outcome)[BETA.file_name]


def test_other_spacing_and_order_say_the_same(stocked: Desk) -> None:
    turned = dict(reversed(BETA.index.items()))
    stocked.swap(BETA, json.dumps(turned, separators=(",", ":")).encode())
    assert stocked.mark("linux-64/beta:1.0-0", signed=True).moved.count == 1
    assert stocked.look(BETA, "attestation").status == "indexed"


@pytest.mark.parametrize(
    ("subdir", "is_refused"), [("linux-64", False), ("osx-64", True), (None, False)]
)
def test_a_subdir_that_the_archive_does_not_say_is_that_of_its_place(
    stocked: Desk,
    subdir: str | None,
    is_refused: bool,  # noqa: FBT001
) -> None:
    old = build("old", drop=["subdir"])
    stocked.shop.lay(old, subdir="linux-64")
    stocked.shop.push()
    place = build("old", subdir="linux-64")
    if subdir is not None:
        stocked.swap(place, index_json(old, subdir=subdir))
    outcome = stocked.mark("linux-64/old:1.0-0", signed=True)
    assert bool(outcome.failed) == is_refused
    assert len(stocked.verdicts(place)) == (not is_refused)


def layer_of(document: dict[str, Any], part: str) -> dict[str, Any]:
    (found,) = (item for item in document["layers"] if part in item["mediaType"])
    layer: dict[str, Any] = found
    return layer


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        ({"org.conda.md5": "0" * 32}, "its md5 is"),
        ({"org.opencontainers.image.title": "beta-1.0-1.conda"}, "its index.json makes it"),
        ({"org.opencontainers.image.title": "../beta-1.0-0.conda"}, "its index.json makes it"),
        ({"org.opencontainers.image.title": "beta-1.0-0.tar.bz2"}, "no archive that can be read"),
    ],
    ids=str,
)
def test_a_layer_that_lies_about_the_archive_is_refused(
    stocked: Desk, lie: dict[str, str], sentence: str
) -> None:
    stocked.rewrite(
        BETA, lambda document: layer_of(document, "package.v2")["annotations"].update(lie)
    )
    outcome = stocked.mark("linux-64/beta:1.0-0", signed=True)
    ((_, reason),) = failures(outcome).items()
    assert sentence in reason
    assert outcome.moved.count == 0
    assert [
        tag for tag in stocked.shop.registry.tags(stocked.shop.where(BETA)[0]) if parse_tag(tag)
    ] == []


def test_a_layer_without_a_title_cannot_be_named_by_a_verdict(stocked: Desk) -> None:
    stocked.rewrite(BETA, lambda document: layer_of(document, "package.v2").pop("annotations"))
    for said in ("validated", "rejected"):
        outcome = stocked.mark("linux-64/beta:1.0-0", signed=True, said=said)
        assert outcome.failed == 1


def test_a_package_in_anothers_place_is_refused(stocked: Desk) -> None:
    """As whoever may push beta would publish alpha."""
    registry = stocked.shop.registry
    repository, tag = stocked.shop.where(BETA)
    stolen, source = stocked.shop.manifest(ALPHA), stocked.shop.where(ALPHA)[0]
    for layer in stolen["layers"]:
        data = registry.blob(source, parse_descriptor(layer))
        registry.put_blob(repository, Content.of_bytes(data))
    stocked.rewrite(BETA, lambda document: document.update(layers=stolen["layers"]))
    outcome = stocked.mark(f"linux-64/beta:{tag}", signed=True, said="validated")
    assert all("its index.json makes it" in reason for reason in failures(outcome).values())
    assert outcome.moved.count == 0
    rejected = stocked.mark(f"linux-64/beta:{tag}", signed=True, said="rejected")
    assert rejected.failed == 2
    assert all("no verdict on it would count" in f.reason for f in rejected.failures)


def put_archive(desk: Desk, package: Package, path: Path) -> None:
    """Put other bytes in the place of a package's archive, and leave all beside it."""
    content = Content.of_bytes(path.read_bytes())
    desk.shop.registry.put_blob(desk.shop.where(package)[0], content)

    def change(document: dict[str, Any]) -> None:
        layer = layer_of(document, "package.v")
        layer |= {"digest": str(content.digest), "size": content.size}
        del layer["annotations"]["org.conda.md5"]

    desk.rewrite(package, change)


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (entry("info/index.json", b"{}"), "it has two of info/index.json"),
        (entry("info/index.json", kind=SYMTYPE, link="x"), "a link in its place"),
        (entry("info/./index.json", b"{}"), "a path that leads out"),
    ],
)
@pytest.mark.parametrize("end", [".conda", ".tar.bz2"])
def test_an_archive_with_two_index_jsons_is_refused(
    desk: Desk, tmp_path: Path, end: str, second: bytes, sentence: str
) -> None:
    """The first is what stands beside it; which one a client unpacks is not for us to say."""
    honest = build("alpha", archive="conda" if end == ".conda" else "tar.bz2")
    desk.shop.lay(honest)
    desk.shop.push()
    first = entry("info/index.json", honest.index_json)
    put_archive(desk, honest, archive(tmp_path, end, first, second))
    assert sentence in failures(desk.mark(TAG, signed=True))[honest.file_name]


@pytest.mark.parametrize("own", [b"", b"{", b"[]", b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"])
def test_an_index_json_in_the_archive_that_is_none_is_refused(
    stocked: Desk, tmp_path: Path, own: bytes
) -> None:
    path = archive(tmp_path, ".conda", entry("info/index.json", own), stem="beta-1.0-0")
    put_archive(stocked, BETA, path)
    outcome = stocked.mark("linux-64/beta:1.0-0", signed=True)
    assert "index.json" in failures(outcome)[BETA.file_name]


def test_one_archive_that_is_refused_does_not_take_the_other_with_it(stocked: Desk) -> None:
    bad = {"org.conda.md5": "0" * 32}
    stocked.rewrite(
        ALPHA, lambda document: layer_of(document, "package.v1")["annotations"].update(bad)
    )
    outcome = stocked.mark(TAG, policy="both", signed=True)
    assert failures(outcome).keys() == {ALPHA_BZ2.file_name}
    assert moved(outcome) == [FILE]
    # Nobody has validated all of it.
    assert KEY not in stocked.shop.manifest(ALPHA)["annotations"]
    assert "gets no annotation" in outcome.notes[0]


@pytest.mark.parametrize("broken", ["archive", "index_json", "no index_json"])
def test_what_is_broken_can_be_rejected(stocked: Desk, broken: str) -> None:
    def change(document: dict[str, Any]) -> None:
        if broken == "no index_json":
            layer = layer_of(document, "info.index")
            document["layers"].remove(layer)
            return
        layer = layer_of(document, "package.v2" if broken == "archive" else "info.index")
        content = Content.of_bytes(b"no such thing")
        stocked.shop.registry.put_blob(stocked.shop.where(BETA)[0], content)
        layer.pop("data", None)
        layer |= {"digest": str(content.digest), "size": content.size}

    stocked.rewrite(BETA, change)
    assert stocked.mark("linux-64/beta:1.0-0", signed=True).failed == 1
    outcome = stocked.mark("linux-64/beta:1.0-0", signed=True, said="rejected")
    assert (outcome.moved.count, outcome.failed) == (1, 0)
    assert stocked.look(BETA, "attestation").status == "rejected"
    assert stocked.mark("linux-64/beta:1.0-0", signed=True, said="rejected").present == 1


def test_an_archive_that_is_not_what_its_digest_says_is_refused(
    remote: Shop, tmp_path: Path
) -> None:
    desk = Desk(remote, Validator(tmp_path), tmp_path)
    remote.lay(ALPHA)
    remote.push()
    digest = f"sha256:{ALPHA.sha256}"
    remote.rig.fake.knobs.faults = [faults.tampered(match=faults.is_blob(digest=digest))]
    outcome = desk.mark(TAG, signed=True)
    assert "digest" in failures(outcome)[ALPHA.file_name]
    assert remote.rig.fake.knobs.faults[0].fired
    assert desk.verdicts(ALPHA) == []


def test_what_no_index_will_have_is_validated_and_noted(desk: Desk) -> None:
    odd = build("odd", depends=["python >=>3"])
    desk.shop.lay(odd)
    desk.shop.push()
    outcome = desk.mark("odd-1.0-0.conda", signed=True)
    assert outcome.moved.count == 1
    assert "no index will have it" in outcome.notes[0]
