"""Others who write the same tags meanwhile, and runs that end in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.channel.policy import Policy
from indexer.errors import CfIndexError
from indexer.registry import Registry
from indexer.registry.content import OCI_MANIFEST
from indexer.transfer.outcome import Outcome
from tests.support import faults
from tests.support.rig import Rig, records_in
from tests.transfer.help import Watcher
from tests.transfer.promotion import Ways, address_of, at_promoting
from tests.transfer.stage import exactly, reasons

ALPHA, ALPHA_BZ2 = build("alpha"), build("alpha", archive="tar.bz2")
OTHER = build("alpha", message="other bytes")
BETA = build("beta")
REF = "noarch/alpha:1.0-0"
REJECTED = {"org.conda-forge.status": "rejected"}


def theirs(*packages: Package, marks: dict[str, str] | None = None) -> bytes:
    """A manifest by somebody else, of bytes of their own."""
    image = package_manifest(packages, annotations=VALIDATED if marks is None else marks)
    return orjson.dumps(orjson.loads(image.manifest) | {"artifactType": "application/x"})


def store(ways: Ways, *packages: Package) -> None:
    """The blobs that somebody else needs."""
    for data in package_manifest(packages).blobs.values():
        ways.rig.fake.add_blob(ways.where(ALPHA)[0], data)


def after_look(ways: Ways, number: int, body: bytes) -> faults.Fault:
    """Somebody writes the tag when it has been looked at so often."""
    full, tag = ways.where(ALPHA)
    count = 0

    def action(_: faults.Request, ready: faults.Answer) -> faults.Answer:
        nonlocal count
        count += 1
        if count == number:
            ways.rig.fake.add_manifest(full, tag, body, OCI_MANIFEST)
        return ready

    return faults.Fault(faults.is_manifest(full, tag), None, action)


def after_write(ways: Ways, body: bytes) -> faults.Fault:
    """Somebody writes the tag once, right after it was written."""
    full, tag = ways.where(ALPHA)

    def action(_: faults.Request, ready: faults.Answer) -> faults.Answer:
        assert ready.effect is not None
        ready.effect()
        ways.rig.fake.add_manifest(full, tag, body, OCI_MANIFEST)
        return replace(ready, effect=None)

    return faults.Fault(faults.is_manifest_put(full, tag), 1, action)


def hooks(ways: Ways, body: bytes) -> dict[str, faults.Fault]:
    """Looks are: of all, before copying, before writing."""
    return {
        "before copying": after_look(ways, 1, body),
        "while copying": after_look(ways, 2, body),
        "before writing": after_look(ways, 3, body),
        "after writing": after_write(ways, body),
    }


POINTS = ("before copying", "while copying", "before writing", "after writing")


@pytest.mark.parametrize("point", POINTS)
def test_the_same_by_somebody_else_is_no_trouble(two: Ways, point: str) -> None:
    two.put(ALPHA, ALPHA_BZ2)
    store(two, ALPHA, ALPHA_BZ2)
    fault = hooks(two, theirs(ALPHA, ALPHA_BZ2))[point]
    two.rig.fake.knobs.faults = [fault]
    outcome = two.run()
    assert fault.fired
    assert outcome.failures == []
    assert outcome.moved.count + outcome.present == 2
    assert two.held() == exactly(ALPHA, ALPHA_BZ2)


@pytest.mark.parametrize("point", POINTS)
def test_a_format_alone_by_somebody_else_is_joined(two: Ways, point: str) -> None:
    two.put(ALPHA_BZ2, ALPHA)
    store(two, ALPHA)
    two.rig.fake.knobs.faults = [hooks(two, theirs(ALPHA))[point]]
    outcome = two.run()
    assert outcome.failures == []
    assert two.held() == exactly(ALPHA, ALPHA_BZ2)


@pytest.mark.parametrize("point", ["before copying", "while copying", "after writing"])
@pytest.mark.parametrize(("packages", "marks"), [((OTHER,), None), ((ALPHA,), REJECTED)])
def test_another_word_by_somebody_else_stands(
    two: Ways, point: str, packages: tuple[Package], marks: dict[str, str] | None
) -> None:
    two.put(ALPHA)
    store(two, *packages)
    body = theirs(*packages, marks=marks)
    fault = hooks(two, body)[point]
    two.rig.fake.knobs.faults = [fault]
    outcome = two.run()
    assert fault.fired
    assert two.manifest(ALPHA).body == body
    reason = reasons(outcome)[REF]
    assert ("somebody else has written it meanwhile" in reason) == (point == "after writing")
    assert ("rejected" if marks else OTHER.sha256) in reason
    assert outcome.moved.count == 0


def test_what_is_put_while_the_tag_is_written_is_told_of_in_the_log(two: Ways) -> None:
    two.put(ALPHA)
    store(two, OTHER)
    two.rig.fake.knobs.faults = [hooks(two, theirs(OTHER))["while copying"]]
    two.run()
    first, second = two.audited()
    assert "failed" not in first
    assert "somebody else" in second["failed"]


def test_a_tag_that_somebody_always_writes_is_given_up(two: Ways) -> None:
    full, tag = two.where(ALPHA)
    store(two, ALPHA)
    numbers = iter(range(1000))

    def action(_: faults.Request, ready: faults.Answer) -> faults.Answer:
        body = theirs(ALPHA, marks={"n": str(next(numbers))})
        two.rig.fake.add_manifest(full, tag, body, OCI_MANIFEST)
        return ready

    two.rig.fake.knobs.faults = [faults.Fault(faults.is_manifest(full, tag), None, action)]
    two.put(ALPHA, ALPHA_BZ2)
    assert "somebody else writes" in reasons(two.run())[REF]
    # Copied once, however often it was tried.
    assert two.rig.fake.count("uploads", "PUT") == 1
    assert two.rig.fake.count("manifests", "PUT") == 1
    assert sum("failed" in line for line in two.audited()) == 2 * 5


@pytest.mark.parametrize("marks", [VALIDATED, REJECTED])
def test_a_tag_that_moved_after_it_was_looked_at_is_not_promoted(
    ways: Ways, marks: dict[str, str]
) -> None:
    old = ways.put(ALPHA)
    moved: list[str] = []

    def move() -> None:
        moved.append(ways.put(OTHER, validated=False, annotations=marks))

    reason = reasons(ways.run(progress=at_promoting(move)))[REF]
    assert old in reason
    assert moved[0] in reason
    assert ways.held() == {}


@pytest.mark.parametrize("number", range(3))
def test_two_at_once_promote_everything_once(ways: Ways, number: int) -> None:
    packages = [build(f"many{number}x{one}") for one in range(4)]
    for package in packages:
        ways.put(package)
        ways.say(package)
    together = threading.Barrier(2, timeout=20)

    def run(_: int) -> Outcome:
        return ways.run(policy="attestation", progress=at_promoting(together.wait))

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, range(2)))
    assert [outcome.failures for outcome in outcomes] == [[], []]
    assert [outcome.moved.count + outcome.present for outcome in outcomes] == [4, 4]
    assert ways.held() == exactly(*packages)
    assert ways.let_in("attestation").keys() == {package.file_name for package in packages}


@pytest.mark.parametrize("number", range(3))
def test_two_at_once_who_let_different_things_in_lose_nothing(folders: Ways, number: int) -> None:
    pair = [build(f"both{number}", archive=archive) for archive in ("conda", "tar.bz2")]
    folders.put(*pair)
    folders.say(pair[0])
    together = threading.Barrier(2, timeout=20)

    def run(policy: Any) -> Outcome:
        return folders.run(policy=policy, progress=at_promoting(together.wait))

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, ["attestation", "none"]))
    assert [outcome.failures for outcome in outcomes] == [[], []]
    assert folders.held() == exactly(*pair)


class KilledError(KeyboardInterrupt):
    """The end of a process."""


class Countdown:
    """Ends a run at one of its calls to either registry: before it is made, or when it is done."""

    def __init__(self, last: int | None = None, *, is_done: bool = False) -> None:
        self.last = last
        self.is_done = is_done
        self.count = 0

    def wrap(self, registry: Registry) -> Registry:
        countdown = self

        class Mortal:
            def __getattr__(self, name: str) -> Any:
                found = getattr(registry, name)
                return countdown.counted(found) if callable(found) else found

        return cast("Registry", Mortal())

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **rest: Any) -> Any:
            self.count += 1
            is_last = self.count == self.last
            if is_last and not self.is_done:
                raise KilledError
            try:
                return call(*arguments, **rest)
            finally:
                if is_last:
                    raise KilledError

        return counting


def index_of(rig: Rig, ways: Ways, name: str) -> set[str]:
    """What an index of production has, made from nothing."""
    site = rig.root / f"site{name}"
    state = rig.root / f"state{name}"
    report = rig.rebuild(registry=ways.production, policy=Policy("none"), output=site, state=state)
    assert report.left_out == []
    return set(records_in(site, "noarch"))


def production(ways: Ways, name: str) -> Ways:
    """The same staging, and another production with something in it."""
    folder = ways.production.folder
    address = address_of(folder / name) if folder else replace(ways.production, namespace=name)
    made = replace(ways, production=address, log=ways.log.with_name(f"{name}.jsonl"), wraps=[])
    made.put(BETA, at=address)
    return made


@pytest.mark.parametrize(
    ("kind", "is_done"),
    [("one", False), ("two", True), ("folders", False), ("into", True), ("out", False)],
)
def test_killed_anywhere_and_run_again_it_finishes(
    request: pytest.FixtureRequest,
    kind: str,
    is_done: bool,  # noqa: FBT001
) -> None:
    """Whatever an index of production finds at any point, it finds whole."""
    ways: Ways = request.getfixturevalue(kind)
    ways.put(ALPHA, ALPHA_BZ2)
    tags = sorted([ways.say(ALPHA), ways.say(ALPHA_BZ2)])
    whole = production(ways, "whole")
    clean = Countdown()
    whole.wraps.append(clean.wrap)
    whole.run(REF, policy="attestation", jobs=1)
    nothing, everything = {BETA.file_name}, {ALPHA.file_name, ALPHA_BZ2.file_name, BETA.file_name}
    seen = []
    for number in range(1, clean.count + 1):
        broken = production(ways, f"n{number}")
        broken.wraps.append(Countdown(number, is_done=is_done).wrap)
        with pytest.raises(KilledError):
            broken.run(REF, policy="attestation", jobs=1)
        found = index_of(ways.rig, broken, f"{number}")
        assert found in (nothing, everything)
        seen.append(found == everything)
        broken.wraps.clear()
        outcome = broken.run(REF, policy="attestation")
        assert outcome.failures == []
        assert broken.held() == exactly(ALPHA, ALPHA_BZ2, BETA)
        assert broken.verdicts(ALPHA) == tags
        assert broken.manifest(ALPHA).body == whole.manifest(ALPHA).body
    # The tag comes late, and from then on it is there.
    assert seen == sorted(seen)
    assert clean.count > 20
    assert not any(seen[:-2])


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_registry_that_goes_away_anywhere_is_gone_on_with(one: Ways, is_stored: bool) -> None:  # noqa: FBT001
    """From some request on nobody answers; what was asked last may have been done."""
    one.put(ALPHA, ALPHA_BZ2)
    one.say(ALPHA)
    fake = one.rig.fake
    number = 0
    while True:
        number += 1
        broken = production(one, f"n{number}")
        fake.clear_requests()
        last = number
        gone = faults.closed(match=lambda _, last=last: len(fake.requests) > last)  # type: ignore[misc]
        lost = faults.closed(
            match=lambda _, last=last: len(fake.requests) == last,  # type: ignore[misc]
            stored=is_stored,
        )
        fake.knobs.faults = [lost, gone]
        try:
            outcome = broken.run(REF, policy="none")
        except CfIndexError:
            outcome = None
        fake.knobs.faults = []
        is_over = outcome is not None and not outcome.failed and not gone.fired
        found = index_of(one.rig, broken, f"{number}")
        assert found in ({BETA.file_name}, {p.file_name for p in (ALPHA, ALPHA_BZ2, BETA)})
        assert broken.run(REF, policy="none").failures == []
        assert broken.held() == exactly(ALPHA, ALPHA_BZ2, BETA)
        if is_over:
            break
    assert number > 25


def test_an_interruption_ends_what_is_under_way(one: Ways) -> None:
    ended: list[str] = []
    steps: list[int] = []
    for number in range(20):
        one.put(build(f"many{number}"))

    def stepped(part: str, count: int) -> None:
        if part == "Promoting":
            steps.append(count)
            if len(steps) > 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.run(progress=Watcher(stepped=stepped), abort=lambda: ended.append("abort"), jobs=2)
    assert ended == ["abort"]
    assert 0 < len(one.held()) < 20
    assert one.run().failures == []
    assert len(one.held()) == 20
