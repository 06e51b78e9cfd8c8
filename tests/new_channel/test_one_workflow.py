"""The workflow that ``init`` writes and this project's own are one, but for two kinds of lines."""

from __future__ import annotations

from pathlib import Path

import indexer
from indexer.new_channel.content import WORKFLOW, workflow_file

ROOT = Path(__file__).parent.parent.parent

_BY_HAND = "(vars.CF_INDEX_PAUSED != 'true' || github.event_name == 'workflow_dispatch')"
_ENABLED = (
    "# Variables of the repository that change what it does (none is needed):\n",
    "# Variables of the repository that change what it does:\n",
    "#   CF_INDEX_ENABLED = true   without it, nothing runs\n",
)


def ours() -> str:
    """This project's own workflow.

    It publishes by the code beside it, and only where that is wanted: the project has no channel.
    """
    text = workflow_file()
    for theirs, own in (
        (f"pip install cf-index=={indexer.__version__}\n", "pip install .\n"),
        (
            f"    if: {_BY_HAND[1:-1]}\n",
            f"    if: vars.CF_INDEX_ENABLED == 'true' && {_BY_HAND}\n",
        ),
        (_ENABLED[0], "".join(_ENABLED[1:])),
    ):
        assert theirs in text
        text = text.replace(theirs, own)
    return text


def test_the_two_workflows_dont_drift_apart() -> None:
    assert (ROOT / WORKFLOW).read_text(encoding="utf-8") == ours(), (
        "change indexer/new_channel/templates/index.yml, and write ours() of this module into "
        f"{WORKFLOW}"
    )
