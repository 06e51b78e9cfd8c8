"""A no in staging reaches what production has, whatever has become of staging's tags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import orjson
import pytest

from demo.packages import Package, build
from indexer.errors import ConfigError
from indexer.registry.content import OCI_INDEX
from tests.support import faults
from tests.support.rig import CHANNEL
from tests.support.validator import VALIDATED_AT, put_beside, verdict_of
from tests.transfer.promotion import Ways
from tests.transfer.stage import reasons

ALPHA, ALPHA_BZ2 = build("alpha"), build("alpha", archive="tar.bz2")
LATER = build("alpha", "2.0")
OTHER = build("alpha", message="other bytes")
BETA = build("beta", "1!2.0+x", subdir="linux-64")
REF = "noarch/alpha:1.0-0"
FILE = f"noarch/{ALPHA.file_name}"
HOUR = timedelta(hours=1)


def promoted(ways: Ways, *packages: Package) -> str:
    """Have the first in production, by a verdict; gives its tag."""
    ways.put(*(packages or [ALPHA]))
    tags = [ways.say(package) for package in packages or [ALPHA]]
    assert ways.run(policy="attestation").failures == []
    return tags[0]


def no(ways: Ways, package: Package = ALPHA) -> str:
    return ways.say(package, passed=False, time=VALIDATED_AT + HOUR)


def nothing(_: Ways) -> None:
    """Staging is as it was."""


def overwrite(ways: Ways) -> None:
    """Somebody pushes other bytes under the tag."""
    ways.put(OTHER, validated=False)


def take_out(ways: Ways) -> None:
    """Of the repository there is nothing left but verdicts."""
    with ways.open(ways.staging) as registry:
        full, tag = ways.where(ALPHA, ways.staging)
        registry.delete_manifest(full, registry.manifest(full, tag).digest)
        assert tag not in registry.tags(full)


@pytest.mark.parametrize("change", [nothing, overwrite, take_out])
@pytest.mark.parametrize("words", [[], [REF], [ALPHA.file_name]], ids=["all", "tag", "file"])
def test_what_is_rejected_after_it_was_promoted_is_so_in_production_too(
    ways: Ways, change: Callable[[Ways], None], words: list[str]
) -> None:
    yes = promoted(ways)
    assert ways.let_in("attestation") == {ALPHA.file_name: ALPHA.sha256}
    said = no(ways)
    change(ways)
    before = ways.manifest(ALPHA)
    dry = ways.run(*words, policy="attestation", dry_run=True, subdirs=("noarch",))
    assert f"{FILE} is rejected by now; 1 verdicts would be added" in dry.notes
    assert ways.verdicts(ALPHA) == [yes]
    ways.log.unlink()
    outcome = ways.run(*words, policy="attestation", subdirs=("noarch",))
    assert (outcome.moved.count, outcome.present) == (0, 0)
    # What was named isn't promoted, and that is told as ever.
    assert list(reasons(outcome)) == words
    assert f"{FILE} is rejected by now; 1 verdicts were added" in outcome.notes
    assert ways.verdicts(ALPHA) == sorted([yes, said])
    assert ways.let_in("attestation") == {}
    assert ways.manifest(ALPHA).body == before.body
    with ways.open(ways.production) as registry:
        body = registry.manifest(ways.where(ALPHA)[0], said).body
    assert orjson.loads(body)["subject"]["digest"] == str(before.digest)
    (line,) = ways.audited()
    assert (line["action"], line["verdicts"], line["digest"]) == (
        "promoted", said, str(before.digest)
    )  # fmt: skip
    again = ways.run(policy="attestation")
    assert not any("rejected by now" in note for note in again.notes)
    assert len(ways.audited()) == 1


def test_of_two_formats_the_one_is_rejected_and_the_other_goes_on(one: Ways) -> None:
    promoted(one, ALPHA, ALPHA_BZ2)
    said = no(one)
    outcome = one.run(policy="attestation")
    assert outcome.failures == []
    assert said in one.verdicts(ALPHA)
    assert one.let_in("attestation").keys() == {ALPHA_BZ2.file_name}


def test_what_is_rejected_and_not_in_production_stays_where_it_is(ways: Ways) -> None:
    ways.put(ALPHA, validated=False)
    no(ways)
    ways.put(OTHER, at=ways.production)
    ways.put(BETA, validated=False)
    no(ways, BETA)
    ways.run(policy="attestation", dry_run=True)
    outcome = ways.run(policy="attestation")
    assert (outcome.moved.count, outcome.failed) == (0, 0)
    assert not any("rejected by now" in note for note in outcome.notes)
    assert ways.verdicts(ALPHA) == []
    assert ways.held() == {f"noarch/{OTHER.file_name}": OTHER.sha256}
    assert not ways.log.exists()


def test_of_what_is_named_alone_the_no_goes_along(one: Ways) -> None:
    promoted(one)
    promoted(one, LATER)
    mine, other = no(one), no(one, LATER)
    overwrite(one)
    one.run(REF, policy="attestation")
    assert mine in one.verdicts(ALPHA)
    assert other not in one.verdicts(ALPHA)


def test_a_file_that_is_named_is_not_the_other_of_its_build(one: Ways) -> None:
    promoted(one, ALPHA, ALPHA_BZ2)
    mine, other = no(one), no(one, ALPHA_BZ2)
    one.run(FILE, policy="attestation")
    assert mine in one.verdicts(ALPHA)
    assert other not in one.verdicts(ALPHA)


def test_packages_restrict_it(one: Ways) -> None:
    promoted(one)
    said = no(one)
    overwrite(one)
    one.run(policy="attestation", globs=("beta",))
    assert said not in one.verdicts(ALPHA)
    one.run(policy="attestation", globs=("alp*",))
    assert said in one.verdicts(ALPHA)


def test_a_yes_that_came_after_the_no_goes_along(one: Ways) -> None:
    """Else production would have the earlier word alone."""
    promoted(one)
    said, back = no(one), one.say(ALPHA, time=VALIDATED_AT + 2 * HOUR)
    overwrite(one)
    one.run(policy="attestation")
    assert {said, back} <= set(one.verdicts(ALPHA))
    assert one.let_in("attestation") == {ALPHA.file_name: ALPHA.sha256}


def test_a_no_that_goes_along_with_its_build_is_told_of_once(one: Ways) -> None:
    promoted(one)
    said, back = no(one), one.say(ALPHA, time=VALIDATED_AT + 2 * HOUR)
    one.log.unlink()
    one.run(policy="attestation")
    (line,) = one.audited()
    assert line["verdicts"] == f"{back} {said}"


def test_of_one_verdict_in_many_envelopes_one_goes_along(one: Ways) -> None:
    """An envelope has room for what nobody signed: whoever may push can make any number."""
    promoted(one)
    verdicts = [
        verdict_of(ALPHA, time=VALIDATED_AT + HOUR, passed=False),
        verdict_of(ALPHA, time=VALIDATED_AT + 2 * HOUR),
    ]

    def copies(numbers: range) -> None:
        for verdict in verdicts:
            document = orjson.loads(one.validator.sign(verdict))
            for number in numbers:
                envelope = orjson.dumps(document | {"n": number})
                put_beside(one.staging, CHANNEL, ALPHA, envelope)

    copies(range(20))
    one.run(policy="attestation")
    assert len(one.verdicts(ALPHA)) == 3
    copies(range(20, 40))
    outcome = one.run(policy="attestation")
    assert (outcome.notes, len(one.verdicts(ALPHA))) == ([], 3)


def test_what_production_has_and_can_not_be_read_is_a_failure(one: Ways) -> None:
    promoted(one)
    no(one)
    full, tag = one.where(ALPHA)
    one.rig.fake.add_manifest(full, tag, b'{"manifests":[]}', OCI_INDEX)
    assert (
        "it is rejected, and whether production has it"
        in reasons(one.run(policy="attestation"))[FILE]
    )


def test_a_no_that_can_not_be_put_is_a_failure_and_the_others_go(one: Ways) -> None:
    promoted(one)
    promoted(one, BETA)
    said, other = no(one), no(one, BETA)
    one.rig.fake.knobs.faults = [faults.status(413, match=faults.is_manifest_put(reference=said))]
    outcome = one.run(policy="attestation")
    assert "answered 413" in reasons(outcome)[FILE]
    assert other in one.verdicts(BETA)
    assert "answered 413" in one.audited()[-1]["failed"] + one.audited()[-2].get("failed", "")


def test_without_a_line_in_the_log_no_verdict_is_written(one: Ways) -> None:
    promoted(one)
    no(one)
    overwrite(one)
    one.log.unlink()
    one.log.mkdir()
    one.rig.fake.clear_requests()
    with pytest.raises(ConfigError, match="audit log"):
        one.run(policy="attestation")
    assert {request.method for request in one.rig.fake.requests} <= {"GET", "HEAD"}


def test_a_stranger_rejects_nothing(one: Ways) -> None:
    yes = promoted(one)
    forged = orjson.loads(one.validator.sign(verdict_of(ALPHA, passed=False)))
    forged["signatures"][0]["sig"] = "AAAA"
    put_beside(one.staging, CHANNEL, ALPHA, orjson.dumps(forged))
    overwrite(one)
    one.run(policy="attestation")
    assert one.verdicts(ALPHA) == [yes]
