"""Every page is valid HTML, as html-validate has it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.browser.channel import Channel
from tests.browser.kinds import pages_of
from tests.browser.programs import HTML_VALIDATE, without_html_validate
from tests.conftest import skip_unless

# Of html-validate's "standard" and "recommended" rules, those that don't hold here, and why.
OFF = {
    "doctype-style": "upper and lower case are the same in HTML",
    "long-title": "a title is as long as the package's name and version",
}


@pytest.fixture(autouse=True)
def _html_validate() -> None:
    skip_unless(without_html_validate())


def complaints(pages: Sequence[Path], scratch: Path) -> list[str]:
    """What is wrong with HTML files."""
    config = scratch / "html-validate.json"
    config.write_text(
        json.dumps(
            {
                "root": True,
                "extends": ["html-validate:recommended", "html-validate:standard"],
                "rules": dict.fromkeys(OFF, "off"),
            }
        )
    )
    told = scratch / "told.json"
    done = subprocess.run(
        # Into a file: what it writes into a pipe is cut off at 64 kB.
        [HTML_VALIDATE, "--config", config, "--formatter", f"json={told}", *pages],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_UPDATE_NOTIFIER": "1"},
    )
    assert done.returncode in {0, 1}, done.stderr
    found: list[dict[str, Any]] = json.loads(told.read_bytes())
    assert len(found) in {0, len(pages)}
    return [
        f"{item['filePath']}:{message['line']} {message['ruleId']}: {message['message']}"
        for item in found
        for message in item["messages"]
    ]


def test_every_page_is_valid(site: Path, tmp_path: Path) -> None:
    assert complaints(list(pages_of(site)), tmp_path) == []


def test_pages_of_other_channels_are_valid(
    empty: Channel, single: Channel, crowded: Channel, tmp_path: Path
) -> None:
    # The crowd's packages are all alike.
    some = [path for path in pages_of(crowded.site) if "good1" not in path.parent.name]
    pages = [*pages_of(empty.site), *pages_of(single.site), *some]
    assert complaints(pages, tmp_path) == []


def test_an_invalid_page_is_told_of(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<!doctype html><title>x</title><p id=a><div id=a></p>")
    assert any("no-dup-id" in item for item in complaints([bad], tmp_path))
