"""What the tests of mirror, pull, show and publish share: a channel to copy from, and runs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from demo.packages import Package
from indexer.channel import manifest
from indexer.channel.plan import Guard
from indexer.channel.record import section_of
from indexer.progress import Silence, Unit
from indexer.registry import Registry, RegistryAddress, Transport, open_registry
from indexer.render import repodata, shards, zstd
from indexer.transfer.job import Job
from indexer.transfer.mirror import Mirror
from indexer.transfer.mirror_pruning import Pruner
from indexer.transfer.naming import list_repositories
from indexer.transfer.outcome import Files, Outcome
from indexer.transfer.upstream import open_upstream
from tests.registry.help import VirtualTime
from tests.support.rig import CHANNEL, Rig

KEY = "org.conda-forge.status"
SHARDED, PACKED, PLAIN = shards.INDEX_NAME, repodata.ZST_NAME, repodata.FILE_NAME
FORMS = (SHARDED, PACKED, PLAIN)


@dataclass
class Origin:
    """A channel in a folder, in another tool's layout; ``records`` are for tests to spoil."""

    root: Path
    records: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def add(self, *packages: Package) -> None:
        """Put archives there, and list them once the indexes are written."""
        for package in packages:
            folder = self.root / package.subdir
            folder.mkdir(parents=True, exist_ok=True)
            (folder / package.file_name).write_bytes(package.data)
            hashes = {"sha256": package.sha256, "md5": package.md5, "size": package.size}
            self.records.setdefault(package.subdir, {})[package.file_name] = package.index | hashes

    def remove(self, package: Package) -> None:
        """Take an archive out."""
        (self.root / package.subdir / package.file_name).unlink()
        del self.records[package.subdir][package.file_name]

    def record(self, package: Package) -> dict[str, Any]:
        return self.records[package.subdir][package.file_name]

    def write(self, *forms: str, base_url: str = "", shards_base_url: str = "shards/") -> Origin:
        """Write these forms of the indexes (all of them by default), and take others away."""
        for subdir, records in self.records.items():
            folder = self.root / subdir
            folder.mkdir(parents=True, exist_ok=True)
            for form in FORMS:
                (folder / form).unlink(missing_ok=True)
            document: dict[str, Any] = {"info": {"subdir": subdir}, "repodata_version": 1}
            document |= {section: {} for section in repodata.SECTIONS}
            if base_url:
                document["info"]["base_url"] = base_url
            for name, fields in records.items():
                document[section_of(name)][name] = fields
            plain = json.dumps(document, indent=1).encode()
            for form in forms or FORMS:
                if form == SHARDED:
                    self._write_shards(subdir, base_url, shards_base_url)
                else:
                    (folder / form).write_bytes(plain if form == PLAIN else zstd.compress(plain))
        return self

    def shard(self, package: Package) -> Path:
        """The shard that lists a package."""
        _, hashes = shards.unpack_index((self.root / package.subdir / SHARDED).read_bytes())
        return self.root / package.subdir / f"shards/{hashes[package.name]}{shards.SUFFIX}"

    def _write_shards(self, subdir: str, base_url: str, shards_base_url: str) -> None:
        folder = self.root / subdir / shards.FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        by_name: dict[str, dict[str, Any]] = {}
        for name, fields in self.records[subdir].items():
            empty: dict[str, Any] = {section: {} for section in repodata.SECTIONS}
            shard = by_name.setdefault(fields["name"], empty)
            shard[section_of(name)][name] = _as_bytes(fields)
        hashes = {}
        for name, shard in by_name.items():
            data = zstd.compress(msgpack.packb(shard | {"removed": []}))
            hashes[name] = hashlib.sha256(data).hexdigest()
            (folder / f"{hashes[name]}{shards.SUFFIX}").write_bytes(data)
        index = shards.pack_index(subdir, base_url, hashes, shards_base_url)
        (self.root / subdir / SHARDED).write_bytes(index)


@contextmanager
def registry_of(rig: Rig, address: RegistryAddress | None = None) -> Iterator[Registry]:
    """The product's view of a rig's registry (or another one), whose waits last no time."""
    with closing(Transport(clock=VirtualTime().clock)) as transport:
        yield open_registry(address or rig.config().registry, transport, writing=True)


def mirror(
    rig: Rig,
    source: str | Path,
    *,
    guard: Guard | None = None,
    address: RegistryAddress | None = None,
    retry_for: float = 60,
    **settings: Any,
) -> Outcome:
    """One run of mirror; with a ``guard``, it prunes."""
    # Each on a transport of its own, as an interrupted run's is closed.
    with (
        closing(Transport(clock=VirtualTime().clock, retry_for=retry_for)) as transport,
        open_upstream(str(source), transport, address or rig.config().registry) as upstream,
    ):
        registry = open_registry(address or rig.config().registry, transport, writing=True)
        defaults: dict[str, Any] = {"now": rig.now, "status_key": KEY, "jobs": 4}
        defaults["abort"] = transport.close
        given = Job(registry=registry, channel=CHANNEL, **(defaults | settings))
        job = Mirror(given, upstream)
        if guard is None:
            return job.run()
        return job.run(
            Pruner(
                registry,
                job.outcome,
                guard,
                lambda subdirs: list_repositories(registry, transport, CHANNEL, subdirs, {}),
            )
        )


def held(registry: Registry) -> dict[str, str]:
    """The sha256 of every archive in a registry, by subdir and file name."""
    found = {}
    for repository in registry.repositories():
        subdir = repository.split("/")[-2]
        for tag in registry.tags(repository):
            for layer in manifest.archives(registry.manifest(repository, tag)):
                found[f"{subdir}/{layer.title}"] = layer.digest.hex
                assert registry.has_blob(repository, layer.digest)
    return found


def held_by(rig: Rig) -> dict[str, str]:
    """The same of a rig's registry."""
    with registry_of(rig) as registry:
        return held(registry)


def exactly(*packages: Package) -> dict[str, str]:
    """What ``held`` gives where there are these."""
    return {f"{package.subdir}/{package.file_name}": package.sha256 for package in packages}


def names(files: Files) -> list[str]:
    return sorted(str(item) for item in files.first)


def reasons(outcome: Outcome) -> dict[str, str]:
    """Why something couldn't be done, by its name."""
    assert len(outcome.failures) == outcome.failed
    return {failure.what: failure.reason for failure in outcome.failures}


class Stops(Silence):
    """Ctrl-C, at the first step of the part whose name begins so, once ``ready`` says so."""

    def __init__(self, part: str, ready: Callable[[], bool] = lambda: True) -> None:
        self._part = part
        self._ready = ready
        self._current = ""

    def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
        del total, unit
        self._current = what

    def step(self, count: int = 1) -> None:
        del count
        if self._current.startswith(self._part) and self._ready():
            raise KeyboardInterrupt


def _as_bytes(fields: dict[str, Any]) -> dict[str, Any]:
    """Hashes as a shard has them; what is no hash stays as it is."""
    turned = dict(fields)
    for key in ("sha256", "md5"):
        value = turned.get(key)
        if isinstance(value, str) and set(value) <= set("0123456789abcdef") and len(value) % 2 == 0:
            turned[key] = bytes.fromhex(value)
    return turned
