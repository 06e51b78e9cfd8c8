"""What an artifact's manifest says there is: files by their titles, and folders that are tars.

Two tools push folders, and both unpack them again (read in the source of oras-go 3 and oras-py
0.2.43). The Go tool marks them with an annotation, and the names in the tar begin with the title;
the Python tool knows them by the media type alone, and in the tar they begin with the title's last
part.
Both give a *file* without a media type that of a plain tar, so that one says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from indexer.errors import ContentError, printable
from indexer.gateway.artifact.paths import clean, is_below
from indexer.registry.content import Descriptor, ImageManifest, RawManifest, parse_manifest

# Registries take manifests of 4 MiB; a repository of RPMs may have a layer for each.
MAX_MANIFEST = 4 * 1024 * 1024
_MAX_LAYERS = 20_000
_UNPACK = "io.deis.oras.content.unpack"
# Of the bytes before they were compressed, by both tools that know it.
_CONTENT_DIGEST = "io.deis.oras.content.digest"
_TAR_TYPES = ("tar+gzip", "tar+zstd")
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")
_SHOWN = 5


class LeftOut:
    """What isn't served of something, and why: a few names of each kind, and how many."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, why: str) -> None:
        """Count one."""
        self._counts[why] += 1
        names = self._names.setdefault(why, [])
        if len(names) < _SHOWN:
            names.append(printable(name, 200))

    def tell(self, of: str, report: Callable[[str], None]) -> None:
        """A line for each reason."""
        for why, count in self._counts.items():
            names = ", ".join(map(repr, self._names[why])) + (", ..." if count > _SHOWN else "")
            report(f"{of}: left out {count} ({why}): {names}")


@dataclass(frozen=True, slots=True)
class Folder:
    """A layer that is a tar. Its members come to lie at ``base`` and their own name.

    Only those below ``place``, which the layer's title says, are served; ``""`` is the root.
    """

    layer: Descriptor
    base: str
    place: str

    @property
    def content_digest(self) -> str | None:
        """What the manifest says that it unpacks to."""
        return self.layer.annotations.get(_CONTENT_DIGEST)

    def member_at(self, path: str) -> str | None:
        """The name of the member that would be served at a path; None where none could be."""
        if not is_below(path, self.place):
            return None
        return path.removeprefix(f"{self.base}/") if self.base else path

    def serves(self, member: str) -> bool:
        """Whether a member of this name comes to lie where the title says."""
        return is_below(f"{self.base}/{member}" if self.base else member, self.place)


@dataclass(frozen=True, slots=True)
class Listing:
    """An artifact's files by path, and its folders in the manifest's order."""

    files: Mapping[str, Descriptor]
    folders: tuple[Folder, ...]


def children(raw: RawManifest) -> list[Descriptor] | None:
    """The manifests that an image index leads to; None where it is a manifest itself.

    Raises ContentError where it is neither.
    """
    parsed = parse_manifest(raw, max_layers=_MAX_LAYERS)
    return None if isinstance(parsed, ImageManifest) else list(parsed.manifests)


def read_listing(raw: RawManifest, left_out: LeftOut) -> Listing:
    """What there is by a manifest. Of two layers of one title the first is served.

    Raises ContentError where it is no image manifest, or has nothing in it that could be served.
    """
    parsed = parse_manifest(raw, max_layers=_MAX_LAYERS)
    if not isinstance(parsed, ImageManifest):
        raise ContentError("it is an image index of another image index")
    files: dict[str, Descriptor] = {}
    folders: dict[str, Folder] = {}
    for layer in parsed.layers:
        title = layer.title
        path = clean(title) if title is not None else None
        is_tar = title is not None and _is_folder(layer, title)
        if title is None:
            left_out.add(str(layer.digest), "layers without a title")
        elif path is None or not (path or is_tar):
            left_out.add(title, "titles that are no paths in a folder")
        elif (is_tar and path in folders) or (not is_tar and path in files):
            left_out.add(title, "titles that another layer has before")
        elif is_tar:
            folders[path] = _folder(layer, path)
        else:
            files[path] = layer
    if not files and not folders:
        raise ContentError(
            "none of its layers is a file or folder with a name (by the annotation "
            "org.opencontainers.image.title): it may be a container image"
        )
    return Listing(files, tuple(folders.values()))


def _is_folder(layer: Descriptor, title: str) -> bool:
    if layer.annotations.get(_UNPACK) == "true":
        return True
    # The Python tool would unpack these, too, where somebody gave an archive its right type.
    return layer.media_type.endswith(_TAR_TYPES) and not title.lower().endswith(_ARCHIVES)


def _folder(layer: Descriptor, path: str) -> Folder:
    is_marked = layer.annotations.get(_UNPACK) == "true"
    return Folder(layer, "" if is_marked else path.rpartition("/")[0], path)
