"""Pull makes a folder that is a channel: checked, gone on with, and nothing written elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from demo.packages import Package, build
from indexer.check import check_channel
from indexer.errors import ConfigError, RegistryError
from indexer.files import locked
from indexer.published import Folder
from indexer.registry import RegistryAddress, Transport, open_registry
from indexer.transfer.job import Job
from indexer.transfer.naming import list_repositories
from indexer.transfer.outcome import Outcome
from indexer.transfer.pull import Pull
from tests.registry.help import VirtualTime
from tests.support import faults
from tests.support.rig import CHANNEL, Rig, records_in
from tests.transfer.stage import Origin, Stops, exactly, mirror, names, reasons

ALPHA, ALPHA_BZ2 = build("alpha"), build("alpha", archive="tar.bz2")
BETA = build("beta", "1!2.0+x", subdir="linux-64")
SWITCH = build("_switch", build="on")
ALL = (ALPHA, ALPHA_BZ2, BETA, SWITCH)


@pytest.fixture
def full(rig: Rig) -> Rig:
    rig.push(ALPHA_BZ2, ALPHA)
    rig.push(BETA, validated=False)
    rig.push(SWITCH)
    return rig


def pull(
    rig: Rig,
    *,
    subdirs: tuple[str, ...] = (),
    address: RegistryAddress | None = None,
    output: Path | None = None,
    latest: bool = False,
    **settings: Any,
) -> Outcome:
    with closing(Transport(clock=VirtualTime().clock)) as transport:
        registry = open_registry(address or rig.config().registry, transport)
        listing = list_repositories(registry, transport, CHANNEL, subdirs, {})
        defaults: dict[str, Any] = {"now": rig.now, "jobs": 4, "abort": transport.close}
        job = Job(registry=registry, channel=CHANNEL, **(defaults | settings))
        return Pull(job, output or out(rig), latest=latest).run(listing.repositories)


def out(rig: Rig) -> Path:
    return rig.root / "out"


def path_of(rig: Rig, package: Package) -> Path:
    return out(rig) / package.subdir / package.file_name


def archives(folder: Path) -> dict[str, bytes]:
    found = folder.rglob("*")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.name.endswith((".conda", ".tar.bz2"))
    }


def of(*packages: Package) -> dict[str, bytes]:
    return {f"{package.subdir}/{package.file_name}": package.data for package in packages}


def assert_sound(folder: Path, *packages: Package) -> None:
    """A channel of exactly these packages, and no leftovers."""
    assert archives(folder) == of(*packages)
    assert check_channel(Folder(folder)).problems == []
    listed = {
        f"{subdir.name}/{name}": fields["sha256"]
        for subdir in folder.iterdir()
        if subdir.is_dir()
        for name, fields in records_in(folder, subdir.name).items()
    }
    assert listed == exactly(*packages)
    assert not list(folder.rglob("*.part")) + list(folder.rglob(".repodata.new"))


def test_the_whole_channel_is_pulled_marked_or_not(full: Rig) -> None:
    outcome = pull(full)
    assert (outcome.moved.count, outcome.present, outcome.failed) == (4, 0, 0)
    assert outcome.moved.size == sum(package.size for package in ALL)
    assert_sound(out(full), *ALL)


def test_what_is_pulled_can_be_mirrored_back(full: Rig) -> None:
    pull(full)
    outcome = mirror(full, out(full))
    assert (outcome.moved.count, outcome.present, outcome.failed) == (0, 4, 0)


def test_what_is_there_is_not_fetched_again(full: Rig) -> None:
    pull(full)
    full.fake.clear_requests()
    before = (out(full) / "noarch/repodata.json").read_bytes()
    outcome = pull(full)
    assert (outcome.moved.count, outcome.present) == (0, 4)
    wanted = {request.reference for request in full.fake.requests if request.kind == "blobs"}
    assert not wanted & {f"sha256:{package.sha256}" for package in ALL}
    assert (out(full) / "noarch/repodata.json").read_bytes() == before


@pytest.mark.parametrize(
    ("chosen", "packages"),
    [
        ({"globs": ("al*",)}, [ALPHA, ALPHA_BZ2]),
        ({"globs": ("_switch", "beta")}, [SWITCH, BETA]),
        ({"subdirs": ("linux-64",)}, [BETA]),
        ({"subdirs": ("noarch",), "globs": ("*t*",)}, [SWITCH]),
        ({"globs": ("zzz_switch",)}, []),
    ],
    ids=str,
)
def test_globs_and_subdirs_choose(
    full: Rig, chosen: dict[str, Any], packages: list[Package]
) -> None:
    pull(full, **chosen)
    assert_sound(out(full), *packages)


def test_the_latest_is_by_condas_order_of_versions_with_all_its_variants(rig: Rig) -> None:
    older = [build("alpha", "1.9"), build("alpha", "1.10rc1"), build("alpha", "1.10", "h0_0")]
    newest = [
        build("alpha", "1.10", "py1_2", build_number=2),
        build("alpha", "1.10", "py2_2", build_number=2),
        build("alpha", "1.10", "py2_2", build_number=2, archive="tar.bz2"),
    ]
    other = build("alpha", "0.1", subdir="linux-64")
    epoch = [build("beta", "2024.1"), build("beta", "1!0.1")]
    for package in [*older, newest[0], other, *epoch]:
        rig.push(package)
    rig.push(newest[2], newest[1])
    pull(rig, latest=True)
    assert_sound(out(rig), *newest, other, epoch[1])


def test_a_damaged_file_is_fetched_again(full: Rig) -> None:
    pull(full)
    path_of(full, BETA).write_bytes(flipped(BETA.data))
    path_of(full, ALPHA).write_bytes(b"")
    assert names(pull(full).moved) == sorted(exactly(ALPHA, BETA))
    assert_sound(out(full), *ALL)


def test_a_broken_connection_costs_only_what_is_lacking(full: Rig) -> None:
    digest = f"sha256:{BETA.sha256}"
    full.fake.knobs.faults = [faults.truncated(match=faults.is_blob(digest=digest), times=2)]
    assert pull(full).failed == 0
    assert ranges(full, BETA)[0] == ""
    assert ranges(full, BETA)[1] == f"bytes={BETA.size // 2}-"
    assert len(ranges(full, BETA)) == 3
    assert_sound(out(full), *ALL)


def flipped(data: bytes) -> bytes:
    """Other bytes of the same length."""
    return data[:99] + bytes([data[99] ^ 1]) + data[100:]


def ranges(rig: Rig, package: Package) -> list[str]:
    return [
        request.headers.get("range", "")
        for request in rig.fake.requests
        if request.reference == f"sha256:{package.sha256}"
    ]


def test_what_an_interrupted_run_fetched_is_gone_on_with(full: Rig) -> None:
    folder = out(full) / "linux-64"
    folder.mkdir(parents=True)
    (folder / f".{BETA.file_name}.part").write_bytes(BETA.data[:100])
    assert pull(full).failed == 0
    assert ranges(full, BETA) == ["bytes=100-"]
    assert_sound(out(full), *ALL)


def test_a_beginning_of_something_else_is_thrown_away(full: Rig) -> None:
    folder = out(full) / "linux-64"
    folder.mkdir(parents=True)
    (folder / f".{BETA.file_name}.part").write_bytes(b"\0" * 100)
    assert pull(full).failed == 0
    assert_sound(out(full), *ALL)


def test_an_interrupted_pull_is_finished_by_the_next(full: Rig) -> None:
    with pytest.raises(KeyboardInterrupt):
        pull(full, jobs=1, progress=Stops("Pulling"))
    assert not (out(full) / "noarch/repodata.json").exists()
    assert pull(full).failed == 0
    assert_sound(out(full), *ALL)


def test_bytes_of_another_digest_are_named_and_not_kept(full: Rig) -> None:
    digest = f"sha256:{ALPHA.sha256}"
    full.fake.knobs.faults = [faults.tampered(match=faults.is_blob(digest=digest))]
    found = reasons(pull(full))
    assert list(found) == [*exactly(ALPHA)]
    assert digest in found["noarch/alpha-1.0-0.conda"]
    full.fake.knobs.faults = []
    assert archives(out(full)) == of(ALPHA_BZ2, BETA, SWITCH)
    assert ALPHA.file_name not in records_in(out(full), "noarch")


@pytest.mark.parametrize("spoil", [flipped, lambda data: data[:-1]])
def test_a_damaged_file_that_cannot_be_had_anew_is_not_listed(
    full: Rig, spoil: Callable[[bytes], bytes]
) -> None:
    pull(full)
    path_of(full, ALPHA).write_bytes(spoil(ALPHA.data))
    digest = f"sha256:{ALPHA.sha256}"
    full.fake.knobs.faults = [faults.status(404, match=faults.is_blob(digest=digest))]
    assert list(reasons(pull(full))) == [*exactly(ALPHA)]
    assert records_in(out(full), "noarch").keys() == {ALPHA_BZ2.file_name, SWITCH.file_name}


def test_the_index_keeps_what_earlier_pulls_brought(full: Rig) -> None:
    pull(full, globs=("alpha",))
    pull(full, globs=("_switch",))
    assert_sound(out(full), ALPHA, ALPHA_BZ2, SWITCH)


def test_the_index_drops_what_was_deleted(full: Rig) -> None:
    pull(full)
    path_of(full, ALPHA).unlink()
    pull(full, globs=("_switch",))
    assert_sound(out(full), ALPHA_BZ2, BETA, SWITCH)


def test_an_older_sound_file_stays_listed_while_its_successor_fails(rig: Rig) -> None:
    rig.push(ALPHA)
    pull(rig)
    newer = build("alpha", message="newer and longer")
    rig.push(newer)
    digest = f"sha256:{newer.sha256}"
    rig.fake.knobs.faults = [faults.status(404, match=faults.is_blob(digest=digest))]
    assert pull(rig).failed == 1
    assert archives(out(rig)) == of(ALPHA)
    assert records_in(out(rig), "noarch")[ALPHA.file_name]["sha256"] == ALPHA.sha256
    rig.fake.knobs.faults = []
    pull(rig)
    assert_sound(out(rig), newer)


@pytest.mark.parametrize("data", [b"[]", b'{"packages": {"a": 1}}', b"\0", b"{}"])
def test_an_index_that_cannot_be_read_is_made_anew(full: Rig, data: bytes) -> None:
    (out(full) / "noarch").mkdir(parents=True)
    (out(full) / "noarch/repodata.json").write_bytes(data)
    pull(full)
    assert_sound(out(full), *ALL)


def test_an_earlier_index_lists_nothing_outside_of_its_folder(full: Rig) -> None:
    pull(full)
    path = out(full) / "noarch/repodata.json"
    document = orjson.loads(path.read_bytes())
    record = document["packages.conda"][ALPHA.file_name]
    document["packages.conda"] |= {
        "../linux-64/beta-1!2.0+x-0.conda": record | {"size": BETA.size},
        "../../secret": record | {"size": 6},
        "sub/secret": record | {"size": 6},
        "": record,
    }
    path.write_bytes(json.dumps(document, indent=2).encode())
    (out(full) / "noarch/sub").mkdir()
    for folder in (out(full).parent, out(full) / "noarch/sub"):
        (folder / "secret").write_bytes(b"secret")
    pull(full)
    assert_sound(out(full), *ALL)


@pytest.mark.parametrize("title", ["../../evil-1.0-0.conda", "/etc/x.conda", "evil.conda", "\x1b"])
def test_a_hostile_title_is_left_out_by_name(rig: Rig, title: str) -> None:
    rig.push(ALPHA)
    rig.push(build("evil"))
    repository = rig.repository("noarch", "evil")
    manifest = rig.fake.manifest_of(repository, "1.0-0")
    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = title
    body = json.dumps(manifest).encode()
    rig.fake.add_manifest(repository, "1.0-0", body, manifest["mediaType"])
    (what,) = reasons(pull(rig))
    assert "evil" in what or title.startswith(("/etc", "\x1b"))
    assert "\x1b" not in what
    assert_sound(out(rig), ALPHA)


def test_who_says_to_be_another_package_is_left_out_by_name(rig: Rig) -> None:
    rig.push(ALPHA)
    rig.push(build("openssl"), repository="foo")
    rig.push(build("tagged"), tag="9.9-9")
    rig.push(build("moved", extra_index={"subdir": "osx-64"}))
    assert sorted(reasons(pull(rig))) == [
        "noarch/moved-1.0-0.conda",
        "noarch/openssl-1.0-0.conda",
        "noarch/tagged-1.0-0.conda",
    ]
    assert_sound(out(rig), ALPHA)


def test_nothing_is_written_through_a_link(full: Rig) -> None:
    victim = full.root / "victim"
    victim.write_bytes(b"precious")
    folder = out(full) / "noarch"
    folder.mkdir(parents=True)
    path_of(full, ALPHA).symlink_to(victim)
    (folder / f".{ALPHA_BZ2.file_name}.part").symlink_to(victim)
    (folder / "repodata.json").symlink_to(victim)
    with pytest.raises(ConfigError, match="can't be written"):
        pull(full)
    (folder / f".{ALPHA_BZ2.file_name}.part").unlink()
    pull(full)
    assert victim.read_bytes() == b"precious"
    assert not path_of(full, ALPHA).is_symlink()
    assert_sound(out(full), *ALL)


def test_scratch_files_are_not_made_in_a_linked_folder(full: Rig) -> None:
    victim = full.root / "victim"
    victim.mkdir()
    (victim / "repodata.json").write_bytes(b"precious")
    (out(full) / "noarch").mkdir(parents=True)
    (out(full) / "noarch/.repodata.new").symlink_to(victim)
    pull(full)
    assert_sound(out(full), *ALL)
    assert (victim / "repodata.json").read_bytes() == b"precious"


def test_two_pulls_into_one_folder_do_not_mix(full: Rig) -> None:
    out(full).mkdir()
    with (
        locked(out(full) / ".cf-index.lock", "it"),
        pytest.raises(ConfigError, match="Another run is using"),
    ):
        pull(full)
    assert archives(out(full)) == {}


def test_a_folder_that_cannot_be_made_is_wrong_use(full: Rig) -> None:
    (full.root / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="can't be made"):
        pull(full, output=full.root / "file/below")


def test_a_dry_run_counts_and_writes_nothing(full: Rig) -> None:
    pull(full, globs=("alpha",))
    before = {path: path.stat().st_mtime_ns for path in out(full).rglob("*")}
    outcome = pull(full, dry_run=True)
    assert names(outcome.moved) == sorted(exactly(BETA, SWITCH))
    assert (outcome.moved.size, outcome.present) == (BETA.size + SWITCH.size, 2)
    assert {path: path.stat().st_mtime_ns for path in out(full).rglob("*")} == before


def test_an_empty_registry_gives_an_empty_channel(rig: Rig) -> None:
    outcome = pull(rig, subdirs=("noarch",))
    assert (outcome.moved.count, outcome.failed) == (0, 0)
    assert_sound(out(rig))


def test_a_listing_that_breaks_off_is_no_end(full: Rig) -> None:
    full.fake.knobs.page_size = 1
    full.fake.knobs.faults = [
        faults.status(404, match=faults.is_page_after(faults.is_catalog())),
    ]
    with pytest.raises(RegistryError):
        pull(full)
    assert not out(full).exists()


def test_a_folder_registry_is_pulled_too(rig: Rig, tmp_path: Path) -> None:
    origin = Origin(tmp_path / "upstream")
    origin.add(*ALL)
    address = RegistryAddress.parse(f"ocidir://{rig.root / 'layouts'}")
    mirror(rig, origin.write().root, address=address)
    pull(rig, address=address)
    assert_sound(out(rig), *ALL)


def test_what_no_index_may_have_is_pulled_and_left_out_of_it(rig: Rig) -> None:
    odd = build("odd", depends=["a b c d e f"])
    rig.push(ALPHA)
    rig.push(odd)
    outcome = pull(rig)
    assert outcome.failed == 0
    assert any("odd-1.0-0.conda" in note and "not in" in note for note in outcome.notes)
    assert path_of(rig, odd).read_bytes() == odd.data
    assert odd.file_name not in records_in(out(rig), "noarch")
    assert pull(rig).moved.count == 0
