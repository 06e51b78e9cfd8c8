"""A channel, its site, and gateways that serve it on loopback."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.running import Running
from tests.support.loopback import FileHost
from tests.support.rig import Rig

_OF_THE_MACHINE = (
    "NETRC",
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)

Serve = Callable[..., Running]


@pytest.fixture(autouse=True)
def _own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no authority of whoever runs the tests reaches them."""
    for name in _OF_THE_MACHINE:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def elsewhere(stack: ExitStack) -> FileHost:
    """A file host beside the registry, as an object store is."""
    return stack.enter_context(FileHost())


@pytest.fixture
def serve(rig: Rig, stack: ExitStack) -> Serve:
    """Serves the rig's site; takes what `Running` takes, and the settings of `Options`."""

    def run(site: Path | None = None, **settings: Any) -> Running:
        scratch = Path(tempfile.mkdtemp(dir=rig.root, prefix="scratch-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        return stack.enter_context(Running.of_folder(site or rig.site, scratch, **settings))

    return run
