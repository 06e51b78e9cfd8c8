"""What goes wrong with one archive costs that one; whatever breaks off is gone on with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo.packages import Package, build
from indexer.errors import DeniedError, LoginError, RegistryError, UnansweredError
from indexer.registry.layout import LayoutRegistry
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import RETRY_FOR, Transport
from tests.registry.help import VirtualTime, basic
from tests.support import faults
from tests.transfer.help import Shop, Watcher, failures, moved

ALPHA = build("alpha")
ALPHA_BZ2 = build("alpha", archive="tar.bz2")
BETA = build("beta")
MANY = tuple(build(f"many{number}") for number in range(20))


def once_pushing(action: Callable[[], object]) -> Watcher:
    """Does something when all was compared, and nothing pushed yet."""

    def begun(part: str) -> None:
        if part == "Pushing":
            action()

    return Watcher(begun=begun)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-40], lambda _: b"", lambda data: data.replace(b"\x28\xb5", b"\0\0")],
)
def test_a_damaged_archive_does_not_stop_the_others(
    shop: Shop, damage: Callable[[bytes], bytes]
) -> None:
    paths = shop.lay(ALPHA, BETA)
    paths[0].write_bytes(damage(ALPHA.data))
    outcome = shop.push()
    assert failures(outcome).keys() == {ALPHA.file_name}
    assert list(shop.rebuilt()) == [BETA.file_name]


@pytest.mark.parametrize("bad", [ALPHA, ALPHA_BZ2])
def test_an_unsound_format_does_not_keep_the_other_back(shop: Shop, bad: Package) -> None:
    # Index.json is fine, so that it is only found out when both are pushed together.
    fat = build("alpha", archive="conda" if bad is ALPHA else "tar.bz2", message="x")
    good = ALPHA_BZ2 if bad is ALPHA else ALPHA
    paths = shop.lay(fat, good)

    def spoil() -> None:
        paths[0].write_bytes(paths[0].read_bytes()[:-40])

    outcome = shop.push(progress=once_pushing(spoil))
    assert failures(outcome).keys() == {fat.file_name}
    assert list(shop.rebuilt()) == [good.file_name]


def test_a_file_that_changes_meanwhile_is_not_pushed_as_what_it_was(shop: Shop) -> None:
    paths = shop.lay(ALPHA, BETA)
    other = build("alpha", message="another one, of another length")
    outcome = shop.push(progress=once_pushing(lambda: paths[0].write_bytes(other.data)))
    assert failures(outcome).keys() == {ALPHA.file_name}
    assert list(shop.rebuilt()) == [BETA.file_name]
    assert shop.push().moved.count == 1
    assert shop.rebuilt()[ALPHA.file_name]["sha256"] == other.sha256


def test_a_file_that_becomes_one_of_another_subdir_is_not_pushed_to_the_first(shop: Shop) -> None:
    (path,) = shop.lay(ALPHA)
    other = build("alpha", subdir="linux-64")
    outcome = shop.push(progress=once_pushing(lambda: path.write_bytes(other.data)))
    assert "makes it linux-64/alpha-1.0-0" in failures(outcome)[ALPHA.file_name]


def test_a_file_that_goes_away_meanwhile_costs_itself(shop: Shop) -> None:
    paths = shop.lay(ALPHA, BETA)
    outcome = shop.push(progress=once_pushing(paths[0].unlink))
    assert "No such file" in failures(outcome)[ALPHA.file_name]
    assert moved(outcome) == ["noarch/beta-1.0-0.conda"]


def test_an_image_index_under_the_tag_is_not_written_over(remote: Shop) -> None:
    repository, tag = remote.where(ALPHA)
    media_type = "application/vnd.oci.image.index.v1+json"
    remote.rig.fake.add_manifest(repository, tag, b'{"manifests":[]}', media_type)
    remote.lay(ALPHA, BETA)
    outcome = remote.push()
    assert "image index" in failures(outcome)[ALPHA.file_name]
    assert remote.manifest(ALPHA) == {"manifests": []}
    assert moved(outcome) == ["noarch/beta-1.0-0.conda"]


def test_whoever_writes_the_tag_between_look_and_write_loses_nothing(shop: Shop) -> None:
    (first, second) = shop.lay(ALPHA, ALPHA_BZ2)
    inner: list[str] = []
    watcher = once_pushing(lambda: inner.extend(moved(shop.push(second))))
    outcome = shop.push(first, progress=watcher)
    assert (moved(outcome), inner) == (["noarch/alpha-1.0-0.conda"], ["noarch/alpha-1.0-0.tar.bz2"])
    assert shop.rebuilt().keys() == {ALPHA.file_name, ALPHA_BZ2.file_name}


@pytest.mark.parametrize("number", range(5))
def test_runs_at_the_same_time_on_one_tag_lose_nothing(local: Shop, number: int) -> None:
    pair = [build(f"both{number}", archive=archive) for archive in ("conda", "tar.bz2")]
    together = threading.Barrier(2, timeout=20)

    def run(path: Path) -> int:
        registry = LayoutRegistry(local.registry.address)
        one = Shop(local.rig, registry, local.folder)
        return one.push(path, progress=once_pushing(together.wait)).moved.count

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, local.lay(*pair))) == [1, 1]
    assert local.rebuilt().keys() == {package.file_name for package in pair}


def test_a_tag_that_somebody_always_writes_is_given_up(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.transfer.pushing._TURNS", 3)
    repository, tag = local.where(ALPHA)
    rival, puts = LayoutRegistry(local.registry.address), []
    put = LayoutRegistry.put_manifest

    def late(self: LayoutRegistry, *args: object, **rest: object) -> object:
        if self is not rival:
            puts.append(args)
            body = b'{"layers":[],"annotations":{"n":"%d"}}' % len(puts)
            put(rival, repository, tag, body, "application/vnd.oci.image.manifest.v1+json")
        return put(self, *args, **rest)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(LayoutRegistry, "put_manifest", late)
    local.lay(ALPHA)
    outcome = local.push()
    assert "somebody else" in failures(outcome)[ALPHA.file_name]
    assert len(puts) == 3


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_registry_that_is_down_ends_the_push_after_a_bounded_time(
    remote: Shop, time: VirtualTime, status: int
) -> None:
    fake = remote.rig.fake
    fake.knobs.faults = [faults.status(status)]
    remote.lay(*MANY)
    job = remote.job()
    with pytest.raises(UnansweredError, match="in a row got no answer"):
        job.run([remote.folder])
    assert job.outcome.moved.count == 0
    assert job.outcome.failed >= 16
    assert time.passed < len(MANY) * RETRY_FOR
    assert len(fake.requests) < len(MANY) * 15


def test_a_registry_that_goes_away_half_way_is_gone_on_with(remote: Shop) -> None:
    fake = remote.rig.fake
    remote.lay(*MANY, *[build(f"more{number}") for number in range(10)])
    count = 30
    fake.knobs.faults = [
        faults.Fault(
            lambda request: request.kind == "manifests" and request.method == "PUT",
            5,
            lambda _, ready: ready,
        ),
        faults.status(502, match=lambda request: request.method != "GET"),
    ]
    fake.knobs.faults[1].match = lambda request: (
        request.method != "GET" and fake.knobs.faults[0].fired >= 5
    )
    job = remote.job(jobs=2)
    with pytest.raises(RegistryError, match="in a row"):
        job.run([remote.folder])
    assert job.outcome.moved.count == 5
    fake.knobs.faults = []
    outcome = remote.push()
    assert (outcome.present, outcome.moved.count) == (5, count - 5)
    assert len(remote.rebuilt()) == count


def test_one_that_the_registry_fails_on_costs_itself(remote: Shop) -> None:
    fake = remote.rig.fake
    remote.lay(ALPHA, *MANY)
    repository, _ = remote.where(ALPHA)
    fake.knobs.faults = [faults.status(500, match=faults.is_upload(repository))]
    outcome = remote.push()
    assert "answered 500" in failures(outcome)[ALPHA.file_name]
    assert (outcome.failed, outcome.moved.count) == (1, 20)
    assert fake.tags_of(repository) == []


def test_failures_with_successes_between_them_do_not_end_the_push(remote: Shop) -> None:
    lame = tuple(build(f"many{number}x") for number in range(20))
    remote.lay(*MANY, *lame)
    repositories = {remote.where(package)[0] for package in lame}
    remote.rig.fake.knobs.faults = [
        faults.status(
            500, match=lambda one: one.method == "POST" and one.repository in repositories
        )
    ]
    outcome = remote.push()
    assert (outcome.failed, outcome.moved.count) == (20, 20)


@pytest.mark.parametrize(
    "match",
    [faults.is_upload(), faults.is_upload_start(), faults.is_manifest_put(), faults.is_blob()],
)
@pytest.mark.parametrize("make", [faults.closed, faults.cut_body])
def test_a_hiccup_is_passed_over(
    remote: Shop, match: faults.Match, make: Callable[..., faults.Fault]
) -> None:
    hiccup = make(match=match, times=2)
    remote.rig.fake.knobs.faults = [hiccup]
    remote.lay(ALPHA, BETA)
    outcome = remote.push()
    assert (hiccup.fired, outcome.moved.count, outcome.failed) == (2, 2, 0)
    assert len(remote.rebuilt()) == 2


def test_without_credentials_the_first_answer_ends_it_all(remote: Shop) -> None:
    fake = remote.rig.fake
    fake.knobs.auth, fake.knobs.users = "basic", {"me": "word"}
    remote.lay(*MANY)
    job = remote.job(jobs=1)
    with pytest.raises(LoginError, match="docker login"):
        job.run([remote.folder])
    assert len(fake.requests) <= 5
    assert job.outcome.moved.count == 0


def test_a_token_that_nobody_gives_ends_it_all(remote: Shop) -> None:
    fake = remote.rig.fake
    fake.knobs.auth, fake.knobs.anonymous = "token", False
    remote.lay(*MANY)
    with pytest.raises(LoginError, match="docker login"):
        remote.push(jobs=1)
    assert len(fake.requests) <= 10


def test_whoever_may_only_read_is_told_of_each(remote: Shop, transport: Transport) -> None:
    fake = remote.rig.fake
    fake.knobs.auth, fake.knobs.users, fake.knobs.readers = "basic", {"me": "word"}, {"me"}
    registry = RemoteRegistry(
        remote.registry.address, transport, basic=basic("me", "word"), writing=True
    )
    shop = Shop(remote.rig, registry, remote.folder)
    shop.lay(ALPHA, BETA)
    outcome = shop.push()
    assert failures(outcome).keys() == {ALPHA.file_name, BETA.file_name}
    assert all("check the credentials" in reason for reason in failures(outcome).values())
    assert issubclass(LoginError, DeniedError)


def interrupting(after: int) -> Watcher:
    """Somebody who presses Ctrl-C when so many archives have begun to go."""
    begun: list[int] = []

    def step(part: str, _: int) -> None:
        if part == "Pushing":
            begun.append(1)
            if len(begun) > after:
                raise KeyboardInterrupt

    return Watcher(stepped=step)


def test_what_was_interrupted_is_gone_on_with(shop: Shop) -> None:
    shop.lay(*MANY)
    job = shop.job(jobs=1, progress=interrupting(7))
    with pytest.raises(KeyboardInterrupt):
        job.run([shop.folder])
    assert job.outcome.moved.count == 7
    outcome = shop.push()
    assert (outcome.present, outcome.moved.count, outcome.failed) == (7, 13, 0)
    assert len(shop.rebuilt()) == 20


def test_an_interruption_ends_what_is_under_way(remote: Shop, transport: Transport) -> None:
    remote.lay(*MANY)
    ended: list[str] = []

    def abort() -> None:
        ended.append("abort")
        transport.close()

    with pytest.raises(KeyboardInterrupt):
        remote.push(progress=interrupting(3), abort=abort)
    assert ended == ["abort"]
    assert len(remote.rig.fake.tags_of(remote.where(MANY[-1])[0])) == 0
