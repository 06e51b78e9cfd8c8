"""A registry over HTTP, by the OCI distribution specification 1.1."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, NoReturn, cast
from urllib.parse import quote

from indexer.errors import (
    ConflictError,
    ContentError,
    DeniedError,
    LoginError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnsupportedError,
)
from indexer.registry.address import RegistryAddress, is_repository, is_tag
from indexer.registry.answers import detail, strings
from indexer.registry.auth import HOW_TO_LOG_IN, Authorizer
from indexer.registry.base import How, Replaced, Requests
from indexer.registry.content import (
    MANIFEST_TYPES,
    MAX_MANIFEST,
    Content,
    Descriptor,
    Digest,
    RawManifest,
    is_digest,
)
from indexer.registry.exchange import Answer
from indexer.registry.links import next_page, upload_target
from indexer.registry.transport import PassingError, Transport
from indexer.registry.urls import origin_of

# One page: distribution refuses more than 1,000 names; tags are taken as they come.
_PAGE = 1000
_MAX_PAGE = 64 * 1024 * 1024
_MAX_PAGES = 100_000
_MAX_ERROR = 64 * 1024
# A large blob may take longer than the retry time, and deserves more than one try.
_TRIES = 5
# docker-registry looks at the blobs that a manifest names, and finds one's link empty while
# somebody else links the same blob: seen twice in 2,000 manifests, as 400 DIGEST_INVALID.
_LOOKS = 3


class RemoteRegistry:
    """A registry behind ``oci://`` or ``oci+http://``, used by many threads at once."""

    def __init__(
        self,
        address: RegistryAddress,
        transport: Transport,
        *,
        basic: str | None = None,
        writing: bool = False,
    ) -> None:
        self._rights = "pull,push" if writing else "pull"
        self._is_known = basic is not None
        # The password was right for something: what it doesn't open is a matter of rights.
        self._is_let_in = False
        self.address = address
        self._origin = origin_of(address.origin)
        self.requests = Requests()
        self._transport = transport
        self._auth = Authorizer(transport, host=address.host, basic=basic, requests=self.requests)

    @property
    def needs_login(self) -> bool:
        """Whether it has asked who we are, and nobody can say."""
        return self._auth.has_asked and not self._is_known

    def repositories(self) -> Iterator[str]:
        """Every repository of the registry, by ``/v2/_catalog``."""
        url = f"{self.address.origin}/v2/_catalog?n={_PAGE}"
        try:
            for page in self._pages("catalog", url, "registry:catalog:*"):
                yield from strings(page, "repositories", url)
        except (NotFoundError, DeniedError, RefusedError) as error:
            raise UnsupportedError(
                f"{self.address.origin} lists no repositories: {error}"
            ) from error

    def tags(self, repository: str) -> list[str]:
        """Every tag, by ``/v2/<name>/tags/list`` and the pages its Link leads to."""
        tags: list[str] = []
        url = self._url(repository, "tags/list")
        for page in self._pages("tags", url, self._scope(repository)):
            tags += strings(page, "tags", url)
        return list(dict.fromkeys(tags))

    def manifest(self, repository: str, reference: str) -> RawManifest:
        """A manifest by tag or digest; asked for once more where its bytes have another digest."""
        try:
            return self._manifest(repository, reference)
        except ContentError:
            return self._manifest(repository, reference)

    def manifest_unless(
        self,
        repository: str,
        reference: str,
        known: Digest | None,
        *,
        limit: int = MAX_MANIFEST,
    ) -> RawManifest | None:
        """A manifest, asked for with If-None-Match; not every registry takes notice of that."""
        try:
            raw = self._changed_manifest(repository, reference, known, limit)
        except ContentError:
            raw = self._changed_manifest(repository, reference, known, limit)
        return None if raw is not None and raw.digest == known else raw

    def blob(self, repository: str, descriptor: Descriptor) -> bytes:
        """A whole blob; asked for once more where its bytes aren't what the descriptor says."""
        try:
            return self._blob(repository, descriptor)
        except ContentError:
            return self._blob(repository, descriptor)

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether HEAD finds the blob."""
        url = self._url(repository, f"blobs/{digest}")
        answer = self._ask("HEAD", "blob checks", url, self._scope(repository), {}, _MAX_ERROR)
        if answer.status == 404:
            return False
        self._expect_ok(answer)
        return True

    def download(self, repository: str, descriptor: Descriptor, file: IO[bytes]) -> None:
        """A blob into a file; what the file holds already isn't asked for again."""
        for turn in range(2):
            try:
                self._download(repository, descriptor, file)
            except ContentError:
                file.truncate(0)
                if turn:
                    raise
            else:
                return

    def put_blob(self, repository: str, content: Content, mount_from: str | None = None) -> How:
        """Ask for it by HEAD; mount it; or send it by POST and PUT."""
        url = self._url(repository, f"blobs/{content.digest}")
        return self._transport.retry(
            "PUT", url, lambda: self._put_blob(repository, content, mount_from), tries=_TRIES
        )

    def put_manifest(
        self,
        repository: str,
        reference: str,
        body: bytes,
        media_type: str,
        *,
        replaces: Replaced = "anything",
    ) -> Digest:
        """Put it, after looking at what the tag leads to."""
        if not is_tag(reference) and not is_digest(reference):
            raise ContentError(f"{reference[:200]!r} can't be a tag or a digest")
        content = Content.of_bytes(body)
        if replaces != "anything":
            self._expect(repository, reference, {replaces, content.digest})
        url = self._url(repository, f"manifests/{reference}")
        headers = {"Content-Type": media_type}
        scope = self._scope(repository)
        for _ in range(_LOOKS):
            answer = self._ask(
                "PUT", "pushed manifests", url, scope, headers, _MAX_ERROR, body=content
            )
            if answer.status != 400:
                break
        if answer.status not in {200, 201, 202}:
            self._refuse(answer)
        return content.digest

    def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Delete it by its digest."""
        url = self._url(repository, f"manifests/{digest}")
        scope = _scope(repository, "pull,delete")
        answer = self._ask("DELETE", "deletions", url, scope, {}, _MAX_ERROR)
        if answer.status in {400, 405, 501}:
            raise UnsupportedError(f"{url} can't be deleted there (answered {answer.status}).")
        if answer.status not in {200, 202, 204, 404, 410}:
            self._refuse(answer)

    def _scope(self, repository: str) -> str:
        return _scope(repository, self._rights)

    def _expect(self, repository: str, reference: str, allowed: set[Digest | None]) -> None:
        try:
            found = self._manifest(repository, reference).digest
        except NotFoundError:
            found = None
        if found not in allowed:
            raise ConflictError(
                f"{repository}:{reference} leads to {found or 'nothing'} by now; "
                "somebody else has written it meanwhile."
            )

    def _download(self, repository: str, descriptor: Descriptor, file: IO[bytes]) -> None:
        if file.seek(0, 2) > descriptor.size:
            file.truncate(0)
        if file.seek(0, 2) < descriptor.size:
            url = self._url(repository, f"blobs/{descriptor.digest}")
            scope, size = self._scope(repository), descriptor.size
            # Each try with a token of its own: a large blob outlives several.
            answer = self._transport.retry(
                "GET",
                url,
                lambda: self._ask("GET", "blobs", url, scope, {}, size, sink=file, once=True),
            )
            if answer.status != 206:
                self._expect_ok(answer)
        if file.seek(0, 2) != descriptor.size or not _has_digest(file, descriptor.digest):
            raise ContentError(f"the bytes of blob {descriptor.digest} don't have its digest")

    def _put_blob(self, repository: str, content: Content, mount_from: str | None) -> How:
        # Asked at each try: the answer to a PUT may have been lost, and not the bytes.
        if self.has_blob(repository, content.digest):
            return "there"
        scope = self._scope(repository)
        started = self._begin(repository, content.digest, mount_from)
        if started.status == 201:
            return "mounted"
        target = _with_query(
            upload_target(started, self.address.origin), f"digest={quote(str(content.digest))}"
        )
        headers = {"Content-Type": "application/octet-stream"}
        answer = self._ask(
            "PUT", "uploads", target, scope, headers, _MAX_ERROR, body=content, once=True
        )
        if answer.status in {404, 416}:
            # Another server of the same registry, which doesn't know of the POST; or one that
            # kept a part of an upload that broke off.
            raise PassingError(f"answered {answer.status} to an upload")
        if answer.status == 400 and self.has_blob(repository, content.digest):
            # docker-registry says DIGEST_INVALID to one of two who bring a blob at once.
            return "there"
        if answer.status not in {200, 201, 204}:
            self._refuse(answer)
        return "sent"

    def _begin(self, repository: str, digest: Digest, source: str | None) -> Answer:
        """Begin an upload (202), or have the blob mounted from another repository (201)."""
        url, scope = self._url(repository, "blobs/uploads/"), self._scope(repository)
        if source is not None:
            query = f"mount={quote(str(digest))}&from={quote(source, safe='')}"
            both = f"{scope} {_scope(source, 'pull')}"
            with suppress(DeniedError):
                answer = self._ask(
                    "POST", "mounts", _with_query(url, query), both, {}, _MAX_ERROR, once=True
                )
                # A registry that doesn't want to begins an upload instead.
                if answer.status in {201, 202}:
                    return answer
        answer = self._ask("POST", "uploads", url, scope, {}, _MAX_ERROR, once=True)
        if answer.status != 202:
            self._refuse(answer)
        return answer

    def _manifest(self, repository: str, reference: str) -> RawManifest:
        raw = self._changed_manifest(repository, reference, None, MAX_MANIFEST)
        return cast("RawManifest", raw)

    def _changed_manifest(
        self, repository: str, reference: str, known: Digest | None, limit: int
    ) -> RawManifest | None:
        """A manifest; None where the registry says that it is the known one."""
        if not is_tag(reference) and not is_digest(reference):
            raise NotFoundError(f"{reference[:200]!r} can't be a tag or a digest.")
        url = self._url(repository, f"manifests/{reference}")
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        if known is not None:
            headers["If-None-Match"] = f'"{known}"'
        answer = self._ask("GET", "manifests", url, self._scope(repository), headers, limit)
        if answer.status == 304 and known is not None:
            return None
        self._expect_ok(answer)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        raw = RawManifest(answer.body, media_type)
        said = [answer.headers.get("Docker-Content-Digest")]
        if reference.startswith("sha256:"):
            said.append(reference)
        for digest in said:
            if digest is not None and digest.startswith("sha256:") and digest != str(raw.digest):
                raise ContentError(f"the manifest's bytes have digest {raw.digest}, not {digest}")
        return raw

    def _blob(self, repository: str, descriptor: Descriptor) -> bytes:
        url = self._url(repository, f"blobs/{descriptor.digest}")
        answer = self._ask("GET", "blobs", url, self._scope(repository), {}, descriptor.size)
        self._expect_ok(answer)
        if len(answer.body) != descriptor.size or Digest.of(answer.body) != descriptor.digest:
            raise ContentError(f"the bytes of blob {descriptor.digest} don't have its digest")
        return answer.body

    def _url(self, repository: str, rest: str) -> str:
        if not is_repository(repository):
            raise NotFoundError(f"{repository!r} can't be a repository's name.")
        return f"{self.address.origin}/v2/{repository}/{rest}"

    def _pages(self, kind: str, url: str, scope: str) -> Iterator[bytes]:
        """The bodies of a paged listing; a page lost half way raises: it is never an end."""
        seen: set[str] = set()
        next_url: str | None = url
        while next_url is not None:
            if next_url in seen or len(seen) >= _MAX_PAGES:
                raise RegistryError(
                    f"The pages of {url} don't end; the listing is not to be trusted."
                )
            seen.add(next_url)
            try:
                answer = self._ask("GET", kind, next_url, scope, {}, _MAX_PAGE)
                self._expect_ok(answer)
            except ContentError as error:
                raise RegistryError(f"{error}: too much for one page of a listing.") from error
            except (NotFoundError, DeniedError, RefusedError) as error:
                if next_url == url:
                    raise
                # Not "absent", which may be passed over: the listing broke off.
                raise RegistryError(f"The listing broke off: {error}") from error
            yield answer.body
            next_url = next_page(answer, next_url)

    def _ask(
        self,
        method: str,
        kind: str,
        url: str,
        scope: str,
        headers: dict[str, str],
        limit: int,
        *,
        sink: IO[bytes] | None = None,
        body: Content | None = None,
        once: bool = False,
    ) -> Answer:
        for _ in range(2):
            # Whoever a redirect or an upload's Location leads to has no claim to our credentials.
            is_ours = origin_of(url) == self._origin
            authorization = self._auth.header(scope) if is_ours else None
            extra = {"Authorization": authorization} if authorization else {}
            self.requests.add(kind)
            extra |= headers
            if once:
                answer = self._transport.once(
                    method, url, headers=extra, limit=limit, sink=sink, body=body
                )
            else:
                answer = self._transport.request(
                    method, url, headers=extra, limit=limit, sink=sink, body=body
                )
            self._is_let_in |= authorization is not None and answer.status != 401
            if answer.status != 401 or not is_ours or origin_of(answer.url) != self._origin:
                break
            if not self._auth.answer(answer, scope, sent=authorization):
                break
        return answer

    def _expect_ok(self, answer: Answer) -> None:
        if answer.status != 200:
            self._refuse(answer)

    def _refuse(self, answer: Answer) -> NoReturn:
        text = f"{answer.url.partition('?')[0]} answered {answer.status}"
        if said := detail(answer.body):
            text += f" ({said})"
        if answer.status == 404:
            raise NotFoundError(f"{text}.")
        if answer.status in {401, 403}:
            host = self.address.host
            is_wrong = answer.status == 401 and self._auth.is_basic and not self._is_let_in
            if self._is_known and is_wrong:
                raise LoginError(f"{text}; the credentials for {host} are wrong.")
            if self._is_known:
                raise DeniedError(f"{text}; check the credentials for {host}.")
            kind = LoginError if "push" in self._rights else DeniedError
            raise kind(f"{text}; no credentials are known for {host}. {HOW_TO_LOG_IN}")
        raise RefusedError(f"{text}.")


def _scope(repository: str, rights: str) -> str:
    return f"repository:{repository}:{rights}"


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _has_digest(file: IO[bytes], digest: Digest) -> bool:
    file.seek(0)
    hasher = hashlib.sha256()
    while chunk := file.read(1 << 20):
        hasher.update(chunk)
    return Digest(hasher.hexdigest()) == digest
