"""What a fake registry keeps, and how it gives one piece of it out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from tests.support.faults import Answer, Request

JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Repository:
    """One repository: tags to digests, digests to manifests with their media types, blobs."""

    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


def manifest_answer(request: Request, repository: Repository) -> Answer:
    """A manifest by its tag or digest."""
    digest = repository.tags.get(request.reference, request.reference)
    stored = repository.manifests.get(digest)
    accepted = request.headers.get("accept", "").split(",")
    # Like distribution's registry: only the very media type will do, not a wildcard.
    if stored is None or stored[1] not in {one.partition(";")[0].strip() for one in accepted}:
        return error(404, "MANIFEST_UNKNOWN")
    return Answer(200, {"Content-Type": stored[1], **_digest_headers(digest)}, stored[0])


def blob_answer(request: Request, repository: Repository) -> Answer:
    """A blob, whole."""
    data = repository.blobs.get(request.reference)
    if data is None:
        return error(404, "BLOB_UNKNOWN")
    headers = {"Content-Type": "application/octet-stream", **_digest_headers(request.reference)}
    return Answer(200, headers, data)


def error(code: int, name: str) -> Answer:
    """A refusal in the words of the distribution specification."""
    body = {"errors": [{"code": name, "message": name.lower().replace("_", " ")}]}
    return Answer(code, JSON, json.dumps(body).encode())


def _digest_headers(digest: str) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
