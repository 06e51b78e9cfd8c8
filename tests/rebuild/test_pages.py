"""Pages and API in the site: which are written again, which go, and what there is room for."""

from __future__ import annotations

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.errors import ConfigError
from tests.support.rig import Rig, tree_of
from tests.support.web import served

DESCRIPTION = "org.opencontainers.image.description"


def page(rig: Rig, name: str) -> str:
    return (rig.site / f"packages/{name}/index.html").read_text()


def api(rig: Rig, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((rig.site / f"api/v1/packages/{name}.json").read_bytes())
    return document


def push_described(rig: Rig, package: Package, summary: str) -> None:
    image = package_manifest([package], annotations={**VALIDATED, DESCRIPTION: summary})
    rig.fake.add(rig.repository(package.subdir, image.repository_name), image)


def places(rig: Rig) -> dict[str, int]:
    """Each file and its inode: another one is a file that was written again."""
    return {
        path.relative_to(rig.site).as_posix(): path.stat().st_ino
        for path in rig.site.rglob("*")
        if path.is_file()
    }


def written(rig: Rig, before: dict[str, int]) -> set[str]:
    """The names whose page, feed, API file or badge was written again."""
    changed = {path for path, inode in places(rig).items() if before.get(path) != inode}
    pattern = re.compile(r"(?:packages|api/v1/packages|api/v1/badges)/([^/]+?)(?:\.json|/.*)")
    return {match[1] for path in changed if (match := pattern.fullmatch(path))}


def test_a_page_tells_of_each_build_and_where_its_bytes_are(rig: Rig) -> None:
    made = build("alpha", "1.2", subdir="linux-64", depends=["beta >=1"])
    rig.push(made)
    rig.push(build("alpha", "1.1", subdir="linux-64"))
    rig.push(build("beta"))
    rig.rebuild()
    text = page(rig, "alpha")
    host = rig.fake.http.removeprefix("http://")
    blob = f"http://{host}/v2/acme/forge/linux-64/alpha/blobs/sha256:{made.sha256}"
    assert f'href="{blob}"' in text
    assert f"oci://{host}/acme/forge/linux-64/alpha@sha256:{made.sha256}" in text
    assert text.index("alpha-1.2-0.conda") < text.index("alpha-1.1-0.conda")
    assert 'href="../../packages/beta/">beta &gt;=1</a>' in text
    assert 'href="../../packages/alpha/"' in page(rig, "beta")
    document = api(rig, "alpha")
    template = document["blob"]["https"]
    assert template.replace("{subdir}", "linux-64").replace("{sha256}", made.sha256) == blob
    assert document["builds"][0]["record"] == rig.records("linux-64")["alpha-1.2-0.conda"]


def test_a_new_package_leaves_the_pages_of_others_alone(rig: Rig) -> None:
    for name in ("alpha", "beta", "gamma"):
        rig.push(build(name, depends=["alpha"] if name == "beta" else ()))
    rig.rebuild()
    before = places(rig)
    rig.push(build("delta", depends=["gamma", "missing"]))
    rig.rebuild()
    assert written(rig, before) == {"delta", "gamma"}
    assert "packages/delta/" in page(rig, "gamma")


def test_who_needs_a_package_is_told_when_that_changes(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta", depends=["alpha"]))
    rig.rebuild()
    before = places(rig)
    rig.push(build("beta", "2.0", depends=["gamma"]))
    rig.rebuild()
    assert written(rig, before) == {"alpha", "beta"}
    assert "packages/beta/" not in page(rig, "alpha")
    assert api(rig, "alpha")["dependents"] == []


def test_a_link_comes_and_goes_with_the_package_that_it_leads_to(rig: Rig) -> None:
    rig.push(build("beta", depends=["alpha"]))
    rig.rebuild()
    assert "packages/alpha/" not in page(rig, "beta")
    rig.push(build("alpha"))
    rig.rebuild()
    assert "packages/alpha/" in page(rig, "beta")
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "1.0-0")
    rig.rebuild()
    assert "packages/alpha/" not in page(rig, "beta")
    assert not [path for path in places(rig) if "/alpha" in path]
    rig.assert_sound()


def test_a_summary_alone_is_a_change_of_its_page(rig: Rig) -> None:
    push_described(rig, build("alpha"), "First words")
    rig.push(build("beta"))
    rig.rebuild()
    before, index = places(rig), rig.site / "noarch/repodata.json"
    bytes_before = index.read_bytes()
    push_described(rig, build("alpha"), "Other words")
    assert rig.rebuild(recheck=1).outcome == "published"
    assert written(rig, before) == {"alpha"}
    assert "Other words" in page(rig, "alpha")
    assert "Other words" in (rig.site / "search/names.json").read_text()
    assert index.read_bytes() == bytes_before


def test_a_run_of_one_subdir_tells_of_the_builds_in_all(rig: Rig) -> None:
    rig.push(build("alpha", subdir="linux-64"))
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("alpha", "2.0"))
    rig.rebuild(subdirs=("noarch",))
    found = [(item["subdir"], item["version"]) for item in api(rig, "alpha")["builds"]]
    assert found == [("noarch", "2.0"), ("noarch", "1.0"), ("linux-64", "1.0")]


def test_pages_go_and_come_back_as_it_is_said(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild(pages=False)
    bare = set(rig.tree())
    assert not {path for path in bare if path.endswith((".html", ".xml", ".css"))}
    rig.rebuild()
    full = rig.tree()
    (rig.site / "CNAME").write_text("conda.example.org")
    rig.rebuild(pages=False)
    assert set(rig.tree()) == bare | {"CNAME"}
    assert (rig.site / "CNAME").read_text() == "conda.example.org"
    (rig.site / "CNAME").unlink()
    rig.rebuild()
    assert rig.tree() == full


@pytest.mark.parametrize(
    "path", ["packages/alpha", "api/v1/badges/alpha.json", "status/index.html"]
)
def test_what_somebody_deleted_is_drawn_again_though_nothing_is_new(rig: Rig, path: str) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    target = rig.site / path
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    rig.rebuild()
    assert rig.tree() == before


def test_a_page_that_was_spoilt_is_drawn_again_with_the_next_change(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = page(rig, "alpha")
    (rig.site / "packages/alpha/index.html").write_text("spoilt")
    rig.push(build("beta"))
    rig.rebuild()
    assert page(rig, "alpha") == before


def test_pages_are_drawn_anew_where_the_site_is_at_an_address(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    published = rig.site.rename(rig.root / "published")
    with served(published) as address:
        assert rig.rebuild(previous=address).outcome == "unchanged"
    assert rig.tree() == before


def size_of(rig: Rig) -> int:
    return sum(path.stat().st_size for path in rig.site.rglob("*") if path.is_file())


def test_what_there_is_no_room_for_is_left_out_and_told(rig: Rig) -> None:
    for number in range(30):
        rig.push(build(f"pkg{number:02}"))
    rig.rebuild(pages=False)
    bare = size_of(rig)
    full = rig.rebuild()
    whole = size_of(rig)
    assert not [note for note in full.notes if "site" in note]
    assert [
        note for note in rig.rebuild(max_site_size=int(whole * 1.6)).notes if "site has" in note
    ] == []
    report = rig.rebuild(max_site_size=whole - 20_000)
    assert not (rig.site / "packages").exists()
    assert api(rig, "pkg07")["name"] == "pkg07"
    assert "packages/" not in (rig.site / "browse/p/index.html").read_text().replace(
        "api/v1/packages/", ""
    )
    assert any("pages of single packages are left out" in note for note in report.notes)
    rig.assert_sound()
    report = rig.rebuild(max_site_size=bare)
    assert not (rig.site / "api/v1/packages").exists()
    assert any("pages and API files" in note for note in report.notes)
    assert any("more than --max-site-size" in note for note in report.notes)
    assert "packages.json" not in {path.name for path in (rig.site / "api/v1").iterdir()}
    # A run that finds nothing new tells of it, too.
    again = rig.rebuild(max_site_size=bare)
    assert again.outcome == "unchanged"
    assert [note for note in again.notes if "max-site-size" in note] == [
        note for note in report.notes if "max-site-size" in note
    ]
    assert len(rig.records()) == 30
    rig.assert_sound()
    rig.rebuild()
    assert page(rig, "pkg07")


def test_a_site_near_its_limit_is_warned_of(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    size = size_of(rig)
    report = rig.rebuild(max_site_size=size * 2)
    assert not [note for note in report.notes if "the site has" in note]
    (rig.site / "large").write_bytes(b" " * int(size * 0.7))
    rig.push(build("beta"))
    report = rig.rebuild(max_site_size=size * 2)
    (note,) = [note for note in report.notes if "the site has" in note]
    assert re.search(r"\b(8[0-9]|9[0-9])% of --max-site-size", note)


def test_the_status_page_follows_what_waits_and_keeps_its_bytes_otherwise(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    path = rig.site / "status/index.html"
    before, inode = path.read_bytes(), path.stat().st_ino
    assert rig.rebuild().outcome == "unchanged"
    assert path.stat().st_ino == inode
    rig.push(build("beta"), validated=False)
    assert rig.rebuild().outcome == "unchanged"
    assert "noarch/beta:1.0-0" in path.read_text()
    assert "1 artifact waits; the oldest since" in path.read_text()
    rig.fake.remove_tag(rig.repository("noarch", "beta"), "1.0-0")
    rig.rebuild()
    assert path.read_bytes() == before


def test_what_is_left_out_is_on_the_status_page_with_the_reason(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("evil"), repository="openssl")
    rig.rebuild()
    text = (rig.site / "status/index.html").read_text()
    assert "index.json names evil, whose repository would be evil" in text
    assert "1 thing is left out" in text


def test_the_last_change_stays_told_while_nothing_changes(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"))
    rig.rebuild()
    rig.fake.remove_tag(rig.repository("noarch", "beta"), "1.0-0")
    rig.push(build("gamma"))
    rig.push(build("gamma", "2.0"))
    changed = rig.rebuild()
    rig.push(build("delta"), validated=False)
    rig.rebuild()
    text = (rig.site / "status/index.html").read_text()
    assert f'datetime="{changed.time}"' in text
    assert "2 added, 1 removed, 0 changed" in text


@pytest.mark.parametrize("place", ["packages/alpha", "api/v1/packages/alpha.json"])
def test_a_link_in_the_place_of_a_page_gives_way_to_it(
    rig: Rig, tmp_path: Path, place: str
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    elsewhere = tmp_path / "elsewhere"
    (rig.site / place).rename(elsewhere)
    content = elsewhere.read_bytes() if elsewhere.is_file() else sorted(elsewhere.iterdir())
    (rig.site / place).symlink_to(elsewhere)
    rig.push(build("beta"))
    rig.rebuild()
    assert not (rig.site / place).is_symlink()
    assert {path: rig.tree()[path] for path in before if "/alpha" in path} == {
        path: digest for path, digest in before.items() if "/alpha" in path
    }
    assert content == (
        elsewhere.read_bytes() if elsewhere.is_file() else sorted(elsewhere.iterdir())
    )


@pytest.mark.parametrize("place", ["packages", "api", "status", "assets"])
@pytest.mark.parametrize("settings", [{}, {"pages": False}], ids=["pages", "no-pages"])
def test_nothing_is_written_or_deleted_through_a_link(
    rig: Rig, tmp_path: Path, place: str, settings: dict[str, Any]
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    elsewhere = tmp_path / "elsewhere"
    (rig.site / place).rename(elsewhere)
    (rig.site / place).symlink_to(elsewhere)
    before = tree_of(elsewhere)
    rig.push(build("beta"), validated=False)
    rig.push(build("alpha", "2.0"))
    with pytest.raises(ConfigError, match=f"{place} in the output is a symbolic link"):
        rig.rebuild(**settings)
    assert tree_of(elsewhere) == before


def test_an_unchanged_run_writes_no_status_through_a_link(rig: Rig, tmp_path: Path) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (rig.site / "status").rename(tmp_path / "elsewhere")
    (rig.site / "status").symlink_to(tmp_path / "elsewhere")
    before = tree_of(tmp_path / "elsewhere")
    rig.push(build("beta"), validated=False)
    with pytest.raises(ConfigError, match="status in the output is a symbolic link"):
        rig.rebuild()
    assert tree_of(tmp_path / "elsewhere") == before


@pytest.mark.parametrize(
    ("place", "is_folder"),
    [
        ("packages/alpha", False),
        ("packages/alpha/index.html", True),
        ("api/v1/packages/alpha.json", True),
        ("status", False),
        ("search/names.json", True),
        ("browse", False),
        ("packages", False),
    ],
)
def test_what_lies_in_the_way_of_a_page_gives_way(rig: Rig, place: str, *, is_folder: bool) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    path = rig.site / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.mkdir() if is_folder else path.write_text("in the way")
    rig.push(build("alpha", "2.0"))
    rig.rebuild()
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "2.0-0")
    rig.rebuild(allow_drop=True)
    mended = rig.tree()
    assert {path for path in before if mended.get(path) != before[path]} <= {
        *("history/changes.json", "history/counts.json", "history/snapshot.json"),
        "history/generations.json",
        *("changes/index.html", "status/index.html", "api/v1/changes.json"),
    }


def test_a_stray_file_among_the_pages_is_taken_out_once(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (rig.site / "api/v1/packages/alpha").write_text("stray")
    rig.rebuild()
    assert not (rig.site / "api/v1/packages/alpha").exists()
    assert rig.rebuild().outcome == "unchanged"


def test_what_was_there_before_there_were_pages_is_not_deleted(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild(pages=False)
    for path in (".nojekyll", "status/index.html", "packages/mine.conda"):
        (rig.site / path).parent.mkdir(exist_ok=True)
        (rig.site / path).write_text("mine")
    rig.push(build("beta"))
    rig.rebuild(pages=False)
    assert (rig.site / "packages/mine.conda").read_text() == "mine"
    assert (rig.site / "status/index.html").read_text() == "mine"
    with pytest.raises(ConfigError, match="packages/ in the output isn't cf-index's"):
        rig.rebuild()
    assert (rig.site / "packages/mine.conda").read_text() == "mine"


def spoil_shard(rig: Rig, subdir: str) -> None:
    (path,) = (rig.site / subdir / "shards").iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)


def test_a_spoilt_shard_keeps_no_index_from_being_published(rig: Rig) -> None:
    rig.push(build("beta", subdir="linux-64"))
    rig.rebuild()
    old = page(rig, "beta")
    spoil_shard(rig, "linux-64")
    rig.push(build("alpha", depends=["beta"]))
    report = rig.rebuild(subdirs=("noarch",))
    assert report.outcome == "published"
    assert any("beta" in note and "can't be read" in note for note in report.notes)
    assert page(rig, "beta") == old
    rig.push(build("gamma"))
    rig.rebuild(full=True)
    assert "packages/alpha/" in page(rig, "beta")
    rig.assert_sound()


def test_the_status_tells_of_what_a_run_did_not_read(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("evil", subdir="linux-64"), repository="openssl")
    rig.push(build("waits", subdir="linux-64"), validated=False)
    rig.push(build("here"), validated=False)
    rig.rebuild()
    text = (rig.site / "status/index.html").read_text()
    rig.push(build("beta"))
    for settings in ({"subdirs": ("noarch",)}, {"packages": ("beta",)}):
        rig.rebuild(**settings)
        shown = (rig.site / "status/index.html").read_text()
        for part in ("linux-64/openssl", "linux-64/waits:1.0-0", "noarch/here:1.0-0"):
            assert part in text
            assert part in shown
    rig.fake.remove_tag(rig.repository("linux-64", "waits"), "1.0-0")
    rig.rebuild()
    assert "linux-64/waits" not in (rig.site / "status/index.html").read_text()


def test_a_run_that_broke_off_while_pages_changed_has_all_drawn_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    rig.push(build("alpha", "2.0"))

    def swap(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("indexer.rebuild.publish.Output.swap", swap)
        with pytest.raises(KeyboardInterrupt):
            rig.rebuild()
    assert "2.0" in page(rig, "alpha")
    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "2.0-0")
    rig.rebuild(allow_drop=True)
    assert rig.tree() == before


def test_pages_come_back_when_what_took_their_room_is_gone(rig: Rig) -> None:
    for number in range(20):
        rig.push(build(f"pkg{number:02}"))
    rig.rebuild()
    limit = size_of(rig) * 2
    for number in range(500):
        rig.push(build("pkg00", f"1.{number}"))
    rig.rebuild(max_site_size=limit)
    assert not (rig.site / "packages").exists()
    for number in range(500):
        rig.fake.remove_tag(rig.repository("noarch", "pkg00"), f"1.{number}-0")
    rig.push(build("pkg00"))
    rig.now += timedelta(days=8)
    rig.rebuild(max_site_size=limit, allow_drop=True)
    rig.now += timedelta(days=8)
    rig.push(build("new"))
    rig.rebuild(max_site_size=limit)
    assert (rig.site / "packages/pkg00/index.html").exists()


@pytest.mark.parametrize("path", ["../victim", "/victim", ".", "noarch/repodata.json", "a/../b"])
def test_a_hostile_previous_site_has_nothing_deleted(rig: Rig, path: str) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    victim = rig.root / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    published = rig.site.rename(rig.root / "published")
    snapshot = json.loads((published / "history/snapshot.json").read_bytes())
    snapshot["pages"]["files"][str(victim) if path == "/victim" else path] = {
        "sha256": "0" * 64,
        "size": 1,
    }
    (published / "history/snapshot.json").write_text(json.dumps(snapshot))
    rig.rebuild(previous=str(published))
    assert (victim / "file").read_text() == "mine"
    assert page(rig, "alpha")
    rig.assert_sound()


@pytest.mark.parametrize("place", ["packages", "api", "api/v1"])
def test_links_and_files_of_a_site_without_pages_are_left_alone(
    rig: Rig, tmp_path: Path, place: str
) -> None:
    rig.push(build("alpha"))
    rig.rebuild(pages=False)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "v1/packages").mkdir(parents=True)
    (elsewhere / "v1/packages/mine").write_text("mine")
    (rig.site / place).parent.mkdir(exist_ok=True)
    (rig.site / place).symlink_to(elsewhere)
    (rig.site / "kept").write_text("mine")
    rig.push(build("beta"))
    rig.rebuild(pages=False)
    assert (rig.site / place).is_symlink()
    assert tree_of(elsewhere).keys() == {"v1/packages/mine"}


@pytest.mark.parametrize("place", ["packages", "api/v1/badges"])
def test_a_file_in_the_place_of_pages_is_not_deleted_silently(rig: Rig, place: str) -> None:
    rig.push(build("alpha"))
    rig.rebuild(pages=False)
    (rig.site / place).parent.mkdir(parents=True, exist_ok=True)
    (rig.site / place).write_text("mine")
    rig.push(build("beta"))
    rig.rebuild(pages=False)
    assert (rig.site / place).read_text() == "mine"
    with pytest.raises(ConfigError, match=f"{place}/ in the output isn't cf-index's"):
        rig.rebuild()


def test_a_level_that_was_found_to_be_too_much_is_not_tried_in_each_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        for version in range(12):
            rig.push(build(f"pkg{number:02}", f"1.{version}"))
    rig.rebuild()
    limit = size_of(rig) - 60_000
    # As if what is drawn beforehand were no measure of the rest.
    monkeypatch.setattr("indexer.rebuild.pages.likely_size", lambda *_: 0)
    levels = []
    for number in range(4):
        rig.push(build(f"new{number}"))
        before = places(rig)
        rig.rebuild(max_site_size=limit)
        levels.append(json.loads((rig.site / "api/v1/channel.json").read_bytes())["detail"])
        if number:
            assert written(rig, before) == {f"new{number}"}
    assert levels == ["lean"] * 4
    found = api(rig, "pkg07")["builds"]
    assert sum("record" in item for item in found) == 5
    assert page(rig, "pkg07").count("by https</a>") == 5


def test_a_status_that_cannot_be_read_is_written_anew(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.push(build("beta"), validated=False)
    rig.rebuild()
    before = rig.tree()
    for path in ("history/left_out.json", "status/index.html"):
        (rig.site / path).write_bytes(b"\xff")
    rig.rebuild()
    assert rig.tree() == before
