"""Several artifacts in one gateway: none of them is worse off for what another one says or does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from indexer.errors import ContentError, RegistryError, UnansweredError
from indexer.gateway.found import UnavailableError
from tests.gateway.artifact.help import Shelf, shelf
from tests.support.artifacts import CONTENT_DIGEST, Layer, file_layer, folder_layer
from tests.support.faults import Match, Pause, drip, is_blob, is_manifest, status
from tests.support.pauses import paused

FOLDER = folder_layer("d", {"d/x": b"good"})


def changed(**said: object) -> Layer:
    """The same bytes, of which a manifest says something else."""
    descriptor, data = FOLDER
    return descriptor | said, data


def annotated(**said: str) -> Layer:
    """The same bytes with other annotations."""
    named = {"content": CONTENT_DIGEST, "title": "org.opencontainers.image.title"}
    annotations = FOLDER[0]["annotations"] | {named[key]: value for key, value in said.items()}
    return changed(annotations=annotations)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Shelf]:
    """Two artifacts, evil and good."""
    with shelf(tmp_path / "s", ["oci+http://HOST/evil", "oci+http://HOST/good"]) as made:
        yield made


def at(made: Shelf, name: str, path: str) -> bytes | None:
    """The bytes of a file of one of the two."""
    return made.bytes_at(f"{made.fake.address}/{name}:latest/{path}")


@contextmanager
def held(made: Shelf, match: Match) -> Iterator[Pause]:
    """What matches doesn't come."""
    pause = Pause(at=None)
    made.fake.knobs.faults.append(paused(pause, match=match))
    try:
        yield pause
    finally:
        pause.go.set()


@pytest.mark.parametrize(
    ("evil", "path"),
    [
        (annotated(title="zzz"), "zzz/x"),
        (annotated(content="sha256:" + "0" * 64), "d/x"),
        (changed(size=3), "d/x"),
        (changed(size=2**50), "d/x"),
    ],
)
def test_what_one_says_of_a_layer_is_no_matter_to_another(
    two: Shelf, evil: Layer, path: str
) -> None:
    two.push(evil, repository="evil")
    two.push(FOLDER, repository="good")
    two.source.refresh()
    with suppress(ContentError):
        assert at(two, "evil", path) is None
    assert at(two, "good", "d/x") == b"good"


def test_layers_that_do_not_come_hold_nobody_else_up(
    two: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "b", "c", "d"]
    two.push(*[folder_layer(name, {f"{name}/x": name.encode()}) for name in names],
             repository="evil")  # fmt: skip
    two.push(FOLDER, repository="good")
    two.source.refresh()
    with held(two, is_blob("evil")):
        monkeypatch.setattr("indexer.gateway.artifact.layers._PATIENCE", 0.01)
        for name in names:
            with pytest.raises(UnavailableError, match="still being fetched"):
                at(two, "evil", f"{name}/x")
        monkeypatch.undo()
        assert at(two, "good", "d/x") == b"good"


def test_a_layer_that_drips_is_given_up(one: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.gateway.artifact.unpacking._AT_FIRST", 0.0)
    monkeypatch.setattr("indexer.gateway.artifact.unpacking._SLOWEST", 1000)
    one.serve(folder_layer("d", {"d/x": b"1"}))
    one.fake.knobs.faults.append(drip(match=is_blob(), interval=0.01))
    with pytest.raises(UnavailableError, match="comes too slowly"):
        one.source.find("d/x")
    assert one.layers.room.used == 0


def test_room_is_taken_by_what_came_and_not_by_what_was_said(
    two: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.push(changed(size=9_999_999), repository="evil")
    two.push(FOLDER, repository="good")
    two.source.refresh()
    with held(two, is_blob("evil")) as pause:
        monkeypatch.setattr("indexer.gateway.artifact.layers._PATIENCE", 0.01)
        with pytest.raises(UnavailableError, match="still being fetched"):
            at(two, "evil", "d/x")
        assert pause.reached.wait(30)
        monkeypatch.undo()
        assert at(two, "good", "d/x") == b"good"


def test_a_folder_that_does_not_come_holds_up_its_own_artifact_alone(
    two: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("evil", "good"):
        two.push(file_layer("x", b"1"), repository=name)
    two.source.refresh()
    two.push(FOLDER, file_layer("x", b"2"), repository="evil")
    two.push(file_layer("x", b"2"), repository="good")
    with held(two, is_blob("evil")) as pause:
        monkeypatch.setattr("indexer.gateway.artifact.source._PATIENCE", 0.2)
        assert two.source.refresh()
        assert (at(two, "evil", "x"), at(two, "good", "x")) == (b"1", b"2")
        assert not two.source.refresh()
        pause.go.set()
        monkeypatch.undo()
        assert two.source.refresh()
    assert (at(two, "evil", "x"), at(two, "evil", "d/x")) == (b"2", b"good")
    assert two.blobs_asked() == 1


def test_a_registry_that_does_not_answer_holds_up_its_own_artifact_alone(
    two: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("evil", "good"):
        two.push(file_layer("x", b"1"), repository=name)
    two.source.refresh()
    for name in ("evil", "good"):
        two.push(file_layer("x", b"2"), repository=name)
    with held(two, is_manifest("evil")) as pause:
        monkeypatch.setattr("indexer.gateway.artifact.source._PATIENCE", 0.5)
        assert two.source.refresh()
        assert (at(two, "evil", "x"), at(two, "good", "x")) == (b"1", b"2")
        pause.go.set()
        monkeypatch.undo()
        assert two.source.refresh()
    assert at(two, "evil", "x") == b"2"


def test_at_the_start_too(two: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("evil", "good"):
        two.push(file_layer("x", b"1"), repository=name)
    with held(two, is_manifest("evil")):
        monkeypatch.setattr("indexer.gateway.artifact.source._PATIENCE", 0.5)
        assert two.source.refresh()
        assert two.told("evil:latest wasn't read yet")
        assert at(two, "good", "x") == b"1"
        monkeypatch.undo()


def test_alone_a_slow_registry_is_waited_for(one: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    one.push(file_layer("x", b"1"))
    monkeypatch.setattr("indexer.gateway.artifact.source._PATIENCE", 0.01)
    with held(one, is_manifest()) as pause, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(one.source.refresh)
        assert pause.reached.wait(30)
        pause.go.set()
        assert asked.result(30)


def test_a_tag_that_moves_to_what_is_missing_changes_nothing(one: Shelf) -> None:
    one.serve(FOLDER)
    assert one.bytes_at("d/x") == b"good"
    one.push(folder_layer("d", {"d/x": b"new"}))
    one.fake.knobs.faults.append(status(404, match=is_blob(), times=1))
    for _ in range(2):
        with pytest.raises(RegistryError, match="can't be taken over: acme/repo: the folder d"):
            one.source.refresh()
        assert one.bytes_at("d/x") == b"good"
    one.seconds[0] += 11
    assert one.source.refresh()
    assert one.bytes_at("d/x") == b"new"


def test_a_newer_manifest_replaces_one_that_waits(
    one: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.serve(file_layer("x", b"1"))
    with held(one, is_blob()) as pause:
        monkeypatch.setattr("indexer.gateway.artifact.source._PATIENCE", 0.2)
        one.push(FOLDER)
        assert not one.source.refresh()
        one.serve(file_layer("x", b"3"))
        assert one.bytes_at("x") == b"3"
        monkeypatch.undo()
    # Nobody wants that folder any more: it ends before the next one is fetched.
    one.serve(folder_layer("e", {"e/x": b"e"}))
    assert one.bytes_at("e/x") == b"e"
    assert len(one.files()) == 1
    assert pause.reached.is_set()
    one.serve(FOLDER)
    assert one.bytes_at("d/x") == b"good"


def test_a_tag_that_moves_back_forgets_what_waits(
    one: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.serve(file_layer("x", b"1"))
    with held(one, is_blob()):
        monkeypatch.setattr("indexer.gateway.artifact.source._PATIENCE", 0.2)
        one.push(FOLDER)
        assert not one.source.refresh()
        one.push(file_layer("x", b"1"))
        assert not one.source.refresh()
        monkeypatch.undo()
    assert not one.source.refresh()
    assert (one.bytes_at("x"), one.bytes_at("d/x")) == (b"1", None)


def test_rubbish_ends_nothing_while_another_may_come(two: Shelf) -> None:
    two.push(file_layer(None, b""), repository="evil")
    two.push(FOLDER, repository="good")
    two.fake.knobs.faults.append(status(503, match=is_manifest("good"), times=1))
    with pytest.raises(UnansweredError, match=r"none of its layers .*; .*good"):
        two.source.refresh()
    assert two.source.refresh()
    assert at(two, "good", "d/x") == b"good"


def test_where_all_are_rubbish_that_is_no_matter_of_time(two: Shelf) -> None:
    for name in ("evil", "good"):
        two.push(file_layer(None, b""), repository=name)
    with pytest.raises(ContentError, match=r"evil.*; .*good"):
        two.source.refresh()


def test_many_artifacts_have_a_short_name(two: Shelf, one: Shelf) -> None:
    assert two.source.name == "2 artifacts"
    assert one.source.name.endswith("/acme/repo:latest")


def test_whoever_waits_is_told_when_it_ends(one: Shelf) -> None:
    one.serve(*[folder_layer(name, {f"{name}/x": b""}) for name in ("d", "e")])
    with held(one, is_blob()) as pause, ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(one.source.find, "d/x")]
        assert pause.reached.wait(30)
        # That one comes after it, and is never begun.
        asked.append(threads.submit(one.source.find, "e/x"))
        one.source.close()
        errors = [each.exception(10) for each in asked]
    assert all(isinstance(error, RegistryError) for error in errors)
    assert one.reports == []
