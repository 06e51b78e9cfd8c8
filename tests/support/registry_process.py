"""Debian's `docker-registry`, started on loopback for one test and ended by its own handle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import requests

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "docker-registry"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02

# The one line which only a process that owns its port can write. Asking the port alone would
# also be answered by a stranger.
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate for localhost and 127.0.0.1, its key, and the authority that signed it."""

    ca_pem: Path
    cert: Path
    key: Path


class RegistryFailedError(RuntimeError):
    """The registry did not come up; the message carries the end of its log."""


def missing_reason() -> str | None:
    """Why no registry can be started on this machine, or None when one can."""
    for program in (PROGRAM, "openssl"):
        if shutil.which(program) is None:
            return f"the program {program!r} is not installed (Debian: apt-get install {program})"
    return None


class RegistryProcess:
    """A real registry with its data below `root`, up for the length of a `with` block.

    Without `port` the kernel picks one while the registry binds, so no other process can take
    it in between. With `port` a second start on the same `root` continues where the first ended.
    """

    def __init__(self, root: Path, *, port: int | None = None, tls: Tls | None = None) -> None:
        self.root = root
        self.tls = tls
        self._wanted = port or 0
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port, as in `127.0.0.1:5000`."""
        if self._port is None:
            raise RuntimeError("the registry is not running")
        return f"127.0.0.1:{self._port}"

    @property
    def http(self) -> str:
        """The address with its scheme, without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def pid(self) -> int:
        """The process, for whoever wants to know what it uses."""
        if self._process is None:
            raise RuntimeError("the registry is not running")
        return self._process.pid

    @property
    def log(self) -> Path:
        """Everything the registry printed."""
        return self.root / "registry.log"

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        config = self.root / "config.yml"
        config.write_text(self._config(), encoding="utf-8")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process: ask, wait, then insist. Does nothing when it isn't running."""
        process, self._process, self._port = self._process, None, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _config(self) -> str:
        lines = [
            "version: 0.1",
            "log: {level: info}",
            "storage:",
            f'  filesystem: {{rootdirectory: "{(self.root / "data").resolve()}"}}',
            "  delete: {enabled: true}",
            "http:",
            f'  addr: "127.0.0.1:{self._wanted}"',
            "  secret: test",
        ]
        if self.tls is not None:
            cert, key = self.tls.cert.resolve(), self.tls.key.resolve()
            lines.append(f'  tls: {{certificate: "{cert}", key: "{key}"}}')
        return "\n".join(lines) + "\n"

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_up():
            if self._process is None or self._process.poll() is not None:
                raise RegistryFailedError(f"{PROGRAM} ended at once:\n{self._log_end()}")
            if time.monotonic() > deadline:
                raise RegistryFailedError(
                    f"{PROGRAM} gave no answer for {START_SECONDS:.0f} s:\n{self._log_end()}"
                )
            time.sleep(POLL_SECONDS)

    def _is_up(self) -> bool:
        found = _LISTENING.search(self._log_text())
        if found is None:
            return False
        self._port = int(found.group(1))
        try:
            with requests.Session() as session:
                session.trust_env = False
                session.verify = str(self.tls.ca_pem) if self.tls else True
                return session.get(f"{self.http}/v2/", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def _log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _log_end(self) -> str:
        return self._log_text()[-2000:]


def _environment() -> dict[str, str]:
    # A REGISTRY_* variable overrides the config file, the address to bind included.
    return {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}


_CA_CONFIG = """\
[req]
distinguished_name = name
prompt = no
x509_extensions = authority
[name]
CN = cf-index test authority
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

_LEAF_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = localhost
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def make_ca(directory: Path) -> Tls:
    """Make an authority and a certificate signed by it, both good for two days.

    Two of them, because clients refuse a certificate that signed itself.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ca.cnf").write_text(_CA_CONFIG, encoding="utf-8")
    (directory / "leaf.cnf").write_text(_LEAF_CONFIG, encoding="utf-8")
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile leaf.cnf -extensions leaf"
    commands = (
        f"req -x509 {new_key} -days 2 -config ca.cnf -keyout ca.key -out ca.pem",
        f"req -new {new_key} -config leaf.cnf -keyout leaf.key -out leaf.csr",
        f"x509 -req -in leaf.csr -days 2 {signing} -out leaf.pem",
    )
    for command in commands:
        subprocess.run(
            ["openssl", *command.split()], cwd=directory, check=True, capture_output=True
        )
    return Tls(directory / "ca.pem", directory / "leaf.pem", directory / "leaf.key")
