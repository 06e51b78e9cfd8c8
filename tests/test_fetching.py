"""One tag, asked for and understood, with verdicts: what may lie there, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from demo.layers import VALIDATED, Image, digest_of, package_manifest
from demo.packages import Package, build
from indexer.channel.artifact import Fault, Place
from indexer.channel.policy import Policy, PolicyName
from indexer.errors import RegistryError
from indexer.fetching import Fetcher, Outcome
from indexer.registry import Transport, open_registry
from indexer.registry.content import OCI_INDEX, OCI_MANIFEST, Digest
from indexer.trust.judging import Held, Verdicts
from tests.support import faults
from tests.support.gate import swapped
from tests.support.rig import CHANNEL, START, Rig
from tests.support.validator import VALIDATED_AT, verdict_of

KEY_ID = "0123456789abcdef0123"
ALPHA = build("alpha")
BZ2 = build("alpha", archive="tar.bz2")
EVIL = build("alpha", message="evil")
HEAVY = build("alpha", depends=["evil"])
FULL = f"acme/{CHANNEL}/noarch/alpha"
Fetch = Callable[..., Outcome]


@pytest.fixture
def fetch(rig: Rig) -> Iterator[Fetch]:
    with closing(Transport(retry_for=0.2)) as transport:
        registry = open_registry(rig.config().registry, transport)

        def found(
            *items: Held,
            policy: PolicyName = "attestation",
            known: tuple[Digest, ...] = (),
            tag: str = "1.0-0",
            subdir: str = "noarch",
            repository: str = "alpha",
        ) -> Outcome:
            rig.fake.clear_requests()
            fetcher = Fetcher(registry, CHANNEL, Policy(policy), int(START.timestamp()))
            place = Place(subdir, repository, tag)
            return fetcher.fetch(place, known, Verdicts(items, START))

        yield found


def yes(package: Package, **changes: Any) -> Held:
    return Held(verdict_of(package, **changes), KEY_ID, "a-tag")


def no(package: Package, **changes: Any) -> Held:
    return yes(package, passed=False, **changes)


def files(outcome: Outcome) -> dict[str, str]:
    return {record.file_name: record.sha256 for record in outcome.reading.records}


def put(rig: Rig, image: Image, tag: str | None = None) -> None:
    rig.fake.add(FULL, image, tag)


def changed(image: Image, change: Callable[[dict[str, Any]], Any]) -> Image:
    manifest = json.loads(image.manifest)
    change(manifest)
    return Image(json.dumps(manifest).encode(), image.blobs, image.repository_name, image.tag)


def joined(image: Image, layer: dict[str, Any], place: int = -1) -> Image:
    """The same image with one layer more."""
    return changed(image, lambda found: found["layers"].insert(place, layer))


def test_what_a_verdict_lets_in_is_read_with_the_index_json_it_speaks_of(
    rig: Rig, fetch: Fetch
) -> None:
    digest = rig.push(ALPHA, validated=False)
    found = fetch(yes(ALPHA))
    assert (found.status, files(found)) == ("indexed", {ALPHA.file_name: ALPHA.sha256})
    assert found.reading.index_json == {ALPHA.file_name: Digest.of(ALPHA.index_json).hex}
    assert (str(found.digest), found.reading.faults) == (digest, ())
    assert found.raw is not None
    assert str(found.raw.digest) == digest


def test_what_is_not_let_in_costs_its_manifest_alone(rig: Rig, fetch: Fetch) -> None:
    rig.push(ALPHA, validated=False)
    for items, status in (((), "waiting"), ((no(ALPHA),), "rejected")):
        found = fetch(*items)
        assert (found.status, found.reading.records) == (status, ())
        assert found.raw is not None
        assert [request.kind for request in rig.fake.requests] == ["manifests"]


def test_a_tag_that_leads_to_what_is_known_is_not_understood_again(rig: Rig, fetch: Fetch) -> None:
    digest = Digest.parse(rig.push(ALPHA, validated=False))
    assert fetch(no(ALPHA), known=(digest,)) == Outcome(digest, "indexed", same=True)


@pytest.mark.parametrize(
    ("policy", "validated", "items", "status"),
    [
        ("none", False, [no(ALPHA)], "indexed"),
        ("annotation", True, [no(ALPHA)], "indexed"),
        ("annotation", False, [yes(ALPHA)], "waiting"),
        ("attestation", True, [], "waiting"),
        ("both", True, [], "waiting"),
        ("both", False, [yes(ALPHA)], "waiting"),
        ("both", True, [yes(ALPHA)], "indexed"),
        ("both", True, [yes(ALPHA), no(ALPHA)], "rejected"),
        # For somewhere else, or for later.
        ("attestation", True, [yes(ALPHA, file_name="alpha-1.1-0.conda")], "waiting"),
        ("attestation", True, [yes(ALPHA, time=START.replace(year=2030))], "waiting"),
    ],
)
def test_the_policy_decides(
    rig: Rig,
    fetch: Fetch,
    policy: PolicyName,
    items: list[Held],
    status: str,
    *,
    validated: bool,
) -> None:
    rig.push(ALPHA, validated=validated)
    assert fetch(*items, policy=policy).status == status


def test_a_forged_annotation_is_told_of(rig: Rig, fetch: Fetch) -> None:
    rig.push(ALPHA)
    (fault,) = fetch().reading.faults
    assert fault.reason.endswith("=validated alone: no verdict of a trusted key")


def test_a_swapped_index_json_is_told_of(rig: Rig, fetch: Fetch) -> None:
    put(rig, swapped(package_manifest([ALPHA], annotations=VALIDATED), ALPHA, HEAVY))
    found = fetch(yes(ALPHA))
    assert (found.status, found.reading.records) == ("waiting", ())
    (fault,) = found.reading.faults
    assert digest_of(HEAVY.index_json) in fault.reason


def test_a_swapped_archive_is_told_of(rig: Rig, fetch: Fetch) -> None:
    rig.push(EVIL)
    found = fetch(yes(ALPHA))
    assert found.status == "waiting"
    assert f"here it is sha256:{EVIL.sha256}" in found.reading.faults[0].reason


def test_another_index_json_beside_the_right_one_lets_nothing_in(rig: Rig, fetch: Fetch) -> None:
    # One that goes as an archive, by its title, and as index.json, by its type.
    image = package_manifest([ALPHA])
    evil = {
        "mediaType": "application/vnd.conda.info.index.v1+json",
        "digest": digest_of(HEAVY.index_json),
        "size": len(HEAVY.index_json),
        "annotations": {"org.opencontainers.image.title": BZ2.file_name},
    }
    rig.fake.add_blob(FULL, HEAVY.index_json)
    for place in (0, 3):
        put(rig, joined(image, evil, place))
        assert fetch(yes(ALPHA)).status == "waiting"


def test_another_archive_of_the_same_title_changes_nothing(rig: Rig, fetch: Fetch) -> None:
    evil = json.loads(package_manifest([EVIL]).manifest)["layers"][0]
    for place in (0, 3):
        image = package_manifest([ALPHA])
        put(rig, joined(image, evil, place))
        found = fetch(yes(ALPHA))
        assert (found.status, files(found)) == ("indexed", {ALPHA.file_name: ALPHA.sha256})
        assert [fault.file_name for fault in found.reading.faults] == [EVIL.file_name]


def test_two_validated_archives_of_one_title_are_not_chosen_between(rig: Rig, fetch: Fetch) -> None:
    evil = json.loads(package_manifest([EVIL]).manifest)["layers"][0]
    put(rig, joined(package_manifest([ALPHA]), evil))
    found = fetch(yes(ALPHA), yes(EVIL, index_json=Digest.of(ALPHA.index_json)))
    assert found.status == "unsound"
    assert found.reading.faults == (
        Fault(f"two different archives called {ALPHA.file_name}", ALPHA.file_name),
    )


def test_another_format_is_let_in_or_left_out_by_itself(rig: Rig, fetch: Fetch) -> None:
    rig.push(ALPHA, BZ2, validated=False)
    both = {ALPHA.file_name: ALPHA.sha256, BZ2.file_name: BZ2.sha256}
    assert files(fetch(yes(ALPHA), yes(BZ2))) == both
    one = fetch(yes(BZ2))
    assert files(one) == {BZ2.file_name: BZ2.sha256}
    assert one.reading.notes == (f"{ALPHA.file_name}: no verdict of a trusted key",)
    rejected = fetch(yes(BZ2), no(ALPHA, reason="bad"))
    assert (rejected.status, files(rejected)) == ("indexed", {BZ2.file_name: BZ2.sha256})
    (fault,) = rejected.reading.faults
    assert fault.file_name == ALPHA.file_name
    assert fault.reason.startswith("rejected 2026-10-31 12:00:00 UTC")


def test_an_archive_without_a_title_waits(rig: Rig, fetch: Fetch) -> None:
    image = changed(
        package_manifest([ALPHA], annotations=VALIDATED),
        lambda found: found["layers"][0].pop("annotations"),
    )
    put(rig, image)
    assert fetch(yes(ALPHA)).status == "waiting"
    assert files(fetch(yes(ALPHA), policy="annotation")) == {ALPHA.file_name: ALPHA.sha256}


def test_a_verdict_does_not_vouch_for_a_place(rig: Rig, fetch: Fetch) -> None:
    # The same genuine artifact under a name, a tag, a subdir that are not its own.
    rig.push(ALPHA, repository="beta")
    rig.push(ALPHA, tag="2.0-0")
    rig.push(ALPHA, subdir="linux-64")
    for where in ({"repository": "beta"}, {"tag": "2.0-0"}, {"subdir": "linux-64"}):
        found = fetch(yes(ALPHA), **where)
        assert (found.status, found.reading.records) == ("unsound", ())
        assert found.reading.faults[0].reason.startswith("index.json")


# Image indexes


def index_of(rig: Rig, *images: Image, **more: Any) -> None:
    children = [
        {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
        for image in images
    ]
    for image in images:
        for blob in image.blobs.values():
            rig.fake.add_blob(FULL, blob)
        rig.fake.add_manifest(FULL, image.digest, image.manifest, OCI_MANIFEST)
    body = {"schemaVersion": 2, "manifests": children, **more}
    rig.fake.add_manifest(FULL, "1.0-0", json.dumps(body).encode(), OCI_INDEX)


def test_of_an_image_index_what_is_validated_is_let_in(rig: Rig, fetch: Fetch) -> None:
    index_of(rig, package_manifest([EVIL]), package_manifest([ALPHA]))
    found = fetch(yes(ALPHA))
    assert (found.status, files(found)) == ("indexed", {ALPHA.file_name: ALPHA.sha256})
    assert str(ALPHA.sha256) in found.reading.faults[0].reason


def test_an_image_index_of_a_rejected_and_a_waiting_manifest_is_rejected(
    rig: Rig, fetch: Fetch
) -> None:
    index_of(rig, package_manifest([ALPHA]), package_manifest([BZ2]))
    assert fetch().status == "waiting"
    found = fetch(no(BZ2))
    assert (found.status, found.reading.records) == ("rejected", ())
    assert [fault.file_name for fault in found.reading.faults] == [BZ2.file_name]


def test_an_annotation_of_the_index_marks_none_of_its_manifests(rig: Rig, fetch: Fetch) -> None:
    index_of(rig, package_manifest([ALPHA]), annotations=dict(VALIDATED))
    assert fetch(yes(ALPHA), policy="both").status == "waiting"
    assert fetch(yes(ALPHA), policy="annotation").status == "waiting"


def test_an_index_json_of_one_manifest_does_not_serve_another(rig: Rig, fetch: Fetch) -> None:
    # The archive in one, the index.json that it was validated with in the other.
    evil = swapped(package_manifest([ALPHA]), ALPHA, HEAVY)
    index_of(rig, evil, package_manifest([BZ2]))
    found = fetch(yes(ALPHA))
    assert (found.status, found.reading.records) == ("waiting", ())


# What can't be read


def test_what_is_gone_is_nothing_to_remember(rig: Rig, fetch: Fetch) -> None:
    rig.fake.add_repository(FULL)
    found = fetch(yes(ALPHA))
    assert (found.status, found.digest, found.raw) == ("unsound", None, None)
    rig.push(ALPHA)
    rig.fake.knobs.faults[:] = [faults.tampered(match=faults.is_blob())]
    found = fetch(yes(ALPHA))
    assert (found.status, found.digest) == ("unsound", None)
    assert [fault.file_name for fault in found.reading.faults] == [ALPHA.file_name]


def test_a_verdicts_manifest_under_a_packages_tag_is_no_package(rig: Rig, fetch: Fetch) -> None:
    body = {"schemaVersion": 2, "layers": [{"mediaType": "x", "digest": digest_of(b""), "size": 0}]}
    rig.fake.add_manifest(FULL, "1.0-0", json.dumps(body).encode(), OCI_MANIFEST)
    found = fetch(yes(ALPHA))
    assert found.reading.faults == (Fault("no layer is a conda archive"),)
    assert found.digest is not None


def test_a_registry_that_does_not_answer_ends_the_run(rig: Rig, fetch: Fetch) -> None:
    rig.push(ALPHA)
    rig.fake.knobs.faults[:] = [faults.status(500, match=faults.is_manifest())]
    with pytest.raises(RegistryError):
        fetch(yes(ALPHA))


def test_verdicts_are_from_before_the_run() -> None:
    assert VALIDATED_AT < START
