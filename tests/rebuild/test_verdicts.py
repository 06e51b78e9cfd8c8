"""What verdicts cost a run, and what the state and the site remember of them."""

from __future__ import annotations

import itertools
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.packages import build
from indexer.channel.artifact import place_of
from indexer.channel.policy import Policy
from indexer.errors import ConfigError, GuardError, RegistryError
from indexer.rebuild.verdicts import RememberedVerdicts
from indexer.registry.content import OCI_MANIFEST
from indexer.trust.keys import KeyFile
from tests.support.faults import is_manifest, status
from tests.support.gate import VALIDATED, Gate, told
from tests.support.rig import CHANNEL, Rig
from tests.support.validator import VALIDATED_AT, Validator

ALPHA, BETA = build("alpha"), build("beta")
BZ2 = build("alpha", archive="tar.bz2")
HOUR = timedelta(hours=1)


@pytest.fixture
def gate(rig: Rig) -> Gate:
    return Gate(rig, rig.fake.http, CHANNEL, Validator(rig.root), Validator(rig.root, "stranger"))


def asked(gate: Gate) -> list[str]:
    """The references of the manifests that a run asked for."""
    return [r.reference for r in gate.rig.fake.requests if r.kind == "manifests"]


def test_nothing_new_is_neither_fetched_nor_verified_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in (ALPHA, BETA):
        gate.push(package)
        gate.validate(package)
    gate.reject(BETA, time=VALIDATED_AT - HOUR)
    gate.rebuild()
    before = gate.rig.tree()

    def verify(*_: object) -> None:
        raise AssertionError("a verdict was verified again")

    monkeypatch.setattr("indexer.trust.reading.open_envelope", verify)
    report = gate.rebuild()
    assert (report.outcome, asked(gate)) == ("unchanged", [])
    assert gate.rig.tree() == before


def test_a_new_verdict_costs_itself_and_a_look_at_its_package(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.push(BETA)
    gate.validate(BETA)
    gate.rebuild()
    tag = gate.validate(ALPHA)
    gate.rebuild()
    assert asked(gate) == [str(tag), "1.0-0"]
    assert set(gate.indexed()) == {"alpha-1.0-0.conda", "beta-1.0-0.conda"}


def test_a_no_costs_itself_and_a_look_at_its_package(gate: Gate) -> None:
    for number in range(5):
        package = build("alpha", f"{number}.0")
        gate.push(package)
        gate.validate(package)
    gate.rebuild()
    tag = gate.reject(build("alpha", "3.0"), time=VALIDATED_AT + HOUR)
    gate.rebuild()
    assert asked(gate) == [str(tag), "3.0-0"]
    assert "alpha-3.0-0.conda" not in gate.indexed()


def test_with_other_keys_everything_is_judged_anew(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.push(BETA)
    tag = gate.validate(ALPHA)
    other = gate.stranger.say(gate.address, gate.channel, BETA)
    gate.rebuild()
    assert set(gate.indexed()) == {ALPHA.file_name}
    both = (gate.validator.file, gate.stranger.file)
    gate.rebuild(trust=both)
    assert {str(tag), str(other)} <= set(asked(gate))
    assert set(gate.indexed()) == {ALPHA.file_name, BETA.file_name}
    gate.rebuild(trust=both[::-1])
    assert asked(gate) == []
    gate.rebuild(trust=(gate.stranger.file,))
    assert set(gate.indexed()) == {BETA.file_name}


def test_a_key_counts_within_its_time(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)

    def trusted(**times: Any) -> tuple[KeyFile, ...]:
        return (KeyFile(path=gate.validator.public, **times),)

    report = gate.rebuild(trust=trusted(not_after=VALIDATED_AT - HOUR))
    assert gate.indexed() == {}
    assert "when the key" in told(report)
    gate.rebuild(trust=trusted(not_before=VALIDATED_AT + HOUR))
    assert gate.indexed() == {}
    gate.rebuild(trust=trusted(not_before=VALIDATED_AT, not_after=VALIDATED_AT))
    assert set(gate.indexed()) == {ALPHA.file_name}


def test_another_format_joins_and_waits_for_a_verdict_of_its_own(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    gate.push(ALPHA, BZ2)
    report = gate.rebuild(recheck=1)
    assert set(gate.indexed()) == {ALPHA.file_name}
    assert any("alpha-1.0-0.tar.bz2: no verdict" in note for note in report.notes)
    gate.validate(BZ2)
    gate.rebuild()
    assert set(gate.indexed()) == {ALPHA.file_name, BZ2.file_name}
    gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    report = gate.rebuild()
    assert set(gate.indexed()) == {BZ2.file_name}
    assert "alpha-1.0-0.conda: rejected" in told(report)


def test_a_verdict_outlives_an_annotation(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.push(ALPHA, annotations=VALIDATED)
    gate.rebuild()
    assert set(gate.indexed()) == {ALPHA.file_name}


def test_a_lost_state_gives_the_same_site(gate: Gate) -> None:
    for package in (ALPHA, BETA):
        gate.push(package)
        gate.validate(package)
    gate.reject(BETA, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    before = gate.rig.tree()
    gate.rig.state_file.unlink()
    assert gate.rebuild().outcome == "unchanged"
    assert gate.rig.tree() == before


def test_a_verdict_that_cant_be_read_for_now_is_read_next_time(gate: Gate) -> None:
    gate.push(ALPHA)
    tag = gate.validate(ALPHA)
    full_name = gate.full_name(place_of("noarch", ALPHA.file_name))
    gate.rig.fake.knobs.faults.append(status(404, match=is_manifest(full_name, str(tag)), times=1))
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert "listed, but can't be read" in told(report)
    gate.rebuild()
    assert set(gate.indexed()) == {ALPHA.file_name}


@pytest.mark.parametrize("after", range(1, 9))
def test_a_run_that_broke_off_is_gone_on_with(gate: Gate, after: int) -> None:
    """At whatever request: what was let in before stays as it was, and the next run is right."""
    packages = [build("alpha", f"{number}.0") for number in range(3)]
    for package in packages:
        gate.push(package)
        gate.validate(package)
    gate.rebuild()
    gate.reject(packages[0], time=VALIDATED_AT + HOUR)
    gate.remove_verdict(packages[1], gate.validate(packages[1]))
    gate.push(build("alpha", "9.0"))
    gate.validate(build("alpha", "9.0"))
    counter = itertools.count(1)
    gate.rig.fake.knobs.faults.append(status(500, match=lambda _: next(counter) >= after))
    before = gate.indexed()
    with pytest.raises(Exception, match="500"):
        gate.rebuild()
    assert gate.indexed() == before
    gate.rig.fake.knobs.faults.clear()
    gate.rebuild()
    assert set(gate.indexed()) == {"alpha-2.0-0.conda", "alpha-9.0-0.conda"}


def test_rejections_that_cant_be_read_stop_a_run(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.reject(ALPHA)
    gate.rebuild()
    path = gate.rig.site / "history/rejections.json"
    path.write_bytes(path.read_bytes().replace(b"alpha", b"gamma"))
    with pytest.raises(GuardError, match=r"rejections\.json.*would be let in again"):
        gate.rebuild()
    path.unlink()
    with pytest.raises(GuardError, match=r"rejections\.json"):
        gate.rebuild()
    report = gate.rebuild(allow_drop=True)
    assert any("rejections.json" in note for note in report.notes)
    # The verdict is still there, and remembered again.
    assert b"alpha" in path.read_bytes()
    assert gate.rebuild().outcome == "unchanged"


def test_rejections_can_be_taken_out_by_hand(gate: Gate) -> None:
    """As is needed where a key that leaked wrote dates far ahead."""
    for package in (ALPHA, BETA):
        gate.push(package)
        gate.validate(package)
        no = gate.reject(package, time=VALIDATED_AT + 10_000 * HOUR)
        gate.rebuild()
        gate.remove_verdict(package, no)
    gate.rebuild()
    assert gate.indexed() == {}
    path = gate.rig.site / "history/rejections.json"
    (beside,) = (gate.rig.root / "state").glob("rejections-*.json")
    for left, package in ((1, ALPHA), (0, BETA)):
        lines = path.read_bytes().split(b"\n")
        kept = [line.rstrip(b",") for line in lines[1:-2] if package.name.encode() not in line]
        for file in (path, beside):
            file.write_bytes(b"[\n" + b",\n".join(kept) + b"\n]\n")
        gate.rebuild(allow_drop=True)
        assert path.exists() == bool(left)
    assert set(gate.indexed()) == {ALPHA.file_name, BETA.file_name}
    assert gate.rebuild().outcome == "unchanged"


def test_rejections_outlive_a_time_with_another_policy(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    gate.remove_verdict(ALPHA, no)
    gate.rebuild(policy=Policy("none"), trust=())
    assert set(gate.indexed()) == {ALPHA.file_name}
    gate.rebuild(allow_drop=True)
    assert gate.indexed() == {}


def test_rejections_come_along_from_a_site_elsewhere(gate: Gate, tmp_path: Path) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    gate.remove_verdict(ALPHA, no)
    before = gate.rig.site
    gate.rebuild(output=tmp_path / "other", state=tmp_path / "fresh", previous=str(before))
    assert b"alpha-1.0-0.conda" in (tmp_path / "other/history/rejections.json").read_bytes()


def test_how_long_an_artifact_waits_outlives_a_lost_state(gate: Gate) -> None:
    gate.push(ALPHA)
    since = gate.rebuild().waiting[0].since
    gate.rebuild()
    gate.rig.state_file.unlink()
    assert gate.rebuild().waiting[0].since == since
    # Rejected, it has been there as long; let in, it doesn't wait.
    gate.reject(ALPHA)
    gate.rebuild()
    unsettled = gate.rig.site / "history/unsettled.json"
    assert since.encode() in unsettled.read_bytes()
    gate.validate(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    assert unsettled.read_bytes() == b"[\n\n]\n"


def test_a_waiting_upload_changes_nothing_that_clients_read(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    gate.push(BETA)
    before = gate.rig.tree()
    assert gate.rebuild().outcome == "unchanged"
    after = gate.rig.tree()
    for path in ("history/unsettled.json", "history/left_out.json", "status/index.html"):
        assert after.pop(path) != before.pop(path, None)
    assert after == before


def test_keys_that_cant_be_read_stop_a_run_before_anything(gate: Gate, tmp_path: Path) -> None:
    gate.push(ALPHA)
    for name, content in (("missing", None), ("private", gate.validator.private.read_bytes())):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=name):
            gate.rebuild(trust=(KeyFile(path=path),))
    assert gate.rig.fake.requests == []


def test_the_report_names_the_keys_and_the_time_is_that_of_the_verdict(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.reject(ALPHA, time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    report = gate.rebuild()
    key = gate.validator.keyring.keys[0].name
    assert report.trusted == [key]
    assert f"rejected 2026-01-02 03:04:05 UTC by the key {key}" in told(report)
    assert report.as_status()["rejected"]["total"] == 1


def test_what_another_machine_saw_rejected_goes_here_too(gate: Gate, tmp_path: Path) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    elsewhere = tmp_path / "elsewhere"
    gate.rebuild(output=elsewhere, state=tmp_path / "fresh", previous=str(gate.rig.site))
    gate.remove_verdict(ALPHA, no)
    # By this machine's state nothing has changed.
    gate.rebuild(previous=str(elsewhere))
    assert gate.indexed() == {}


def test_what_was_never_let_in_is_remembered_as_rejected_too(gate: Gate) -> None:
    gate.push(BETA)
    gate.validate(BETA)
    gate.rebuild()
    gate.push(ALPHA)
    no = gate.reject(ALPHA)
    assert gate.rebuild().outcome == "published"
    gate.remove_verdict(ALPHA, no)
    gate.validate(ALPHA, time=VALIDATED_AT - HOUR)
    gate.rig.state_file.unlink()
    gate.rebuild()
    assert set(gate.indexed()) == {BETA.file_name}


def test_what_was_judged_once_isnt_judged_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()

    def claims(*_: object) -> None:
        raise AssertionError("a repository was judged again")

    monkeypatch.setattr(RememberedVerdicts, "claims", claims)
    assert gate.rebuild().outcome == "unchanged"


def test_a_verdict_that_was_altered_in_the_state_is_not_believed(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.reject(ALPHA)
    gate.rebuild()
    with closing(sqlite3.connect(gate.rig.state_file)) as state, state:
        state.execute("UPDATE verdict SET result = 'PASSED'")
    report = gate.rebuild()
    assert any("the state was damaged" in note for note in report.notes)
    assert gate.indexed() == {}


def test_verdicts_of_a_repository_that_is_gone_are_told_of_no_more(gate: Gate) -> None:
    for package in (ALPHA, BETA):
        gate.push(package)
        gate.validate(package)
    gate.stranger.say(gate.address, gate.channel, ALPHA)
    assert "no trusted key" in told(gate.rebuild())
    names = gate.rig.root / "names"
    names.write_text("noarch/beta\n")
    report = gate.rebuild(names=str(names), allow_drop=True)
    assert (told(report), report.subdirs["noarch"].verdicts) == ("", 1)
    assert set(gate.indexed()) == {BETA.file_name}


def test_what_is_no_verdict_is_asked_for_once_a_day(gate: Gate) -> None:
    gate.push(ALPHA)
    tag = gate.validate(ALPHA)
    full_name = gate.full_name(place_of("noarch", ALPHA.file_name))
    genuine = gate.rig.fake.manifest_of(full_name, str(tag))
    for number in range(5):
        gate.push(ALPHA, tag=f"sha256-{ALPHA.sha256}.{number:032x}")
    gate.push(ALPHA, tag=str(tag))
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert told(report).count("its manifest is not that of a verdict") == 6
    # It is told of all the time; what waits is looked at.
    report = gate.rebuild()
    assert asked(gate) == ["1.0-0"]
    assert told(report).count("its manifest is not that of a verdict") == 6
    # And when somebody has put it right, that is seen.
    body = json.dumps(genuine).encode()
    gate.rig.fake.add_manifest(full_name, str(tag), body, OCI_MANIFEST)
    gate.rig.now += timedelta(days=1)
    gate.rebuild()
    assert set(gate.indexed()) == {ALPHA.file_name}


def test_a_no_that_was_seen_outlives_a_run_that_broke_off(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.rebuild()
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.push(BETA)
    full_name = gate.full_name(place_of("noarch", BETA.file_name))
    gate.rig.fake.knobs.faults.append(status(500, match=is_manifest(full_name)))
    with pytest.raises(RegistryError):
        gate.rebuild(jobs=1)
    gate.rig.fake.knobs.faults.clear()
    gate.remove_verdict(ALPHA, no)
    report = gate.rebuild(full=True)
    assert gate.indexed() == {}
    assert "the verdict itself is gone" in told(report)


@pytest.mark.parametrize("damage", ["deleted", "junk", "altered"])
def test_what_the_site_lost_is_known_beside_the_state(gate: Gate, damage: str) -> None:
    """Whoever says --allow-drop means something else."""
    gate.push(ALPHA)
    gate.validate(ALPHA)
    no = gate.reject(ALPHA, time=VALIDATED_AT + HOUR)
    gate.rebuild()
    gate.remove_verdict(ALPHA, no)
    path = gate.rig.site / "history/rejections.json"
    data = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"junk" if damage == "junk" else data.replace(b"alpha", b"alphb"))
    gate.rebuild(allow_drop=True)
    assert gate.indexed() == {}
    # And what was damaged is whole again.
    assert b"alpha-1.0-0.conda" in path.read_bytes()
    assert gate.rebuild().outcome == "unchanged"


def test_lost_yeses_are_no_withdrawal(gate: Gate) -> None:
    packages = [build(f"p{number}") for number in range(25)]
    tags = []
    for package in packages:
        gate.push(package)
        gate.reject(package)
        tags.append(gate.validate(package, time=VALIDATED_AT + HOUR))
    gate.rebuild()
    assert len(gate.indexed()) == 25
    for package, tag in zip(packages, tags, strict=True):
        gate.remove_verdict(package, tag)
    with pytest.raises(GuardError, match=r"25 of 25 records would go"):
        gate.rebuild()


def test_the_last_yes_decides_what_may_be_said_of_an_archive(gate: Gate) -> None:
    gate.push(ALPHA)
    gate.validate(ALPHA)
    gate.validate(ALPHA, md5="0" * 32, time=VALIDATED_AT + HOUR)
    report = gate.rebuild()
    assert gate.indexed() == {}
    assert f"with the md5 {'0' * 32}; here it is {ALPHA.md5}" in told(report)


def test_no_verdict_is_told_of_once_its_tag_is_gone(gate: Gate) -> None:
    gate.push(ALPHA)
    tag = f"sha256-{ALPHA.sha256}.{'0' * 32}"
    gate.push(ALPHA, tag=tag)
    assert "not that of a verdict" in told(gate.rebuild())
    gate.rig.fake.remove_tag(gate.full_name(place_of("noarch", ALPHA.file_name)), tag)
    gate.rig.now += timedelta(days=1)
    assert told(gate.rebuild()) == ""
