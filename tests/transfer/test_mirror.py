"""Mirror copies what is lacking, from any form of a channel, and asks for no more than that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.packages import build
from indexer.channel.plan import Guard
from indexer.channel.policy import Policy
from indexer.errors import ConfigError, RegistryError
from indexer.registry import RegistryAddress
from indexer.transfer.upstream import location_of
from tests.support import faults
from tests.support.loopback import FileHost
from tests.support.rig import Rig
from tests.transfer.stage import (
    FORMS,
    KEY,
    PACKED,
    PLAIN,
    SHARDED,
    Origin,
    exactly,
    held,
    held_by,
    mirror,
    names,
    reasons,
    registry_of,
)

ALPHA = build("alpha", depends=["beta >=1.0"])
ALPHA_BZ2 = build("alpha", archive="tar.bz2")
BETA = build("beta", "1!2.0+x", subdir="linux-64")
SWITCH = build("_switch", build="on")
ALL = (ALPHA, ALPHA_BZ2, BETA, SWITCH)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "upstream")
    made.add(*ALL)
    return made


@pytest.fixture
def host(origin: Origin) -> Iterator[FileHost]:
    with FileHost(origin.root) as made:
        yield made


def asked(host: FileHost) -> set[str]:
    return {request.path for request in host.requests}


@pytest.mark.parametrize("forms", [FORMS, *((form,) for form in FORMS)], ids="+".join)
def test_any_form_of_a_channel_gives_the_same_registry(
    rig: Rig, origin: Origin, host: FileHost, forms: tuple[str, ...]
) -> None:
    origin.write(*forms)
    outcome = mirror(rig, host.http)
    assert (outcome.moved.count, outcome.failed, outcome.notes) == (4, 0, [])
    assert outcome.moved.size == sum(package.size for package in ALL)
    assert held_by(rig) == exactly(*ALL)
    assert rig.rebuild(policy=Policy("none")).left_out == []
    rig.assert_sound()
    assert rig.records("noarch").keys() | rig.records("linux-64").keys() == {
        package.file_name for package in ALL
    }


def test_the_best_form_is_read_and_no_other(rig: Rig, origin: Origin, host: FileHost) -> None:
    for forms in (FORMS, (PACKED, PLAIN)):
        host.clear_requests()
        origin.write(*forms)
        mirror(rig, host.http, subdirs=["noarch"])
        best, *worse = forms
        assert f"/noarch/{best}" in asked(host)
        assert not asked(host) & {f"/noarch/{form}" for form in worse}


@pytest.mark.parametrize("spelling", ["{}", "file://{}", "file://localhost{}"])
def test_a_folder_is_a_channel_too(rig: Rig, origin: Origin, spelling: str) -> None:
    origin.write(PLAIN)
    mirror(rig, spelling.format(origin.root))
    assert held_by(rig) == exactly(*ALL)


def test_a_folder_registry_is_a_target_too(rig: Rig, origin: Origin) -> None:
    address = RegistryAddress.parse(f"ocidir://{rig.root / 'layouts'}")
    origin.write()
    mirror(rig, origin.root, address=address)
    again = mirror(rig, origin.root, address=address)
    assert (again.moved.count, again.present) == (0, 4)
    with registry_of(rig, address) as registry:
        assert held(registry) == exactly(*ALL)


def test_only_the_shards_of_wanted_names_are_fetched(
    rig: Rig, origin: Origin, host: FileHost
) -> None:
    origin.write()
    outcome = mirror(rig, host.http, subdirs=["noarch"], globs=["al*"])
    assert held_by(rig) == exactly(ALPHA, ALPHA_BZ2)
    assert outcome.moved.count == 2
    shard = f"/noarch/shards/{origin.shard(ALPHA).name}"
    archives = {f"/noarch/{package.file_name}" for package in (ALPHA, ALPHA_BZ2)}
    assert asked(host) == {f"/noarch/{SHARDED}", shard, *archives}


@pytest.mark.parametrize("form", [PACKED, PLAIN])
def test_globs_and_subdirs_choose_in_the_other_forms(rig: Rig, origin: Origin, form: str) -> None:
    origin.write(form)
    mirror(rig, origin.root, globs=["_switch", "b*"], subdirs=["noarch"])
    assert held_by(rig) == exactly(SWITCH)


def test_a_second_run_downloads_and_writes_nothing(
    rig: Rig, origin: Origin, host: FileHost
) -> None:
    origin.write()
    mirror(rig, host.http)
    host.clear_requests()
    rig.fake.clear_requests()
    outcome = mirror(rig, host.http)
    assert (outcome.moved.count, outcome.present) == (0, 4)
    assert not [path for path in asked(host) if path.endswith((".conda", ".tar.bz2"))]
    assert {request.method for request in rig.fake.requests} <= {"GET", "HEAD"}


def test_a_dry_run_says_what_it_would_copy_and_writes_nothing(
    rig: Rig, origin: Origin, host: FileHost
) -> None:
    origin.write()
    rig.push(ALPHA)
    outcome = mirror(rig, host.http, dry_run=True)
    lacking = (ALPHA_BZ2, BETA, SWITCH)
    assert names(outcome.moved) == sorted(exactly(*lacking))
    assert outcome.moved.size == sum(package.size for package in lacking)
    assert outcome.present == 1
    assert {request.method for request in rig.fake.requests} <= {"GET", "HEAD"}
    assert not [path for path in asked(host) if path.endswith((".conda", ".tar.bz2"))]


def test_one_format_in_the_registry_is_completed_by_the_other(
    rig: Rig, origin: Origin, host: FileHost
) -> None:
    rig.push(ALPHA_BZ2)
    origin.write()
    outcome = mirror(rig, host.http, globs=["alpha"])
    assert names(outcome.moved) == ["noarch/alpha-1.0-0.conda"]
    assert f"/noarch/{ALPHA_BZ2.file_name}" not in asked(host)
    assert held_by(rig) == exactly(ALPHA, ALPHA_BZ2)
    # What nobody has looked at isn't validated.
    assert KEY not in rig.fake.manifest_of("acme/forge/noarch/alpha", "1.0-0")["annotations"]


def test_other_bytes_under_the_same_name_replace_ours_unvalidated_with_a_note(
    rig: Rig, origin: Origin
) -> None:
    rig.push(build("alpha", message="ours"))
    rig.push(SWITCH)
    origin.write()
    outcome = mirror(rig, origin.root, subdirs=["noarch"])
    assert held_by(rig) == exactly(ALPHA, ALPHA_BZ2, SWITCH)
    assert outcome.notes == [
        "noarch/alpha-1.0-0.conda: upstream has other bytes; they take the place of ours"
    ]
    assert KEY not in rig.fake.manifest_of("acme/forge/noarch/alpha", "1.0-0")["annotations"]
    assert KEY in rig.fake.manifest_of("acme/forge/noarch/zzz_switch", "1.0-on")["annotations"]


def test_a_record_with_md5_only_is_copied_once(rig: Rig, origin: Origin, host: FileHost) -> None:
    del origin.record(BETA)["sha256"]
    origin.write(PLAIN)
    mirror(rig, host.http, subdirs=["linux-64"])
    assert held_by(rig) == exactly(BETA)
    again = mirror(rig, host.http, subdirs=["linux-64"])
    assert (again.moved.count, again.present, again.notes) == (0, 1, [])


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("conda-forge", "https://conda.anaconda.org/conda-forge"),
        ("conda-forge/label/rust_dev", "https://conda.anaconda.org/conda-forge/label/rust_dev"),
        ("https://example.org/x/", "https://example.org/x/"),
        ("./forge", "forge"),
        ("file:///srv/a%20b", "/srv/a b"),
        ("~/forge", str(Path("~/forge").expanduser())),
    ],
)
def test_a_channel_may_be_named_in_the_usual_ways(text: str, location: str) -> None:
    if text.startswith("~"):
        location = str(Path(text).expanduser())
    assert location_of(text) == location


@pytest.mark.parametrize("text", ["file://elsewhere/srv", "ftp://host/x", "a/b", "", "\x1b[31m"])
def test_what_names_no_channel_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        location_of(text)
    assert "\x1b" not in str(caught.value)


@pytest.mark.usefixtures("host")
def test_a_channel_or_subdir_that_is_not_there_is_wrong_use(rig: Rig, origin: Origin) -> None:
    origin.write()
    with pytest.raises(ConfigError, match="no osx-64"):
        mirror(rig, origin.root, subdirs=["noarch", "osx-64"])
    with pytest.raises(ConfigError, match="There is no folder"):
        mirror(rig, origin.root / "absent")
    (rig.root / "empty").mkdir()
    with pytest.raises(ConfigError, match="is no channel"):
        mirror(rig, rig.root / "empty")
    assert held_by(rig) == {}


def test_an_upstream_that_answers_no_index_is_no_empty_one(
    rig: Rig, origin: Origin, host: FileHost
) -> None:
    origin.write()
    host.faults = [faults.status(503)]
    with pytest.raises(RegistryError, match="503"):
        mirror(rig, host.http)
    host.faults = [faults.status(403)]
    with pytest.raises(RegistryError, match="403"):
        mirror(rig, host.http)


@pytest.mark.parametrize("guard", [None, Guard()])
def test_a_registry_that_denies_what_is_not_there_yet_is_written_to(
    rig: Rig, origin: Origin, guard: Guard | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As GHCR does; whoever has credentials may make it exist."""
    rig.fake.knobs.auth = "basic"
    rig.fake.knobs.users = {"me": "right"}
    monkeypatch.setenv("ORAS_USER", "me")
    monkeypatch.setenv("ORAS_PASS", "right")
    rig.fake.knobs.faults = [faults.status(403, match=faults.is_tags(), times=3)]
    assert reasons(mirror(rig, origin.write().root, guard=guard)) == {}
    assert held_by(rig) == exactly(*ALL)


def test_damaged_records_cost_only_themselves(rig: Rig, origin: Origin) -> None:
    origin.record(BETA)["sha256"] = "0" * 63
    origin.write(PLAIN)
    assert reasons(mirror(rig, origin.root)) == {
        "linux-64/beta-1!2.0+x-0.conda": "its sha256 isn't one"
    }
    assert held_by(rig) == exactly(ALPHA, ALPHA_BZ2, SWITCH)


def test_what_a_copied_archive_says_of_itself_is_on_its_manifest(rig: Rig, tmp_path: Path) -> None:
    origin = Origin(tmp_path / "origin")
    origin.add(BETA)
    mirror(rig, origin.write().root)
    repository = rig.repository(BETA.subdir, BETA.name)
    (tag,) = rig.fake.tags_of(repository)
    assert rig.fake.manifest_of(repository, tag)["annotations"] == {
        "org.opencontainers.image.description": "A demonstration package called beta",
        "org.opencontainers.image.url": "https://example.invalid/beta",
    }
