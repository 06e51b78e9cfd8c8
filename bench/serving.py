"""What answers while it is measured: ``cf-index serve``, and nginx beside it, on one core."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.registry_process import RegistryProcess

PROGRAM = "nginx"
_SERVING = re.compile(r" on (http://127\.0\.0\.1:\d+)$")
_UP_SECONDS = 10.0

_NGINX = """\
daemon off;
master_process off;

pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {log};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
{settings}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
{server}
  }}
}}
"""


class Redirecting(RegistryProcess):
    """A docker-registry that sends whoever asks for a blob to another server, as ghcr.io does."""

    target = "http://127.0.0.1:9"

    def _config(self) -> str:
        where = f"  storage: [{{name: redirect, options: {{baseurl: '{self.target}/'}}}}]\n"
        return super()._config() + "middleware:\n" + where


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is up: its address, and the process that answers."""

    address: str
    pid: int

    @property
    def peak(self) -> float:
        """The most memory it held so far, in MiB."""
        return _status(self.pid, "VmHWM") / 1024

    @property
    def processor(self) -> float:
        """Seconds of processor that it has used (Linux's proc(5))."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def missing_reason() -> str | None:
    """Why there is no nginx to measure beside, or None."""
    for program, package in ((PROGRAM, "nginx-light"), ("taskset", "util-linux"), ("curl", "curl")):
        if shutil.which(program) is None:
            return f"the program {program!r} is not installed (Debian: apt-get install {package})"
    return None


@contextmanager
def gateway(*arguments: str, core: int | None = None) -> Iterator[Serving]:
    """``cf-index serve`` with these arguments, its log thrown away."""
    command = [sys.executable, "-m", "indexer", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        _pinned(command, core), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None  # noqa: S101  it is a pipe
            said = process.stderr.readline().rstrip()
            found = _SERVING.search(said)
            if found is None:
                raise RuntimeError(f"{' '.join(command)}\n{said}\n{process.stderr.read(3000)}")
            yield Serving(found[1], process.pid)
        finally:
            process.terminate()


@contextmanager
def nginx(
    server: str, settings: str = "", *, log: bool = False, core: int | None = None
) -> Iterator[Serving]:
    """nginx with one worker; ``server`` and ``settings`` are lines of its configuration."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        text = _NGINX.format(
            folder=folder,
            log="/dev/null" if log else "off",
            settings=settings,
            port=port,
            server=server,
        )
        file = Path(folder) / "nginx.conf"
        file.write_text(text)
        command = [PROGRAM, "-p", folder, "-c", str(file)]
        with subprocess.Popen(_pinned(command, core)) as process:
            try:
                _wait_for(port)
                yield Serving(f"http://127.0.0.1:{port}", process.pid)
            finally:
                process.terminate()


def redirects(targets: Mapping[str, str]) -> tuple[str, str]:
    """nginx's server and settings for redirects by a map of paths."""
    lines = "\n".join(f"    {path} {target};" for path, target in targets.items())
    size = "  map_hash_max_size 65536;\n  map_hash_bucket_size 512;\n"
    return "    location / { return 307 $target; }", f"{size}  map $uri $target {{\n{lines}\n  }}"


def passing(path: str, url: str) -> str:
    """nginx's server for one path whose answer comes from elsewhere, byte by byte."""
    return f"""\
    location = {path} {{
      proxy_pass {url};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_buffer_size 512k;
      proxy_buffers 8 512k;
    }}"""


def _pinned(command: Sequence[str], core: int | None) -> list[str]:
    return [*([] if core is None else ["taskset", "-c", str(core)]), *command]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _status(pid: int, name: str) -> int:
    """A figure of proc(5)'s status, in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"{name}:")[2].split(maxsplit=1)[0])
