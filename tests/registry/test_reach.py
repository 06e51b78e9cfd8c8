"""Which servers may be asked: those that are named, and the internet's."""

from __future__ import annotations

import socket

import pytest

from indexer.errors import ConfigError, RegistryError
from indexer.registry.reach import Reach, is_public

INSIDE = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",  # noqa: S104  leads to this machine
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    # An IPv4 address within.
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",
    # Spellings that some programs take for an address.
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "",
    "localhost",
]
OUTSIDE = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_none_of_the_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_outside_is_one(address: str) -> None:
    assert is_public(address)


def test_a_named_server_may_be_anywhere_by_its_port_alone() -> None:
    reach = Reach.of(["registry.local:5000"])

    reach.check("registry.local", 5000, "10.0.0.1")
    reach.check("Registry.Local.", 5000, "10.0.0.1")
    for host, port in (("registry.local", 6379), ("other.local", 5000), ("10.0.0.1", 5000)):
        with pytest.raises(RegistryError, match=f"--allow-host {host}"):
            reach.check(host, port, "10.0.0.1")


@pytest.mark.parametrize(
    ("named", "host", "port"),
    [
        ("store.local", "store.local", 9000),
        ("STORE.local", "store.local", 443),
        ("10.0.0.1", "10.0.0.1", 80),
        ("[::1]:9000", "::1", 9000),
        ("[::1]", "::1", 1),
        ("::1", "::1", 9000),
        ("fd00::1", "fd00::1", 9000),
    ],
)
def test_a_server_is_known_by_any_spelling_of_its_name(named: str, host: str, port: int) -> None:
    assert Reach.of([named]).knows(host, port)


@pytest.mark.parametrize(
    ("named", "host", "port"),
    [
        ("[::1]:9000", "::1", 9001),
        ("::1", "::2", 80),
        ("store.local", "xstore.local", 80),
        ("store.local", "store.local.evil.example", 80),
    ],
)
def test_another_server_is_not(named: str, host: str, port: int) -> None:
    assert not Reach.of([named]).knows(host, port)


@pytest.mark.parametrize(
    "text", ["", ":80", "a:b", "user@host", "host:99999", "[::1", "http://host", "host/path", "a b"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        Reach.of([text])


def _names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    found = [
        (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0))
        for one in addresses
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_one_address_inside_is_enough_to_refuse_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _names(monkeypatch, "8.8.8.8", "2606:4700:4700::1111", "10.0.0.1")

    with pytest.raises(RegistryError, match=r"10\.0\.0\.1"):
        Reach.of([]).check_name("store.example", 443)
    Reach.of(["store.example"]).check_name("store.example", 443)


def test_a_name_that_leads_outside_alone_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    _names(monkeypatch, "8.8.8.8", "2606:4700:4700::1111")

    Reach.of([]).check_name("store.example", 443)


def test_a_name_that_nobody_knows_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(RegistryError, match="looked up"):
        Reach.of([]).check_name("store.example", 443)


def test_a_name_that_leads_nowhere_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])

    with pytest.raises(RegistryError):
        Reach.of([]).check_name("store.example", 443)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b", "\udcff", "x" * 300, "a\0b"])
def test_a_name_that_cannot_be_one_is_refused(host: str) -> None:
    with pytest.raises(RegistryError):
        Reach.of([]).check_name(host, 443)
