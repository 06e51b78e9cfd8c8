"""``marks``: what is said of builds in a registry, by whom, and what an indexer makes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from indexer.channel.artifact import Fault, Status
from indexer.channel.policy import Standing
from indexer.errors import ContentError, NotFoundError
from indexer.registry import Registry
from indexer.registry.content import Digest, ImageManifest, parse_manifest
from indexer.transfer.attest import index_json_of
from indexer.transfer.finding import Found, find
from indexer.transfer.references import Reference
from indexer.transfer.standing import Inspector, Shelf
from indexer.trust.envelope import peek
from indexer.trust.judging import check_place
from indexer.trust.keys import short_id
from indexer.trust.storage import VerdictTag, fetch_envelope, parse_tag
from indexer.trust.verdict import Verdict

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One verdict on an archive of a build.

    ``is_trusted``: it was found to be signed with a key that is trusted. ``void`` says why it
    counts for nothing; it is empty for one that counts. ``verdict`` is None where it can't be
    read at all. Without a ``tag``, it is a rejection that the site remembers.
    """

    tag: str
    archive: Digest
    verdict: Verdict | None
    key_id: str = ""
    is_trusted: bool = False
    void: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is said of one build, and what comes of it.

    ``standing`` is what the annotation says, ``reason`` why, ``annotation`` its value as it is.
    ``let_in`` are the files that an index would have.
    """

    found: Found
    digest: Digest
    annotation: str | None
    standing: Standing
    reason: str
    entries: tuple[Entry, ...]
    status: Status
    let_in: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


def marks_of(inspector: Inspector, reference: Reference, subdirs: Sequence[str] = ()) -> Marks:
    """What is said of one build, found as ``find`` does.

    Raises NotFoundError or DeniedError where it isn't there, ContentError where its tag leads
    elsewhere than to the digest that is meant, RegistryError where the registry doesn't answer.
    """
    found = find(inspector.registry, inspector.channel, reference, subdirs)
    there = found.raw.digest
    if reference.digest not in {None, there}:
        raise ContentError(f"its tag leads to {there} by now, not to {reference.digest}")
    shelf = inspector.shelf(found.place.subdir, found.place.repository)
    outcome = inspector.look(shelf, found.place.tag)
    annotations = _annotations(found)
    said = inspector.policy
    reading = outcome.reading
    return Marks(
        found,
        there,
        annotation=annotations.get(said.key),
        standing=said.standing(annotations),
        reason=annotations.get(said.reason_key, ""),
        entries=tuple(_entries(inspector, shelf, found)),
        status=outcome.status,
        let_in=tuple(record.file_name for record in reading.records),
        faults=reading.faults,
        notes=reading.notes,
    )


def _annotations(found: Found) -> dict[str, str]:
    try:
        parsed = parse_manifest(found.raw)
    except ContentError:
        return {}
    return dict(parsed.annotations) if isinstance(parsed, ImageManifest) else {}


def _entries(inspector: Inspector, shelf: Shelf, found: Found) -> Iterator[Entry]:
    """The verdicts on the archives that are meant, those first that count, by their time."""
    try:
        archives = found.archives()
    except ContentError:
        return
    meant = {layer.digest for layer in archives}
    names = {layer.title for layer in archives}
    trusted = {key.key_id for key in inspector.keyring.keys}
    index_json = index_json_of(found)
    for item in sorted(shelf.held, key=lambda item: item.verdict.time):
        verdict = item.verdict
        if verdict.archive in meant or verdict.file_name in names:
            yield Entry(
                item.tag,
                verdict.archive,
                verdict,
                item.key_id,
                is_trusted=item.key_id in trusted,
                void=_against(verdict, meant, index_json, inspector.now),
            )
    reasons = {item.tag: item.reason for item in shelf.void}
    others = [*filter(None, map(parse_tag, reasons)), *shelf.unread]
    unproven = [
        _unproven(inspector.registry, shelf, tag, reasons.get(str(tag), ""))
        for tag in others
        if tag.archive in meant
    ]
    yield from sorted(unproven, key=lambda entry: entry.verdict.time if entry.verdict else _NEVER)


def _against(
    verdict: Verdict, meant: Collection[Digest], index_json: Digest | None, now: datetime
) -> str:
    """Why a genuine verdict doesn't count here; empty where it does."""
    if verdict.archive not in meant:
        return f"it is on other bytes of this name, {verdict.archive}"
    if verdict.passed and verdict.index_json != index_json:
        here = f"here it is {index_json}" if index_json else "here there is none"
        return f"it is on the index.json {verdict.index_json}; {here}"
    if verdict.passed and verdict.time > now:
        return "it lies in the future"
    return ""


def _unproven(registry: Registry, shelf: Shelf, tag: VerdictTag, reason: str) -> Entry:
    """A verdict that counts for nothing, by what it says itself."""
    try:
        verdict, key_id = peek(fetch_envelope(registry, shelf.full_name, tag))
        check_place(verdict, tag, shelf.subdir, shelf.repository)
    except (ContentError, NotFoundError) as error:
        return Entry(str(tag), tag.archive, None, void=reason or str(error))
    who = short_id(key_id) or "nobody"
    void = reason or f"it is signed by {who}, no trusted key"
    return Entry(str(tag), tag.archive, verdict, key_id, void=void)
