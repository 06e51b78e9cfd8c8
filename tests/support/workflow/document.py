"""A workflow file, read into values; a key that nothing here stands for is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.workflow.values import HarnessError

EVENTS = {"schedule", "workflow_dispatch", "repository_dispatch", "push", "pull_request"}
SCOPES = {
    "actions", "attestations", "checks", "contents", "deployments", "id-token", "issues",
    "packages", "pages", "pull-requests", "security-events", "statuses",
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """YAML as GitHub reads it: `on` is a word, and a key comes once."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":bool", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    list("tTfF"),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str) or key in found or key == "<<":
            raise HarnessError(f"the key {key!r}, {key_node.start_mark}")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


@dataclass(frozen=True)
class Step:
    """One step, with nothing evaluated."""

    name: str
    id: str | None = None
    condition: Any = None
    uses: str | None = None
    run: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    shell: str | None = None
    folder: str | None = None
    continue_on_error: Any = False
    timeout_minutes: Any = None


@dataclass(frozen=True)
class Job:
    """One job, with nothing evaluated."""

    id: str
    name: str
    needs: tuple[str, ...]
    condition: Any
    permissions: Mapping[str, str]
    env: Mapping[str, Any]
    shell: str | None
    strategy: Mapping[str, Any] | None
    outputs: Mapping[str, Any]
    timeout_minutes: Any
    environment: Mapping[str, Any]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Workflow:
    """A workflow file."""

    name: str
    on: Mapping[str, Any]
    env: Mapping[str, Any]
    concurrency: Mapping[str, Any]
    jobs: Mapping[str, Job]


def load(source: Path | str) -> Workflow:
    """Read a workflow. Raises HarnessError for what the harness doesn't know."""
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    whole = _only(
        yaml.load(text, _Loader),  # noqa: S506 - it is a SafeLoader
        {"name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"},
        "the workflow",
    )
    shell = _shell(whole)
    granted = _permissions(whole.get("permissions"), "the workflow")
    jobs = {key: _job(key, value, shell, granted) for key, value in whole["jobs"].items()}
    for job in jobs.values():
        for needed in job.needs:
            if needed not in jobs:
                raise HarnessError(f"the job {job.id} needs {needed}, which isn't there")
    concurrency = whole.get("concurrency") or {}
    if isinstance(concurrency, str):
        concurrency = {"group": concurrency}
    return Workflow(
        name=whole.get("name", ""),
        on=_events(whole["on"]),
        env=whole.get("env") or {},
        concurrency=_only(concurrency, {"group", "cancel-in-progress"}, "concurrency"),
        jobs=jobs,
    )


def _only(value: Any, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise HarnessError(f"{where} must be a mapping, not {value!r}")
    unknown = value.keys() - known
    if unknown:
        raise HarnessError(f"{where}: the harness doesn't know {sorted(unknown)}")
    return value


def _events(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = {value: None}
    if isinstance(value, list):
        value = dict.fromkeys(value)
    events = _only(value, EVENTS, "on")
    dispatch = _only(events.get("workflow_dispatch") or {}, {"inputs"}, "workflow_dispatch")
    for name, about in (dispatch.get("inputs") or {}).items():
        known = {"description", "type", "default", "required", "options"}
        _only(about, known, f"the input {name}")
        if about.get("type", "string") not in {"string", "boolean", "choice", "number"}:
            raise HarnessError(f"the input {name} has the type {about['type']!r}")
    _only(events.get("repository_dispatch") or {}, {"types"}, "repository_dispatch")
    return events


def _shell(value: Mapping[str, Any]) -> str | None:
    defaults = _only(value.get("defaults") or {}, {"run"}, "defaults")
    run = _only(defaults.get("run") or {}, {"shell"}, "defaults.run")
    shell: str | None = run.get("shell")
    return shell


def _permissions(value: Any, where: str) -> dict[str, str] | None:
    if value is None:
        return None
    granted = _only(value, SCOPES, f"the permissions of {where}")
    if not set(granted.values()) <= {"read", "write", "none"}:
        raise HarnessError(f"the permissions of {where}: {granted}")
    return granted


def _job(key: str, value: Any, shell: str | None, granted: Mapping[str, str] | None) -> Job:
    job = _only(
        value,
        {
            "name", "needs", "if", "runs-on", "permissions", "env", "defaults", "strategy",
            "outputs", "timeout-minutes", "environment", "steps",
        },
        f"the job {key}",
    )  # fmt: skip
    if not str(job.get("runs-on", "")).startswith("ubuntu-"):
        raise HarnessError(f"the job {key} runs on {job.get('runs-on')!r}")
    needs = job.get("needs") or []
    own = _permissions(job.get("permissions"), f"the job {key}")
    effective = granted if own is None else own
    if effective is None:
        raise HarnessError(f"the job {key} has whatever permissions the repository gives")
    environment = job.get("environment") or {}
    if isinstance(environment, str):
        environment = {"name": environment}
    strategy = job.get("strategy")
    if strategy is not None:
        _only(strategy, {"matrix", "fail-fast", "max-parallel"}, f"the strategy of {key}")
    return Job(
        id=key,
        name=job.get("name", key),
        needs=(needs,) if isinstance(needs, str) else tuple(needs),
        condition=job.get("if"),
        permissions=effective,
        env=job.get("env") or {},
        shell=_shell(job) or shell,
        strategy=strategy,
        outputs=job.get("outputs") or {},
        timeout_minutes=job.get("timeout-minutes"),
        environment=_only(environment, {"name", "url"}, f"the environment of {key}"),
        steps=_steps(key, job["steps"]),
    )


def _steps(job: str, values: list[Any]) -> tuple[Step, ...]:
    steps = tuple(_step(f"step {place} of {job}", one) for place, one in enumerate(values, 1))
    ids = [step.id for step in steps if step.id is not None]
    if len(set(ids)) < len(ids):
        raise HarnessError(f"the job {job} has two steps of one id")
    return steps


def _step(where: str, value: Any) -> Step:
    step = _only(
        value,
        {
            "name", "id", "if", "uses", "run", "with", "env", "shell", "working-directory",
            "continue-on-error", "timeout-minutes",
        },
        where,
    )  # fmt: skip
    if ("run" in step) == ("uses" in step):
        raise HarnessError(f"{where} must have one of run and uses")
    first = str(step.get("run") or step.get("uses")).strip().splitlines()[0]
    return Step(
        name=step.get("name", first),
        id=step.get("id"),
        condition=step.get("if"),
        uses=step.get("uses"),
        run=step.get("run"),
        inputs=step.get("with") or {},
        env=step.get("env") or {},
        shell=step.get("shell"),
        folder=step.get("working-directory"),
        continue_on_error=step.get("continue-on-error", False),
        timeout_minutes=step.get("timeout-minutes"),
    )
