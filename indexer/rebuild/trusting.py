"""The verdicts of each repository in a run: which are new, and what they change.

Worker threads read them; all else is done by the thread that has the state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from indexer.channel import codec
from indexer.channel.artifact import place_of
from indexer.channel.record import Record
from indexer.errors import ContentError
from indexer.rebuild.verdicts import Known, RememberedVerdicts
from indexer.registry.base import Registry
from indexer.registry.content import Digest
from indexer.trust.judging import Held, Verdicts
from indexer.trust.keys import Keyring
from indexer.trust.reading import LostVerdictError, read_verdict
from indexer.trust.storage import OddVerdictError, VerdictTag, parse_tag

# Whoever may push could have any number of such tags asked for in every run.
_ODD_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a repository is judged by: its verdicts, and the ``ground`` that names them.

    The ground changes with anything that could change a judgement.
    """

    verdicts: Verdicts | None = None
    ground: str = ""


# Where the policy asks for no verdicts.
NOTHING = Judged()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a verdict's tag: a verdict that counts, or why it is none.

    ``is_lost``: it couldn't be read, and may be there next time. ``is_odd``: something else is
    there, which is looked at again from time to time.
    """

    held: Held | None = None
    reason: str = ""
    is_lost: bool = False
    is_odd: bool = False


class Trust:
    """Verdicts for one run, by the keys that are trusted.

    ``rejections`` are all that were seen before, ``published`` those that the site remembers.
    """

    def __init__(
        self,
        remembered: RememberedVerdicts,
        keyring: Keyring,
        rejections: Sequence[Held],
        published: Sequence[Held],
        now: datetime,
    ) -> None:
        self._remembered = remembered
        self._published = {_key(item) for item in published}
        self._keyring = keyring
        self._now = now
        # Of the repository that was asked for last: names come in their order.
        self._last: tuple[tuple[str, str], Judged] | None = None
        self._listed: tuple[tuple[str, str], list[Known]] | None = None
        self._rejected: list[Held] = []
        self._rejections: dict[tuple[str, str], list[Held]] = {}
        for item in rejections:
            repository = codec.repository_name(item.verdict.name)
            self._rejections.setdefault((item.verdict.subdir, repository), []).append(item)
        remembered.begin(keyring.fingerprint)

    def compare(self, subdir: str, repository: str, tags: Iterable[str]) -> list[VerdictTag]:
        """Forget the verdicts that are listed no more; gives those that have to be read."""
        self._last = None
        known = self._known(subdir, repository)
        listed = {found for tag in tags if (found := parse_tag(tag)) is not None}
        if gone := {item.tag for item in known} - listed:
            self._remembered.forget(subdir, repository, gone)
            self._listed = None
        return sorted(listed - {item.tag for item in known if not item.is_due}, key=str)

    def read(
        self, registry: Registry, full_name: str, subdir: str, repository: str, tag: VerdictTag
    ) -> Answer:
        """Read a verdict, in any thread. Raises RegistryError."""
        try:
            held = read_verdict(registry, full_name, subdir, repository, tag, self._keyring)
        except LostVerdictError as error:
            return Answer(reason=f"listed, but can't be read: {error}", is_lost=True)
        except OddVerdictError as error:
            return Answer(reason=str(error), is_odd=True)
        except ContentError as error:
            return Answer(reason=str(error))
        return Answer(held)

    def take(self, subdir: str, repository: str, tag: VerdictTag, answer: Answer) -> None:
        """Remember what was read."""
        self._last = self._listed = None
        if answer.held is not None and not answer.held.verdict.passed:
            self._rejected.append(answer.held)
        if not answer.is_lost:
            found = answer.held or answer.reason
            until = self._now + _ODD_FOR if answer.is_odd else None
            self._remembered.put(subdir, repository, tag, found, until)

    def newly_rejected(self) -> list[Held]:
        """Every no that was read since this was asked last."""
        rejected, self._rejected = self._rejected, []
        return rejected

    def has_changed(self, subdir: str, repository: str) -> bool:
        """Whether a repository has to be judged anew, though its verdicts are those known."""
        return self.ground(subdir, repository) != self._remembered.ground(subdir, repository)

    def judge(self, subdir: str, repository: str) -> Judged:
        """What a repository is judged by, once all its verdicts are read."""
        key = (subdir, repository)
        if self._last is None or self._last[0] != key:
            self._last = (key, Judged(self._verdicts(*key), self.ground(*key)))
        return self._last[1]

    def doubtful(self, subdir: str, repository: str, ground: str) -> set[str]:
        """The tags that must be looked at again, as they may be judged otherwise than before.

        ``ground`` is what the repository is judged on now.
        """
        if ground == self._remembered.ground(subdir, repository):
            return set()
        verdicts = self._verdicts(subdir, repository)
        doubtful, indexed = set(), set()
        for tag, claim in self._remembered.claims(subdir, repository):
            indexed.add((claim.file_name, claim.archive))
            if not verdicts.judge(claim).passed:
                doubtful.add(tag)
        # An archive beside one that is indexed: it waited, or it was let in and is told of.
        for item in verdicts.held:
            verdict = item.verdict
            if (verdict.file_name, verdict.archive) not in indexed:
                doubtful.add(place_of(subdir, verdict.file_name).tag)
        return doubtful

    def lets_stay(self, subdir: str, repository: str, record: Record) -> bool:
        """Whether a published record may stay, though its tag leads to other bytes by now.

        What it was made of must be known, and judged as if it were read now.
        """
        verdicts = self.judge(subdir, repository).verdicts or Verdicts()
        claims = self._remembered.claims_of(subdir, repository, record)
        return any(verdicts.judge(claim).passed for claim in claims)

    def is_rejected(self, subdir: str, repository: str, record: Record) -> bool:
        """Whether the validator takes a published record back, by a word that is new since then."""
        verdicts = self.judge(subdir, repository).verdicts or Verdicts()
        no = verdicts.rejection(record.file_name, Digest(record.sha256))
        return no is not None and _key(no) not in self._published

    def settle(self, subdir: str, repository: str, ground: str) -> None:
        """All that was in doubt has been looked at."""
        self._remembered.note_ground(subdir, repository, ground)

    def _verdicts(self, subdir: str, repository: str) -> Verdicts:
        rejections = self._rejections.get((subdir, repository), [])
        return Verdicts([*self._remembered.held(subdir, repository), *rejections], self._now)

    def _known(self, subdir: str, repository: str) -> list[Known]:
        """What is remembered of a repository's tags; listing and judging it ask one after other."""
        key = (subdir, repository)
        if self._listed is None or self._listed[0] != key:
            self._listed = (key, self._remembered.known(subdir, repository, self._now))
        return self._listed[1]

    def ground(self, subdir: str, repository: str) -> str:
        """What a repository is judged on now, as one hash."""
        hasher = hashlib.sha256(self._keyring.fingerprint.encode())
        for known in self._known(subdir, repository):
            hasher.update(f"{known.tag} {known.result} {known.later}\n".encode())
        for item in self._rejections.get((subdir, repository), []):
            verdict = item.verdict
            text = f"{verdict.file_name} {verdict.archive} {verdict.time.isoformat()}\n"
            hasher.update(text.encode())
        return hasher.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Words:
    """What a validator says of a published record, by its repository; by default, nothing.

    ``is_rejected``: it is taken back. ``stands``: it may be kept, though there is a new one.
    """

    is_rejected: Callable[[str, Record], bool] = lambda *_: False
    stands: Callable[[str, Record], bool] = lambda *_: True

    @classmethod
    def of(cls, trust: Trust | None, subdir: str) -> Words:
        """Those on a subdir's records, where the policy asks for verdicts."""
        if trust is None:
            return NO_WORDS
        return cls(partial(trust.is_rejected, subdir), partial(trust.lets_stay, subdir))


NO_WORDS = Words()


def _key(rejection: Held) -> tuple[str, str, Digest, datetime]:
    verdict = rejection.verdict
    return verdict.subdir, verdict.file_name, verdict.archive, verdict.time
