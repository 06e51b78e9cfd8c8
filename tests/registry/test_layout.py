"""Registries in folders: nothing lost between writers, nothing damaged taken for good."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.layers import package_manifest
from demo.packages import build
from indexer.errors import ContentError, NotFoundError, RegistryError
from indexer.registry import layout as layout_module
from indexer.registry.address import RegistryAddress
from indexer.registry.content import OCI_MANIFEST, Content, Descriptor, Digest
from indexer.registry.layout import LayoutRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = "forge/linux-64/zlib"
DATA = b"the bytes of a blob"
TAGGED = b'"annotations": {"org.opencontainers.image.ref.name": "1-0"}'
DESCRIPTOR = Descriptor("", Digest.of(DATA), len(DATA))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(root: Path) -> LayoutRegistry:
    root.mkdir()
    return opened(root)


def opened(root: Path) -> LayoutRegistry:
    return LayoutRegistry(RegistryAddress.parse(f"ocidir://{root}"))


def blob_path(root: Path, digest: Digest) -> Path:
    return root / REPOSITORY / "blobs" / "sha256" / digest.hex


def test_what_was_put_is_had_back_by_whoever_opens_the_folder(
    registry: LayoutRegistry, root: Path
) -> None:
    image = package_manifest([build("zlib")])
    for data in image.blobs.values():
        registry.put_blob(REPOSITORY, Content.of_bytes(data))
    digest = registry.put_manifest(REPOSITORY, image.tag, image.manifest, image.media_type)
    reader = opened(root)
    assert list(reader.repositories()) == [REPOSITORY]
    assert reader.tags(REPOSITORY) == [image.tag]
    by_tag = reader.manifest(REPOSITORY, image.tag)
    assert (by_tag.body, by_tag.media_type) == (image.manifest, image.media_type)
    assert reader.manifest(REPOSITORY, str(digest)).body == image.manifest
    for text, data in image.blobs.items():
        blob = Descriptor("", Digest.parse(text), len(data))
        assert reader.blob(REPOSITORY, blob) == data
        assert reader.has_blob(REPOSITORY, blob.digest)


def test_what_is_written_is_a_layout_that_other_tools_read(
    registry: LayoutRegistry, root: Path
) -> None:
    digest = registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    folder = root / REPOSITORY
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((folder / "index.json").read_bytes())
    assert index["schemaVersion"] == 2
    assert index["manifests"] == [
        {
            "mediaType": OCI_MANIFEST,
            "digest": str(digest),
            "size": 2,
            "annotations": {"org.opencontainers.image.ref.name": "1-0"},
        }
    ]
    assert not list(folder.glob(".tmp*"))


def test_a_tag_moves_and_what_it_named_stays(registry: LayoutRegistry) -> None:
    first = registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    registry.put_manifest(REPOSITORY, "1-0", b"[]", OCI_MANIFEST)
    assert registry.tags(REPOSITORY) == ["1-0"]
    assert registry.manifest(REPOSITORY, "1-0").body == b"[]"
    assert registry.manifest(REPOSITORY, str(first)).body == b"{}"


def test_two_writers_do_not_lose_each_other_s_tags(root: Path) -> None:
    root.mkdir()
    tags = [f"{number}-0" for number in range(60)]

    def put(tag: str) -> None:
        opened(root).put_manifest(REPOSITORY, tag, f'{{"tag": "{tag}"}}'.encode(), OCI_MANIFEST)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, tags))
    reader = opened(root)
    assert sorted(reader.tags(REPOSITORY)) == sorted(tags)
    assert all(tag.encode() in reader.manifest(REPOSITORY, tag).body for tag in tags)


def test_a_writer_that_is_stopped_leaves_the_old_index_and_no_rubbish(
    registry: LayoutRegistry, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    registry.put_blob(REPOSITORY, Content.of_bytes(b"[]"))
    before = sorted((root / REPOSITORY).iterdir())

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            registry.put_manifest(REPOSITORY, "2-0", b"[]", OCI_MANIFEST)
    assert sorted((root / REPOSITORY).iterdir()) == before
    assert registry.tags(REPOSITORY) == ["1-0"]


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"x", DATA[::-1]])
def test_a_damaged_blob_is_never_handed_out(
    registry: LayoutRegistry, root: Path, damage: bytes
) -> None:
    registry.put_blob(REPOSITORY, Content.of_bytes(DATA))
    blob_path(root, Digest.of(DATA)).write_bytes(damage)
    with pytest.raises(ContentError):
        registry.blob(REPOSITORY, DESCRIPTOR)


def test_a_damaged_manifest_is_never_handed_out(registry: LayoutRegistry, root: Path) -> None:
    digest = registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    blob_path(root, digest).write_bytes(b"[]")
    for reference in ("1-0", str(digest)):
        with pytest.raises(ContentError, match="don't have their digest"):
            registry.manifest(REPOSITORY, reference)


@pytest.mark.parametrize("size", [0, len(DATA) - 1, len(DATA) + 1])
def test_a_blob_of_another_size_than_its_descriptor_s_is_refused(
    registry: LayoutRegistry, size: int
) -> None:
    registry.put_blob(REPOSITORY, Content.of_bytes(DATA))
    with pytest.raises(ContentError):
        registry.blob(REPOSITORY, Descriptor("", DESCRIPTOR.digest, size))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"manifests": null}',
        b'{"manifests": {}}',
        b'{"manifests": ["x"]}',
    ],
)
def test_a_damaged_index_is_an_error_and_not_an_empty_list(
    registry: LayoutRegistry, root: Path, content: bytes
) -> None:
    registry.put_blob(REPOSITORY, Content.of_bytes(DATA))
    (root / REPOSITORY / "index.json").write_bytes(content)
    with pytest.raises(RegistryError, match=r"index\.json") as caught:
        registry.tags(REPOSITORY)
    assert not isinstance(caught.value, NotFoundError)


@pytest.mark.parametrize("entry", [b"{%b}", b'{"digest": "sha256:x", "size": 1, %b}'])
def test_an_entry_that_is_no_descriptor_costs_its_tag_alone(
    registry: LayoutRegistry, root: Path, entry: bytes
) -> None:
    registry.put_blob(REPOSITORY, Content.of_bytes(DATA))
    content = b'{"manifests": [%b]}' % (entry % TAGGED)
    (root / REPOSITORY / "index.json").write_bytes(content)
    (tag,) = registry.tags(REPOSITORY)
    with pytest.raises(ContentError, match="its entry in index"):
        registry.manifest(REPOSITORY, tag)


def test_an_index_too_long_to_read_makes_the_listing_incomplete(
    registry: LayoutRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    monkeypatch.setattr(layout_module, "_MAX_INDEX", 20)
    with pytest.raises(RegistryError, match=r"index\.json"):
        registry.tags(REPOSITORY)


def test_manifests_without_a_tag_are_no_tags(registry: LayoutRegistry, root: Path) -> None:
    registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    path = root / REPOSITORY / "index.json"
    index = json.loads(path.read_bytes())
    bare = {key: index["manifests"][0][key] for key in ("mediaType", "digest", "size")}
    others = [bare, {**bare, "annotations": None}, {**bare, "annotations": {"a": "b"}}]
    path.write_text(json.dumps({"manifests": others + index["manifests"]}))
    assert registry.tags(REPOSITORY) == ["1-0"]


def test_an_absent_repository_or_tag_or_blob_is_named(registry: LayoutRegistry, root: Path) -> None:
    registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    absent: list[tuple[str, Callable[[], object]]] = [
        ("forge/linux-64/none", lambda: registry.tags("forge/linux-64/none")),
        ("forge/linux-64/none", lambda: registry.manifest("forge/linux-64/none", "1-0")),
        ("2-0", lambda: registry.manifest(REPOSITORY, "2-0")),
        (DESCRIPTOR.digest.hex, lambda: registry.blob(REPOSITORY, DESCRIPTOR)),
        (DESCRIPTOR.digest.hex, lambda: registry.manifest(REPOSITORY, str(DESCRIPTOR.digest))),
    ]
    for name, ask in absent:
        with pytest.raises(NotFoundError, match=f"{root}.*{name}"):
            ask()
    assert not registry.has_blob(REPOSITORY, DESCRIPTOR.digest)


def test_a_folder_that_is_no_layout_is_no_repository(registry: LayoutRegistry, root: Path) -> None:
    (root / "forge" / "linux-64").mkdir(parents=True)
    assert list(registry.repositories()) == []
    with pytest.raises(NotFoundError):
        registry.tags("forge/linux-64")


def test_a_repository_with_blobs_alone_has_no_tags_yet(registry: LayoutRegistry) -> None:
    registry.put_blob(REPOSITORY, Content.of_bytes(DATA))
    assert registry.tags(REPOSITORY) == []


def test_repositories_inside_repositories_are_all_found(registry: LayoutRegistry) -> None:
    names = ["forge", "forge/linux-64/blobs", REPOSITORY, f"{REPOSITORY}/shards"]
    for name in names:
        registry.put_manifest(name, "latest", b"{}", OCI_MANIFEST)
    assert sorted(registry.repositories()) == sorted(names)


def test_an_absent_root_is_an_error_and_not_an_empty_registry(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="check the registry's address"):
        list(opened(tmp_path / "absent").repositories())


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../outside", "a/../../outside", "/etc", "a//b", "a/.", "a\0b", "A"]
)
def test_no_name_leads_out_of_the_folder(registry: LayoutRegistry, root: Path, name: str) -> None:
    opened(root.parent).put_manifest("outside", "1-0", b"{}", OCI_MANIFEST)
    asked: list[Callable[[], object]] = [
        lambda: registry.tags(name),
        lambda: registry.manifest(name, "1-0"),
        lambda: registry.manifest(name, str(Digest.of(b"{}"))),
        lambda: registry.has_blob(name, DESCRIPTOR.digest),
        lambda: registry.put_blob(name, Content.of_bytes(DATA)),
        lambda: registry.put_manifest(name, "1-0", b"{}", OCI_MANIFEST),
    ]
    for ask in asked:
        with pytest.raises(NotFoundError, match="can't be a repository's name"):
            ask()
    assert not any(root.iterdir())


@pytest.mark.parametrize("reference", ["sha256:../../../../outside", "sha256:", "../oci-layout"])
def test_no_reference_leads_out_of_the_repository(registry: LayoutRegistry, reference: str) -> None:
    registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    with pytest.raises((ContentError, NotFoundError)):
        registry.manifest(REPOSITORY, reference)


def test_every_question_is_counted(registry: LayoutRegistry) -> None:
    registry.put_manifest(REPOSITORY, "1-0", b"{}", OCI_MANIFEST)
    registry.tags(REPOSITORY)
    registry.manifest(REPOSITORY, "1-0")
    assert registry.requests.as_dict() == {"manifests": 1, "tags": 1, "uploads": 1}
