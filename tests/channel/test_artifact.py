"""Whoever may push ``foo`` must not be able to publish ``openssl``, or other bytes as ``foo``."""

from __future__ import annotations

import pytest

from indexer.channel.about import NOTHING_KNOWN, About
from indexer.channel.artifact import (
    INDEX_JSON_TYPE,
    Place,
    Reading,
    archive_layers,
    index_json_layer,
    merge_readings,
    read_artifact,
)
from indexer.errors import ContentError
from indexer.registry.content import Descriptor, ImageManifest
from tests.channel.samples import (
    CONDA_TYPE,
    MD5,
    TARBZ2_TYPE,
    index_layer,
    layer,
    manifest,
    parsed,
    sha256,
)

PLACE = Place("linux-64", "alpha", "1.0-h1_0")
STEM = "alpha-1.0-h1_0"
CONDA = layer(f"{STEM}.conda", CONDA_TYPE, "one")
TARBZ2 = layer(f"{STEM}.tar.bz2", TARBZ2_TYPE, "two")


def read(*layers: Descriptor, place: Place = PLACE) -> Reading:
    return read_artifact(place, manifest(*layers), parsed())


def test_sha256_and_size_come_from_the_layer_and_md5_from_its_annotation() -> None:
    (record,) = read(CONDA).records
    fields = record.fields()
    assert (fields["sha256"], fields["size"], fields["md5"]) == (sha256("one"), 1234, MD5)
    assert (record.file_name, record.name, record.sha256) == (
        f"{STEM}.conda",
        "alpha",
        sha256("one"),
    )


def test_both_formats_on_one_tag_are_two_records() -> None:
    reading = read(CONDA, TARBZ2)
    assert {r.file_name: r.sha256 for r in reading.records} == {
        f"{STEM}.conda": sha256("one"),
        f"{STEM}.tar.bz2": sha256("two"),
    }
    assert (reading.faults, reading.notes) == ((), ())


def test_a_record_says_its_subdir_even_where_index_json_does_not() -> None:
    old = parsed(subdir="linux-64")
    bare = type(old)(old.name, old.version, old.build, None, {**old.fields, "subdir": "x"})
    (record,) = read_artifact(PLACE, manifest(CONDA), bare).records
    assert record.fields()["subdir"] == "linux-64"


@pytest.mark.parametrize(
    "place",
    [
        Place("linux-64", "openssl", "1.0-h1_0"),
        Place("linux-64", "zzz_alpha", "1.0-h1_0"),
        Place("linux-64", "alpha", "2.0-h1_0"),
        Place("linux-64", "alpha", "1.0-h1_1"),
        Place("linux-64", "alpha", "1.0-h1_0-x"),
        Place("noarch", "alpha", "1.0-h1_0"),
    ],
)
def test_an_artifact_that_lies_elsewhere_than_it_says_is_left_out(place: Place) -> None:
    with pytest.raises(ContentError, match=r"index\.json"):
        read(CONDA, place=place)


def test_spelt_out_names_and_versions_are_where_they_belong() -> None:
    place = Place("linux-64", "zzz_alpha", "1__e__2__p__3-h1_0")
    title = "_alpha-1!2+3-h1_0.conda"
    reading = read_artifact(place, manifest(layer(title)), parsed(name="_alpha", version="1!2+3"))
    assert [record.file_name for record in reading.records] == [title]


@pytest.mark.parametrize(
    "title",
    [
        "openssl-1.0-h1_0.conda",
        "alpha-2.0-h1_0.conda",
        "alpha-1.0-h1_1.conda",
        f"../{STEM}.conda",
        f"/{STEM}.conda",
        f"linux-64/{STEM}.conda",
        f"{STEM}.conda/../x.conda",
        f"{STEM}.conda\n",
        f"{STEM}.CONDA",
        f"{STEM}.conda.conda",
        f"{STEM}.tar.bz2.conda",
        STEM,
        "",
    ],
)
def test_a_title_that_is_not_the_file_name_leaves_that_file_out(title: str) -> None:
    reading = read(layer(title, CONDA_TYPE), TARBZ2)
    assert [record.file_name for record in reading.records] == [f"{STEM}.tar.bz2"]
    (fault,) = reading.faults
    assert fault.file_name == title.replace("\n", "\\n")
    assert "title" in fault.reason


def test_a_layer_without_title_is_named_by_index_json_and_noted() -> None:
    reading = read(layer(None, TARBZ2_TYPE))
    assert [record.file_name for record in reading.records] == [f"{STEM}.tar.bz2"]
    assert any("no title" in note for note in reading.notes)


@pytest.mark.parametrize("media_type", ["", "application/octet-stream", TARBZ2_TYPE])
def test_a_missing_or_odd_media_type_is_tolerated_and_noted(media_type: str) -> None:
    reading = read(layer(f"{STEM}.conda", media_type))
    assert [record.file_name for record in reading.records] == [f"{STEM}.conda"]
    assert any("media type" in note for note in reading.notes)


def test_layers_that_nobody_knows_are_no_archives() -> None:
    others = [layer("sbom.json", "application/json"), layer(None, ""), layer("x.conda.asc", "")]
    assert archive_layers(manifest(CONDA, *others)) == [CONDA]


def test_the_same_file_twice_with_other_bytes_leaves_the_artifact_out() -> None:
    with pytest.raises(ContentError, match=f"{STEM}.conda"):
        read(CONDA, layer(f"{STEM}.conda", CONDA_TYPE, "other"))


def test_the_same_file_twice_with_the_same_bytes_is_one_record() -> None:
    assert len(read(CONDA, CONDA).records) == 1


@pytest.mark.parametrize("md5", ["", "abc", MD5.upper(), MD5 + "0", "g" * 32, f"md5:{MD5}"])
def test_an_md5_that_is_none_leaves_that_file_alone_out(md5: str) -> None:
    reading = read(layer(f"{STEM}.conda", md5=md5), TARBZ2)
    assert [record.file_name for record in reading.records] == [f"{STEM}.tar.bz2"]
    assert reading.faults[0].file_name == f"{STEM}.conda"
    assert "md5" in reading.faults[0].reason


def test_an_absent_md5_is_null() -> None:
    (record,) = read(layer(f"{STEM}.conda", md5=None)).records
    assert record.fields()["md5"] is None


def test_a_package_that_sets_what_the_index_decides_is_noted() -> None:
    reading = read_artifact(PLACE, manifest(CONDA), parsed(sha256="0" * 64, fn="x.conda"))
    assert reading.records[0].fields()["sha256"] == sha256("one")
    assert "fn" not in reading.records[0].fields()
    assert len(reading.notes) == 2


def test_the_index_json_layer_is_found_by_type_or_by_title() -> None:
    by_title = layer(f"{STEM}/info/index.json", "application/json")
    assert index_json_layer(ImageManifest((CONDA, by_title), {})) == by_title
    assert index_json_layer(manifest(CONDA)) == index_layer()


@pytest.mark.parametrize("layers", [(CONDA,), (), (CONDA, layer("info/x", ""))])
def test_an_artifact_without_index_json_is_left_out(layers: tuple[Descriptor, ...]) -> None:
    with pytest.raises(ContentError, match=r"no index\.json"):
        index_json_layer(ImageManifest(layers, {}))


def test_two_different_index_jsons_leave_the_artifact_out() -> None:
    with pytest.raises(ContentError, match=r"2 index\.json"):
        index_json_layer(manifest(CONDA, index_layer("another")))


def test_the_same_index_json_twice_is_one() -> None:
    again = layer(None, INDEX_JSON_TYPE, "index", md5=None)
    assert index_json_layer(manifest(CONDA, again)).digest == again.digest


def test_an_image_index_of_both_formats_is_both_records() -> None:
    merged = merge_readings([read(CONDA), read(TARBZ2)])
    assert len(merged.records) == 2


def test_an_image_index_that_disagrees_with_itself_is_left_out() -> None:
    other = read(layer(f"{STEM}.conda", CONDA_TYPE, "other"))
    with pytest.raises(ContentError, match=f"{STEM}.conda"):
        merge_readings([read(CONDA), other])


def test_faults_and_notes_of_every_part_are_told() -> None:
    merged = merge_readings([read(layer(None)), read(layer("x.conda"))])
    assert (len(merged.records), len(merged.notes), len(merged.faults)) == (1, 1, 1)


DESCRIPTION = "org.opencontainers.image.description"


def reading_of(summary: str | None) -> Reading:
    """A reading of a manifest that says this of the package."""
    said = {} if summary is None else {DESCRIPTION: summary}
    return read_artifact(PLACE, ImageManifest((CONDA, index_layer()), said), parsed())


def test_what_a_manifest_says_of_the_package_is_read_as_text() -> None:
    assert reading_of("a\n\u202eb").about == About(summary="a b")
    assert reading_of(None).about == NOTHING_KNOWN


def test_of_several_manifests_the_first_that_says_something_counts() -> None:
    parts = [reading_of(None), reading_of("one"), reading_of("two")]
    assert merge_readings(parts).about == About(summary="one")
    assert merge_readings(parts[:1]).about == NOTHING_KNOWN
