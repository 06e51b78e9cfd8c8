"""A tag that moves: what is served meanwhile, what goes, and what isn't fetched again."""

from __future__ import annotations

import itertools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest

from indexer.errors import ContentError, NotFoundError, RegistryError, UnansweredError
from indexer.gateway.artifact import open_artifacts, read_references
from indexer.gateway.found import LocalFile, UnavailableError
from indexer.registry.transport import Transport
from tests.gateway.artifact.help import REPOSITORY, Shelf, shelf
from tests.support.artifacts import Layer, file_layer, folder_layer, image
from tests.support.fake_registry import FakeRegistry
from tests.support.faults import Answer, Fault, Request, is_blob, is_manifest, status

HOUR = 3600.0


def repository(number: int) -> Layer:
    """A repository's metadata: one name that stays, one that changes."""
    name = f"repodata/{number}-primary.xml"
    return folder_layer("repodata", {"repodata/repomd.xml": b"%d" % number, name: b"primary"})


def test_a_tag_that_stays_is_nothing_new(one: Shelf) -> None:
    one.serve(file_layer("x", b"1"))
    assert not one.source.refresh()
    asked = [request.headers.get("if-none-match") for request in one.fake.requests]
    assert asked == [None, f'"{one.push(file_layer("x", b"1"))}"']


def test_what_only_the_old_one_has_stays_for_an_hour(one: Shelf) -> None:
    one.serve(repository(1), file_layer("old.rpm", b"old"))
    one.serve(repository(2), file_layer("new.rpm", b"new"))
    for _ in range(2):
        assert one.bytes_at("repodata/repomd.xml") == b"2"
        assert one.bytes_at("repodata/1-primary.xml") == b"primary"
        assert (one.bytes_at("old.rpm"), one.bytes_at("new.rpm")) == (b"old", b"new")
        one.seconds[0] += HOUR - 1
    one.seconds[0] -= HOUR - 2
    assert one.bytes_at("repodata/1-primary.xml") is None
    assert one.bytes_at("old.rpm") is None
    assert one.bytes_at("new.rpm") == b"new"


def test_only_one_generation_back_is_kept(one: Shelf) -> None:
    for number in (1, 2, 3):
        one.serve(repository(number))
    assert one.bytes_at("repodata/repomd.xml") == b"3"
    assert one.bytes_at("repodata/2-primary.xml") == b"primary"
    assert one.bytes_at("repodata/1-primary.xml") is None


def test_a_file_goes_a_while_after_it_was_given_last(one: Shelf) -> None:
    one.serve(repository(1))
    given = one.source.find("repodata/repomd.xml")
    assert isinstance(given, LocalFile)
    for number in (2, 3, 4):
        one.serve(repository(number))
        assert one.bytes_of(given) == b"1"
    one.seconds[0] += 61
    one.source.refresh()
    assert one.bytes_of(given) == b"1"
    one.seconds[0] += 60
    one.source.refresh()
    assert not given.path.exists()
    # Those of the tag as it is, and as it was before.
    assert len(one.files()) == 2


def test_a_file_that_is_given_again_stays_again(one: Shelf) -> None:
    one.serve(repository(1))
    assert one.bytes_at("repodata/repomd.xml") == b"1"
    one.seconds[0] += 1000
    given = one.source.find("repodata/repomd.xml")
    assert isinstance(given, LocalFile)
    for number in (2, 3):
        one.seconds[0] += 30
        one.serve(repository(number))
    assert one.bytes_of(given) == b"1"


def test_files_of_the_old_one_go_after_its_hour(one: Shelf) -> None:
    one.serve(repository(1))
    assert one.bytes_at("repodata/repomd.xml") == b"1"
    one.serve(repository(2))
    assert one.bytes_at("repodata/repomd.xml") == b"2"
    one.seconds[0] += HOUR - 1
    one.source.refresh()
    assert len(one.files()) == 2
    one.seconds[0] += 2
    one.source.refresh()
    assert len(one.files()) == 1
    assert one.bytes_at("repodata/repomd.xml") == b"2"
    assert one.blobs_asked() == 2


def test_a_folder_that_stays_is_not_fetched_again(one: Shelf) -> None:
    one.serve(repository(1), file_layer("a.rpm", b"a"))
    assert one.bytes_at("repodata/repomd.xml") == b"1"
    one.serve(repository(1), file_layer("b.rpm", b"b"))
    one.seconds[0] += 2 * HOUR
    one.source.refresh()
    assert one.bytes_at("repodata/repomd.xml") == b"1"
    assert one.blobs_asked() == 1


def test_what_a_tag_moves_to_is_here_before_it_is_served(one: Shelf) -> None:
    one.serve(repository(1))
    one.serve(repository(2))
    # Only the second: the first is fetched when somebody asks, and nobody did.
    assert one.blobs_asked() == 1
    assert one.bytes_at("repodata/repomd.xml") == b"2"
    assert one.blobs_asked() == 1


def test_a_tag_that_moves_to_rubbish_changes_nothing(one: Shelf) -> None:
    one.serve(file_layer("x", b"1"))
    one.push(file_layer(None, b"2"))
    for _ in range(2):
        with pytest.raises(ContentError, match=rf"{REPOSITORY}:latest: none of its layers"):
            one.source.refresh()
    assert one.bytes_at("x") == b"1"


def test_a_tag_that_goes_leaves_what_was_there(one: Shelf) -> None:
    one.serve(file_layer("x", b"1"))
    one.fake.remove_tag(REPOSITORY, "latest")
    with pytest.raises(NotFoundError):
        one.source.refresh()
    assert one.bytes_at("x") == b"1"


def test_before_anything_was_read_it_is_not_absent(one: Shelf) -> None:
    with pytest.raises(RegistryError, match="wasn't read yet"):
        one.source.find("x")


def test_one_that_cannot_be_had_does_not_hold_up_the_others(tmp_path: Path) -> None:
    references = [f"oci+http://HOST/{name}" for name in ("a", "b", "c")]
    with shelf(tmp_path / "scratch", references) as made:
        made.push(file_layer("x", b"a"), repository="a")
        made.push(file_layer("x", b"c"), repository="c")
        assert made.source.refresh()
        assert made.told("Not fresh: ")
        with pytest.raises(NotFoundError, match="/b/"):
            made.source.refresh()
        with pytest.raises(RegistryError, match="b:latest wasn't read yet"):
            made.source.find(f"{made.fake.address}/b:latest/x")
        assert made.bytes_at(f"{made.fake.address}/a:latest/x") == b"a"
        assert made.bytes_at(f"{made.fake.address}/c:latest/x") == b"c"


def test_all_who_want_a_folder_at_once_wait_for_one_fetch(one: Shelf) -> None:
    one.serve(repository(1))
    begun, go_on = threading.Event(), threading.Event()

    def wait(request: Request, ready: Answer) -> Answer:
        del request
        begun.set()
        go_on.wait(30)
        return ready

    one.fake.knobs.faults.append(Fault(is_blob(), None, wait))
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(one.bytes_at, "repodata/repomd.xml") for _ in range(8)]
        assert begun.wait(30)
        go_on.set()
        assert {each.result(30) for each in asked} == {b"1"}
    assert one.blobs_asked() == 1


def test_nobody_waits_for_long(one: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    one.serve(repository(1))
    go_on = threading.Event()

    def wait(request: Request, ready: Answer) -> Answer:
        del request
        go_on.wait(30)
        return ready

    one.fake.knobs.faults.append(Fault(is_blob(), None, wait))
    monkeypatch.setattr("indexer.gateway.artifact.layers._PATIENCE", 0.01)
    for _ in range(20):
        with pytest.raises(UnavailableError, match="still being fetched"):
            one.source.find("repodata/repomd.xml")
    go_on.set()
    monkeypatch.undo()
    assert one.bytes_at("repodata/repomd.xml") == b"1"
    assert one.blobs_asked() == 1


def test_not_everybody_waits(one: Shelf) -> None:
    one.serve(repository(1), file_layer("x", b"1"))
    go_on = threading.Event()

    def wait(request: Request, ready: Answer) -> Answer:
        del request
        go_on.wait(30)
        return ready

    one.fake.knobs.faults.append(Fault(is_blob(), None, wait))
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(one.bytes_at, "repodata/repomd.xml") for _ in range(20)]
        refused = [each.exception() for each in itertools.islice(as_completed(asked, 30), 4)]
        assert [type(error) for error in refused] == [UnavailableError] * 4
        assert one.source.find("x") is not None
        go_on.set()
        assert sum(each.exception(30) is None for each in asked) == 16


def test_what_failed_in_passing_is_tried_again_a_little_later(one: Shelf) -> None:
    one.serve(repository(1))
    one.fake.knobs.faults.append(status(503, match=is_blob(), times=1))
    for _ in range(3):
        with pytest.raises(UnansweredError):
            one.source.find("repodata/repomd.xml")
    assert one.blobs_asked() == 1
    one.seconds[0] += 11
    assert one.bytes_at("repodata/repomd.xml") == b"1"


def test_what_fails_again_is_tried_less_often(one: Shelf) -> None:
    one.serve(repository(1))
    one.fake.knobs.faults.append(status(404, match=is_blob()))
    asked = []
    for _ in range(100):
        with pytest.raises(NotFoundError):
            one.source.find("repodata/repomd.xml")
        asked.append(one.blobs_asked())
        one.seconds[0] += 11
    assert asked[:8] == [1, 2, 2, 3, 3, 3, 3, 4]
    assert 6 <= asked[-1] <= 9


def test_without_room_for_both_the_old_one_stays(tmp_path: Path) -> None:
    with shelf(tmp_path / "scratch", limit=15_000) as made:
        made.serve(repository(1))
        assert made.bytes_at("repodata/repomd.xml") == b"1"
        made.push(repository(2))
        for _ in range(2):
            with pytest.raises(RegistryError, match=r"can't be taken over: .* has to wait"):
                made.source.refresh()
            assert made.bytes_at("repodata/repomd.xml") == b"1"
            made.seconds[0] += HOUR


@pytest.mark.parametrize(
    ("limit", "value"), [("_MAX_MEMBERS", 3), ("_MAX_NAMES", 3 * (sys.getsizeof("") + 24))]
)
def test_memory_for_names_is_shared_out(
    one: Shelf, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"indexer.gateway.artifact.room.{limit}", value)
    one.serve(repository(1), folder_layer("x", {"x/1": b"", "x/2": b""}))
    assert one.bytes_at("repodata/repomd.xml") == b"1"
    with pytest.raises(RegistryError, match="2 files, and no more than"):
        one.source.find("x/1")
    assert len(one.files()) == 1
    one.serve(file_layer("y", b""))
    one.seconds[0] += HOUR + 1
    one.source.refresh()
    one.seconds[0] += 60
    one.serve(folder_layer("x", {"x/1": b"", "x/2": b""}))
    assert one.bytes_at("x/1") == b""


def test_closing_leaves_nothing_behind(one: Shelf) -> None:
    one.serve(repository(1))
    assert one.bytes_at("repodata/repomd.xml") == b"1"
    one.source.close()
    assert list(one.scratch.iterdir()) == []
    with pytest.raises(RegistryError, match="ends"):
        one.source.refresh()


def test_the_factory_makes_all_of_it(tmp_path: Path) -> None:
    reports = list[str]()
    transport = Transport(retry_for=0)
    with FakeRegistry() as fake:
        fake.add(REPOSITORY, image([repository(1), file_layer("../x", b"")]))
        reference = f"oci+http://{fake.address}/{REPOSITORY}"
        source = open_artifacts(
            read_references([reference, f"{reference}:latest"]),
            transport,
            tmp_path,
            reports.append,
            limit=100_000,
        )
        assert fake.requests == []
        assert source.refresh()
        assert isinstance(source.find("repodata/repomd.xml"), LocalFile)
        source.close()
        transport.close()
    assert len(reports) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_tag_that_moves_while_it_is_read_is_one_or_the_other(one: Shelf) -> None:
    one.serve(repository(1), file_layer("x", b"1"))
    moved = one.push(repository(2), file_layer("x", b"2"))

    def move(request: Request, ready: Answer) -> Answer:
        del request
        one.push(repository(3), file_layer("x", b"3"))
        return ready

    one.fake.knobs.faults.append(Fault(is_manifest(), 1, move))
    assert one.source.refresh()
    assert moved != ""
    assert (one.bytes_at("x"), one.bytes_at("repodata/repomd.xml")) == (b"2", b"2")
    assert one.source.refresh()
    assert (one.bytes_at("x"), one.bytes_at("repodata/repomd.xml")) == (b"3", b"3")
