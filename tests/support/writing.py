"""How a fake registry takes things in: uploads, mounts, manifests and deletions.

An answer here only promises: what it says was stored is stored by its `effect`, so that a fault
which answers in its place keeps that from happening. Only upload sessions end at once.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

from demo.layers import digest_of
from tests.support.faults import Answer, Knobs, Request
from tests.support.repository import Repository, error

# Distribution finds no route for other names; a fake that took them would hide a bad spelling.
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms a write is taken on; `may_pull` tells from which repositories it may mount."""

    knobs: Knobs
    origin: str
    may_pull: Callable[[str], bool]


@dataclass(slots=True)
class Writing:
    """The writes to some repositories, with the uploads that were begun, by session."""

    repositories: dict[str, Repository]
    _sessions: dict[str, str] = field(default_factory=dict)

    def take(self, request: Request, terms: Terms) -> Answer:
        """Answer a write."""
        takers = {
            ("POST", "uploads"): self._begin,
            ("PUT", "uploads"): self._finish,
            ("PUT", "manifests"): self._put_manifest,
            ("DELETE", "manifests"): self._delete,
        }
        taker = takers.get((request.method, request.kind))
        if taker is None:
            return error(405, "UNSUPPORTED")
        if not _NAME.fullmatch(request.repository):
            return error(404, "NAME_INVALID")
        return taker(request, terms)

    def forget(self, request: Request) -> None:
        """End the upload session that a request was for, if there is one."""
        self._sessions.pop(request.reference, None)

    def _get(self, repository: str) -> Repository:
        return self.repositories.get(repository) or Repository()

    def _begin(self, request: Request, terms: Terms) -> Answer:
        name, source = request.repository, request.query.get("from", "")
        data = self._get(source).blobs.get(request.query.get("mount", ""))
        if data is not None and terms.knobs.mounts and terms.may_pull(source):
            return self._store_blob(name, data)
        session = str(uuid.uuid4())
        self._sessions[session] = name
        location = f"/v2/{name}/blobs/uploads/{session}"
        if terms.knobs.upload_location != "relative":
            location = terms.origin + location
        if terms.knobs.upload_location == "query":
            location += f"?_state={quote(_state_of(session), safe='')}"
        headers = {"Location": location, "Docker-Upload-UUID": session, "Range": "0-0"}
        return Answer(202, headers)

    def _finish(self, request: Request, terms: Terms) -> Answer:
        # However it ends: no client may rely on the state that a failed PUT left behind.
        if self._sessions.pop(request.reference, None) != request.repository:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        state = request.query.get("_state")
        if terms.knobs.upload_location == "query" and state != _state_of(request.reference):
            return error(404, "BLOB_UPLOAD_INVALID")
        if request.query.get("digest") != digest_of(request.body):
            return error(400, "DIGEST_INVALID")
        return self._store_blob(request.repository, request.body)

    def _store_blob(self, name: str, data: bytes) -> Answer:
        digest = digest_of(data)

        def effect() -> None:
            self.repositories.setdefault(name, Repository()).blobs[digest] = data

        return _created(f"/v2/{name}/blobs/{digest}", digest, effect)

    def _put_manifest(self, request: Request, terms: Terms) -> Answer:
        name, reference, body = request.repository, request.reference, request.body
        digest = digest_of(body)
        by_digest = _DIGEST.fullmatch(reference) is not None
        if by_digest and reference != digest:
            return error(400, "DIGEST_INVALID")
        if not by_digest and not _TAG.fullmatch(reference):
            return error(404, "TAG_INVALID")
        media_type = request.headers.get("content-type", "")
        try:
            missing = _missing(body, media_type, self._get(name))
        except (ValueError, TypeError, KeyError, AttributeError):
            return error(400, "MANIFEST_INVALID")
        if missing and terms.knobs.checks_manifests:
            return error(400, "MANIFEST_BLOB_UNKNOWN")

        def effect() -> None:
            repository = self.repositories.setdefault(name, Repository())
            repository.manifests[digest] = body, media_type
            if not by_digest:
                repository.tags[reference] = digest

        return _created(f"/v2/{name}/manifests/{digest}", digest, effect)

    def _delete(self, request: Request, terms: Terms) -> Answer:
        repository, digest = self._get(request.repository), request.reference
        if not terms.knobs.deletes:
            return error(405, "UNSUPPORTED")
        if not _DIGEST.fullmatch(digest):
            return error(400, "DIGEST_INVALID")
        if digest not in repository.manifests:
            return error(404, "MANIFEST_UNKNOWN")
        return Answer(202, effect=partial(_remove, repository, digest))


def _created(location: str, digest: str, effect: Callable[[], None]) -> Answer:
    headers = {"Location": location, "Docker-Content-Digest": digest}
    return Answer(201, headers, effect=effect)


def _missing(body: bytes, media_type: str, repository: Repository) -> set[str]:
    """What a manifest names and the repository hasn't."""
    manifest = json.loads(body)
    if not media_type or manifest.get("mediaType", media_type) != media_type:
        raise ValueError(f"the manifest isn't the {media_type!r} that it is sent as")
    config = [manifest["config"]] if "config" in manifest else []
    blobs = {one["digest"] for one in [*config, *manifest.get("layers", [])]}
    below = {one["digest"] for one in manifest.get("manifests", [])}
    return (blobs - repository.blobs.keys()) | (below - repository.manifests.keys())


def _remove(repository: Repository, digest: str) -> None:
    del repository.manifests[digest]
    for tag in [tag for tag, led_to in repository.tags.items() if led_to == digest]:
        del repository.tags[tag]


def _state_of(session: str) -> str:
    """What a "query" location carries: it survives only if it is encoded exactly once."""
    return f"{session}+/%3D&="
