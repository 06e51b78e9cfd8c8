"""What a rebuild makes of a registry when nothing is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from demo.layers import package_manifest
from demo.packages import build
from indexer.channel.policy import Policy
from indexer.render import shards, zstd
from indexer.render.zstd import decompress
from tests.support.rig import Rig


def test_only_what_is_validated_is_in_the_index(rig: Rig) -> None:
    let_in, waiting = build("alpha"), build("beta")
    rig.push(let_in)
    rig.push(waiting, validated=False)

    report = rig.rebuild()

    assert list(rig.records()) == [let_in.file_name]
    assert [item.repository for item in report.waiting] == ["beta"]
    assert report.left_out == []
    rig.assert_sound()


def test_another_value_of_the_annotation_is_no_validation(rig: Rig) -> None:
    image = package_manifest([build("alpha")], annotations={"org.conda-forge.status": "rejected"})
    rig.fake.add(rig.repository("noarch", "alpha"), image)

    rig.rebuild()

    assert rig.records() == {}


def test_policy_none_lets_everything_in_and_says_so(rig: Rig) -> None:
    rig.push(build("alpha"), validated=False)

    report = rig.rebuild(policy=Policy("none"))

    assert len(rig.records()) == 1
    assert report.policy == "none"
    assert "Nothing here has been validated" in (rig.site / "index.html").read_text()


def test_a_record_says_what_archive_and_index_json_say(rig: Rig) -> None:
    package = build("alpha", depends=["python >=3.9"], extra_index={"license": "MIT", "odd": [1]})
    rig.push(package)

    rig.rebuild()

    record = rig.records()[package.file_name]
    assert record.pop("indexed_timestamp") == int(rig.now.timestamp() * 1000)
    expected = {"sha256": package.sha256, "md5": package.md5, "size": package.size}
    assert record == package.index | expected


def test_both_formats_of_a_build_are_two_records(rig: Rig) -> None:
    pair = build("alpha"), build("alpha", archive="tar.bz2")
    rig.push(*pair)

    rig.rebuild()

    document = json.loads((rig.site / "noarch/repodata.json").read_bytes())
    assert document["packages"].keys() == {pair[1].file_name}
    assert document["packages.conda"].keys() == {pair[0].file_name}


def test_index_json_without_subdir_or_depends_is_completed(rig: Rig) -> None:
    package = build("alpha", drop=["subdir", "depends"])
    rig.push(package)

    rig.rebuild()

    record = rig.records()[package.file_name]
    assert (record["subdir"], record["depends"]) == ("noarch", [])


def test_names_with_a_leading_underscore_are_found(rig: Rig) -> None:
    package = build("_libgcc_mutex")
    rig.push(package)

    rig.rebuild()

    assert list(rig.records()) == [package.file_name]


def test_what_is_no_package_is_not_read(rig: Rig) -> None:
    package = build("alpha")
    rig.push(package)
    repository = rig.repository("noarch", "alpha")
    rig.fake.add_manifest(repository, "latest", b"{}", "application/vnd.oci.image.manifest.v1+json")
    rig.fake.add_manifest(
        repository, "sha256-" + "a" * 64, b"{}", "application/vnd.oci.image.index.v1+json"
    )
    rig.fake.add_manifest(
        rig.repository("noarch", "repodata.json"), "latest", b"{}", "application/json"
    )
    rig.fake.add_manifest(
        rig.repository("noarch", "repodata.json/shards"), "a" * 64, b"{}", "application/json"
    )

    report = rig.rebuild()

    assert report.left_out == []
    assert rig.fake.count("manifests") == 1


def test_subdirs_come_from_the_registry(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta", subdir="linux-64"))

    rig.rebuild()

    assert list(rig.records("linux-64")) == ["beta-1.0-0.conda"]
    assert json.loads((rig.site / "channeldata.json").read_bytes())["subdirs"] == [
        "linux-64",
        "noarch",
    ]


def test_noarch_is_made_only_where_it_is_absent(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta", subdir="linux-64"))

    rig.rebuild(subdirs=("linux-64",))
    assert rig.records("noarch") == {}
    rig.rebuild(subdirs=("noarch",))
    before = rig.tree()
    rig.push(build("beta", "2.0", subdir="linux-64"))
    rig.rebuild(subdirs=("linux-64",))

    after = rig.tree()
    assert len(rig.records("noarch")) == 1
    assert {k: v for k, v in before.items() if k.startswith("noarch/")} == {
        k: v for k, v in after.items() if k.startswith("noarch/")
    }
    rig.assert_sound()


def test_channel_wide_files_know_the_subdirs_a_run_did_not_read(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta", subdir="linux-64"))

    rig.rebuild(subdirs=("noarch",))
    rig.rebuild(subdirs=("linux-64",))

    packages = json.loads((rig.site / "channeldata.json").read_bytes())["packages"]
    assert packages.keys() == {"alpha", "beta"}
    assert "alpha" in (rig.site / "index.html").read_text()


def test_an_empty_registry_makes_an_empty_channel(rig: Rig) -> None:
    rig.fake.add_repository("acme/elsewhere")

    rig.rebuild(subdirs=("linux-64",))

    assert rig.records("linux-64") == rig.records("noarch") == {}
    rig.assert_sound()


def test_shards_hold_what_repodata_holds(rig: Rig) -> None:
    package = build("alpha")
    rig.push(package)
    rig.rebuild()

    folder = rig.site / "noarch"
    info, hashes = shards.unpack_index((folder / shards.INDEX_NAME).read_bytes())
    packed = (folder / "shards" / f"{hashes['alpha']}.msgpack.zst").read_bytes()
    records = shards.unpack_shard(decompress(packed, shards.MAX_SHARD))

    assert info == {"subdir": "noarch", "base_url": "", "shards_base_url": "shards/"}
    assert records[package.file_name].fields() == rig.records()[package.file_name]


def test_nothing_tells_a_run_exports_that_nobody_read(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    assert not (rig.site / "noarch/run_exports.json").exists()


def test_a_base_url_that_no_client_can_follow_is_not_published(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    document = json.loads((rig.site / "noarch/repodata.json").read_bytes())
    assert document["info"] == {"subdir": "noarch"}
    assert document["repodata_version"] == 1
    assert "takes a gateway" in (rig.site / "index.html").read_text()


def test_a_base_url_that_is_given_stands_in_both_forms(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild(base_url="https://conda.example.org/forge")

    document = json.loads((rig.site / "noarch/repodata.json").read_bytes())
    info, _ = shards.unpack_index((rig.site / "noarch" / shards.INDEX_NAME).read_bytes())
    assert document["info"]["base_url"] == "https://conda.example.org/forge/noarch/"
    assert document["repodata_version"] == 2
    assert info["base_url"] == "https://conda.example.org/forge/noarch/"


def test_a_new_base_url_rewrites_an_unchanged_channel(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    report = rig.rebuild(base_url="https://conda.example.org/forge")
    assert report.outcome == "published"
    assert "base_url" in (rig.site / "noarch/repodata.json").read_text()
    rig.assert_sound()


def test_a_new_gateway_is_told_of_by_the_pages_of_an_unchanged_channel(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    index = (rig.site / "noarch/repodata.json").read_bytes()
    report = rig.rebuild(gateway_url="https://gateway.example.org/forge")
    assert report.outcome == "published"
    for page in ("index.html", "packages/alpha/index.html"):
        text = (rig.site / page).read_text()
        assert "conda install --override-channels --channel https://gateway.example.org/f" in text
        assert "ADDRESS-OF" not in text
    assert json.loads((rig.site / "api/v1/channel.json").read_bytes())["gateway"]
    assert (rig.site / "noarch/repodata.json").read_bytes() == index
    again = rig.rebuild(gateway_url="https://gateway.example.org/forge")
    assert again.outcome == "unchanged"
    rig.assert_sound()


def test_files_of_the_operator_survive_a_publication(rig: Rig, tmp_path: Path) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (tmp_path / "site/CNAME").write_text("conda.example.org")
    rig.push(build("beta"))

    rig.rebuild()

    assert (rig.site / "CNAME").read_text() == "conda.example.org"


def test_a_build_time_in_the_future_is_told_of(rig: Rig) -> None:
    rig.push(build("alpha", extra_index={"timestamp": 4_102_444_800_000}))
    report = rig.rebuild()
    assert len(rig.records()) == 1
    assert any("lies in the future" in note for note in report.notes)


def test_a_build_that_was_taken_out_is_not_named_as_the_newest(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("evil"))
    rig.rebuild()
    rig.fake.remove_tag(rig.repository("noarch", "evil"), "1.0-0")
    rig.rebuild()
    page = (rig.site / "index.html").read_text()
    assert "packages/alpha/" in page
    assert "evil" not in page


def test_the_plan_names_what_goes_before_what_comes(rig: Rig) -> None:
    for number in range(3):
        rig.push(build(f"old{number}"))
    rig.rebuild()
    for number in range(3):
        rig.fake.remove_tag(rig.repository("noarch", f"old{number}"), "1.0-0")
        rig.push(build(f"new{number}"))
    report = rig.rebuild(dry_run=True)
    assert [change["kind"] for change in report.changes] == ["removed"] * 3 + ["added"] * 3


def test_a_base_url_that_was_declined_on_purpose_is_no_cause_for_a_note(rig: Rig) -> None:
    rig.push(build("alpha"))
    assert any("base_url" in note for note in rig.rebuild().notes)
    assert not any("base_url" in note for note in rig.rebuild(base_url="none").notes)
    known = rig.rebuild(gateway_url="https://gateway.example.org/forge").notes
    assert not any("base_url" in note for note in known)


def test_an_old_shard_stays_where_only_its_compression_differs(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push(build("alpha", extra_index={"depends": [f"dep{n} >={n}" for n in range(300)]}))
    rig.rebuild()
    before = rig.tree()
    (shard,) = (rig.site / "noarch/shards").iterdir()
    unpacked = zstd.decompress(shard.read_bytes(), 10**6)
    monkeypatch.setattr(zstd, "LEVEL", 1)
    assert zstd.compress(unpacked) != shard.read_bytes()
    # The damage makes every file be written anew, from the same records.
    (rig.site / "noarch/repodata.json").write_bytes(b"")
    rig.rebuild()
    shards = {path for path in before if "/shards/" in path}
    assert shards
    assert {path for path in rig.tree() if "/shards/" in path} == shards


def test_the_status_of_a_run_without_news_is_written_and_tells_what_waits_longest(
    rig: Rig,
) -> None:
    rig.push(build("alpha"), validated=False)
    rig.rebuild()
    since = rig.now
    rig.push(build("beta"), validated=False)
    rig.rebuild()
    rig.rebuild()
    status = json.loads((rig.site / "status.json").read_bytes())
    assert status["outcome"] == "unchanged"
    assert status["time"] == rig.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert status["waiting"]["total"] == 2
    assert status["waiting"]["oldest"] == since.strftime("%Y-%m-%dT%H:%M:%SZ")
