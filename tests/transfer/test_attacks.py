"""What somebody who tried to break the commands found, and what must not come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import pytest

from demo.packages import build
from indexer.channel.record import encode
from indexer.cli import main
from indexer.errors import ConfigError, ContentError
from indexer.published.records import read_info
from indexer.render import shards, zstd
from tests.support import faults
from tests.support.loopback import FileHost
from tests.support.rig import CHANNEL, Rig
from tests.transfer.help import Shop
from tests.transfer.stage import mirror
from tests.transfer.test_pull import pull


def test_a_published_site_is_not_pulled_into(rig: Rig) -> None:
    rig.push(build("alpha"), build("alpha", archive="tar.bz2"))
    rig.rebuild()
    before = (rig.site / "noarch/repodata.json").read_bytes()
    with pytest.raises(ConfigError, match="is a published channel"):
        pull(rig, output=rig.site)
    assert (rig.site / "noarch/repodata.json").read_bytes() == before


def test_a_message_of_a_few_kilobytes_does_not_become_gigabytes() -> None:
    empty_maps = b"\xdd" + (50_000_000).to_bytes(4, "big") + b"\x80" * 50_000_000
    packed = b"\x82\xa4info\x80\xa6shards" + empty_maps
    with pytest.raises(ContentError, match="msgpack"):
        shards.unpack_index(zstd.compress(packed))
    shard = msgpack.packb({"packages": {}, "packages.conda": {"a": [{}] * 600_000}})
    with pytest.raises(ContentError, match="more than"):
        list(shards.shard_entries(shard, shards.MAX_VALUES))


def test_an_info_that_never_ends_is_not_built(tmp_path: Path) -> None:
    path = tmp_path / "repodata.json"
    many = ",".join(f'"k{number}":1' for number in range(100_000))
    path.write_text('{"info":{"base_url":"x",' + many + '},"packages":{}}')
    assert len(read_info(path, packed=False)) < 1000


def test_records_take_no_more_memory_than_they_have_bytes() -> None:
    body = encode({"name": "x" * 300})
    assert sys.getsizeof(body) < 400


def test_the_mark_stays_when_all_is_pushed_again_though_the_formats_differ(remote: Shop) -> None:
    conda = build("alpha", extra_index={"timestamp": 1700000000001})
    bz2 = build("alpha", archive="tar.bz2", extra_index={"timestamp": 1700000000002})
    remote.lay(bz2, conda)
    remote.push()
    repository, tag = remote.where(conda)
    marked = remote.rig.fake.manifest_of(repository, tag)
    marked["annotations"]["org.conda-forge.status"] = "validated"
    body = json.dumps(marked).encode()
    remote.rig.fake.add_manifest(repository, tag, body, marked["mediaType"])
    remote.push(again=True, status_key="org.conda-forge.status")
    assert remote.rig.fake.manifest_of(repository, tag) == marked


def test_a_bad_port_in_a_location_costs_one_archive(remote: Shop) -> None:
    remote.lay(build("alpha"), build("beta"))
    bad = faults.status(
        202,
        times=1,
        match=faults.is_upload_start(),
        headers={"Location": "http://127.0.0.1:99999/v2/x"},
    )
    remote.rig.fake.knobs.faults = [bad]
    outcome = remote.push(jobs=1)
    assert (outcome.moved.count, outcome.failed) == (1, 1)


def test_a_wrong_password_is_sent_once_not_for_each_archive(rig: Rig) -> None:
    rig.fake.knobs.auth, rig.fake.knobs.users = "token", {"ann": "right"}
    rig.fake.knobs.anonymous = False
    folder = rig.root / "archives"
    (folder / "noarch").mkdir(parents=True)
    for number in range(30):
        package = build(f"p{number}")
        (folder / "noarch" / package.file_name).write_bytes(package.data)
    done = run(rig, "push", str(folder), "--jobs", "2", ORAS_USER="ann", ORAS_PASS="wrong")  # noqa: S106
    assert done.returncode == 3
    assert "the credentials were answered with 401" in done.stderr
    assert rig.fake.count("token") < 10


def test_a_dry_run_that_could_not_be_real_says_so(rig: Rig) -> None:
    rig.fake.knobs.auth = "token"
    folder = rig.root / "archives/noarch"
    folder.mkdir(parents=True)
    package = build("alpha")
    (folder / package.file_name).write_bytes(package.data)
    done = run(rig, "push", str(folder.parent), "--dry-run")
    assert done.returncode == 3
    assert "asks who is writing" in done.stderr


def test_a_glob_that_nothing_matches_is_noted(rig: Rig, tmp_path: Path) -> None:
    site = tmp_path / "up/noarch"
    site.mkdir(parents=True)
    (site / "repodata.json").write_text('{"info":{"subdir":"noarch"},"packages":{}}')
    outcome = mirror(rig, site.parent, globs=("typoo",))
    assert any("typoo" in note for note in outcome.notes)


def test_a_pipe_that_closes_is_no_fault(rig: Rig) -> None:
    for number in range(50):
        rig.push(build(f"p{number}"))
    command = command_of(rig, "pull", "--dry-run", "--output", str(rig.root / "out"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode in {0, 141}
    assert b"fault" not in errors


def test_termination_ends_as_an_interruption_does(rig: Rig, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with FileHost() as host:
        host.faults = [faults.hang()]
        command = command_of(rig, "mirror", "--from", host.http)
        environ = os.environ | {"TMPDIR": str(scratch)}
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            while not host.requests and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            errors = process.stderr.read()
        assert process.returncode == 143, errors
    assert list(scratch.iterdir()) == []


def command_of(rig: Rig, *arguments: str) -> list[str]:
    where = ["--registry", f"oci+{rig.fake.http}/acme", "--channel", CHANNEL]
    return [sys.executable, "-m", "indexer", *arguments, *where]


def run(rig: Rig, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_of(rig, *arguments),
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_command_is_there() -> None:
    assert {"push", "mirror", "pull", "show", "publish"} <= main.commands.keys()
