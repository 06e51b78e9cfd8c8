"""nginx and Caddy in front of the gateway, by the files that are handed out, with TLS."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from demo.packages import build
from tests.conftest import skip_unless
from tests.support import faults
from tests.support.fake_registry import FakeRegistry
from tests.support.gateway_process import GatewayProcess
from tests.support.proxies import CADDYFILE, COMMANDS, Proxy, free_port, proxy
from tests.support.registry_process import Tls, make_ca
from tests.support.rig import Rig
from tests.support.waiting import wait_until

SMALL = build("hello", "1.0")
# More than the buffers of all sockets and programs on its way together.
LARGE = replace(build("large", "1.0"), data=bytes(range(256)) * 4096 * 64)
ELSEWHERE = build("elsewhere", "1.0")
SIGNED = "http://127.0.0.1:9/blob?X-Amz-Signature=a%2Fb&b=%7E"
# Every spelling by which a path of the gateway's own might get past a rule for /-/.
OWN = (
    "/-/metrics",
    "//-/metrics",
    "/-//metrics",
    "/./-/metrics",
    "/noarch/../-/metrics",
    "/%2d/metrics",
    "/-%2fmetrics",
    "/%2D%2Fmetrics",
    "/-/%6detrics",
    "/-/ready",
    "/-/healthy",
    "/-/metrics?a=b",
)


def program_reason(name: str) -> str | None:
    """Why a program can't be run here; None where it can."""
    if shutil.which(name) is not None:
        return None
    package = "nginx-light" if name == "nginx" else name
    return f"the program {name!r} is not installed (Debian: apt-get install {package})"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    skip_unless(program_reason("openssl"))
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Passes one package through, and sends elsewhere for another."""
    root = tmp_path_factory.mktemp("gateway")
    with FakeRegistry() as fake:
        rig = Rig(fake, root)
        rig.push(SMALL)
        rig.push(ELSEWHERE)
        rig.push(LARGE)
        rig.rebuild()
        sent = faults.Answer(307, {"Location": SIGNED})
        fake.knobs.faults.append(
            faults.Fault(faults.is_blob("acme/forge/noarch/elsewhere"), None, lambda *_: sent)
        )
        arguments = (str(rig.site), "--trusted-proxy", "127.0.0.1", "--allow-host", "127.0.0.1:9")
        with GatewayProcess(root, *arguments) as process:
            yield process


@dataclass(frozen=True)
class Front:
    """A proxy, and who may ask it."""

    proxy: Proxy
    gateway: GatewayProcess
    session: requests.Session
    tls: Tls

    def get(self, path: str, **headers: str) -> requests.Response:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        url = f"{self.proxy.http}{path}"
        return self.session.get(url, headers=named, timeout=30, allow_redirects=False)

    def raw(self, *arguments: str) -> str:
        """What curl prints, which sends a path as it is."""
        command = ["curl", "--silent", "--show-error", "--path-as-is", "--max-time", "30"]
        done = subprocess.run(
            [*command, "--cacert", str(self.tls.ca_pem), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def status(self, path: str) -> str:
        return self.raw("--output", "/dev/null", "--write-out", "%{http_code}", path)


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def front(
    request: pytest.FixtureRequest,
    gateway: GatewayProcess,
    tls: Tls,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Front]:
    skip_unless(program_reason(request.param))
    folder = tmp_path_factory.mktemp("proxy") / request.param
    with proxy(request.param, folder, gateway.http, tls) as up, requests.Session() as session:
        session.trust_env = False
        session.verify = str(tls.ca_pem)
        yield Front(up, gateway, session, tls)


def test_index_and_packages_come_whole_through_tls(front: Front) -> None:
    repodata = front.get("/noarch/repodata.json")
    assert repodata.headers["Content-Type"] == "application/json"
    record = repodata.json()["packages.conda"][SMALL.file_name]
    package = front.get(f"/noarch/{SMALL.file_name}")
    assert package.content == SMALL.data
    assert hashlib.sha256(package.content).hexdigest() == record["sha256"]
    assert package.headers["Cache-Control"] == "max-age=31536000, immutable"
    assert package.headers["Strict-Transport-Security"]


def test_http_2_is_spoken(front: Front) -> None:
    url = f"{front.proxy.http}/noarch/{SMALL.file_name}"
    said = front.raw("--http2", "--output", "/dev/null", "--write-out", "%{http_version}", url)
    assert said == "2"


@pytest.mark.parametrize("path", ["/noarch/repodata.json", f"/noarch/{SMALL.file_name}"])
def test_ranges_reach_the_gateway(front: Front, path: str) -> None:
    whole = front.get(path)
    part = front.get(path, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    assert front.get(path, Range="bytes=-7").content == whole.content[-7:]
    assert front.get(path, Range=f"bytes={len(whole.content)}-").status_code == 416
    other = front.get(path, Range="bytes=10-19", If_Range='"another"')
    assert (other.status_code, other.content) == (200, whole.content)


@pytest.mark.parametrize("path", ["/noarch/repodata.json", f"/noarch/{SMALL.file_name}"])
def test_what_a_client_has_isnt_sent_again(front: Front, path: str) -> None:
    # A client that takes gzip must get the same strong ETag: a weak one is good for no range.
    etag = front.get(path, Accept_Encoding="gzip").headers["ETag"]
    assert etag.startswith('"')
    again = front.get(path, If_None_Match=etag, Accept_Encoding="gzip")
    assert (again.status_code, again.content) == (304, b"")


def test_a_signed_address_is_handed_on_untouched(front: Front) -> None:
    answer = front.get(f"/noarch/{ELSEWHERE.file_name}")
    assert (answer.status_code, answer.headers["Location"]) == (307, SIGNED)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", OWN)
def test_metrics_and_health_are_closed_to_the_outside(front: Front, path: str) -> None:
    assert front.status(f"{front.proxy.http}{path}") in {"403", "404"}


def test_what_is_closed_outside_is_open_inside(gateway: GatewayProcess) -> None:
    for path in ("/-/metrics", "/-/ready", "/-/healthy"):
        assert requests.get(f"{gateway.http}{path}", timeout=30).status_code == 200


def test_the_log_has_the_clients_address_and_not_what_he_says(front: Front) -> None:
    path = f"/noarch/from-{front.proxy.name}.conda"
    # Another address of loopback, so that it can't be mistaken for the proxy's own.
    front.raw(
        "--interface", "127.0.0.2", "--header", "X-Forwarded-For: 203.0.113.9",
        "--output", "/dev/null", f"{front.proxy.http}{path}",
    )  # fmt: skip

    def line() -> dict[str, object] | None:
        text = front.gateway.access_log.read_text(encoding="utf-8")
        # The last line may be half of one yet.
        lines = (json.loads(item) for item in text.split("\n")[:-1])
        return next((item for item in lines if item["path"] == path), None)

    wait_until(lambda: line() is not None)
    assert (line() or {})["client"] == "127.0.0.2"


def test_nothing_can_be_sent_to_the_gateway(front: Front) -> None:
    answer = front.session.post(
        f"{front.proxy.http}/noarch/{SMALL.file_name}", data=b"x" * 100, timeout=30
    )
    assert answer.status_code == 405


def test_a_slow_client_is_waited_for_and_nothing_is_put_aside(front: Front) -> None:
    aside = front.proxy.log.parent / "proxied"

    def is_put_aside() -> bool:
        return aside.is_dir() and any(aside.iterdir())

    url = f"{front.proxy.http}/noarch/{LARGE.file_name}"
    with front.session.get(url, stream=True, timeout=30) as answer:
        found = hashlib.sha256(answer.raw.read(1))
        # Long enough for a proxy that reads ahead of its client to do so.
        with contextlib.suppress(AssertionError):
            wait_until(is_put_aside, 1.0)
        assert not is_put_aside()
        while data := answer.raw.read(1024 * 1024):
            found.update(data)
    assert found.hexdigest() == hashlib.sha256(LARGE.data).hexdigest()


def test_one_address_cant_ask_without_end(
    gateway: GatewayProcess, tls: Tls, tmp_path: Path
) -> None:
    skip_unless(program_reason("nginx"))
    with proxy("nginx", tmp_path / "nginx", gateway.http, tls) as up:
        command = [
            "curl",
            "--silent",
            "--cacert",
            str(tls.ca_pem),
            "--parallel",
            "--max-time",
            "60",
        ]
        options = [
            "--parallel-max",
            "100",
            "--write-out",
            "%{http_code}\n",
            "--output",
            "/dev/null",
        ]
        urls = f"{up.http}/noarch/nothing-[1-6000]"
        done = subprocess.run(
            [*command, *options, urls], capture_output=True, text=True, check=True
        )
    said = Counter(done.stdout.split())
    # 2,000 at once, and 200 a second.
    assert set(said) == {"404", "429"}
    assert said["404"] >= 2000


def test_the_caddyfile_is_as_caddy_formats_it(tmp_path: Path) -> None:
    skip_unless(program_reason("caddy"))
    copy = tmp_path / "Caddyfile"
    shutil.copyfile(CADDYFILE, copy)
    subprocess.run(["caddy", "fmt", "--overwrite", str(copy)], check=True, capture_output=True)
    assert copy.read_text(encoding="utf-8") == CADDYFILE.read_text(encoding="utf-8")


def test_nginx_has_nothing_to_say_against_its_file(tmp_path: Path, tls: Tls) -> None:
    skip_unless(program_reason("nginx"))
    command = COMMANDS["nginx"](tmp_path, "http://127.0.0.1:8000", tls, free_port())
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Since 1.25.1 there is another way to say this, which those before don't know.
    said = [line for line in done.stderr.splitlines() if '"listen ... http2"' not in line]
    assert "[warn]" not in "\n".join(said)
