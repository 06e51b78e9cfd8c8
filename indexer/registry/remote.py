"""A registry over HTTP, by the OCI distribution specification 1.1."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from indexer.errors import (
    ContentError,
    DeniedError,
    NotFoundError,
    RegistryError,
    UnsupportedError,
)
from indexer.registry.address import RegistryAddress, is_repository, is_tag
from indexer.registry.auth import Authorizer
from indexer.registry.base import Requests
from indexer.registry.content import (
    MANIFEST_TYPES,
    MAX_MANIFEST,
    Descriptor,
    Digest,
    RawManifest,
    is_digest,
)
from indexer.registry.exchange import Answer
from indexer.registry.links import next_page
from indexer.registry.transport import Transport
from indexer.registry.urls import origin_of

# One page: distribution refuses more than 1,000 names; tags are taken as they come.
_PAGE = 1000
_MAX_PAGE = 64 * 1024 * 1024
_MAX_PAGES = 100_000
_MAX_ERROR = 64 * 1024


class RemoteRegistry:
    """A registry behind ``oci://`` or ``oci+http://``, read by many threads at once."""

    def __init__(
        self, address: RegistryAddress, transport: Transport, *, basic: str | None = None
    ) -> None:
        self.address = address
        self.requests = Requests()
        self._transport = transport
        self._auth = Authorizer(transport, host=address.host, basic=basic, requests=self.requests)

    def repositories(self) -> Iterator[str]:
        """Every repository of the registry, by ``/v2/_catalog``."""
        url = f"{self.address.origin}/v2/_catalog?n={_PAGE}"
        try:
            for page in self._pages("catalog", url, "registry:catalog:*"):
                yield from _strings(page, "repositories", url)
        except (NotFoundError, DeniedError, _RefusedError) as error:
            raise UnsupportedError(
                f"{self.address.origin} lists no repositories: {error}"
            ) from error

    def tags(self, repository: str) -> list[str]:
        """Every tag, by ``/v2/<name>/tags/list`` and the pages its Link leads to."""
        tags: list[str] = []
        url = self._url(repository, "tags/list")
        for page in self._pages("tags", url, _pull(repository)):
            tags += _strings(page, "tags", url)
        return list(dict.fromkeys(tags))

    def manifest(self, repository: str, reference: str) -> RawManifest:
        """A manifest by tag or digest; asked for once more where its bytes have another digest."""
        try:
            return self._manifest(repository, reference)
        except ContentError:
            return self._manifest(repository, reference)

    def blob(self, repository: str, descriptor: Descriptor) -> bytes:
        """A whole blob; asked for once more where its bytes aren't what the descriptor says."""
        try:
            return self._blob(repository, descriptor)
        except ContentError:
            return self._blob(repository, descriptor)

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether HEAD finds the blob."""
        url = self._url(repository, f"blobs/{digest}")
        answer = self._ask("HEAD", "blob checks", url, _pull(repository), {}, _MAX_ERROR)
        if answer.status == 404:
            return False
        self._expect_ok(answer)
        return True

    def _manifest(self, repository: str, reference: str) -> RawManifest:
        if not is_tag(reference) and not is_digest(reference):
            raise NotFoundError(f"{reference[:200]!r} can't be a tag or a digest.")
        url = self._url(repository, f"manifests/{reference}")
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        answer = self._ask("GET", "manifests", url, _pull(repository), accept, MAX_MANIFEST)
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
        answer = self._ask("GET", "blobs", url, _pull(repository), {}, descriptor.size)
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
            except (NotFoundError, DeniedError, _RefusedError) as error:
                if next_url == url:
                    raise
                # Not "absent", which may be passed over: the listing broke off.
                raise RegistryError(f"The listing broke off: {error}") from error
            yield answer.body
            next_url = next_page(answer, next_url)

    def _ask(
        self, method: str, kind: str, url: str, scope: str, headers: dict[str, str], limit: int
    ) -> Answer:
        for _ in range(2):
            authorization = self._auth.header(scope)
            extra = {"Authorization": authorization} if authorization else {}
            self.requests.add(kind)
            answer = self._transport.request(method, url, headers=headers | extra, limit=limit)
            if answer.status != 401 or origin_of(answer.url) != origin_of(url):
                # Whoever a redirect leads to has no claim to our credentials.
                break
            if not self._auth.answer(answer, scope, sent=authorization):
                break
        return answer

    def _expect_ok(self, answer: Answer) -> None:
        if answer.status == 200:
            return
        text = f"{answer.url.partition('?')[0]} answered {answer.status}"
        if detail := _detail(answer.body):
            text += f" ({detail})"
        if answer.status == 404:
            raise NotFoundError(f"{text}.")
        if answer.status in {401, 403}:
            raise DeniedError(f"{text}; check the credentials for {self.address.host}.")
        raise _RefusedError(f"{text}.")


class _RefusedError(RegistryError):
    """Any other answer that is none."""


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _strings(body: bytes, key: str, url: str) -> list[str]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RegistryError(f"{url} answered with something that is not JSON: {error}.") from error
    items = document.get(key, ()) if isinstance(document, dict) else ()
    items = [] if items is None else items
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise RegistryError(f"{url} answered with no list of {key}.")
    return items


def _detail(body: bytes) -> str:
    """The registry's own words (OCI distribution spec, "Error codes"), short and printable."""
    try:
        error = orjson.loads(body)["errors"][0]
        parts = (error["code"], error.get("message"))
        text = ": ".join(part for part in parts if isinstance(part, str))
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return "".join(char for char in text[:200] if char.isprintable())
