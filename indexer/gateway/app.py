"""The ASGI application: each path is asked of the source, and answered as what it is."""

from __future__ import annotations

import asyncio
import errno
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from starlette.types import Receive, Scope, Send

from indexer.errors import (
    CfIndexError,
    ContentError,
    NotFoundError,
    UnansweredError,
)
from indexer.gateway import answers
from indexer.gateway.found import RETRY_AFTER, Blob, Elsewhere, Found, LocalFile, UnavailableError
from indexer.gateway.keeper import Keeper
from indexer.gateway.options import Options
from indexer.gateway.streams import Streams
from indexer.gateway.telemetry import Metrics, Note
from indexer.gateway.upstream import Upstream, Web
from indexer.gateway.ways import Ways
from indexer.registry.address import RegistryAddress
from indexer.registry.credentials import find_basic
from indexer.registry.layout import LayoutRegistry
from indexer.registry.reach import Reach

_ALLOW = [(b"allow", b"GET, HEAD")]
_MAX_KNOWN = 50_000
_MAX_PATH = 2048
_KNOWN_FOR = 60.0
# Of the machine, for a moment: files, memory, processes.
_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN}
_FINDING = 32


class Gateway:
    """Answers for what the source has. Made and closed within a running event loop."""

    def __init__(self, keeper: Keeper, reach: Reach, options: Options, metrics: Metrics) -> None:
        self._keeper = keeper
        self._options = options
        self._metrics = metrics
        self._web = Web(reach, timeout=options.timeout)
        self._streams = Streams(options.streams)
        self._ways: dict[RegistryAddress, Ways] = {}
        # A source may wait for what it has to fetch, which must not keep files from being read.
        self._finding = ThreadPoolExecutor(_FINDING, thread_name_prefix="finding")
        # Packages that were asked for, so that a redirect takes no look into the index.
        self._blobs: dict[str, Blob] = {}
        self._changes, self._since = 0, time.monotonic()
        metrics.watch("open_streams", "Blobs on their way.", lambda: len(self._streams))
        metrics.watch(
            "tokens", "Tokens asked for.", lambda: sum(ways.tokens for ways in self._ways.values())
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        note: Note = scope["note"]
        head = scope["method"] == "HEAD"
        try:
            note.way = await self._answer(scope, receive, send, head=head)
        except ConnectionError as error:
            # Nobody is there any more.
            note.way, note.problem = "error", str(error)
        except Exception as error:  # noqa: BLE001  whatever it is, the client has to be told
            note.way, note.problem = "error", str(error)
            if note.status:
                # Nothing can be taken back: left without its end, the connection is cut.
                return
            await _tell(send, error, head=head)
            if not isinstance(error, CfIndexError):
                self._metrics.faults.inc()
                note.problem = f"a fault of cf-index: {traceback.format_exc(limit=-3)}"

    async def close(self) -> None:
        """End what is under way."""
        for ways in self._ways.values():
            await ways.close()
        await self._web.close()
        self._finding.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, head: bool) -> str:
        if scope["method"] not in {"GET", "HEAD"}:
            await answers.plain(send, 405, "files can be read here, no more", _ALLOW)
            return "error"
        if not self._keeper.is_ready:
            await not_yet(scope, send)
            return "error"
        path: str = scope["path"].removeprefix("/")
        found = await self._find(path)
        if isinstance(found, Blob):
            if found.registry.scheme != "ocidir":
                ways = await self._ways_of(found.registry)
                return await answers.blob(scope, receive, send, found, ways)
            found = _in_folder(found)
        if isinstance(found, LocalFile):
            try:
                await answers.local_file(scope, receive, send, found)
            except FileNotFoundError as error:
                raise NotFoundError(f"{found.path} has gone.") from error
            return "file"
        if isinstance(found, Elsewhere):
            await answers.elsewhere(send, found.url)
            return "elsewhere"
        await answers.plain(send, 404, "there is nothing of this name", head=head)
        return "error"

    async def _find(self, path: str) -> Found | None:
        now = time.monotonic()
        # A source may know for a time only what was there before.
        if self._changes != self._keeper.changes or now - self._since > _KNOWN_FOR:
            self._blobs.clear()
            self._changes, self._since = self._keeper.changes, now
        found: Found | None = self._blobs.get(path)
        if found is not None or len(path) > _MAX_PATH:
            return found
        changes = self._changes
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._finding, self._keeper.source.find, path)
        if isinstance(found, Blob) and changes == self._keeper.changes:
            if len(self._blobs) >= _MAX_KNOWN:
                self._blobs.clear()
            self._blobs[path] = found
        return found

    async def _ways_of(self, registry: RegistryAddress) -> Ways:
        ways = self._ways.get(registry)
        if ways is None:
            # A credential helper is a program, which takes its time.
            basic = await asyncio.to_thread(find_basic, registry.host)
            if (ways := self._ways.get(registry)) is not None:
                return ways
            timeout = self._options.timeout
            upstream = Upstream(registry, self._web, basic=basic, timeout=timeout)
            ways = Ways(
                upstream,
                self._web.reach,
                self._options.packages,
                self._streams,
                lambda outcome: self._metrics.asked.labels(outcome).inc(),
            )
            self._ways[registry] = ways
        return ways


async def not_yet(scope: Scope, send: Send) -> None:
    """What everybody is told before the source was read."""
    head = scope["method"] == "HEAD"
    await answers.later(send, "what is served hasn't been read yet", RETRY_AFTER, head=head)


async def _tell(send: Send, error: Exception, *, head: bool) -> None:
    """What a client is told of an error; the log has more."""
    if isinstance(error, UnavailableError):
        text = "it can't be had just now; the gateway's log says why"
        await answers.later(send, text, error.retry_after, head=head)
        return
    if isinstance(error, OSError) and error.errno in _SCARCE:
        await answers.later(send, "too much at once", RETRY_AFTER, head=head)
        return
    if isinstance(error, UnansweredError):
        text = "the registry doesn't answer; the gateway's log says why"
        await answers.later(send, text, RETRY_AFTER, head=head)
        return
    status, text = 500, "a fault of the gateway; its log says more"
    if isinstance(error, NotFoundError):
        status, text = 404, "it is named by what is served, and the registry doesn't have it"
    elif isinstance(error, ContentError):
        text = "what is served is damaged; the gateway's log says more"
    elif isinstance(error, CfIndexError):
        status, text = 502, "the registry refuses; the gateway's log says why"
    await answers.plain(send, status, text, head=head)


def _in_folder(blob: Blob) -> LocalFile:
    """A blob of an image layout. Raises NotFoundError, ContentError."""
    path = LayoutRegistry(blob.registry).blob_file(blob.repository, blob.digest)
    return LocalFile(
        path, blob.size, str(blob.digest), blob.media_type, blob.cache, sandbox=blob.sandbox
    )
