"""``mark``: saying of builds in a registry that they are validated, or rejected."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from indexer.channel import manifest
from indexer.channel.policy import REJECTED, Policy
from indexer.errors import ConflictError, ContentError, NotFoundError
from indexer.registry.content import OCI_MANIFEST, Descriptor, Digest
from indexer.transfer.attest import Signatory, check_archive, index_json_of, time_of
from indexer.transfer.audit import AuditLog
from indexer.transfer.finding import Found, find
from indexer.transfer.job import Job
from indexer.transfer.outcome import Crew, Failure, Item, Outcome
from indexer.transfer.references import Reference
from indexer.transfer.standing import Inspector, Shelf
from indexer.trust.judging import Claim
from indexer.trust.storage import put_verdict
from indexer.trust.verdict import Verdict

Said = Literal["validated", "rejected"]
# Of one archive; two of one manifest may share a name, or have none.
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What is to be said, and how.

    ``reason`` is for people. Verdicts are signed by ``signatory``; without one there are none.
    With ``again``, one that says nothing new is signed all the same.
    """

    said: Said
    policy: Policy
    reason: str = ""
    signatory: Signatory | None = None
    again: bool = False

    @property
    def passed(self) -> bool:
        """Whether it is a yes."""
        return self.said == "validated"

    @property
    def annotates(self) -> bool:
        """Whether the manifest is to carry it."""
        return self.signatory is None or self.policy.name == "both"

    @property
    def annotations(self) -> dict[str, str | None]:
        """What the manifest's annotations are to be; None for one that it is not to have."""
        status = self.policy.value if self.passed else REJECTED
        return {self.policy.key: status, self.policy.reason_key: self.reason or None}


@dataclass(slots=True)
class _Doing:
    """What has become of one build so far: of its archives by key, and of its manifest."""

    found: Found
    verdicts: dict[_Key, str] = field(default_factory=dict)
    failed: set[_Key] = field(default_factory=set)
    new_digest: str = ""


class Mark:
    """Marks builds. The audit log is told of each write before it is done; None in a dry run.

    ``now`` gives the time of a verdict.
    """

    def __init__(
        self,
        job: Job,
        saying: Saying,
        audit: AuditLog | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._job = job
        self._saying = saying
        self._audit = audit
        self._now = now
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self.outcome = Outcome(dry_run=audit is None)

    def run(self, references: Sequence[Reference]) -> Outcome:
        """Mark these. What became of it stays in ``outcome``.

        Raises RegistryError where the registry doesn't answer, ConfigError where the audit log
        can't be written.
        """
        wanted = list(dict.fromkeys(references))
        # Two that mean the same build, by two names, wait for each other.
        self._locks = {(item.repository, item.tag): threading.Lock() for item in wanted}
        crew = Crew(self.outcome, self._job.jobs, self._job.abort)
        self._job.progress.begin("Marking", len(wanted))
        with tempfile.TemporaryDirectory(prefix="cf-index-") as scratch:
            for _, present in crew.each(
                wanted, lambda item: self._mark(item, Path(scratch)), lambda item: [str(item)]
            ):
                self.outcome.present += present
                self._job.progress.step()
        self._job.progress.end()
        return self.outcome

    def _mark(self, reference: Reference, scratch: Path) -> int:
        """Mark one build; gives of how many archives it was said already."""
        with self._locks[reference.repository, reference.tag]:
            found = find(self._job.registry, self._job.channel, reference, self._job.subdirs)
            self._check_digest(reference, found)
            if self._saying.passed:
                # What holds no archive can be rejected, but not validated.
                found.archives()
            doing = _Doing(found)
            try:
                if self._saying.signatory is not None:
                    self._attest(doing, self._saying.signatory, scratch)
                if self._saying.annotates:
                    self._annotate(doing)
            finally:
                # What was written is told of, however it went on.
                present = self._tell(doing)
        return present

    def _check_digest(self, reference: Reference, found: Found) -> None:
        """Raise ContentError where the tag doesn't lead to what was validated any more."""
        meant, there = reference.digest, found.raw.digest
        if meant is None or meant == there:
            return
        if self._saying.annotates and self._is_marked_already(found, meant):
            return
        raise ContentError(
            f"its tag leads to {there} by now, not to {meant}; look at what is there before you "
            "mark it"
        )

    def _is_marked_already(self, found: Found, meant: Digest) -> bool:
        """Whether the tag leads to exactly what marking ``meant`` makes of it: by a run before."""
        try:
            raw = self._job.registry.manifest(found.full_name, str(meant))
            return manifest.with_annotations(raw, self._saying.annotations) == found.raw.body
        except (NotFoundError, ContentError):
            return False

    def _attest(self, doing: _Doing, signatory: Signatory, scratch: Path) -> None:
        """Put a verdict on each archive; what is wrong with one costs that one alone."""
        found = doing.found
        try:
            archives = found.archives()
        except ContentError as error:
            if self._saying.passed or not self._saying.annotates:
                raise
            # Its annotation can still say no.
            self.outcome.note(f"{found} gets no verdict: {error}")
            return
        shelf = self._inspector(signatory).shelf(
            found.place.subdir, found.place.repository, {layer.digest for layer in archives}
        )
        for layer in archives:
            try:
                if self._saying.again or not self._is_said(shelf, found, layer):
                    verdict = self._verdict(shelf, found, layer, signatory, scratch)
                    doing.verdicts[_key(layer)] = self._put(found, verdict, signatory)
            except (ContentError, NotFoundError) as error:
                doing.failed.add(_key(layer))
                name = f"{found.place.subdir}/{layer.title or found.place.tag}"
                self.outcome.did((), [Failure(name, str(error))])

    def _inspector(self, signatory: Signatory) -> Inspector:
        """Who reads what this key has said before."""
        return Inspector(
            registry=self._job.registry,
            channel=self._job.channel,
            policy=self._saying.policy,
            keyring=signatory.keyring,
            now=self._now(),
        )

    def _is_said(self, shelf: Shelf, found: Found, layer: Descriptor) -> bool:
        """Whether this key's last word on an archive is what is to be said."""
        claim = Claim.of_layer(layer, index_json_of(found))
        if self._saying.passed:
            return shelf.verdicts(self._now()).judge(claim).passed
        # A yes that is dated in the future will count one day; then the no must be later.
        return shelf.verdicts(datetime.max.replace(tzinfo=UTC)).judge(claim).rejected

    def _verdict(
        self, shelf: Shelf, found: Found, layer: Descriptor, signatory: Signatory, scratch: Path
    ) -> Verdict:
        """What is to be signed. Raises ContentError where it would not be true."""
        passed = self._saying.passed
        time = time_of(self._now(), layer, shelf.held, passed=passed)
        md5 = None
        if passed:
            md5, remark = check_archive(self._job.registry, found, layer, scratch)
            if remark is not None:
                self.outcome.note(f"{found.place.subdir}/{layer.title}: {remark}")
        return Verdict(
            subdir=found.place.subdir,
            file_name=layer.title or "",
            archive=layer.digest,
            # A statement must name one. A "no" is about the archive whatever stands beside it,
            # and what has no index.json can be rejected, too: then it is that of no bytes.
            index_json=index_json_of(found) or Digest.of(b""),
            passed=passed,
            time=time,
            verifier=signatory.verifier,
            policy=signatory.policy,
            reason=self._saying.reason,
            md5=md5,
            size=layer.size if passed else None,
        )

    def _put(self, found: Found, verdict: Verdict, signatory: Signatory) -> str:
        """Sign and store a verdict; gives its tag, in a dry run nothing."""
        tag, envelope = signatory.signed(verdict, found.place.repository)
        if self._audit is None:
            return ""
        details = self._details(found, verdict.file_name, verdict.archive.hex)
        details |= {"key": signatory.key_id, "verdict": str(tag)}
        with self._audit.doing("marked", **details):
            put_verdict(self._job.registry, found.full_name, tag, envelope, found.raw)
        return str(tag)

    def _annotate(self, doing: _Doing) -> None:
        """Put the manifest again with the annotation, unless it has it. Raises ConflictError."""
        found = doing.found
        body = manifest.with_annotations(found.raw, self._saying.annotations)
        if self._saying.passed and doing.failed:
            self.outcome.note(f"{found} gets no annotation, as not all of it is validated")
            return
        layers = manifest.archives(found.raw)
        others = sorted({layer.title or "" for layer in layers} - {found.file_name})
        if found.file_name and others:
            self.outcome.note(
                f"{found}: the annotation is about all that its manifest holds, "
                f"{', '.join(others)} too"
            )
        if body == found.raw.body:
            return
        if self._audit is not None:
            details = self._details(
                found,
                ", ".join(layer.title or "" for layer in layers),
                ", ".join(layer.digest.hex for layer in layers),
            )
            details["becomes"] = str(Digest.of(body))
            with self._audit.doing("marked", **details):
                self._put_manifest(found, body)
        doing.new_digest = str(Digest.of(body))

    def _put_manifest(self, found: Found, body: bytes) -> None:
        registry, tag = self._job.registry, found.place.tag
        media_type = found.raw.media_type or OCI_MANIFEST
        digest = registry.put_manifest(
            found.full_name, tag, body, media_type, replaces=found.raw.digest
        )
        if registry.address.scheme == "ocidir":
            return
        # By HTTP, whoever writes the same tag in the same moment overwrites it.
        there = registry.manifest(found.full_name, tag).digest
        if there != digest:
            raise ConflictError(
                f"its tag leads to {there} by now, not to {digest}, which was written there: "
                "somebody else has written it meanwhile."
            )

    def _details(self, found: Found, file_name: str, sha256: str) -> dict[str, str]:
        return {
            "as": self._saying.said,
            "registry": str(self._job.registry.address),
            "channel": self._job.channel,
            "subdir": found.place.subdir,
            "repository": found.place.repository,
            "tag": found.place.tag,
            "digest": str(found.raw.digest),
            "file_name": file_name,
            "sha256": sha256,
            "reason": self._saying.reason,
        }

    def _tell(self, doing: _Doing) -> int:
        """Count what was done; gives the number of archives of which nothing was to be said."""
        found, present = doing.found, 0
        reference = self._job.registry.address.reference(found.full_name, found.place.tag)
        detail = f"manifest {found.raw.digest}"
        if doing.new_digest:
            detail += f", with its annotation {doing.new_digest}"
        for name, sha256, size in _meant(found):
            verdict = doing.verdicts.get((name, sha256))
            if verdict is None and not doing.new_digest:
                present += (name, sha256) not in doing.failed
                continue
            text = f"{detail}, verdict {verdict}" if verdict else detail
            item = Item(
                found.place.subdir,
                name or f"{found.place.repository}:{found.place.tag}",
                sha256,
                size,
                reference,
                doing.new_digest or str(found.raw.digest),
                sent=0,
                detail=text,
            )
            self.outcome.did([item])
        return present


def _key(layer: Descriptor) -> _Key:
    return layer.title or "", layer.digest.hex


def _meant(found: Found) -> list[tuple[str, str, int]]:
    """Name, sha256 and size of the archives; of a manifest that holds none, of nothing."""
    try:
        return [(*_key(layer), layer.size) for layer in found.archives()]
    except ContentError:
        return [("", "", 0)]
