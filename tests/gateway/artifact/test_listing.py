"""What of a manifest is served, and what of it never."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from demo.layers import MANIFEST, TITLE
from indexer.errors import ConfigError, ContentError
from indexer.gateway.found import Blob
from indexer.registry.content import OCI_INDEX
from tests.gateway.artifact.help import REPOSITORY, Shelf, shelf
from tests.support.artifacts import (
    FILE_TYPE,
    FOLDER_TYPE,
    file_layer,
    folder_layer,
    image,
    make_tar,
    plain_layer,
)

ODD_RPM = "g++-1:2.0~rc1^git+x-1.fc41.noarch.rpm"


@pytest.mark.parametrize("title", [ODD_RPM, "Packages/h/hello 1.rpm", "naïve%2f.rpm", "..a/...b"])
def test_a_file_is_a_blob_by_its_title(one: Shelf, title: str) -> None:
    one.serve(file_layer(title, b"the bytes"))
    found = one.source.find(title)
    assert isinstance(found, Blob)
    assert one.bytes_of(found) == b"the bytes"
    assert (found.size, found.cache, found.repository) == (9, "no-cache", REPOSITORY)
    assert one.blobs_asked() == 0


@pytest.mark.parametrize(
    ("title", "path"), [("./x", "x"), ("a/./b", "a/b"), ("./repodata/x", "repodata/x")]
)
def test_a_dot_says_nothing(one: Shelf, title: str, path: str) -> None:
    one.serve(file_layer(title, b"1"))
    assert one.bytes_at(path) == b"1"


@pytest.mark.parametrize(
    "title",
    [
        *("/etc/passwd", "//x", "../x", "a/../../x", "a/..", "..", ".", "", "./", "/"),
        *(
            "a\\b",
            "..\\x",
            "a//b",
            "a\nb",
            "a\x00b",
            "a\x1b[2Jb",
            "\u202egpj.exe",
            "a/" + "b" * 256,
        ),
        "/".join(["b" * 200] * 6),
    ],
)
def test_a_hostile_title_is_left_out_and_named(one: Shelf, title: str) -> None:
    one.serve(file_layer(title, b"bad"), file_layer("good", b"good"))
    assert one.told("left out 1 (titles that are no paths in a folder)")
    assert all(line.isprintable() for line in one.reports)
    assert one.bytes_at("good") == b"good"
    for path in (title, title.lstrip("/"), "x", "etc/passwd", "b", "a/b"):
        assert one.bytes_at(path) is None


def test_of_two_layers_of_one_title_the_first_is_served(one: Shelf) -> None:
    one.serve(file_layer("x", b"first"), file_layer("./x", b"second"))
    assert one.bytes_at("x") == b"first"
    assert one.told("left out 1 (titles that another layer has before): './x'")


def test_of_two_folders_of_one_title_the_first_is_served(one: Shelf) -> None:
    one.serve(folder_layer("d", {"d/x": b"first"}), folder_layer("d/", {"d/x": b"2", "d/y": b"3"}))
    assert (one.bytes_at("d/x"), one.bytes_at("d/y")) == (b"first", None)
    assert one.told("left out 1 (titles that another layer has before): 'd/'")


def test_layers_without_a_title_are_left_out(one: Shelf) -> None:
    one.serve(file_layer(None, b"1"), file_layer("x", b"2"))
    assert one.told("layers without a title")


def test_a_container_image_is_refused_by_name(one: Shelf) -> None:
    one.push(plain_layer(FOLDER_TYPE, gzip.compress(make_tar({"etc/passwd": b"1"})), {}))
    with pytest.raises(ContentError, match="none of its layers"):
        one.source.refresh()


def test_many_layers_are_taken(one: Shelf) -> None:
    one.serve(*(file_layer(f"Packages/p-{number}.rpm", b"1") for number in range(3000)))
    assert one.bytes_at("Packages/p-2999.rpm") == b"1"


@pytest.mark.parametrize("path", ["", "repodata", "repodata/", "/x", "./x", "x/", "a//x", "x/../x"])
def test_only_the_very_path_is_found(one: Shelf, path: str) -> None:
    one.serve(file_layer("x", b"1"), folder_layer("repodata", {"repodata/y": b"2"}))
    assert one.bytes_at(path) is None


def test_paths_that_no_folder_could_have_fetch_nothing(one: Shelf) -> None:
    one.serve(file_layer("x", b"1"), folder_layer("repodata", {"repodata/y": b"2"}))
    for path in ("robots.txt", "repodata", "repodatax/y", "../repodata/y", "repodata//y"):
        assert one.bytes_at(path) is None
    assert one.blobs_asked() == 0


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("a.rpm", "application/x-rpm"),
        ("repomd.xml", "application/xml"),
        ("x.xml.gz", "application/gzip"),
        ("x.xml.zst", "application/zstd"),
        ("page.html", "application/octet-stream"),
        ("picture.svg", "application/octet-stream"),
        ("key", "application/octet-stream"),
    ],
)
def test_the_media_type_is_by_the_ending(one: Shelf, path: str, media_type: str) -> None:
    one.serve(file_layer(path, b"1", "text/html"))
    found = one.source.find(path)
    assert isinstance(found, Blob)
    assert found.media_type == media_type


def test_a_file_that_is_an_archive_stays_one(one: Shelf) -> None:
    packed = gzip.compress(make_tar({"x": b"1"}))
    one.serve(
        file_layer("data.tar.gz", packed, FOLDER_TYPE), file_layer("x.tar", make_tar({}), FILE_TYPE)
    )
    assert one.bytes_at("data.tar.gz") == packed
    assert one.bytes_at("x") is None


def test_an_index_of_one_manifest_is_followed(one: Shelf) -> None:
    inner = image([file_layer("x", b"1")])
    digest = one.fake.add(REPOSITORY, inner, "inner")
    child = {"mediaType": MANIFEST, "digest": digest, "size": len(inner.manifest)}
    body = json.dumps({"schemaVersion": 2, "manifests": [child]}).encode()
    one.fake.add_manifest(REPOSITORY, "latest", body, OCI_INDEX)
    assert one.source.refresh()
    assert one.bytes_at("x") == b"1"
    assert not one.source.refresh()


@pytest.mark.parametrize("count", [0, 2])
def test_other_indexes_are_refused(one: Shelf, count: int) -> None:
    inner = image([file_layer("x", b"1")])
    digest = one.fake.add(REPOSITORY, inner, "inner")
    child = {"mediaType": MANIFEST, "digest": digest, "size": len(inner.manifest)}
    body = json.dumps({"schemaVersion": 2, "manifests": [child] * count}).encode()
    one.fake.add_manifest(REPOSITORY, "latest", body, OCI_INDEX)
    with pytest.raises(ContentError, match="image index of"):
        one.source.refresh()


def test_several_artifacts_have_a_folder_each(tmp_path: Path) -> None:
    references = ["oci+http://HOST/acme/a:1", "oci+http://HOST/acme/a:2", "oci+http://HOST/b"]
    with shelf(tmp_path / "scratch", references) as made:
        made.push(file_layer("x", b"a1"), repository="acme/a", tag="1")
        made.push(file_layer("x", b"a2"), repository="acme/a", tag="2")
        made.push(file_layer("x", b"b"), repository="b")
        made.push(file_layer("x", b"secret"), repository="acme/a", tag="3")
        assert made.source.refresh()
        host = made.fake.address
        assert made.bytes_at(f"{host}/acme/a:1/x") == b"a1"
        assert made.bytes_at(f"{host}/acme/a:2/x") == b"a2"
        assert made.bytes_at(f"{host}/b:latest/x") == b"b"
        for path in (
            "x",
            f"{host}/acme/a:3/x",
            f"{host}/acme/a/x",
            f"{host}/b/x",
            f"{host}/b:latest",
        ):
            assert made.bytes_at(path) is None
        assert {request.reference for request in made.fake.requests} == {"1", "2", "latest"}


def test_one_alone_is_at_the_root_too(one: Shelf) -> None:
    one.serve(file_layer("x", b"1"))
    assert one.bytes_at(f"{one.fake.address}/{REPOSITORY}:latest/x") == b"1"


def test_two_at_one_address_are_refused(tmp_path: Path) -> None:
    references = ["oci+http://HOST/b", "oci+http://HOST/b:latest"]
    with (
        pytest.raises(ConfigError, match="same address"),
        shelf(tmp_path / "scratch", references),
    ):
        pass


def test_titles_are_nothing_but_names(one: Shelf) -> None:
    one.serve(plain_layer("text/plain", b"1", {TITLE: "x", "other": "y"}))
    assert one.bytes_at("x") == b"1"
