"""Folders that stay over a publication: told as if all were done, changed only at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.errors import ConfigError
from indexer.files import size_of_tree
from indexer.rebuild.kept import Kept
from indexer.rebuild.publish import UNFINISHED, Staged

FOLDERS = ("packages", "api/v1/packages")


@pytest.fixture
def live(tmp_path: Path) -> Path:
    root = tmp_path / "live"
    for path in ("packages/a/index.html", "packages/a/feed.xml", "packages/b/index.html"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "api/v1/packages").mkdir(parents=True)
    (root / "api/v1/packages/a.json").write_text("{}")
    return root


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    (tmp_path / "staged").mkdir()
    return Staged(tmp_path / "staged")


def text_of(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != UNFINISHED
    }


def size_there(root: Path) -> int:
    return sum(size_of_tree(root / folder) for folder in FOLDERS)


def test_nothing_changes_before_it_is_settled(live: Path, staged: Staged) -> None:
    before = text_of(live)
    kept = Kept(staged, live, FOLDERS)
    kept.put("packages/a/index.html", b"new")
    kept.put("packages/c/index.html", b"new")
    kept.remove("packages/b")
    assert text_of(live) == before
    assert kept.entries("packages") == {"a": "folder", "c": "folder"}


def test_what_was_said_is_done_and_counted(live: Path, staged: Staged) -> None:
    kept = Kept(staged, live, FOLDERS)
    assert kept.size == size_there(live)
    kept.put("packages/a/index.html", b"first")
    kept.put("packages/a/index.html", b"second")
    kept.put("packages/c/index.html", b"new")
    kept.put("packages/d/index.html", b"in vain")
    kept.remove("packages/d")
    kept.remove("packages/b")
    kept.put("api/v1/packages/b.json", b"[]")
    kept.remove("api/v1/packages/a.json")
    told = kept.size
    kept.settle()
    assert text_of(live) == {
        "api/v1/packages/b.json": "[]",
        "packages/a/feed.xml": "packages/a/feed.xml",
        "packages/a/index.html": "second",
        "packages/c/index.html": "new",
    }
    assert told == size_there(live)


def test_a_file_that_is_the_same_is_left_alone(live: Path, staged: Staged) -> None:
    path = live / "packages/b/index.html"
    inode = path.stat().st_ino
    kept = Kept(staged, live, FOLDERS)
    kept.put("packages/b/index.html", b"other")
    kept.put("packages/b/index.html", b"packages/b/index.html")
    assert kept.size == size_there(live)
    kept.settle()
    assert path.stat().st_ino == inode
    assert text_of(staged.root) == {}


def test_what_was_removed_may_come_again(live: Path, staged: Staged) -> None:
    kept = Kept(staged, live, FOLDERS)
    kept.remove("packages/a")
    kept.put("packages/a/index.html", b"packages/a/index.html")
    told = kept.size
    kept.settle()
    assert "packages/a/feed.xml" not in text_of(live)
    assert text_of(live)["packages/a/index.html"] == "packages/a/index.html"
    assert told == size_there(live)


def test_a_folder_that_is_empty_then_goes(live: Path, staged: Staged) -> None:
    kept = Kept(staged, live, FOLDERS)
    for name in kept.entries("packages"):
        kept.remove(f"packages/{name}")
    kept.settle()
    assert not (live / "packages").exists()
    assert (live / "api/v1/packages/a.json").exists()


def test_where_there_was_nothing_all_is_in_the_staged_tree(staged: Staged) -> None:
    kept = Kept(staged, None, FOLDERS)
    kept.put("packages/a/index.html", b"new")
    kept.settle()
    assert text_of(staged.root) == {"packages/a/index.html": "new"}
    assert kept.size == 3


@pytest.mark.parametrize("place", ["packages", "api", "api/v1/packages"])
def test_a_folder_that_is_a_link_is_refused_at_once(
    live: Path, staged: Staged, tmp_path: Path, place: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (live / place).rename(elsewhere)
    (live / place).symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=f"{place} in the output is a symbolic link"):
        Kept(staged, live, FOLDERS).refuse_links()


def test_a_link_counts_as_itself(live: Path, staged: Staged, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b" " * 1_000_000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/large").write_bytes(b" " * 1_000_000)
    for name in ("large", "folder"):
        (live / "packages" / name).symlink_to(tmp_path / name)
    kept = Kept(staged, live, FOLDERS)
    assert kept.size == size_there(live)
    kept.remove("packages/large")
    kept.remove("packages/folder")
    told = kept.size
    kept.settle()
    assert told == size_there(live)
    assert (tmp_path / "folder/large").exists()


def test_no_link_leads_elsewhere(live: Path, staged: Staged, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (live / "packages/a").rename(elsewhere)
    before = text_of(elsewhere)
    (live / "packages/a").symlink_to(elsewhere)
    kept = Kept(staged, live, FOLDERS)
    with pytest.raises(ConfigError, match="symbolic link"):
        kept.put("packages/a/index.html", b"new")
    kept.remove("packages/a")
    kept.settle()
    assert text_of(elsewhere) == before
    assert "a" not in {path.name for path in (live / "packages").iterdir()}
