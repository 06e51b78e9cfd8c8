"""One package of a channel in a registry, looked at: its tags, and what each of them holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import orjson

from indexer.channel import codec, manifest
from indexer.channel.artifact import (
    ARCHIVE_TYPES,
    Place,
    archive_layers,
    check_name,
    index_json_layer,
    place_of,
)
from indexer.channel.index_json import MAX_BYTES, Identity, parse_identity
from indexer.channel.record import CONDA
from indexer.errors import ConfigError, ContentError, DeniedError, NotFoundError
from indexer.files import has_sha256
from indexer.parallel import in_order
from indexer.registry import Registry
from indexer.registry.address import is_repository, is_tag
from indexer.registry.content import Descriptor, ImageManifest, RawManifest, parse_manifest
from indexer.transfer.files import fetch_into
from indexer.transfer.packing import MAX_INFO, read_info

R = TypeVar("R")

# Requests under way at once, where a package is looked for in many subdirs.
_MAX_MEMBER = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Package:
    """A package of one subdir. Its ``name`` is conda's, not that of the repository."""

    registry: Registry
    channel: str
    subdir: str
    name: str

    @property
    def repository(self) -> str:
        """The full name of its repository. Raises ConfigError where it can't have one."""
        spelt = codec.repository_name(self.name)
        full = self.registry.address.repository(self.channel, self.subdir, spelt)
        if not is_repository(full):
            raise ConfigError(f"{self.name!r} of {self.subdir!r} can't be a package of a registry.")
        return full

    def tags(self) -> list[str]:
        """The tags that may be builds, in alphabetical order. Raises NotFoundError."""
        return sorted(filter(codec.is_package_tag, self.registry.tags(self.repository)))

    def build(self, tag: str) -> PackageBuild:
        """One build, by its tag or by ``version-build`` as conda spells it.

        Asks for its manifest. Raises NotFoundError, and ContentError where it is none.
        """
        spelt = tag if is_tag(tag) else codec.tag_name(*_split(tag))
        if not is_tag(spelt):
            raise ConfigError(f"{tag[:200]!r} can't be a tag.")
        return PackageBuild(self, spelt, self.registry.manifest(self.repository, spelt))


class PackageBuild:
    """One build of a package: what its manifest leads to. Everything is checked by digest."""

    def __init__(self, package: Package, tag: str, raw: RawManifest) -> None:
        self.package = package
        self.tag = tag
        self.raw = raw
        parsed = parse_manifest(raw)
        if not isinstance(parsed, ImageManifest):
            raise ContentError(f"{self} is an image index, not a package")
        self.manifest = parsed

    def __str__(self) -> str:
        return self.package.registry.address.reference(self.package.repository, self.tag)

    @cached_property
    def index_json_bytes(self) -> bytes:
        """The bytes of index.json. Raises ContentError or NotFoundError where there is none."""
        layer = index_json_layer(self.manifest)
        if layer.size > MAX_BYTES:
            raise ContentError(f"{self}: its index.json has {layer.size} bytes")
        if layer.data is not None:
            return layer.data
        return self.package.registry.blob(self.package.repository, layer)

    def index_json(self) -> dict[str, Any]:
        """What index.json says. Raises ContentError for what isn't one."""
        self._identity()
        document: dict[str, Any] = orjson.loads(self.index_json_bytes)
        return document

    def archives(self) -> Mapping[str, Descriptor]:
        """The archives' file names and descriptors, ``.conda`` first.

        Raises ContentError where one is called otherwise than index.json has it.
        """
        identity = self._identity()
        found = {}
        for layer in archive_layers(self.manifest):
            title = layer.title or identity.stem + ARCHIVE_TYPES[layer.media_type]
            check_name(title, identity)
            found[title] = layer
        return dict(sorted(found.items(), key=lambda item: not item[0].endswith(CONDA)))

    def info(self) -> dict[str, int]:
        """The files of the info folder, with their sizes in bytes."""
        return {name: size for name, size, _ in self._info()}

    def read_info(self, name: str) -> bytes:
        """A file of the info folder, such as ``about.json``. Raises NotFoundError."""
        for member, size, read in self._info():
            if member == name:
                if size > _MAX_MEMBER:
                    raise ContentError(f"{self}: {name} has {size} bytes (at most {_MAX_MEMBER})")
                return read()
        raise NotFoundError(f"{self} has no {name} in its info folder.")

    def files(self) -> list[str]:
        """The paths that the package installs, by its ``info/paths.json`` or ``info/files``."""
        try:
            document = orjson.loads(self.read_info("paths.json"))
            return [str(item["_path"]) for item in document["paths"]]
        except NotFoundError:
            return self.read_info("files").decode(errors="replace").splitlines()
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ContentError(f"{self}: its paths.json is no list of paths") from error

    def save(self, target: Path, at: Callable[[int], None] = lambda _: None) -> Path:
        """Fetch the archive, ``.conda`` where there is one, into a folder or a file.

        What is there with the right content stays. Raises ConfigError where something else is
        there, or it can't be written.
        """
        archives = self.archives()
        if not archives:
            raise ContentError(f"{self} holds no archive")
        title, layer = next(iter(archives.items()))
        path = target / title if target.is_dir() else target
        if path.exists():
            if has_sha256(path, layer.digest.hex):
                return path
            raise ConfigError(f"{path} is there already, and is something else.")
        fetch_into(self.package.registry, self.package.repository, layer, path, at)
        return path

    def _identity(self) -> Identity:
        """Who it is; whoever may push one package could call it another."""
        identity = parse_identity(self.index_json_bytes)
        if (identity.name, identity.subdir or self.package.subdir) != (
            self.package.name,
            self.package.subdir,
        ):
            raise ContentError(f"{self}: its index.json makes it {identity.stem}")
        return identity

    def _info(self) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
        layers = [i for i in self.manifest.layers if i.media_type == manifest.INFO_TYPE]
        if not layers:
            raise NotFoundError(f"{self} has no info layer.")
        if layers[0].size > MAX_INFO:
            raise ContentError(f"{self}: its info layer has {layers[0].size} bytes")
        with tempfile.TemporaryFile() as file:
            self.package.registry.download(self.package.repository, layers[0], file)
            file.seek(0)
            yield from read_info(file)


def archives_at(registry: Registry, channel: str, place: Place) -> Mapping[str, Descriptor]:
    """The archives of a tag by file name, as far as they are what it says they are.

    Raises ContentError or NotFoundError where they aren't.
    """
    for name in codec.possible_names(place.repository):
        found = Package(registry, channel, place.subdir, name).build(place.tag)
        with suppress(ContentError):
            archives = found.archives()
            if all(place_of(place.subdir, title) == place for title in archives):
                return archives
    raise ContentError(f"{place.subdir}/{place.repository}:{place.tag} holds something else")


def tags_of(
    packages: Sequence[Package], abort: Callable[[], None] = lambda: None, *, jobs: int = 8
) -> list[tuple[Package, list[str]]]:
    """Those of the packages that are there and have tags, with them.

    Raises DeniedError where there is none, and the registry refused to say so of some: it may be
    one of those. ``abort`` ends what is under way when something goes wrong.
    """
    return _search(
        packages, lambda package: (package, package.tags()), lambda it: it[1], abort, jobs
    )


def builds_of(
    packages: Sequence[Package],
    tag: str,
    abort: Callable[[], None] = lambda: None,
    *,
    jobs: int = 8,
) -> list[PackageBuild]:
    """The builds of that tag, or ``version-build``, among the packages. Raises as ``tags_of``."""
    return _search(packages, lambda package: package.build(tag), lambda _: True, abort, jobs)


def _search(
    packages: Sequence[Package],
    look: Callable[[Package], R],
    counts: Callable[[R], object],
    abort: Callable[[], None],
    jobs: int,
) -> list[R]:
    def attempt(package: Package) -> R | NotFoundError | DeniedError:
        try:
            return look(package)
        except (NotFoundError, DeniedError) as error:
            return error

    found: list[R] = []
    refusals: list[DeniedError] = []
    with closing(in_order(attempt, packages, jobs=jobs, abort=abort)) as results:
        for result in results:
            if isinstance(result, DeniedError):
                refusals.append(result)
            elif not isinstance(result, NotFoundError) and counts(result):
                found.append(result)
    if refusals and not found:
        raise refusals[0]
    return found


def _split(text: str) -> tuple[str, str]:
    version, _, build = text.rpartition("-")
    return version, build
