"""What is validated in staging gets into production, whole, and nothing else does."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from demo.layers import INDEX, VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.channel.policy import PolicyName
from indexer.errors import ConfigError, NotFoundError
from indexer.registry.content import OCI_INDEX, OCI_MANIFEST, Content, Digest
from indexer.trust.judging import Held
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.rig import CHANNEL
from tests.support.validator import VALIDATED_AT, Validator, put_beside, verdict_of
from tests.transfer.help import Watcher
from tests.transfer.promotion import Ways, at_promoting
from tests.transfer.stage import exactly, names, reasons

ALPHA, ALPHA_BZ2 = build("alpha"), build("alpha", archive="tar.bz2")
BETA = build("beta", "1!2.0+x", subdir="linux-64")
SWITCH = build("_switch", build="on")
OTHER = build("alpha", message="other bytes")
REF = "noarch/alpha:1.0-0"
READS = {"GET", "HEAD"}


def test_what_is_validated_goes_over_as_it_is_and_the_rest_is_counted(ways: Ways) -> None:
    for packages in ((ALPHA, ALPHA_BZ2), (BETA,), (SWITCH,)):
        ways.put(*packages)
    ways.put(build("waits"), validated=False)
    ways.put(build("bad"), validated=False, annotations={"org.conda-forge.status": "rejected"})
    outcome = ways.run()
    assert ways.held() == exactly(ALPHA, ALPHA_BZ2, BETA, SWITCH)
    assert names(outcome.moved) == sorted(ways.held())
    assert (outcome.failures, outcome.present) == ([], 0)
    assert outcome.notes == [
        "builds in staging that are not promoted: 1 are rejected, 1 wait for validation"
    ]
    for package in (ALPHA, BETA, SWITCH):
        assert ways.manifest(package).body == ways.manifest(package, ways.staging).body
    assert ways.index("annotation").keys() == {p.file_name for p in (ALPHA, ALPHA_BZ2, SWITCH)}


def test_what_is_told_of_it_leads_to_it(ways: Ways) -> None:
    digest = ways.put(ALPHA)
    (item,) = ways.run().moved.first
    full, tag = ways.where(ALPHA)
    assert item.reference.endswith(f"{full}:{tag}")
    assert (item.sha256, item.size, item.digest) == (ALPHA.sha256, ALPHA.size, digest)


def test_a_second_run_finds_all_there_and_writes_nothing(ways: Ways) -> None:
    ways.put(ALPHA, ALPHA_BZ2)
    ways.put(BETA)
    ways.run()
    before = len(ways.audited())
    ways.rig.fake.clear_requests()
    outcome = ways.run()
    assert (outcome.moved.count, outcome.present, outcome.failed) == (0, 3, 0)
    assert {request.method for request in ways.rig.fake.requests} <= READS
    assert len(ways.audited()) == before


def test_within_a_registry_no_byte_of_a_package_is_moved(one: Ways) -> None:
    fake = one.rig.fake
    one.put(ALPHA, ALPHA_BZ2)
    fake.clear_requests()
    outcome = one.run()
    assert outcome.moved.count == 2
    assert outcome.moved.size == 0
    assert fake.count("uploads", "POST") == 5
    assert fake.count("uploads", "PUT") == 0
    # index.json, to look at it.
    assert sum(r.kind == "blobs" and r.method == "GET" for r in fake.requests) == 1


@pytest.mark.parametrize("jobs", [1, 4])
def test_where_a_registry_does_not_mount_the_bytes_are_sent(one: Ways, jobs: int) -> None:
    one.rig.fake.knobs.mounts = False
    one.put(ALPHA, ALPHA_BZ2)
    outcome = one.run(jobs=jobs)
    assert outcome.moved.size == ALPHA.size + ALPHA_BZ2.size
    assert one.held() == exactly(ALPHA, ALPHA_BZ2)


def test_between_registries_only_what_is_lacking_is_sent(
    two: Ways, elsewhere: FakeRegistry
) -> None:
    two.put(ALPHA)
    two.rig.fake.add_blob(two.where(ALPHA)[0], ALPHA.data)
    outcome = two.run()
    assert (outcome.moved.count, outcome.moved.size) == (1, 0)
    fetched = [r.reference for r in elsewhere.requests if r.kind == "blobs" and r.method == "GET"]
    assert f"sha256:{ALPHA.sha256}" not in fetched


def test_an_embedded_index_json_is_not_fetched(two: Ways, elsewhere: FakeRegistry) -> None:
    two.put(ALPHA)
    document = two.document(ALPHA, two.staging)
    (layer,) = (one for one in document["layers"] if one["mediaType"] == INDEX)
    layer["data"] = base64.b64encode(ALPHA.index_json).decode()
    full, tag = two.where(ALPHA, two.staging)
    elsewhere.add_manifest(full, tag, orjson.dumps(document), OCI_MANIFEST)
    elsewhere.clear_requests()
    two.run()
    fetched = [r.reference for r in elsewhere.requests if r.kind == "blobs"]
    assert str(Digest.of(ALPHA.index_json)) not in fetched
    assert two.index().keys() == {ALPHA.file_name}


@pytest.mark.parametrize("policy", ["annotation", "attestation", "both", "none"])
@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("is_attested", [True, False])
def test_the_policy_decides(
    into: Ways,
    policy: PolicyName,
    is_marked: bool,  # noqa: FBT001
    is_attested: bool,  # noqa: FBT001
) -> None:
    into.put(ALPHA, validated=is_marked)
    tag = into.say(ALPHA) if is_attested else None
    outcome = into.run(policy=policy)
    asked = {
        "annotation": is_marked,
        "attestation": is_attested,
        "both": is_marked and is_attested,
        "none": True,
    }
    assert into.held() == (exactly(ALPHA) if asked[policy] else {})
    assert outcome.failed == 0
    if asked[policy]:
        assert into.let_in(policy).keys() == {ALPHA.file_name}
        assert into.verdicts(ALPHA) == ([tag] if tag else [])
    else:
        assert any("wait for validation" in note for note in outcome.notes)


def test_verdicts_go_along_passed_and_failed(ways: Ways) -> None:
    ways.put(ALPHA)
    old = VALIDATED_AT - timedelta(days=1)
    tags = [ways.say(ALPHA, time=old, passed=False, reason="no licence"), ways.say(ALPHA)]
    ways.run(policy="attestation")
    assert ways.verdicts(ALPHA) == sorted(tags)
    assert ways.let_in("attestation").keys() == {ALPHA.file_name}
    with ways.open(ways.production) as registry:
        full, _ = ways.where(ALPHA)
        body = registry.manifest(full, tags[0]).body
    assert str(ways.manifest(ALPHA).digest).encode() in body


def test_a_verdict_of_another_key_stays_behind(one: Ways, tmp_path: Path) -> None:
    one.put(ALPHA)
    mine = one.say(ALPHA)
    stranger = Validator(tmp_path, "stranger")
    stranger.say(one.staging, CHANNEL, ALPHA)
    one.run(policy="attestation")
    assert one.verdicts(ALPHA) == [mine]


def test_without_keys_verdicts_go_along_unread_and_no_end_of_them_does_not(one: Ways) -> None:
    one.put(ALPHA)
    for number in range(70):
        put_beside(one.staging, CHANNEL, ALPHA, b'{"n": %d}' % number)
    full, _ = one.where(ALPHA, one.staging)
    one.rig.fake.add_manifest(full, f"sha256-{ALPHA.sha256}.{'0' * 32}", b"{}", OCI_MANIFEST)
    outcome = one.run()
    assert len(one.verdicts(ALPHA)) == 63
    assert outcome.moved.count == 1
    assert any("of 71 verdicts 64 go along" in note for note in outcome.notes)
    assert any("no verdict, and stays in staging" in note for note in outcome.notes)


def test_verdicts_that_come_later_are_added_to_what_is_there(ways: Ways) -> None:
    ways.put(ALPHA)
    first = ways.say(ALPHA)
    ways.run(policy="attestation")
    manifest = ways.manifest(ALPHA).body
    second = ways.say(ALPHA, time=VALIDATED_AT + timedelta(seconds=5))
    ways.log.unlink()
    outcome = ways.run(policy="attestation")
    assert (outcome.moved.count, outcome.present) == (0, 1)
    assert ways.verdicts(ALPHA) == sorted([first, second])
    assert ways.manifest(ALPHA).body == manifest
    (line,) = ways.audited()
    assert (line["action"], line["verdicts"]) == ("promoted", second)


def test_a_verdict_that_is_lost_keeps_its_package_back(one: Ways) -> None:
    """It was read when staging was looked at, and is gone when it is to go along."""
    one.put(ALPHA)
    tag = one.say(ALPHA)
    full, _ = one.where(ALPHA, one.staging)
    outcome = one.run(
        policy="attestation", progress=at_promoting(lambda: one.rig.fake.remove_tag(full, tag))
    )
    assert list(reasons(outcome)) == [REF]
    assert one.held() == {}


@pytest.mark.parametrize("passed", [ALPHA, ALPHA_BZ2])
def test_of_two_formats_only_the_one_that_is_let_in_goes(ways: Ways, passed: Package) -> None:
    ways.put(ALPHA, ALPHA_BZ2)
    ways.say(passed)
    outcome = ways.run(policy="attestation")
    assert ways.held() == exactly(passed)
    assert any("1 archives beside validated ones" in note for note in outcome.notes)
    with ways.open(ways.production) as registry:
        other = ALPHA if passed is ALPHA_BZ2 else ALPHA_BZ2
        assert not registry.has_blob(ways.where(ALPHA)[0], Digest(other.sha256))
    assert ways.let_in("attestation").keys() == {passed.file_name}
    assert ways.run(policy="attestation").present == 1


def test_other_bytes_under_the_name_of_what_was_let_in_stay_behind(one: Ways) -> None:
    """Two layers of one title: that of the verdict goes, the other doesn't."""
    image = package_manifest([ALPHA])
    document = one.document(ALPHA, one.staging) if one.put(ALPHA) else {}
    forged = document["layers"][0] | {"digest": f"sha256:{OTHER.sha256}", "size": OTHER.size}
    body = image.manifest.replace(b'"layers": [', b'"layers": [' + orjson.dumps(forged) + b", ")
    full, tag = one.where(ALPHA, one.staging)
    one.rig.fake.add_blob(full, OTHER.data)
    one.rig.fake.add_manifest(full, tag, body, OCI_MANIFEST)
    one.say(ALPHA)
    one.run(policy="attestation")
    assert one.held() == exactly(ALPHA)
    assert one.let_in("attestation") == {ALPHA.file_name: ALPHA.sha256}


def test_the_second_format_joins_the_first(ways: Ways) -> None:
    ways.put(ALPHA)
    ways.run()
    ways.put(ALPHA, ALPHA_BZ2)
    outcome = ways.run()
    assert names(outcome.moved) == [f"noarch/{ALPHA_BZ2.file_name}"]
    assert outcome.present == 1
    assert ways.held() == exactly(ALPHA, ALPHA_BZ2)
    assert ways.index("annotation").keys() == {ALPHA.file_name, ALPHA_BZ2.file_name}


def test_what_staging_has_less_of_is_not_taken_out(ways: Ways) -> None:
    ways.put(ALPHA, ALPHA_BZ2)
    ways.run()
    ways.put(ALPHA)
    outcome = ways.run()
    assert (outcome.present, outcome.moved.count, outcome.failed) == (1, 0, 0)
    assert ways.held() == exactly(ALPHA, ALPHA_BZ2)


def test_other_content_in_production_stays_and_both_digests_are_named(ways: Ways) -> None:
    theirs, ours = ways.put(OTHER, at=ways.production), ways.put(ALPHA)
    outcome = ways.run()
    reason = reasons(outcome)[REF]
    for digest in (theirs, ours, f"sha256:{OTHER.sha256}", f"sha256:{ALPHA.sha256}"):
        assert digest in reason
    assert ways.held() == exactly(OTHER)
    assert not ways.log.exists()


def test_another_index_json_is_other_content(one: Ways) -> None:
    """The archive is the same; what production says of it isn't."""
    swapped = build("alpha", depends=["beta"])
    image = package_manifest([ALPHA], annotations=VALIDATED)
    mine, other = Digest.of(ALPHA.index_json), Digest.of(swapped.index_json)
    body = image.manifest.replace(mine.hex.encode(), other.hex.encode())
    body = body.replace(
        f'"size": {len(ALPHA.index_json)},'.encode(), f'"size": {len(swapped.index_json)},'.encode()
    )
    full, tag = one.where(ALPHA)
    one.rig.fake.add(full, image)
    one.rig.fake.add_blob(full, swapped.index_json)
    one.rig.fake.add_manifest(full, tag, body, OCI_MANIFEST)
    one.put(ALPHA)
    reason = reasons(one.run())[REF]
    assert f"info/index.json is {other} there, {mine} in staging" in reason
    assert one.manifest(ALPHA).body == body


def test_a_tag_without_index_json_is_other_content(one: Ways) -> None:
    one.put(ALPHA)
    document = one.document(ALPHA, one.staging)
    document["layers"] = document["layers"][:1]
    full, tag = one.where(ALPHA)
    one.rig.fake.add_manifest(full, tag, orjson.dumps(document), OCI_MANIFEST)
    assert "info/index.json is missing there" in reasons(one.run())[REF]


def test_the_other_format_alone_in_production_is_other_content(one: Ways) -> None:
    one.put(ALPHA_BZ2, at=one.production)
    one.put(ALPHA)
    assert ALPHA_BZ2.file_name in reasons(one.run())[REF]
    assert one.held() == exactly(ALPHA_BZ2)


def test_an_image_index_in_production_is_not_overwritten(one: Ways) -> None:
    one.put(ALPHA)
    full, tag = one.where(ALPHA)
    one.rig.fake.add_manifest(full, tag, b'{"manifests":[]}', OCI_INDEX)
    assert "image index" in reasons(one.run())[REF]
    assert one.document(ALPHA) == {"manifests": []}


def test_an_image_index_in_staging_is_refused(one: Ways) -> None:
    digest = one.put(ALPHA)
    full, tag = one.where(ALPHA, one.staging)
    raw = one.manifest(ALPHA, one.staging)
    child = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(raw.body)}
    one.rig.fake.add_manifest(full, tag, orjson.dumps({"manifests": [child]}), OCI_INDEX)
    assert "image index" in reasons(one.run())[REF]
    assert one.held() == {}


@pytest.mark.parametrize("policy", ["annotation", "both"])
def test_what_is_unmarked_in_production_is_marked(ways: Ways, policy: PolicyName) -> None:
    ways.put(ALPHA, at=ways.production, validated=False)
    ways.put(ALPHA)
    ways.say(ALPHA)
    outcome = ways.run(policy=policy)
    assert names(outcome.moved) == [f"noarch/{ALPHA.file_name}"]
    assert outcome.moved.size == 0
    assert ways.let_in(policy).keys() == {ALPHA.file_name}


def test_no_mark_is_needed_where_none_is_asked_for(ways: Ways) -> None:
    ways.put(ALPHA, at=ways.production, validated=False)
    ways.put(ALPHA)
    tag = ways.say(ALPHA)
    outcome = ways.run(policy="attestation")
    assert (outcome.present, outcome.moved.count) == (1, 0)
    assert "annotations" not in ways.document(ALPHA) or not ways.document(ALPHA)["annotations"]
    assert ways.verdicts(ALPHA) == [tag]


@pytest.mark.parametrize("joins", [True, False])
@pytest.mark.parametrize("policy", ["annotation", "none"])
def test_what_production_rejected_stays_rejected(
    one: Ways,
    policy: PolicyName,
    joins: bool,  # noqa: FBT001
) -> None:
    no = {"org.conda-forge.status": "rejected", "org.conda-forge.status.reason": "virus"}
    one.put(ALPHA, at=one.production, validated=False, annotations=no)
    one.put(*([ALPHA, ALPHA_BZ2] if joins else [ALPHA]))
    outcome = one.run(policy=policy)
    assert one.document(ALPHA)["annotations"] == no
    if policy == "annotation" or joins:
        assert "rejected in production" in reasons(outcome)[REF]
        assert "virus" in reasons(outcome)[REF]
    else:
        assert outcome.present == 1


def test_a_mark_is_not_put_on_what_staging_does_not_speak_of(one: Ways) -> None:
    one.put(ALPHA, ALPHA_BZ2, at=one.production, validated=False)
    one.put(ALPHA)
    assert ALPHA_BZ2.file_name in reasons(one.run())[REF]
    assert one.held() == exactly(ALPHA, ALPHA_BZ2)


def test_a_rejection_that_a_site_remembers_counts(one: Ways) -> None:
    one.put(ALPHA)
    one.say(ALPHA)
    remembered = Held(verdict_of(ALPHA, passed=False), "key")
    outcome = one.run(policy="attestation", rejections=[remembered])
    assert one.held() == {}
    assert outcome.notes == ["builds in staging that are not promoted: 1 are rejected"]


def test_a_dry_run_says_what_would_go_and_writes_nothing(ways: Ways) -> None:
    ways.put(ALPHA, ALPHA_BZ2)
    ways.say(ALPHA)
    ways.put(BETA)
    ways.put(BETA, at=ways.production)
    ways.say(BETA)
    ways.rig.fake.clear_requests()
    outcome = ways.run(dry_run=True)
    assert names(outcome.moved) == sorted(exactly(ALPHA, ALPHA_BZ2))
    assert outcome.present == 1
    assert outcome.notes == [
        "linux-64/beta:1__e__2.0__p__x-0 is there already; 1 verdicts would be added"
    ]
    assert {request.method for request in ways.rig.fake.requests} <= READS
    assert ways.held() == exactly(BETA)
    assert ways.verdicts(BETA) == []
    assert not ways.log.exists()


def test_a_dry_run_makes_no_folder(folders: Ways, tmp_path: Path) -> None:
    folders.put(ALPHA)
    assert folders.run(dry_run=True).moved.count == 1
    assert not (tmp_path / "production").exists()


def test_subdirs_and_globs_restrict_it(one: Ways) -> None:
    for package in (ALPHA, BETA, SWITCH):
        one.put(package)
    assert names(one.run(subdirs=("linux-64",)).moved) == ["linux-64/beta-1!2.0+x-0.conda"]
    outcome = one.run(globs=("_sw*", "gamma"))
    assert names(outcome.moved) == ["noarch/_switch-1.0-on.conda"]
    assert any("no package called gamma" in note for note in outcome.notes)


def test_names_that_are_spelt_alike_are_told_apart(one: Ways) -> None:
    one.put(build("zzz_foo", "2.0"))
    one.put(build("_foo"))
    assert names(one.run(globs=("_foo",)).moved) == ["noarch/_foo-1.0-0.conda"]


@pytest.mark.parametrize("end", ["truncated", "tampered"])
def test_a_broken_blob_costs_its_build(two: Ways, elsewhere: FakeRegistry, end: str) -> None:
    two.put(ALPHA)
    two.put(BETA)
    full, _ = two.where(ALPHA, two.staging)
    digest = f"sha256:{ALPHA.sha256}"
    data = ALPHA.data[:-9] if end == "truncated" else ALPHA.data[:-9] + b"\0" * 9
    # Under the digest of others.
    elsewhere._repositories[full].blobs[digest] = data  # noqa: SLF001
    outcome = two.run()
    assert digest in reasons(outcome)[REF]
    assert two.held() == exactly(BETA)
    assert two.rig.fake.tags_of(two.where(ALPHA)[0]) == []


def test_a_blob_that_is_gone_costs_its_build(ways: Ways, elsewhere: FakeRegistry) -> None:
    image = package_manifest([ALPHA], annotations=VALIDATED)
    ways.put(BETA)
    ways.rig.fake.knobs.checks_manifests = elsewhere.knobs.checks_manifests = False
    with ways.open(ways.staging) as registry:
        full, tag = ways.where(ALPHA, ways.staging)
        registry.put_blob(full, Content.of_bytes(ALPHA.index_json))
        registry.put_manifest(full, tag, image.manifest, OCI_MANIFEST)
    outcome = ways.run()
    assert list(reasons(outcome)) == [REF]
    assert ways.held() == exactly(BETA)
    with ways.open(ways.production) as registry, pytest.raises(NotFoundError):
        registry.manifest(*ways.where(ALPHA))


def test_a_blob_that_production_loses_again_is_found_out_before_its_tag(two: Ways) -> None:
    two.put(ALPHA)
    two.rig.fake.knobs.checks_manifests = False
    full, _ = two.where(ALPHA)
    digest = f"sha256:{ALPHA.sha256}"
    is_there = faults.is_blob(full, digest)
    # Asked before it is fetched, before it is sent, and when all is there.
    two.rig.fake.knobs.faults = [
        faults.Fault(is_there, 2, lambda _, ready: ready),
        faults.status(404, match=is_there),
    ]
    assert f"lost the blob {digest}" in reasons(two.run())[REF]
    assert two.rig.fake.tags_of(full) == []


@pytest.mark.parametrize("fault", [faults.tampered, faults.truncated, faults.closed])
def test_a_hiccup_on_the_way_is_passed_over(
    two: Ways, elsewhere: FakeRegistry, fault: Callable[..., faults.Fault]
) -> None:
    two.put(ALPHA)
    hiccup = fault(match=faults.is_blob(digest=f"sha256:{ALPHA.sha256}"), times=1)
    elsewhere.knobs.faults = [hiccup]
    assert two.run().failures == []
    assert (hiccup.fired, two.held()) == (1, exactly(ALPHA))


def test_what_is_promoted_is_in_the_log(one: Ways) -> None:
    digest = one.put(ALPHA, ALPHA_BZ2)
    verdict = one.say(ALPHA)
    one.say(ALPHA_BZ2)
    one.run(policy="attestation")
    lines = one.audited()
    assert [line["file_name"] for line in lines] == [ALPHA_BZ2.file_name, ALPHA.file_name]
    line = lines[1]
    assert line.pop("time").startswith("20")
    key = one.validator.keyring.keys[0].key.keyid
    assert line == {
        "action": "promoted",
        "who": "tester",
        "from": str(one.staging),
        "to": str(one.production),
        "channel": CHANNEL,
        "subdir": "noarch",
        "repository": "alpha",
        "tag": "1.0-0",
        "digest": digest,
        "file_name": ALPHA.file_name,
        "sha256": ALPHA.sha256,
        "key": key,
        "verdicts": verdict,
    }


@pytest.mark.parametrize("is_there", [False, True])
def test_without_a_line_in_the_log_nothing_is_written(
    two: Ways,
    is_there: bool,  # noqa: FBT001
) -> None:
    two.put(ALPHA)
    two.say(ALPHA)
    if is_there:
        two.put(ALPHA, at=two.production)
    two.log.mkdir()
    two.rig.fake.clear_requests()
    with pytest.raises(ConfigError, match="audit log"):
        two.run(policy="attestation")
    assert {request.method for request in two.rig.fake.requests} <= READS


@pytest.mark.parametrize("is_there", [False, True])
def test_a_verdict_is_in_the_log_before_it_is_in_production(
    two: Ways,
    is_there: bool,  # noqa: FBT001
) -> None:
    two.put(ALPHA)
    tag = two.say(ALPHA)
    if is_there:
        two.put(ALPHA, at=two.production)
    told: list[str] = []

    def look(_: faults.Request, ready: faults.Answer) -> faults.Answer:
        told.extend(line["verdicts"] for line in two.audited())
        return ready

    is_put = faults.is_manifest_put(reference=tag)
    two.rig.fake.knobs.faults = [faults.Fault(is_put, None, look)]
    two.run(policy="attestation")
    assert told == [tag]


def test_broken_bytes_in_a_folder_are_found_out_before_the_tag(out: Ways) -> None:
    """A file of its size is taken for a blob, whatever is in it."""
    ways = out
    ways.put(ALPHA)
    folder = ways.production.folder
    assert folder is not None
    blob = folder / ways.where(ALPHA)[0] / "blobs/sha256" / ALPHA.sha256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(ALPHA.data[:-1] + bytes([ALPHA.data[-1] ^ 1]))
    reason = reasons(ways.run())[REF]
    assert f"broken bytes in {ways.where(ALPHA)[0]}" in reason
    assert ALPHA.sha256 in reason
    with ways.open(ways.production) as registry, pytest.raises(NotFoundError):
        registry.manifest(*ways.where(ALPHA))
    blob.unlink()
    assert ways.run().failures == []
    assert ways.held() == exactly(ALPHA)


def test_the_bar_comes_to_its_end(ways: Ways) -> None:
    for packages in ((ALPHA, ALPHA_BZ2), (BETA,)):
        ways.put(*packages)
    watcher = Watcher()
    ways.run(progress=watcher)
    assert watcher.steps == watcher.totals
    assert (watcher.totals["Promoting"] or 0) > ALPHA.size + ALPHA_BZ2.size + BETA.size


def test_of_what_is_on_its_way_one_blob_is_kept_and_nothing_at_the_end(
    ways: Ways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    most = 0

    def stepped(*_: object) -> None:
        nonlocal most
        most = max(most, sum(path.is_file() for path in scratch.rglob("*")))

    ways.put(ALPHA, ALPHA_BZ2)
    ways.run(progress=Watcher(stepped=stepped), jobs=1)
    mounts = ways.staging.host == ways.production.host != ""
    assert most == (0 if mounts else 1)
    assert list(scratch.iterdir()) == []


def test_what_goes_wrong_with_one_does_not_stop_the_others(ways: Ways) -> None:
    good = [build(f"good{number}") for number in range(5)]
    for package in good:
        ways.put(package)
    bad = [build(f"good{number}", "2.0") for number in range(5)]
    for package in bad:
        ways.put(package)
        ways.put(build(package.name, "2.0", message="other"), at=ways.production)
    outcome = ways.run()
    assert (outcome.moved.count, outcome.failed) == (5, 5)
