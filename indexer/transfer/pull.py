"""``pull``: a channel from a registry into a folder, with an index of what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from indexer.channel import codec
from indexer.channel.artifact import Fault, Place
from indexer.channel.newest import newest
from indexer.channel.policy import Policy
from indexer.channel.record import Record, section_of
from indexer.channel.selection import unmatched, wanted
from indexer.errors import ConfigError, ContentError, DeniedError, NotFoundError
from indexer.fetching import Fetcher
from indexer.files import has_sha256, locked, size_of
from indexer.published import is_path
from indexer.published.records import read_records
from indexer.registry.address import is_tag
from indexer.registry.content import Descriptor, Digest
from indexer.render import repodata, shards
from indexer.transfer.files import fetch_into
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Failure, Item, Outcome, metered
from indexer.transfer.package import archives_at

_LOCK = ".cf-index.lock"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An archive that the registry has; ``record`` is what an index says of it, if one may."""

    place: Place
    file_name: str
    sha256: str
    size: int
    record: Record | None = None

    def __str__(self) -> str:
        return f"{self.place.subdir}/{self.file_name}"


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a tag led to: archives, and what is wrong with others."""

    items: tuple[_Wanted, ...]
    faults: tuple[Fault, ...]


class Pull:
    """Copies a channel's archives into a folder in the shape of a channel.

    Marks don't matter to it. With ``latest``, only the builds of each package's newest version
    with the highest build number are taken.
    """

    def __init__(self, job: Job, output: Path, *, latest: bool = False) -> None:
        self._job = job
        self._output = output
        self._latest = latest
        self._fetcher = Fetcher(job.registry, job.channel, Policy("none"), int(job.now.timestamp()))
        self._is_listed = True
        self._denied = ""
        self.outcome = Outcome(dry_run=job.dry_run)

    def run(self, repositories: Mapping[str, Sequence[str]], *, is_listed: bool = True) -> Outcome:
        """Pull these repositories: the last components of their names, by subdir.

        What became of it stays in ``outcome``. Without ``is_listed`` somebody thought of their
        names, and they may not be there; some must. Raises ConfigError where the folder can't
        be written, or somebody else writes there, and RegistryError where the registry doesn't
        answer.
        """
        self._is_listed = is_listed
        crew = Crew(self.outcome, self._job.jobs, self._job.abort)
        found = self._find(crew, repositories)
        there = {item.file_name.rsplit("-", 2)[0] for item in found}
        for glob in unmatched(self._job.globs, there):
            self.outcome.note(f"{self._job.registry.address} has no package called {glob}")
        if not is_listed and not found and not self.outcome.failed:
            names = ", ".join(self._job.globs)
            raise NotFoundError(
                f"{self._job.registry.address} has no {names} in {', '.join(repositories)}"
                f"{self._denied or '.'}"
            )
        if self.outcome.dry_run:
            self.outcome.did(map(self._item, self._lacking(crew, found)))
            return self.outcome
        _make(self._output)
        with locked(self._output / _LOCK, f"the folder {self._output}"):
            self._refuse_a_site()
            lacking = self._lacking(crew, found)
            fetched = self._fetch(crew, lacking)
            unsure = {self._path(item) for item in lacking if item not in fetched}
            self._write_indexes(found, unsure)
        return self.outcome

    def _refuse_a_site(self) -> None:
        """Another tool's index of the folder would be replaced by ours, and its shards left."""
        for path in (self._output / "status.json", *self._output.glob(f"*/{shards.INDEX_NAME}")):
            if path.exists():
                raise ConfigError(
                    f"{self._output} is a published channel ({path} is there); pull would replace "
                    "its index. Give it another folder."
                )

    def _find(self, crew: Crew, repositories: Mapping[str, Sequence[str]]) -> list[_Wanted]:
        """What the registry has of what is asked for."""
        chosen = [
            (subdir, name)
            for subdir, names in repositories.items()
            for name in names
            if any(wanted(spelt, self._job.globs) for spelt in codec.possible_names(name))
        ]
        self._job.progress.begin("Reading the registry", len(chosen))
        found: list[_Wanted] = []
        places = self._places(crew, chosen)
        for place, looked in crew.each(places, self._look, lambda place: [_name(place)]):
            is_fit = all(item.record is not None for item in looked.items)
            for fault in looked.faults:
                what = f"{place.subdir}/{fault.file_name}" if fault.file_name else _name(place)
                if is_fit or self._latest:
                    self.outcome.fail(Failure(what, fault.reason))
                else:
                    self.outcome.note(f"{what} is not in repodata.json: {fault.reason}")
            found += looked.items
        self._job.progress.end()
        if not self._latest:
            return found
        best = {id(r) for r in newest(item.record for item in found if item.record is not None)}
        return [item for item in found if id(item.record) in best]

    def _look(self, place: Place) -> _Looked:
        """What a tag holds. What no index may have is an archive all the same."""
        reading = self._fetcher.fetch(place, ()).reading
        items = [
            _Wanted(place, r.file_name, r.sha256, int(r.fields()["size"]), r)
            for r in reading.records
            if wanted(r.name, self._job.globs)
        ]
        if reading.faults and not reading.records:
            with suppress(ContentError, NotFoundError):
                items = [
                    _Wanted(place, title, layer.digest.hex, layer.size)
                    for title, layer in archives_at(
                        self._job.registry, self._job.channel, place
                    ).items()
                ]
        return _Looked(tuple(items), reading.faults)

    def _places(self, crew: Crew, chosen: Iterable[tuple[str, str]]) -> Iterator[Place]:
        for (subdir, name), tags in crew.each(chosen, self._tags, lambda item: ["/".join(item)]):
            self._job.progress.step()
            for tag in sorted(tags):
                if codec.is_package_tag(tag) and is_tag(tag):
                    yield Place(subdir, name, tag)

    def _tags(self, item: tuple[str, str]) -> list[str]:
        repository = self._fetcher.full_name(*item)
        try:
            return self._job.registry.tags(repository)
        except NotFoundError:
            return []
        except DeniedError as error:
            # What isn't there is refused by some.
            if self._is_listed:
                raise
            self._denied = f", or doesn't say: {error}"
            return []

    def _lacking(self, crew: Crew, found: Sequence[_Wanted]) -> list[_Wanted]:
        """What the folder doesn't have yet, by sha256."""
        self._job.progress.begin(f"Looking into {self._output}", len(found))
        lacking = []
        for item, is_there in crew.each(found, self._is_there, lambda item: [str(item)]):
            self._job.progress.step()
            self.outcome.present += is_there
            if not is_there:
                lacking.append(item)
        self._job.progress.end()
        return lacking

    def _is_there(self, item: _Wanted) -> bool:
        path = self._path(item)
        return size_of(path) == item.size and has_sha256(path, item.sha256)

    def _fetch(self, crew: Crew, lacking: Sequence[_Wanted]) -> set[_Wanted]:
        """Fetch them; gives those that could be."""
        fetched = set()
        for subdir in {item.place.subdir for item in lacking}:
            _make(self._output / subdir)
        self._job.progress.begin("Pulling", sum(item.size for item in lacking), "bytes")
        try:
            for item, _ in crew.each(lacking, self._fetch_one, lambda item: [str(item)]):
                fetched.add(item)
        finally:
            self._job.progress.end()
        return fetched

    def _fetch_one(self, item: _Wanted) -> None:
        repository = self._fetcher.full_name(item.place.subdir, item.place.repository)
        blob = Descriptor("", Digest(item.sha256), item.size)
        fetch_into(
            self._job.registry, repository, blob, self._path(item), metered(self._job.progress)
        )
        self.outcome.did([self._item(item)])

    def _write_indexes(self, found: Sequence[_Wanted], unsure: Collection[Path]) -> None:
        """An index of what each folder has: of this pull, and of earlier ones.

        ``unsure`` are files that should have been replaced, and couldn't be. Every channel must
        have noarch (CEP 26).
        """
        by_subdir: dict[str, dict[str, bytes]] = {"noarch": {}}
        for item in found:
            if self._path(item) not in unsure and size_of(self._path(item)) == item.size:
                records = by_subdir.setdefault(item.place.subdir, {})
                if item.record is not None:
                    records[item.file_name] = item.record.body
        for subdir, records in sorted(by_subdir.items()):
            folder = self._output / subdir
            _make(folder)
            try:
                kept = self._earlier(subdir, unsure)
            except ContentError as error:
                self.outcome.note(f"{folder / repodata.FILE_NAME} {error}; it is made anew")
                kept = {}
            replace_index(folder, subdir, kept | records)

    def _earlier(self, subdir: str, unsure: Collection[Path]) -> dict[str, bytes]:
        """The records of an earlier pull whose archives are still there."""
        path = self._output / subdir / repodata.FILE_NAME
        if not path.is_file():
            return {}
        return {
            file_name: Record.make(file_name, fields).body
            for _, file_name, fields in read_records(path, subdir, packed=False)
            if is_path(file_name)
            and "/" not in file_name
            and {"name", "sha256"} <= fields.keys()
            and size_of(file := path.with_name(file_name)) == fields.get("size")
            and (file not in unsure or has_sha256(file, fields["sha256"]))
        }

    def _path(self, item: _Wanted) -> Path:
        return self._output / item.place.subdir / item.file_name

    def _item(self, item: _Wanted) -> Item:
        repository = self._fetcher.full_name(item.place.subdir, item.place.repository)
        reference = self._job.registry.address.reference(repository, item.place.tag)
        return Item(item.place.subdir, item.file_name, item.sha256, item.size, reference)


def replace_index(folder: Path, subdir: str, records: Mapping[str, bytes]) -> None:
    """Write repodata.json and its compressed twin, each never seen half-written."""
    ordered = sorted(records.items())
    sections = {
        section: repodata.lines([item for item in ordered if section_of(item[0]) == section])
        for section in repodata.SECTIONS
    }
    try:
        scratch = folder / ".repodata.new"
        if scratch.is_symlink():
            scratch.unlink()
        scratch.mkdir(exist_ok=True)
        for name in (repodata.FILE_NAME, repodata.ZST_NAME):
            (scratch / name).unlink(missing_ok=True)
        repodata.write_repodata(scratch, subdir, None, sections)
        for name in (repodata.FILE_NAME, repodata.ZST_NAME):
            (scratch / name).replace(folder / name)
        scratch.rmdir()
    except OSError as error:
        raise ConfigError(f"{folder} can't be written: {error.strerror}.") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} can't be made: {error.strerror}.") from error


def _name(place: Place) -> str:
    return f"{place.subdir}/{place.repository}:{place.tag}"
