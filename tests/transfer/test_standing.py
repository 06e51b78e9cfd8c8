"""How builds stand, by the tags and verdicts beside them, for who looks at single ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demo.packages import build
from indexer.channel.policy import Policy
from indexer.errors import NotFoundError, RegistryError
from indexer.registry import RegistryAddress, Transport, open_registry
from indexer.registry.content import Digest
from indexer.transfer.standing import Inspector, Shelf
from indexer.trust.judging import Held
from indexer.trust.keys import Keyring
from indexer.trust.rejections import remember
from indexer.trust.storage import VerdictTag
from tests.support import faults
from tests.support.rig import CHANNEL, START, Rig
from tests.support.validator import Validator, put_beside, verdict_of

ALPHA, LATER = build("alpha"), build("alpha", "2.0")
BZ2 = build("alpha", archive="tar.bz2")
Look = Callable[..., Inspector]


@pytest.fixture
def validator(tmp_path: Path) -> Validator:
    return Validator(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Validator:
    return Validator(tmp_path, "stranger")


@pytest.fixture
def address(rig: Rig) -> RegistryAddress:
    rig.push(ALPHA, validated=False)
    return rig.config().registry


@pytest.fixture
def inspector(address: RegistryAddress, validator: Validator) -> Iterator[Look]:
    with closing(Transport(retry_for=0.2)) as transport:

        def made(**changes: Any) -> Inspector:
            settings: dict[str, Any] = {
                "registry": open_registry(address, transport),
                "channel": CHANNEL,
                "policy": Policy("attestation"),
                "keyring": validator.keyring,
                "now": START,
            }
            return Inspector(**(settings | changes))

        yield made


def remembered(*changes: dict[str, Any]) -> list[Held]:
    seen = [Held(verdict_of(ALPHA, passed=False, **change), "0123") for change in changes]
    return remember([], seen)


def test_a_shelf_has_packages_and_verdicts_apart(
    rig: Rig, address: RegistryAddress, inspector: Look, validator: Validator
) -> None:
    rig.push(LATER, validated=False)
    tag = validator.say(address, CHANNEL, ALPHA)
    for other in ("latest", f"sha256-{'0' * 64}", f"sha256-{'0' * 64}.sig"):
        rig.push(ALPHA, tag=other)
    shelf = inspector().shelf("noarch", "alpha")
    assert shelf.tags == ("1.0-0", "2.0-0")
    assert [item.tag for item in shelf.held] == [str(tag)]
    assert shelf.void == ()
    assert shelf.full_name == rig.repository("noarch", "alpha")


def test_what_a_shelf_holds_decides(
    rig: Rig, address: RegistryAddress, inspector: Look, validator: Validator
) -> None:
    rig.push(LATER, validated=False)
    looking = inspector()
    validator.say(address, CHANNEL, ALPHA)
    shelf = looking.shelf("noarch", "alpha")
    assert [looking.look(shelf, tag).status for tag in shelf.tags] == ["indexed", "waiting"]
    validator.say(address, CHANNEL, ALPHA, passed=False)
    shelf = looking.shelf("noarch", "alpha")
    assert [looking.look(shelf, tag).status for tag in shelf.tags] == ["rejected", "waiting"]
    assert looking.look(shelf, "3.0-0").digest is None


def test_a_yes_from_after_now_is_none(
    address: RegistryAddress, inspector: Look, validator: Validator
) -> None:
    validator.say(address, CHANNEL, ALPHA, time=START)
    looking = inspector()
    assert looking.look(looking.shelf("noarch", "alpha"), "1.0-0").status == "indexed"
    early = inspector(now=START.replace(hour=11))
    assert early.look(early.shelf("noarch", "alpha"), "1.0-0").status == "waiting"


def test_what_counts_for_nothing_is_named(
    address: RegistryAddress, inspector: Look, validator: Validator, stranger: Validator
) -> None:
    by_stranger = stranger.say(address, CHANNEL, ALPHA)
    elsewhere = validator.say(address, CHANNEL, ALPHA, subdir="linux-64")
    garbage = put_beside(address, CHANNEL, ALPHA, b"garbage")
    shelf = inspector().shelf("noarch", "alpha")
    assert shelf.held == ()
    told = {void.tag: void.reason for void in shelf.void}
    assert told.keys() == {str(by_stranger), str(elsewhere), str(garbage)}
    assert "no trusted key" in told[str(by_stranger)]
    assert "speaks of the subdir linux-64" in told[str(elsewhere)]
    assert "no DSSE envelope" in told[str(garbage)]


def test_a_verdict_that_is_gone_when_asked_for_is_named(
    rig: Rig, address: RegistryAddress, inspector: Look, validator: Validator
) -> None:
    tag = validator.say(address, CHANNEL, ALPHA)
    rig.fake.knobs.faults[:] = [faults.status(404, match=faults.is_manifest(reference=str(tag)))]
    assert [void.tag for void in inspector().shelf("noarch", "alpha").void] == [str(tag)]


def test_where_nobody_is_trusted_no_verdict_is_fetched(
    rig: Rig, address: RegistryAddress, inspector: Look, validator: Validator
) -> None:
    validator.say(address, CHANNEL, ALPHA)
    rig.fake.clear_requests()
    shelf = inspector(keyring=Keyring(), policy=Policy("annotation")).shelf("noarch", "alpha")
    assert (shelf.held, shelf.void) == ((), ())
    assert rig.fake.count("manifests") == 0


def test_what_a_site_remembers_counts_in_its_own_repository_alone(
    address: RegistryAddress, inspector: Look, validator: Validator
) -> None:
    validator.say(address, CHANNEL, ALPHA)
    others = remembered({"subdir": "linux-64"}, {"file_name": "beta-1.0-0.conda"})
    looking = inspector(rejections=others)
    shelf = looking.shelf("noarch", "alpha")
    assert [item.verdict.passed for item in shelf.held] == [True]
    assert looking.look(shelf, "1.0-0").status == "indexed"
    looking = inspector(rejections=[*others, *remembered({})])
    shelf = looking.shelf("noarch", "alpha")
    found = looking.look(shelf, "1.0-0")
    assert found.status == "rejected"
    assert "gone from the registry" in found.reading.faults[0].reason


def test_an_odd_name_is_remembered_where_it_lies(rig: Rig, inspector: Look) -> None:
    rig.push(build("_x"), validated=False)
    (no,) = remembered({"file_name": "_x-1.0-0.conda"})
    assert inspector(rejections=[no]).shelf("noarch", "zzz_x").held == (no,)


def test_what_is_not_there_or_does_not_answer_is_no_empty_shelf(rig: Rig, inspector: Look) -> None:
    with pytest.raises(NotFoundError):
        inspector().shelf("noarch", "beta")
    rig.fake.knobs.faults[:] = [faults.status(500, match=faults.is_tags())]
    with pytest.raises(RegistryError):
        inspector().shelf("noarch", "alpha")


def test_of_the_verdicts_those_are_lacking_that_decide_and_are_not_there() -> None:
    def held(package: Any, end: str) -> Held:
        tag = VerdictTag(Digest(package.sha256), end * 32) if end else ""
        return Held(verdict_of(package), "0123", str(tag))

    shelf = Shelf(
        "noarch",
        "alpha",
        "full",
        held=(held(ALPHA, "0"), held(ALPHA, ""), held(BZ2, "1"), held(LATER, "2")),
    )
    assert [item.tag[-1] for item in shelf.lacking((), START)] == ["0", "1", "2"]
    there = {item.tag for item in shelf.held[:1]}
    assert [item.tag[-1] for item in shelf.lacking(there, START)] == ["1", "2"]
