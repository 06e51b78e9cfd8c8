"""From what people call a build to the manifest that its tag leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.channel import codec, manifest
from indexer.channel.artifact import Place
from indexer.channel.selection import KNOWN_SUBDIRS
from indexer.errors import ContentError, DeniedError, NotFoundError
from indexer.registry import Registry
from indexer.registry.content import Descriptor, RawManifest
from indexer.transfer.references import Reference


@dataclass(frozen=True, slots=True)
class Found:
    """A build that somebody named, and what its tag leads to.

    ``full_name`` is its repository's name in the registry. ``file_name`` is empty where the build
    is meant as a whole.
    """

    place: Place
    full_name: str
    raw: RawManifest
    file_name: str = ""

    def __str__(self) -> str:
        name = self.file_name or f"{self.place.repository}:{self.place.tag}"
        return f"{self.place.subdir}/{name}"

    def archives(self) -> list[Descriptor]:
        """The archives that are meant, each once. Raises ContentError where there is none."""
        layers = {(layer.title, layer.digest): layer for layer in manifest.archives(self.raw)}
        meant = [layer for layer in layers.values() if self.file_name in {"", layer.title}]
        if not meant:
            raise ContentError("no layer of its manifest is a conda archive")
        return meant


def find(
    registry: Registry, channel: str, reference: Reference, subdirs: Sequence[str] = ()
) -> Found:
    """The build that a reference means.

    One that names no subdir is looked for in ``subdirs``, without any in all that are known.
    Raises NotFoundError or DeniedError where it isn't there, ContentError where it is in several,
    RegistryError where the registry doesn't answer.
    """
    if not codec.is_package_tag(reference.tag):
        raise ContentError(f"{reference.tag} is not the tag of a package")
    where = (reference.subdir,) if reference.subdir else tuple(subdirs) or KNOWN_SUBDIRS
    found: list[Found] = []
    refusals: list[DeniedError] = []
    is_called_otherwise = False
    for subdir in where:
        place = reference.place(subdir)
        full_name = registry.address.repository(channel, place.subdir, place.repository)
        try:
            raw = registry.manifest(full_name, place.tag)
        except NotFoundError:
            continue
        except DeniedError as error:
            # What isn't there is refused by some.
            refusals.append(error)
            continue
        if reference.file_name and not _may_have(raw, reference.file_name):
            is_called_otherwise = True
            continue
        found.append(Found(place, full_name, raw, reference.file_name))
    if len(found) > 1:
        several = ", ".join(item.place.subdir for item in found)
        name = reference.file_name or f"{reference.repository}:{reference.tag}"
        raise ContentError(f"it is in {several}: say which, as SUBDIR/{name}")
    if found:
        return found[0]
    if refusals:
        raise refusals[0]
    tag = f"{reference.repository}:{reference.tag}"
    said = f"{tag} holds no such file" if is_called_otherwise else f"there is no {tag}"
    raise NotFoundError(f"{said} in {', '.join(where) if len(where) < 4 else 'any known subdir'}")


def _may_have(raw: RawManifest, file_name: str) -> bool:
    """Whether a manifest has a file, as far as it can be read at all."""
    try:
        return any(layer.title == file_name for layer in manifest.archives(raw))
    except ContentError:
        # Whoever looks at it will say why it can't.
        return True
