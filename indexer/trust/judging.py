"""What the verdicts of a repository say of what lies in it. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from indexer.channel import codec
from indexer.channel.artifact import MD5_ANNOTATION
from indexer.channel.record import Record
from indexer.errors import ContentError, printable
from indexer.registry.content import Descriptor, Digest
from indexer.trust.keys import short_id
from indexer.trust.storage import VerdictTag
from indexer.trust.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Held:
    """A verdict that counts, and the id of its key; ``tag`` is empty for one that is remembered.

    Remembered are those of a "no" whose verdict may be gone from the registry.
    """

    verdict: Verdict
    key_id: str
    tag: str = ""

    @property
    def when_and_who(self) -> str:
        """Its date and key, for people."""
        return f"{self.verdict.time:%Y-%m-%d %H:%M:%S} UTC by the key {short_id(self.key_id)}"


@dataclass(frozen=True, slots=True)
class Claim:
    """An archive that a manifest offers, what it says of that, and the index.json beside it.

    ``md5`` as hex and ``size`` in bytes, where they are said.
    """

    file_name: str
    archive: Digest
    index_json: Digest | None
    md5: str | None = None
    size: int | None = None

    @classmethod
    def of_layer(cls, layer: Descriptor, index_json: Digest | None) -> Claim:
        """What a manifest says of an archive; one without a title has no name."""
        md5 = layer.annotations.get(MD5_ANNOTATION)
        return cls(layer.title or "", layer.digest, index_json, md5, layer.size)

    @classmethod
    def of_record(cls, record: Record, index_json: Digest | None) -> Claim:
        """What an index says of an archive."""
        fields = record.fields()
        digest = Digest(record.sha256)
        return cls(record.file_name, digest, index_json, fields.get("md5"), fields.get("size"))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of an archive.

    ``passed``: let in; ``rejected``: the validator's last word is no; neither: it waits.
    ``reason`` is empty where there is nothing to tell. ``held`` is the verdict that decided.
    """

    passed: bool = False
    rejected: bool = False
    reason: str = ""
    held: Held | None = None


def check_place(verdict: Verdict, tag: VerdictTag, subdir: str, repository: str) -> None:
    """Raise ContentError where a verdict was found elsewhere than what it speaks of.

    ``repository`` is the last component of the repository's name.
    """
    if verdict.archive != tag.archive:
        raise ContentError(f"it speaks of the archive {verdict.archive}, not of that in its tag")
    if verdict.subdir != subdir:
        raise ContentError(f"it speaks of the subdir {verdict.subdir}")
    if codec.repository_name(verdict.name) != repository:
        raise ContentError(f"it speaks of the package {printable(verdict.name, 100)}")


class Verdicts:
    """Those of one repository of one subdir. PASSED that is dated after ``now`` is void.

    Without ``now`` there are none.
    """

    def __init__(self, held: Iterable[Held] = (), now: datetime | None = None) -> None:
        self._now = now
        self.held = tuple(held)
        self._by_file: dict[str, list[Held]] = {}
        self._by_archive: dict[Digest, list[Held]] = {}
        for item in self.held:
            self._by_file.setdefault(item.verdict.file_name, []).append(item)
            self._by_archive.setdefault(item.verdict.archive, []).append(item)

    def judge(self, claim: Claim) -> Judgement:
        """The latest verdict wins; of two of the same time, the one that says no."""
        known = self._by_file.get(claim.file_name, [])
        mine = [item for item in known if item.verdict.archive == claim.archive]
        failed = _latest(item for item in mine if not item.verdict.passed)
        passed = _latest(
            item
            for item in mine
            if item.verdict.passed
            and item.verdict.index_json == claim.index_json
            and self._is_past(item)
        )
        if failed and (passed is None or passed.verdict.time <= failed.verdict.time):
            return Judgement(rejected=True, reason=_no(failed), held=failed)
        if passed and not _contradiction(passed.verdict, claim):
            return Judgement(passed=True, held=passed)
        return Judgement(reason=self._near(claim))

    def rejection(self, file_name: str, archive: Digest) -> Held | None:
        """The last word on an archive, where it is no, whatever lies beside it."""
        known = self._by_file.get(file_name, [])
        mine = [item for item in known if item.verdict.archive == archive]
        failed = _latest(item for item in mine if not item.verdict.passed)
        passed = _latest(item for item in mine if item.verdict.passed and self._is_past(item))
        is_last = failed and (passed is None or passed.verdict.time <= failed.verdict.time)
        return failed if is_last else None

    def _is_past(self, item: Held) -> bool:
        return self._now is not None and item.verdict.time <= self._now

    def _near(self, claim: Claim) -> str:
        """Why a verdict that seems to be meant doesn't count; empty where there is none."""
        by_file = self._by_file.get(claim.file_name, [])
        by_archive = self._by_archive.get(claim.archive, [])
        near = max(
            (item for item in (*by_file, *by_archive) if item.verdict.passed),
            key=lambda item: (
                item.verdict.file_name == claim.file_name,
                item.verdict.archive == claim.archive,
                item.verdict.index_json == claim.index_json,
                item.verdict.time,
                item.tag,
            ),
            default=None,
        )
        if near is None:
            return ""
        return f"validated {near.when_and_who}{_instead(near.verdict, claim)}"


def _instead(verdict: Verdict, claim: Claim) -> str:
    """With what else than this a verdict lets something in."""
    if verdict.file_name != claim.file_name:
        return f" as {verdict.file_name}, not by this name"
    if verdict.archive != claim.archive:
        return f" with the archive {verdict.archive}; here it is {claim.archive}"
    if claim.index_json is None:
        return " with one index.json; here there is none, or several"
    if verdict.index_json != claim.index_json:
        return f" with the index.json {verdict.index_json}; here it is {claim.index_json}"
    said = _contradiction(verdict, claim)
    return f" with {said}" if said else ", which lies in the future"


def _contradiction(verdict: Verdict, claim: Claim) -> str:
    """What is said of an archive that its verdict says otherwise; empty where nothing is."""
    if None not in {verdict.md5, claim.md5} and verdict.md5 != claim.md5:
        return f"the md5 {verdict.md5}; here it is {printable(str(claim.md5), 80)}"
    if None not in {verdict.size, claim.size} and verdict.size != claim.size:
        return f"the size {verdict.size}; here it is {claim.size}"
    return ""


def deciding(
    held: Iterable[Held], now: datetime, there: Collection[str] = frozenset()
) -> list[Held]:
    """Of those that have a tag, the ones that can decide: first each yes, then each no.

    Of a file and its bytes that is the latest yes for each index.json, none that is dated after
    ``now``, and the latest no. Whatever else there is, anybody may have made of the same signed
    statements: an envelope has room for more. Of those of one time, one whose tag is ``there``
    is taken.
    """
    latest: dict[tuple[object, ...], Held] = {}
    for item in held:
        verdict = item.verdict
        if not item.tag or (verdict.passed and verdict.time > now):
            continue
        index_json = verdict.index_json if verdict.passed else None
        key = (verdict.passed, verdict.file_name, verdict.archive, index_json)
        latest[key] = max(
            latest.get(key, item),
            item,
            key=lambda one: (one.verdict.time, one.tag in there, one.tag),
        )
    return sorted(latest.values(), key=lambda item: not item.verdict.passed)


def _no(failed: Held) -> str:
    said = f": {failed.verdict.reason}" if failed.verdict.reason else ""
    gone = "" if failed.tag else "; the verdict itself is gone from the registry"
    return f"rejected {failed.when_and_who}{said}{gone}"


def _latest(held: Iterable[Held]) -> Held | None:
    # In whatever order they were listed; and what is there before what is remembered of it.
    return max(held, key=lambda item: (item.verdict.time, item.tag), default=None)
