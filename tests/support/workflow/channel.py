"""A channel that this project's own workflow publishes, with all that this takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import indexer
from demo.layers import VALIDATED, package_manifest
from demo.packages import Package
from indexer.check import check_channel
from indexer.published import Folder
from tests.support.push import push_image
from tests.support.rig import records_in, tree_of
from tests.support.workflow.document import Workflow, load
from tests.support.workflow.github import GitHub, Issue
from tests.support.workflow.pages import Pages
from tests.support.workflow.results import RunResult
from tests.support.workflow.running import Event, Runner

WORKFLOW = Path(indexer.__file__).parent.parent / ".github" / "workflows" / "index.yml"
CHANNEL = "forge"
# How long the workflow waits for what is served: here it is at once, or never.
WAITS = {"--wait 5m": "--wait 0s", "--wait 10m": "--wait 0s"}


class Registry(Protocol):
    """A registry on this machine."""

    @property
    def http(self) -> str:
        """Its address."""


def own_workflow(changes: Mapping[str, str] | None = None) -> Workflow:
    """The workflow of this project: its waits are made short, and nothing else is changed.

    But for ``changes``, by what is in the text and is to be another.
    """
    text = WORKFLOW.read_text(encoding="utf-8")
    for old, new in (WAITS | dict(changes or {})).items():
        assert old in text, f"the workflow doesn't say {old!r}"
        text = text.replace(old, new)
    return load(text)


@dataclass
class Channel:
    """The repository, its registry and its site."""

    github: GitHub
    registry: Registry
    folder: Path
    namespace: str = "acme"
    runner: Runner = field(init=False)

    def __post_init__(self) -> None:
        address = self.registry.http.replace("http://", "oci+http://")
        (self.github.content / "cf-index.toml").write_text(
            f'registry = "{address}/{self.namespace}"\nchannel = "{CHANNEL}"\nretry-for = 0.2\n'
        )
        self.github.variables["CF_INDEX_ENABLED"] = "true"
        self.runner = Runner(own_workflow(), self.github, self.folder / "runner")

    @property
    def pages(self) -> Pages:
        """Where it is published."""
        return self.github.pages

    @property
    def site(self) -> Path:
        """The folder that is served."""
        assert self.pages.site is not None, "nothing is published"
        return self.pages.site

    def repository(self, package: Package) -> str:
        """Where a package is in the registry."""
        name = package_manifest([package]).repository_name
        return f"{self.namespace}/{CHANNEL}/{package.subdir}/{name}"

    def push(self, *packages: Package) -> None:
        """Put validated packages into the registry."""
        for package in packages:
            image = package_manifest([package], annotations=VALIDATED)
            push_image(self.registry.http, self.repository(package), image)

    def run(self, event: Event | None = None) -> RunResult:
        """One run of the workflow."""
        return self.runner.run(event)

    def works(self, event: Event | None = None) -> RunResult:
        """One run, that must succeed."""
        result = self.run(event)
        assert result.conclusion == "success", result.log
        return result

    def files(self) -> set[str]:
        """The file names in the published index; what is served must be sound."""
        self.assert_sound()
        subdirs = [path.parent.name for path in self.site.glob("*/repodata.json")]
        return {name for subdir in subdirs for name in self.records(subdir)}

    def records(self, subdir: str = "noarch") -> dict[str, dict[str, Any]]:
        """What the published repodata.json says."""
        return records_in(self.site, subdir)

    def tree(self) -> dict[str, str]:
        """Every file that clients read, with its hash."""
        return tree_of(self.site)

    def assert_sound(self) -> None:
        """What is served passes the check."""
        assert check_channel(Folder(self.site)).problems == []

    @property
    def status(self) -> dict[str, Any]:
        """The status.json that is served."""
        status: dict[str, Any] = json.loads((self.site / "status.json").read_bytes())
        return status

    @property
    def stamp(self) -> str:
        """The run that is served."""
        stamp: str = self.status["run"]
        return stamp

    def age(self, minutes: float) -> None:
        """Make what is served look as if it had been published so long ago."""
        file = self.site / "status.json"
        status = json.loads(file.read_bytes())
        then = datetime.now(UTC) - timedelta(minutes=minutes)
        for key in ("time", "last_success"):
            if key in status:
                status[key] = then.strftime("%Y-%m-%dT%H:%M:%SZ")
        file.write_text(json.dumps(status))

    @property
    def issue(self) -> Issue | None:
        """The issue that is open, if one is."""
        found = [issue for issue in self.github.issues.values() if issue.state == "open"]
        assert len(found) <= 1
        return found[0] if found else None
