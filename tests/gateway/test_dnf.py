"""Real dnf installs real RPMs from an artifact in a real registry, through ``cf-index serve``."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.conftest import skip_unless
from tests.support.artifacts import (
    file_layer,
    folder_layer,
    folder_members,
    image,
    push_with_oras,
)
from tests.support.push import push_image
from tests.support.registry_process import RegistryProcess
from tests.support.rpms import Dnf, build_rpm, make_repository, missing_reason
from tests.support.waiting import wait_until

PLUGINS = Path(__file__).parents[2] / "contrib" / "dnf"
REPOSITORY = "acme/yum-repo"
_READY = re.compile(r"Serving .* on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="module")
def rpms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YUM repository in a folder: hello needs greeting, and nobody needs the third."""
    skip_unless(missing_reason())
    folder = tmp_path_factory.mktemp("rpms")
    build_rpm(folder, "hello", "1.0~rc1^git2", "greeting")
    build_rpm(folder, "greeting", "2")
    build_rpm(folder, "unneeded", "3+x")
    make_repository(folder)
    return folder


@pytest.fixture
def dnf(tmp_path: Path) -> Dnf:
    return Dnf(tmp_path / "dnf")


def push(registry: RegistryProcess, folder: Path, tag: str = "latest") -> None:
    """As ``oras push REGISTRY/REPOSITORY:TAG repodata/ *.rpm`` does."""
    layers = [folder_layer("repodata", folder_members(folder / "repodata", "repodata"))]
    layers += [file_layer(path.name, path.read_bytes()) for path in sorted(folder.glob("*.rpm"))]
    push_image(registry.http, REPOSITORY, image(layers, tag))


@contextmanager
def serving(registry: RegistryProcess, place: Path, *tags: str) -> Iterator[str]:
    """The gateway's address, with one artifact or several."""
    references = [f"oci+http://{registry.address}/{REPOSITORY}:{tag}" for tag in tags]
    words = [word for reference in references for word in ("--artifact", reference)]
    command = [sys.executable, "-m", "indexer", "serve", *words, "--port=0", "--refresh=1"]
    log = place / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(place), "TMPDIR": str(place)},
        )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := _READY.search(line):
                break
        assert found is not None, "".join(said)
        yield found.group(1)
    finally:
        process.terminate()
        # Its access log must not fill the pipe, nor keep it from ending.
        process.communicate(timeout=30)


def fetched(registry: RegistryProcess, folder: Path) -> set[str]:
    """The RPMs whose blobs the registry was asked for."""
    log = registry.log.read_text(errors="replace")
    asked = set(re.findall(r"GET[^\n]*/blobs/sha256:([0-9a-f]{64})", log))
    return {
        path.name
        for path in folder.glob("*.rpm")
        if hashlib.sha256(path.read_bytes()).hexdigest() in asked
    }


@pytest.fixture
def registry(tmp_path: Path, rpms: Path) -> Iterator[RegistryProcess]:
    """A registry of one's own, whose log says what was asked of it."""
    with RegistryProcess(tmp_path / "registry") as started:
        push(started, rpms)
        yield started


def test_only_what_is_installed_is_fetched(
    registry: RegistryProcess, rpms: Path, dnf: Dnf, tmp_path: Path
) -> None:
    with serving(registry, tmp_path, "latest") as address:
        dnf.write_repository("acme", f"{address}/")
        assert fetched(registry, rpms) == set()
        done = dnf.run("install", "-y", "greeting")
        assert done.returncode == 0, done.stdout + done.stderr
    assert dnf.said("greeting") == "greeting 2\n"
    assert fetched(registry, rpms) == {"greeting-2-1.noarch.rpm"}


def test_what_a_package_needs_comes_too_with_odd_names(
    registry: RegistryProcess, rpms: Path, dnf: Dnf, tmp_path: Path
) -> None:
    with serving(registry, tmp_path, "latest") as address:
        dnf.write_repository("acme", f"{address}/{registry.address}/{REPOSITORY}:latest/")
        done = dnf.run("install", "-y", "hello")
        assert done.returncode == 0, done.stdout + done.stderr
    assert dnf.said("hello") == "hello 1.0~rc1^git2\n"
    assert dnf.said("greeting") == "greeting 2\n"
    assert "unneeded-3+x-1.noarch.rpm" not in fetched(registry, rpms)


@pytest.mark.parametrize("words", [[], ["--assumeno"]], ids=["typed", "assumed"])
def test_answering_no_fetches_no_package(
    registry: RegistryProcess, rpms: Path, dnf: Dnf, tmp_path: Path, words: list[str]
) -> None:
    with serving(registry, tmp_path, "latest") as address:
        dnf.write_repository("acme", f"{address}/")
        done = dnf.run("install", *words, "hello", answer="n\n")
    assert "Is this ok" in done.stdout or words
    assert "Operation aborted" in done.stdout + done.stderr
    assert dnf.said("hello") is None
    assert fetched(registry, rpms) == set()


def test_the_plugin_leads_oci_to_the_gateway(
    registry: RegistryProcess, rpms: Path, dnf: Dnf, tmp_path: Path
) -> None:
    dnf.plugins = PLUGINS
    push(registry, rpms, "stable")
    with serving(registry, tmp_path, "latest", "stable") as address:
        dnf.place.mkdir()
        (dnf.place / "oci.conf").write_text(f"[main]\ngateway={address}\n")
        dnf.write_repository("acme", f"oci://{registry.address}/{REPOSITORY}")
        dnf.write_repository("stable", f"oci://{registry.address}/{REPOSITORY}:stable/")
        done = dnf.run("install", "-y", "--repo=stable", "greeting")
        assert done.returncode == 0, done.stdout + done.stderr
        done = dnf.run("install", "-y", "--repo=acme", "unneeded")
        assert done.returncode == 0, done.stdout + done.stderr
    assert dnf.said("greeting") is not None
    assert dnf.said("unneeded") is not None


def test_what_oras_py_pushed_installs(rpms: Path, dnf: Dnf, tmp_path: Path) -> None:
    with RegistryProcess(tmp_path / "registry") as registry:
        paths = [rpms / "repodata", *sorted(rpms.glob("*.rpm"))]
        push_with_oras(registry.address, REPOSITORY, "latest", paths)
        with serving(registry, tmp_path, "latest") as address:
            dnf.write_repository("acme", f"{address}/")
            done = dnf.run("install", "-y", "hello")
            assert done.returncode == 0, done.stdout + done.stderr
    assert dnf.said("hello") is not None


def test_a_whole_repository_in_one_folder_installs(rpms: Path, dnf: Dnf, tmp_path: Path) -> None:
    with RegistryProcess(tmp_path / "registry") as registry:
        layers = [folder_layer(".", folder_members(rpms, "."))]
        push_image(registry.http, REPOSITORY, image(layers))
        with serving(registry, tmp_path, "latest") as address:
            dnf.write_repository("acme", f"{address}/")
            done = dnf.run("install", "-y", "hello")
            assert done.returncode == 0, done.stdout + done.stderr
    assert dnf.said("hello") is not None


def test_a_new_release_under_the_same_tag_is_found(
    registry: RegistryProcess, rpms: Path, dnf: Dnf, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(rpms, newer)
    build_rpm(newer, "greeting", "3")
    make_repository(newer)
    with serving(registry, tmp_path, "latest") as address:
        dnf.write_repository("acme", f"{address}/")
        done = dnf.run("install", "-y", "greeting")
        assert done.returncode == 0, done.stdout + done.stderr
        assert dnf.said("greeting") == "greeting 2\n"

        def metadata() -> bytes:
            return requests.get(f"{address}/repodata/repomd.xml", timeout=30).content

        old = metadata()
        push(registry, newer)
        wait_until(lambda: metadata() != old)
        done = dnf.run("upgrade", "--refresh", "-y")
        assert done.returncode == 0, done.stdout + done.stderr
    assert dnf.said("greeting") == "greeting 3\n"
    assert fetched(registry, newer) == {"greeting-2-1.noarch.rpm", "greeting-3-1.noarch.rpm"}


def test_a_mistyped_address_costs_its_repository_alone(
    registry: RegistryProcess, dnf: Dnf, tmp_path: Path
) -> None:
    with serving(registry, tmp_path, "latest") as address:
        dnf.plugins = PLUGINS
        dnf.place.mkdir()
        (dnf.place / "oci.conf").write_text(f"[main]\nenabled = 1\ngateway = {address}/\n")
        dnf.write_repository("acme", f"oci://{registry.address}/{REPOSITORY}:latest")
        bad = "[bad]\nname=bad\nbaseurl=oci://user:s3cret@bad\n"
        (dnf.place / "repos" / "bad.repo").write_text(bad)
        done = dnf.run("install", "-y", "greeting")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Repository bad is left out" in said
    assert "s3cret" not in said
