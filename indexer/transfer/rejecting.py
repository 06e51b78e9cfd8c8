"""What production has, and was rejected in staging since: the verdict alone goes there.

Whatever staging's tags lead to by now: somebody may have pushed other bytes, or taken them out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from indexer.channel import manifest
from indexer.channel.artifact import Place, place_of
from indexer.errors import ContentError
from indexer.progress import Progress
from indexer.registry.content import Digest
from indexer.transfer.outcome import Crew
from indexer.transfer.promoting import Build, LetIn, Promoter
from indexer.trust.judging import Held
from indexer.trust.storage import parse_tag


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that a verdict in staging rejects; ``place`` is where production may have it.

    ``verdicts`` are those that production lacks, at least one of them a no. A later yes goes
    along, as production would have the earlier word alone.
    """

    place: Place
    file_name: str
    archive: Digest
    verdicts: tuple[Held, ...]

    @property
    def name(self) -> str:
        """The package's."""
        return self.verdicts[0].verdict.name

    def __str__(self) -> str:
        return f"{self.place.subdir}/{self.file_name}"


def rejected_of(lacking: Iterable[Held], there: Collection[str] | None) -> list[Rejected]:
    """Of the verdicts that production lacks, those that reject what it may have under its tags.

    Without its tags, that is any.
    """
    found: dict[tuple[Place, str, Digest], list[Held]] = {}
    for item in lacking:
        verdict = item.verdict
        place = place_of(verdict.subdir, verdict.file_name)
        if there is None or place.tag in there:
            found.setdefault((place, verdict.file_name, verdict.archive), []).append(item)
    return [
        Rejected(*key, tuple(items))
        for key, items in found.items()
        if not all(item.verdict.passed for item in items)
    ]


def without(rejected: Iterable[Rejected], builds: Iterable[Build]) -> list[Rejected]:
    """Those whose verdicts don't go along with a build."""
    carried = {
        (build.place.subdir, build.place.repository, str(tag))
        for build in builds
        for tag in build.verdicts
    }
    return [
        item
        for item in rejected
        if any(
            (item.place.subdir, item.place.repository, held.tag) not in carried
            for held in item.verdicts
        )
    ]


def pass_on(
    rejected: Sequence[Rejected], promoter: Promoter, crew: Crew, progress: Progress
) -> None:
    """Put their verdicts into production where it has the archive; not in a dry run.

    What became of them is in the crew's outcome. Raises as the crew does, and ConfigError where
    the audit log can't be written.
    """
    if not rejected:
        return
    outcome = crew.outcome
    progress.begin("Passing on rejections", len(rejected))

    def put(item: Rejected) -> bool:
        return _put(item, promoter, dry_run=outcome.dry_run)

    for item, is_there in crew.each(rejected, put, lambda item: [str(item)]):
        progress.step()
        if is_there:
            would = "would be" if outcome.dry_run else "were"
            outcome.note(f"{item} is rejected by now; {len(item.verdicts)} verdicts {would} added")
    progress.end()


def _put(item: Rejected, promoter: Promoter, *, dry_run: bool) -> bool:
    """Whether production has the archive; then its verdicts are put beside it.

    Raises ContentError where that can't be told.
    """
    try:
        subject = promoter.manifest(item.place)
        layers = manifest.archives(subject) if subject is not None else []
    except ContentError as error:
        raise ContentError(
            f"it is rejected, and whether production has it under {item.place.tag} can't be told: "
            f"{error}"
        ) from error
    if subject is None or item.archive not in {layer.digest for layer in layers}:
        return False
    if not dry_run:
        size = next(layer.size for layer in layers if layer.digest == item.archive)
        last = max(item.verdicts, key=lambda held: held.verdict.time)
        file = LetIn(item.file_name, item.archive.hex, size, last.key_id)
        tags = tuple(tag for held in item.verdicts if (tag := parse_tag(held.tag)) is not None)
        build = Build(item.place, subject.digest, (file,), verdicts=tags, is_proof=True)
        promoter.add_verdicts(build, subject)
    return True
