"""keygen: two files, of which one is nobody else's business."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from indexer.cli import main
from indexer.trust.keys import KeyFile, keyring_of, load_keyring, load_signer


def keygen(private: Path, public: Path) -> Result:
    words = ["keygen", "--private", str(private), "--public", str(public)]
    done = CliRunner().invoke(main, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "validator.pem", tmp_path / "validator.pub"


@pytest.fixture
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("_umask", [0o000, 0o022, 0o077, 0o777], indirect=True, ids=oct)
@pytest.mark.usefixtures("_umask")
def test_the_private_key_is_its_owners_alone_and_never_shown(pair: tuple[Path, Path]) -> None:
    private, public = pair
    done = keygen(private, public)
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    secret = private.read_text()
    assert not any(line in done.output for line in secret.splitlines())
    assert "PRIVATE" not in public.read_text()


def test_the_two_belong_together_and_are_called_by_one_id(pair: tuple[Path, Path]) -> None:
    private, public = pair
    done = keygen(private, public)
    (trusted,) = load_keyring([KeyFile(path=public)]).keys
    (own,) = keyring_of(load_signer(private), private).keys
    assert (own.key_id, own.public) == (trusted.key_id, trusted.public)
    assert f"Key {own.name} ({own.key_id})" in done.output
    assert f"--key {private}" in done.output
    assert f"--trust {public}" in done.output


@pytest.mark.parametrize("taken", [0, 1])
@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_nothing_is_overwritten_nor_left_behind(
    pair: tuple[Path, Path], tmp_path: Path, taken: int, kind: str
) -> None:
    other = tmp_path / "other"
    if kind != "dangling":
        other.write_text("precious")
    if kind == "file":
        other.rename(pair[taken])
    else:
        pair[taken].symlink_to(other)
    before = sorted(tmp_path.iterdir())
    done = keygen(*pair)
    assert done.exit_code == 2
    assert f"{pair[taken].name} is there already" in done.output
    assert sorted(tmp_path.iterdir()) == before
    assert kind == "dangling" or pair[taken].read_text() == "precious"


@pytest.mark.parametrize("lost", [0, 1])
def test_where_one_cannot_be_written_the_other_is_not_left(
    pair: tuple[Path, Path], tmp_path: Path, lost: int
) -> None:
    paths = list(pair)
    paths[lost] = tmp_path / "absent" / "key"
    done = keygen(*paths)
    assert done.exit_code == 2
    assert "can't be written" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", [0, 1])
def test_half_a_key_is_not_left_where_the_disk_is_full(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    fchmod, calls = os.fchmod, []

    def full(descriptor: int, mode: int) -> None:
        calls.append(mode)
        if len(calls) > lost:
            raise OSError(28, "No space left on device")
        fchmod(descriptor, mode)

    monkeypatch.setattr("os.fchmod", full)
    done = keygen(*pair)
    assert done.exit_code == 2
    assert "No space left" in done.output
    assert len(calls) == lost + 1
    assert list(tmp_path.iterdir()) == []


def test_one_file_cannot_hold_both(pair: tuple[Path, Path], tmp_path: Path) -> None:
    done = keygen(pair[0], pair[0])
    assert done.exit_code == 2
    assert "say two files" in done.output
    assert list(tmp_path.iterdir()) == []


def test_its_help_says_what_becomes_of_the_keys() -> None:
    told = " ".join(CliRunner().invoke(main, ["keygen", "--help"]).stdout.split())
    for words in ("mode 0600", "never printed", "never overwritten", "--private", "--public"):
        assert words in told
