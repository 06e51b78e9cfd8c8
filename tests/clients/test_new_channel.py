"""A new user's path: an empty folder, ``init``, one line edited, and a client that installs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from indexer.new_channel.content import WORKFLOW
from tests.clients.test_rattler import ask_client, filled_registry
from tests.conftest import skip_unless
from tests.support.registry_process import Tls
from tests.support.web import served
from tests.support.workflow.document import load
from tests.support.workflow.github import GitHub
from tests.support.workflow.pages import Pages
from tests.support.workflow.process import missing_reason as no_workflow
from tests.support.workflow.running import Runner


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    """A registry with a channel ``acme/forge`` in it."""
    with filled_registry(tmp_path_factory.mktemp("registry")) as tls:
        yield tls


def cf_index(folder: Path, *words: str, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "indexer", *words],
        cwd=folder,
        env=os.environ | dict(environ or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def begin(folder: Path) -> None:
    """All that a user does before the first commit."""
    cf_index(folder, "init")
    settings = folder / "cf-index.toml"
    text = settings.read_text()
    assert text.count('registry = ""') == 1
    settings.write_text(text.replace('registry = ""', 'registry = "oci://localhost/acme"'))


def assert_installs(address: str, tls: Tls, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    answer = ask_client(address, tls, tmp_path, install=["hello"], prefix=str(prefix), sharded=True)
    assert "hello-1.10-0.conda" in answer["installed"]
    done = subprocess.run([prefix / "bin/hello"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "hello 1.10 0"


def test_the_steps_by_hand_in_an_empty_folder(filled: Tls, tmp_path: Path) -> None:
    folder = tmp_path / "forge"
    folder.mkdir()
    begin(folder)
    for subdir in cf_index(folder, "subdirs").split():
        cf_index(folder, "rebuild", "--subdir", subdir, "--part", f"parts/{subdir}", "--run", "1")
    parts = sorted(str(path) for path in (folder / "parts").iterdir())
    cf_index(folder, "join", *parts)
    cf_index(folder, "check", "site")
    cf_index(folder, "status", "site", "--run", "1")
    with served(folder / "site") as address:
        assert_installs(address, filled, tmp_path)


def test_the_written_workflow_publishes_what_a_client_installs(filled: Tls, tmp_path: Path) -> None:
    skip_unless(no_workflow())
    with Pages(tmp_path / "pages") as pages, GitHub(tmp_path / "forge", pages) as github:
        begin(github.content)
        settings = github.content / "cf-index.toml"
        # The folder's name is the channel's; here it is another one.
        settings.write_text(settings.read_text().replace('"content"', '"forge"'))
        workflow = load((github.content / WORKFLOW).read_text())
        result = Runner(workflow, github, tmp_path / "runner").run()
        assert result.conclusion == "success", result.log
        assert_installs(f"{pages.base_url}/", filled, tmp_path)
