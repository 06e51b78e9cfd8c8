"""Ed25519 keys in PEM files: making a pair, signing with one, trusting others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from indexer.errors import ConfigError

# A PEM file of one key has some hundred bytes.
_MAX_FILE = 64 * 1024
_SHOWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A public key's file as it stands in the configuration.

    What it signed counts where it is dated within the times, both of which are optional; with
    ``verifier``, where it speaks for this verifier's id alone.
    """

    path: Path
    not_before: datetime | None = None
    not_after: datetime | None = None
    verifier: str | None = None


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key whose verdicts count. ``public`` are its 32 bytes as hex."""

    key: SSlibKey
    file: KeyFile

    @property
    def name(self) -> str:
        """How people are told of it: by the start of its id."""
        return short_id(self.key.keyid)

    @property
    def key_id(self) -> str:
        """The id by which envelopes name it."""
        return str(self.key.keyid)

    @property
    def public(self) -> str:
        """The key itself, as hex."""
        return str(self.key.keyval["public"])


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that are trusted; several, so that one can take another's place."""

    keys: tuple[TrustedKey, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Other keys, or other times for them, give another one (hex)."""
        parts = sorted(
            repr((key.public, key.file.not_before, key.file.not_after, key.file.verifier))
            for key in self.keys
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def short_id(key_id: str) -> str:
    """The start of a key's id, for people."""
    return key_id[:_SHOWN]


def load_keyring(files: Iterable[KeyFile]) -> Keyring:
    """Read public keys. Raises ConfigError for what is none, and for one given twice."""
    keys: dict[str, TrustedKey] = {}
    for file in files:
        trusted = TrustedKey(SSlibKey.from_crypto(_load_public(file.path)), file)
        if trusted.public in keys:
            raise ConfigError(f"{file.path} is the same key as {keys[trusted.public].file.path}.")
        keys[trusted.public] = trusted
    return Keyring(tuple(keys.values()))


def load_signer(path: Path) -> CryptoSigner:
    """Read a private key, to sign with. Raises ConfigError for what is none; never quotes it."""
    try:
        key = load_pem_private_key(_read(path), None)
    except TypeError as error:
        raise ConfigError(
            f"{path} is encrypted; a key that signs by itself must not be."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no private key in PEM, as keygen writes it.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is no Ed25519 key.")
    return CryptoSigner(key)


def keyring_of(signer: CryptoSigner, path: Path) -> Keyring:
    """The public part of one's own key (in the file ``path``) alone."""
    return Keyring((TrustedKey(signer.public_key, KeyFile(path=path)),))


def make_key_pair(private: Path, public: Path) -> str:
    """Make a pair, the private file for its owner alone; gives the key's id.

    Raises ConfigError where either file is there already, or can't be written; then neither is
    left behind.
    """
    if private == public:
        raise ConfigError(f"{private} can't hold both keys: say two files.")
    signer = CryptoSigner(Ed25519PrivateKey.generate())
    crypto = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_key.keyval["public"]))
    # The private one first: a public one without it would be trusted for nothing.
    _write_new(private, signer.private_bytes, 0o600)
    try:
        pem = crypto.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _write_new(public, pem, 0o644)
    except BaseException:
        private.unlink(missing_ok=True)
        raise
    return str(signer.public_key.keyid)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; keys are never overwritten.") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Whatever the umask: one that takes the owner's rights would make it unreadable.
            os.fchmod(descriptor, mode)
            file.write(data)
    except BaseException as error:
        # It is ours: there was none. Half a key would keep the next try from being made.
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ConfigError(f"{path} can't be written: {error.strerror}.") from error
        raise


def _load_public(path: Path) -> Ed25519PublicKey:
    data = _read(path)
    if data.count(b"-----BEGIN ") > 1:
        # All but the first would be let be.
        raise ConfigError(f"{path} holds several keys; each needs a file of its own.")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no public key in PEM, as keygen writes it.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} is no Ed25519 key.")
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError as error:
        raise ConfigError(f"The key {path} can't be read: {error.strerror}.") from error
