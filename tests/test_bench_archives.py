"""What the measurements are made on: packages that clients can install, a host that counts."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import requests

import bench
from bench import archives
from bench.archives import Shelves
from bench.storage import Storage
from bench.web import OTHER, REPODATA, SHARD_INDEX, SHARDS, CountingHost

COMMANDS = sorted(Path(bench.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_a_file_of_bench_finds_its_neighbours_when_run_by_its_path(
    path: Path, tmp_path: Path
) -> None:
    # As in `python bench/peers.py`: its own folder is where Python looks first.
    code = f"import runpy, sys; sys.path[0] = {str(path.parent)!r}; runpy.run_path({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_packages_are_the_same_each_time_and_need_lower_numbers_alone() -> None:
    assert archives.package(2500).sha256 == archives.package(2500).sha256
    assert all(below < name for name in range(300) for below in archives.depends_of(name))
    assert len(archives.tree_of(archives.mid_size())) == 30


def test_no_two_packages_have_one_file_name() -> None:
    numbers = [*range(0, 4000, 10), *islice(archives.new_ones({0, 1}, after=20_000), 100)]
    assert len({archives.package(number).file_name for number in numbers}) == len(numbers)


def test_new_packages_are_of_the_names_asked_for() -> None:
    assert {archives.name_of(n) for n in islice(archives.new_ones({3, 9}, after=50), 30)} == {3, 9}


def test_all_folders_get_what_the_registry_gets(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    Shelves(folders, Storage(tmp_path / "registry")).add(range(10))
    found = [sorted(path.relative_to(f) for path in f.rglob("*.conda")) for f in folders]
    assert found[0] == found[1]
    assert [len(names) for names in found] == [10, 10]
    assert len(list((tmp_path / "registry").glob("**/_manifests/tags/*"))) == 10


def test_who_has_a_file_already_gets_its_head_alone(tmp_path: Path) -> None:
    (tmp_path / "repodata.json").write_bytes(b"0123456789")
    with CountingHost(tmp_path) as host, requests.Session() as session:
        url = f"{host.http}/repodata.json"
        first = session.get(url)
        known = {"If-None-Match": first.headers["ETag"]}
        since = {"If-Modified-Since": first.headers["Last-Modified"]}
        other = {"If-None-Match": '"other"', **since}
        answers = [session.get(url, headers=headers) for headers in (known, since, other)]
        session.head(url)
        session.get(f"{host.http}/none")
    assert [answer.status_code for answer in answers] == [304, 304, 200]
    assert [(one.status, one.size) for one in host.sent] == [
        (200, 10),
        (304, 0),
        (304, 0),
        (200, 10),
        (200, 0),
        (404, 0),
    ]


def test_answers_are_told_apart_by_what_was_asked_for(tmp_path: Path) -> None:
    paths = [
        "a/repodata_shards.msgpack.zst",
        "a/0f.msgpack.zst",
        "a/repodata.json.zst",
        "a/notices",
    ]
    with CountingHost(tmp_path) as host:
        for path in paths:
            requests.get(f"{host.http}/{path}", timeout=10)
    assert [one.kind for one in host.sent] == [SHARD_INDEX, SHARDS, REPODATA, OTHER]
