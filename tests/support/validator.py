"""Whoever validates, in a test: a key pair, verdicts, and how they get into a registry."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.packages import Package
from indexer.channel.artifact import Place, place_of
from indexer.registry import RegistryAddress, Transport, open_registry
from indexer.registry.content import Digest
from indexer.trust.envelope import sign
from indexer.trust.keys import KeyFile, Keyring, load_keyring, load_signer, make_key_pair
from indexer.trust.storage import VerdictTag, put_verdict, verdict_tag
from indexer.trust.verdict import Verdict

# A day before rigs begin.
VALIDATED_AT = datetime(2026, 10, 31, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Validator:
    """A key pair in a folder, and what is signed with it."""

    folder: Path
    name: str = "validator"

    def __post_init__(self) -> None:
        make_key_pair(self.private, self.public)

    @property
    def private(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def public(self) -> Path:
        return self.folder / f"{self.name}.pub"

    @property
    def file(self) -> KeyFile:
        return KeyFile(path=self.public)

    @property
    def keyring(self) -> Keyring:
        return load_keyring([self.file])

    def sign(self, verdict: Verdict) -> bytes:
        return sign(verdict, load_signer(self.private))

    def say(
        self, address: RegistryAddress, channel: str, package: Package, **changes: Any
    ) -> VerdictTag:
        """Put a verdict on a package beside it, in its repository; gives its tag."""
        verdict = verdict_of(package, **changes)
        return put_beside(address, channel, package, self.sign(verdict))


def verdict_of(package: Package, **changes: Any) -> Verdict:
    """That a package is validated, but for what is changed."""
    fields: dict[str, Any] = {
        "subdir": package.subdir,
        "file_name": package.file_name,
        "archive": Digest(package.sha256),
        "index_json": Digest.of(package.index_json),
        "passed": True,
        "time": VALIDATED_AT,
        "verifier": "urn:test:validator",
        "policy": "urn:test:policy",
    }
    return Verdict(**(fields | changes))


def put_beside(
    address: RegistryAddress,
    channel: str,
    package: Package,
    envelope: bytes,
    *,
    place: Place | None = None,
    tag: VerdictTag | None = None,
) -> VerdictTag:
    """Put an envelope, whatever it holds, beside a package (or elsewhere, under another tag)."""
    at = place or place_of(package.subdir, package.file_name)
    full_name = address.repository(channel, at.subdir, at.repository)
    tag = tag or verdict_tag(Digest(package.sha256), envelope)
    with closing(Transport(retry_for=0.2)) as transport:
        registry = open_registry(address, transport, writing=True)
        put_verdict(registry, full_name, tag, envelope, registry.manifest(full_name, at.tag))
    return tag
