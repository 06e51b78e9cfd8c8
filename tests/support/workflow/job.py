"""Runs one job (or one of its matrix) in a workspace and a HOME of its own."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.workflow.actions import Place, use
from tests.support.workflow.commands import (
    FormatError,
    read_environment,
    read_log,
    read_settings,
    read_summary,
)
from tests.support.workflow.document import Job, Step
from tests.support.workflow.expressions import Scope
from tests.support.workflow.github import GitHub
from tests.support.workflow.process import Ended, run_script
from tests.support.workflow.results import LegResult, StepResult
from tests.support.workflow.stores import ActionFailed
from tests.support.workflow.values import HarnessError, Known, text, truth

INSTALL = "Install"
_PIP = re.compile(r"python3? -m pip install [^\n;&|$`]+")
_FILES = {
    "GITHUB_OUTPUT": "output", "GITHUB_ENV": "env", "GITHUB_PATH": "path",
    "GITHUB_STEP_SUMMARY": "summary", "GITHUB_STATE": "state",
}  # fmt: skip
# Where each may be named, of what the whole run has; GitHub refuses the rest.
_ANYWHERE = ("github", "needs", "strategy", "matrix", "vars", "inputs")
_IN_STEPS = (*_ANYWHERE, "job", "runner", "env", "steps")


@dataclass
class Leg:
    """One job that is to be run."""

    job: Job
    github: GitHub
    run: int
    folder: Path
    tools: tuple[Path, Path]
    contexts: Mapping[str, Any]
    """All but env, steps, job and runner, which are the job's own."""
    workflow_env: Mapping[str, Any]
    matrix: Mapping[str, Any]
    cancelled: threading.Event
    minute: float = 60.0
    """How many seconds a minute has here."""
    status: str = "success"
    masks: set[str] = field(default_factory=set)
    env: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    steps: dict[str, Any] = field(default_factory=dict)

    def perform(self) -> LegResult:
        """Run the steps. Raises HarnessError."""
        result = LegResult(self.matrix)
        deadline = self._deadline(self.job.timeout_minutes, 360)
        place = self._prepare()
        for step in self.job.steps:
            result.steps.append(self._step(step, place, deadline))
            if time.monotonic() > deadline:
                self.cancelled.set()
            if self.cancelled.is_set():
                self.status = "cancelled"
        if self.status == "success":
            for later in place.later:
                later()
        result.result = self.status
        result.outputs = self._outputs()
        return result

    def _prepare(self) -> Place:
        for name in ("work", "home", "temp"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "event.json").write_text(json.dumps(self.contexts["github"]["event"]))
        self.masks |= {value for value in self.contexts["secrets"].values() if value}
        self.masks.add(self.contexts["github"]["token"])
        self.steps = Known(
            {
                step.id: {"outputs": {}, "outcome": None, "conclusion": None}
                for step in self.job.steps
                if step.id is not None
            }
        )
        self.env = self._strings(self.workflow_env, "github", "secrets", "inputs", "vars")
        self.env |= self._strings(self.job.env, *_ANYWHERE, "secrets")
        github = self.contexts["github"]
        environment = self._scope(*_ANYWHERE).string(self.job.environment.get("name", ""))
        return Place(
            self.github, self.run, github["sha"], self.folder / "work", self.folder / "home",
            self.job.permissions, environment,
        )  # fmt: skip

    def _scope(self, *names: str) -> Scope:
        own = {
            "env": self.env,
            "steps": self.steps,
            "job": Known(status=self.status),
            "runner": Known(temp=str(self.folder / "temp"), os="Linux", arch="X64", name="here"),
        }
        status = {
            "always": lambda: True,
            "success": lambda: self.status == "success",
            "failure": lambda: self.status == "failure",
            "cancelled": lambda: self.status == "cancelled",
        }
        return Scope({name: (own | dict(self.contexts))[name] for name in names}, status)

    def _strings(self, values: Mapping[str, Any], *names: str) -> dict[str, str]:
        scope = self._scope(*names)
        return {key: scope.string(value) for key, value in values.items()}

    def _deadline(self, minutes: Any, default: float) -> float:
        value = self._scope(*_ANYWHERE).value(minutes)
        return time.monotonic() + float(default if value is None else value) * self.minute

    def _step(self, step: Step, place: Place, deadline: float) -> StepResult:
        result = StepResult(step.name)
        if self._scope(*_IN_STEPS).condition(step.condition):
            began = time.monotonic()
            own = self._deadline(step.timeout_minutes, 360)
            self._perform(step, result, place, min(own, deadline))
            result.seconds = time.monotonic() - began
            forgiven = truth(self._scope(*_IN_STEPS).value(step.continue_on_error))
            failed = result.outcome == "failure"
            result.conclusion = "success" if failed and forgiven else result.outcome
            if result.conclusion == "failure" and self.status == "success":
                self.status = "failure"
        if step.id is not None:
            self.steps[step.id] = {
                "outputs": result.outputs,
                "outcome": result.outcome,
                "conclusion": result.conclusion,
            }
        return result

    def _perform(self, step: Step, result: StepResult, place: Place, deadline: float) -> None:
        scope = self._scope(*_IN_STEPS, "secrets")
        env = {key: scope.string(value) for key, value in step.env.items()}
        if step.uses is not None:
            given = {key: scope.string(value) for key, value in step.inputs.items()}
            try:
                result.outputs = use(step.uses, given, place)
                result.outcome = "success"
            except ActionFailed as error:
                result.outcome, result.log = "failure", f"##[error]{error}"
            return
        script = scope.string(step.run)
        if step.name == INSTALL:
            if not _PIP.fullmatch(script.strip()):
                raise HarnessError(f"Install is more than one pip install: {script!r}")
            self.path.insert(0, str(self.tools[1]))
            result.outcome = "success"
            return
        folder = self.folder / "steps" / str(len(list(self.folder.glob("steps/*"))))
        self._run(step, script, env, folder, result, deadline)

    def _run(
        self,
        step: Step,
        script: str,
        env: Mapping[str, str],
        folder: Path,
        result: StepResult,
        deadline: float,
    ) -> None:
        folder.mkdir(parents=True)
        for name in _FILES.values():
            (folder / name).touch()
        (folder / "script.sh").write_text(script, encoding="utf-8")
        where = self._scope(*_IN_STEPS, "secrets").string(step.folder or "")
        ended = run_script(
            folder / "script.sh",
            step.shell or self.job.shell,
            cwd=self.folder / "work" / where,
            env=self._environment(env, folder),
            deadline=deadline,
            cancelled=self.cancelled,
        )
        said = read_log(ended.log)
        self.masks |= set(said.masks)
        result.annotations = said.annotations
        result.outcome = "success" if ended.code == 0 and not ended.stopped else "failure"
        if ended.stopped == "cancelled":
            result.outcome = "cancelled"
        result.log = self._masked(ended)
        self._collect(folder, result)

    def _collect(self, folder: Path, result: StepResult) -> None:
        result.summary = read_summary(folder / "summary")
        try:
            result.outputs = read_settings(folder / "output")
            self.env |= read_environment(folder / "env")
        except FormatError as error:
            result.outcome = "failure"
            result.log += f"\n##[error]{error}"
        self.path[:0] = (folder / "path").read_text(encoding="utf-8").splitlines()[::-1]

    def _masked(self, ended: Ended) -> str:
        log = ended.log
        for mask in sorted(self.masks, key=len, reverse=True):
            log = log.replace(mask, "***")
        end = f"##[error]{ended.stopped}" if ended.stopped else f"(exit {ended.code})"
        return f"{log}{end}"

    def _environment(self, env: Mapping[str, str], folder: Path) -> dict[str, str]:
        github = self.contexts["github"]
        path = [*self.path, str(self.tools[0]), "/usr/local/bin", "/usr/bin", "/bin"]
        own = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "PATH": ":".join(path),
            # The authorities that this machine trusts.
            **{key: os.environ[key] for key in ("SSL_CERT_FILE",) if key in os.environ},
            "RUNNER_TEMP": str(self.folder / "temp"),
            "RUNNER_OS": "Linux",
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            "GITHUB_WORKSPACE": str(self.folder / "work"),
            "GITHUB_JOB": self.job.id,
        }
        for name in (
            "actor", "api_url", "event_name", "ref", "ref_name", "repository", "repository_owner",
            "run_attempt", "run_id", "run_number", "server_url", "sha", "workflow",
        ):  # fmt: skip
            own[f"GITHUB_{name.upper()}"] = github[name]
        if self.job.permissions.get("id-token") == "write":
            job = f"{self.run} {self.job.id}"
            own["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = self.github.proof_token(job)
            own["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{self.github.http}/-/oidc?api-version=2.0"
        files = {name: str(folder / inside) for name, inside in _FILES.items()}
        return {**self.env, **env, **own, **files}

    def _outputs(self) -> dict[str, str]:
        scope = self._scope(*_IN_STEPS)
        outputs = {key: text(scope.value(value)) for key, value in self.job.outputs.items()}
        for key, value in outputs.items():
            # GitHub leaves such an output out, and goes on.
            if any(mask in value for mask in self.masks):
                raise HarnessError(f"the output {key} of {self.job.id} has a secret in it")
        return outputs
