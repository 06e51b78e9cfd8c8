"""What came of a run, its jobs and their steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.workflow.commands import Annotation


@dataclass
class StepResult:
    """One step. `outcome` is how it went, `conclusion` what counts for those after it."""

    name: str
    outcome: str = "skipped"
    conclusion: str = "skipped"
    log: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    seconds: float = 0.0


@dataclass
class LegResult:
    """One job, or one of a matrix: `matrix` tells which."""

    matrix: Mapping[str, object]
    result: str = "success"
    steps: list[StepResult] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    def step(self, name: str) -> StepResult:
        """A step by its name."""
        (found,) = (step for step in self.steps if step.name == name)
        return found


@dataclass
class JobResult:
    """One job with all of its matrix; one that was skipped has no legs."""

    id: str
    result: str = "skipped"
    legs: list[LegResult] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    def step(self, name: str) -> StepResult:
        """A step by its name, of a job without a matrix."""
        (leg,) = self.legs
        return leg.step(name)


@dataclass
class RunResult:
    """A whole run."""

    number: int
    jobs: dict[str, JobResult] = field(default_factory=dict)
    conclusion: str = "success"

    @property
    def results(self) -> dict[str, str]:
        """How each job went."""
        return {key: job.result for key, job in self.jobs.items()}

    @property
    def steps(self) -> list[StepResult]:
        """Every step that there was, in the order of the file."""
        return [step for job in self.jobs.values() for leg in job.legs for step in leg.steps]

    @property
    def summary(self) -> str:
        """The run's page."""
        return "\n".join(step.summary for step in self.steps if step.summary)

    @property
    def annotations(self) -> list[Annotation]:
        """What is shown beside the run."""
        return [one for step in self.steps for one in step.annotations]

    @property
    def log(self) -> str:
        """Everything that was printed, for a test that fails."""
        return "\n".join(
            f"--- {key} {dict(leg.matrix) or ''}: {step.name}: {step.outcome}"
            f" ({step.seconds:.1f} s)\n{step.log}"
            for key, job in self.jobs.items()
            for leg in job.legs
            for step in leg.steps
            if step.outcome != "skipped"
        )
