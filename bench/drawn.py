"""What the pages and the API of a published site take with each level of detail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.generated import SUBDIR
from indexer.files import size_of, size_of_tree
from indexer.rebuild.room import likely_size
from indexer.render import channeldata, history, package_files, repodata, shards, summary
from indexer.render.detail import Detail
from indexer.render.package import Package, dependents_of, make_package
from indexer.render.site_info import SiteInfo

# Of the files of single names, by how their paths begin and end.
PARTS = {
    "pages": (package_files.PAGES, "/index.html"),
    "feeds": (package_files.PAGES, "/feed.xml"),
    "API": (package_files.API, ".json"),
    "badges": (package_files.BADGES, ".json"),
}
_INDEX = (SUBDIR, "noarch", history.FOLDER, channeldata.FILE_NAME)
INDEX_PARTS = {
    "repodata.json": f"{SUBDIR}/{repodata.FILE_NAME}",
    "zst": f"{SUBDIR}/{repodata.ZST_NAME}",
    "shards": f"{SUBDIR}/{shards.FOLDER}",
    "their index": f"{SUBDIR}/{shards.INDEX_NAME}",
    "channeldata": channeldata.FILE_NAME,
    "history": history.FOLDER,
}


class Site:
    """A site that was published, which is drawn again from its shards."""

    def __init__(self, root: Path) -> None:
        self._root = root
        data = (root / history.FOLDER / SUBDIR / summary.FILE_NAME).read_bytes()
        self._summaries = {SUBDIR: summary.decode_summaries(data)}
        self._names = channeldata.by_name(self._summaries)
        self._dependents = dependents_of(self._summaries.values())
        _, self._shards = shards.unpack_index((root / SUBDIR / shards.INDEX_NAME).read_bytes())

    def index(self) -> int:
        """Bytes of all that clients read."""
        return sum(_size(self._root / part) for part in _INDEX)

    def parts(self) -> dict[str, int]:
        """The same by part."""
        return {part: _size(self._root / path) for part, path in INDEX_PARTS.items()}

    def whole(self) -> int:
        """Bytes of the whole site."""
        return size_of_tree(self._root)

    def level(self) -> str:
        """The level of detail that was chosen for it."""
        snapshot = history.decode_snapshot((self._root / history.SNAPSHOT).read_bytes())
        return snapshot.pages.level if snapshot.pages else "none"

    def lists(self) -> int:
        """Bytes of the pages and files that there is one of."""
        places = {PARTS[part][0] for part in PARTS}
        single = sum(size_of_tree(self._root / place) for place in places)
        return size_of_tree(self._root) - self.index() - single

    def told(self, info: SiteInfo, detail: Detail) -> int:
        """What the run takes the files of single names for before it draws them all."""
        builds = {name: item.builds for name, item in self._summaries[SUBDIR].items()}

        def size(name: str) -> int:
            files = package_files.draw_package(self._package(name), info, detail)
            return sum(map(len, files.values()))

        return likely_size(builds, size)

    def drawn(self, info: SiteInfo, detail: Detail) -> dict[str, int]:
        """Bytes of the files of single names with this detail, by part."""
        sizes: Counter[str] = Counter(dict.fromkeys(PARTS, 0))
        if not detail.pages and not detail.api:
            return dict(sizes)
        for name in self._names:
            package = self._package(name)
            for path, data in package_files.draw_package(package, info, detail).items():
                sizes[_part_of(path)] += len(data)
        return dict(sizes)

    def _package(self, name: str) -> Package:
        digest = self._shards[name]
        data = (self._root / SUBDIR / shards.FOLDER / f"{digest}{shards.SUFFIX}").read_bytes()
        records = shards.unpack_fields(shards.open_shard(data, digest))
        needed = self._dependents.get(name, [])
        return make_package(name, self._names[name], {SUBDIR: records}, self._names, needed)


def written(root: Path) -> dict[str, tuple[int, float]]:
    """The pages of names as they lie there: an inode, and when it was written, by name."""
    found = {}
    for folder in (root / package_files.PAGES).iterdir():
        status = (folder / "index.html").stat()
        found[folder.name] = (status.st_ino, status.st_mtime)
    return found


def _part_of(path: str) -> str:
    return next(
        part
        for part, (start, end) in PARTS.items()
        if path.startswith(start) and path.endswith(end)
    )


def _size(path: Path) -> int:
    return size_of_tree(path) if path.is_dir() else size_of(path) or 0
