"""What a site of ours remembers of rejections, read from outside; never less than it should."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.packages import build
from indexer.cli import main
from indexer.errors import GuardError, RegistryError
from indexer.published import Folder, open_published
from indexer.published.history import is_ours, read_rejections
from indexer.registry import Transport
from indexer.render.history import REJECTIONS
from indexer.trust.judging import Held
from indexer.trust.rejections import encode_rejections
from tests.support import faults
from tests.support.gate import Gate
from tests.support.loopback import FileHost
from tests.support.rig import CHANNEL, Rig
from tests.support.validator import VALIDATED_AT, Validator, verdict_of

ALPHA = build("alpha")
KEPT = [Held(verdict_of(ALPHA, passed=False, reason="bad"), "0123")]


def put(root: Path, data: bytes) -> Path:
    path = root / REJECTIONS
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_site_that_remembers_nothing_has_no_rejections(tmp_path: Path) -> None:
    assert read_rejections(Folder(tmp_path)) == []
    assert not is_ours(Folder(tmp_path))


def test_what_a_site_remembers_is_read_back(tmp_path: Path) -> None:
    put(tmp_path, encode_rejections(KEPT))
    assert read_rejections(Folder(tmp_path)) == KEPT
    with (
        FileHost() as host,
        closing(Transport(retry_for=0.2)) as transport,
        open_published(host.http, transport) as site,
    ):
        assert read_rejections(site) == []
        host.put(f"/{REJECTIONS}", encode_rejections(KEPT))
        assert read_rejections(site) == KEPT
        host.faults[:] = [faults.status(500)]
        with pytest.raises(RegistryError):
            read_rejections(site)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"[" * 5000])
def test_what_can_not_be_read_stops_whoever_would_let_it_in(tmp_path: Path, data: bytes) -> None:
    put(tmp_path, data)
    with pytest.raises(GuardError, match="What was rejected would be let in again"):
        read_rejections(Folder(tmp_path))


def test_too_many_to_be_read_are_not_none(tmp_path: Path) -> None:
    with put(tmp_path, b"").open("wb") as file:
        file.truncate(256 * 1024 * 1024 + 1)
    with pytest.raises(GuardError, match="more than"):
        read_rejections(Folder(tmp_path))


@pytest.fixture
def gate(rig: Rig) -> Gate:
    """With a build that was let in, rejected, and whose rejection somebody deleted."""
    gate = Gate(rig, rig.fake.http, CHANNEL, Validator(rig.root), Validator(rig.root, "stranger"))
    gate.push(ALPHA)
    gate.validate(ALPHA)
    no = gate.reject(ALPHA, time=VALIDATED_AT + timedelta(hours=1))
    gate.rebuild()
    gate.remove_verdict(ALPHA, no)
    return gate


def look(gate: Gate, *words: str) -> tuple[int, str]:
    where = ["--registry", str(gate.address), "--channel", CHANNEL, "--policy", "attestation"]
    trusted = ["--trust", str(gate.validator.public), "--json", "noarch/alpha:1.0-0"]
    done = CliRunner().invoke(main, ["marks", *where, *trusted, *words])
    return done.exit_code, done.output


def test_a_site_that_was_named_has_to_be_there(gate: Gate) -> None:
    site = str(gate.rig.site)
    code, said = look(gate, "--previous", site)
    assert code == 0
    assert json.loads(said)["status"] == "rejected"
    code, said = look(gate, "--previous", f"{site}/nowhere")
    assert code == 2
    assert "There is no site at --previous" in said


@pytest.mark.parametrize("damage", ["deleted", "emptied"])
def test_a_site_without_what_its_snapshot_lists_is_refused(gate: Gate, damage: str) -> None:
    path = gate.rig.site / REJECTIONS
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"[]")
    code, said = look(gate, "--previous", str(gate.rig.site))
    assert code == 4
    assert "isn't what the snapshot lists" in said
    assert is_ours(Folder(gate.rig.site))
