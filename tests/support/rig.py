"""A registry in this process, a folder to publish into, and rebuilds at times of one's choosing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package
from indexer.check import check_channel
from indexer.config import Config
from indexer.progress import Silence
from indexer.published import Folder
from indexer.rebuild.pipeline import rebuild
from indexer.rebuild.report import Report
from indexer.rebuild.run import Run
from indexer.registry.address import RegistryAddress
from tests.support.fake_registry import FakeRegistry

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CHANNEL = "forge"


@dataclass
class Rig:
    """A channel ``acme/forge`` in a fake registry, and the site made of it."""

    fake: FakeRegistry
    root: Path
    now: datetime = START
    environ: dict[str, str] = field(default_factory=dict)
    # Addresses of APIs that tell what has changed, by the registry's host.
    apis: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def state_file(self) -> Path:
        """The one state there is."""
        (path,) = (self.root / "state").glob("*.sqlite")
        return path

    def repository(self, subdir: str, name: str) -> str:
        return f"acme/{CHANNEL}/{subdir}/{name}"

    def push(
        self,
        *packages: Package,
        validated: bool = True,
        subdir: str | None = None,
        repository: str | None = None,
        tag: str | None = None,
    ) -> str:
        """Push archives of one build under one tag; by default where they belong."""
        image = package_manifest(packages, annotations=VALIDATED if validated else None)
        full = self.repository(subdir or packages[0].subdir, repository or image.repository_name)
        return self.fake.add(full, image, tag)

    def config(self, **changes: Any) -> Config:
        address = RegistryAddress.parse(f"oci+{self.fake.http}/acme")
        settings: dict[str, Any] = {
            "registry": address,
            "channel": CHANNEL,
            "output": self.site,
            "state": self.root / "state",
            "retry_for": 0.2,
            "jobs": 4,
        }
        return Config(**(settings | changes))

    def rebuild(self, **changes: Any) -> Report:
        """A run, a quarter of an hour after the one before."""
        self.now += timedelta(minutes=15)
        self.fake.clear_requests()
        return rebuild(
            self.config(**changes), Run(self.now, self.environ, Silence(), apis=self.apis)
        )

    def records(self, subdir: str = "noarch") -> dict[str, dict[str, Any]]:
        """What repodata.json says, both sections together."""
        return records_in(self.site, subdir)

    def tree(self) -> dict[str, str]:
        """Every file that clients read, with its hash."""
        return tree_of(self.site)

    def assert_sound(self) -> None:
        findings = check_channel(Folder(self.site))
        assert findings.problems == []


def records_in(site: Path, subdir: str) -> dict[str, dict[str, Any]]:
    document = json.loads((site / subdir / "repodata.json").read_bytes())
    found: dict[str, dict[str, Any]] = document["packages"] | document["packages.conda"]
    return found


def tree_of(site: Path) -> dict[str, str]:
    return {
        path.relative_to(site).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(site.rglob("*"))
        if path.is_file() and path.name != "status.json"
    }


def reasons(report: Report) -> Mapping[str, str]:
    """Why each artifact was left out, by repository and tag."""
    return {f"{item.repository}:{item.tag}": item.reason for item in report.left_out}
