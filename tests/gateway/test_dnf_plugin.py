"""What dnf's plugin makes of an address, without dnf."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "contrib" / "dnf" / "oci.py"
GATEWAY = "http://127.0.0.1:8000"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin's module, with as much of dnf as it takes to load it."""
    dnf, exceptions = ModuleType("dnf"), ModuleType("dnf.exceptions")
    vars(dnf).update(Plugin=object, exceptions=exceptions)
    vars(exceptions).update(ConfigError=type("ConfigError", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "dnf", dnf)
    monkeypatch.setitem(sys.modules, "dnf.exceptions", exceptions)
    spec = importlib.util.spec_from_file_location("oci_plugin", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("oci://quay.io/acme/repo:9", "quay.io/acme/repo:9/"),
        ("oci://quay.io/acme/repo:9/", "quay.io/acme/repo:9/"),
        ("oci://quay.io/acme/repo:9/x86_64/os/", "quay.io/acme/repo:9/x86_64/os/"),
        ("oci://quay.io/acme/repo", "quay.io/acme/repo:latest/"),
        ("oci://quay.io/acme/repo/", "quay.io/acme/repo:latest/"),
        ("oci://h:5000/repo", "h:5000/repo:latest/"),
        ("oci+http://h:5000/a/repo:1/sub", "h:5000/a/repo:1/sub"),
        (f"oci://h/repo@{DIGEST}/sub", f"h/repo@{DIGEST}/sub"),
        ("oci://h/repo:1/odd@name:2", "h/repo:1/odd@name:2"),
        ("OCI://h/repo:1", "h/repo:1/"),
        ("Oci+Http://h/repo:1", "h/repo:1/"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_an_oci_address_becomes_one_of_the_gateway(
    plugin: Any, url: str, path: str, slash: str
) -> None:
    assert plugin.gateway_url(GATEWAY + slash, url) == f"{GATEWAY}/{path}"


@pytest.mark.parametrize(
    "url", ["https://example.org/oci://x", "http://h/r:1", "file:///x", "ftp://h/r", ""]
)
def test_other_addresses_stay_as_they_are(plugin: Any, url: str) -> None:
    assert plugin.gateway_url(GATEWAY, url) == url


@pytest.mark.parametrize(
    "url",
    [
        "oci://",
        "oci://h",
        "oci://h/",
        "oci:///repo:1",
        "oci://h/repo:",
        "oci://h/repo@",
        "oci://h/repo@latest",
        "oci://u:p@h/repo:1",
        "oci://h//repo:1",
        "oci://h/repo:9:9",
        f"oci://h/repo:9@{DIGEST}",
        "oci://h/repo@sha256:123",
        "oci://h/repo:1 oci://h/repo:2",
    ],
)
def test_what_is_no_reference_is_an_error(plugin: Any, url: str) -> None:
    with pytest.raises(ValueError, match="oci"):
        plugin.gateway_url(GATEWAY, url)


class Repository:
    """As much of dnf's as the plugin touches."""

    def __init__(self, name: str, *urls: str) -> None:
        self.id = name
        self.baseurl: Sequence[str] = urls
        self.skip_if_unavailable = False
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False


class Config:
    """A plugin's configuration, as dnf reads it."""

    def __init__(self, gateway: str | None) -> None:
        self._gateway = gateway

    def has_section(self, name: str) -> bool:
        return name == "main"

    def has_option(self, section: str, name: str) -> bool:
        return (section, name) == ("main", "gateway") and self._gateway is not None

    def get(self, section: str, name: str) -> str | None:
        del section, name
        return self._gateway


def configured(plugin: Any, gateway: str | None, *repositories: Repository) -> None:
    """Run the plugin's hook on some repositories."""
    base = ModuleType("base")
    vars(base)["conf"] = None
    vars(base)["repos"] = ModuleType("repos")
    vars(base.repos)["iter_enabled"] = lambda: iter(repositories)
    made = plugin.Oci()
    made.base, made.read_config = base, lambda _: Config(gateway)
    made.config()


def test_only_oci_addresses_of_a_repository_change(plugin: Any) -> None:
    mixed = Repository("mixed", "https://example.org/x/", "oci://h/r:1")
    plain = Repository("plain", "https://example.org/y/")
    configured(plugin, "http://gate:1/", mixed, plain)
    assert mixed.baseurl == ["https://example.org/x/", "http://gate:1/h/r:1/"]
    assert plain.baseurl == ("https://example.org/y/",)


def test_the_gateway_has_a_default(plugin: Any) -> None:
    one = Repository("one", "oci://h/r")
    configured(plugin, None, one)
    assert one.baseurl == ["http://127.0.0.1:8000/h/r:latest/"]


@pytest.mark.parametrize("gateway", ["", "127.0.0.1:8000", "file:///etc", "ftp://u:s3cret@h/"])
def test_a_gateway_that_is_none_is_named(plugin: Any, gateway: str) -> None:
    with pytest.raises(plugin.dnf.exceptions.ConfigError, match="gateway=") as raised:
        configured(plugin, gateway, Repository("one", "oci://h/r"))
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("url", ["oci://bad", "oci://user:s3cret@h/r:1", "oci://h/r@s3cret"])
def test_a_bad_address_costs_its_repository_alone(
    plugin: Any, caplog: pytest.LogCaptureFixture, url: str, *, skip: bool
) -> None:
    bad, good = Repository("bad", "oci://h/r", url), Repository("good", "oci://h/r")
    bad.skip_if_unavailable = skip
    configured(plugin, GATEWAY, bad, good)
    assert (bad.enabled, good.enabled) == (False, True)
    assert good.baseurl == [f"{GATEWAY}/h/r:latest/"]
    (record,) = caplog.records
    assert record.levelname == ("WARNING" if skip else "ERROR")
    assert "Repository bad is left out" in record.getMessage()
    assert "s3cret" not in record.getMessage()
