"""Artifacts in a real registry, pushed by a real tool; and those that lie in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from indexer.errors import CfIndexError, ContentError, NotFoundError
from indexer.gateway.artifact import open_artifacts, read_references
from indexer.gateway.found import Blob, LocalFile, Source
from indexer.registry import RegistryAddress, open_registry
from indexer.registry.content import OCI_MANIFEST, Content, Digest
from indexer.registry.transport import Transport
from tests.support.artifacts import (
    FILE_TYPE,
    Layer,
    file_layer,
    folder_layer,
    folder_members,
    image,
    push_with_oras,
)
from tests.support.push import push_image
from tests.support.registry_process import RegistryProcess

REPODATA = {"repodata/repomd.xml": b"<repomd/>", "repodata/deep/er.xml.gz": b"gz"}


@contextmanager
def serving(reference: str, scratch: Path) -> Iterator[Source]:
    """One artifact, read once."""
    transport = Transport(retry_for=0)
    source = open_artifacts(read_references([reference]), transport, scratch, lambda _: None)
    try:
        assert source.refresh()
        yield source
    finally:
        source.close()
        transport.close()


def fill(folder: Path) -> None:
    """The files of a small repository."""
    for name, data in {**REPODATA, "Packages/a~1^2.rpm": b"rpm", "b.rpm": b"rpm b"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def read(source: Source, path: str) -> bytes | None:
    found = source.find(path)
    if not isinstance(found, LocalFile):
        return None
    with found.path.open("rb") as file:
        file.seek(found.offset)
        return file.read(found.size)


def test_folders_and_files_that_oras_py_pushed(
    docker_registry: RegistryProcess, tmp_path: Path
) -> None:
    fill(tmp_path / "site")
    paths = [tmp_path / "site/repodata", tmp_path / "site/b.rpm"]
    push_with_oras(docker_registry.address, "acme/python", "1", paths)
    with serving(f"oci+http://{docker_registry.address}/acme/python:1", tmp_path) as source:
        assert {name: read(source, name) for name in REPODATA} == REPODATA
        blob = source.find("b.rpm")
        assert isinstance(blob, Blob)
        assert (blob.digest, blob.size) == (Digest.of(b"rpm b"), 5)


@pytest.mark.parametrize("spelt", [".", "./repodata/"])
def test_a_folder_that_oras_py_pushed_without_a_name(
    docker_registry: RegistryProcess, tmp_path: Path, spelt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "site")
    monkeypatch.chdir(tmp_path / "site")
    tag = f"unnamed{len(spelt)}"
    push_with_oras(docker_registry.address, "acme/python", tag, [spelt])
    with serving(f"oci+http://{docker_registry.address}/acme/python:{tag}", tmp_path) as source:
        found = "repodata/repomd.xml" if spelt == "." else "repomd.xml"
        assert read(source, found) == b"<repomd/>"


@pytest.mark.parametrize("title", [".", "repodata", "some/where"])
def test_folders_in_the_form_of_the_go_tool(
    docker_registry: RegistryProcess, tmp_path: Path, title: str
) -> None:
    fill(tmp_path / "site")
    folder = tmp_path / "site" / ("repodata" if title == "repodata" else "")
    made = image([folder_layer(title, folder_members(folder, title))])
    tag = title.strip(".").replace("/", "-") or "dot"
    push_image(docker_registry.http, "acme/go", made, tag=tag)
    with serving(f"oci+http://{docker_registry.address}/acme/go:{tag}", tmp_path) as source:
        place = {".": "", "repodata": "", "some/where": "some/where/"}[title]
        for name, data in REPODATA.items():
            assert read(source, place + name) == data


def test_a_tag_is_asked_for_with_a_condition(
    docker_registry: RegistryProcess, tmp_path: Path
) -> None:
    def push(data: bytes) -> None:
        push_image(docker_registry.http, "acme/again", image([file_layer("x", data)]))

    def answers() -> list[str]:
        log = docker_registry.log.read_text()
        return re.findall(r'"GET /v2/acme/again/manifests/latest HTTP/1.1" (\d+)', log)

    push(b"1")
    with serving(f"oci+http://{docker_registry.address}/acme/again", tmp_path) as source:
        assert not source.refresh()
        assert not source.refresh()
        push(b"2")
        assert source.refresh()
        assert not source.refresh()
    assert answers() == ["200", "304", "304", "200", "304"]


def test_a_digest_stays_what_it_is(docker_registry: RegistryProcess, tmp_path: Path) -> None:
    made = image([file_layer("x", b"1")])
    digest = push_image(docker_registry.http, "acme/fixed", made)
    push_image(docker_registry.http, "acme/fixed", image([file_layer("x", b"2")]))
    with serving(f"oci+http://{docker_registry.address}/acme/fixed@{digest}", tmp_path) as source:
        found = source.find("x")
        assert isinstance(found, Blob)
        assert found.digest == Digest.of(b"1")
        assert not source.refresh()


def test_a_repository_that_is_not_there_is_said(
    docker_registry: RegistryProcess, tmp_path: Path
) -> None:
    with (
        pytest.raises(NotFoundError, match="acme/nobody"),
        serving(f"oci+http://{docker_registry.address}/acme/nobody", tmp_path),
    ):
        pass


def put_in_folder(root: Path, tag: str, *layers: Layer) -> Path:
    """An image layout ``repo`` below a folder; gives where its blobs are."""
    transport = Transport(retry_for=0)
    registry = open_registry(RegistryAddress.parse(f"ocidir://{root}"), transport)
    made = image(layers)
    for data in made.blobs.values():
        registry.put_blob("repo", Content.of_bytes(data))
    registry.put_manifest("repo", tag, made.manifest, OCI_MANIFEST)
    transport.close()
    return root / "repo/blobs/sha256"


def test_a_layout_in_a_folder_serves_its_own_files(tmp_path: Path) -> None:
    root, scratch = tmp_path / "layouts", tmp_path / "scratch"
    scratch.mkdir()
    blobs = put_in_folder(
        root, "1", file_layer("x.rpm", b"rpm"), folder_layer("repodata", REPODATA)
    )
    with serving(f"ocidir://{root}/repo:1", scratch) as source:
        assert {name: read(source, name) for name in REPODATA} == REPODATA
        found = source.find("repo:1/x.rpm")
        digest = Digest.of(b"rpm")
        assert found == LocalFile(
            blobs / digest.hex, 3, str(digest), "application/x-rpm", "no-cache", sandbox=True
        )
        assert not source.refresh()
        put_in_folder(root, "1", file_layer("y.rpm", b"other"))
        assert source.refresh()
        assert read(source, "y.rpm") == b"other"
    assert blobs.exists()


@pytest.mark.parametrize("damage", ["gone", "changed", "longer", "folder", "pipe"])
def test_a_damaged_layout_serves_no_wrong_bytes(tmp_path: Path, damage: str) -> None:
    root, scratch = tmp_path / "layouts", tmp_path / "scratch"
    scratch.mkdir()
    blobs = put_in_folder(root, "1", file_layer("x.rpm", b"rpm", FILE_TYPE))
    blob = blobs / Digest.of(b"rpm").hex
    with serving(f"ocidir://{root}/repo:1", scratch) as source:
        assert read(source, "x.rpm") == b"rpm"
        blob.unlink()
        if damage == "folder":
            blob.mkdir()
        elif damage == "pipe":
            os.mkfifo(blob)
        elif damage != "gone":
            blob.write_bytes(b"RPM" if damage == "changed" else b"rpm and more")
        with pytest.raises((ContentError, NotFoundError)) as error:
            source.find("x.rpm")
        assert isinstance(error.value, CfIndexError)


def test_a_manifest_that_is_wrong_of_a_size_serves_no_wrong_bytes(tmp_path: Path) -> None:
    layer, data = file_layer("x.rpm", b"rpm")
    put_in_folder(tmp_path, "1", (layer | {"size": 5}, data))
    with (
        serving(f"ocidir://{tmp_path}/repo:1", tmp_path) as source,
        pytest.raises(ContentError, match="digest"),
    ):
        source.find("x.rpm")
