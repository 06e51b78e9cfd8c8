"""What conda-oci-mirror 0.3.0 pushed, we index, whole: compared with the archives themselves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from conda_package_streaming.package_streaming import stream_conda_info

from demo.layers import VALIDATED
from demo.packages import build
from indexer.channel.policy import Policy
from indexer.check import check_channel
from indexer.config import Config
from indexer.progress import Silence
from indexer.published import Folder
from indexer.rebuild.pipeline import rebuild
from indexer.rebuild.report import Report
from indexer.rebuild.run import Run
from indexer.registry.address import RegistryAddress
from tests.conftest import skip_unless
from tests.support.push import put_manifest
from tests.support.registry_process import RegistryProcess, missing_reason
from tests.support.rig import records_in, tree_of

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".venv-peer/bin/conda-oci"
REAL = ROOT.parent / "shared/data/channel"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def make_channel(folder: Path) -> None:
    """Archives in the shape of a channel, for where the real ones are not at hand."""
    packages = [
        build("alpha"),
        build("alpha", archive="tar.bz2"),
        build("alpha", "1!2.0+local.1", build_number=3, depends=["beta >=1"]),
        build("_mutex", "0.1", "main"),
        build("beta", subdir="linux-64", extra_index={"license": "MIT", "constrains": ["gamma"]}),
        build("gamma", drop=["depends"]),
        build("delta", drop=["subdir"], archive="tar.bz2"),
    ]
    for package in packages:
        target = folder / package.subdir / package.file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(package.data)


class Pushed:
    """A docker-registry that the peer filled, and the archives it was filled with."""

    def __init__(self, registry: RegistryProcess, archives: list[Path], root: Path) -> None:
        self.registry = registry
        self.archives = archives
        self._root = root

    def rebuild(self, name: str, *, hours: int = 0, **changes: Any) -> Report:
        config = Config(
            registry=RegistryAddress.parse(f"oci+{self.registry.http}/acme"),
            channel="forge",
            output=self.site(name),
            state=self._root / f"state-{name}",
            **changes,
        )
        return rebuild(config, Run(NOW + timedelta(hours=hours), {}, Silence()))

    def site(self, name: str) -> Path:
        return self._root / f"site-{name}"


@pytest.fixture(scope="module", params=["real", "made"])
def pushed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pushed]:
    peer_reason = None if PEER.exists() else f"{PEER} is not installed (make test does it)"
    skip_unless(missing_reason() or peer_reason)
    root = tmp_path_factory.mktemp("peer")
    if request.param == "made":
        make_channel(root / "cache/forge")
    elif REAL.is_dir():
        shutil.copytree(REAL, root / "cache/forge")
    else:
        pytest.skip(f"the real archives are not at hand ({REAL}); made ones are tested instead")
    archives = sorted(path for path in (root / "cache/forge").rglob("*") if path.is_file())
    with RegistryProcess(root / "registry") as registry:
        push_all(registry, root / "cache", sorted({path.parent.name for path in archives}))
        yield Pushed(registry, archives, root)


def push_all(registry: RegistryProcess, cache: Path, subdirs: list[str]) -> None:
    command = [str(PEER), "push-cache", "--all", "--channel", "forge", "--cache-dir", str(cache)]
    command += ["--registry", f"{registry.http}/acme", "--upload-delay", "0", "--workers", "4"]
    for subdir in subdirs:
        command += ["--subdir", subdir]
    done = subprocess.run(
        command,
        env=os.environ | {"ORAS_USER": "any", "ORAS_PASS": "any"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def expected_record(path: Path) -> dict[str, Any]:
    """What an index must say of an archive, taken from the archive."""
    data = path.read_bytes()
    index: dict[str, Any] = {}
    for tar, member in stream_conda_info(str(path)):
        if member.name == "info/index.json":
            index = json.load(tar.extractfile(member))
    return (
        {"depends": [], "subdir": path.parent.name}
        | index
        | {
            "sha256": hashlib.sha256(data).hexdigest(),
            "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "size": len(data),
        }
    )


def test_every_archive_is_indexed_with_every_field_it_has(pushed: Pushed) -> None:
    report = pushed.rebuild("all", policy=Policy("none"))

    assert report.left_out == []
    found = {
        (subdir, file_name): record
        for subdir in report.subdirs
        for file_name, record in records_in(pushed.site("all"), subdir).items()
    }
    for record in found.values():
        assert record.pop("indexed_timestamp") == int(NOW.timestamp() * 1000)
    assert found == {
        (path.parent.name, path.name): expected_record(path) for path in pushed.archives
    }
    assert check_channel(Folder(pushed.site("all"))).problems == []


def test_the_second_run_changes_no_byte_and_asks_for_no_manifest(pushed: Pushed) -> None:
    pushed.rebuild("twice", policy=Policy("none"))
    before = tree_of(pushed.site("twice"))

    second = pushed.rebuild("twice", hours=1, policy=Policy("none"))
    assert tree_of(pushed.site("twice")) == before
    assert second.requests.keys() == {"catalog", "tags"}

    third = pushed.rebuild("twice", hours=2, policy=Policy("none"), full=True)
    assert tree_of(pushed.site("twice")) == before
    assert third.requests["manifests"] > 0


def test_a_third_is_marked_and_exactly_that_third_is_indexed(pushed: Pushed) -> None:
    marked = set()
    for path in pushed.archives[::3]:
        stem = path.name.removesuffix(".conda").removesuffix(".tar.bz2")
        name, version, build_string = stem.rsplit("-", 2)
        repository = name.replace("_", "zzz_", 1) if name.startswith("_") else name
        tag = f"{version}-{build_string}".replace("+", "__p__").replace("!", "__e__")
        full = f"acme/forge/{path.parent.name}/{repository}"
        mark(pushed.registry, full, tag)
        # One manifest holds both formats of a build: a mark lets both in.
        marked |= {(path.parent.name, stem + end) for end in (".conda", ".tar.bz2")}

    report = pushed.rebuild("marked")

    present = {(path.parent.name, path.name) for path in pushed.archives}
    found = {
        (subdir, file_name)
        for subdir in report.subdirs
        for file_name in records_in(pushed.site("marked"), subdir)
    }
    assert found == marked & present
    assert report.left_out == []


def mark(registry: RegistryProcess, repository: str, tag: str) -> None:
    url = f"{registry.http}/v2/{repository}/manifests/{tag}"
    manifest = requests.get(url, headers={"Accept": MANIFEST}, timeout=10).json()
    manifest["annotations"] = VALIDATED
    put_manifest(registry.http, repository, tag, json.dumps(manifest).encode(), MANIFEST)
