"""The real client: py-rattler resolves what was published, and installs from the registry.

rattler follows ``oci://`` by https on port 443 only, so these tests start a registry with
TLS there, on loopback, signed by a CA that the client is told by SSL_CERT_FILE.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.config import Config
from indexer.progress import Silence
from indexer.rebuild.pipeline import rebuild
from indexer.rebuild.run import Run
from indexer.registry.address import RegistryAddress
from tests.conftest import skip_unless
from tests.support.push import push_image
from tests.support.registry_process import RegistryProcess, Tls, make_ca, missing_reason
from tests.support.web import served

CLIENT = Path(__file__).with_name("rattler_client.py")
PLATFORM = "linux-64"

VALID = [
    build("hello", "1.10", subdir=PLATFORM, depends=["lib-greet >=1.0", "_base"]),
    build("hello", "1.9", subdir=PLATFORM, depends=["lib-greet"]),
    build("lib-greet", "1!1.0+local.1"),
    build("lib-greet", "1.0", archive="tar.bz2"),
    build("_base"),
]
WAITING = [build("hello", "2.0", subdir=PLATFORM), build("secret")]


@dataclass(frozen=True)
class Published:
    """A site made from a TLS registry on port 443, and the CA of that registry."""

    site: Path
    tls: Tls


def port_reason() -> str | None:
    """Why port 443 can't be had here; None where it can."""
    with socket.socket() as probe:
        # As the registry itself does: connections of the test before linger for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 443))
        except OSError as error:
            return f"port 443 on loopback can't be had ({error.strerror})"
    return None


@contextmanager
def filled_registry(root: Path) -> Iterator[Tls]:
    """The channel's packages in a registry with TLS on port 443, whose CA clients trust."""
    skip_unless(missing_reason() or port_reason())
    tls = make_ca(root)
    with (
        RegistryProcess(root / "registry", port=443, tls=tls),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SSL_CERT_FILE", str(tls.ca_pem))
        for package in VALID:
            push(package, tls, VALIDATED)
        for package in WAITING:
            push(package, tls, None)
        yield tls


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    root = tmp_path_factory.mktemp("tls")
    with filled_registry(root) as tls:
        config = Config(
            registry=RegistryAddress.parse("oci://localhost/acme"),
            channel="forge",
            output=root / "site",
            state=root / "state",
        )
        rebuild(config, Run(datetime.now(UTC), {}, Silence()))
        yield Published(config.output, tls)


def push(package: Package, tls: Tls, annotations: dict[str, str] | None) -> None:
    image = package_manifest([package], annotations=annotations)
    repository = f"acme/forge/{package.subdir}/{image.repository_name}"
    push_image("https://localhost", repository, image, verify=str(tls.ca_pem))


def ask(published: Published, tmp_path: Path, **request: Any) -> dict[str, Any]:
    """Run the client in its own process, with empty caches."""
    with served(published.site) as address:
        return ask_client(address, published.tls, tmp_path, **request)


def ask_client(address: str, tls: Tls, tmp_path: Path, **request: Any) -> dict[str, Any]:
    """The same of a channel that is served already."""
    full = {
        "channel": address,
        "platform": PLATFORM,
        "cache": str(tmp_path / "cache"),
        "names": ["hello", "lib-greet", "_base", "secret"],
    } | request
    done = subprocess.run(
        [sys.executable, str(CLIENT), json.dumps(full)],
        env=os.environ | {"SSL_CERT_FILE": str(tls.ca_pem)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("sharded", [True, False])
def test_the_client_finds_exactly_what_was_validated(
    published: Published, tmp_path: Path, *, sharded: bool
) -> None:
    found = ask(published, tmp_path, sharded=sharded)["records"]

    assert [(item["subdir"], item["file_name"]) for item in found] == sorted(
        (package.subdir, package.file_name) for package in VALID
    )
    by_name = {package.file_name: package for package in VALID}
    for item in found:
        package = by_name[item["file_name"]]
        assert (item["sha256"], item["md5"]) == (package.sha256, package.md5)
        assert (item["size"], item["depends"]) == (package.size, package.index["depends"])
        assert item["url"].startswith(f"oci://localhost/acme/forge/{package.subdir}/")


def test_both_forms_of_the_index_say_the_same_to_a_client(
    published: Published, tmp_path: Path
) -> None:
    sharded = ask(published, tmp_path / "a", sharded=True)
    assert sharded == ask(published, tmp_path / "b", sharded=False)


@pytest.mark.parametrize("sharded", [True, False])
def test_the_client_installs_from_the_registry_and_what_it_installed_runs(
    published: Published, tmp_path: Path, *, sharded: bool
) -> None:
    prefix = tmp_path / "prefix"

    answer = ask(published, tmp_path, sharded=sharded, install=["hello"], prefix=str(prefix))

    assert answer["installed"] == [
        "_base-1.0-0.conda",
        "hello-1.10-0.conda",
        "lib-greet-1!1.0+local.1-0.conda",
    ]
    done = subprocess.run([prefix / "bin/hello"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "hello 1.10 0"
