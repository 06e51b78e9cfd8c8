"""A real browser, and sites made by the real job for it to look at.

All end with this folder's tests: while Playwright runs, nobody else in this thread can have an
event loop of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.channel import Channel, crowd, fill, fill_with_one
from tests.browser.programs import started, without_browser
from tests.browser.static_host import Host, hosted
from tests.browser.visitor import Eyes, Visitor
from tests.conftest import skip_unless


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    skip_unless(without_browser())
    with started(tmp_path_factory.mktemp("home")) as browser:
        yield browser


@pytest.fixture(scope="package")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel with all that pages must cope with, attack strings among it."""
    channel = Channel(tmp_path_factory.mktemp("channel"))
    fill(channel)
    return channel


@pytest.fixture(scope="package")
def site(channel: Channel) -> Path:
    """The published site of that channel."""
    return channel.site


@pytest.fixture(scope="package")
def host(site: Path) -> Iterator[Host]:
    with hosted(site) as host:
        yield host


@pytest.fixture(scope="package")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel where more waits, and more is left out, than any list shows."""
    channel = Channel(tmp_path_factory.mktemp("crowded"))
    crowd(channel)
    return channel


@pytest.fixture(scope="package")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel that nothing was pushed to yet, and whose site nobody has given an address."""
    channel = Channel(tmp_path_factory.mktemp("empty"), site_url="")
    channel.rebuild()
    return channel


@pytest.fixture(scope="package")
def single(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel of one build, an enemy's."""
    channel = Channel(tmp_path_factory.mktemp("single"))
    fill_with_one(channel)
    return channel


class Visits:
    """Lets visitors in, and asks all of them when they leave whether anything went wrong."""

    def __init__(self, browser: Browser, host: Host) -> None:
        self._browser = browser
        self._host = host
        self._visitors: list[Visitor] = []

    def __call__(self, eyes: Eyes | None = None, host: Host | None = None) -> Visitor:
        visitor = Visitor.enter(self._browser, host or self._host, eyes or Eyes())
        self._visitors.append(visitor)
        return visitor

    def end(self) -> None:
        for visitor in self._visitors:
            visitor.leave()


@pytest.fixture
def visit(browser: Browser, host: Host) -> Iterator[Visits]:
    visits = Visits(browser, host)
    yield visits
    visits.end()


@pytest.fixture
def visitor(visit: Visits) -> Visitor:
    """A visitor with ordinary eyes."""
    return visit()
