"""One verdict's tag, read from a registry as whoever may push has left it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest

from demo.packages import Package, build
from indexer.channel.artifact import Place
from indexer.errors import ContentError, RegistryError
from indexer.registry import Registry, Transport, open_registry
from indexer.registry.content import OCI_MANIFEST, Digest
from indexer.trust.judging import Held
from indexer.trust.reading import LostVerdictError, read_verdict
from indexer.trust.storage import OddVerdictError, VerdictTag, verdict_tag
from tests.support import faults
from tests.support.rig import CHANNEL, Rig
from tests.support.validator import Validator, put_beside, verdict_of
from tests.trust.help import altered, b64, statement

ALPHA = build("alpha")
ARCHIVE = Digest(ALPHA.sha256)


@pytest.fixture
def registry(rig: Rig) -> Iterator[Registry]:
    rig.push(ALPHA, validated=False)
    with closing(Transport(retry_for=0.2)) as transport:
        yield open_registry(rig.config().registry, transport)


@pytest.fixture
def read(rig: Rig, registry: Registry, validator: Validator) -> Callable[..., Held]:
    def found(tag: VerdictTag, subdir: str = "noarch", repository: str = "alpha") -> Held:
        full = rig.repository(subdir, repository)
        return read_verdict(registry, full, subdir, repository, tag, validator.keyring)

    return found


Read = Callable[..., Held]


def beside(rig: Rig, envelope: bytes, package: Package = ALPHA, **where: Any) -> VerdictTag:
    return put_beside(rig.config().registry, CHANNEL, package, envelope, **where)


def test_a_verdict_beside_its_package_counts(rig: Rig, read: Read, validator: Validator) -> None:
    tag = validator.say(rig.config().registry, CHANNEL, ALPHA)
    found = read(tag)
    assert found.verdict == verdict_of(ALPHA)
    assert found.tag == str(tag)
    assert found.key_id == validator.keyring.keys[0].key.keyid


def test_a_genuine_verdict_under_another_archives_tag_counts_for_nothing(
    rig: Rig, read: Read, validator: Validator
) -> None:
    envelope = validator.sign(verdict_of(ALPHA))
    tag = verdict_tag(Digest.of(b"evil"), envelope)
    beside(rig, envelope, tag=tag)
    with pytest.raises(ContentError, match="speaks of the archive"):
        read(tag)


@pytest.mark.parametrize(
    ("package", "told"),
    [
        (build("alpha", subdir="linux-64"), "speaks of the subdir noarch"),
        (build("beta"), "speaks of the package alpha"),
    ],
)
def test_a_genuine_verdict_replayed_elsewhere_counts_for_nothing(
    rig: Rig, read: Read, validator: Validator, package: Package, told: str
) -> None:
    rig.push(package)
    envelope = validator.sign(verdict_of(ALPHA))
    place = Place(package.subdir, package.name, "1.0-0")
    tag = beside(rig, envelope, place=place)
    with pytest.raises(ContentError, match=told) as caught:
        read(tag, package.subdir, package.name)
    assert not isinstance(caught.value, LostVerdictError)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda found: found.update(payload=b64(statement())), "isn't that of the key"),
        (lambda found: found["signatures"].clear(), "signed by nobody"),
        (lambda found: found.pop("payload"), "no DSSE envelope"),
    ],
)
def test_a_broken_envelope_is_broken_for_good(
    rig: Rig, read: Read, validator: Validator, change: Any, reason: str
) -> None:
    tag = beside(rig, altered(validator.sign(verdict_of(ALPHA)), change))
    with pytest.raises(ContentError, match=reason) as caught:
        read(tag)
    # Its content is named in its tag: there is no use in asking again.
    assert not isinstance(caught.value, LostVerdictError)


def test_a_strangers_verdict_is_none(rig: Rig, read: Read, stranger: Validator) -> None:
    tag = stranger.say(rig.config().registry, CHANNEL, ALPHA)
    with pytest.raises(ContentError, match="no trusted key"):
        read(tag)


def test_a_tag_that_is_gone_or_leads_elsewhere_may_be_right_next_time(
    rig: Rig, read: Read, validator: Validator
) -> None:
    full = rig.repository("noarch", "alpha")
    envelope = validator.sign(verdict_of(ALPHA))
    tag = verdict_tag(ARCHIVE, envelope)
    with pytest.raises(LostVerdictError):
        read(tag)
    # Moved to another verdict, to a package, to what is no manifest.
    other = beside(rig, validator.sign(verdict_of(ALPHA, passed=False)))
    for body in (
        orjson.dumps(rig.fake.manifest_of(full, str(other))),
        orjson.dumps(rig.fake.manifest_of(full, "1.0-0")),
        b"nonsense",
        b"[" * 100_000,
        b"{}",
    ):
        rig.fake.add_manifest(full, str(tag), body, OCI_MANIFEST)
        with pytest.raises(OddVerdictError):
            read(tag)
    beside(rig, envelope)
    assert read(tag).verdict.passed


def test_bytes_that_break_on_the_way_may_be_right_next_time(
    rig: Rig, read: Read, validator: Validator
) -> None:
    tag = validator.say(rig.config().registry, CHANNEL, ALPHA)
    rig.fake.knobs.faults[:] = [faults.replace_body(b"{}", match=faults.is_manifest())]
    with pytest.raises(LostVerdictError):
        read(tag)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_registry_that_does_not_answer_is_no_missing_verdict(
    rig: Rig, read: Read, validator: Validator, status: int
) -> None:
    # Or a no would be lost with it.
    tag = validator.say(rig.config().registry, CHANNEL, ALPHA)
    rig.fake.knobs.faults[:] = [faults.status(status, match=faults.is_manifest())]
    with pytest.raises(RegistryError):
        read(tag)
