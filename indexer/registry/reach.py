"""Which servers may be asked at all, where somebody else than the operator names them.

A registry says where its tokens and its blobs are. A service that follows it anywhere could be
led to what only the machine it runs on can reach: a database, a cloud's metadata address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from indexer.errors import ConfigError, RefusedError, UnansweredError


@dataclass(frozen=True, slots=True)
class Reach:
    """Servers that the operator has named, by host and port (None: any), and public addresses."""

    servers: frozenset[tuple[str, int | None]]

    @classmethod
    def of(cls, servers: Iterable[str]) -> Reach:
        """Of ``host``, ``host:port``, ``[address]:port`` and addresses. Raises ConfigError."""
        return cls(frozenset(_server(text) for text in servers))

    def knows(self, host: str, port: int | None) -> bool:
        """Whether the operator has named the server, so that any address of it is right."""
        host = host.lower().strip("[]").rstrip(".")
        return (host, port) in self.servers or (host, None) in self.servers

    def check(self, host: str, port: int | None, address: str) -> None:
        """Raise RefusedError where this address of a server isn't to be asked."""
        if self.knows(host, port) or is_public(address):
            return
        raise RefusedError(
            f"{host} is at {address}, which is no public address: not followed. Where it is right, "
            f"allow it by --allow-host {host}."
        )

    def check_name(self, host: str, port: int | None) -> None:
        """The same for all addresses that a host's name leads to.

        Raises RegistryError where these can't be had just now.
        """
        if self.knows(host, port):
            return
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise RefusedError(f"{host!r} can be no host's name.") from error
        except OSError as error:
            raise UnansweredError(f"{host} can't be looked up, so it isn't followed.") from error
        if not found:
            raise RefusedError(f"{host} has no address, so it isn't followed.")
        for *_, where in found:
            self.check(host, port, str(where[0]))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        # What these lead to is an IPv4 address, inside or outside.
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if parsed.teredo is not None or any(parsed in network for network in _LOCAL):
            return False
    return parsed.is_global and not parsed.is_multicast


# With its port. Anything else in an address belongs to no host.
_HOST = re.compile(r"[^\s/?#@\\]+")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Addresses that hold an IPv4 address in the old way, and NAT64 of a network's own (RFC 8215):
# Python takes both for public.
_LOCAL = (ipaddress.ip_network("::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def _server(text: str) -> tuple[str, int | None]:
    if text.count(":") > 1 and not text.startswith("["):
        return text.lower(), None
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not _HOST.fullmatch(text):
        raise ConfigError(f"{text[:200]!r} is no host: write HOST or HOST:PORT.")
    return host.lower().rstrip("."), port
