"""What ends a run: the next site published, or left as it is, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from indexer.config import Config
from indexer.files import replace_file
from indexer.progress import Progress
from indexer.rebuild.beginning import note_site
from indexer.rebuild.look import Look
from indexer.rebuild.previous import Previous, load_previous
from indexer.rebuild.publish import Output, told
from indexer.rebuild.rejections import Rejections
from indexer.rebuild.report import STATUS, Report
from indexer.rebuild.room import room_notes
from indexer.rebuild.share import Share
from indexer.rebuild.site import Site
from indexer.rebuild.status_file import status_bytes
from indexer.rebuild.status_page import refresh_status
from indexer.rebuild.unsettled import note_unsettled


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Since when artifacts wait or are rejected, by subdir, repository and tag.

    In seconds since 1970. ``is_read`` says of which subdir and repository this run knows it.
    """

    since: Mapping[tuple[str, str, str], int]
    is_read: Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a run. ``was_there``: there was a site where the next run looks for one.

    ``asks_registry``: it knows by now what the registry has that isn't published.
    """

    config: Config
    look: Look
    report: Report
    now: datetime
    progress: Progress
    output: Output
    previous: Previous
    rejections: Rejections
    was_there: bool
    asks_registry: bool = True

    @property
    def _in_place(self) -> bool:
        return self.previous.folder == self.output.folder

    def outcome(self, changed: Collection[object]) -> str:
        """What the run comes to, where those subdirs have ``changed``: published or unchanged."""
        previous = self.previous
        same_look = (
            previous.snapshot is not None
            and previous.snapshot.rendering == self.look.of_channel()
            and previous.looks_whole()
        )
        if self._in_place:
            same_look = same_look and previous.pages_look_whole()
        same_words = self.rejections.known == self.rejections.published
        return "unchanged" if same_look and same_words and not changed else "published"

    def publish(self, shares: Sequence[Share], unsettled: Unsettled) -> None:
        """Publish by the report's outcome, and say what the run found. Raises CfIndexError."""
        config, report, output, previous = self.config, self.report, self.output, self.previous
        if report.outcome == "unchanged" and not self._in_place:
            report.notes.append(f"the output was made a copy of {config.previous}")
        outside = previous.outside()
        if report.outcome == "published" or not self._in_place:
            site = Site(config, self.look, report, self.now, self.progress)
            site.publish(output, previous, shares, self.rejections.encoded())
        if config.previous is None or self.was_there:
            # What this run made for another address is there only once it is deployed.
            note_site(config)
        published = load_previous(output.folder)
        whole = self.asks_registry and not config.packages
        with told(output.folder):
            refresh_status(published, self.look, report, outside, whole=whole)
            note_unsettled(output.folder, previous, unsettled.since, unsettled.is_read)
        if (snapshot := published.snapshot) is not None:
            level = snapshot.pages.level if snapshot.pages else None
            report.notes += room_notes(level, snapshot.size, config.max_site_size)
        with told(output.folder):
            replace_file(output.folder / STATUS, status_bytes(report, output.folder))
