"""Others who write the same tags, and runs that end while workers still work."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from demo.packages import build
from indexer.registry.content import OCI_MANIFEST
from indexer.registry.transport import Transport
from indexer.transfer.notify import Notifier
from indexer.transfer.outcome import Item
from indexer.transfer.pushing import Build, Pushed, Pusher
from tests.support.loopback import FileHost
from tests.support.rig import CHANNEL
from tests.transfer.help import Shop


@pytest.fixture
def service() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


def test_what_somebody_else_overwrote_meanwhile_is_pushed_again(remote: Shop) -> None:
    """As by a second process, which read the tag before we wrote it."""
    (conda,) = remote.lay(build("alpha"))
    (bz2,) = remote.lay(build("alpha", archive="tar.bz2"))
    repository, tag = remote.where(build("alpha"))
    remote.push(bz2)
    theirs = remote.rig.fake.manifest_of(repository, tag)
    job = remote.job()
    settle, overwritten = Pusher.settle, []

    def overwrite_first(*arguments: Any) -> None:
        body = json.dumps(theirs).encode()
        remote.rig.fake.add_manifest(repository, tag, body, OCI_MANIFEST)
        overwritten.append(remote.rig.fake.manifest_of(repository, tag))
        settle(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        # Between writing and making sure.
        patch.setattr(Pusher, "settle", overwrite_first)
        outcome = job.run([conda])

    assert (outcome.moved.count, outcome.failed) == (1, 0)
    assert len(overwritten) == 1
    titles = {
        layer["annotations"]["org.opencontainers.image.title"]
        for layer in remote.rig.fake.manifest_of(repository, tag)["layers"]
    }
    assert {conda.name, bz2.name} <= titles


def test_two_names_that_are_spelt_alike_do_not_take_each_others_place(remote: Shop) -> None:
    remote.lay(build("_foo"), build("zzz_foo"))
    outcome = remote.push()
    assert outcome.moved.count == 1
    (failure,) = outcome.failures
    assert "its tag is already that of" in failure.reason


def test_other_bytes_under_a_name_are_noted(remote: Shop) -> None:
    remote.lay(build("alpha"))
    remote.push()
    remote.lay(build("alpha", depends=["beta"]))
    outcome = remote.push()
    assert outcome.moved.count == 1
    assert any("other bytes" in note for note in outcome.notes)


def test_what_workers_have_done_is_told_though_nobody_took_it_from_them(
    remote: Shop, service: FileHost, transport: Transport
) -> None:
    """The first upload breaks the run off; what came after it was pushed already."""
    packages = [build(f"p{number}") for number in range(4)]
    remote.lay(*packages)
    done = threading.Event()
    job = remote.job(jobs=4)

    teller = Notifier(transport, f"{service.http}/hook", CHANNEL, job.outcome)
    tell = teller.add

    def add(items: Iterable[Item]) -> None:
        tell(items)
        if job.outcome.moved.count == len(packages) - 1:
            done.set()

    teller.add = add  # type: ignore[method-assign]
    push = Pusher.push

    def first_breaks(self: Pusher, build: Build, *, again: bool = False) -> Pushed:
        if build.place.repository == "p0":
            assert done.wait(30)
            raise KeyboardInterrupt
        return push(self, build, again=again)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pusher, "push", first_breaks)
        with pytest.raises(KeyboardInterrupt):
            job.run([remote.folder], teller)
    told = [one for request in service.requests for one in json.loads(request.body)["pushed"]]
    assert sorted(one["file_name"] for one in told) == sorted(p.file_name for p in packages[1:])
    assert job.outcome.moved.count == 3
