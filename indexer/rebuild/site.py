"""Makes the next site beside the published one: files, pages, check, swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from indexer.check import check_channel
from indexer.config import Config
from indexer.errors import CfIndexError
from indexer.progress import Progress
from indexer.published import Folder
from indexer.rebuild.kept import Kept
from indexer.rebuild.look import Look
from indexer.rebuild.pages import Pages
from indexer.rebuild.planning import SubdirPlan
from indexer.rebuild.previous import Previous
from indexer.rebuild.publish import Output, Staged, told
from indexer.rebuild.report import STATUS, Report, status_bytes
from indexer.rebuild.writing import expire, write_channel, write_snapshot, write_subdir
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
        self, output: Output, previous: Previous, plans: Sequence[SubdirPlan], rejections: bytes
    ) -> None:
        """Write what the plans say over the previous site, and put it into the output's place.

        ``rejections`` are the bytes of what the site remembers of them. Raises CfIndexError where
        the new site fails its check; the output is then as it was.
        """
        try:
            with told(output.folder):
                leftovers = {plan.subdir: expire(plan, previous, self.now) for plan in plans}
                with self.report.timed("staging"):
                    expired = {path for _, paths in leftovers.values() for path in paths}
                    staged = output.stage(previous.folder, without=expired)
                    in_place = previous.folder == output.folder
                    kept = Kept(staged, output.folder if in_place else None, KEPT)
                stays = {subdir: stay for subdir, (stay, _) in leftovers.items()}
                self._write(staged, kept, previous, plans, rejections, stays)
                self._check(staged, previous, plans)
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
        plans: Sequence[SubdirPlan],
        rejections: bytes,
        stays: Mapping[str, Mapping[str, str]],
    ) -> None:
        report = self.report
        entries: dict[str, SubdirEntry] = {}
        if previous.snapshot is not None:
            entries |= previous.snapshot.subdirs
        for plan in plans:
            self.progress.begin(f"Writing {plan.subdir}", plan.count.after)
            entries[plan.subdir] = write_subdir(
                staged, plan, previous, self.look, stays[plan.subdir], self.progress, report.timed
            )
            self.progress.end()
        with report.timed("channel"):
            channel = write_channel(
                staged, self.look, previous, plans, entries, self.now, rejections
            )
        with report.timed("pages"):
            found = {subdir: previous.subdir(subdir).shards for subdir in entries}
            found |= {plan.subdir: plan.shards for plan in plans}
            pages = Pages(staged, kept, self.look, report, previous, channel, found)
            entry = pages.write(self.progress)
            write_snapshot(staged, channel.snapshot(entry, pages.size))
        staged.write(STATUS, status_bytes(report))

    def _check(self, staged: Staged, previous: Previous, plans: Sequence[SubdirPlan]) -> None:
        with self.report.timed("checking"):
            named = [plan.subdir for plan in plans]
            # What changes are put into was found, by its hashes, to be what was swapped in.
            before = Folder(previous.folder) if previous.folder else None
            since = {plan.subdir: before for plan in plans if before and plan.by_changes}
            findings = check_channel(Folder(staged.root), named, self.progress, since)
        if findings.problems:
            raise CfIndexError(
                "The new index failed its own check and was not published: "
                f"{findings.problems[0]} ({len(findings.problems)} problems). "
                "Please report this."
            )
