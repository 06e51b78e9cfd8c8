"""Promotion within a real registry, and out of it: mounts, links and listings as they are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.packages import build
from indexer.channel.policy import PolicyName
from indexer.registry.content import Digest
from tests.support.registry_process import RegistryProcess
from tests.support.rig import Rig
from tests.transfer.conftest import ways_between
from tests.transfer.promotion import Ways, address_of
from tests.transfer.stage import exactly, names, reasons

ALPHA, ALPHA_BZ2 = build("alpha"), build("alpha", archive="tar.bz2")
OTHER = build("alpha", message="other bytes")
REF = "noarch/alpha:1.0-0"


@pytest.fixture
def real(
    rig: Rig, docker_registry: RegistryProcess, tmp_path: Path, request: pytest.FixtureRequest
) -> Ways:
    """Two namespaces of a real registry, of this test alone."""
    place = f"oci+{docker_registry.http}/{Digest.of(request.node.name.encode()).hex[:8]}"
    return ways_between(rig, f"{place}/staging", f"{place}/production", tmp_path)


@pytest.mark.parametrize("policy", ["annotation", "attestation", "both"])
def test_what_is_validated_is_mounted_and_indexed(real: Ways, policy: PolicyName) -> None:
    many = [build(f"many{number}") for number in range(12)]
    for package in many:
        real.put(package)
        real.say(package)
    waits = build("waits")
    real.put(waits, validated=False)
    outcome = real.run(policy=policy, jobs=8)
    assert outcome.failures == []
    assert (outcome.moved.count, outcome.moved.size) == (12, 0)
    assert real.held() == exactly(*many)
    assert real.let_in(policy).keys() == {package.file_name for package in many}
    assert real.index().keys() == {package.file_name for package in many}
    assert len(real.verdicts(many[0])) == 1
    again = real.run(policy=policy)
    assert (again.present, again.moved.count, again.failed) == (12, 0, 0)


def test_a_second_format_joins_and_other_content_does_not(real: Ways) -> None:
    real.put(ALPHA)
    real.run(REF)
    real.put(ALPHA, ALPHA_BZ2)
    assert names(real.run(REF).moved) == [f"noarch/{ALPHA_BZ2.file_name}"]
    assert real.held() == exactly(ALPHA, ALPHA_BZ2)
    digest = real.put(OTHER)
    assert digest in reasons(real.run(REF))[REF]
    assert real.held() == exactly(ALPHA, ALPHA_BZ2)


def test_the_format_that_is_not_let_in_stays(real: Ways) -> None:
    real.put(ALPHA, ALPHA_BZ2)
    real.say(ALPHA)
    real.run(policy="attestation")
    assert real.held() == exactly(ALPHA)
    with real.open(real.production) as registry:
        assert not registry.has_blob(real.where(ALPHA)[0], Digest(ALPHA_BZ2.sha256))


def test_it_goes_out_to_a_folder_and_in_again(real: Ways, tmp_path: Path) -> None:
    place = str(real.production)
    real.put(ALPHA, ALPHA_BZ2)
    tag = real.say(ALPHA)
    folder = tmp_path / "folder"
    out = replace(real, production=address_of(folder))
    assert out.run(policy="none").failures == []
    back = replace(real, staging=address_of(folder), production=address_of(f"{place}/again"))
    assert back.run(policy="none").moved.count == 2
    assert back.held() == exactly(ALPHA, ALPHA_BZ2)
    assert back.verdicts(ALPHA) == [tag]
