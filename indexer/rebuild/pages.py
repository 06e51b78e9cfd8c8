"""Writes the pages and the JSON API: those whose content changed, as far as there is room."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from indexer.errors import ConfigError, ContentError, printable
from indexer.files import size_of, size_of_tree
from indexer.progress import Progress, counted
from indexer.rebuild.kept import Kept
from indexer.rebuild.look import Look
from indexer.rebuild.neighbours import to_draw
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import Staged
from indexer.rebuild.report import STATUS, Report
from indexer.rebuild.room import likely_size
from indexer.rebuild.writing import ChannelFiles
from indexer.render import api, feeds, package_files, pages, shards
from indexer.render.channeldata import by_name
from indexer.render.detail import LEVELS, NONE, Detail, detail_of
from indexer.render.history import LEFT_OUT, SNAPSHOT, UNSETTLED, FileEntry, PagesEntry
from indexer.render.package import Package, dependents_of, make_package

# Of the size that a host takes: a higher level is gone back to below this.
_BACK_AT = 0.96
_REPLACED = (STATUS, pages.STATUS, SNAPSHOT, UNSETTLED, LEFT_OUT)


class Pages:
    """The pages of one staged site. ``found`` are all shard hashes (hex), by subdir and name."""

    def __init__(
        self,
        staged: Staged,
        kept: Kept,
        look: Look,
        report: Report,
        previous: Previous,
        channel: ChannelFiles,
        found: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._staged = staged
        self._kept = kept
        self._look = look
        self._report = report
        self._previous = previous
        self._channel = channel
        self._found = found
        self._names = by_name(channel.summaries)
        self._dependents = dependents_of(channel.summaries.values())
        snapshot = previous.snapshot
        self._before = snapshot.pages if snapshot is not None else None
        is_same = snapshot is not None and snapshot.rendering == look.of_channel()
        self._last = self._before if is_same else None
        # Why there is no new page of some names.
        self._undrawn: dict[str, str] = {}
        # Of the whole site, in bytes; known once it is written.
        self.size = 0

    def write(self, progress: Progress) -> PagesEntry | None:
        """Write them over what the staged tree has of the previous site's.

        Gives what the snapshot says of them; None where there are to be none. Raises ConfigError
        where somebody else's files are in the way.
        """
        if not self._look.pages:
            if self._before is not None:
                self._kept.refuse_links()
                self._sweep(NONE)
                self._remove_others({})
                for path in (pages.STATUS, pages.NO_JEKYLL, LEFT_OUT):
                    self._staged.remove(path)
            self.size = self._kept.size + self._size_of_others()
            return None
        self._refuse_others()
        self._kept.refuse_links()
        there = self._kept.size
        refused_at = self._last.refused_at if self._last is not None else 0
        was_too_much = False
        for detail in LEVELS[LEVELS.index(self._choose()) :]:
            entry = self._write(detail, there, progress)
            self.size = self._kept.size + self._size_of_others()
            if self.size <= self._look.max_size or detail is NONE:
                break
            # What was written over what there was is to be written over in turn.
            self._last, was_too_much = None, True
        entry = replace(entry, refused_at=self.size if was_too_much else refused_at)
        if self._undrawn:
            name, reason = next(iter(self._undrawn.items()))
            self._report.notes.append(
                f"{len(self._undrawn):,} pages were left as they are, since their records can't be "
                f"read: {name} ({reason}), ...; --full reads them anew"
            )
        return entry

    def _refuse_others(self) -> None:
        """Where there were no pages, these folders are somebody else's."""
        snapshot = self._previous.snapshot
        had_none = snapshot is not None and snapshot.pages is None
        for folder in package_files.FOLDERS if had_none else ():
            if self._kept.holds_any(folder):
                raise ConfigError(
                    f"{folder}/ in the output isn't cf-index's, and pages would replace it. Put it "
                    "elsewhere, or say --no-pages."
                )

    def _choose(self) -> Detail:
        """How much there is to be: as much as last time, or more where there is room again.

        Where that is too much now, it shows once it is written.
        """
        last = None
        if self._last is not None:
            last = detail_of(self._last.level)
            if last is LEVELS[0] or self._is_refused(self._last):
                return last
        # So that a channel near a limit isn't drawn anew in every other run.
        limit = self._look.max_size * (1.0 if last is None else _BACK_AT)
        before = sum(entry.size for entry in self._before.files.values()) if self._before else 0
        index = self._size_of_others() - before
        for detail in LEVELS[:-1]:
            if detail is last:
                return last
            if index + self._likely_size(detail) <= limit:
                return detail
        return NONE

    def _is_refused(self, last: PagesEntry) -> bool:
        """Whether more was found to be too much, at a size that is hardly another now."""
        snapshot = self._previous.snapshot
        size = snapshot.size if snapshot is not None else 0
        return size > _BACK_AT * last.refused_at > 0

    def _likely_size(self, detail: Detail) -> int:
        builds = {
            name: sum(item.builds for item in found.values()) for name, found in self._names.items()
        }
        names = likely_size(
            builds, lambda name: sum(map(len, self._draw_name(name, detail).values()))
        )
        return names + sum(map(len, self._draw_channel(detail).values()))

    def _write(self, detail: Detail, there: int, progress: Progress) -> PagesEntry:
        lost = self._sweep(detail)
        if detail.api:
            names = sorted({*self._to_draw(detail, there), *lost})
            progress.begin("Drawing pages", len(names))
            for name in counted(names, progress):
                for path, data in self._draw_name(name, detail).items():
                    self._kept.put(path, data)
            progress.end()
        files = self._draw_channel(detail)
        self._remove_others(files)
        for path, data in files.items():
            self._staged.put(path, data)
        # Not listed: hosts leave files out whose names begin with a dot.
        self._staged.put(pages.NO_JEKYLL, b"")
        return PagesEntry(
            level=detail.level,
            names=len(self._kept.entries(package_files.API)),
            # No size is this: the next run draws all.
            bytes=-1 if self._undrawn else self._kept.size,
            files={
                path: FileEntry(hashlib.sha256(data).hexdigest(), len(data))
                for path, data in sorted(files.items())
            },
        )

    def _to_draw(self, detail: Detail, there: int) -> Sequence[str]:
        """The names whose files may differ; all where there is nothing to rely on."""
        previous, last = self._previous, self._last
        is_known = last is not None and (last.level, last.bytes) == (detail.level, there)
        if not is_known or not self._kept.is_sound or previous.foreign:
            return list(self._names)
        try:
            return to_draw(previous, self._found, self._channel.summaries, self._dependents)
        except ContentError:
            return list(self._names)

    def _draw_name(self, name: str, detail: Detail) -> dict[str, bytes]:
        """The files of a name; none where its records can't be read.

        No page may keep an index from being published: in a subdir that wasn't read, a shard may
        be spoilt, or say what no run of ours would.
        """
        try:
            package = self._package(name)
        except OSError as error:
            self._undrawn[name] = str(error.strerror)
        except (ContentError, LookupError, TypeError, ValueError, OverflowError) as error:
            self._undrawn[name] = printable(f"{error}", 200)
        else:
            return package_files.draw_package(package, self._look.info, detail)
        return {}

    def _package(self, name: str) -> Package:
        """A name, from its shards in the staged tree."""
        records: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        for subdir in self._names[name]:
            digest = self._found[subdir][name]
            path = self._staged.root / subdir / shards.FOLDER / f"{digest}{shards.SUFFIX}"
            packed = shards.open_shard(path.read_bytes(), digest)
            records[subdir] = shards.unpack_fields(packed)
        needed_by = self._dependents.get(name, [])
        return make_package(name, self._names[name], records, self._names, needed_by)

    def _draw_channel(self, detail: Detail) -> dict[str, bytes]:
        summaries = self._channel.summaries
        channel = pages.Channel(
            info=self._look.info,
            detail=detail,
            rows=pages.rows_of(self._names),
            counts=pages.counts_of(summaries),
            newest=feeds.newest_builds(summaries, self._channel.recent, feeds.LENGTH),
            changes=self._channel.recent,
        )
        return pages.draw_pages(channel) | api.draw_api(channel)

    def _sweep(self, detail: Detail) -> set[str]:
        """Remove the files of single names that are no more, or that there is no room for.

        Gives the names whose entries were of another kind than they should be.
        """
        lost = set()
        for folder, (ending, wanted) in package_files.folders(detail).items():
            for entry, kind in self._kept.entries(folder).items():
                name = entry.removesuffix(ending)
                is_name = name in self._names and entry == f"{name}{ending}"
                if not (wanted and is_name and kind == ("file" if ending else "folder")):
                    self._kept.remove(f"{folder}/{entry}")
                    lost |= {name} if is_name else set()
        return lost

    def _remove_others(self, files: Mapping[str, bytes]) -> None:
        """Remove what the previous site had for the whole channel, and this one hasn't."""
        for path in (self._before.files if self._before else {}).keys() - files.keys():
            # Whatever a previous site lists: no more than pages can be.
            if pages.is_page(path):
                self._staged.remove(path)

    def _size_of_others(self) -> int:
        """Without what a run replaces at its end: that isn't the same in another run."""
        root, folders = self._staged.root, package_files.FOLDERS
        replaced = sum(size_of(root / path) or 0 for path in _REPLACED)
        return size_of_tree(root, without=[root / folder for folder in folders]) - replaced
