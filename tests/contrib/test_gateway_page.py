"""docs/gateway.md: its first commands run, and its tables are those of the program."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import requests
import yaml

from demo.run import Places, fill
from demo.shelf import shelf
from indexer.cli import main
from indexer.gateway import connection
from indexer.gateway.options import Options
from tests.support.gateway_process import GatewayProcess
from tests.support.proxies import CONTRIB
from tests.support.waiting import wait_until

PAGE = (Path(__file__).parent.parent.parent / "docs" / "gateway.md").read_text(encoding="utf-8")
RULES = CONTRIB / "prometheus" / "gateway.rules.yml"
ADDRESS = "http://127.0.0.1:8000"

_SERVED = re.compile(r"^<!-- served.*?-->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def rows(begin: str) -> Iterator[list[str]]:
    """The cells of a table's rows whose first cell begins so."""
    for line in PAGE.splitlines():
        if line.startswith(f"| {begin}"):
            yield [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """What the quick start starts, in a folder where the demonstration has been."""
    root = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        fill(Places(root / "demo-output").registry, shelf())
        commands = [shlex.split(line) for line in _SERVED.findall(PAGE)[0].splitlines()]
        *before, serve = commands
        for program, *arguments in before:
            assert program == "cf-index"
            subprocess.run([sys.executable, "-m", "indexer", *arguments], check=True)
        assert serve[:2] == ["cf-index", "serve"]
        with GatewayProcess(root, *serve[2:]) as process:
            yield process


def test_what_the_quick_start_asks_for_is_served(gateway: GatewayProcess, tmp_path: Path) -> None:
    lines = _SERVED.findall(PAGE)[1].splitlines()
    assert lines
    for line in lines:
        assert ADDRESS in line
        program, *arguments = shlex.split(line.replace(ADDRESS, gateway.http))
        assert program == "curl"
        done = subprocess.run(
            ["curl", "--fail", "--silent", "--show-error", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        assert done.stdout or any(tmp_path.iterdir())


def metrics(gateway: GatewayProcess) -> set[str]:
    """The metrics' names as Prometheus knows them."""
    text = requests.get(f"{gateway.http}/-/metrics", timeout=30).text
    found = re.findall(r"^# TYPE (\S+) \w+$", text, re.MULTILINE)
    # For each counter the library also says when it began.
    return {name for name in found if not name.endswith("_created")}


def test_every_metric_is_on_the_page_and_no_other(gateway: GatewayProcess) -> None:
    # Some are there only once the registry was asked, so a package first.
    assert requests.get(f"{gateway.http}/noarch/hello-data-1.0-0.conda", timeout=30).ok
    assert {row[0].strip("`") for row in rows("`cf_index_gateway")} == metrics(gateway)


def test_alerts_ask_for_metrics_that_there_are(gateway: GatewayProcess) -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"cf_index_gateway_\w+", rule["expr"])}
    assert len(asked) > 2
    assert asked <= metrics(gateway)
    (shown,) = re.findall(r"^```yaml\n(- alert: .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (shown_rule,) = yaml.safe_load(shown)
    (rule,) = [item for item in rules if item["alert"] == shown_rule["alert"]]
    assert shown_rule.items() <= rule.items()


def test_what_never_happened_is_counted_as_such(gateway: GatewayProcess) -> None:
    """Else Prometheus doesn't see an increase in the first of a kind, and no alert comes of it."""
    text = requests.get(f"{gateway.http}/-/metrics", timeout=30).text
    for name in ("registry_requests", "refreshes"):
        (row,) = rows(f"`cf_index_gateway_{name}_total`")
        outcomes = re.findall(r"`(\w+)`", f"{row[1]} {row[2]}")[1:]
        assert len(outcomes) > 2
        for outcome in outcomes:
            assert f'cf_index_gateway_{name}_total{{outcome="{outcome}"}} ' in text


def test_every_field_of_the_log_is_on_the_page(gateway: GatewayProcess) -> None:
    assert requests.get(f"{gateway.http}/noarch/nothing-1.0-0.conda", timeout=30).status_code == 404
    wait_until(lambda: gateway.access_log.read_bytes().endswith(b"\n"))
    first = gateway.access_log.read_text(encoding="utf-8").splitlines()[0]
    begin = PAGE.index("| Field | Meaning |")
    table = PAGE[begin : PAGE.index("\n\n", begin)]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    fields = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert fields - {"problem"} == json.loads(first).keys() - {"problem"}


def test_every_flag_is_on_the_page_with_its_default() -> None:
    said = {flag: row for row in rows("`--") for flag in re.findall(r"--[a-z-]+", row[0] + row[2])}
    options = [item for item in main.commands["serve"].params if isinstance(item, click.Option)]
    flags = {
        flag
        for item in options
        for flag in (*item.opts, *item.secondary_opts)
        if flag.startswith("--") and flag != "--help"
    }
    assert {flag for flag in said if flag in flags} == flags
    for item in options:
        default = item.to_info_dict()["default"]
        if isinstance(default, (str, float, int)) and not isinstance(default, bool):
            cell = said[item.opts[0]][1].replace("`", "")
            assert f"{default:g}" if isinstance(default, float) else str(default) in cell


def test_limits_on_the_page_are_those_of_the_program() -> None:
    (head,) = rows("a request's head")
    assert f"{connection.MAX_HEAD // 1024} KiB" in head[1]
    (end,) = rows("the end")
    assert f"{Options().grace:.0f} s" in end[1]
    (reader,) = rows("a reader")
    assert f"over {Options().patience:.0f} s" in reader[1]
