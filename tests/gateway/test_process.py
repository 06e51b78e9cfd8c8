"""``cf-index serve`` as it is run: how it begins, how it ends, and what it takes meanwhile."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import pytest
import requests

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.running import parted, rest_of
from tests.support.faults import Pause, is_blob
from tests.support.loopback import FileHost
from tests.support.pauses import paused
from tests.support.rig import Rig

PACKAGE = package_of(300_000)
SECONDS = 30.0
_SERVING = re.compile(r"on http://127\.0\.0\.1:(\d+)\n")


class Process:
    """A gateway of its own, whose end is the test's business."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "indexer", "serve", *arguments, "--port", "0"]
        self.log = folder / "access.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(command, stdout=log, stderr=subprocess.PIPE, text=True)
        assert self.popen.stderr is not None
        self.first = self.popen.stderr.readline()
        match = _SERVING.search(self.first)
        assert match, self.first + self.popen.stderr.read()
        self.port = int(match[1])
        self.http = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.communicate()

    def ended(self) -> tuple[int, str]:
        """Its exit code, and the rest of what it told."""
        _, told = self.popen.communicate(timeout=SECONDS)
        return self.popen.returncode, told

    def peak(self) -> int:
        """The most memory that it has taken so far, in bytes."""
        text = Path(f"/proc/{self.popen.pid}/status").read_text()
        match = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
        assert match
        return int(match[1]) * 1024


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One that can't begin."""
    return subprocess.run(
        [sys.executable, "-m", "indexer", "serve", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=os.environ | {"COLUMNS": "200"} | environ,
    )


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_what_it_has_begun(rig: Rig, signum: signal.Signals) -> None:
    publish(rig, PACKAGE)
    pause = Pause(at=100_000)
    rig.fake.knobs.faults.append(paused(pause, match=is_blob()))
    with Process(rig.root, str(rig.site)) as gateway:
        with socket.create_connection(("127.0.0.1", gateway.port), SECONDS) as client:
            client.sendall(f"GET /{PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            begun = client.recv(10)
            assert pause.reached.wait(SECONDS)

            gateway.popen.send_signal(signum)
            # Nobody new is let in from now on.
            while _is_open(gateway.port):
                pass
            pause.go.set()
            status, _, body = parted(begun + rest_of(client))

        assert (status, body) == (200, PACKAGE.data)
        assert gateway.ended() == (0, "")
    (line,) = gateway.log.read_text().splitlines()
    assert '"status":200' in line


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_idle_clients_do_not_keep_it_from_ending(rig: Rig) -> None:
    publish(rig, PACKAGE)
    with (
        Process(rig.root, str(rig.site)) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), SECONDS) as silent,
        requests.Session() as session,
    ):
        assert session.get(f"{gateway.http}/-/healthy", timeout=SECONDS).text == "ok\n"
        silent.sendall(b"GET / HT")

        gateway.popen.terminate()

        assert gateway.ended()[0] == 0


def test_its_memory_does_not_grow_with_a_package(rig: Rig) -> None:
    big = package_of(300_000_000)
    publish(rig, big)
    with Process(rig.root, str(rig.site), "--no-access-log") as gateway:
        assert requests.get(f"{gateway.http}/noarch/repodata.json", timeout=SECONDS).ok
        before = gateway.peak()
        sums: list[str] = []

        def read(block: int) -> None:
            found = hashlib.sha256()
            with requests.get(f"{gateway.http}/{PATH}", stream=True, timeout=SECONDS) as answer:
                for chunk in answer.iter_content(block):
                    found.update(chunk)
            sums.append(found.hexdigest())

        # Of two that share it, one is slower.
        readers = [threading.Thread(target=read, args=(block,)) for block in (1 << 20, 1 << 15)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()

        assert sums == [big.sha256] * 2
        assert gateway.peak() - before < 32_000_000


def test_a_port_that_is_taken_is_told(rig: Rig) -> None:
    publish(rig, PACKAGE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(str(rig.site), "--port", str(port))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"127.0.0.1:{port} can't be served on" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_none_is_told(rig: Rig) -> None:
    publish(rig, PACKAGE)

    done = run(str(rig.site), "--host", "no such host", "--port", "0")

    assert done.returncode == 2
    assert "can't be served on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Nothing to serve"),
        (("absent",), "cf-index rebuild"),
        (("--channel-url", "ftp://x/"), "http(s)"),
        (("--channel-url", "http://127.0.0.1:1/", "site"), "not both"),
        (("--channel-url", "http://user:secret@127.0.0.1:1/"), ""),
        (("site", "--registry", "junk"), "junk"),
        (("site", "--channel", "../x"), "../x"),
        (("site", "--base-url", "ftp://x"), "base"),
        (("site", "--base-url", "https://x/?a=b"), "base"),
        (("site", "--base-url", "https://x:99999/"), "base"),
        (("site", "--allow-host", "http://x/"), "HOST:PORT"),
        (("site", "--timeout", "nan"), "nan"),
        (("site", "--streams", "0"), "streams"),
        (("--artifact", "oci://x/y:1", "site"), "alone"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site").mkdir()

    done = run(*arguments, "--port", "0")

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("library", ["uvicorn", "prometheus_client"])
def test_a_library_that_is_missing_is_named_with_how_to_have_it(rig: Rig, library: str) -> None:
    publish(rig, PACKAGE)
    hide = (
        "import importlib.util, sys\n"
        "plain = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {library!r} "
        "else plain(name, *rest)\n"
        f"sys.modules[{library!r}] = None\n"
        "from indexer.cli import main\n"
        f"sys.argv = ['cf-index', 'serve', {str(rig.site)!r}]\n"
        "sys.exit(main())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", hide], capture_output=True, text=True, check=False, timeout=SECONDS
    )

    assert done.returncode == 2
    assert library in done.stderr
    assert "pip install 'cf-index[gateway]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_other_command_needs_the_libraries() -> None:
    code = (
        "import sys\n"
        "for name in ('aiohttp', 'uvicorn', 'starlette', 'prometheus_client', 'httptools'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = ['cf-index', 'rebuild', '--help']\n"
        "from indexer.cli import main\n"
        "sys.exit(main())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=SECONDS
    )

    assert done.returncode == 0, done.stderr


def test_a_site_at_an_address_is_served_by_the_command(rig: Rig) -> None:
    publish(rig, PACKAGE)
    registry = f"oci+{rig.fake.http}/acme"
    with (
        FileHost(rig.site) as host,
        Process(
            rig.root, "--channel-url", host.http, "--registry", registry, "--refresh", "1"
        ) as gateway,
    ):
        assert requests.get(f"{gateway.http}/{PATH}", timeout=SECONDS).content == PACKAGE.data
        assert rig.fake.address in gateway.first
        gateway.popen.terminate()
        assert gateway.ended() == (0, "")


def test_a_site_at_an_address_may_not_name_a_registry_inside(rig: Rig) -> None:
    publish(rig, PACKAGE)
    with FileHost(rig.site) as host:
        done = run("--channel-url", host.http, "--port", "0")

    assert done.returncode == 2
    assert "--registry" in done.stderr
