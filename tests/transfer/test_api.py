"""What a notebook or another tool does with the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import indexer.api
from demo.layers import package_manifest
from demo.packages import build
from indexer.api import (
    CfIndexError,
    ConfigError,
    ContentError,
    DeniedError,
    LoginError,
    NotFoundError,
    RegistryError,
    open_channel,
)
from tests.support import faults
from tests.support.rig import CHANNEL, Rig
from tests.transfer.stage import KEY, Stops, exactly, held_by, names, reasons

ZLIB = build("zlib", "1.2", "h0", subdir="linux-64", depends=["libc >=2"])
LATER = build("zlib", "1.3", "h0", subdir="linux-64", depends=["libc >=3"])


@pytest.fixture
def url(rig: Rig) -> str:
    return f"oci+{rig.fake.http}/acme"


def test_the_example_of_the_documentation_works(rig: Rig, url: str) -> None:
    rig.push(ZLIB)
    rig.push(LATER)
    lines = [
        line[4:]
        for line in (indexer.api.__doc__ or "").splitlines()
        if line.startswith((">>> ", "... "))
    ]
    lines[-1] = lines[-1].replace("build.", "depends = build.", 1)
    source = "\n".join(lines).replace('"oci://ghcr.io/acme"', repr(url))
    found: dict[str, object] = {}
    exec(compile(source, "example", "exec"), found)  # noqa: S102  our own documentation
    assert found["depends"] == ["libc >=3"]


def test_a_package_is_listed_read_and_saved(rig: Rig, url: str, tmp_path: Path) -> None:
    rig.push(ZLIB)
    with open_channel(url, CHANNEL) as channel:
        package = channel.package("zlib", "linux-64")
        assert package.tags() == ["1.2-h0"]
        found = package.build("1.2-h0")
        assert found.index_json() == ZLIB.index
        assert found.index_json_bytes == ZLIB.index_json
        assert [*found.archives()] == [ZLIB.file_name]
        assert {"about.json", "paths.json"} < found.info().keys()
        assert json.loads(found.read_info("about.json"))["license"] == "MIT"
        assert found.files() == ["bin/zlib", "share/zlib/id.txt"]
        steps: list[int] = []
        path = found.save(tmp_path, steps.append)
        assert path.read_bytes() == ZLIB.data
        assert steps[-1] == ZLIB.size


def test_a_package_is_pushed_once_and_never_born_validated(
    rig: Rig, url: str, tmp_path: Path
) -> None:
    path = tmp_path / ZLIB.file_name
    path.write_bytes(ZLIB.data)
    with open_channel(url, CHANNEL) as channel:
        assert channel.push([path], dry_run=True).moved.count == 1
        assert held_by(rig) == {}
        assert names(channel.push([path]).moved) == [*exactly(ZLIB)]
        assert channel.push([str(path)]).present == 1
        assert channel.push([path], again=True).moved.count == 1
        assert channel.package("zlib", "linux-64").build("1.2-h0").index_json() == ZLIB.index
    assert held_by(rig) == exactly(ZLIB)
    manifest = rig.fake.manifest_of(rig.repository("linux-64", "zlib"), "1.2-h0")
    assert KEY not in manifest["annotations"]


def test_what_cannot_be_pushed_is_in_the_outcome(rig: Rig, url: str, tmp_path: Path) -> None:
    (tmp_path / "broken-1.0-0.conda").write_bytes(b"no zip")
    (tmp_path / ZLIB.file_name).write_bytes(ZLIB.data)
    with open_channel(url, CHANNEL) as channel:
        outcome = channel.push([tmp_path])
    assert len(reasons(outcome)) == 1
    assert held_by(rig) == exactly(ZLIB)


def test_an_interrupt_is_the_callers(url: str, tmp_path: Path) -> None:
    (tmp_path / ZLIB.file_name).write_bytes(ZLIB.data)
    with (
        open_channel(url, CHANNEL) as channel,
        pytest.raises(KeyboardInterrupt),
    ):
        channel.push([tmp_path], progress=Stops(""))


def test_a_folder_is_a_registry_too(tmp_path: Path) -> None:
    (tmp_path / ZLIB.file_name).write_bytes(ZLIB.data)
    address = f"ocidir://{tmp_path / 'layouts'}"
    with open_channel(address, CHANNEL) as channel:
        channel.push([tmp_path / ZLIB.file_name])
    with open_channel(address, CHANNEL) as channel:
        assert channel.package("zlib", "linux-64").tags() == ["1.2-h0"]


def test_errors_are_of_a_kind_that_can_be_told_apart(
    rig: Rig, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push(ZLIB)
    with open_channel(url, CHANNEL, retry_for=0) as channel:
        package = channel.package("zlib", "linux-64")
        with pytest.raises(NotFoundError):
            channel.package("absent").tags()
        with pytest.raises(NotFoundError):
            package.build("9-9")
        with pytest.raises(NotFoundError):
            package.build("1.2-h0").read_info("absent")
        with pytest.raises(ConfigError):
            channel.package("UPPER").tags()
        with pytest.raises(ConfigError):
            channel.push([tmp_path])
        rig.fake.knobs.faults = [faults.tampered(match=faults.is_manifest())]
        with pytest.raises(ContentError):
            package.build("1.2-h0")
        rig.fake.knobs.faults = [faults.status(503)]
        with pytest.raises(RegistryError, match="503"):
            package.tags()
        rig.fake.knobs.faults = []
        rig.fake.knobs.auth = "basic"
        with pytest.raises(DeniedError):
            package.tags()
    monkeypatch.setenv("ORAS_USER", "me")
    monkeypatch.setenv("ORAS_PASS", "right")
    rig.fake.knobs.users = {"me": "right"}
    with open_channel(url, CHANNEL) as channel:
        assert channel.package("zlib", "linux-64").tags() == ["1.2-h0"]
    assert issubclass(ContentError, CfIndexError)


@pytest.mark.parametrize(
    ("registry", "channel"), [("ghcr.io/acme", "forge"), ("oci://ghcr.io/acme", "../etc")]
)
def test_an_address_that_is_none_is_told_before_anything_is_asked(
    registry: str, channel: str
) -> None:
    with pytest.raises(ConfigError), open_channel(registry, channel):
        pass


def test_after_its_block_a_channel_asks_nothing_more(rig: Rig, url: str) -> None:
    rig.push(ZLIB)
    with open_channel(url, CHANNEL) as channel:
        package = channel.package("zlib", "linux-64")
    with pytest.raises(RegistryError):
        package.tags()
    assert rig.fake.requests == []
    with pytest.raises(ConfigError, match="closed"):
        channel.push([])


def test_a_push_that_is_refused_leaves_the_channel_to_be_read(
    rig: Rig, url: str, tmp_path: Path
) -> None:
    rig.push(ZLIB)
    path = tmp_path / LATER.file_name
    path.write_bytes(LATER.data)
    with open_channel(url, CHANNEL, retry_for=0) as channel:
        package = channel.package("zlib", "linux-64")
        rig.fake.knobs.faults = [faults.status(401, match=lambda request: request.method != "GET")]
        with pytest.raises(LoginError):
            channel.push([path])
        assert package.tags() == ["1.2-h0"]
        rig.fake.knobs.faults = []
        assert names(channel.push([path]).moved) == [*exactly(LATER)]
        assert package.tags() == ["1.2-h0", "1.3-h0"]


@pytest.mark.parametrize(("key", "is_kept"), [(KEY, True), ("my.mark", False)])
def test_other_bytes_lose_the_mark_of_the_channel(
    rig: Rig, url: str, tmp_path: Path, key: str, *, is_kept: bool
) -> None:
    image = package_manifest([ZLIB], annotations={"my.mark": "good"})
    repository = rig.repository("linux-64", "zlib")
    rig.fake.add(repository, image)
    path = tmp_path / ZLIB.file_name
    path.write_bytes(build("zlib", "1.2", "h0", subdir="linux-64", depends=["libc >=9"]).data)
    with open_channel(url, CHANNEL, status_key=key) as channel:
        assert channel.push([path]).moved.count == 1
    annotations = rig.fake.manifest_of(repository, "1.2-h0").get("annotations", {})
    assert ("my.mark" in annotations) == is_kept
