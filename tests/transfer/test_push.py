"""What is pushed, where to, and what is left as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import build
from indexer.errors import ConfigError, NotFoundError
from tests.transfer.help import KEY, Shop, Watcher, failures, moved

ALPHA = build("alpha")
ALPHA_BZ2 = build("alpha", archive="tar.bz2")
BETA = build("beta", "1!2.0+x", subdir="linux-64")
UNDERSCORED = build("_gamma", subdir="osx-arm64", archive="tar.bz2")
ALL = (ALPHA, ALPHA_BZ2, BETA, UNDERSCORED)
NAMES = sorted(f"{package.subdir}/{package.file_name}" for package in ALL)
SUBDIRS = ("noarch", "linux-64", "osx-arm64")


def test_what_was_pushed_is_indexed_as_it_is(shop: Shop) -> None:
    shop.lay(*ALL)
    outcome = shop.push()
    assert (moved(outcome), outcome.failures, outcome.notes) == (NAMES, [], [])
    records = shop.rebuilt(*SUBDIRS)
    assert records.keys() == {package.file_name for package in ALL}
    for package in ALL:
        record = records[package.file_name]
        assert (record["sha256"], record["md5"], record["size"], record["subdir"]) == (
            package.sha256,
            package.md5,
            package.size,
            package.subdir,
        )


def test_what_is_told_of_a_push_leads_to_it(shop: Shop) -> None:
    shop.lay(ALPHA)
    (item,) = shop.push().moved.first
    repository, tag = shop.where(ALPHA)
    assert (item.sha256, item.size) == (ALPHA.sha256, ALPHA.size)
    assert item.reference.endswith(f"{repository}:{tag}")
    assert item.digest == str(shop.registry.manifest(repository, tag).digest)


def test_nothing_pushed_is_born_validated(shop: Shop) -> None:
    shop.lay(*ALL)
    shop.push()
    shop.rig.rebuild(registry=shop.registry.address)
    assert shop.rig.records() == {}


def test_a_second_push_sends_nothing_and_writes_nothing(remote: Shop) -> None:
    fake = remote.rig.fake
    remote.lay(*ALL)
    remote.push()
    fake.clear_requests()
    outcome = remote.push()
    assert (outcome.present, outcome.moved.count, outcome.failed) == (4, 0, 0)
    assert {request.method for request in fake.requests} == {"GET"}
    # Three builds: one look at each.
    assert len(fake.requests) == 3


def test_what_the_peer_pushed_is_not_sent_again(remote: Shop) -> None:
    remote.lay(ALPHA, ALPHA_BZ2)
    remote.rig.push(ALPHA, ALPHA_BZ2)
    assert remote.push().present == 2
    assert remote.rig.fake.count("manifests", "PUT") == 0


def test_with_again_all_is_written_though_no_bytes_are_sent_twice(remote: Shop) -> None:
    fake = remote.rig.fake
    remote.lay(*ALL)
    remote.push()
    before = {package: remote.manifest(package) for package in (ALPHA, BETA, UNDERSCORED)}
    fake.clear_requests()
    outcome = remote.push(again=True)
    assert (outcome.present, outcome.moved.count) == (0, 4)
    assert (fake.count("manifests", "PUT"), fake.count("uploads")) == (3, 0)
    assert all(remote.manifest(package) == known for package, known in before.items())


def test_with_again_a_blob_that_was_lost_comes_back(local: Shop, tmp_path: Path) -> None:
    local.lay(ALPHA)
    local.push()
    repository, _ = local.where(ALPHA)
    blob = tmp_path / "layouts" / repository / "blobs" / "sha256" / ALPHA.sha256
    blob.unlink()
    local.push(again=True)
    assert blob.read_bytes() == ALPHA.data


def test_what_an_archive_says_of_itself_is_on_its_manifest(shop: Shop) -> None:
    shop.lay(ALPHA)
    shop.push()
    assert shop.manifest(ALPHA)["annotations"] == {
        "org.opencontainers.image.description": "A demonstration package called alpha",
        "org.opencontainers.image.url": "https://example.invalid/alpha",
    }


def test_what_an_archive_says_of_itself_is_in_the_index(shop: Shop) -> None:
    shop.lay(ALPHA)
    shop.push()
    shop.rebuilt()
    data = (shop.rig.site / "channeldata.json").read_bytes()
    package = json.loads(data)["packages"]["alpha"]
    assert package["summary"] == "A demonstration package called alpha"
    assert package["home"] == "https://example.invalid/alpha"


def test_nothing_is_pushed_again_for_what_it_says_alone(remote: Shop) -> None:
    remote.lay(ALPHA)
    remote.rig.push(ALPHA)
    before = remote.manifest(ALPHA)
    assert remote.push().present == 1
    assert remote.manifest(ALPHA) == before
    assert before["annotations"] == VALIDATED


def test_with_again_what_an_archive_says_is_added_to_what_is_there(remote: Shop) -> None:
    remote.lay(ALPHA)
    remote.rig.push(ALPHA)
    remote.push(again=True)
    found = remote.manifest(ALPHA)["annotations"]
    assert found.keys() > VALIDATED.keys()
    assert found["org.opencontainers.image.url"] == "https://example.invalid/alpha"


def test_archives_are_found_in_the_shape_of_a_channel_alone(shop: Shop) -> None:
    shop.lay(BETA)
    shop.lay(ALPHA, subdir="")
    shop.lay(build("deep"), subdir="src_cache")
    shop.lay(build("hidden"), subdir=".cache")
    (shop.folder / "noarch").mkdir()
    (shop.folder / "noarch" / "repodata.json").write_text("{}")
    (shop.folder / "noarch" / ".part-1.0-0.conda").write_text("half")
    (shop.folder / "noarch" / "folder-1.0-0.conda").mkdir()
    assert moved(shop.push()) == ["linux-64/beta-1!2.0+x-0.conda", "noarch/alpha-1.0-0.conda"]


def test_files_and_single_subdirs_can_be_named(shop: Shop) -> None:
    (alpha, _, beta, _) = shop.lay(*ALL)
    assert moved(shop.push(alpha, beta.parent)) == [
        "linux-64/beta-1!2.0+x-0.conda",
        "noarch/alpha-1.0-0.conda",
    ]


@pytest.mark.parametrize("name", ["absent", "absent-1.0-0.conda", "notes.txt", "empty"])
def test_a_path_without_archives_pushes_nothing_at_all(shop: Shop, name: str) -> None:
    (shop.folder / "empty").mkdir()
    (shop.folder / "notes.txt").write_text("x")
    paths = shop.lay(ALPHA)
    with pytest.raises(ConfigError, match=name):
        shop.push(*paths, shop.folder / name)
    with pytest.raises(NotFoundError):
        shop.manifest(ALPHA)


def test_index_json_says_the_subdir_whatever_the_folder_is_called(shop: Shop) -> None:
    shop.lay(BETA, subdir="win-64")
    outcome = shop.push()
    assert moved(outcome) == ["linux-64/beta-1!2.0+x-0.conda"]
    (note,) = outcome.notes
    assert "win-64/beta" in note
    assert note.endswith("its index.json makes it linux-64")


def test_the_folder_says_it_where_index_json_does_not(shop: Shop) -> None:
    old = build("old", drop=["subdir"])
    shop.lay(old, subdir="linux-64")
    assert moved(shop.push(subdirs=("linux-64", "noarch"))) == ["linux-64/old-1.0-0.conda"]
    assert shop.rebuilt("linux-64").keys() == {old.file_name}


def test_a_single_subdir_says_it_where_nothing_else_does(shop: Shop) -> None:
    paths = shop.lay(build("old", drop=["subdir"]), subdir="win-64")
    assert moved(shop.push(*paths, subdirs=("osx-64",))) == ["osx-64/old-1.0-0.conda"]


@pytest.mark.parametrize("subdirs", [(), ("linux-64", "noarch")])
def test_a_subdir_that_nobody_says_is_not_guessed(shop: Shop, subdirs: tuple[str, ...]) -> None:
    old = build("old", drop=["subdir"])
    outcome = shop.push(*shop.lay(old, ALPHA, subdir=""), subdirs=subdirs)
    assert "names no subdir" in failures(outcome)[old.file_name]
    assert moved(outcome) == ["noarch/alpha-1.0-0.conda"]


def test_other_subdirs_are_passed_over_and_counted(shop: Shop) -> None:
    shop.lay(*ALL)
    outcome = shop.push(subdirs=("linux-64",))
    assert moved(outcome) == ["linux-64/beta-1!2.0+x-0.conda"]
    assert outcome.notes == [
        "2 archives of noarch are passed over, by --subdir",
        "1 archives of osx-arm64 are passed over, by --subdir",
    ]


@pytest.mark.parametrize(
    "lie", [{"name": "openssl"}, {"version": "2.0"}, {"build": "1"}, {"subdir": "../x"}]
)
def test_a_file_that_is_not_what_it_is_called_stays_here(shop: Shop, lie: dict[str, str]) -> None:
    liar = build("liar", extra_index=lie)
    shop.lay(liar, ALPHA)
    outcome = shop.push()
    assert "index.json" in failures(outcome)[liar.file_name]
    assert moved(outcome) == ["noarch/alpha-1.0-0.conda"]
    assert list(shop.rebuilt()) == [ALPHA.file_name]


def test_a_version_that_no_tag_can_hold_is_refused_by_name_and_reason(shop: Shop) -> None:
    # 128 characters, 129, and far more once "+" is spelt out.
    fits, long = (build("alpha", "1." * 31 + end, "b" * 64) for end in ("1", "11"))
    local = build("alpha", "1+" + ".".join("2" * 30), "b" * 64)
    shop.lay(fits, long, local)
    outcome = shop.push()
    reasons = failures(outcome)
    assert reasons.keys() == {long.file_name, local.file_name}
    assert all("at most 128" in reason for reason in reasons.values())
    assert moved(outcome) == [f"noarch/{fits.file_name}"]


def test_what_no_index_will_have_is_pushed_and_noted(shop: Shop) -> None:
    shop.lay(build("odd", depends=["python >=>3"]))
    outcome = shop.push()
    assert outcome.moved.count == 1
    assert "no index will have it" in outcome.notes[0]


def test_a_file_that_is_named_twice_goes_once(shop: Shop) -> None:
    (path,) = shop.lay(ALPHA)
    shutil.copy(path, shop.folder / ALPHA.file_name)
    outcome = shop.push(path, shop.folder, path)
    assert (outcome.moved.count, outcome.failed) == (1, 0)


def test_of_two_different_files_of_one_name_the_second_is_a_failure(shop: Shop) -> None:
    other = build("alpha", message="other")
    shop.lay(other)
    shop.lay(ALPHA, subdir="")
    outcome = shop.push()
    assert "another file of this name comes first" in failures(outcome)[ALPHA.file_name]
    assert [item.sha256 for item in outcome.moved.first] == [ALPHA.sha256]


@pytest.mark.parametrize("first", [ALPHA, ALPHA_BZ2])
def test_formats_pushed_in_two_runs_share_the_tag(shop: Shop, first: object) -> None:
    for package in sorted((ALPHA, ALPHA_BZ2), key=lambda one: one is not first):
        assert moved(shop.push(*shop.lay(package))) == [f"noarch/{package.file_name}"]
    records = shop.rebuilt()
    assert {name: record["sha256"] for name, record in records.items()} == {
        package.file_name: package.sha256 for package in (ALPHA, ALPHA_BZ2)
    }


def test_both_formats_at_once_are_one_write(remote: Shop) -> None:
    remote.lay(ALPHA, ALPHA_BZ2)
    outcome = remote.push()
    assert remote.rig.fake.count("manifests", "PUT") == 1
    assert len({item.digest for item in outcome.moved.first}) == 1


@pytest.mark.parametrize(
    ("package", "is_kept"), [(ALPHA, True), (build("alpha", message="new"), False)]
)
def test_the_mark_stays_with_what_was_judged(remote: Shop, package: object, is_kept: bool) -> None:  # noqa: FBT001
    image = package_manifest([ALPHA], annotations=VALIDATED)
    repository, _ = remote.where(ALPHA)
    remote.rig.fake.add(repository, image)
    remote.lay(ALPHA if package is ALPHA else build("alpha", message="new"))
    remote.push(again=True)
    assert (KEY in remote.manifest(ALPHA)["annotations"]) == is_kept


def test_a_dry_run_counts_what_would_go_and_writes_nothing(remote: Shop) -> None:
    fake = remote.rig.fake
    remote.rig.push(UNDERSCORED)
    remote.lay(*ALL)
    outcome = remote.push(dry_run=True)
    assert outcome.dry_run
    assert {request.method for request in fake.requests} == {"GET", "HEAD"}
    assert (outcome.moved.count, outcome.present) == (3, 1)
    assert outcome.moved.size == sum(package.size for package in (ALPHA, ALPHA_BZ2, BETA))


def test_a_dry_run_makes_no_folder(local: Shop, tmp_path: Path) -> None:
    local.lay(*ALL)
    assert moved(local.push(dry_run=True)) == NAMES
    assert not (tmp_path / "layouts").exists()


def test_the_bar_comes_to_its_end_whatever_was_there(shop: Shop) -> None:
    shop.lay(*ALL)
    for again in (False, True):
        watcher = Watcher()
        shop.push(progress=watcher, again=again)
        assert watcher.steps == watcher.totals
        assert watcher.totals["Pushing"] == sum(package.size for package in ALL)


def test_nothing_is_left_in_scratch(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (path, *_) = shop.lay(*ALL)
    path.write_bytes(ALPHA.data[:-40])
    assert shop.push().failed == 1
    assert list(scratch.iterdir()) == []
