from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from demo.packages import build
from demo.run import Places, fill, main
from demo.shelf import Shelved, shelf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from an empty folder, so that the demonstration can't lean on the checkout."""
    monkeypatch.chdir(tmp_path)


def run(folder: Path) -> int:
    return main(["--output", str(folder)])


def published(folder: Path) -> dict[str, bytes]:
    """Every file of the site but status.json, which holds the time of the run."""
    site = Places(folder).site
    files = {p.relative_to(site).as_posix(): p for p in site.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "status.json"}


def test_demo_publishes_only_what_is_validated_and_honest(tmp_path: Path) -> None:
    assert run(tmp_path / "demo") == 0
    found = {
        file_name
        for name, data in published(tmp_path / "demo").items()
        if name.endswith("/repodata.json")
        for section in ("packages", "packages.conda")
        for file_name in json.loads(data)[section]
    }
    assert found == {package.file_name for item in shelf() for package in item.published}
    assert "_switch-1.0-on.conda" in found
    assert "untried-0.1-0.conda" not in found
    assert "pretender-9.9-0.conda" not in found


def test_demo_names_the_dishonest_artifact(tmp_path: Path) -> None:
    run(tmp_path / "demo")
    status = json.loads((Places(tmp_path / "demo").site / "status.json").read_bytes())
    (left_out,) = status["left_out"]["first"]
    assert (left_out["repository"], left_out["tag"]) == ("pretender", "9.9-0")
    assert "names hello" in left_out["reason"]


def test_demo_run_twice_changes_no_byte_that_clients_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "demo")
    before = published(tmp_path / "demo")
    capfd.readouterr()
    assert run(tmp_path / "demo") == 0
    assert published(tmp_path / "demo") == before
    assert "Unchanged" in capfd.readouterr().out


def test_demo_in_two_places_makes_the_same_packages(tmp_path: Path) -> None:
    for name in ("one", "two"):
        fill(tmp_path / name, shelf())
    one, two = (
        sorted(
            (path.relative_to(tmp_path / name).as_posix(), path.read_bytes())
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        )
        for name in ("one", "two")
    )
    assert one == two


def test_settings_of_the_surroundings_stay_out_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CF_INDEX_ALL", "true")
    monkeypatch.setenv("CF_INDEX_STRICT", "true")
    (tmp_path / "cf-index.toml").write_text('registry = "oci://registry.invalid/x"\n')
    assert run(tmp_path / "demo") == 0


def test_demo_works_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    assert run(tmp_path / 'an "odd" näme \\ here') == 0


def test_demo_says_where_the_site_is_and_what_it_holds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "demo")
    out = capfd.readouterr().out
    assert f"http.server --bind 127.0.0.1 --directory {Places(tmp_path / 'demo').site}" in out
    assert "linux-64: 4 records" in out
    assert "repodata_shards.msgpack.zst" in out


def test_demo_ends_with_the_exit_code_of_what_failed(tmp_path: Path) -> None:
    site = Places(tmp_path / "demo").site
    site.mkdir(parents=True)
    (site / "thesis.txt").write_text("not a channel")
    assert run(tmp_path / "demo") == 2
    assert (site / "thesis.txt").read_text() == "not a channel"


def test_demo_never_calls_a_wrong_index_right(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(Places(tmp_path / "demo").registry, [Shelved((build("stranger"),))])
    assert run(tmp_path / "demo") == 1
    output = capfd.readouterr()
    assert "too much: noarch/stranger-1.0-0.conda" in output.err
    assert "has exactly" not in output.out
