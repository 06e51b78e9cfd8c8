"""What ~/.netrc has for a server is for whoever wrote it, not for where a redirect leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.support.rig import Rig


def test_no_login_of_netrc_is_sent(
    rig: Rig, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = package_of(1000)
    publish(rig, package)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    gateway = serve(packages="stream")

    assert gateway.get(PATH).content == package.data
    assert rig.fake.requests
    assert not any("authorization" in request.headers for request in rig.fake.requests)
