"""Servers that fail, lie or go away: everything good arrives, and nothing wrong is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.packages import build
from indexer.errors import RegistryError
from tests.support import faults
from tests.support.loopback import FileHost
from tests.support.rig import Rig
from tests.transfer.stage import (
    PACKED,
    PLAIN,
    SHARDED,
    Origin,
    Stops,
    exactly,
    held_by,
    mirror,
    reasons,
)

PACKAGES = tuple(build(f"pack-{number:02}") for number in range(12))
FIRST, SECOND, THIRD, *REST = PACKAGES
TWO = (build("two"), build("two", archive="tar.bz2"))


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "upstream")
    made.add(*PACKAGES)
    return made.write()


@pytest.fixture
def host(origin: Origin) -> Iterator[FileHost]:
    with FileHost(origin.root) as made:
        yield made


def path_of(package: object) -> str:
    return f"/noarch/{getattr(package, 'file_name', package)}"


def is_archive(request: faults.Request) -> bool:
    return request.path.endswith((".conda", ".tar.bz2"))


def test_connections_cut_half_way_are_gone_on_with(rig: Rig, host: FileHost) -> None:
    cuts = faults.truncated(match=is_archive, times=6)
    host.faults = [cuts]
    outcome = mirror(rig, host.http)
    assert (outcome.failed, cuts.fired) == (0, 6)
    assert held_by(rig) == exactly(*PACKAGES)
    begun: dict[str, int] = {}
    for request in filter(is_archive, host.requests):
        at = int(request.headers.get("range", "bytes=0-")[len("bytes=") : -1])
        # Only what is lacking, and more of it each time.
        assert at > begun.get(request.path, -1)
        begun[request.path] = at
    assert sum(at > 0 for at in begun.values()) >= 1


def test_a_host_without_ranges_begins_anew(rig: Rig, host: FileHost) -> None:
    host.faults = [
        faults.truncated(match=faults.is_path(path_of(FIRST)), times=1),
        faults.replace_body(FIRST.data, match=faults.is_path(path_of(FIRST))),
    ]
    host.faults[1].action = lambda _request, _ready: faults.Answer(200, {}, FIRST.data)
    mirror(rig, host.http)
    assert held_by(rig) == exactly(*PACKAGES)


def test_bursts_of_503_and_429_are_waited_out(rig: Rig, host: FileHost) -> None:
    bursts = [
        faults.status(503, times=8, match=is_archive),
        faults.status(429, times=4, match=is_archive, headers={"Retry-After": "1"}),
        faults.closed(times=4),
    ]
    host.faults = bursts
    assert mirror(rig, host.http).failed == 0
    assert [burst.fired for burst in bursts] == [8, 4, 4]
    assert held_by(rig) == exactly(*PACKAGES)


def test_one_wrong_hash_is_named_and_the_rest_arrives(rig: Rig, host: FileHost) -> None:
    host.faults = [faults.tampered(match=faults.is_path(path_of(FIRST)))]
    outcome = mirror(rig, host.http)
    (what,) = reasons(outcome)
    assert what == "noarch/pack-00-1.0-0.conda"
    assert "sha256" in reasons(outcome)[what]
    assert FIRST.sha256 in reasons(outcome)[what]
    assert held_by(rig) == exactly(*PACKAGES[1:])


def test_a_passing_wrong_hash_is_asked_for_again(rig: Rig, host: FileHost) -> None:
    host.faults = [faults.tampered(match=faults.is_path(path_of(FIRST)), times=1)]
    assert mirror(rig, host.http).failed == 0
    assert held_by(rig) == exactly(*PACKAGES)


def test_a_short_answer_is_no_beginning_of_the_right_one(rig: Rig, host: FileHost) -> None:
    short = faults.replace_body(b"short", match=faults.is_path(path_of(FIRST)), times=1)
    host.faults = [short]
    assert mirror(rig, host.http).failed == 0
    assert short.fired == 1
    assert held_by(rig) == exactly(*PACKAGES)


@pytest.mark.parametrize("change", [-1, 1])
def test_one_wrong_size_is_named_and_the_rest_arrives(
    rig: Rig, origin: Origin, host: FileHost, change: int
) -> None:
    origin.record(FIRST)["size"] += change
    origin.write()
    (what,) = reasons(mirror(rig, host.http))
    assert what == "noarch/pack-00-1.0-0.conda"
    assert held_by(rig) == exactly(*PACKAGES[1:])


@pytest.mark.parametrize("code", [403, 404, 503])
def test_a_file_that_is_not_given_costs_neither_others_nor_its_other_format(
    rig: Rig, origin: Origin, host: FileHost, code: int
) -> None:
    origin.add(*TWO)
    origin.write()
    host.faults = [faults.status(code, match=faults.is_path(path_of(TWO[0])))]
    outcome = mirror(rig, host.http)
    assert list(reasons(outcome)) == ["noarch/two-1.0-0.conda"]
    assert held_by(rig) == exactly(*PACKAGES, TWO[1])


def test_an_upstream_that_goes_down_ends_the_run(rig: Rig, origin: Origin, host: FileHost) -> None:
    origin.add(*(build(f"more-{number:02}") for number in range(20)))
    origin.write()
    host.faults = [faults.closed(match=is_archive)]
    with pytest.raises(RegistryError, match="16 artifacts in a row"):
        mirror(rig, host.http, jobs=1, retry_for=0)
    # Those that were under way by then are let finish.
    assert sum(map(is_archive, host.requests)) <= 16 + 4
    assert held_by(rig) == {}


@pytest.mark.parametrize(
    ("which", "spoil"), [("index", "truncate"), ("shard", "truncate"), ("shard", "remove")]
)
def test_a_damaged_sharded_form_falls_back_with_a_note(
    rig: Rig, origin: Origin, host: FileHost, which: str, spoil: str
) -> None:
    path = origin.shard(THIRD) if which == "shard" else origin.root / "noarch" / SHARDED
    if spoil == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    outcome = mirror(rig, host.http)
    assert held_by(rig) == exactly(*PACKAGES)
    (note,) = outcome.notes
    assert SHARDED in note
    assert f"{PACKED} is read instead" in note


def test_a_shard_of_other_bytes_is_not_believed(rig: Rig, origin: Origin, host: FileHost) -> None:
    origin.shard(THIRD).write_bytes(origin.shard(FIRST).read_bytes())
    outcome = mirror(rig, host.http)
    assert "doesn't have its sha256" in outcome.notes[0]
    assert held_by(rig) == exactly(*PACKAGES)


def test_a_damaged_zst_falls_back_to_the_plain_form(rig: Rig, origin: Origin) -> None:
    path = origin.write(PACKED, PLAIN).root / "noarch" / PACKED
    path.write_bytes(path.read_bytes()[:-5])
    outcome = mirror(rig, origin.root)
    assert f"{PLAIN} is read instead" in outcome.notes[0]
    assert held_by(rig) == exactly(*PACKAGES)


def test_a_channel_with_only_damaged_forms_is_not_read_as_empty(rig: Rig, origin: Origin) -> None:
    for form in (SHARDED, PACKED, PLAIN):
        (origin.root / "noarch" / form).write_bytes(b"[")
    with pytest.raises(RegistryError, match="can't be read"):
        mirror(rig, origin.root)


def test_a_run_that_is_interrupted_is_finished_by_the_next(rig: Rig, host: FileHost) -> None:
    def ready() -> bool:
        return rig.fake.count("manifests", "PUT") >= 3

    with pytest.raises(KeyboardInterrupt):
        mirror(rig, host.http, jobs=1, progress=Stops("Mirroring", ready))
    kept = held_by(rig)
    assert 0 < len(kept) < len(PACKAGES)
    assert kept.items() <= exactly(*PACKAGES).items()
    host.clear_requests()
    outcome = mirror(rig, host.http)
    assert (outcome.present, outcome.moved.count) == (len(kept), len(PACKAGES) - len(kept))
    fetched = {request.path for request in filter(is_archive, host.requests)}
    assert not fetched & {f"/{name}" for name in kept}
    assert held_by(rig) == exactly(*PACKAGES)


@pytest.mark.parametrize("part", ["Reading", "Comparing"])
def test_an_interrupt_before_the_copying_leaves_the_registry_alone(
    rig: Rig, host: FileHost, part: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        mirror(rig, host.http, progress=Stops(part))
    assert held_by(rig) == {}


def test_a_registry_that_goes_down_half_way_is_finished_by_the_next_run(
    rig: Rig, origin: Origin, host: FileHost
) -> None:
    origin.add(*(build(f"more-{number:02}") for number in range(20)))
    origin.write()

    def is_down(request: faults.Request) -> bool:
        writes = rig.fake.count("manifests", "PUT")
        return writes > 5 and request.method in {"PUT", "POST"}

    rig.fake.knobs.faults = [faults.closed(match=is_down)]
    with pytest.raises(RegistryError, match="in a row"):
        mirror(rig, host.http, retry_for=0.5)
    rig.fake.knobs.faults = []
    assert 0 < len(held_by(rig)) < 32
    outcome = mirror(rig, host.http)
    assert outcome.failed == 0
    assert len(held_by(rig)) == outcome.present + outcome.moved.count == 32


def test_a_registrys_limits_on_writing_are_kept_to(rig: Rig, host: FileHost) -> None:
    limits = [
        faults.status(429, times=2, match=match, headers={"Retry-After": "1.16676ms"})
        for match in (faults.is_upload_start(), faults.is_upload(), faults.is_manifest_put())
    ]
    rig.fake.knobs.faults = limits
    assert mirror(rig, host.http).failed == 0
    assert [limit.fired for limit in limits] == [2, 2, 2]
    assert held_by(rig) == exactly(*PACKAGES)


def test_an_archive_whose_index_json_says_otherwise_is_not_pushed(rig: Rig, origin: Origin) -> None:
    liar = build("liar", extra_index={"name": "openssl"})
    origin.add(liar, build("elsewhere", extra_index={"subdir": "osx-64"}))
    origin.record(liar)["name"] = "liar"
    origin.write()
    found = reasons(mirror(rig, origin.root))
    assert sorted(found) == ["noarch/elsewhere-1.0-0.conda", "noarch/liar-1.0-0.conda"]
    assert "osx-64" in found["noarch/elsewhere-1.0-0.conda"]
    assert "openssl" in found["noarch/liar-1.0-0.conda"]
    assert held_by(rig) == exactly(*PACKAGES)


def test_what_is_no_archive_though_its_hash_is_right_is_not_pushed(
    rig: Rig, origin: Origin
) -> None:
    (origin.root / path_of(FIRST).lstrip("/")).write_bytes(b"no zip")
    sha256 = hashlib.sha256(b"no zip").hexdigest()
    origin.record(FIRST).update(size=6, sha256=sha256, md5=None)
    origin.write(PLAIN)
    found = reasons(mirror(rig, origin.root))
    assert "no archive that can be read" in found["noarch/pack-00-1.0-0.conda"]
    assert held_by(rig) == exactly(*PACKAGES[1:])


def test_a_wrong_md5_is_named_where_it_is_all_that_is_known(rig: Rig, origin: Origin) -> None:
    origin.record(FIRST).update(sha256=None, md5="0" * 32)
    origin.write(PLAIN)
    assert "has md5" in reasons(mirror(rig, origin.root))["noarch/pack-00-1.0-0.conda"]
    assert held_by(rig) == exactly(*PACKAGES[1:])
