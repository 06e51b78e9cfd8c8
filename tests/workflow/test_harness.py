"""The harness does what GitHub does, and passes nothing over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from textwrap import dedent, indent

import pytest

from indexer.new_channel.content import workflow_file
from tests.support.waiting import wait_until
from tests.support.workflow.channel import WORKFLOW
from tests.support.workflow.document import load
from tests.support.workflow.github import GitHub
from tests.support.workflow.running import Event, Runner
from tests.support.workflow.values import HarnessError

PIN = "3d3c42e5aac5ba805825da76410c181273ba90b1"
Make = Callable[[str], Runner]


def workflow(jobs: str, *, on: str = "{schedule: [{cron: '7 * * * *'}]}", rest: str = "") -> str:
    head = f"name: Test\non: {on}\npermissions: {{}}\n{rest}\njobs:\n"
    return head + indent(dedent(jobs), "  ")


def one_job(steps: str, more: str = "") -> str:
    job = "one:\n  runs-on: ubuntu-24.04\n" + indent(dedent(more), "  ")
    return workflow(f"{job}\n  steps:\n{indent(dedent(steps), '    ')}")


def test_steps_hand_values_on_as_the_runner_lets_them(runner_of: Make) -> None:
    runner = runner_of(
        one_job(
            """
            - id: first
              run: |
                echo "name=value=with" >> "$GITHUB_OUTPUT"
                printf 'many<<END\\none\\ntwo\\nEND\\n' >> "$GITHUB_OUTPUT"
                echo "LATER=yes" >> "$GITHUB_ENV"
                mkdir "$HOME/bin" && printf '#!/bin/sh\\necho mine' > "$HOME/bin/mine"
                chmod +x "$HOME/bin/mine"
                echo "$HOME/bin" >> "$GITHUB_PATH"
                echo "# Said" >> "$GITHUB_STEP_SUMMARY"
            - env:
                NAME: ${{ steps.first.outputs.name }}
                MANY: ${{ steps.first.outputs.many }}
              run: echo "$NAME|$MANY|$LATER|$(mine)|$TOP|${{ env.LATER }}"
            """,
            "env: {TOP: '${{ github.event_name }}'}",
        )
    )
    result = runner.run()
    assert result.conclusion == "success", result.log
    assert "value=with|one\ntwo|yes|mine|schedule|yes" in result.steps[1].log
    assert result.summary == "# Said\n"


def test_a_failed_step_ends_the_job_but_for_those_that_ask(runner_of: Make) -> None:
    runner = runner_of(
        one_job(
            """
            - run: "false | cat"
              shell: bash
            - run: exit 7
              if: always()
              continue-on-error: true
            - run: echo no
            - run: echo told
              if: failure()
            """
        )
    )
    result = runner.run()
    assert [step.outcome for step in result.steps] == ["failure", "failure", "skipped", "success"]
    assert result.conclusion == "failure"


def test_without_a_shell_named_a_pipe_may_fail(runner_of: Make) -> None:
    assert runner_of(one_job("- run: 'false | cat'")).run().conclusion == "success"


def test_jobs_after_one_that_was_skipped_or_failed(runner_of: Make) -> None:
    base = "{runs-on: ubuntu-24.04, steps: [{run: 'true'}]"
    jobs = f"""
        off: {base}, if: "vars.ON == 'true'"}}
        after-off: {base}, needs: off}}
        anyway: {base}, needs: after-off, if: "always()"}}
        after-anyway: {base}, needs: anyway}}
        bad: {{runs-on: ubuntu-24.04, steps: [{{run: 'false'}}]}}
        after-bad: {base}, needs: bad}}
        told: {base}, needs: after-bad, if: failure()}}
        asks: {base}, needs: [bad, off], if: "!cancelled() && needs.bad.result == 'failure'"}}
    """
    assert runner_of(workflow(jobs)).run().results == {
        "off": "skipped",
        "after-off": "skipped",
        "anyway": "success",
        # Its own need succeeded, but one before that was skipped.
        "after-anyway": "skipped",
        "bad": "failure",
        "after-bad": "skipped",
        "told": "success",
        "asks": "success",
    }


def test_a_matrix_runs_a_job_for_each_and_gives_one_result(runner_of: Make) -> None:
    jobs = """
        plan:
          runs-on: ubuntu-24.04
          outputs: {all: '${{ steps.it.outputs.all }}'}
          steps: [{id: it, run: 'echo all=[\\"a\\",\\"b\\"] >> $GITHUB_OUTPUT'}]
        each:
          runs-on: ubuntu-24.04
          needs: plan
          strategy: {fail-fast: false, matrix: {one: '${{ fromJSON(needs.plan.outputs.all) }}'}}
          steps: [{run: 'test "$ONE" = a', env: {ONE: '${{ matrix.one }}'}}]
    """
    result = runner_of(workflow(jobs)).run()
    assert [leg.result for leg in result.jobs["each"].legs] == ["success", "failure"]
    assert result.results == {"plan": "success", "each": "failure"}


def test_fail_fast_stops_the_others(runner_of: Make) -> None:
    jobs = """
        each:
          runs-on: ubuntu-24.04
          strategy: {matrix: {one: [good, bad]}}
          steps:
            - run: '[ "${{ matrix.one }}" = good ] || exit 1; read -t 60 < <(tail -f /dev/null)'
            - {run: echo cleaned, if: cancelled()}
    """
    result = runner_of(workflow(jobs)).run()
    good, bad = result.jobs["each"].legs
    assert [good.result, bad.result] == ["cancelled", "failure"]
    assert good.steps[1].outcome != "skipped"


def test_time_is_bounded_by_job_and_by_step(runner_of: Make) -> None:
    wait = "read -t 60 < <(tail -f /dev/null)"
    step = runner_of(one_job(f"- {{run: '{wait}', timeout-minutes: 0.3}}")).run()
    assert step.results == {"one": "failure"}


def test_a_job_out_of_time_counts_as_cancelled(runner_of: Make) -> None:
    wait = "read -t 60 < <(tail -f /dev/null)"
    job = runner_of(one_job(f"- run: '{wait}'", "timeout-minutes: 0.3")).run()
    assert job.results == {"one": "cancelled"}


def test_permissions_are_those_of_the_job(runner_of: Make, github: GitHub) -> None:
    steps = """
        - run: gh issue list --json number
        - env: {GH_TOKEN: '${{ github.token }}', GH_REPO: '${{ github.repository }}'}
          if: always()
          run: |
            gh issue list --json number --jq '.[].number'
            gh issue create --title T --body "$GH_TOKEN" || echo "can't: $?"
    """
    result = runner_of(one_job(steps, "permissions: {issues: read}")).run()
    assert "set the GH_TOKEN" in result.steps[0].log
    assert "Resource not accessible by integration (HTTP 403)" in result.steps[1].log
    assert github.issues == {}


def test_what_is_masked_is_not_in_the_log(runner_of: Make, github: GitHub) -> None:
    github.secrets["S"] = "hunter2"
    steps = """
        - run: |
            echo "::add-mask::other"
            echo "$S and other"
          env: {S: '${{ secrets.S }}'}
    """
    assert "*** and ***" in runner_of(one_job(steps)).run().steps[0].log


def test_annotations_are_read_and_bounded(runner_of: Make) -> None:
    steps = "- run: 'for n in $(seq COUNT); do echo \"::error title=T%3A::$n%0Amore\"; done'"
    result = runner_of(one_job(steps.replace("COUNT", "10"))).run()
    assert len(result.annotations) == 10
    assert (result.annotations[0].title, result.annotations[0].message) == ("T:", "1\nmore")
    with pytest.raises(HarnessError, match="11 annotations"):
        runner_of(one_job(steps.replace("COUNT", "11"))).run()


def test_a_summary_over_the_limit_is_refused(runner_of: Make) -> None:
    steps = "- run: head -c 1048577 /dev/zero >> $GITHUB_STEP_SUMMARY"
    with pytest.raises(HarnessError, match="1 MiB"):
        runner_of(one_job(steps)).run()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("run: 'true'", "run: 'true', retries: 3"),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-24.04, container: x"),
        ("run: 'true'", f"uses: 'someone/unknown@{PIN}'"),
        ("run: 'true'", "uses: actions/checkout@v7"),
        ("run: 'true'", f"uses: 'actions/setup-python@{PIN}', with: {{pyhton: '3'}}"),
        ("run: 'true'", "run: 'true', if: unknown()"),
        ("run: 'true'", "run: 'true', if: secrets.A"),
        ("run: 'true'", "run: 'echo ::set-output::x'"),
        ("run: 'true'", "run: 'true', shell: fish"),
        ("run: 'true'", "name: Install, run: 'pip install . && curl example.org'"),
        ("permissions: {}", "jobs_: {}"),
        ("permissions: {}", ""),
        ("permissions: {}", "on: push"),
    ],
)
def test_what_is_unknown_is_refused(runner_of: Make, old: str, new: str) -> None:
    text = workflow("one: {runs-on: ubuntu-24.04, steps: [{run: 'true'}]}")
    assert runner_of(text).run().conclusion == "success"
    assert old in text
    with pytest.raises(HarnessError):
        runner_of(text.replace(old, new)).run()


def test_of_two_that_wait_the_newer_one_runs(runner_of: Make, github: GitHub) -> None:
    steps = """
        - run: |
            echo "$GITHUB_RUN_NUMBER" >> ../../ran
            if [ "$GITHUB_RUN_NUMBER" = 1 ]; then
              until [ -e ../../go ]; do read -t 0.02 < <(tail -f /dev/null) || true; done
            fi
    """
    text = one_job(steps).replace("jobs:", "concurrency: {group: 'g-${{ github.ref }}'}\njobs:")
    runner = runner_of(text)
    ran: dict[int, str] = {}

    def start(number: int) -> threading.Thread:
        def run() -> None:
            ran[number] = runner.run().conclusion

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: github.runs == number)
        return thread

    first = start(1)
    wait_until((runner.folder / "run-1" / "ran").exists)
    second = start(2)
    wait_until(lambda: runner.waiting == 1)
    third = start(3)
    second.join()
    (runner.folder / "run-1" / "go").touch()
    first.join()
    third.join()
    assert ran == {1: "success", 2: "cancelled", 3: "success"}


def test_inputs_and_payloads_come_as_on_github(runner_of: Make) -> None:
    on = (
        "{schedule: [], workflow_dispatch: {inputs: {full: {type: boolean, default: false}, "
        "name: {default: x}}}, repository_dispatch: {types: [told]}}"
    )
    show = "run: 'echo \"got ${{ inputs.full }}|${{ inputs.name }}|$P\"'"
    env = "env: {P: '${{ github.event.client_payload.names[0] }}'}"
    text = workflow(f"one: {{runs-on: ubuntu-24.04, steps: [{{{show}, {env}}}]}}", on=on)
    runner = runner_of(text)
    told = Event("repository_dispatch", payload={"names": ["n"]}, action="told")
    for event, said in (
        (Event(), "got ||"),
        (Event("workflow_dispatch"), "got false|x|"),
        (Event("workflow_dispatch", {"full": True, "name": "y"}), "got true|y|"),
        (told, "got ||n"),
    ):
        assert f"{said}\n" in runner.run(event).steps[0].log
    with pytest.raises(HarnessError):
        runner.run(Event("push"))
    with pytest.raises(HarnessError):
        runner.run(Event("repository_dispatch", action="other"))


def test_what_failed_is_run_again_with_what_the_others_gave(runner_of: Make) -> None:
    jobs = """
        plan:
          runs-on: ubuntu-24.04
          outputs: {attempt: '${{ steps.it.outputs.attempt }}'}
          steps: [{id: it, run: 'echo attempt=$GITHUB_RUN_ATTEMPT >> $GITHUB_OUTPUT'}]
        each:
          runs-on: ubuntu-24.04
          needs: plan
          strategy: {fail-fast: false, matrix: {one: [a, b]}}
          steps: [{run: '[ ${{ matrix.one }}$GITHUB_RUN_ATTEMPT != b1 ]'}]
        last:
          runs-on: ubuntu-24.04
          needs: [plan, each]
          steps: [{run: 'echo planned in ${{ needs.plan.outputs.attempt }}'}]
    """
    runner = runner_of(workflow(jobs))
    failed = runner.run()
    assert failed.results == {"plan": "success", "each": "failure", "last": "skipped"}
    again = runner.run_again(failed)
    assert again.conclusion == "success"
    assert again.jobs["each"].legs[0] is failed.jobs["each"].legs[0]
    assert "planned in 1\n" in again.steps[-1].log
    assert "planned in 3\n" in runner.run_again(failed, all_jobs=True).steps[-1].log


def test_the_workflow_of_a_new_channel_has_nothing_unknown() -> None:
    new, own = load(workflow_file()), load(WORKFLOW)
    assert new.jobs.keys() == own.jobs.keys()
