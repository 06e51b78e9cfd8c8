"""What isn't there, is refused or is damaged is told with its place, and is never "the same"."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from indexer.render import zstd
from tests.diff.help import (
    ALPHA,
    BETA,
    FORMS,
    GAMMA,
    PACKED,
    PLAIN,
    SHARDED,
    compared,
    fields_of,
    publish,
    put_shard,
    run,
    write_index,
)
from tests.support.faults import is_path, status
from tests.support.loopback import FileHost

NEWER = {GAMMA.file_name: GAMMA.fields() | {"license": "BSD"}}


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    return publish(tmp_path / "channel", [ALPHA, GAMMA])


def failed(code: int, *arguments: str | Path) -> str:
    """What the command says when it ends with this exit code, and with nothing on stdout."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    return result.stderr


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.parametrize("format_", ["text", "json", "markdown"])
def test_exit_codes_say_whether_channels_differ(
    tmp_path: Path, channel: Path, format_: str
) -> None:
    other = publish(tmp_path / "other", [ALPHA])
    assert run(channel, channel, "--format", format_).exit_code == 0
    result = run(channel, other, "--format", format_)
    assert (result.exit_code, result.stderr) == (1, "")
    assert GAMMA.file_name in result.stdout


def test_an_old_channel_that_is_nowhere_is_an_error_unless_allowed(
    tmp_path: Path, channel: Path, empty: Path
) -> None:
    assert "There is no folder" in failed(2, tmp_path / "nowhere", channel)
    assert "--allow-missing" in failed(2, empty, channel)
    with FileHost(empty) as host:
        assert "is no channel" in failed(2, host.http, channel)
        for old in (tmp_path / "nowhere", empty, host.http):
            found = compared(old, channel, allow_missing=True)["subdirs"]["noarch"]
            assert found["added"] == [ALPHA.file_name, GAMMA.file_name]
            assert found["compared"]["old"] is None
            assert run(old, channel, "--allow-missing").exit_code == 1


def test_a_new_channel_that_is_nowhere_is_always_an_error(
    tmp_path: Path, channel: Path, empty: Path
) -> None:
    assert "There is no folder" in failed(2, channel, tmp_path / "nowhere", "--allow-missing")
    with FileHost(empty) as host:
        for new in (empty, host.http):
            for more in ((), ("--subdir", "noarch")):
                text = failed(2, channel, new, "--allow-missing", *more)
                assert "is no channel" in text
                assert "noarch/" in text


def test_nothing_compared_with_nothing_is_not_the_same(empty: Path) -> None:
    assert "is no channel" in failed(2, empty, empty, "--allow-missing")


def test_a_new_channel_without_the_subdir_asked_for_is_still_one(
    tmp_path: Path, channel: Path
) -> None:
    old = publish(tmp_path / "old", [ALPHA], subdir="linux-64")
    assert run(old, channel, "--subdir", "linux-64").exit_code == 1
    assert run(channel, old, "--subdir", "linux-64").exit_code == 1


def test_a_subdir_that_neither_has_is_an_error(channel: Path) -> None:
    text = failed(2, channel, channel, "--subdir", "noarch", "--subdir", "win-64")
    assert "win-64" in text
    assert "is not a subdir" in failed(2, channel, channel, "--subdir", "../noarch")


@pytest.mark.parametrize("place", ["ftp://host/x", "http://", "https://me:s3cret@host/"])
def test_what_is_no_address_is_refused(channel: Path, place: str) -> None:
    assert "s3cret" not in failed(2, channel, place)


def test_a_file_is_no_channel(tmp_path: Path, channel: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is no folder" in failed(2, tmp_path / "file", channel, "--allow-missing")


@pytest.mark.parametrize("code", [403, 500])
def test_a_channel_that_cannot_be_read_is_not_taken_for_a_missing_one(
    channel: Path, code: int
) -> None:
    with FileHost(channel) as host:
        host.faults.append(status(code, match=lambda _: True))
        assert str(code) in failed(3, host.http, channel, "--allow-missing")
        assert str(code) in failed(3, host.http, channel, "--allow-missing", "--subdir", "noarch")


def test_two_channels_that_are_refused_are_not_taken_for_missing_ones(
    channel: Path, empty: Path
) -> None:
    with FileHost(channel) as host:
        host.faults.append(status(403, match=lambda _: True))
        for pair in ((host.http, host.http), (host.http, empty), (empty, host.http)):
            assert "403" in failed(3, *pair, "--allow-missing")


def test_nobody_at_the_address_is_not_taken_for_a_missing_channel(channel: Path) -> None:
    with FileHost(channel) as host:
        address = host.http
    assert "connection failed" in failed(3, address, channel, "--allow-missing")


def test_a_subdir_that_is_refused_is_not_taken_for_removed(tmp_path: Path, channel: Path) -> None:
    both = publish(tmp_path / "both", [ALPHA, GAMMA])
    publish(both, [ALPHA], subdir="win-64")
    with FileHost(both) as host:
        host.faults.append(status(403, match=lambda request: "/win-64/" in request.path))
        assert "win-64" in failed(3, both, host.http)
        # Where no one has it, it doesn't matter: some hosts answer so for what isn't there.
        assert run(channel, host.http).exit_code == 0


def test_a_form_that_is_refused_is_passed_over_for_another(channel: Path) -> None:
    with FileHost(channel) as host:
        host.faults.append(status(403, match=is_path(f"/noarch/{SHARDED}")))
        found = compared(host.http, channel)
    assert found["same"] is True
    assert found["subdirs"]["noarch"]["compared"] == {"old": PACKED, "new": PACKED}


def test_more_subdirs_than_can_be_told_are_not_compared(tmp_path: Path) -> None:
    for name, first in (("old", 0), ("new", 150)):
        for number in range(first, first + 150):
            (tmp_path / name / f"linux-{number}").mkdir(parents=True)
            (tmp_path / name / f"linux-{number}" / PLAIN).write_text("{}")
    assert "300 subdirs" in failed(3, tmp_path / "old", tmp_path / "new")


def test_more_subdirs_than_any_channel_has_are_not_asked_for(tmp_path: Path) -> None:
    root = publish(tmp_path, [GAMMA])
    listed = [f"linux-{number}" for number in range(500)]
    (root / "channeldata.json").write_text(json.dumps({"subdirs": listed}))
    with FileHost(root) as host:
        assert "--subdir" in failed(3, root, host.http)
        assert len(host.requests) < 10


HTML = b"<!doctype html><title>Not found</title>"
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "html": lambda _: HTML,
    "null": lambda _: b"null",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("served", [True, False])
def test_a_damaged_index_is_named(
    tmp_path: Path, channel: Path, form: str, damage: str, *, served: bool
) -> None:
    bad = publish(tmp_path / "bad", [ALPHA, GAMMA], form)
    file = bad / "noarch" / form
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with FileHost(bad) as host:
        place = host.http if served else bad
        for pair in ((channel, place), (place, channel)):
            text = failed(3, *pair)
            assert f"noarch/{form}" in text
            assert "cf-index check" in text


@pytest.mark.parametrize(
    "document",
    [
        {"packages": []},
        {"packages.conda": {GAMMA.file_name: 5}},
        {"info": {"subdir": "linux-64"}},
        {"packages.conda": {GAMMA.file_name: {"size": 2**70}}},
        {"packages.conda": json.loads("[" * 90 + "]" * 90)},
    ],
    ids=str,
)
def test_an_index_that_nobody_could_read_is_named(
    tmp_path: Path, channel: Path, document: dict[str, Any]
) -> None:
    bad = publish(tmp_path / "bad", [ALPHA, GAMMA], PLAIN)
    path = bad / "noarch" / PLAIN
    path.write_text(json.dumps(json.loads(path.read_bytes()) | document))
    assert f"noarch/{PLAIN}" in failed(3, channel, bad)


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_that_is_listed_twice_is_named(tmp_path: Path, channel: Path, number: int) -> None:
    bad = publish(tmp_path / "bad", [BETA, GAMMA], PLAIN)
    path = bad / "noarch" / PLAIN
    document = json.loads(path.read_bytes())
    document["packages"] = fields_of(BETA) | NEWER
    path.write_text(json.dumps(document))
    pair = (channel, bad) if number else (bad, channel)
    text = failed(3, *pair)
    assert f"The {('old', 'new')[number]} channel lists noarch/{GAMMA.file_name} twice" in text


def shard_with(fields: Any) -> bytes:
    packed: bytes = msgpack.packb({"packages": {}, "packages.conda": {GAMMA.file_name: fields}})
    return packed


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        msgpack.packb([]),
        msgpack.packb({"packages": {}}),
        shard_with(5),
        shard_with({"license": msgpack.ExtType(5, b"x")}),
        shard_with({"license": msgpack.Timestamp(1)}),
        shard_with({"license": [b"x"]}),
        shard_with({b"license": "x"}),
        msgpack.packb({"packages": {}, "packages.conda": {b"\xff": {}}}),
    ],
    ids=repr,
)
def test_a_shard_that_is_none_is_named(tmp_path: Path, channel: Path, packed: bytes) -> None:
    bad = publish(tmp_path / "bad", [ALPHA, GAMMA], SHARDED)
    digest = put_shard(bad / "noarch", packed)
    told = {"subdir": "noarch", "base_url": "", "shards_base_url": "shards/"}
    write_index(bad / "noarch", {"version": 1, "info": told, "shards": {"gamma": digest}})
    text = failed(3, channel, bad)
    assert f"noarch/{SHARDED}, the shard of gamma" in text


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(zstd.compress(b""))])
@pytest.mark.parametrize("served", [True, False])
def test_a_shard_that_is_missing_or_another_is_named(
    tmp_path: Path, channel: Path, damage: Callable[[Path], object], *, served: bool
) -> None:
    bad = publish(tmp_path / "bad", NEWER)
    (shard,) = (bad / "noarch/shards").iterdir()
    damage(shard)
    with FileHost(bad) as host:
        text = failed(3, channel, host.http if served else bad)
    assert "the shard of gamma" in text
    assert shard.name in text
