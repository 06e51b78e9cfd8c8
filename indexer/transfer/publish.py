"""``publish``: an index into the registry itself, where ``oci://`` clients look for it.

Layout of conda-oci-mirror 0.3.0, which rattler reads: one manifest of all forms in repository
``<channel>/<subdir>/repodata.json``, shards in ``…/repodata.json/shards`` by their sha256.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from indexer.channel import codec, manifest
from indexer.channel.artifact import place_of
from indexer.errors import ConfigError, ContentError, DeniedError, NotFoundError
from indexer.files import sha256_of
from indexer.published import (
    Folder,
    Published,
    is_path,
    read_bytes,
    read_place,
    resolve,
)
from indexer.published.forms import subdirs_of
from indexer.published.records import read_info, read_records
from indexer.published.rewriting import rewrite
from indexer.registry.content import OCI_MANIFEST, Content, Descriptor, Digest, RawManifest
from indexer.registry.urls import shown
from indexer.render import repodata, shards
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Failure, Item, Outcome

LATEST = "latest"
TYPES = {
    repodata.FILE_NAME: "application/vnd.conda.repodata.v1+json",
    repodata.ZST_NAME: "application/vnd.conda.repodata.v1+json+zst",
    shards.INDEX_NAME: "application/vnd.conda.repodata.shards.v1+msgpack+zst",
}
SHARD_TYPE = "application/vnd.conda.repodata.shard.v1+msgpack+zst"
# So many packages are looked for in the registry, to see whether a site is of what it holds.
_LOOKED_AT = 3
SHARDS_URL = "./shards/"


@dataclass(frozen=True, slots=True)
class _Index:
    """The files of one subdir as they are to be in the registry, and its shards (hex)."""

    subdir: str
    files: Mapping[str, Path]
    shards: frozenset[str]
    shards_at: str


class Publish:
    """Publishes a site, ours or another tool's, as the index of a channel in a registry.

    With ``again`` every shard is pushed, whatever the index that was published last says.
    """

    def __init__(self, job: Job, site: Published, *, again: bool = False) -> None:
        self._job = job
        self._site = site
        self._again = again
        self.outcome = Outcome(dry_run=job.dry_run)

    def run(self) -> Outcome:
        """Publish. What became of it stays in ``outcome``.

        Raises ConfigError where the site has nothing of what is asked for, RegistryError where
        site or registry don't answer. A subdir that is damaged isn't published.
        """
        crew = Crew(self.outcome, self._job.jobs, self._job.abort)
        with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
            found = 0
            for subdir in self._job.subdirs or subdirs_of(self._site):
                folder = Path(scratch) / subdir
                folder.mkdir()
                try:
                    index = self._read(subdir, folder)
                    if index is not None:
                        self._publish(crew, index)
                except ContentError as error:
                    # What was published of it before stays, and the others go on.
                    self.outcome.fail(Failure(f"{subdir} of {self._site.location}", str(error)))
                    found += 1
                    continue
                found += index is not None
                if index is None and self._job.subdirs:
                    raise ConfigError(f"{self._site.location} has no {subdir}.")
        if not found:
            raise ConfigError(
                f"{self._site.location} is no channel: it has no repodata.json in any subdir."
            )
        return self.outcome

    def _read(self, subdir: str, folder: Path) -> _Index | None:
        """The subdir's files, made fit for where they will be."""
        plain = self._site.fetch(f"{subdir}/{repodata.FILE_NAME}")
        if plain is None:
            return None
        said = read_info(plain, packed=False).get("base_url")
        base_url = self._base_url(subdir, said, _sample(plain, subdir))
        rewrite(plain, folder, subdir, base_url)
        if not isinstance(self._site, Folder):
            plain.unlink()
        files = {name: folder / name for name in (repodata.FILE_NAME, repodata.ZST_NAME)}
        data = read_bytes(self._site, f"{subdir}/{shards.INDEX_NAME}", shards.MAX_INDEX)
        if data is None:
            return _Index(subdir, files, frozenset(), "")
        info, hashes = shards.unpack_index(data)
        if (info["base_url"] or None) != said:
            base_url = self._base_url(subdir, info["base_url"], ())
        path = folder / shards.INDEX_NAME
        path.write_bytes(shards.pack_index(subdir, base_url, hashes, SHARDS_URL))
        at = resolve(subdir, info["shards_base_url"])
        return _Index(subdir, files | {path.name: path}, frozenset(hashes.values()), at)

    def _base_url(self, subdir: str, said: object, sample: Sequence[str]) -> str | None:
        """Beside the index, where that is this registry; else wherever the site says.

        ``sample`` are some of its files, by which a site that says nothing is judged.
        """
        if not isinstance(said, str) or "://" not in said:
            return self._beside(subdir, said if isinstance(said, str) else "", sample)
        ours = self._job.registry.address.client_url(self._job.channel, subdir)
        if ours is not None and said.rstrip("/") == ours.rstrip("/"):
            return None
        self.outcome.note(f"{subdir}: packages stay where the site says they are, at {said}")
        return said

    def _beside(self, subdir: str, said: str, sample: Sequence[str]) -> str | None:
        """Where packages are that are said to be beside the index: there, or in the registry."""
        if not sample or any(self._is_here(subdir, file_name) for file_name in sample):
            return None
        if isinstance(self._site, Folder):
            self.outcome.note(
                f"{subdir}: the registry doesn't have {sample[0]}; clients will look for it there"
            )
            return None
        place = self._site.address_of(resolve(subdir, said).rstrip("/"))
        if shown(place) != place:
            raise ContentError(
                f"its packages aren't in the registry, and their address, {shown(place)}, holds a "
                "secret that the index would publish"
            )
        self.outcome.note(f"{subdir}: packages stay beside the site, at {place}/")
        return f"{place}/"

    def _is_here(self, subdir: str, file_name: str) -> bool:
        place = place_of(subdir, file_name)
        address, channel = self._job.registry.address, self._job.channel
        repository = address.repository(channel, subdir, place.repository)
        try:
            raw = self._job.registry.manifest(repository, place.tag)
        except (NotFoundError, DeniedError, ContentError):
            return False
        return manifest.has_archive(raw, file_name)

    def _publish(self, crew: Crew, index: _Index) -> None:
        """The shards, then the index that names them."""
        repository = self._repository(index.subdir)
        current = self._current(repository)
        self._push_shards(crew, index, f"{repository}/shards", current)
        files = {
            name: (Digest(sha256_of(path)), path.stat().st_size, path)
            for name, path in index.files.items()
        }
        known = {media_type: layer.digest for media_type, layer in _layers(current).items()}
        if known == {TYPES[name]: digest for name, (digest, _, _) in files.items()}:
            self.outcome.present += len(files)
            return
        for name, (digest, size, path) in files.items():
            if not self.outcome.dry_run:
                self._job.registry.put_blob(repository, Content.of_file(path, digest, size))
            reference = self._job.registry.address.reference(repository, LATEST)
            self.outcome.did([Item(index.subdir, name, digest.hex, size, reference)])
        if not self.outcome.dry_run:
            self._put_manifest(repository, current, files)

    def _put_manifest(
        self,
        repository: str,
        current: RawManifest | None,
        files: Mapping[str, tuple[Digest, int, Path]],
    ) -> None:
        created = self._job.now.strftime("%Y.%m.%d.%H.%M")
        layers = [
            manifest.descriptor(TYPES[name], digest, size, name, created)
            for name, (digest, size, _) in files.items()
        ]
        body = manifest.plain_manifest(layers)
        self._job.registry.put_blob(repository, manifest.CONFIG)
        self._job.registry.put_manifest(repository, created, body, OCI_MANIFEST)
        replaces = None if current is None else current.digest
        self._job.registry.put_manifest(repository, LATEST, body, OCI_MANIFEST, replaces=replaces)

    def _push_shards(
        self, crew: Crew, index: _Index, repository: str, current: RawManifest | None
    ) -> None:
        there = self._shards_there(repository, current)
        lacking = sorted(index.shards - there)
        self.outcome.present += len(index.shards) - len(lacking)
        self._job.progress.begin(f"Publishing the shards of {index.subdir}", len(lacking))
        if lacking and not self.outcome.dry_run:
            self._job.registry.put_blob(repository, manifest.CONFIG)
        failed = self.outcome.failed
        for _ in crew.each(
            lacking,
            lambda digest: self.outcome.did([self._push_shard(index, repository, digest)]),
            lambda digest: [f"{index.subdir}/shards/{digest}"],
        ):
            self._job.progress.step()
        self._job.progress.end()
        if self.outcome.failed > failed:
            raise ContentError(
                f"{index.subdir} isn't published: not all of its shards could be "
                f"({self.outcome.failures[failed].reason})"
            )

    def _push_shard(self, index: _Index, repository: str, digest: str) -> Item:
        data = self._shard(f"{index.shards_at}{digest}{shards.SUFFIX}")
        if hashlib.sha256(data).hexdigest() != digest:
            raise ContentError("it doesn't have its sha256")
        name = f"{shards.FOLDER}/{digest}{shards.SUFFIX}"
        layer = manifest.descriptor(SHARD_TYPE, Digest(digest), len(data), name)
        reference = self._job.registry.address.reference(repository, digest)
        written = ""
        if not self.outcome.dry_run:
            self._job.registry.put_blob(repository, Content.of_bytes(data))
            body = manifest.plain_manifest([layer])
            written = str(self._job.registry.put_manifest(repository, digest, body, OCI_MANIFEST))
        return Item(index.subdir, name, digest, len(data), reference, written)

    def _shard(self, place: str) -> bytes:
        data = read_place(self._site, place, shards.MAX_SHARD)
        if data is None:
            raise ContentError(f"{place} is missing")
        return data

    def _shards_there(self, repository: str, current: RawManifest | None) -> set[str]:
        """Those of the index that was published last: it came after its shards.

        Without one, what an interrupted run has left.
        """
        if self._again:
            return set()
        parent = repository.removesuffix(f"/{shards.FOLDER}")
        layer = _layers(current).get(TYPES[shards.INDEX_NAME])
        if layer is not None and layer.size <= shards.MAX_INDEX:
            with suppress(ContentError, NotFoundError):
                _, hashes = shards.unpack_index(self._job.registry.blob(parent, layer))
                return set(hashes.values())
        with suppress(NotFoundError, DeniedError):
            return set(self._job.registry.tags(repository))
        return set()

    def _repository(self, subdir: str) -> str:
        name = codec.REPODATA_REPOSITORY
        return self._job.registry.address.repository(self._job.channel, subdir, name)

    def _current(self, repository: str) -> RawManifest | None:
        try:
            return self._job.registry.manifest(repository, LATEST)
        except NotFoundError:
            return None


def _layers(raw: RawManifest | None) -> dict[str, Descriptor]:
    """The layers of a published index by media type; none where it can't be read."""
    if raw is None:
        return {}
    try:
        found = manifest.layers(raw)
    except ContentError:
        return {}
    return {layer.media_type: layer for layer in found}


def _sample(plain: Path, subdir: str) -> list[str]:
    """Some of the files that an index lists."""
    records = read_records(plain, subdir, packed=False)
    with closing(records):
        names = (name for _, name, _ in records if is_path(name) and name.count("-") > 1)
        return list(islice(names, _LOOKED_AT))
