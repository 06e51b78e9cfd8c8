"""Makes the next site beside the published one: files, pages, check, swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from indexer.check import check_channel
from indexer.config import Config
from indexer.errors import CfIndexError
from indexer.progress import Progress
from indexer.published import Folder
from indexer.rebuild.kept import Kept
from indexer.rebuild.look import Look
from indexer.rebuild.pages import Pages
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import Output, Staged, told
from indexer.rebuild.report import STATUS, Report
from indexer.rebuild.share import Share
from indexer.rebuild.status_file import status_bytes
from indexer.rebuild.writing import expire, write_channel, write_snapshot
from indexer.render import package_files
from indexer.render.history import SubdirEntry

KEPT = package_files.FOLDERS


@dataclass(frozen=True, slots=True)
class Site:
    """The next site, by its configuration, and the report of the run that makes it."""

    config: Config
    look: Look
    report: Report
    now: datetime
    progress: Progress

    def publish(
        self, output: Output, previous: Previous, shares: Sequence[Share], rejections: bytes
    ) -> None:
        """Put the shares over the previous site, and that into the output's place.

        ``rejections`` are the bytes of what the site remembers of them. Raises CfIndexError where
        the new site fails its check; the output is then as it was.
        """
        try:
            with told(output.folder):
                leftovers = {share.subdir: expire(share, previous, self.now) for share in shares}
                with self.report.timed("staging"):
                    expired = {path for _, paths in leftovers.values() for path in paths}
                    staged = output.stage(previous.folder, without=expired)
                    in_place = previous.folder == output.folder
                    kept = Kept(staged, output.folder if in_place else None, KEPT)
                stays = {subdir: stay for subdir, (stay, _) in leftovers.items()}
                self._write(staged, kept, previous, shares, rejections, stays, in_place=in_place)
                self._check(staged, previous, shares)
            with self.report.timed("publishing"):
                with told(output.folder):
                    kept.settle()
                output.swap(in_place=in_place)
        finally:
            output.discard()

    def _write(
        self,
        staged: Staged,
        kept: Kept,
        previous: Previous,
        shares: Sequence[Share],
        rejections: bytes,
        stays: Mapping[str, Mapping[str, str]],
        *,
        in_place: bool,
    ) -> None:
        report = self.report
        entries: dict[str, SubdirEntry] = {}
        if previous.snapshot is not None:
            entries |= previous.snapshot.subdirs
        for share in shares:
            share.settle(staged)
            entries[share.subdir] = replace(share.entry, superseded=stays[share.subdir])
        with report.timed("channel"):
            channel = write_channel(
                staged,
                self.look,
                previous,
                shares,
                entries,
                self.now,
                rejections,
                in_place=in_place,
            )
            report.notes += channel.notes
        with report.timed("pages"):
            found = {subdir: previous.subdir(subdir).shards for subdir in entries}
            found |= {share.subdir: share.shards for share in shares}
            pages = Pages(staged, kept, self.look, report, previous, channel, found)
            entry = pages.write(self.progress)
            write_snapshot(staged, channel.snapshot(entry, pages.size))
        staged.write(STATUS, status_bytes(report, staged.root))

    def _check(self, staged: Staged, previous: Previous, shares: Sequence[Share]) -> None:
        with self.report.timed("checking"):
            named = [share.subdir for share in shares]
            # What changes are put into was found, by its hashes, to be what was swapped in.
            before = Folder(previous.folder) if previous.folder else None
            since = {share.subdir: before for share in shares if before and share.by_changes}
            findings = check_channel(Folder(staged.root), named, self.progress, since)
        if findings.problems:
            raise CfIndexError(
                "The new index failed its own check and was not published: "
                f"{findings.problems[0]} ({len(findings.problems)} problems). "
                "Please report this."
            )
