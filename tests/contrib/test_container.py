"""The Containerfile, as far as it can be checked without building it."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from indexer.cli import main
from indexer.gateway.options import Options

ROOT = Path(__file__).parent.parent.parent
BUILDER, LAST = "build", ""


def read_stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, by its name; the last one has none."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stages: dict[str, list[tuple[str, str]]] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            current = stages[name] = [("FROM", image)]
        else:
            current.append((word, rest.strip()))
    return stages


STAGES = read_stages()


def said(stage: str, instruction: str) -> list[str]:
    return [rest for word, rest in STAGES[stage] if word == instruction]


def copied() -> list[str]:
    """What comes from the checkout into the stage that builds."""
    return [source for line in said(BUILDER, "COPY") for source in line.split()[:-1]]


def is_ignored(path: str) -> bool:
    """Whether .containerignore leaves a path out; the last of its lines that fits decides."""
    ignored = False
    for line in (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and fnmatch.fnmatch(path, line.lstrip("!")):
            ignored = not line.startswith("!")
    return ignored


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_what_is_copied_is_there_and_isnt_ignored() -> None:
    assert is_ignored(".venv")
    assert is_ignored("tests")
    for source in copied():
        assert (ROOT / source).exists(), source
        assert not is_ignored(source), source
    assert said(LAST, "COPY") == ["--from=build /opt/cf-index /opt/cf-index"]


def test_all_that_the_wheel_is_made_of_is_copied() -> None:
    found = project()
    targets = found["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        "pyproject.toml",
        found["project"]["readme"],
        *found["project"]["license-files"],
        *targets["packages"],
        *targets["force-include"],
        found["tool"]["hatch"]["version"]["path"].split("/")[0],
    }
    assert needed <= set(copied())


def test_the_extra_that_is_installed_exists() -> None:
    (command,) = said(BUILDER, "RUN")
    (extra,) = re.findall(r"cf-index\[(\w+)\]", command)
    assert extra in project()["project"]["optional-dependencies"]
    assert "--only-binary :all:" in command


def test_its_python_is_one_that_is_supported_and_the_same_in_both_stages() -> None:
    (image,) = {rest for stage in STAGES for rest in said(stage, "FROM")}
    (version,) = re.findall(r"/python:(3\.\d+)-slim$", image)
    assert f"Programming Language :: Python :: {version}" in project()["project"]["classifiers"]


def test_its_command_line_is_one_of_the_program() -> None:
    (entry,) = said(LAST, "ENTRYPOINT")
    assert json.loads(entry) == list(project()["project"]["scripts"])
    (line,) = said(LAST, "CMD")
    name, *arguments = json.loads(line)
    params = main.commands[name].make_context(name, arguments).params
    assert (params["site"], params["host"]) == (Path("/site"), "0.0.0.0")  # noqa: S104
    assert said(LAST, "EXPOSE") == [str(params["port"])]
    assert f":{params['port']}/-/healthy" in said(LAST, "HEALTHCHECK")[0]


def test_it_stops_as_the_gateway_wants_to_be_stopped() -> None:
    assert said(LAST, "STOPSIGNAL") == ["SIGTERM"]


def test_it_isnt_run_by_root() -> None:
    (user,) = said(LAST, "USER")
    uid, _, gid = user.partition(":")
    assert int(uid) > 999
    assert int(gid) > 999
    after = [word for word, _ in STAGES[LAST]]
    assert not {"RUN", "COPY", "ADD"} & set(after[after.index("USER") :])


def test_the_health_check_fails_where_nobody_answers() -> None:
    (check,) = said(LAST, "HEALTHCHECK")
    program, flag, code = json.loads(check.partition("CMD ")[2])
    assert (program, flag) == ("python", "-c")
    # Of another port, which nobody has: the health check must end with an error.
    with pytest.raises(OSError, match="refused"):
        exec(code.replace(":8000", ":9"), {})  # noqa: S102  it is ours
    assert Options().port == 8000
