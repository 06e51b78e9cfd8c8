"""What people call a build: ``subdir/name:tag`` or a file name, and a digest where known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from indexer.channel import codec
from indexer.channel.artifact import Place, place_of
from indexer.channel.index_json import SUBDIR
from indexer.channel.record import EXTENSIONS
from indexer.errors import ConfigError, printable
from indexer.registry.address import is_repository, is_tag
from indexer.registry.content import Digest, is_digest
from indexer.transfer.outcome import Failure

_FORMS = "write subdir/name:tag or [subdir/]file name, and @sha256:... behind it where it is known"


@dataclass(frozen=True, slots=True)
class Reference:
    """A build that somebody named.

    Without a ``subdir`` it has to be looked for. ``file_name`` is empty where its tag was named;
    ``digest`` is that of the manifest which is meant.
    """

    subdir: str | None
    repository: str
    tag: str
    file_name: str = ""
    digest: Digest | None = None

    def place(self, subdir: str) -> Place:
        """Where it is, in this subdir."""
        return Place(subdir, self.repository, self.tag)

    def __str__(self) -> str:
        where = f"{self.subdir}/" if self.subdir else ""
        name = self.file_name or self.repository + (f":{self.tag}" if self.tag else "")
        return f"{where}{name}" + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Read a reference. Raises ConfigError for what isn't one."""
    what, at, end = text.strip().partition("@")
    if at and not is_digest(end):
        raise ConfigError(f"{printable(text, 300)!r}: {printable(end, 100)!r} is no digest.")
    digest = Digest.parse(end) if at else None
    subdir, _, name = what.rpartition("/")
    if subdir and not SUBDIR.fullmatch(subdir):
        raise ConfigError(f"{printable(text, 300)!r}: {subdir!r} is no subdir, such as linux-64.")
    if name.endswith(EXTENSIONS) and ":" not in name:
        *parts, last = name.rsplit("-", 2)
        if len(parts) != 2 or not all(parts) or last in EXTENSIONS:
            raise ConfigError(f"{printable(text, 300)!r} is no package file's name: {_FORMS}.")
        place = place_of(subdir, name)
        found = Reference(subdir or None, place.repository, place.tag, name, digest)
    else:
        package, _, tag = name.partition(":")
        if not tag or not subdir:
            raise ConfigError(f"{printable(text, 300)!r} names no build: {_FORMS}.")
        if not is_tag(tag) and tag.count("-") == 1:
            # As conda spells it.
            tag = codec.tag_name(*tag.split("-"))
        found = Reference(subdir, codec.repository_name(package), tag, digest=digest)
    if not is_repository(found.repository) or not is_tag(found.tag):
        raise ConfigError(f"{printable(text, 300)!r} can't be in a registry: {_FORMS}.")
    return found


def parse_manifest_reference(text: str) -> Reference:
    """Read ``subdir/name[:tag]@sha256:...``: a manifest that no tag may lead to any more.

    Raises ConfigError for what isn't one.
    """
    what, at, digest = text.strip().partition("@")
    is_bare = ":" not in what and not what.endswith(EXTENSIONS)
    # Without a tag, any will do to have the rest checked.
    found = parse_reference(f"{what}:any{at}{digest}" if is_bare else text)
    if found.digest is None or found.subdir is None:
        raise ConfigError(
            f"{printable(text, 300)!r} names no manifest: write subdir/name:tag@sha256:..., as "
            "prune and its log do."
        )
    return replace(found, tag="") if is_bare else found


def read_lines(texts: Iterable[str], lines: Iterable[str]) -> Iterator[str]:
    """The arguments; ``-`` stands for all of these lines, of which ``#`` ends one."""
    for text in texts:
        if text != "-":
            yield text
            continue
        for line in lines:
            if said := line.partition("#")[0].strip():
                yield said


def read_references(
    texts: Iterable[str], lines: Iterable[str]
) -> tuple[list[Reference], list[Failure]]:
    """The references among arguments, as ``read_lines`` has them, and the lines that are none.

    Raises ConfigError for an argument that isn't one: a mistyped command does nothing. A line
    costs itself alone: the rest of a queue is not to wait until somebody takes it out.
    """
    references: list[Reference] = []
    failures: list[Failure] = []
    for text in texts:
        for said in read_lines([text], lines):
            try:
                references.append(parse_reference(said))
            except ConfigError as error:
                if text != "-":
                    raise
                failures.append(Failure(said, str(error)))
    return references, failures
