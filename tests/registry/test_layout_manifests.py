"""Manifests in folders: each writer's tag stays, or its writer hears that another was there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from indexer.errors import ConflictError, ContentError, NotFoundError, RegistryError
from indexer.registry.address import RegistryAddress
from indexer.registry.content import OCI_MANIFEST, Digest
from indexer.registry.layout import LayoutRegistry
from tests.registry.help import content_of

if TYPE_CHECKING:
    from pathlib import Path

    from indexer.registry.base import Replaced

REPOSITORY = "forge/linux-64/zlib"
CONTENT = content_of(b"the bytes of a blob")
TAG = "1.0-0"
MANIFESTS = [f'{{"layers": [], "number": {number}}}'.encode() for number in range(8)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    folder.mkdir()
    return folder


@pytest.fixture
def registry(root: Path) -> LayoutRegistry:
    return opened(root)


def opened(root: Path) -> LayoutRegistry:
    return LayoutRegistry(RegistryAddress.parse(f"ocidir://{root}"))


def put(registry: LayoutRegistry, body: bytes, replaces: Replaced, tag: str = TAG) -> Digest:
    return registry.put_manifest(REPOSITORY, tag, body, OCI_MANIFEST, replaces=replaces)


@pytest.mark.parametrize("round_", range(5))
def test_of_many_writers_of_a_tag_one_wins_and_the_others_hear_of_it(
    root: Path, round_: int
) -> None:
    first = put(opened(root), b"{}", None) if round_ % 2 else None
    together = threading.Barrier(len(MANIFESTS))

    def write(number: int) -> bytes | None:
        registry, body = opened(root), MANIFESTS[number]
        together.wait()
        put(registry, body, None, f"other-{number}")
        try:
            put(registry, body, first)
        except ConflictError:
            return None
        return body

    with ThreadPoolExecutor(len(MANIFESTS)) as pool:
        written = [body for body in pool.map(write, range(len(MANIFESTS))) if body]
    reader = opened(root)
    assert written == [reader.manifest(REPOSITORY, TAG).body]
    others = [f"other-{number}" for number in range(len(MANIFESTS))]
    assert sorted(reader.tags(REPOSITORY)) == [TAG, *others]


@pytest.mark.parametrize("replaces", [None, Digest.of(MANIFESTS[2])])
def test_a_conflict_says_what_is_there_and_leaves_it(
    registry: LayoutRegistry, replaces: Digest | None
) -> None:
    theirs = put(registry, MANIFESTS[0], None)
    with pytest.raises(ConflictError, match=f"{REPOSITORY}:{TAG} leads to {theirs} by now"):
        put(registry, MANIFESTS[1], replaces)
    assert registry.manifest(REPOSITORY, TAG).body == MANIFESTS[0]
    assert put(registry, MANIFESTS[0], replaces) == theirs
    put(registry, MANIFESTS[1], theirs)
    assert registry.manifest(REPOSITORY, TAG).body == MANIFESTS[1]


def test_a_tag_that_is_gone_is_a_conflict(registry: LayoutRegistry) -> None:
    with pytest.raises(ConflictError, match="leads to nothing by now"):
        put(registry, MANIFESTS[0], Digest.of(MANIFESTS[1]))


@pytest.mark.parametrize("tag", ["", ".1", "a/b", "1+0", "a" * 129, "sha256:0", "../x", "1\n"])
def test_a_tag_that_can_t_be_one_leaves_nothing_behind(
    registry: LayoutRegistry, root: Path, tag: str
) -> None:
    with pytest.raises(ContentError, match="can't be a tag"):
        put(registry, MANIFESTS[0], "anything", tag)
    assert list(root.iterdir()) == []


def test_a_manifest_under_its_digest_gets_no_tag(registry: LayoutRegistry) -> None:
    digest = put(registry, MANIFESTS[0], None, str(Digest.of(MANIFESTS[0])))
    assert registry.tags(REPOSITORY) == []
    assert registry.manifest(REPOSITORY, str(digest)).body == MANIFESTS[0]


def test_a_manifest_under_another_s_digest_is_refused(registry: LayoutRegistry) -> None:
    with pytest.raises(ContentError, match="not those of"):
        put(registry, MANIFESTS[0], None, str(Digest.of(MANIFESTS[1])))


def test_a_deleted_manifest_takes_its_tags_along(registry: LayoutRegistry) -> None:
    digest = put(registry, MANIFESTS[0], None)
    put(registry, MANIFESTS[0], None, "latest")
    put(registry, MANIFESTS[1], None, "2.0-0")
    assert len(registry.tags(REPOSITORY)) == 3
    for _ in range(2):
        registry.delete_manifest(REPOSITORY, digest)
        assert registry.tags(REPOSITORY) == ["2.0-0"]
    with pytest.raises(NotFoundError):
        registry.manifest(REPOSITORY, TAG)


@pytest.mark.parametrize("name", ["forge/absent", "forge/linux-64"])
def test_deleting_where_there_is_nothing_makes_nothing(
    registry: LayoutRegistry, root: Path, name: str
) -> None:
    registry.put_blob(REPOSITORY, CONTENT)
    before = sorted(root.rglob("*"))
    registry.delete_manifest(name, Digest.of(MANIFESTS[0]))
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("name", ["index.json", ".lock"])
def test_a_link_in_the_place_of_the_index_is_not_written_through(
    registry: LayoutRegistry, root: Path, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    registry.put_blob(REPOSITORY, CONTENT)
    (root / REPOSITORY / name).symlink_to(victim)
    with pytest.raises(RegistryError):
        put(registry, MANIFESTS[0], "anything")
    assert victim.read_bytes() == b"precious"
