"""What holds for every workflow: nobody from outside can make one do what it isn't for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from indexer.config import PREFIX
from indexer.settings import READERS

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_USES = re.compile(r"^ +(?:- )?uses: (\S+) # (v\d+\.\d+\.\d+)$", re.MULTILINE)
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_SHELL_NAME = re.compile(r"\$\{?([A-Z][A-Z_]+)")
# What a runner sets in every step, or, of the last two, where a job may ask for a token.
_RUNNERS = {
    "GITHUB_ACTOR", "GITHUB_OUTPUT", "GITHUB_REF_NAME", "GITHUB_REPOSITORY", "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID", "GITHUB_SHA", "GITHUB_STEP_SUMMARY",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL",
}  # fmt: skip

# Who may do what, and no more.
PERMISSIONS = {
    "index.yml": {
        "plan": {"contents": "read", "packages": "read", "pages": "read"},
        "part": {"contents": "read", "packages": "read"},
        "join": {"contents": "read"},
        "deploy": {"pages": "write", "id-token": "write"},
        "verify": {"contents": "read"},
        "redeploy": {"contents": "write", "pages": "write", "id-token": "write"},
        "reverify": {"contents": "read"},
        "report": {"issues": "write"},
    },
    "ci.yml": {"test": {"contents": "read"}, "lint": {"contents": "read"}},
    "release.yml": {"build": {"contents": "read"}, "publish": {"id-token": "write"}},
}


def load(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


INDEX = load(ROOT / ".github" / "workflows" / "index.yml")


def triggers(workflow: dict[Any, Any]) -> Any:
    # YAML 1.1 reads the word "on" as true.
    return workflow[True]


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            yield path.name, name, job


def steps() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for file, name, job in jobs():
        for step in job["steps"]:
            title = step.get("name") or step.get("uses") or step["run"]
            yield f"{file}: {name}: {title}", job, step


JOBS = [pytest.param(*job, id=f"{job[0]}: {job[1]}") for job in jobs()]
STEPS = [pytest.param(*step[1:], id=step[0]) for step in steps()]
RUNS = [
    pytest.param(place.partition(":")[0], job, step, id=place)
    for place, job, step in steps()
    if "run" in step
]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r" +(- )?uses:", line)]
    said = _USES.findall(text)
    assert len(said) == len(lines)
    for action, _ in said:
        assert _PINNED.fullmatch(action)


def test_an_action_is_pinned_at_one_commit_everywhere() -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for path in WORKFLOWS:
        for action, version in _USES.findall(path.read_text(encoding="utf-8")):
            name, _, commit = action.partition("@")
            # Two actions of one repository come from one commit.
            pins.setdefault("/".join(name.split("/")[:2]), set()).add((commit, version))
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_do_what_it_is_for_and_no_more(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == PERMISSIONS[
        path.name
    ]


@pytest.mark.parametrize(("file", "name", "job"), JOBS)
def test_nothing_that_was_installed_runs_where_something_may_be_written(
    file: str, name: str, job: dict[str, Any]
) -> None:
    del file, name
    if "write" in job["permissions"].values():
        assert not any("checkout" in step.get("uses", "") for step in job["steps"])
        assert not any(
            word in step.get("run", "") for step in job["steps"] for word in ("pip", "make")
        )


@pytest.mark.parametrize(("file", "name", "job"), JOBS)
def test_no_job_runs_for_hours(file: str, name: str, job: dict[str, Any]) -> None:
    del file, name
    assert job["timeout-minutes"] <= 75
    # What takes too long fails in its step. Of a whole job it would count as cancelled, and nobody
    # would be told.
    limits = [step["timeout-minutes"] for step in job["steps"] if "timeout-minutes" in step]
    assert all(limit < job["timeout-minutes"] for limit in limits)


@pytest.mark.parametrize(("job", "step"), STEPS)
def test_no_checkout_leaves_its_token_behind(job: dict[str, Any], step: dict[str, Any]) -> None:
    del job
    if step.get("uses", "").startswith("actions/checkout@"):
        assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("file", "job", "step"), RUNS)
def test_no_value_gets_into_a_shell_line_but_by_the_environment(
    file: str, job: dict[str, Any], step: dict[str, Any]
) -> None:
    assert "${{" not in step["run"]
    known = step.get("env", {}).keys() | job.get("env", {}).keys() | _RUNNERS
    set_here = set(re.findall(r"^ *(?:.*! )?([A-Z_]+)=", step["run"], re.MULTILINE))
    assert set(_SHELL_NAME.findall(step["run"])) <= known | set_here, file


@pytest.mark.parametrize(("file", "job", "step"), RUNS)
def test_the_shell_can_read_every_line(
    file: str, job: dict[str, Any], step: dict[str, Any]
) -> None:
    del file, job
    done = subprocess.run(
        ["bash", "-n"], input=step["run"], text=True, capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("file", "name", "job"), JOBS)
def test_a_job_looks_at_those_alone_that_it_waits_for(
    file: str, name: str, job: dict[str, Any]
) -> None:
    del file
    needs = job.get("needs", [])
    looked_at = set(re.findall(r"\bneeds\.([\w-]+)", yaml.safe_dump(job)))
    assert looked_at <= set([needs] if isinstance(needs, str) else needs), name


def test_an_output_that_is_looked_at_is_there() -> None:
    for name, job in INDEX["jobs"].items():
        for needed, output in re.findall(
            r"\bneeds\.([\w-]+)\.outputs\.([\w-]+)", yaml.safe_dump(job)
        ):
            assert output in INDEX["jobs"][needed]["outputs"], name
        ids = {step.get("id") for step in job["steps"]}
        assert set(re.findall(r"\bsteps\.([\w-]+)", yaml.safe_dump(job))) <= ids, name


def test_every_variable_that_is_set_is_a_setting() -> None:
    # A variable that begins with CF_INDEX_ and is none ends every command with exit code 2.
    settings = {PREFIX + name.upper() for name in READERS} | {"CF_INDEX_GITHUB_TOKEN"}
    for place, _, step in steps():
        set_here = {name for name in step.get("env", {}) if name.startswith(PREFIX)}
        assert set_here <= settings, place


def test_what_comes_with_an_event_is_looked_at_in_the_environment_alone() -> None:
    for place, _, step in steps():
        rest = {key: value for key, value in step.items() if key not in {"env", "if"}}
        for expression in _EXPRESSION.findall(yaml.safe_dump(rest)):
            assert "github.event" not in expression, place
            assert "inputs" not in expression, place


def test_it_runs_every_15_minutes_and_never_on_the_hour() -> None:
    assert triggers(INDEX)["schedule"] == [{"cron": "7,22,37,52 * * * *"}]


def test_it_can_be_started_by_hand_and_by_whoever_validates() -> None:
    inputs = triggers(INDEX)["workflow_dispatch"]["inputs"]
    assert {name: item["type"] for name, item in inputs.items()} == {
        "full": "boolean",
        "allow-drop": "boolean",
        "package": "string",
        "restore": "string",
    }
    assert triggers(INDEX)["repository_dispatch"] == {"types": ["validated"]}


def test_a_publication_that_has_begun_is_never_stopped_by_another() -> None:
    concurrency = INDEX["concurrency"]
    assert concurrency["cancel-in-progress"] is False
    # But for runs that do nothing (tests/workflow/test_events.py), there is one group.
    assert concurrency["group"].endswith("|| 'index' }}")


def test_a_release_takes_nothing_from_a_cache() -> None:
    release = ROOT / ".github" / "workflows" / "release.yml"
    for job in load(release)["jobs"].values():
        for step in job["steps"]:
            assert "actions/cache" not in step.get("uses", "")
            assert "cache" not in step.get("with", {})
    assert triggers(load(release)) == {"push": {"tags": ["v*"]}}


def test_what_was_read_is_kept_however_a_run_ends() -> None:
    for name in ("part", "join"):
        job = INDEX["jobs"][name]
        saved = [
            step
            for step in job["steps"]
            if step.get("uses", "").startswith("actions/cache/save@")
            and step["with"]["path"] == ".cf-index"
        ]
        assert [step["if"] for step in saved] == ["always()"], name


def test_caches_are_restored_by_a_prefix_of_what_is_saved() -> None:
    saved, wanted = set(), set()
    for job in INDEX["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/cache/save@"):
                saved.add((step["with"]["path"], step["with"]["key"]))
            elif step.get("uses", "").startswith("actions/cache/restore@"):
                wanted.add((step["with"]["path"], step["with"]["restore-keys"]))
                assert step["with"]["key"].startswith(step["with"]["restore-keys"])
    assert len(saved) == len(wanted) == 3
    for path, prefix in wanted:
        # A slash ends it: linux-6 would otherwise be given what linux-64 has kept.
        assert prefix.endswith("/")
        assert any(path == other and key.startswith(prefix) for other, key in saved)
