"""Builds that somebody names, as arguments or as a queue; and the command itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from demo.packages import build
from indexer.cli import main
from indexer.render.history import REJECTIONS, SNAPSHOT
from indexer.trust.judging import Held
from indexer.trust.rejections import encode_rejections
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.validator import Validator, verdict_of
from tests.transfer.promotion import Ways
from tests.transfer.stage import exactly, names, reasons

ALPHA, ALPHA_BZ2 = build("alpha"), build("alpha", archive="tar.bz2")
BETA = build("beta", "1!2.0+x", subdir="linux-64")
REF = "noarch/alpha:1.0-0"


@pytest.mark.parametrize(
    "name",
    [REF, f"noarch/{ALPHA.file_name}", ALPHA.file_name, ALPHA_BZ2.file_name],
)
def test_a_build_is_promoted_by_any_of_its_names(one: Ways, name: str) -> None:
    one.put(ALPHA, ALPHA_BZ2)
    one.put(BETA)
    outcome = one.run(name)
    assert outcome.failures == []
    assert one.held() == exactly(ALPHA, ALPHA_BZ2)


def test_the_digest_that_was_validated_is_the_one_that_goes(ways: Ways) -> None:
    digest = ways.put(ALPHA)
    assert ways.run(f"{REF}@{digest}").moved.count == 1


def test_a_digest_that_is_no_longer_the_tags_is_named_beside_the_other(ways: Ways) -> None:
    old = ways.put(ALPHA, validated=False)
    new = ways.put(ALPHA)
    outcome = ways.run(f"{REF}@{old}")
    assert reasons(outcome) == {f"{REF}@{old}": f"its tag leads to {new}, not to {old}"}
    assert ways.held() == {}


def test_of_two_names_of_a_build_a_wrong_one_does_not_keep_the_other_back(one: Ways) -> None:
    digest = one.put(ALPHA, ALPHA_BZ2)
    one.say(ALPHA)
    stale = f"{REF}@sha256:{'0' * 64}"
    outcome = one.run(stale, f"{REF}@{digest}", ALPHA_BZ2.file_name, policy="attestation")
    assert one.held() == exactly(ALPHA)
    assert reasons(outcome).keys() == {stale, ALPHA_BZ2.file_name}
    assert "no verdict of a trusted key" in reasons(outcome)[ALPHA_BZ2.file_name]


@pytest.mark.parametrize("is_rejected", [True, False])
def test_what_is_named_and_not_validated_is_a_failure_with_the_reason(
    ways: Ways,
    is_rejected: bool,  # noqa: FBT001
) -> None:
    mark = {"org.conda-forge.status": "rejected", "org.conda-forge.status.reason": "virus"}
    ways.put(ALPHA, validated=False, annotations=mark if is_rejected else {})
    expected = "it is rejected: marked as rejected: virus"
    outcome = ways.run(REF)
    assert reasons(outcome) == {REF: expected if is_rejected else "it is not validated"}
    assert outcome.notes == []
    assert ways.held() == {}


def test_what_is_named_and_unsound_is_a_failure_with_the_reason(one: Ways) -> None:
    liar = build("alpha", extra_index={"name": "openssl"})
    one.put(liar)
    assert "can't be indexed: index.json names openssl" in reasons(one.run(REF))[REF]
    assert one.held() == {}


def test_a_verdict_that_says_no_is_the_reason(one: Ways) -> None:
    one.put(ALPHA)
    one.say(ALPHA, passed=False, reason="no licence")
    assert "no licence" in reasons(one.run(REF, policy="attestation"))[REF]


def test_what_is_not_there_is_a_failure_that_says_where_was_looked(ways: Ways) -> None:
    ways.put(ALPHA)
    missing = ["gamma-1.0-0.conda", "noarch/gamma:1-0", "noarch/alpha:2.0-0"]
    found = reasons(ways.run(*missing, subdirs=("noarch", "linux-64")))
    assert found.keys() == set(missing)
    assert all(f"not in {ways.staging}" in reason for reason in found.values())
    assert "looked in noarch, linux-64" in found[missing[0]]


def test_a_file_in_two_subdirs_is_not_guessed(one: Ways) -> None:
    one.put(ALPHA)
    one.put(build("alpha", subdir="linux-64"))
    found = reasons(one.run(ALPHA.file_name))
    assert "in noarch, linux-64: say which" in found[ALPHA.file_name]
    assert one.run(ALPHA.file_name, subdirs=("linux-64",)).moved.count == 1
    assert names(one.run(f"noarch/{ALPHA.file_name}").moved) == [f"noarch/{ALPHA.file_name}"]


@pytest.mark.parametrize("status", [403, 404])
def test_registries_that_refuse_what_is_not_there_are_searched_all_the_same(
    two: Ways, elsewhere: FakeRegistry, status: int
) -> None:
    two.put(BETA)
    elsewhere.knobs.faults = [
        faults.status(status, match=lambda request: "/linux-64/" not in request.path)
    ]
    assert two.run(BETA.file_name).moved.count == 1


def test_names_need_no_listing_and_each_repository_is_listed_once(
    two: Ways, elsewhere: FakeRegistry
) -> None:
    builds = [build("alpha", f"{number}.0") for number in range(5)]
    for package in builds:
        two.put(package)
    elsewhere.knobs.catalog = False
    elsewhere.clear_requests()
    outcome = two.run(*(f"noarch/alpha:{package.version}-0" for package in builds))
    assert outcome.moved.count == 5
    assert elsewhere.count("tags") == 1


def test_a_queue_is_read_a_line_each(one: Ways) -> None:
    one.put(ALPHA)
    one.put(BETA)
    lines = ["# what was validated\n", f"{REF}  # by the nightly run\n", "\n", BETA.file_name]
    assert one.run("-", lines=lines).moved.count == 2


def run(ways: Ways, *words: object, queue: str | None = None) -> Result:
    target = ["--from", str(ways.staging), "--to", str(ways.production), "--channel", "forge"]
    command = ["promote", *map(str, words), *target, "--retry-for", "0.1"]
    command += ["--audit", str(ways.log)]
    done = CliRunner().invoke(main, command, input=queue)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    return done


def test_the_command_promotes_and_says_what(ways: Ways) -> None:
    ways.put(ALPHA)
    ways.say(ALPHA)
    trust = ["--policy", "attestation", "--trust", ways.validator.public]
    done = run(ways, *trust)
    assert done.exit_code == 0, done.output
    assert "Promoted: noarch/alpha-1.0-0.conda" in done.stdout
    assert "1 file promoted" in done.stdout
    assert "were there already" in run(ways, *trust).stdout
    (line,) = ways.audited()
    assert (line["action"], line["digest"]) == ("promoted", str(ways.manifest(ALPHA).digest))
    assert "@" in line["who"]


def test_the_command_takes_a_queue_and_exits_5_for_what_could_not_be_done(ways: Ways) -> None:
    ways.put(ALPHA)
    ways.put(BETA, validated=False)
    done = run(ways, "-", queue=f"{REF}\nlinux-64/{BETA.file_name}\n")
    assert done.exit_code == 5
    assert f"Failed: linux-64/{BETA.file_name}: it is not validated" in done.stdout
    assert ways.held() == exactly(ALPHA)


def test_a_line_that_is_no_reference_costs_itself_alone(one: Ways) -> None:
    one.put(ALPHA)
    done = run(one, "-", queue=f"nonsense\n{REF}\n")
    assert done.exit_code == 5
    assert "Failed: nonsense: 'nonsense' names no build" in done.stdout
    assert one.held() == exactly(ALPHA)
    assert run(one, "-", queue="nonsense").exit_code == 5


@pytest.mark.parametrize("queue", ["", "\n# nothing today\n"])
def test_an_empty_queue_is_not_everything(one: Ways, queue: str) -> None:
    one.put(ALPHA)
    done = run(one, "-", queue=queue)
    assert done.exit_code == 0
    assert "0 files promoted" in done.stdout
    assert one.held() == {}


def test_the_command_writes_nothing_in_a_dry_run(ways: Ways) -> None:
    ways.put(ALPHA)
    done = run(ways, "--dry-run")
    assert "Would be promoted: noarch/alpha-1.0-0.conda" in done.stdout
    assert ways.held() == {}
    assert not ways.log.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nonsense"], "names no build"),
        ([REF, "--package", "alpha"], "--package goes without REFs"),
        ([REF, "--policy", "attestation"], "no key is trusted"),
        ([REF, "--to", "ftp://x"], "is not an address"),
        ([REF, "--from", "ftp://x"], "is not an address"),
        ([REF, "--audit", "/dev/null/x"], "audit log"),
    ],
    ids=str,
)
def test_wrong_usage_exits_2(one: Ways, words: list[str], sentence: str) -> None:
    one.put(ALPHA)
    target = ["--from", str(one.staging), "--to", str(one.production), "--channel", "forge"]
    done = CliRunner().invoke(main, ["promote", *target, *words])
    assert (done.exit_code, one.held()) == (2, {})
    assert sentence in done.stderr


def test_from_and_to_must_differ(tmp_path: Path) -> None:
    folder = f"ocidir://{tmp_path}/production"
    (tmp_path / "link").symlink_to(tmp_path / "production")
    pairs = [
        ("oci://h.example/acme", "oci://H.example:443/acme/"),
        ("oci+http://h.example:5000/acme", "oci+http://h.example:5000/acme"),
        (folder, f"ocidir://{tmp_path}/x/../production"),
        (folder, f"ocidir://{tmp_path}/link"),
    ]
    for source, target in pairs:
        words = ["promote", REF, "--from", source, "--to", target, "--channel", "forge"]
        done = CliRunner().invoke(main, words)
        assert (done.exit_code, "the same namespace" in done.stderr) == (2, True), done.output


def test_where_no_names_are_listed_they_are_asked_for(one: Ways) -> None:
    one.put(ALPHA)
    one.rig.fake.knobs.catalog = False
    done = run(one)
    assert done.exit_code == 3
    assert "as REFs" in done.stderr
    assert run(one, REF).exit_code == 0


def test_a_rejection_that_the_site_remembers_counts(one: Ways, tmp_path: Path) -> None:
    one.put(ALPHA)
    one.say(ALPHA)
    file = tmp_path / "old" / REJECTIONS
    file.parent.mkdir(parents=True)
    (tmp_path / "old" / SNAPSHOT).write_bytes(b"{}")
    file.write_bytes(encode_rejections([Held(verdict_of(ALPHA, passed=False), "key")]))
    words = ["--policy", "attestation", "--trust", one.validator.public]
    done = run(one, REF, *words, "--previous", tmp_path / "old")
    assert done.exit_code == 5
    assert "it is rejected" in done.stdout
    assert one.held() == {}


def test_each_registry_is_asked_with_its_own_credentials(
    two: Ways, elsewhere: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.put(ALPHA)
    elsewhere.knobs.auth, elsewhere.knobs.users = "basic", {"reader": "r"}
    elsewhere.knobs.readers = {"reader"}
    two.rig.fake.knobs.auth, two.rig.fake.knobs.users = "basic", {"writer": "w"}
    auths = {
        elsewhere.address: {"auth": "cmVhZGVyOnI="},
        two.rig.fake.address: {"auth": "d3JpdGVyOnc="},
    }
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    done = run(two, REF)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_without_credentials_for_production_it_says_what_to_do(
    two: Ways, dry_run: list[str]
) -> None:
    two.put(ALPHA)
    two.rig.fake.knobs.auth, two.rig.fake.knobs.users = "basic", {"writer": "w"}
    done = run(two, REF, *dry_run)
    assert done.exit_code == 3
    assert "ORAS_USER" in done.stderr


def test_wrong_credentials_for_staging_end_it_all(
    two: Ways, elsewhere: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.put(ALPHA)
    elsewhere.knobs.auth, elsewhere.knobs.users = "basic", {"reader": "r"}
    monkeypatch.setenv("ORAS_USER", "reader")
    monkeypatch.setenv("ORAS_PASS", "wrong")
    done = run(two, REF, ALPHA.file_name)
    assert done.exit_code == 3
    assert "credentials" in done.stderr


def test_a_repository_that_may_not_be_read_is_a_failure_that_says_so(
    two: Ways, elsewhere: FakeRegistry
) -> None:
    two.put(ALPHA)
    two.put(BETA)
    elsewhere.knobs.faults = [faults.status(403, match=lambda one: "/alpha/" in one.path)]
    outcome = two.run(REF, BETA.file_name)
    assert "answered 403" in reasons(outcome)[REF]
    assert two.held() == exactly(BETA)


def test_a_key_that_is_trusted_by_nobody_lets_nothing_in(one: Ways, tmp_path: Path) -> None:
    one.put(ALPHA)
    Validator(tmp_path, "stranger").say(one.staging, "forge", ALPHA)
    done = run(one, REF, "--policy", "attestation", "--trust", one.validator.public)
    assert (done.exit_code, one.held()) == (5, {})
