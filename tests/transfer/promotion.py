"""What the tests of promote share: two namespaces, and runs from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson

from demo.layers import VALIDATED, Image, package_manifest
from demo.packages import Package
from indexer.channel.artifact import place_of
from indexer.channel.policy import Policy, PolicyName
from indexer.errors import NotFoundError
from indexer.registry import Registry, RegistryAddress, Transport, open_registry
from indexer.registry.content import Content, RawManifest
from indexer.transfer.audit import AuditLog
from indexer.transfer.job import Job
from indexer.transfer.naming import list_repositories
from indexer.transfer.outcome import Outcome
from indexer.transfer.promote import Promote
from indexer.transfer.references import read_references
from indexer.transfer.standing import Inspector
from indexer.trust.judging import Held
from indexer.trust.keys import Keyring
from indexer.trust.storage import parse_tag
from tests.registry.help import VirtualTime
from tests.support.rig import CHANNEL, Rig
from tests.support.validator import Validator
from tests.transfer.help import Watcher
from tests.transfer.stage import held


@dataclass
class Ways:
    """Staging, production, and somebody who validates."""

    rig: Rig
    staging: RegistryAddress
    production: RegistryAddress
    validator: Validator
    log: Path
    # What stands between a run and its registries.
    wraps: list[Callable[[Registry], Registry]] = field(default_factory=list)

    def put(
        self,
        *packages: Package,
        validated: bool = True,
        at: RegistryAddress | None = None,
        annotations: dict[str, str] | None = None,
        image: Image | None = None,
    ) -> str:
        """Put archives of one build under their tag, by default in staging; gives its digest."""
        marks = VALIDATED if validated else {}
        made = image or package_manifest(packages, annotations={**marks, **(annotations or {})})
        with self.open(at or self.staging) as registry:
            full, tag = self.where(packages[0], at or self.staging)
            for data in made.blobs.values():
                registry.put_blob(full, Content.of_bytes(data))
            return str(registry.put_manifest(full, tag, made.manifest, made.media_type))

    def say(self, package: Package, at: RegistryAddress | None = None, **changes: Any) -> str:
        """A verdict on a package, by default in staging; gives its tag."""
        return str(self.validator.say(at or self.staging, CHANNEL, package, **changes))

    def where(self, package: Package, at: RegistryAddress | None = None) -> tuple[str, str]:
        """A package's repository, by default in production, and its tag."""
        place = place_of(package.subdir, package.file_name)
        address = at or self.production
        return address.repository(CHANNEL, place.subdir, place.repository), place.tag

    def run(self, *names: str, lines: Sequence[str] = (), **settings: Any) -> Outcome:
        """One run, of all or of these; each on transports of its own."""
        job = self.prepared(**settings)
        with job as (promote, source, transport):
            if names:
                references, failures = read_references(names, lines)
                assert failures == []
                return promote.named(references)
            subdirs = settings.get("subdirs", ())
            listing = list_repositories(source, transport, CHANNEL, subdirs, {})
            return promote.everything(listing.repositories)

    @contextmanager
    def prepared(
        self,
        *,
        policy: PolicyName = "annotation",
        rejections: Sequence[Held] = (),
        **settings: Any,
    ) -> Iterator[tuple[Promote, Registry, Transport]]:
        """A run that is about to begin."""
        with (
            closing(Transport(clock=VirtualTime().clock)) as one,
            closing(Transport(clock=VirtualTime().clock)) as other,
        ):
            source: Registry = open_registry(self.staging, one)
            target: Registry = open_registry(self.production, other, writing=True)
            for wrap in self.wraps:
                source, target = wrap(source), wrap(target)
            inspector = self.inspector(source, policy, rejections)
            defaults: dict[str, Any] = {"now": self.rig.now, "jobs": 4}
            job = Job(registry=target, channel=CHANNEL, **(defaults | settings))
            yield Promote(job, inspector, AuditLog(self.log, "tester")), source, one

    @contextmanager
    def open(self, address: RegistryAddress) -> Iterator[Registry]:
        """The product's view of either, whose waits last no time."""
        with closing(Transport(clock=VirtualTime().clock)) as transport:
            yield open_registry(address, transport, writing=True)

    def held(self) -> dict[str, str]:
        """The sha256 of every archive in production, by subdir and file name."""
        with self.open(self.production) as registry:
            return held(below(registry, self.production))

    def manifest(self, package: Package, at: RegistryAddress | None = None) -> RawManifest:
        with self.open(at or self.production) as registry:
            return registry.manifest(*self.where(package, at))

    def document(self, package: Package, at: RegistryAddress | None = None) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.manifest(package, at).body)
        return found

    def verdicts(self, package: Package) -> list[str]:
        """The tags of the verdicts in production."""
        with self.open(self.production) as registry:
            tags = registry.tags(self.where(package)[0])
        return sorted(tag for tag in tags if parse_tag(tag) is not None)

    def index(self, policy: PolicyName = "none") -> dict[str, dict[str, Any]]:
        """What an index of production has, by file name; with no key trusted."""
        report = self.rig.rebuild(registry=self.production, policy=Policy(policy))
        assert report.left_out == []
        self.rig.assert_sound()
        return self.rig.records()

    def let_in(self, policy: PolicyName) -> dict[str, str]:
        """What a policy lets into an index of production, by file name, with its sha256."""
        with self.open(self.production) as registry:
            inspector = self.inspector(registry, policy)
            found: dict[str, str] = {}
            for name in below(registry, self.production).repositories():
                subdir, repository = name.split("/")[-2:]
                shelf = inspector.shelf(subdir, repository)
                for tag in shelf.tags:
                    records = inspector.look(shelf, tag).reading.records
                    found |= {record.file_name: record.sha256 for record in records}
        return found

    def inspector(
        self, registry: Registry, policy: PolicyName, rejections: Sequence[Held] = ()
    ) -> Inspector:
        asks = Policy(policy).asks_verdict
        return Inspector(
            registry=registry,
            channel=CHANNEL,
            policy=Policy(policy),
            keyring=self.validator.keyring if asks else Keyring(),
            now=self.rig.now,
            rejections=rejections,
        )

    def audited(self) -> list[dict[str, Any]]:
        """The lines of the audit log."""
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines()]


def below(registry: Registry, address: RegistryAddress) -> Registry:
    """Of a registry that several namespaces share, the packages in one."""
    prefix = f"{address.repository(CHANNEL)}/"

    class View:
        def repositories(self) -> list[str]:
            try:
                return [name for name in registry.repositories() if name.startswith(prefix)]
            except NotFoundError:
                return []

        def tags(self, repository: str) -> list[str]:
            return [tag for tag in registry.tags(repository) if parse_tag(tag) is None]

        def __getattr__(self, name: str) -> Any:
            return getattr(registry, name)

    return cast("Registry", View())


def address_of(where: str | Path) -> RegistryAddress:
    """Of a folder, or of an address."""
    return RegistryAddress.parse(f"ocidir://{where}" if isinstance(where, Path) else where)


def at_promoting(action: Callable[[], object]) -> Watcher:
    """Does something when all was looked at, and nothing is copied yet."""

    def begun(part: str) -> None:
        if part == "Promoting":
            action()

    return Watcher(begun=begun)
