"""What the tests of marking share: a validator at work on a shop's registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from demo.packages import Package, build
from indexer.channel.artifact import place_of
from indexer.channel.policy import Policy, PolicyName
from indexer.fetching import Outcome as Reading
from indexer.registry import Registry
from indexer.registry.content import Content
from indexer.transfer.attest import Signatory
from indexer.transfer.audit import AuditLog
from indexer.transfer.job import Job
from indexer.transfer.mark import Mark, Saying
from indexer.transfer.outcome import Outcome
from indexer.transfer.references import read_references
from indexer.transfer.standing import Inspector, Shelf
from indexer.trust.judging import Held
from tests.support.rig import CHANNEL
from tests.support.validator import Validator
from tests.transfer.help import Shop

NOW = datetime(2026, 11, 1, 13, 0, 0, 123456, tzinfo=UTC)
ALPHA = build("alpha")
ALPHA_BZ2 = build("alpha", archive="tar.bz2")
BETA = build("beta", subdir="linux-64")
VERIFIER, RULES = "urn:test:validator", "urn:test:policy"


@dataclass
class Desk:
    """Where a validator sits: marks what is in a shop's registry, and looks what came of it."""

    shop: Shop
    validator: Validator
    folder: Path
    now: datetime = NOW
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.registry = self.shop.registry

    @property
    def audit(self) -> Path:
        return self.folder / "audit.jsonl"

    def mark(
        self,
        *references: str,
        said: str = "validated",
        policy: PolicyName = "annotation",
        signed: bool = False,
        dry_run: bool = False,
        subdirs: tuple[str, ...] = (),
        **saying: Any,
    ) -> Outcome:
        """One run; ``signed`` is with a key."""
        job = Job(
            registry=self.registry, channel=CHANNEL, now=self.now, subdirs=subdirs, jobs=4,
            dry_run=dry_run,
        )  # fmt: skip
        settings: dict[str, Any] = {
            "said": said,
            "policy": Policy(policy),
            "signatory": self.signatory if signed else None,
        }
        log = None if dry_run else AuditLog(self.audit, "somebody", lambda: self.now)
        run = Mark(job, Saying(**(settings | saying)), log, lambda: self.now)
        return run.run(read_references(references, ())[0])

    @property
    def signatory(self) -> Signatory:
        return Signatory(
            sign=self.validator.sign,
            keyring=self.validator.keyring,
            verifier=VERIFIER,
            policy=RULES,
        )

    def audited(self) -> list[dict[str, str]]:
        lines = self.audit.read_text().splitlines() if self.audit.exists() else []
        return [json.loads(line) for line in lines]

    def shelf(self, package: Package) -> Shelf:
        place = place_of(package.subdir, package.file_name)
        return self.inspector("attestation").shelf(place.subdir, place.repository)

    def verdicts(self, package: Package) -> list[Held]:
        """Those on a package that count, by their time; all in its repository must."""
        shelf = self.shelf(package)
        assert shelf.void == ()
        found = [item for item in shelf.held if item.verdict.file_name == package.file_name]
        return sorted(found, key=lambda item: item.verdict.time)

    def inspector(self, policy: PolicyName) -> Inspector:
        return Inspector(
            registry=self.shop.registry,
            channel=CHANNEL,
            policy=Policy(policy),
            keyring=self.validator.keyring,
            now=self.now,
        )

    def look(self, package: Package, policy: PolicyName) -> Reading:
        """What an indexer makes of a package's tag."""
        _, tag = self.shop.where(package)
        return self.inspector(policy).look(self.shelf(package), tag)

    def digest(self, package: Package) -> str:
        """Of the manifest that its tag leads to."""
        return str(self.shop.registry.manifest(*self.shop.where(package)).digest)

    def rewrite(self, package: Package, change: Callable[[dict[str, Any]], object]) -> str:
        """Put a package's manifest again, changed, as whoever may push can; gives its digest."""
        document = self.shop.manifest(package)
        change(document)
        body = json.dumps(document).encode()
        repository, tag = self.shop.where(package)
        media_type = document["mediaType"]
        return str(self.shop.registry.put_manifest(repository, tag, body, media_type))

    def swap(self, package: Package, index_json: bytes) -> None:
        """Put other bytes in the place of index.json, and leave the archive as it is."""
        content = Content.of_bytes(index_json)
        self.shop.registry.put_blob(self.shop.where(package)[0], content)

        def change(document: dict[str, Any]) -> None:
            (layer,) = (i for i in document["layers"] if "info.index" in i["mediaType"])
            layer.pop("data", None)
            layer |= {"digest": str(content.digest), "size": content.size}

        self.rewrite(package, change)


class KilledError(Exception):
    """As if by kill -9, as far as a registry can tell."""


class Meddled:
    """A registry that has somebody else do something before or after requests.

    ``before`` and ``after`` are told the method and its arguments.
    """

    def __init__(
        self,
        inner: Registry,
        before: Callable[[str, tuple[Any, ...]], object] = lambda *_: None,
        after: Callable[[str, tuple[Any, ...]], object] = lambda *_: None,
    ) -> None:
        self._inner = inner
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name == "address":
            return found

        def call(*arguments: Any, **keywords: Any) -> Any:
            self._before(name, arguments)
            result = found(*arguments, **keywords)
            self._after(name, arguments)
            return result

        return call


def meddled(inner: Registry, **hooks: Callable[[str, tuple[Any, ...]], object]) -> Registry:
    """The same, as what it stands for."""
    return cast("Registry", Meddled(inner, **hooks))
