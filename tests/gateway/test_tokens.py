"""Clients whose packages need a token, while the token service does as it likes."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.gateway.channels import PATH, package_of, publish
from tests.gateway.conftest import Serve
from tests.support.faults import hang, is_token
from tests.support.rig import Rig
from tests.support.waiting import wait_until

PACKAGE = package_of(1000)
# More than there are threads to ask for tokens.
OTHERS = [package_of(100, f"other{number}", number) for number in range(12)]


def test_a_token_that_is_there_is_used_while_others_are_waited_for(
    rig: Rig, serve: Serve, stack: ExitStack
) -> None:
    publish(rig, PACKAGE, *OTHERS)
    rig.fake.knobs.auth = "token"
    gateway = serve(packages="stream", timeout=20)
    assert gateway.get(PATH).content == PACKAGE.data
    rig.fake.knobs.faults.append(hang(match=is_token()))
    rig.fake.clear_requests()
    for other in OTHERS:
        stack.enter_context(gateway.ask(f"noarch/{other.file_name}"))
    wait_until(lambda: rig.fake.count("token") > 0, 10)
    wait_until(lambda: gateway.number("requests_under_way") == len(OTHERS), 10)

    for _ in range(3):
        begun = time.monotonic()
        assert gateway.get(PATH).content == PACKAGE.data
        assert time.monotonic() - begun < 5
