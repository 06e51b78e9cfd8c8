"""Key pairs in files: made once, read back, and refused where they are something else."""

from __future__ import annotations

import errno
import io
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as elliptic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from indexer.errors import ConfigError
from indexer.trust.keys import KeyFile, Keyring, load_keyring, load_signer, make_key_pair, short_id
from tests.support.validator import Validator

THEN, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def test_a_pair_is_ed25519_in_pem_and_belongs_together(tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    key_id = make_key_pair(private, public)
    own = load_pem_private_key(private.read_bytes(), None)
    assert isinstance(own, Ed25519PrivateKey)
    assert own.public_key() == load_pem_public_key(public.read_bytes())
    (trusted,) = load_keyring([KeyFile(path=public)]).keys
    assert trusted.key.keyid == load_signer(private).public_key.keyid == key_id
    assert trusted.name == short_id(key_id) == key_id[:16]


def test_the_private_key_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_key_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / f"{n}.pem").stat().st_mode) for n in ("private", "public")]
    assert modes == [0o600, 0o644]


@pytest.mark.parametrize("there", ["private.pem", "public.pem"])
def test_what_is_there_is_never_overwritten_and_no_half_of_a_pair_is_left(
    tmp_path: Path, there: str
) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(ConfigError, match="there already"):
        make_key_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "private.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="never overwritten"):
        make_key_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    assert not (tmp_path / "elsewhere").exists()


def test_one_file_for_both_is_refused_and_not_left(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        make_key_pair(tmp_path / "key.pem", tmp_path / "key.pem")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none/private\.pem can't be written"):
        make_key_pair(tmp_path / "none/private.pem", tmp_path / "public.pem")


def test_a_full_disk_leaves_no_half_of_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        """What is written into it finds no room; /dev/full itself must not be given a mode."""

        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("indexer.trust.keys.os.fdopen", Full)
    with pytest.raises(ConfigError, match="No space left"):
        make_key_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    assert list(tmp_path.iterdir()) == []


def foreign(folder: Path) -> dict[str, Path]:
    """Files that hold no key of ours, by what they are."""
    own, other = Ed25519PrivateKey.generate(), elliptic(SECP256R1())
    pem, pkcs8, spki = Encoding.PEM, PrivateFormat.PKCS8, PublicFormat.SubjectPublicKeyInfo
    contents = {
        "private": own.private_bytes(pem, pkcs8, NoEncryption()),
        "public": own.public_key().public_bytes(pem, spki),
        "encrypted": own.private_bytes(pem, pkcs8, BestAvailableEncryption(b"secret")),
        "elliptic private": other.private_bytes(pem, pkcs8, NoEncryption()),
        "elliptic public": other.public_key().public_bytes(pem, spki),
        "der": own.public_key().public_bytes(Encoding.DER, spki),
        "openssh": own.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "nothing": b"",
        "certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "two": own.public_key().public_bytes(pem, spki)
        + Ed25519PrivateKey.generate().public_key().public_bytes(pem, spki),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    return {path.name: path for path in folder.iterdir()} | {"absent": folder / "absent"}


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("private", "no public key in PEM"),
        ("encrypted", "no public key in PEM"),
        ("elliptic public", "no Ed25519 key"),
        ("der", "no public key in PEM"),
        ("openssh", "no public key in PEM"),
        ("nothing", "no public key in PEM"),
        ("certificate", "no public key in PEM"),
        ("two", "several keys"),
        ("folder", "can't be read"),
        ("absent", "can't be read"),
    ],
)
def test_what_is_no_public_key_is_not_trusted(tmp_path: Path, what: str, reason: str) -> None:
    path = foreign(tmp_path)[what]
    with pytest.raises(ConfigError, match=reason) as caught:
        load_keyring([KeyFile(path=path)])
    assert str(path) in str(caught.value)
    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("public", "no private key in PEM"),
        ("encrypted", "encrypted"),
        ("elliptic private", "no Ed25519 key"),
        ("nothing", "no private key in PEM"),
        ("folder", "can't be read"),
        ("absent", "can't be read"),
    ],
)
def test_what_is_no_private_key_signs_nothing(tmp_path: Path, what: str, reason: str) -> None:
    path = foreign(tmp_path)[what]
    with pytest.raises(ConfigError, match=reason) as caught:
        load_signer(path)
    assert "BEGIN" not in str(caught.value)


def test_a_key_is_trusted_once(validator: Validator, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pem"
    copy.write_bytes(validator.public.read_bytes())
    with pytest.raises(ConfigError, match=r"copy\.pem is the same key as .*validator\.pub"):
        load_keyring([validator.file, KeyFile(path=copy, not_before=THEN)])


def test_other_keys_or_other_limits_have_another_fingerprint(
    validator: Validator, stranger: Validator
) -> None:
    path = validator.public
    rings = [
        Keyring(),
        load_keyring([validator.file]),
        load_keyring([stranger.file]),
        load_keyring([validator.file, stranger.file]),
        load_keyring([KeyFile(path=path, not_before=THEN)]),
        load_keyring([KeyFile(path=path, not_after=THEN)]),
        load_keyring([KeyFile(path=path, not_before=LATER)]),
        load_keyring([KeyFile(path=path, verifier="urn:one")]),
        load_keyring([KeyFile(path=path, verifier="urn:other")]),
    ]
    assert len({ring.fingerprint for ring in rings}) == len(rings)


def test_neither_order_nor_the_place_of_files_changes_the_fingerprint(
    validator: Validator, stranger: Validator, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.pem"
    copy.write_bytes(validator.public.read_bytes())
    one = load_keyring([validator.file, stranger.file])
    assert one.fingerprint == load_keyring([stranger.file, KeyFile(path=copy)]).fingerprint
