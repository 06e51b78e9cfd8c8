"""Real clients install through ``serve``, which they know as a plain channel over HTTP.

py-rattler is always there, here without its understanding of oci://. conda and mamba are tested
where the environment names them: neither can be had from a package index. How they were made
from their sources is told in docs/clients.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import requests

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.config import Config
from indexer.progress import Silence
from indexer.rebuild.pipeline import rebuild
from indexer.rebuild.run import Run
from indexer.registry.address import RegistryAddress
from tests.clients.test_rattler import CLIENT, PLATFORM, VALID, WAITING
from tests.support.gateway_process import GatewayProcess
from tests.support.push import push_image
from tests.support.registry_process import RegistryProcess
from tests.support.waiting import wait_until

CONDA = os.environ.get("CF_INDEX_TEST_CONDA")
MAMBA = os.environ.get("CF_INDEX_TEST_MAMBA")

_HOW = "docs/clients.md tells how to make one from its source"
_NO_CONDA = f"CF_INDEX_TEST_CONDA names no conda: it can't be had from PyPI or Debian; {_HOW}"
_NO_MAMBA = (
    "CF_INDEX_TEST_MAMBA names no mamba or micromamba: neither can be had from PyPI or Debian; "
    f"{_HOW}"
)

WANTED = ["_base-1.0-0", "hello-1.10-0", "lib-greet-1!1.0+local.1-0"]
"""What ``hello`` takes to install: names with everything that an address can get wrong."""

SITES = {
    "none": "none",
    "oci": "oci://localhost/acme/forge",
    "https": "https://packages.example.invalid/forge",
}
"""Where sites say that their packages are; no client of these tests could get one there."""

WAYS = [("none", "redirect"), ("none", "stream"), ("oci", "redirect"), ("https", "stream")]
"""A site, and how ``serve`` answers for packages."""

REAL = Path(__file__).parents[3] / "shared/data/channel"
"""Archives that others built, where they are at hand."""

CLIENT_SECONDS = 120


@dataclass(frozen=True)
class Client:
    """A client, and which form of the index it is told to read."""

    name: Literal["py-rattler", "conda classic", "conda libmamba", "conda rattler", "mamba"]
    sharded: bool

    def __str__(self) -> str:
        return f"{self.name}, {'shards' if self.sharded else 'monolithic'}"

    @property
    def solver(self) -> str:
        """The solver that conda is told to use."""
        return self.name.removeprefix("conda ")

    def missing_reason(self) -> str | None:
        """Why this client can't be tested here; None where it can."""
        if self.name == "py-rattler":
            return None
        if self.name == "mamba":
            return None if MAMBA else _NO_MAMBA
        if CONDA is None:
            return _NO_CONDA
        if self.solver not in conda_solvers(CONDA):
            return f"the conda that CF_INDEX_TEST_CONDA names lacks the solver {self.solver}"
        return None

    def install(self, channel: str, name: str, home: Path, prefix: Path) -> None:
        """Install a package and what it needs; ``home`` has its settings and its caches."""
        if self.name == "py-rattler":
            self._rattler(channel, name, home, prefix)
        elif self.name == "mamba":
            self._mamba(channel, name, home, prefix)
        else:
            self._conda(channel, name, home, prefix)

    def _rattler(self, channel: str, name: str, home: Path, prefix: Path) -> None:
        request: dict[str, Any] = {
            "channel": channel,
            "oci": False,
            "sharded": self.sharded,
            "platform": PLATFORM,
            "cache": str(home / "cache"),
            "names": [name],
            "install": [name],
            "prefix": str(prefix),
        }
        answer = json.loads(
            run([sys.executable, CLIENT, json.dumps(request)], environment_of(home))
        )
        assert all(item["url"].startswith(f"{channel}/") for item in answer["records"])

    def _conda(self, channel: str, name: str, home: Path, prefix: Path) -> None:
        assert CONDA is not None
        environment = environment_of(
            home,
            CONDA_PKGS_DIRS=str(home / "pkgs"),
            CONDA_SUBDIR=PLATFORM,
            CONDA_SOLVER=self.solver,
            CONDA_REPODATA_USE_SHARDS=str(self.sharded).lower(),
            CONDA_NUMBER_CHANNEL_NOTICES="0",
            CONDA_NOTIFY_OUTDATED_CONDA="false",
            CONDA_REPORT_ERRORS="false",
        )
        where: list[str | Path] = ["--prefix", prefix, "--override-channels", "--channel", channel]
        run([CONDA, "create", "--yes", *where, name], environment)

    def _mamba(self, channel: str, name: str, home: Path, prefix: Path) -> None:
        assert MAMBA is not None
        environment = environment_of(
            home,
            MAMBA_ROOT_PREFIX=str(home / "root"),
            CONDA_PKGS_DIRS=str(home / "pkgs"),
            MAMBA_USE_SHARDED_REPODATA=str(self.sharded).lower(),
        )
        # By default mamba asks for the index of shards once a day, whatever a server says.
        with Path(environment["CONDARC"]).open("a", encoding="utf-8") as settings:
            settings.write("repodata_shards_ttl: 0\n")
        where: list[str | Path] = ["--prefix", prefix, "--override-channels", "--channel", channel]
        run([MAMBA, "create", "--yes", "--platform", PLATFORM, *where, name], environment)


CLIENTS = [
    Client("py-rattler", sharded=True),
    Client("py-rattler", sharded=False),
    Client("conda classic", sharded=False),
    Client("conda libmamba", sharded=True),
    Client("conda libmamba", sharded=False),
    Client("conda rattler", sharded=True),
    Client("conda rattler", sharded=False),
    Client("mamba", sharded=True),
    Client("mamba", sharded=False),
]


@dataclass(frozen=True)
class World:
    """A registry with packages, and sites made of it that differ in their base_url."""

    registry: str
    sites: dict[str, Path]


@pytest.fixture(params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    client: Client = request.param
    reason = client.missing_reason()
    if reason is not None:
        pytest.skip(reason)
    return client


@pytest.fixture(scope="module")
def world(docker_registry: RegistryProcess, tmp_path_factory: pytest.TempPathFactory) -> World:
    for package in VALID:
        push(docker_registry, "forge", package)
    for package in WAITING:
        push(docker_registry, "forge", package, annotations=None)
    address = f"oci+{docker_registry.http}/acme"
    root = tmp_path_factory.mktemp("sites")
    for name, base_url in SITES.items():
        publish(address, "forge", root / name, base_url)
    return World(address, {name: root / name for name in SITES})


def push(
    registry: RegistryProcess,
    channel: str,
    package: Package,
    annotations: dict[str, str] | None = VALIDATED,
) -> None:
    image = package_manifest([package], annotations=annotations)
    repository = f"acme/{channel}/{package.subdir}/{image.repository_name}"
    push_image(registry.http, repository, image)


def publish(registry: str, channel: str, site: Path, base_url: str) -> None:
    config = Config(
        registry=RegistryAddress.parse(registry),
        channel=channel,
        output=site,
        state=site.with_suffix(".state"),
        base_url=base_url,
    )
    rebuild(config, Run(datetime.now(UTC), {}, Silence()))


def run(command: Sequence[str | Path], environment: dict[str, str]) -> str:
    """Run a client to its good end; gives what it printed."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@cache
def conda_solvers(conda: str) -> set[str]:
    """The solvers that a conda has, by what it says of its option."""
    told = run([conda, "create", "--help"], dict(os.environ))
    found = re.search(r"--solver \{([a-z,-]+)\}", told)
    assert found is not None, told
    return set(found.group(1).split(","))


def environment_of(root: Path, **more: str) -> dict[str, str]:
    """An environment in which a client finds no settings, no cache and no proxy of anybody."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CONDA", "MAMBA", "CF_INDEX_"))
        and not name.lower().endswith("_proxy")
    }
    settings = root / "condarc"
    root.mkdir(parents=True, exist_ok=True)
    settings.write_text("channels: []\ndefault_channels: []\n", encoding="utf-8")
    return ours | {"HOME": str(root), "CONDARC": str(settings)} | more


@pytest.fixture(scope="module")
def real_world(docker_registry: RegistryProcess, tmp_path_factory: pytest.TempPathFactory) -> World:
    """All the real archives, pushed, indexed and served as one would by hand."""
    if not REAL.is_dir():
        pytest.skip(f"the real archives are not at hand ({REAL}); made ones are tested instead")
    root = tmp_path_factory.mktemp("real")
    address = f"oci+{docker_registry.http}/acme"
    where = ["--registry", address, "--channel", "real"]
    ours = [sys.executable, "-m", "indexer"]
    site = root / "site"
    run([*ours, "push", REAL, *where], environment_of(root))
    out: list[str | Path] = ["--output", site, "--state", root / "state"]
    run([*ours, "rebuild", *where, *out, "--all"], environment_of(root))
    return World(address, {"real": site})


def installed_in(prefix: Path) -> list[str]:
    return sorted(file.stem for file in (prefix / "conda-meta").glob("*.json"))


def said_by(prefix: Path, program: str = "hello") -> str:
    """What the installed program prints."""
    done = subprocess.run([prefix / "bin" / program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(("site", "packages"), WAYS)
def test_a_client_installs_without_knowing_of_oci(
    client: Client, world: World, tmp_path: Path, site: str, packages: str
) -> None:
    prefix = tmp_path / "prefix"
    where = ["--registry", world.registry, "--channel", "forge", "--packages", packages]
    with GatewayProcess(tmp_path, str(world.sites[site]), *where) as gateway:
        client.install(gateway.http, "hello", tmp_path / "home", prefix)

    assert (installed_in(prefix), said_by(prefix)) == (WANTED, "hello 1.10 0")
    asked = gateway.asked()
    shards = any(path.endswith("/repodata_shards.msgpack.zst") for path in asked["GET"])
    assert shards == client.sharded, "it read the form of the index that it was to read"
    got = {path: status for path, status in asked["GET"].items() if path.endswith(".conda")}
    assert len(got) == len(WANTED)
    assert set(got.values()) == {307 if packages == "redirect" else 200}


def test_a_client_with_a_warm_cache_sees_what_is_new(
    client: Client, docker_registry: RegistryProcess, tmp_path: Path
) -> None:
    channel = tmp_path.name.replace("_", "-").lower()
    address, site = f"oci+{docker_registry.http}/acme", tmp_path / "site"
    home, old, new = (tmp_path / name for name in ("home", "old", "new"))
    push(docker_registry, channel, build("hello", "1.0"))
    publish(address, channel, site, "none")

    where = ["--registry", address, "--channel", channel]
    with GatewayProcess(tmp_path, str(site), *where, "--refresh", "1") as gateway:
        client.install(gateway.http, "hello", home, old)
        push(docker_registry, channel, build("hello", "2.0"))
        publish(address, channel, site, "none")
        repodata = f"{gateway.http}/noarch/repodata.json"
        wait_until(lambda: "hello-2.0" in requests.get(repodata, timeout=5).text)
        client.install(gateway.http, "hello", home, new)

    assert (said_by(old), said_by(new)) == ("hello 1.0 0", "hello 2.0 0")


def test_a_client_installs_what_others_built(
    client: Client, real_world: World, tmp_path: Path
) -> None:
    site = str(real_world.sites["real"])
    with GatewayProcess(tmp_path, site, "--registry", real_world.registry) as gateway:
        client.install(gateway.http, "small-executable", tmp_path / "home", tmp_path / "prefix")

    assert installed_in(tmp_path / "prefix") == ["small-executable-1.0-0"]
    assert said_by(tmp_path / "prefix", "small") == "Hello!"
