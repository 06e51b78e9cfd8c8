"""Runs a whole workflow: which jobs, in which order, one run of a group at a time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.workflow.document import Job, Workflow
from tests.support.workflow.expressions import Scope
from tests.support.workflow.github import BRANCH, REPOSITORY, GitHub
from tests.support.workflow.job import Leg
from tests.support.workflow.process import write_tools
from tests.support.workflow.results import JobResult, LegResult, RunResult
from tests.support.workflow.values import HarnessError, Known, text, truth

MAX_LEGS = 256


@dataclass(frozen=True)
class Event:
    """What starts a run. `payload` is that of a repository_dispatch."""

    name: str = "schedule"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)
    action: str = ""


@dataclass
class _Run:
    """A run that was asked for."""

    number: int
    event: Event
    sha: str
    attempt: int = 1
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass
class Runner:
    """Runs one workflow of a repository, as often as it is asked."""

    workflow: Workflow
    github: GitHub
    folder: Path
    minute: float = 60.0
    legs_at_once: int = 2
    meddle: Callable[[str, int], None] = lambda _job, _run: None
    """Called before each job, with the run's number: what somebody does meanwhile."""
    tools: tuple[Path, Path] = field(init=False)
    _runs: dict[int, _Run] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _running: dict[str, _Run] = field(default_factory=dict)
    _waiting: dict[str, _Run] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tools = write_tools(self.folder / "tools")

    def run(self, event: Event | None = None) -> RunResult:
        """Run the workflow, once those of its group that came first are done. Raises HarnessError.

        Of two that wait, the older one is cancelled.
        """
        event = event or Event()
        self._must_start(event)
        self.github.runs += 1
        run = _Run(self.github.runs, event, self.github.sha)
        self._runs[run.number] = run
        return self._in_turn(run, {})

    def run_again(self, result: RunResult, *, all_jobs: bool = False) -> RunResult:
        """Run what failed again, and what needs it, or all jobs. Raises HarnessError."""
        run = replace(self._runs[result.number], cancelled=threading.Event())
        run.attempt += 1
        self._runs[run.number] = run
        again: set[str] = set()
        for job in self._in_order():
            failed = result.jobs[job.id].result in {"failure", "cancelled"}
            if failed or again & set(job.needs):
                again.add(job.id)
        kept = (
            {} if all_jobs else {key: job for key, job in result.jobs.items() if key not in again}
        )
        return self._in_turn(run, kept, {} if all_jobs else result.jobs)

    def _in_turn(
        self,
        run: _Run,
        kept: Mapping[str, JobResult],
        before: Mapping[str, JobResult] | None = None,
    ) -> RunResult:
        if truth(self.workflow.concurrency.get("cancel-in-progress", False)):
            raise HarnessError("the harness doesn't stop a run for the sake of another")
        group = self._group(run)
        if not self._enter(group or f"run {run.number}", run):
            return RunResult(run.number, conclusion="cancelled")
        try:
            result = self._perform(run, kept, before or {})
        finally:
            with self._changed:
                del self._running[group or f"run {run.number}"]
                self._changed.notify_all()
        if self.github.complaints:
            raise HarnessError("; ".join(self.github.complaints))
        return result

    def group_of(self, event: Event) -> str:
        """The concurrency group that a run of this event would be in."""
        return self._group(_Run(self.github.runs + 1, event, self.github.sha))

    def _group(self, run: _Run) -> str:
        group = self.workflow.concurrency.get("group", "")
        return self._scope(run, ("github", "inputs", "vars")).string(group)

    @property
    def waiting(self) -> int:
        """How many runs wait for another to end."""
        return len(self._waiting)

    def _enter(self, group: str, run: _Run) -> bool:
        with self._changed:
            if group in self._running:
                if self._waiting.get(group):
                    self._waiting[group].cancelled.set()
                self._waiting[group] = run
                self._changed.notify_all()
                self._changed.wait_for(lambda: run.cancelled.is_set() or group not in self._running)
                if run.cancelled.is_set():
                    return False
                del self._waiting[group]
            self._running[group] = run
            return True

    def _must_start(self, event: Event) -> None:
        if event.name not in self.workflow.on:
            raise HarnessError(f"no {event.name} starts this workflow")
        types = (self.workflow.on.get("repository_dispatch") or {}).get("types", [])
        if event.name == "repository_dispatch" and event.action not in types:
            raise HarnessError(f"no {event.action!r} starts this workflow")
        declared = (self.workflow.on.get("workflow_dispatch") or {}).get("inputs") or {}
        if unknown := event.inputs.keys() - declared.keys():
            raise HarnessError(f"there are no inputs {sorted(unknown)}")

    def _perform(
        self, run: _Run, kept: Mapping[str, JobResult], before: Mapping[str, JobResult]
    ) -> RunResult:
        result = RunResult(run.number)
        for job in self._in_order():
            done = before[job.id].legs if job.id in before else []
            result.jobs[job.id] = kept.get(job.id) or self._job(job, run, result, done)
        result.jobs = {key: result.jobs[key] for key in self.workflow.jobs}
        results = set(result.results.values())
        for worst in ("failure", "cancelled"):
            if worst in results:
                result.conclusion = worst
                break
        return result

    def _in_order(self) -> Iterator[Job]:
        left = dict(self.workflow.jobs)
        while left:
            ready = [job for job in left.values() if not left.keys() & set(job.needs)]
            if not ready:
                raise HarnessError(f"jobs that need each other: {', '.join(left)}")
            for job in ready:
                yield left.pop(job.id)

    def _job(
        self, job: Job, run: _Run, so_far: RunResult, before: Sequence[LegResult]
    ) -> JobResult:
        result = JobResult(job.id)
        if self._wanted(job, run, so_far):
            self.meddle(job.id, run.number)
            strategy = self._strategy(job, run, so_far)
            # Of a matrix, those that succeeded aren't run again.
            done = [leg for leg in before if leg.result == "success" and len(before) > 1]
            matrices = [leg.matrix for leg in done]
            strategy["legs"] = [leg for leg in strategy["legs"] if leg not in matrices]
            result.legs = done + self._legs(job, run, so_far, strategy)
            results = [leg.result for leg in result.legs]
            worst = [one for one in ("failure", "cancelled", "success") if one in results]
            result.result = worst[0]
            for leg in result.legs:
                result.outputs |= {key: value for key, value in leg.outputs.items() if value}
        return result

    def _wanted(self, job: Job, run: _Run, so_far: RunResult) -> bool:
        before = [so_far.jobs[name].result for name in _ancestors(job, self.workflow)]
        status = {
            "always": lambda: True,
            # One that was skipped, however far back, is no success.
            "success": lambda: all(one == "success" for one in before),
            "failure": lambda: "failure" in before,
            # Nobody cancels a run that has begun.
            "cancelled": lambda: False,
        }
        names = ("github", "needs", "vars", "inputs")
        contexts = self._contexts(run, job, so_far)
        scope = Scope({name: contexts[name] for name in names}, status)
        return scope.condition(job.condition)

    def _strategy(self, job: Job, run: _Run, so_far: RunResult) -> dict[str, Any]:
        contexts = self._contexts(run, job, so_far)
        scope = Scope({name: contexts[name] for name in ("github", "needs", "vars", "inputs")})
        strategy = {key: scope.value(value) for key, value in (job.strategy or {}).items()}
        matrix = strategy.get("matrix", {})
        if not isinstance(matrix, dict) or matrix.keys() & {"include", "exclude"}:
            raise HarnessError(f"the harness doesn't know the matrix {matrix!r}")
        vectors = {key: scope.value(value) for key, value in matrix.items()}
        for key, values in vectors.items():
            if not isinstance(values, list) or not values:
                raise HarnessError(f"Matrix vector '{key}' does not contain any values: {values!r}")
        legs = [
            dict(zip(vectors, chosen, strict=True))
            for chosen in itertools.product(*vectors.values())
        ]
        if len(legs) > MAX_LEGS:
            raise HarnessError(f"a matrix of {len(legs)} jobs")
        return {
            "legs": legs,
            "fail-fast": truth(strategy.get("fail-fast", True)),
            "max-parallel": int(strategy.get("max-parallel", MAX_LEGS)),
        }

    def _legs(
        self, job: Job, run: _Run, so_far: RunResult, strategy: Mapping[str, Any]
    ) -> list[LegResult]:
        stops = [threading.Event() for _ in strategy["legs"]]

        def perform(place: int) -> LegResult:
            leg = self._leg(job, run, so_far, strategy["legs"][place], stops[place])
            done = leg.perform()
            if done.result == "failure" and strategy["fail-fast"]:
                for stop in stops:
                    stop.set()
            return done

        workers = min(self.legs_at_once, strategy["max-parallel"])
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(perform, range(len(stops))))

    def _leg(
        self,
        job: Job,
        run: _Run,
        so_far: RunResult,
        matrix: dict[str, Any],
        stop: threading.Event,
    ) -> Leg:
        token = self.github.token(f"{run.number} {job.id}", job.permissions)
        contexts = self._contexts(run, job, so_far)
        contexts["github"] |= {"token": token, "job": job.id}
        contexts["matrix"] = Known(matrix)
        name = "-".join([job.id, *(text(value) for value in matrix.values())])
        return Leg(
            job=job,
            github=self.github,
            run=run.number,
            folder=self._folder(run) / name,
            tools=self.tools,
            contexts=contexts,
            workflow_env=self.workflow.env,
            matrix=matrix,
            cancelled=stop,
            minute=self.minute,
        )

    def _folder(self, run: _Run) -> Path:
        again = f"-{run.attempt}" if run.attempt > 1 else ""
        return self.folder / f"run-{run.number}{again}"

    def _contexts(self, run: _Run, job: Job, so_far: RunResult) -> dict[str, Any]:
        contexts = self._of_run(run)
        contexts["needs"] = Known(
            {
                name: Known(
                    result=so_far.jobs[name].result,
                    outputs=Known(
                        dict.fromkeys(self.workflow.jobs[name].outputs) | so_far.jobs[name].outputs
                    ),
                )
                for name in job.needs
            }
        )
        contexts["strategy"] = Known()
        contexts["matrix"] = Known()
        return contexts

    def _scope(self, run: _Run, names: tuple[str, ...]) -> Scope:
        contexts = self._of_run(run)
        return Scope({name: contexts[name] for name in names})

    def _of_run(self, run: _Run) -> dict[str, Any]:
        return {
            "github": self._github(run),
            "vars": dict(self.github.variables),
            "secrets": dict(self.github.secrets),
            "inputs": self._inputs(run.event),
        }

    def _github(self, run: _Run) -> Known:
        event: dict[str, Any] = {"repository": {"full_name": REPOSITORY}}
        if run.event.name == "repository_dispatch":
            event |= {"action": run.event.action, "client_payload": dict(run.event.payload)}
        return Known(
            event_name=run.event.name,
            event=event,
            sha=run.sha,
            ref=f"refs/heads/{BRANCH}",
            ref_name=BRANCH,
            repository=REPOSITORY,
            repository_owner=REPOSITORY.partition("/")[0],
            run_id=str(9000 + run.number),
            run_number=str(run.number),
            run_attempt=str(run.attempt),
            actor="somebody",
            workflow=self.workflow.name,
            server_url="https://github.com",
            api_url=self.github.http,
            job="",
            token="",
        )

    def _inputs(self, event: Event) -> Known:
        declared = (self.workflow.on.get("workflow_dispatch") or {}).get("inputs") or {}
        if event.name != "workflow_dispatch":
            # None of them is there then; what names another one is still a mistake.
            return Known(dict.fromkeys(declared))
        found = Known()
        for name, about in declared.items():
            value = event.inputs.get(name, about.get("default"))
            boolean = about.get("type") == "boolean"
            found[name] = truth(value) if boolean else text(value)
        return found


def _ancestors(job: Job, workflow: Workflow) -> set[str]:
    """All that a job needs, and what those need."""
    found = set(job.needs)
    for name in job.needs:
        found |= _ancestors(workflow.jobs[name], workflow)
    return found
