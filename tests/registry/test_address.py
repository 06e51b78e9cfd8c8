"""Addresses: what a person may write, and what a wrong one must not do."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ConfigError
from indexer.registry.address import RegistryAddress, is_repository, is_tag
from tests.registry.help import STEADY


@pytest.mark.parametrize(
    ("text", "origin", "namespace"),
    [
        ("oci://ghcr.io/acme", "https://ghcr.io", "acme"),
        ("oci://ghcr.io/acme/", "https://ghcr.io", "acme"),
        ("oci://ghcr.io", "https://ghcr.io", ""),
        ("oci://GHCR.io/acme/forge", "https://ghcr.io", "acme/forge"),
        ("OCI://ghcr.io/acme", "https://ghcr.io", "acme"),
        ("oci://localhost/acme", "https://localhost", "acme"),
        ("oci://example.org:8443/acme", "https://example.org:8443", "acme"),
        ("oci+http://127.0.0.1:5000/acme", "http://127.0.0.1:5000", "acme"),
        ("oci+http://[::1]:5000/acme", "http://[::1]:5000", "acme"),
        ("oci://[2001:db8::A]/acme", "https://[2001:db8::a]", "acme"),
        ("oci://host/a__b/c-d.e_f", "https://host", "a__b/c-d.e_f"),
    ],
)
def test_every_form_of_an_http_registry_is_understood(
    text: str, origin: str, namespace: str
) -> None:
    address = RegistryAddress.parse(text)
    assert (address.origin, address.namespace, address.folder) == (origin, namespace, None)
    assert RegistryAddress.parse(str(address)) == address


@pytest.mark.parametrize("folder", ["/srv/mirror", "mirror", "../a b/%20?x#y", "C@d"])
def test_a_folder_is_taken_as_it_is_written(folder: str) -> None:
    address = RegistryAddress.parse(f"ocidir://{folder}")
    assert (address.scheme, address.host, address.folder) == ("ocidir", "", Path(folder))
    assert RegistryAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ghcr.io/acme",
        "https://ghcr.io/acme",
        "oci:/ghcr.io/acme",
        "oci://",
        "oci:///acme",
        "oci://:5000/acme",
        "oci://host:/acme",
        "oci://host:0x50/acme",
        "oci://host:05000/acme",
        "oci://host:65536/acme",
        "oci://host:-1/acme",
        "oci://[::1/acme",
        "oci://[::1]x/acme",
        "oci://::1/acme",
        "oci://ho st/acme",
        "oci://host_/acme",
        "oci://höst/acme",
        "oci://host/acme?x=1",
        "oci://host/acme#x",
        "ocidir://",
        "ocidir:mirror",
    ],
)
def test_what_is_no_address_is_refused_with_help(text: str) -> None:
    with pytest.raises(ConfigError, match="oci://host/namespace"):
        RegistryAddress.parse(text)


@pytest.mark.parametrize(
    "namespace",
    ["Acme", "a//b", "..", "a/../b", "-a", "a-", "a..b", "a___b", "%61", "a b", "é", "a" * 256],
)
def test_a_namespace_that_no_registry_can_hold_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError, match="can't be a namespace"):
        RegistryAddress.parse(f"oci://host/{namespace}")


@pytest.mark.parametrize(
    "text",
    [
        "oci://ann:hunter2@host/acme",
        "oci+http://hunter2@host:5000/acme",
        "oci://ann:hunter2@host:port/acme",
        "oci://ann:hunter2@[host/acme",
        "https://ann:hunter2@host/acme",
        "ann:hunter2@host/acme",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RegistryAddress.parse(text)
    assert "hunter2" not in str(caught.value)


def test_a_password_in_an_address_is_answered_with_where_it_belongs() -> None:
    with pytest.raises(ConfigError, match="ORAS_USER and ORAS_PASS"):
        RegistryAddress.parse("oci://ann:hunter2@host/acme")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("oci://ghcr.io/acme", "oci://ghcr.io/acme/forge/noarch/"),
        ("oci://ghcr.io:443/acme", "oci://ghcr.io/acme/forge/noarch/"),
        ("oci://ghcr.io", "oci://ghcr.io/forge/noarch/"),
        ("oci://[::1]/acme", "oci://[::1]/acme/forge/noarch/"),
        ("oci://[::1]:443/acme", "oci://[::1]/acme/forge/noarch/"),
        # Clients drop the port and speak https: such an address would lead elsewhere.
        ("oci://ghcr.io:5000/acme", None),
        ("oci://ghcr.io:4430/acme", None),
        ("oci://[::1]:5000/acme", None),
        ("oci+http://ghcr.io/acme", None),
        ("oci+http://ghcr.io:443/acme", None),
        ("ocidir://mirror", None),
    ],
)
def test_an_address_that_no_client_can_follow_is_never_given_out(
    text: str, url: str | None
) -> None:
    assert RegistryAddress.parse(text).client_url("forge", "noarch") == url


def test_repositories_stay_below_the_namespace() -> None:
    address = RegistryAddress.parse("oci://host/acme")
    assert address.repository("forge", "noarch", "zlib") == "acme/forge/noarch/zlib"
    assert RegistryAddress.parse("oci://host").repository("forge", "noarch") == "forge/noarch"


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a/../b", "..", ".", "A", "_a", "a\n", "a/\n", "a" * 256, "a?b", "a#b"]
)
def test_names_that_could_lead_elsewhere_are_no_repositories(name: str) -> None:
    assert not is_repository(name)


@pytest.mark.parametrize("tag", ["", "..", ".a", "-a", "a/b", "a\n", "a" * 129, "a?b", "a#b", "é"])
def test_names_that_could_lead_elsewhere_are_no_tags(tag: str) -> None:
    assert not is_tag(tag)
    assert is_tag("1.3.1-h4ab18f5_1")


_PIECES = st.sampled_from(
    ["oci", "+http", "dir", "://", ":", "/", "@", "[", "]", "::1", "host", ".", "?", "#", "%", "\n"]
)


@STEADY
@given(st.one_of(st.text(), st.lists(st.one_of(_PIECES, st.text(max_size=3))).map("".join)))
def test_no_text_brings_parsing_down(text: str) -> None:
    with contextlib.suppress(ConfigError):
        address = RegistryAddress.parse(text)
        assert RegistryAddress.parse(str(address)) == address
