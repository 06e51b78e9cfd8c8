"""Serves a source over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import Receive, Scope, Send

from indexer.errors import ConfigError
from indexer.gateway.app import Gateway, not_yet
from indexer.gateway.connection import connection_class
from indexer.gateway.files import fit_to_files
from indexer.gateway.found import Source
from indexer.gateway.keeper import Keeper
from indexer.gateway.options import Options
from indexer.gateway.telemetry import AccessLog, Metrics, Observed
from indexer.registry.reach import Reach

_PROMETHEUS = "text/plain; version=0.0.4"
_BACKLOG = 2048
# For looks into the index and reads of files.
_THREADS = 32
# In seconds; longer than what clients and proxies wait between two packages.
_KEEP_ALIVE = 30


def serve(
    source: Source,
    options: Options,
    named: Callable[[], list[str]],
    tell: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way have time to end.

    ``named`` are the servers that the operator has named, known once the source is read; ``tell``
    is given lines for a person. Raises ConfigError where the source is none, or the address can't
    be had.
    """
    options = fit_to_files(options, tell)
    with contextlib.closing(source), _bound(options) as listening:
        keeper = Keeper(source, Metrics(), options.refresh, tell)
        host, port = listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

        def stop() -> None:
            server.should_exit = True

        def is_up() -> None:
            tell(f"Serving {source.name} on {address}")

        server = server_for(application(keeper, options, named, is_up, stop), options)
        # uvicorn ends well, and then raises the signal once more.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    if keeper.fatal is not None:
        raise keeper.fatal


def server_for(app: Observed, options: Options) -> uvicorn.Server:
    """The server for an application."""
    config = uvicorn.Config(
        app,
        http=connection_class(options),
        loop="uvloop",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(options.grace),
        proxy_headers=bool(options.forwarded_by),
        forwarded_allow_ips=list(options.forwarded_by),
    )
    return uvicorn.Server(config)


def application(
    keeper: Keeper,
    options: Options,
    named: Callable[[], list[str]],
    is_up: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
    out: IO[bytes] | None = None,
) -> Observed:
    """The ASGI application for what a keeper keeps.

    ``is_up`` is called once the source was looked at, ``stop`` where that can't come to anything;
    ``out`` is for the access log.
    """
    metrics = keeper.metrics
    log = AccessLog(metrics, out) if options.access_log else None

    async def begin(app: Starlette) -> None:
        await keeper.begun()
        if keeper.fatal is not None:
            stop()
            return
        reach = Reach.of([*options.allowed, *named()])
        app.state.gateway = Gateway(keeper, reach, options, metrics)
        is_up()
        await keeper.run()

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        keeping = asyncio.create_task(begin(app))
        try:
            yield
        finally:
            keeping.cancel()
            # A look that is under way ends with it; nobody waits for a host that doesn't answer.
            await asyncio.to_thread(keeper.source.close)
            await asyncio.gather(keeping, return_exceptions=True)
            if app.state.gateway is not None:
                await app.state.gateway.close()
            if log is not None:
                await asyncio.to_thread(log.close)

    app = Starlette(routes=[Mount("/-", app=_own_routes(keeper))], lifespan=life)
    app.state.gateway = None

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette's layers take a third of the time of a redirect, and have nothing to do for it.
        is_file = scope["type"] == "http" and not scope["path"].startswith("/-/")
        gateway: Gateway | None = app.state.gateway
        if not is_file:
            await app(scope, receive, send)
        elif gateway is not None:
            await gateway(scope, receive, send)
        else:
            await not_yet(scope, send)

    return Observed(either, metrics, log)


def _own_routes(keeper: Keeper) -> Router:
    """What the gateway says of itself."""

    async def healthy(request: Request) -> Response:
        return _own(request, "ok\n")

    async def ready(request: Request) -> Response:
        if keeper.is_ready:
            return _own(request, "ready\n")
        return _own(request, f"not ready: {keeper.problem}\n", 503)

    async def numbers(request: Request) -> Response:
        return _own(request, keeper.metrics.text().decode(), media_type=_PROMETHEUS)

    # It would send whoever adds a slash to the Host that he has named himself.
    return Router(
        [Route("/healthy", healthy), Route("/ready", ready), Route("/metrics", numbers)],
        redirect_slashes=False,
    )


def _own(
    request: Request, text: str, status: int = 200, media_type: str = "text/plain"
) -> Response:
    request.scope["note"].way = "own"
    return Response(text, status, {"Cache-Control": "no-store"}, media_type)


@contextlib.contextmanager
def _bound(options: Options) -> Iterator[socket.socket]:
    """A socket on the address to be served. Raises ConfigError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigError(f"{options.host}:{options.port} can't be served on: {error}.") from error
    with listening:
        yield listening
