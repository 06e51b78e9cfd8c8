"""From an upload to an installed package: push, validate, promote, rebuild, install, withdraw.

Real archives where they are at hand, a real registry with TLS on port 443, the real commands, and
py-rattler at the end. Staging and production are two namespaces of one registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.test_peer import REAL
from tests.clients.test_rattler import CLIENT, PLATFORM, port_reason
from tests.clients.test_rattler import VALID as MADE
from tests.clients.test_round_trip import stem
from tests.conftest import skip_unless
from tests.support.registry_process import RegistryProcess, Tls, make_ca, missing_reason
from tests.support.rig import records_in
from tests.support.web import served

STAGING, PRODUCTION = "oci://localhost/staging", "oci://localhost/production"


@dataclass(frozen=True)
class World:
    """A registry, keys, and a folder to work in."""

    root: Path
    archives: Path
    tls: Tls
    environ: dict[str, str]

    def cf_index(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "indexer", *arguments],
            cwd=self.root,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def rebuild(self, *arguments: str) -> None:
        self.cf_index(
            *("rebuild", "--registry", PRODUCTION, "--channel", "forge", "--output", "site"),
            *("--policy", "attestation", "--trust", "validator.pub", *arguments),
        )
        self.cf_index("check", "site")

    def published(self) -> dict[str, str]:
        """What is in the index, with its sha256."""
        subdirs = {path.parent.name for path in (self.root / "site").glob("*/repodata.json")}
        return {
            f"{subdir}/{name}": fields["sha256"]
            for subdir in subdirs
            for name, fields in records_in(self.root / "site", subdir).items()
        }

    def install(self, *specs: str) -> dict[str, Any]:
        with served(self.root / "site") as http:
            request = {
                "channel": http,
                "sharded": True,
                "platform": PLATFORM,
                "cache": str(self.root / "client"),
                "names": [spec.partition(" ")[0] for spec in specs],
                "install": specs,
                "prefix": str(self.root / "prefix"),
            }
            done = subprocess.run(
                [sys.executable, str(CLIENT), json.dumps(request)],
                env=self.environ,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        assert done.returncode == 0, done.stderr[-3000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    skip_unless(missing_reason() or port_reason())
    archives = tmp_path / "archives"
    if REAL.is_dir():
        shutil.copytree(REAL, archives)
    else:
        for package in MADE:
            target = archives / package.subdir / package.file_name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(package.data)
    tls = make_ca(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_pem))
    with RegistryProcess(tmp_path / "registry", port=443, tls=tls):
        yield World(tmp_path, archives, tls, dict(os.environ))


def hashes(archives: Path) -> dict[str, str]:
    """The archives by subdir and name, with their sha256."""
    return {
        path.relative_to(archives).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(archives.rglob("*"))
        if path.name.endswith((".conda", ".tar.bz2"))
    }


def test_from_an_upload_to_an_installed_package_and_out_again(world: World) -> None:
    staging = ("--registry", STAGING, "--channel", "forge")
    trusted = ("--policy", "attestation", "--trust", "validator.pub")
    between = ("--from", STAGING, "--to", PRODUCTION, "--channel", "forge")
    every = hashes(world.archives)
    # Everything but every seventh is validated.
    chosen = {name: sha for number, (name, sha) in enumerate(every.items()) if number % 7}
    world.cf_index("keygen", "--private", "validator.pem", "--public", "validator.pub")
    world.cf_index("push", str(world.archives), *staging)

    queue = "".join(f"{name}\n" for name in chosen)
    mark = ("mark", "-", "--as", "validated", "--key", "validator.pem", *staging)
    world.cf_index(*mark, stdin=queue)
    world.cf_index("promote", *between, *trusted)
    world.rebuild()
    assert world.published() == chosen

    # Once more: nothing is left to do.
    world.cf_index(*mark, stdin=queue)
    world.cf_index("promote", *between, *trusted)
    world.rebuild()
    assert world.published() == chosen

    name = next(name for name in chosen if name.startswith("noarch/"))
    found = world.install(installable(world))
    assert set(found["installed"]) <= {item.partition("/")[2] for item in chosen}
    assert found["installed"]

    # Taken back in production, it goes, and deleting the verdict would not bring it back.
    production = ("--registry", PRODUCTION, "--channel", "forge")
    world.cf_index("mark", name, "--as", "rejected", "--key", "validator.pem", *production)
    world.rebuild()
    assert world.published() == {k: v for k, v in chosen.items() if k != name}
    plan = world.cf_index(
        *("prune", "--unmarked-for", "0m", "--max-prune", "100%", *trusted, *staging)
    )
    # A build of two formats stays while one of them is let in.
    waiting = {stem(item) for item in every} - {stem(item) for item in chosen}
    assert f"({len(waiting)} unmarked, 0 rejected)" in plan
    assert "Nothing was taken out: say --yes" in plan


def installable(world: World) -> str:
    """A package that needs nothing else."""
    for subdir in ("noarch", PLATFORM):
        for file_name, fields in sorted(records_in(world.root / "site", subdir).items()):
            if not fields["depends"] and file_name.endswith(".conda"):
                return str(fields["name"])
    raise AssertionError("every package needs another one")
