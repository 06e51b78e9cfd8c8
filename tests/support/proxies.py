"""nginx and Caddy, with the files of contrib/, in front of a gateway, on loopback for one test."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.registry_process import Tls
from tests.support.waiting import wait_until

CONTRIB = Path(__file__).parent.parent.parent / "contrib"
NGINX_CONF = CONTRIB / "nginx" / "gateway.conf"
CADDYFILE = CONTRIB / "caddy" / "Caddyfile"

_TRIES = 5
_STOP_SECONDS = 15.0

_AROUND = """\
daemon off;
pid nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path bodies;
    # Its files have no name for long; but the folders for them stay.
    proxy_temp_path {proxied} 1 2;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include gateway.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    """A proxy that is up. ``http`` is its address, https in truth, without a slash at the end."""

    name: str
    http: str
    log: Path


def nginx_command(folder: Path, gateway: str, tls: Tls, port: int) -> list[str]:
    """Write the settings for nginx; gives how it is started with them."""
    changed = _with(
        NGINX_CONF.read_text(encoding="utf-8"),
        {
            "server 127.0.0.1:8000 ": f"server {urlsplit(gateway).netloc} ",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "server_name conda.example.org": "server_name localhost",
            "/etc/ssl/conda.example.org/fullchain.pem": str(tls.cert),
            "/etc/ssl/conda.example.org/key.pem": str(tls.key),
        },
    )
    (folder / "gateway.conf").write_text(changed, encoding="utf-8")
    around = _AROUND.format(proxied=folder / "proxied")
    if os.geteuid() == 0:
        # Its workers have to get at this folder.
        around = f"user root;\n{around}"
    conf = folder / "nginx.conf"
    conf.write_text(around, encoding="utf-8")
    return ["nginx", "-p", str(folder), "-c", str(conf), "-e", "stderr"]


def caddy_command(folder: Path, gateway: str, tls: Tls, port: int) -> list[str]:
    """Write the settings for Caddy; gives how it is started with them."""
    changed = _with(
        CADDYFILE.read_text(encoding="utf-8"),
        {
            "\n{\n": "\n{\n\tadmin off\n\tauto_https disable_redirects\n",
            "\nconda.example.org {\n": f"\nhttps://localhost:{port}, https://127.0.0.1:{port} {{\n"
            f"\tbind 127.0.0.1\n\ttls {tls.cert} {tls.key}\n",
            "reverse_proxy 127.0.0.1:8000 ": f"reverse_proxy {urlsplit(gateway).netloc} ",
        },
    )
    file = folder / "Caddyfile"
    file.write_text(changed, encoding="utf-8")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]


COMMANDS: dict[str, Callable[[Path, str, Tls, int], list[str]]] = {
    "nginx": nginx_command,
    "caddy": caddy_command,
}


@contextmanager
def proxy(name: str, folder: Path, gateway: str, tls: Tls) -> Iterator[Proxy]:
    """A proxy in front of a gateway's address."""
    folder.mkdir()
    log = folder / "log"
    process, port = _started(name, folder, gateway, tls, log)
    try:
        yield Proxy(name, f"https://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _started(
    name: str, folder: Path, gateway: str, tls: Tls, log: Path
) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(_TRIES):
        port = free_port()
        command = COMMANDS[name](folder, gateway, tls, port)
        environ = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        if _is_up(process, port):
            return process, port
    # Somebody else may have taken one port in between, but not five.
    raise RuntimeError(f"{name} doesn't start:\n{log.read_text(errors='replace')[-2000:]}")


def _is_up(process: subprocess.Popen[bytes], port: int) -> bool:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(lambda: process.poll() is not None or answers())
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process.poll() is None


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _with(text: str, changes: dict[str, str]) -> str:
    """A text with each of these replaced, which must be in it."""
    for old, new in changes.items():
        text, count = re.subn(re.escape(old), lambda _, new=new: new, text)  # type: ignore[misc]
        assert count, f"{old!r} is no more in the file"
    return text
