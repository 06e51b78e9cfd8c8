"""There and back: what we push others pull, what they push we pull, and clients install from it.

The real archives where they are at hand, made ones elsewhere; a real registry with TLS on port
443, because that is where ``oci://`` clients look.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.test_peer import PEER, REAL, make_channel
from tests.clients.test_rattler import CLIENT, port_reason
from tests.conftest import skip_unless
from tests.support.registry_process import RegistryProcess, Tls, make_ca, missing_reason


@dataclass(frozen=True)
class Place:
    """Archives in the shape of a channel, and registries to push them to."""

    archives: Path
    root: Path
    tls: Tls
    http: str

    @property
    def addresses(self) -> dict[str, str]:
        return {
            "oci": "oci://localhost/acme",
            "oci+http": f"oci+{self.http}/acme",
            "ocidir": f"ocidir://{self.root / 'layouts'}",
        }

    def where(self, kind: str) -> list[str]:
        return ["--registry", self.addresses[kind], "--channel", "forge"]

    def files(self) -> dict[str, bytes]:
        return files_in(self.archives)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name.endswith((".conda", ".tar.bz2"))
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Registries of all three kinds, each with everything pushed, indexed and published."""
    peer_reason = None if PEER.exists() else f"{PEER} is not installed (make test does it)"
    skip_unless(missing_reason() or port_reason() or peer_reason)
    root = tmp_path_factory.mktemp("trip")
    archives = root / "cache/forge"
    if REAL.is_dir():
        shutil.copytree(REAL, archives)
    else:
        make_channel(archives)
    tls = make_ca(root)
    with (
        RegistryProcess(root / "secure", port=443, tls=tls),
        RegistryProcess(root / "plain") as plain,
    ):
        made = Place(archives, root, tls, plain.http)
        for kind in made.addresses:
            where = made.where(kind)
            site, state = str(root / f"site-{kind}"), str(root / f"state-{kind}")
            cf_index(made, "push", str(archives), *where)
            cf_index(made, "rebuild", *where, "--all", "--output", site, "--state", state)
            cf_index(made, "publish", site, *where)
        yield made


def cf_index(place: Place, *arguments: str) -> str:
    return run([sys.executable, "-m", "indexer", *arguments], place)


def run(command: list[str], place: Place) -> str:
    ca = str(place.tls.ca_pem)
    done = subprocess.run(
        command,
        cwd=place.root,
        env=os.environ
        | {"SSL_CERT_FILE": ca, "REQUESTS_CA_BUNDLE": ca, "ORAS_USER": "any", "ORAS_PASS": "any"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def peer(place: Place, what: str, cache: Path, registry: str, *more: str) -> None:
    subdirs = sorted({path.partition("/")[0] for path in place.files()})
    command = [str(PEER), what, "--channel", "forge", "--cache-dir", str(cache)]
    command += ["--registry", registry, "--upload-delay", "0", "--workers", "4", *more]
    command += [item for subdir in subdirs for item in ("--subdir", subdir)]
    run([*command, *(["--all"] if what == "push-cache" else [])], place)


def as_the_peer_says(address: str) -> str:
    """Its library takes a host without a dot for a part of the name."""
    address = address.replace("oci+http://", "http://").replace("oci://", "https://")
    return address.replace("localhost", "127.0.0.1:443")


@pytest.mark.parametrize("kind", ["oci", "oci+http", "ocidir"])
def test_what_was_pushed_is_had_back_byte_for_byte(place: Place, kind: str) -> None:
    out = place.root / f"pulled-{kind}"
    cf_index(place, "pull", *place.where(kind), "--output", str(out))
    assert files_in(out) == place.files()
    cf_index(place, "check", str(out))


@pytest.mark.parametrize("kind", ["oci", "oci+http", "ocidir"])
def test_a_second_push_and_a_second_publication_send_nothing(place: Place, kind: str) -> None:
    pushed = cf_index(place, "push", str(place.archives), *place.where(kind))
    assert f"0 files pushed (0 B); {len(place.files())} were there already." in pushed
    site = str(place.root / f"site-{kind}")
    assert "0 files published (0 B)" in cf_index(place, "publish", site, *place.where(kind))


def test_the_peer_pulls_what_we_pushed(place: Place) -> None:
    cache = place.root / "peer"
    cache.mkdir()
    peer(place, "pull-cache", cache, as_the_peer_says(place.addresses["oci+http"]))

    # It pulls the newest of each package and format, and the index.
    pulled, files = files_in(cache / "forge"), place.files()
    assert pulled.items() <= files.items()
    assert names_of(pulled) == names_of(files)
    for subdir in {path.partition("/")[0] for path in files}:
        index = json.loads((cache / f"forge/{subdir}/repodata.json").read_bytes())
        listed = {f"{subdir}/{name}" for name in (*index["packages"], *index["packages.conda"])}
        assert listed == {path for path in files if path.startswith(f"{subdir}/")}
        assert "base_url" not in index["info"]


def test_the_peer_pulls_by_tls_what_we_pushed(place: Place) -> None:
    cache = place.root / "peer-tls"
    cache.mkdir()
    # Its pulls take half a second each.
    chosen = max(name.partition("/")[2] for name in names_of(place.files()))
    registry = as_the_peer_says(place.addresses["oci"])
    peer(place, "pull-cache", cache, registry, "--package", chosen)

    pulled = files_in(cache / "forge")
    assert pulled
    assert pulled.items() <= place.files().items()


def names_of(files: Iterable[str]) -> set[str]:
    return {path.rsplit("-", 2)[0] for path in files}


def test_we_pull_what_the_peer_pushed(place: Place) -> None:
    # By TLS, the peer takes minutes for it.
    address = place.addresses["oci+http"] + "/theirs"
    peer(place, "push-cache", place.archives.parent, as_the_peer_says(address))

    out = place.root / "from-peer"
    cf_index(place, "pull", "--registry", address, "--channel", "forge", "--output", str(out))
    assert files_in(out) == place.files()


@pytest.mark.parametrize("sharded", [True, False])
def test_a_client_installs_from_the_registry_as_a_channel(
    place: Place, tmp_path: Path, *, sharded: bool
) -> None:
    files = {path for path in place.files() if path.startswith(("linux-64/", "noarch/"))}
    names = sorted(name.partition("/")[2] for name in names_of(files))
    request: dict[str, Any] = {
        "channel": f"{place.addresses['oci']}/forge",
        "sharded": sharded,
        "platform": "linux-64",
        "cache": str(tmp_path / "cache"),
        "names": names,
        "install": ["beta" if "beta" in names else "dummy-c"],
        "prefix": str(tmp_path / "prefix"),
    }
    answer = json.loads(run([sys.executable, str(CLIENT), json.dumps(request)], place))

    found = {f"{item['subdir']}/{item['file_name']}" for item in answer["records"]}
    assert found <= files
    # Of two formats of one build, rattler takes .conda.
    assert {stem(path) for path in found} == {stem(path) for path in files}
    assert answer["installed"]
    assert list((tmp_path / "prefix/conda-meta").glob("*.json"))


def stem(path: str) -> str:
    return path.removesuffix(".conda").removesuffix(".tar.bz2")
