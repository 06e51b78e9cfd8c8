"""What prune took out of ghcr.io comes back by the words that prune and its log have for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import responses
from click.testing import CliRunner, Result

from indexer.cli import main
from indexer.errors import ConfigError
from indexer.registry.content import Digest
from indexer.transfer.references import parse_manifest_reference
from tests.support.packages_api import API, TOKEN, GitHub

ONE, TWO, GONE = (Digest.of(text) for text in (b"1", b"2", b"gone"))
REF = f"noarch/alpha:1.0-0@{ONE}"


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as made:
        yield made


@pytest.fixture
def github(mock: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    """A package of two versions, of which the first was deleted."""
    monkeypatch.setenv("CF_INDEX_GITHUB_TOKEN", TOKEN)
    made = GitHub()
    made.has(TWO)
    made.deleted[str(ONE)] = 7
    made.answers(mock)
    return made


def run(tmp_path: Path, *words: str, text: str | None = None) -> Result:
    fixed = ["--registry", "oci://ghcr.io/acme", "--channel", "forge", "--retry-for", "0"]
    log = ["--audit", str(tmp_path / "audit.jsonl")]
    done = CliRunner().invoke(main, ["prune", "--restore", *words, *fixed, *log], input=text)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def told(tmp_path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def test_a_plan_alone_restores_nothing(github: GitHub, tmp_path: Path) -> None:
    done = run(tmp_path, REF, f"noarch/alpha@{TWO}")
    assert (done.exit_code, github.changes) == (0, [])
    assert done.stdout.splitlines() == [
        f"{REF}  # deleted",
        f"noarch/alpha@{TWO}  # there",
        "1 can be taken back: say --yes to do it.",
    ]
    assert not (tmp_path / "audit.jsonl").exists()


def test_what_is_named_comes_back_and_is_told_of(github: GitHub, tmp_path: Path) -> None:
    for _ in range(2):
        done = run(tmp_path, REF, f"noarch/alpha@{TWO}", "--yes")
        assert done.exit_code == 0, done.output
    assert github.active.keys() == {str(ONE), str(TWO)}
    assert "0 taken back; 2 were there already" in done.stdout
    (line,) = told(tmp_path)
    assert {key: line[key] for key in line.keys() - {"time", "who"}} == {
        "action": "restored",
        "registry": "oci://ghcr.io/acme",
        "channel": "forge",
        "subdir": "noarch",
        "repository": "alpha",
        "tag": "1.0-0",
        "digest": str(ONE),
        "reference": REF,
        "reason": "it was deleted",
    }


def test_the_lines_of_a_plan_can_be_given_back(github: GitHub, tmp_path: Path) -> None:
    text = f"{REF}  # unmarked, uploaded 2026-10-29T12:00:00Z, 3.0 days ago\n\n"
    assert run(tmp_path, "-", "--yes", text=text).exit_code == 0
    assert str(ONE) in github.active


def test_a_package_that_went_altogether_comes_back_first(github: GitHub, tmp_path: Path) -> None:
    github.is_deleted = True
    assert "deleted with its repository" in run(tmp_path, REF).stdout
    done = run(tmp_path, REF, "--yes")
    assert (done.exit_code, github.is_deleted) == (0, False)
    assert github.active.keys() == {str(ONE), str(TWO)}


def test_what_can_not_come_back_is_named_and_the_rest_does(github: GitHub, tmp_path: Path) -> None:
    done = run(tmp_path, f"noarch/alpha@{GONE}", REF, "--yes")
    assert done.exit_code == 5
    assert f"Failed: noarch/alpha@{GONE}: GitHub knows no deleted version" in done.stdout
    assert str(ONE) in github.active


def test_a_refusal_is_told_in_the_log(
    mock: responses.RequestsMock, github: GitHub, tmp_path: Path
) -> None:
    url = f"{API}/orgs/acme/packages/container/forge%2Fnoarch%2Falpha/versions/7/restore"
    mock.remove("POST", next(r.url for r in mock.registered() if r.method == "POST"))
    mock.post(url, json.dumps({"message": "Must have admin rights."}), status=403)
    done = run(tmp_path, REF, "--yes")
    assert done.exit_code == 5
    assert "answered 403: Must have admin rights. (the token needs write:packages)" in done.stdout
    assert "admin rights" in told(tmp_path)[1]["failed"]
    assert str(ONE) in github.deleted


def test_without_a_token_it_is_an_error_that_names_the_variables(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    done = run(tmp_path, REF)
    assert (done.exit_code, len(mock.calls)) == (2, 0)
    assert "CF_INDEX_GITHUB_TOKEN" in done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (REF, REF),
        (f" {REF}\n", REF),
        (f"noarch/alpha@{ONE}", f"noarch/alpha@{ONE}"),
        (f"noarch/_x@{ONE}", f"noarch/zzz_x@{ONE}"),
        (f"linux-64/zzz_x:1.0-0@{ONE}", f"linux-64/zzz_x:1.0-0@{ONE}"),
        (f"noarch/a:sha256-{'0' * 64}.{'1' * 32}@{ONE}",) * 2,
        (f"noarch/alpha-1.0-0.conda@{ONE}",) * 2,
    ],
)
def test_a_manifest_s_name_is_read_and_written_alike(text: str, shown: str) -> None:
    reference = parse_manifest_reference(text)
    assert (str(reference), reference.digest) == (shown, ONE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "noarch",
        "noarch/alpha",
        "noarch/alpha:1.0-0",
        f"alpha@{ONE}",
        f"alpha:1.0-0@{ONE}",
        f"alpha-1.0-0.conda@{ONE}",
        f"noarch/@{ONE}",
        f"../alpha@{ONE}",
        f"a/b/alpha@{ONE}",
        f"noarch/alpha@{ONE}@{ONE}",
        f"noarch/alpha@{ONE.hex}",
        f"noarch/al pha@{ONE}",
        f"noarch/alpha:a b@{ONE}",
    ],
)
def test_what_names_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_manifest_reference(text)
