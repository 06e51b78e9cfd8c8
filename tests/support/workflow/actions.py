"""Stand-ins for the actions that a workflow uses, by their names.

What the real ones refuse is refused; an input that they don't have ends the test, as GitHub only
warns of it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.workflow.github import GitHub
from tests.support.workflow.stores import ActionFailed, files_below
from tests.support.workflow.values import HarnessError

_PINNED = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)+)@[0-9a-f]{40}")
TRUE = {"true", "True", "TRUE"}
FALSE = {"false", "False", "FALSE", ""}


@dataclass
class Place:
    """What an action is told of the job that uses it."""

    github: GitHub
    run: int
    sha: str
    workspace: Path
    home: Path
    permissions: Mapping[str, str]
    environment: str
    later: list[Callable[[], str]] = field(default_factory=list)
    """What is to be done at the job's end, if it succeeds. Each gives what is to be logged."""

    def at(self, path: str) -> Path:
        """A path as actions take it."""
        if path.startswith("~"):
            return self.home / path.removeprefix("~").lstrip("/")
        return self.workspace / path

    def need(self, scope: str, level: str = "write") -> None:
        """Refuse what the job's token may not do."""
        if self.permissions.get(scope) not in {level, "write"}:
            raise ActionFailed(f"Resource not accessible by integration ({scope}: {level})")


Inputs = Mapping[str, str]
Outputs = dict[str, str]


@dataclass(frozen=True)
class Action:
    """One stand-in: the inputs with their defaults, and what it does."""

    inputs: Mapping[str, str]
    act: Callable[[Place, Inputs], Outputs]


def use(uses: str, given: Inputs, place: Place) -> Outputs:
    """Do what an action does, and give its outputs. Raises ActionFailed, or HarnessError."""
    pinned = _PINNED.fullmatch(uses)
    if pinned is None:
        raise HarnessError(f"{uses} is not pinned by a commit")
    action = ACTIONS.get(pinned["name"])
    if action is None:
        raise HarnessError(f"there is no stand-in for {pinned['name']}")
    if unknown := given.keys() - action.inputs.keys():
        raise HarnessError(f"{pinned['name']} has no inputs {sorted(unknown)}")
    return action.act(place, {**action.inputs, **given})


def _is(value: str) -> bool:
    if value not in TRUE | FALSE:
        raise ActionFailed(f"{value!r} is not true or false")
    return value in TRUE


def _lines(value: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in value.splitlines() if line.strip())


def _checkout(place: Place, inputs: Inputs) -> Outputs:
    place.need("contents", "read")
    if _is(inputs["persist-credentials"]):
        raise HarnessError("checkout leaves its token behind")
    for path in place.workspace.iterdir():
        # As `git clean -ffdx` does it: what an earlier step wrote is gone.
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(place.github.content, place.workspace, dirs_exist_ok=True)
    return {}


def _setup_python(_: Place, inputs: Inputs) -> Outputs:
    return {"python-version": inputs["python-version"], "cache-hit": ""}


def _restore(place: Place, inputs: Inputs) -> Outputs:
    paths, key = _lines(inputs["path"]), inputs["key"]
    if not key or not paths:
        raise ActionFailed("Input required and not supplied")
    found = place.github.caches.find(key, list(_lines(inputs["restore-keys"])), paths)
    outputs = {"cache-primary-key": key, "cache-matched-key": found or ""}
    if found is None:
        if _is(inputs["fail-on-cache-miss"]):
            raise ActionFailed("Failed to restore cache entry")
        return outputs
    if not _is(inputs["lookup-only"]):
        place.github.caches.restore(found, paths, [place.at(path) for path in paths])
    return outputs | {"cache-hit": "true" if found == key else "false"}


def _save(place: Place, inputs: Inputs) -> Outputs:
    paths = _lines(inputs["path"])
    if not inputs["key"] or not paths:
        raise ActionFailed("Input required and not supplied")
    place.github.caches.save(inputs["key"], paths, [place.at(path) for path in paths])
    return {}


def _cache(place: Place, inputs: Inputs) -> Outputs:
    outputs = _restore(place, inputs)
    if outputs.get("cache-hit") != "true":
        paths = _lines(inputs["path"])
        places = [place.at(path) for path in paths]
        key, caches = inputs["key"], place.github.caches
        place.later.append(lambda: caches.save(key, paths, places))
    return outputs


def _upload(place: Place, inputs: Inputs) -> Outputs:
    if re.search(r"[*?\[\]!\n]", inputs["path"].strip()) or not inputs["path"].strip():
        raise HarnessError(f"the harness uploads one file or folder, not {inputs['path']!r}")
    source, hidden = place.at(inputs["path"].strip()), _is(inputs["include-hidden-files"])
    if source.is_dir():
        files = files_below(source, hidden=hidden)
    else:
        files = {source.name: source} if source.is_file() else {}
    if not files:
        if inputs["if-no-files-found"] == "error":
            raise ActionFailed(f"No files were found with the provided path: {inputs['path']}.")
        return {}
    overwrite = _is(inputs["overwrite"])
    made = place.github.artifacts.upload(place.run, inputs["name"], files, overwrite=overwrite)
    return {"artifact-id": str(made.number), "artifact-url": f"https://github.com/{made.number}"}


def _download(place: Place, inputs: Inputs) -> Outputs:
    artifacts = place.github.artifacts
    target = place.at(inputs["path"])
    if inputs["name"]:
        found = [one for one in artifacts.of(place.run) if one.name == inputs["name"]]
        if not found:
            raise ActionFailed(f"Artifact '{inputs['name']}' not found")
    else:
        found = artifacts.matching(place.run, inputs["pattern"] or "*")
    together = bool(inputs["name"]) or _is(inputs["merge-multiple"])
    for one in found:
        inside = target if together else target / one.name
        for path, source in files_below(one.folder, hidden=True).items():
            (inside / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, inside / path)
    return {"download-path": str(target)}


def _configure_pages(place: Place, _: Inputs) -> Outputs:
    place.need("pages", "read")
    pages = place.github.pages
    return {
        "base_url": pages.base_url,
        "origin": pages.http,
        "host": pages.address,
        "base_path": pages.prefix,
    }


def _upload_pages(place: Place, inputs: Inputs) -> Outputs:
    root = place.at(inputs["path"])
    if not root.is_dir():
        raise ActionFailed(f"tar: {inputs['path']}: Cannot open: No such file or directory")
    for path in root.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            raise HarnessError(f"Pages takes no links, such as {path.relative_to(root)}")
    files = files_below(root, hidden=_is(inputs["include-hidden-files"]))
    name = inputs["name"]
    made = place.github.artifacts.upload(place.run, name, files, overwrite=False)
    return {"artifact_id": str(made.number)}


def _deploy_pages(place: Place, inputs: Inputs) -> Outputs:
    place.need("pages")
    place.need("id-token")
    if place.environment != "github-pages":
        raise ActionFailed("Missing environment. Ensure your job has an environment.")
    name = inputs["artifact_name"]
    found = [one for one in place.github.artifacts.of(place.run) if one.name == name]
    if len(found) != 1:
        raise ActionFailed(f'No artifacts named "{name}" were found for this workflow run.')
    place.github.deploy(found[0], place.sha)
    if place.github.pages.fails:
        raise ActionFailed("Deployment failed, try again later.")
    return {"page_url": f"{place.github.pages.base_url}/"}


_CACHE = {"path": "", "key": "", "enableCrossOsArchive": "false"}
_RESTORING = {"restore-keys": "", "fail-on-cache-miss": "false", "lookup-only": "false"}

ACTIONS: Mapping[str, Action] = {
    "actions/checkout": Action({"persist-credentials": "true", "fetch-depth": "1"}, _checkout),
    "actions/setup-python": Action(
        {"python-version": "", "cache": "", "check-latest": "false"}, _setup_python
    ),
    "actions/cache": Action({**_CACHE, **_RESTORING, "save-always": "false"}, _cache),
    "actions/cache/restore": Action({**_CACHE, **_RESTORING}, _restore),
    "actions/cache/save": Action({**_CACHE, "upload-chunk-size": ""}, _save),
    "actions/upload-artifact": Action(
        {
            "name": "artifact", "path": "", "if-no-files-found": "warn", "retention-days": "",
            "compression-level": "6", "overwrite": "false", "include-hidden-files": "false",
        },
        _upload,
    ),
    "actions/download-artifact": Action(
        {"name": "", "path": ".", "pattern": "", "merge-multiple": "false"}, _download
    ),
    "actions/configure-pages": Action({"enablement": "false"}, _configure_pages),
    "actions/upload-pages-artifact": Action(
        {
            "name": "github-pages", "path": "_site/", "retention-days": "1",
            "include-hidden-files": "false",
        },
        _upload_pages,
    ),
    "actions/deploy-pages": Action(
        {
            "artifact_name": "github-pages", "timeout": "600000", "error_count": "10",
            "reporting_interval": "5000", "preview": "false",
        },
        _deploy_pages,
    ),
}  # fmt: skip
