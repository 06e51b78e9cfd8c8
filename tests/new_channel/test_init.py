"""init: what it finds out, what it refuses, and that a person can go on from there."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import indexer
from demo.run import Places, fill
from demo.shelf import shelf
from indexer.cli import main
from indexer.new_channel.content import SETTINGS, WORKFLOW, workflow_file
from indexer.new_channel.origin import Origin, read_origin

MADE = ["cf-index.toml", ".github/workflows/index.yml", ".gitignore"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith(("GIT_", "CF_INDEX_"))]:
        monkeypatch.delenv(variable)
    # No settings of whoever runs the tests: they may write other addresses for remotes.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def init(*words: str | Path) -> Result:
    done = CliRunner().invoke(main, ["init", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, timeout=30)


def clone_of(url: str, folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", url)
    return folder


def settings_in(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "cf-index.toml").read_text(encoding="utf-8"))


def files_in(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_dir() and ".git" not in path.relative_to(folder).parts
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/Acme/Forge",
        "https://github.com/Acme/Forge.git",
        "https://github.com/Acme/Forge/",
        "https://user:secret@github.com/Acme/Forge.git",
        "git@github.com:Acme/Forge.git",
        "github.com:Acme/Forge",
        "ssh://git@github.com/Acme/Forge.git",
        "ssh://git@ssh.github.com:443/Acme/Forge.git",
        "HTTPS://GitHub.com/Acme/Forge",
    ],
)
def test_a_repository_is_known_by_any_address_that_git_takes(url: str) -> None:
    assert read_origin(url) == Origin("Acme", "Forge")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://gitlab.com/acme/forge",
        "https://github.com.evil.example/acme/forge",
        "https://evil.example/github.com/acme/forge",
        "https://notgithub.com/acme/forge",
        "git@evil.example:github.com/acme/forge",
        "https://github.com/acme",
        "https://github.com/acme/forge/more",
        "https://github.com/acme/..",
        "https://github.com/-acme/forge",
        'https://github.com/acme/forge"\nx = "',
        "https://github.com/acme/for${{ge}}",
        "https://github.com/ac'me/forge",
        "https://github.com/acme/forge\n",
        "https://github.com/\u0430cme/forge",
        "ext::sh -c 'touch pwned' github.com:acme/forge",
    ],
)
def test_what_isnt_a_repository_on_github_is_taken_for_nothing(url: str) -> None:
    assert read_origin(url) is None


@pytest.mark.parametrize(
    ("name", "pages"),
    [
        ("Forge", "https://acme.github.io/Forge/"),
        ("Acme.github.io", "https://acme.github.io/"),
        ("other.github.io", "https://acme.github.io/other.github.io/"),
    ],
)
def test_the_site_of_a_repository(name: str, pages: str) -> None:
    assert Origin("Acme", name).pages == pages


def test_what_a_clone_tells_is_filled_in_and_its_password_shown_nowhere(tmp_path: Path) -> None:
    folder = clone_of("https://user:hunter2@github.com/Acme/Forge.git", tmp_path / "x")
    done = init(folder)

    assert done.exit_code == 0, done.output
    assert settings_in(folder) == {
        "registry": "oci://ghcr.io/acme",
        "channel": "forge",
        "policy": "annotation",
        "recheck": "1/96",
        "output": "site",
        "site-url": "https://acme.github.io/Forge/",
    }
    assert "https://github.com/Acme/Forge/settings/pages" in done.output
    assert "4. Give it a token that may list packages" in done.output
    texts = [done.output, *((folder / name).read_text() for name in MADE)]
    assert not any("hunter2" in text for text in texts)


def test_flags_stand_over_what_a_clone_tells(tmp_path: Path) -> None:
    folder = clone_of("https://github.com/acme/forge", tmp_path / "x")
    done = init(folder, "--registry", "oci://registry.example/Main".lower(), "--channel", "other")

    assert settings_in(folder)["registry"] == "oci://registry.example/main"
    assert settings_in(folder)["channel"] == "other"
    assert "4." not in done.output, "only ghcr.io needs a token to list packages"


def test_a_remote_with_hostile_characters_gets_into_no_file(tmp_path: Path) -> None:
    folder = clone_of(
        'https://github.com/acme/forge"; x = "${{ github.token }}', tmp_path / "plain"
    )
    assert init(folder).exit_code == 0
    assert settings_in(folder)["registry"] == ""
    assert settings_in(folder)["channel"] == "plain"
    assert "x" not in settings_in(folder)


def test_a_folder_within_a_clone_isnt_taken_for_it(tmp_path: Path) -> None:
    outer = clone_of("https://github.com/acme/outer", tmp_path / "outer")
    (outer / "inner").mkdir()
    assert init(outer / "inner").exit_code == 0
    assert settings_in(outer / "inner")["channel"] == "inner"


def test_a_repository_that_a_hook_names_isnt_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = clone_of("https://github.com/acme/other", tmp_path / "other")
    folder = clone_of("https://github.com/acme/forge", tmp_path / "x")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    init(folder)
    assert settings_in(folder)["channel"] == "forge"


def test_without_git_the_folder_gives_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = clone_of("https://github.com/acme/forge", tmp_path / "Plain")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert init(folder).exit_code == 0
    assert settings_in(folder)["channel"] == "plain"


@pytest.mark.parametrize("name", ["two words", "-x", "ärger"])
def test_a_name_that_no_channel_can_have_is_asked_for_and_nothing_written(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    done = init(tmp_path / name if name != "-x" else "./-x")
    assert done.exit_code == 2
    assert "Say --channel NAME" in done.output
    assert files_in(tmp_path) == set()


def test_an_empty_folder_and_one_edited_line_make_a_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "forge"
    assert init(folder).exit_code == 0
    assert files_in(folder) == set(MADE)
    monkeypatch.chdir(folder)

    unedited = CliRunner().invoke(main, ["rebuild"])
    assert unedited.exit_code == 2
    assert "registry in cf-index.toml" in unedited.output

    fill(Places(folder / "demo-output").registry, shelf())
    registry = (folder / "demo-output" / "registry").relative_to(folder)
    assert (folder / registry).is_dir()
    text = Path("cf-index.toml").read_text(encoding="utf-8")
    assert text.count('registry = ""') == 1
    Path("cf-index.toml").write_text(
        text.replace('registry = ""', f'registry = "ocidir://{registry}"')
    )
    done = CliRunner().invoke(main, ["rebuild", "--all"])
    assert done.exit_code == 0, done.output
    assert (folder / "site" / "noarch" / "repodata.json").is_file()


def test_the_workflow_is_of_this_version(tmp_path: Path) -> None:
    init(tmp_path / "forge")
    text = (tmp_path / "forge" / MADE[1]).read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)["jobs"]) > {"plan", "part", "join", "deploy", "report"}
    assert f"pip install cf-index=={indexer.__version__}\n" in text
    assert "@VERSION@" not in text
    assert "CF_INDEX_ENABLED" not in text, "a channel's repository publishes without being asked"


@pytest.mark.parametrize("name", MADE[:2])
def test_what_is_there_is_refused_and_nothing_else_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "forge" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")

    done = init(tmp_path / "forge")

    assert done.exit_code == 2
    assert name in done.output
    assert "--force" in done.output
    assert files_in(tmp_path / "forge") == {name}
    assert path.read_text() == "mine"

    assert init(tmp_path / "forge", "--force").exit_code == 0
    assert path.read_text() != "mine"


def test_a_gitignore_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "forge").mkdir()
    (tmp_path / "forge" / ".gitignore").write_text("mine")
    done = init(tmp_path / "forge", "--force")
    assert done.exit_code == 0
    assert (tmp_path / "forge" / ".gitignore").read_text() == "mine"
    assert ".cf-index/, site/" in done.output


@pytest.mark.parametrize("link", ["cf-index.toml", ".github", ".github/workflows", MADE[1]])
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["asking", "force"])
def test_nothing_is_written_through_a_link(tmp_path: Path, link: str, force: list[str]) -> None:
    outside = tmp_path / "outside"
    if link.endswith((".toml", ".yml")):
        outside.write_text("theirs")
    else:
        (outside / "workflows").mkdir(parents=True)
    folder = tmp_path / "forge"
    (folder / link).parent.mkdir(parents=True)
    (folder / link).symlink_to(outside)

    done = init(folder, *force)

    assert done.exit_code == 2
    assert "symbolic link" in done.output
    assert files_in(folder) <= {link}
    if outside.is_file():
        assert outside.read_text() == "theirs"
    else:
        assert files_in(outside) == set()


def test_where_one_file_cant_be_written_none_is(tmp_path: Path) -> None:
    (tmp_path / "forge").mkdir()
    (tmp_path / "forge" / ".github").write_text("a file")
    done = init(tmp_path / "forge", "--force")
    assert done.exit_code == 2
    assert files_in(tmp_path / "forge") == {".github"}


def test_a_folder_in_the_place_of_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "forge" / "cf-index.toml").mkdir(parents=True)
    done = init(tmp_path / "forge", "--force")
    assert done.exit_code == 2
    assert "isn't a file" in done.output
    assert files_in(tmp_path / "forge") == set()


def test_a_registry_in_a_folder_of_any_name_is_written_as_it_is(tmp_path: Path) -> None:
    odd = 'ocidir:///srv/it\'s "mine"\\ $x ${{ y }} @CHANNEL@'
    assert init(tmp_path / "forge", "--registry", odd, "--channel", "c").exit_code == 0
    assert settings_in(tmp_path / "forge")["registry"] == odd


@pytest.mark.parametrize("registry", ["ocidir:///a\nb", "oci://host/UPPER", "https://host/x", ""])
def test_a_registry_that_is_none_is_refused(tmp_path: Path, registry: str) -> None:
    assert init(tmp_path / "forge", "--registry", registry).exit_code == 2
    assert not (tmp_path / "forge").exists()


def test_an_upgrade_leaves_the_settings_alone(tmp_path: Path) -> None:
    settings, workflow = tmp_path / SETTINGS, tmp_path / WORKFLOW
    workflow.parent.mkdir(parents=True)
    settings.write_text("mine")
    workflow.write_text("of an earlier version")
    result = CliRunner().invoke(main, ["init", str(tmp_path), "--upgrade"])
    assert result.exit_code == 0, result.output
    assert settings.read_text() == "mine"
    assert workflow.read_text() == workflow_file()
    assert not (tmp_path / ".gitignore").exists()


def test_an_upgrade_of_nothing_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path / "new"), "--upgrade"])
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()
    (tmp_path / SETTINGS).write_text("mine")
    result = CliRunner().invoke(main, ["init", str(tmp_path), "--upgrade", "--channel", "forge"])
    assert result.exit_code == 2
    assert not (tmp_path / WORKFLOW).exists()
