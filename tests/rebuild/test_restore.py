"""An earlier generation is put back whole, or not at all; and it can be undone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import orjson
import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.channel.policy import Policy
from indexer.channel.record import INDEXED
from indexer.errors import CfIndexError, ConfigError, GuardError
from indexer.progress import Silence
from indexer.rebuild import publish as publishing
from indexer.rebuild.report import Report
from indexer.rebuild.rollback import list_generations, restore
from indexer.rebuild.run import Run
from indexer.render import history, shards, zstd
from indexer.render.generations import GENERATIONS, Generation, decode_generations, path_of
from tests.rebuild.test_parts import make, put_together
from tests.support.gate import Gate
from tests.support.rig import CHANNEL, Rig, records_in, tree_of
from tests.support.validator import VALIDATED_AT, Validator
from tests.support.web import served

DAY = timedelta(days=1)


def go_back(rig: Rig, time: str | None = None, **changes: Any) -> Report:
    """A restoration, a quarter of an hour after the run before; the registry isn't asked."""
    rig.now += timedelta(minutes=15)
    rig.fake.clear_requests()
    report = restore(rig.config(**changes), time, Run(rig.now, rig.environ, Silence()))
    assert rig.fake.requests == []
    return report


def generations(site: Path) -> list[Generation]:
    return decode_generations((site / GENERATIONS).read_bytes())


def index_of(site: Path, generation: Generation, subdir: str = "noarch") -> Path:
    return site / path_of(subdir, generation.indexes[subdir].sha256)


def shard_of(site: Path, generation: Generation, name: str) -> Path:
    _, hashes = shards.unpack_index(index_of(site, generation).read_bytes())
    return site / f"noarch/{shards.FOLDER}/{hashes[name]}{shards.SUFFIX}"


def notes(report: Report) -> str:
    return "\n".join(report.notes)


def every_record(site: Path) -> dict[str, Any]:
    return {subdir: records_in(site, subdir) for subdir in ("linux-64", "noarch")}


@pytest.fixture
def channel(rig: Rig) -> Rig:
    """Three generations: two packages; then one more build and a new subdir; then one less."""
    rig.push(build("alpha"), build("alpha", archive="tar.bz2"))
    rig.push(build("beta", subdir="linux-64"))
    rig.rebuild()
    rig.push(build("alpha", "2.0"))
    rig.push(build("gamma", subdir="osx-64"))
    rig.rebuild()
    rig.push(build("delta"))
    rig.fake.remove_tag(rig.repository("linux-64", "beta"), "1.0-0")
    rig.rebuild(allow_drop=True)
    return rig


def test_the_generation_before_is_put_back_with_its_records_as_they_were(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta", subdir="linux-64"))
    rig.rebuild()
    rig.now += DAY
    rig.push(build("alpha", "2.0"))
    rig.rebuild()
    before, clients = every_record(rig.site), index_files(rig.site)
    rig.now += DAY
    rig.push(build("alpha", "3.0"))
    rig.push(build("beta", "2.0", subdir="linux-64"))
    rig.rebuild()

    report = go_back(rig)

    assert report.outcome == "published"
    assert every_record(rig.site) == before
    assert index_files(rig.site) == clients
    assert "0 records come, 2 go, 0 change" in notes(report)
    rig.assert_sound()


def index_files(site: Path) -> dict[str, str]:
    """What clients install from, shards apart: of those, superseded ones stay."""
    return {path: sha for path, sha in tree_of(site).items() if "/repodata" in path}


def test_it_is_told_like_any_other_publication(channel: Rig) -> None:
    first = generations(channel.site)[-1].time
    report = go_back(channel, first, run="4711")
    status = json.loads((channel.site / "status.json").read_bytes())
    assert (status["outcome"], status["run"]) == ("published", "4711")
    assert any(first in note for note in status["notes"]["first"])
    assert {item["kind"] + " " + item["file_name"] for item in report.changes} == {
        "added beta-1.0-0.conda",
        "removed alpha-2.0-0.conda",
        "removed delta-1.0-0.conda",
        "removed gamma-1.0-0.conda",
    }
    changes = history.decode_changes((channel.site / history.CHANGES).read_bytes())
    assert {(c.time, c.kind) for c in changes[:4]} == {
        (history.rfc3339(channel.now), "added"),
        (history.rfc3339(channel.now), "removed"),
    }
    counts = history.decode_counts((channel.site / history.COUNTS).read_bytes())
    assert counts[-1]["records"] == {"linux-64": 1, "noarch": 2, "osx-64": 0}
    assert not (channel.site / "packages/delta/index.html").exists()
    assert (channel.site / "packages/beta/index.html").exists()
    assert "delta" not in (channel.site / "channeldata.json").read_text()


def test_a_subdir_that_came_later_is_emptied(channel: Rig) -> None:
    go_back(channel, generations(channel.site)[-1].time)
    assert records_in(channel.site, "osx-64") == {}
    channel.assert_sound()


def test_pages_and_all_else_are_those_of_a_site_that_never_went_further(rig: Rig) -> None:
    """What is drawn by changes is what is drawn from nothing."""
    rig.push(build("alpha", depends=["beta"]))
    rig.rebuild()
    rig.push(build("beta", depends=["alpha"]))
    rig.rebuild()
    go_back(rig)
    before = rig.tree()
    shutil.rmtree(rig.site / "packages")
    shutil.rmtree(rig.site / "api")
    go_back(rig, generations(rig.site)[0].time)
    assert rig.tree() == before


def test_a_restoration_can_be_undone_by_another_one(channel: Rig) -> None:
    before = every_record(channel.site)
    pages = {p: sha for p, sha in channel.tree().items() if p.startswith("packages/")}
    go_back(channel)
    assert every_record(channel.site) != before
    go_back(channel)
    assert every_record(channel.site) == before
    assert {p: s for p, s in channel.tree().items() if p.startswith("packages/")} == pages
    newest, middle, oldest = generations(channel.site)[:3]
    assert newest.is_like(oldest)
    assert not newest.is_like(middle)
    channel.assert_sound()


def test_the_next_rebuild_publishes_what_the_registry_holds(channel: Rig) -> None:
    before = every_record(channel.site)
    go_back(channel, generations(channel.site)[-1].time)
    restored = every_record(channel.site)

    report = channel.rebuild(allow_drop=True)

    assert report.outcome == "published"
    after = every_record(channel.site)
    assert {s: set(r) for s, r in after.items()} == {s: set(r) for s, r in before.items()}
    # What never left keeps its time of entry; what comes back has a new one.
    old, back = "alpha-1.0-0.conda", "alpha-2.0-0.conda"
    assert after["noarch"][old][INDEXED] == restored["noarch"][old][INDEXED]
    assert after["noarch"][back][INDEXED] == int(channel.now.timestamp() * 1000)
    channel.assert_sound()
    assert channel.rebuild().outcome == "unchanged"


def test_the_next_rebuild_does_so_without_a_state_too(channel: Rig) -> None:
    names = set(channel.records())
    go_back(channel, generations(channel.site)[-1].time)
    shutil.rmtree(channel.root / "state")
    channel.rebuild(allow_drop=True)
    assert set(channel.records()) == names
    channel.assert_sound()


def test_what_is_mended_in_the_registry_stays_mended(rig: Rig) -> None:
    """The runbook's way: pause, restore, take the package out, go on."""
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("alpha", "6.6.6"))
    rig.rebuild()
    go_back(rig)
    before = index_files(rig.site)
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "6.6.6-0")
    assert rig.rebuild().outcome == "unchanged"
    assert index_files(rig.site) == before


def test_the_guard_does_not_apply_and_the_message_counts(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    for number in range(60):
        rig.push(build("beta", f"{number}.0"))
    rig.rebuild()
    report = go_back(rig)
    assert "0 records come, 60 go, 0 change" in notes(report)
    assert len(rig.records()) == 1


@pytest.mark.parametrize("how", ["missing", "damaged", "another"])
@pytest.mark.parametrize("what", ["index", "shard"])
def test_a_damaged_generation_is_refused_and_the_site_is_as_it_was(
    channel: Rig, what: str, how: str
) -> None:
    target = generations(channel.site)[1]
    if what == "index":
        path = index_of(channel.site, target)
    else:
        # One that the next generation hasn't any more.
        path = shard_of(channel.site, target, "alpha")
        channel.push(build("alpha", "3.0"))
        channel.rebuild()
    path.unlink()
    if how == "damaged":
        path.write_bytes(b"x")
    if how == "another":
        other = next(p for p in path.parent.glob(f"*{shards.SUFFIX}") if p != path)
        shutil.copyfile(other, path)
    before = channel.tree()

    with pytest.raises(GuardError, match="can't be restored: the shard") as caught:
        go_back(channel, target.time)

    assert target.time in str(caught.value)
    assert channel.tree() == before
    assert sorted(p.name for p in channel.root.iterdir()) == [".site.lock", "site", "state"]


def test_an_index_of_another_subdir_is_refused(channel: Rig) -> None:
    target = generations(channel.site)[-1]
    foreign = target.indexes["linux-64"]
    spoil_list(channel.site, lambda indexes: indexes | {"noarch": indexes["linux-64"]})
    source = channel.site / path_of("linux-64", foreign.sha256)
    shutil.copyfile(source, channel.site / path_of("noarch", foreign.sha256))
    with pytest.raises(GuardError, match="isn't that of noarch"):
        go_back(channel, target.time)


def spoil_list(site: Path, change: Any) -> None:
    """Alter the oldest generation, and have the snapshot say so."""
    listed = json.loads((site / GENERATIONS).read_bytes())
    listed[-1]["indexes"] = change(listed[-1]["indexes"])
    data = orjson.dumps(listed)
    (site / GENERATIONS).write_bytes(data)
    snapshot = json.loads((site / history.SNAPSHOT).read_bytes())
    snapshot["files"].pop(GENERATIONS)
    (site / history.SNAPSHOT).write_bytes(orjson.dumps(snapshot))


HOSTILE = {
    "../../etc/passwd": "is no name",
    "Alpha": "is no name",
    "alpha/../..": "is no name",
    "": "is no name",
    "beta": "is in the shard of beta",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_would_lead_elsewhere_are_refused(channel: Rig, name: str) -> None:
    target = generations(channel.site)[-1]
    _, hashes = shards.unpack_index(index_of(channel.site, target).read_bytes())
    data = shards.pack_index("noarch", None, {name: hashes["alpha"]})
    digest = hashlib.sha256(data).hexdigest()
    (channel.site / path_of("noarch", digest)).write_bytes(data)
    spoil_list(
        channel.site,
        lambda indexes: indexes | {"noarch": {"sha256": digest, "records": 1, "names": 1}},
    )
    before = channel.tree()
    with pytest.raises(GuardError, match=HOSTILE[name]):
        go_back(channel, target.time)
    assert channel.tree() == before


def test_a_time_is_one_generation_or_the_beginning_of_one(channel: Rig) -> None:
    newest, middle, oldest = (item.time for item in generations(channel.site))
    for time in ("2026", "2026-11-01T12", ""):
        with pytest.raises(ConfigError, match=r"More than one|no generation") as caught:
            go_back(channel, time)
        assert newest in str(caught.value)
        assert oldest in str(caught.value)
    with pytest.raises(ConfigError, match="no generation of '1999'"):
        go_back(channel, "1999")
    with pytest.raises(ConfigError, match=r"no generation of '\\x1b"):
        go_back(channel, "\x1b[31m")
    report = go_back(channel, middle[:-4], dry_run=True)
    assert report.names_from == f"the generation of {middle}"


def test_what_is_published_already_changes_nothing(channel: Rig) -> None:
    before = channel.tree()
    report = go_back(channel, generations(channel.site)[0].time)
    assert report.outcome == "unchanged"
    assert channel.tree() == before


def test_without_an_earlier_generation_there_is_nothing_to_go_back_to(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="There is no site at"):
        go_back(rig)
    rig.push(build("alpha"))
    rig.rebuild()
    with pytest.raises(ConfigError, match="No earlier generation is kept"):
        go_back(rig)


def test_a_damaged_list_is_told_and_changes_nothing(channel: Rig) -> None:
    (channel.site / GENERATIONS).write_bytes(b"[]")
    before = channel.tree()
    with pytest.raises(ConfigError, match=r"generations\.json: it is missing or isn't"):
        go_back(channel)
    assert channel.tree() == before


def test_a_dry_run_writes_nothing(channel: Rig) -> None:
    before = tree_of(channel.root)
    report = go_back(channel, dry_run=True)
    assert report.outcome == "dry run: would be published"
    assert report.changes
    assert tree_of(channel.root) == before


def test_superseded_shards_of_what_was_published_stay_for_a_week(channel: Rig) -> None:
    """Clients hold the index that was withdrawn; and so it can be put back."""
    there = {path.name for path in (channel.site / "noarch/shards").iterdir()}
    go_back(channel)
    assert {path.name for path in (channel.site / "noarch/shards").iterdir()} == there
    channel.now += 6 * DAY
    go_back(channel)
    channel.assert_sound()


def test_shards_that_would_have_expired_live_again(rig: Rig) -> None:
    """Their time is over by the clock, but nothing was published since that would delete them."""
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("alpha", "2.0"))
    rig.rebuild()
    rig.now += 30 * DAY
    go_back(rig)
    assert set(rig.records()) == {"alpha-1.0-0.conda"}
    rig.assert_sound()
    entry = history.decode_snapshot((rig.site / history.SNAPSHOT).read_bytes()).subdirs["noarch"]
    (until,) = entry.superseded.values()
    assert until == history.rfc3339(rig.now + 7 * DAY)


def test_from_an_address_on_a_machine_that_has_nothing(channel: Rig) -> None:
    published = channel.root / "published"
    shutil.move(channel.site, published)
    shutil.rmtree(channel.root / "state")
    wanted = generations(published)[-1]
    with served(published) as address:
        report = go_back(channel, wanted.time, previous=address)
        assert report.outcome == "published"
        assert {i.records for i in generations(channel.site)[0].indexes.values()} == {0, 1, 2}
        assert every_record(channel.site)["linux-64"].keys() == {"beta-1.0-0.conda"}
        channel.assert_sound()
        # What was deployed meanwhile is undone from the address, too.
        shutil.rmtree(published)
        shutil.copytree(channel.site, published)
        shutil.rmtree(channel.site)
        go_back(channel, previous=address)
    assert "delta-1.0-0.conda" in channel.records()
    assert not (channel.root / ".site.previous").exists()
    channel.assert_sound()


def test_a_shard_that_is_lost_at_the_address_is_refused(channel: Rig) -> None:
    channel.push(build("alpha", "3.0"))
    channel.rebuild()
    published = channel.root / "published"
    shutil.move(channel.site, published)
    target = generations(published)[1]
    shard_of(published, target, "alpha").write_bytes(b"x")
    with (
        served(published) as address,
        pytest.raises(GuardError, match="the shard of alpha in noarch is missing"),
    ):
        go_back(channel, target.time, previous=address)
    assert not channel.site.exists()


def test_a_site_elsewhere_is_left_as_it_is(channel: Rig) -> None:
    published = channel.root / "published"
    shutil.move(channel.site, published)
    before = tree_of(published)
    go_back(channel, previous=str(published))
    assert tree_of(published) == before
    assert "beta-1.0-0.conda" in channel.records("linux-64")


def test_another_channels_site_is_refused(channel: Rig) -> None:
    with pytest.raises(GuardError, match="was made from"):
        go_back(channel, channel="other")


def test_it_looks_as_it_is_configured_now(channel: Rig) -> None:
    go_back(channel, base_url="https://conda.example.org/forge")
    for subdir in ("linux-64", "noarch", "osx-64"):
        info = json.loads((channel.site / subdir / "repodata.json").read_bytes())["info"]
        assert info["base_url"] == f"https://conda.example.org/forge/{subdir}/"
    channel.assert_sound()


def test_it_is_the_whole_channel_whatever_runs_are_limited_to(channel: Rig) -> None:
    wanted = generations(channel.site)[-1]
    limits: dict[str, Any] = {
        "subdirs": ("noarch",),
        "packages": ("delta",),
        "part": channel.root / "part",
    }
    published = channel.root / "published"
    shutil.move(channel.site, published)
    with served(published) as address:
        go_back(channel, wanted.time, previous=address, **limits)
    assert set(channel.records("linux-64")) == {"beta-1.0-0.conda"}
    assert "alpha-1.0-0.conda" in channel.records()


def test_damage_in_subdirs_that_stay_the_same_is_mended(channel: Rig) -> None:
    before = index_files(channel.site)
    for path in ("osx-64/repodata.json", "history/osx-64/names.json"):
        (channel.site / path).unlink()
    assert go_back(channel).outcome == "published"
    after = index_files(channel.site)
    assert {p for p in before if p.startswith("osx-64")} == {
        p for p, sha in after.items() if p.startswith("osx-64") and sha == before[p]
    }
    channel.assert_sound()


def test_another_compressor_than_then_makes_no_other_shards(
    channel: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = generations(channel.site)[1]
    real = zstd.compress
    monkeypatch.setattr(zstd, "compress", lambda data, level=None: real(data, level or 19))
    there = {path.name for path in (channel.site / "noarch/shards").iterdir()}
    go_back(channel)
    assert {path.name for path in (channel.site / "noarch/shards").iterdir()} == there
    assert generations(channel.site)[0].indexes["noarch"].names == wanted.indexes["noarch"].names


def test_what_packages_say_of_themselves_stays_with_the_same_file(rig: Rig) -> None:
    said = {"org.opencontainers.image.description": "Says hello."}
    push_about(rig, build("alpha"), said)
    rig.push(build("beta"))
    rig.rebuild()
    summaries = names_of(rig.site)
    rig.push(build("beta", "2.0"))
    rig.rebuild()
    go_back(rig)
    assert "Says hello." in json.dumps(summaries)
    assert names_of(rig.site) == summaries


def push_about(rig: Rig, package: Package, said: dict[str, str]) -> None:
    image = package_manifest([package], annotations=VALIDATED | said)
    rig.fake.add(rig.repository("noarch", package.name), image)


def names_of(site: Path) -> Any:
    return json.loads((site / "history/noarch/names.json").read_bytes())


def test_what_waits_is_told_as_before(channel: Rig) -> None:
    channel.push(build("waiting"), validated=False)
    channel.push(build("alpha", "4.0"))
    channel.rebuild()
    unsettled = (channel.site / history.UNSETTLED).read_bytes()
    outside = (channel.site / history.LEFT_OUT).read_bytes()
    assert b"waiting" in outside
    go_back(channel)
    assert (channel.site / history.UNSETTLED).read_bytes() == unsettled
    assert json.loads((channel.site / history.LEFT_OUT).read_bytes()) == json.loads(outside)


@pytest.fixture
def gate(rig: Rig) -> Gate:
    return Gate(rig, rig.fake.http, CHANNEL, Validator(rig.root), Validator(rig.root, "stranger"))


def test_what_was_let_in_again_after_a_rejection_stays(gate: Gate) -> None:
    alpha, beta = build("alpha"), build("beta")
    gate.push(alpha)
    gate.reject(alpha, time=VALIDATED_AT - timedelta(hours=1))
    gate.rebuild()
    gate.validate(alpha)
    gate.rebuild()
    gate.push(beta)
    gate.validate(beta)
    gate.rebuild()
    assert (gate.rig.site / history.REJECTIONS).exists()
    go_back(gate.rig, policy=Policy("attestation"), trust=(gate.validator.file,))
    assert set(gate.indexed()) == {alpha.file_name}


def test_what_was_rejected_since_then_does_not_come_back_and_stays_rejected(gate: Gate) -> None:
    good, bad, other = build("alpha"), build("alpha", "6.6.6"), build("beta")
    for package in (good, bad):
        gate.push(package)
        gate.validate(package)
    gate.rebuild()
    gate.reject(bad, time=VALIDATED_AT + timedelta(hours=1))
    gate.push(other)
    gate.validate(other)
    gate.rebuild(allow_drop=True)
    assert set(gate.indexed()) == {good.file_name, other.file_name}
    rejections = (gate.rig.site / history.REJECTIONS).read_bytes()

    report = go_back(gate.rig, policy=Policy("attestation"), trust=(gate.validator.file,))

    assert set(gate.indexed()) == {good.file_name}
    assert "1 of its records were rejected since then" in notes(report)
    assert [item.file_name for item in report.rejected] == [bad.file_name]
    assert (gate.rig.site / history.REJECTIONS).read_bytes() == rejections


@pytest.mark.parametrize(
    "point", ["check_channel", "write_snapshot", "write_channel", "Kept", "Pages"]
)
def test_what_fails_on_the_way_leaves_the_site_as_it_was(
    channel: Rig, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    before = channel.tree()
    with monkeypatch.context() as patched:
        patched.setattr(f"indexer.rebuild.site.{point}", Mock(side_effect=CfIndexError("made up")))
        with pytest.raises(CfIndexError, match="made up"):
            go_back(channel)
    assert channel.tree() == before
    assert not (channel.root / ".site.staged").exists()
    go_back(channel)
    channel.assert_sound()


KILLER = textwrap.dedent(
    """
    import importlib, os, signal, sys
    from datetime import datetime
    from pathlib import Path
    point, url, root, now = sys.argv[1:5]
    module, _, name = point.partition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
    from indexer.config import Config
    from indexer.progress import Silence
    from indexer.rebuild.rollback import restore
    from indexer.rebuild.run import Run
    from indexer.registry.address import RegistryAddress
    config = Config(registry=RegistryAddress.parse(url), channel="forge",
                    output=Path(root) / "site", state=Path(root) / "state")
    restore(config, None, Run(datetime.fromisoformat(now), {}, Silence()))
    """
)


@pytest.mark.parametrize(
    "point",
    [
        "indexer.rebuild.site:write_channel",
        "indexer.rebuild.publish:Output.swap",
        "indexer.rebuild.publish:_exchange",
        "indexer.rebuild.finishing:replace_file",
    ],
)
def test_killed_in_the_middle_the_site_is_whole_and_it_can_be_done_again(
    channel: Rig, point: str
) -> None:
    before = {item.time for item in generations(channel.site)}
    wanted = generations(channel.site)[1]
    address = f"oci+{channel.fake.http}/acme"
    now = channel.now + timedelta(minutes=5)
    command = [sys.executable, "-c", KILLER, point, address, str(channel.root), now.isoformat()]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL

    channel.assert_sound()
    if point.endswith("replace_file"):
        assert generations(channel.site)[0].is_like(wanted)
    else:
        assert {item.time for item in generations(channel.site)} == before
    go_back(channel, wanted.time)
    assert generations(channel.site)[0].is_like(wanted)
    channel.assert_sound()
    assert sorted(p.name for p in channel.root.iterdir()) == [".site.lock", "site", "state"]


def test_beside_another_run_it_is_refused(channel: Rig) -> None:
    with (
        publishing.open_output(channel.site),
        pytest.raises(ConfigError, match="Another run is using"),
    ):
        go_back(channel)


def test_the_list_tells_times_counts_and_what_is_the_same(channel: Rig) -> None:
    newest, middle, oldest = (item.time for item in generations(channel.site))
    go_back(channel)
    now = history.rfc3339(channel.now)
    lines = list_generations(channel.config())
    assert lines == [
        f"{now}  5 records (linux-64 1, noarch 3, osx-64 1); published now; the same as {middle}",
        f"{newest}  5 records (linux-64 0, noarch 4, osx-64 1)",
        f"{middle}  5 records (linux-64 1, noarch 3, osx-64 1)",
        f"{oldest}  3 records (linux-64 1, noarch 2)",
    ]
    with served(channel.site) as address:
        assert list_generations(channel.config(previous=address, output=Path("none"))) == lines


def test_the_list_of_no_site_is_an_error(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="There is no site"):
        list_generations(rig.config())


def test_parts_that_were_made_before_a_restoration_are_not_joined_over_it(rig: Rig) -> None:
    """A run that was under way when somebody went back."""
    rig.push(build("alpha"))
    rig.push(build("beta", subdir="linux-64"))
    put_together(rig, make(rig))
    rig.push(build("alpha", "6.6.6"))
    put_together(rig, make(rig))
    parts = make(rig)
    go_back(rig)
    before = rig.tree()
    with pytest.raises(GuardError, match="another index than is published now"):
        put_together(rig, parts)
    assert rig.tree() == before
    # The next whole run works from what is published now.
    put_together(rig, make(rig))
    assert set(rig.records()) == {"alpha-1.0-0.conda", "alpha-6.6.6-0.conda"}
    newest, restored, bad, first = generations(rig.site)
    assert restored.is_like(first)
    assert newest.records == bad.records
    rig.assert_sound()
