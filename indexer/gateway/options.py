"""What an operator says of the gateway, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

# By redirect or as a stream; auto: by redirect, wherever clients can follow one.
Packages = Literal["auto", "redirect", "stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times are in seconds.

    ``timeout`` is how long a client waits for what the registry has to say, ``refresh`` how often
    the source looks for something new, ``patience`` how long a client may take no byte, and
    ``head_timeout`` how long it may take from the connection, or from its request's first byte, to
    the end of the request's head. ``streams`` and ``connections`` are how many there may be at
    once. ``allowed`` are servers besides the registry that may be asked at addresses that aren't
    public, as HOST or HOST:PORT.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    packages: Packages = "auto"
    timeout: float = 10.0
    refresh: float = 60.0
    patience: float = 30.0
    head_timeout: float = 10.0
    streams: int = 64
    connections: int = 1024
    allowed: tuple[str, ...] = ()
    access_log: bool = True
    # Proxies whose word counts on who a client is.
    forwarded_by: tuple[str, ...] = ()
    # In GB: what the folders of artifacts may take on the disk, unpacked.
    unpacked: float = 8.0
    # Of requests that are under way when it is told to stop.
    grace: float = 30.0

    def with_refresh(self, seconds: float) -> Options:
        """The same, looking for something new as often as this."""
        return replace(self, refresh=seconds)
