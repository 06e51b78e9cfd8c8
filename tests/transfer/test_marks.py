"""marks and mark as a person or a validation service meets them: words, streams, exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from demo.packages import Package, build
from indexer.channel.artifact import place_of
from indexer.cli import main
from indexer.registry.content import Digest
from indexer.render.history import REJECTIONS, SNAPSHOT
from indexer.trust.judging import Held
from indexer.trust.rejections import encode_rejections
from tests.support import faults
from tests.support.registry_process import RegistryProcess
from tests.support.rig import CHANNEL, Rig
from tests.support.validator import VALIDATED_AT, Validator, put_beside, verdict_of

ALPHA = build("alpha")
ALPHA_BZ2 = build("alpha", archive="tar.bz2")
BETA = build("beta", subdir="linux-64")
TAG = "noarch/alpha:1.0-0"


@pytest.fixture
def full(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.chdir(rig.root)
    rig.push(ALPHA_BZ2, ALPHA, validated=False)
    rig.push(BETA, validated=False)
    return rig


@pytest.fixture
def validator(tmp_path: Path) -> Validator:
    return Validator(tmp_path)


def run(rig: Rig, *words: object, stdin: str | bytes | None = None, code: int = 0) -> Result:
    target = ["--registry", str(rig.config().registry), "--channel", CHANNEL]
    command = [*map(str, words), *target, "--retry-for", "0.1"]
    done = CliRunner().invoke(main, command, input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.output
    return done


def say(rig: Rig, validator: Validator, package: Package, **changes: Any) -> str:
    return str(validator.say(rig.config().registry, CHANNEL, package, **changes))


def shown(rig: Rig, *words: object) -> dict[str, Any]:
    """The one object that marks prints."""
    found: dict[str, Any] = json.loads(run(rig, "marks", *words, "--json").stdout)
    return found


def attestation(validator: Validator) -> list[str]:
    return ["--policy", "attestation", "--trust", str(validator.public)]


def test_what_is_marked_is_shown_and_let_in(full: Rig, validator: Validator) -> None:
    done = run(full, "mark", TAG, "--as", "validated", "--key", validator.private)
    (key,) = validator.keyring.keys
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Marked as validated: noarch/alpha-1.0-0.conda (manifest sha256:")
    assert f"verdict sha256-{ALPHA.sha256}." in lines[0]
    assert lines[2] == "2 files marked as validated; 0 were so already."
    text = run(full, "marks", TAG, *attestation(validator)).stdout
    assert f"by the key {key.name} (trusted)" in text
    assert "by the policy attestation: let in: alpha-1.0-0.conda, alpha-1.0-0.tar.bz2" in text
    found = shown(full, TAG, *attestation(validator))
    assert found["status"] == "indexed"
    assert sorted(found["let_in"]) == [ALPHA.file_name, ALPHA_BZ2.file_name]
    for entry in found["verdicts"]:
        assert (entry["trusted"], entry["void"], entry["key"]) == (True, "", key.key_id)
        assert entry["verifier"] == f"urn:cf-index:key:{key.key_id}"
        assert entry["policy"] == "urn:cf-index:policy:unstated"
        assert entry["tag"] in text
        time = datetime.fromisoformat(entry["time"])
        assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)
    again = run(full, "mark", TAG, "--as", "validated", "--key", validator.private)
    assert again.stdout == "0 files marked as validated; 2 were so already.\n"


def test_an_annotation_is_shown_with_its_reason(full: Rig) -> None:
    assert "no annotation" in run(full, "marks", TAG).stdout
    assert shown(full, TAG)["status"] == "waiting"
    run(full, "mark", TAG, "--as", "rejected", "--reason", "bad \x1b[31m license")
    text = run(full, "marks", TAG).stdout
    assert "annotation org.conda-forge.status=rejected (bad \\x1b[31m license)" in text
    assert "org.conda-forge.status=validated: rejected" in text
    found = shown(full, TAG)
    assert (found["annotation"], found["annotation_standing"]) == ("rejected", "rejected")
    assert found["digest"] == str(_digest(full))


def _digest(rig: Rig) -> str:
    text = run(rig, "show", TAG).stdout
    (line,) = (line for line in text.splitlines() if line.startswith("manifest "))
    return line.removeprefix("manifest ")


def test_without_trust_verdicts_are_listed_as_by_unknown_keys(
    full: Rig, validator: Validator
) -> None:
    tag = say(full, validator, ALPHA, reason="all well")
    found = shown(full, TAG)
    (entry,) = found["verdicts"]
    assert (entry["tag"], entry["trusted"], entry["said"]) == (tag, False, "validated")
    name = validator.keyring.keys[0].name
    assert entry["void"] == f"it is signed by {name}, no trusted key"
    text = run(full, "marks", TAG).stdout
    time = f"{VALIDATED_AT:%Y-%m-%d %H:%M:%S} UTC"
    assert f"alpha-1.0-0.conda validated {time} by the key {name}: all well" in text
    assert "no trusted key" in text


def test_what_does_not_count_is_shown_with_the_reason(
    full: Rig, validator: Validator, tmp_path: Path
) -> None:
    stranger = Validator(tmp_path, "stranger")
    say(full, stranger, ALPHA, reason="trust me")
    say(full, validator, ALPHA, index_json=Digest.of(b"other"))
    say(full, validator, ALPHA, time=datetime(2999, 1, 1, tzinfo=UTC))
    say(full, validator, build("alpha", message="other"), reason="replayed")
    forged = validator.sign(verdict_of(BETA, archive=Digest(ALPHA.sha256)))
    place = place_of("noarch", ALPHA.file_name)
    put_beside(full.config().registry, CHANNEL, ALPHA, forged, place=place)
    put_beside(full.config().registry, CHANNEL, ALPHA, b"\x1b{", place=place)
    found = shown(full, TAG, *attestation(validator))
    void = sorted(entry["void"] for entry in found["verdicts"])
    assert len(void) == 6
    for part in (
        "it is no DSSE envelope",
        "it is on other bytes of this name",
        "it is on the index.json",
        "it is signed by",
        "it lies in the future",
        "it speaks of the subdir linux-64",
    ):
        assert [text for text in void if text.startswith(part)], part
    assert found["status"] == "waiting"
    assert found["let_in"] == []
    # Nobody needs a key to see that.
    untrusting = [entry["void"] for entry in shown(full, TAG)["verdicts"]]
    assert "it speaks of the subdir linux-64" in untrusting
    assert run(full, "marks", TAG, *attestation(validator)).stdout.count("; void: ") == 6


def test_a_rejection_that_the_site_remembers_is_shown(full: Rig, validator: Validator) -> None:
    say(full, validator, ALPHA)
    later = VALIDATED_AT + timedelta(days=1)
    no = verdict_of(ALPHA, passed=False, reason="bad", time=later)
    site = full.root / "old"
    (site / REJECTIONS).parent.mkdir(parents=True)
    (site / SNAPSHOT).write_bytes(b"{}")
    (site / REJECTIONS).write_bytes(encode_rejections([Held(no, validator.keyring.keys[0].key_id)]))
    words = [TAG, *attestation(validator), "--previous", site]
    found = shown(full, *words)
    assert [entry["remembered"] for entry in found["verdicts"]] == [False, True]
    assert found["status"] == "rejected"
    text = run(full, "marks", *words).stdout
    assert "remembered by the published site" in text
    assert "the verdict itself is gone from the registry" in text


def test_what_is_not_there_exits_5_and_does_not_hide_the_others(full: Rig) -> None:
    names = ["nope-1-0.conda", "beta-1.0-0.conda", f"{TAG}@sha256:{'0' * 64}"]
    done = run(full, "marks", *names, code=5)
    assert done.stdout.startswith("linux-64/beta-1.0-0.conda\n")
    assert "Failed: nope-1-0.conda: there is no nope:1-0 in any known subdir" in done.stdout
    assert f"not to sha256:{'0' * 64}" in done.stdout
    done = run(full, "marks", "-", "--json", stdin="nope-1-0.conda # x\n\n", code=5)
    assert json.loads(done.stdout)["error"]


def test_hostile_text_does_not_act_on_a_terminal(full: Rig, validator: Validator) -> None:
    bad = {"org.conda-forge.status": "\x9b31m\u202e", "org.conda-forge.status.reason": "\x07"}
    document = full.fake.manifest_of(full.repository("noarch", "alpha"), "1.0-0")
    document["annotations"] = bad
    body = json.dumps(document).encode()
    full.fake.add_manifest(full.repository("noarch", "alpha"), "1.0-0", body, document["mediaType"])
    say(full, validator, ALPHA, verifier="urn:\x9b31m:\u202e", reason="\x9b")
    for words in ([], ["--json"]):
        text = run(full, "marks", TAG, *words).stdout
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "u202e" in text


def test_a_list_on_stdin_is_marked_and_one_that_fails_costs_itself(
    full: Rig, validator: Validator
) -> None:
    lines = f"# validated today\n\n{TAG}  # both formats\nnope-1-0.conda\nbeta-1.0-0.conda\n"
    words = ["mark", "-", "--as", "validated", "--key", validator.private]
    done = run(full, *words, stdin=lines, code=5)
    assert "3 files marked as validated; 0 were so already; 1 failed." in done.stdout
    assert "Failed: nope-1-0.conda" in done.stdout
    assert len((full.root / ".cf-index/audit.jsonl").read_text().splitlines()) == 3
    assert run(full, *words, stdin="").stdout.startswith("0 files")


@pytest.mark.parametrize("line", [b"alpha", b"noarch/alpha\n", b"\x80\n"])
def test_a_line_that_is_no_reference_costs_itself_alone(full: Rig, line: bytes) -> None:
    queue = TAG.encode() + b"\n" + line
    done = run(full, "mark", "-", "--as", "validated", stdin=queue, code=5)
    assert "names no build" in done.stdout
    assert "2 files marked as validated; 0 were so already; 1 failed." in done.stdout
    done = run(full, "marks", "-", stdin=queue, code=5)
    assert "names no build" in done.stdout
    assert f"{TAG}\n  manifest sha256:" in done.stdout


def test_an_argument_that_is_no_reference_marks_nothing_at_all(full: Rig) -> None:
    for words in (["mark", TAG, "alpha", "--as", "validated"], ["marks", "alpha"]):
        assert "names no build" in run(full, *words, code=2).stderr
    assert full.fake.count("manifests", "PUT") == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--policy", "attestation"], "say --key FILE"),
        (["--policy", "both"], "say --key FILE"),
        (["--verifier", "urn:x:y"], "say --key, too"),
        (["--policy-uri", "urn:x:y"], "say --key, too"),
        (["--key", "absent.pem"], "can't be read"),
        (["--key", "validator.pub"], "no private key"),
        (["--key", "validator.pem", "--verifier", "me"], "is no URI"),
        (["--key", "validator.pem", "--policy-uri", "https://a b"], "is no URI"),
        (["--reason", "x" * 1001], "more than 1000"),
        (["--audit", "/dev/null/x"], "can't be written"),
    ],
    ids=str,
)
def test_wrong_usage_exits_2_and_writes_nothing(
    full: Rig, validator: Validator, words: list[str], sentence: str
) -> None:
    assert validator.private.exists()
    done = run(full, "mark", TAG, "--as", "validated", *words, code=2)
    assert sentence in done.stderr
    assert not full.fake.requests


def test_mark_reads_settings_that_are_not_about_it(full: Rig, validator: Validator) -> None:
    """Whom the indexer trusts is none of a validator's business."""
    Path("cf-index.toml").write_text('policy = "both"\ntrust = ["absent.pub"]\noutput = "site"\n')
    words = ["mark", TAG, "--as", "validated", "--key", validator.private]
    assert "with its annotation" in run(full, *words).stdout
    Path("cf-index.toml").unlink()
    words = [TAG, "--policy", "both", "--trust", validator.public]
    assert shown(full, *words)["status"] == "indexed"


def test_who_judges_by_what_rules_stands_in_the_verdict(full: Rig, validator: Validator) -> None:
    words = ["--verifier", "urn:acme:ci", "--policy-uri", "https://acme.example/rules"]
    run(full, "mark", TAG, "--as", "rejected", "--key", validator.private, *words)
    for entry in shown(full, TAG, *attestation(validator))["verdicts"]:
        assert (entry["verifier"], entry["policy"]) == (words[1], words[3])


def test_the_key_is_shown_nowhere(full: Rig, validator: Validator) -> None:
    secret = validator.private.read_text().splitlines()[1]
    words = ["--debug", "mark", TAG, "nope-1-0.conda", "--as", "rejected"]
    done = run(full, *words, "--key", validator.private, "--reason", "bad", code=5)
    audit = (full.root / ".cf-index/audit.jsonl").read_text()
    # A private key in a place where a public one belongs, and a broken one.
    done_too = run(
        full, "marks", TAG, "--policy", "attestation", "--trust", validator.private, code=2
    )
    (full.root / "broken.pem").write_text(validator.private.read_text()[:-30])
    broken = run(full, *words, "--key", "broken.pem", code=2)
    for text in (done.output, done_too.output, broken.output, audit):
        assert secret not in text
        assert "PRIVATE KEY" not in text


def test_a_registry_that_does_not_answer_fails_each_with_its_reason(full: Rig) -> None:
    full.fake.knobs.faults = [faults.status(503)]
    for words in (["mark", TAG, "--as", "validated"], ["marks", TAG]):
        done = run(full, *words, code=5)
        assert "503" in done.stdout


def test_a_dry_run_says_what_would_be(full: Rig, validator: Validator) -> None:
    words = ["mark", TAG, "--as", "rejected", "--dry-run"]
    for more in ([], ["--key", validator.private]):
        done = run(full, *words, *more)
        assert "Would be marked as rejected: noarch/alpha-1.0-0.conda (manifest" in done.stdout
        assert "2 files would be marked as rejected" in done.stdout
    assert {request.method for request in full.fake.requests} <= {"GET", "HEAD"}
    assert not (full.root / ".cf-index").exists()


def test_help_stands_alone() -> None:
    told = " ".join(CliRunner().invoke(main, ["mark", "--help"]).stdout.split())
    for words in (
        "SUBDIR/NAME:TAG",
        "@sha256:...",
        "stdin",
        "[validated|rejected]",
        "policy:unstated]",
        "urn:cf-index:key:ID",
        "audit log",
        "Exits 5",
    ):
        assert words in told, words
    told = " ".join(CliRunner().invoke(main, ["marks", "--help"]).stdout.split())
    for words in (
        "--json",
        "--previous",
        "is let in, waits, is rejected, or is unsound",
        "Exits 5",
    ):
        assert words in told, words


@pytest.mark.parametrize("policy", ["annotation", "attestation", "both"])
def test_a_real_registry_keeps_what_is_said(
    docker_registry: RegistryProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    validator = Validator(tmp_path)
    (tmp_path / ALPHA.file_name).write_bytes(ALPHA.data)
    target = ["--registry", f"oci+{docker_registry.http}/{policy}", "--channel", CHANNEL]

    def call(*words: object) -> str:
        done = CliRunner().invoke(main, [*map(str, words), *target])
        assert done.exit_code == 0, done.output
        return done.stdout

    call("push", ALPHA.file_name)
    (digest,) = (line for line in call("show", TAG).splitlines() if line.startswith("manifest "))
    name = f"{TAG}@{digest.removeprefix('manifest ')}"
    key = [] if policy == "annotation" else ["--key", validator.private, "--policy", policy]
    look = [] if policy == "annotation" else ["--trust", validator.public, "--policy", policy]
    assert json.loads(call("marks", TAG, *look, "--json"))["status"] == "waiting"
    assert "1 file marked" in call("mark", name, "--as", "validated", *key)
    assert "1 were so already" in call("mark", name, "--as", "validated", *key)
    assert json.loads(call("marks", TAG, *look, "--json"))["status"] == "indexed"
    call("mark", TAG, "--as", "rejected", *key)
    assert json.loads(call("marks", TAG, *look, "--json"))["status"] == "rejected"
