"""Whose credentials are used for which host: the right ones, or none."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest

from indexer.errors import ConfigError
from indexer.registry import RegistryAddress, open_registry
from indexer.registry.credentials import find_basic
from indexer.registry.layout import LayoutRegistry
from indexer.registry.remote import RemoteRegistry
from tests.registry.help import REPOSITORY, basic, remote, whole_text

if TYPE_CHECKING:
    from pathlib import Path

    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

HOST = "registry.example:5000"
ANN = basic("ann", "hunter2")
BOB = basic("bob", "hunter3")


def write_config(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def auths(**of: str) -> dict[str, object]:
    return {"auths": {host: {"auth": auth} for host, auth in of.items()}}


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to write what ``docker-credential-x`` runs; it is on PATH."""
    program = tmp_path / "bin" / "docker-credential-x"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def test_nobody_s_credentials_are_none() -> None:
    assert find_basic(HOST, {}) is None


def test_oras_user_and_pass_are_used() -> None:
    found = find_basic(HOST, {"ORAS_USER": "ann", "ORAS_PASS": "hünter:2"})
    assert found is not None
    assert base64.b64decode(found).decode() == "ann:hünter:2"


@pytest.mark.parametrize("name", ["ORAS_USER", "ORAS_PASS"])
def test_half_a_login_is_none(name: str) -> None:
    assert find_basic(HOST, {name: "ann"}) is None
    assert find_basic(HOST, {"ORAS_USER": "", "ORAS_PASS": ""}) is None


def test_the_environment_s_login_comes_before_docker_s(home: Path) -> None:
    write_config(home / ".docker", auths(**{HOST: BOB}))
    assert find_basic(HOST, {"ORAS_USER": "ann", "ORAS_PASS": "hunter2"}) == ANN
    assert find_basic(HOST, {}) == BOB


@pytest.mark.parametrize("host", ["ghcr.io", HOST, "localhost", "localhost:5000", "registry"])
def test_docker_s_config_is_read(tmp_path: Path, host: str) -> None:
    folder = write_config(tmp_path / "docker", auths(**{host: ANN, "other.example": BOB}))
    assert find_basic(host, {"DOCKER_CONFIG": str(folder)}) == ANN


@pytest.mark.parametrize("host", ["ghcr.io", HOST, "localhost", "registry", "[::1]:5000"])
@pytest.mark.parametrize(
    "other", ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "example", "ghcr.io:1"]
)
def test_another_host_s_credentials_are_never_used(tmp_path: Path, host: str, other: str) -> None:
    folder = write_config(tmp_path / "docker", auths(**{other: ANN}))
    assert find_basic(host, {"DOCKER_CONFIG": str(folder)}) is None


def test_docker_config_replaces_the_one_at_home(home: Path, tmp_path: Path) -> None:
    write_config(home / ".docker", auths(**{HOST: BOB, "ghcr.io": BOB}))
    # Several, because a set's order is no order.
    for number in range(8):
        folder = write_config(tmp_path / str(number), auths(**{HOST: ANN}))
        assert find_basic(HOST, {"DOCKER_CONFIG": str(folder)}) == ANN
    assert find_basic("ghcr.io", {"DOCKER_CONFIG": str(folder)}) is None


def test_a_wrapped_login_is_joined_as_docker_does(tmp_path: Path) -> None:
    # base64 wraps its lines at 76 characters, and tokens are long.
    login = base64.encodebytes(b"ann:" + b"x" * 93).decode()
    assert login.count("\n") == 2
    folder = write_config(tmp_path / "docker", auths(**{HOST: login}))
    assert find_basic(HOST, {"DOCKER_CONFIG": str(folder)}) == login.replace("\n", "")


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_a_credential_helper_is_asked_for_this_host(helper: Path, tmp_path: Path, key: str) -> None:
    answer = json.dumps({"ServerURL": HOST, "Username": "ann", "Secret": "hunter2"})
    helper.write_text(f"#!/bin/sh\necho \"$@ $(cat)\" > {tmp_path}/asked\necho '{answer}'\n")
    named: object = {HOST: "x"} if key == "credHelpers" else "x"
    folder = write_config(tmp_path / "docker", {"auths": {HOST: {}}, key: named})
    assert find_basic(HOST, {"DOCKER_CONFIG": str(folder)}) == ANN
    assert (tmp_path / "asked").read_text() == f"get {HOST}\n"


def test_a_credential_helper_is_not_asked_for_another_host(helper: Path, tmp_path: Path) -> None:
    helper.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    folder = write_config(tmp_path / "docker", {"credHelpers": {"other.example": "x"}})
    assert find_basic(HOST, {"DOCKER_CONFIG": str(folder)}) is None
    assert not (tmp_path / "asked").exists()


def test_a_helper_that_knows_nothing_leaves_us_anonymous_and_says_nothing(
    helper: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    helper.write_text("#!/bin/sh\necho hunter2; echo hunter2 >&2; exit 1\n")
    folder = write_config(tmp_path / "docker", {"credsStore": "x"})
    assert find_basic(HOST, {"DOCKER_CONFIG": str(folder)}) is None
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")


@pytest.mark.parametrize("said", ["hunter2", '{"Secret": "hunter2"}', '["hunter2"]', ""])
def test_a_helper_that_talks_nonsense_is_an_error_without_its_words(
    helper: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], said: str
) -> None:
    helper.write_text(f"#!/bin/sh\necho '{said}'\n")
    folder = write_config(tmp_path / "docker", {"credsStore": "x"})
    with pytest.raises(ConfigError, match=HOST) as caught:
        find_basic(HOST, {"DOCKER_CONFIG": str(folder)})
    assert "hunter2" not in whole_text(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        '{"auths": "hunter2"}',
        json.dumps({"auths": {HOST: "hunter2"}}),
        json.dumps({"auths": {HOST: {"auth": ["hunter2"]}}}),
        json.dumps({"auths": {HOST: {"auth": "hünter2"}}}),
        '{"credHelpers": "hunter2"}',
    ],
)
def test_a_broken_docker_config_is_an_error_that_says_what_to_do(
    tmp_path: Path, content: str
) -> None:
    folder = write_config(tmp_path / "docker", content)
    with pytest.raises(ConfigError, match="ORAS_USER and ORAS_PASS") as caught:
        find_basic(HOST, {"DOCKER_CONFIG": str(folder)})
    assert "nter2" not in str(caught.value)


def test_netrc_is_not_used(
    home: Path, fake: FakeRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login ann password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fake.knobs.auth = "token"
    fake.add_repository(REPOSITORY)
    assert remote(fake, transport).tags(REPOSITORY) == []
    sent = [request.headers.get("authorization") for request in fake.requests]
    assert sent == [None, None, "Bearer token-1"]


def test_a_registry_is_opened_with_its_own_credentials_and_asked_nothing(
    home: Path, fake: FakeRegistry, transport: Transport, tmp_path: Path
) -> None:
    fake.knobs.auth, fake.knobs.users = "basic", {"ann": "hunter2"}
    fake.add_repository(REPOSITORY)
    write_config(home / ".docker", auths(**{fake.address: ANN}))
    address = RegistryAddress.parse(f"oci+http://{fake.address}/acme")
    registry = open_registry(address, transport)
    assert isinstance(registry, RemoteRegistry)
    assert fake.requests == []
    assert registry.tags(REPOSITORY) == []
    folder = RegistryAddress.parse(f"ocidir://{tmp_path}/absent")
    assert isinstance(open_registry(folder, transport), LayoutRegistry)
