"""Publication is all or nothing, also for a run that is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from demo.packages import build
from indexer import check
from indexer.errors import CfIndexError, ConfigError
from indexer.progress import Unit
from indexer.rebuild import publish
from indexer.rebuild.pipeline import rebuild
from indexer.rebuild.run import Run
from indexer.rebuild.site import KEPT
from tests.support.rig import Rig, tree_of

# Where a run is killed: before a function of the pipeline, by SIGKILL.
POINTS = [
    "indexer.rebuild.publish:Output.stage",
    "indexer.rebuild.publish:Staged.write#3",
    "indexer.rebuild.publish:Staged.write#8",
    "indexer.rebuild.site:write_channel",
    "indexer.rebuild.pages:Pages.write",
    "indexer.rebuild.site:write_snapshot",
    "indexer.rebuild.site:check_channel",
    "indexer.rebuild.kept:Kept.settle",
    "indexer.rebuild.publish:Output.swap",
    "indexer.rebuild.publish:_move#2",
    "indexer.rebuild.publish:_exchange",
    "indexer.rebuild.state:State.mark_published",
    "indexer.rebuild.finishing:replace_file",
]

KILLER = textwrap.dedent(
    """
    import importlib, os, signal, sys
    from pathlib import Path
    point, url, root = sys.argv[1:4]
    module, _, name = point.partition(":")
    name, _, nth = name.partition("#")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real = getattr(owner, last)
    left = int(nth or 1)
    def killing(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(owner, last, killing)
    from indexer.config import Config
    from datetime import UTC, datetime
    from indexer.rebuild.pipeline import rebuild
    from indexer.rebuild.run import Run
    from indexer.registry.address import RegistryAddress
    from indexer.progress import Silence
    config = Config(registry=RegistryAddress.parse(url), channel="forge",
                    output=Path(root) / "site", state=Path(root) / "state")
    rebuild(config, Run(datetime.now(UTC), {}, Silence()))
    """
)


def kill_at(rig: Rig, point: str) -> int:
    command = [sys.executable, "-c", KILLER, point, f"oci+{rig.fake.http}/acme", str(rig.root)]
    return subprocess.run(command, check=False, env=os.environ).returncode


def beside_pages(tree: dict[str, str]) -> dict[str, str]:
    """Without the files of single names, which may be ahead of the index for a moment."""
    kept = (*KEPT, publish.UNFINISHED)
    return {path: digest for path, digest in tree.items() if not path.startswith(kept)}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_leaves_a_whole_site_and_the_next_one_succeeds(rig: Rig, point: str) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    rig.push(build("beta"))

    assert kill_at(rig, point) == -signal.SIGKILL

    rig.assert_sound()
    swapped = point.startswith(("indexer.rebuild.state", "indexer.rebuild.finishing:replace_file"))
    assert (beside_pages(rig.tree()) == beside_pages(before)) is not swapped
    rig.rebuild()
    assert len(rig.records()) == 2
    rig.assert_sound()
    after = rig.tree()
    shutil.rmtree(rig.site / "packages")
    rig.rebuild()
    assert rig.tree() == after
    assert sorted(path.name for path in rig.root.iterdir()) == [".site.lock", "site", "state"]


@pytest.mark.parametrize(
    "point", ["indexer.rebuild.publish:Output.swap", "indexer.rebuild.site:check_channel"]
)
def test_a_killed_first_run_leaves_nothing_in_the_way(rig: Rig, point: str) -> None:
    rig.push(build("alpha"))
    assert kill_at(rig, point) == -signal.SIGKILL
    assert not rig.site.exists()
    rig.rebuild()
    rig.assert_sound()


def test_a_swap_in_two_steps_that_was_cut_is_mended(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    rig.site.rename(rig.root / ".site.old")

    report = rig.rebuild()

    assert report.outcome == "unchanged"
    assert rig.tree() == before


@pytest.mark.parametrize(
    "error", [OSError(16, "busy"), KeyboardInterrupt()], ids=["busy", "ctrl-c"]
)
@pytest.mark.parametrize("exchanges", [True, False])
def test_a_swap_that_fails_leaves_the_site_and_its_pages(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: BaseException, *, exchanges: bool
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    rig.push(build("beta"))
    with monkeypatch.context() as patched:
        if exchanges:
            patched.setattr(publish, "_exchange", Mock(side_effect=error))
        else:
            patched.setattr(publish, "_exchange", lambda *_: False)
            real = Path.rename

            def rename(self: Path, target: Path) -> Path:
                if self.name == ".site.staged":
                    raise error
                return real(self, target)

            patched.setattr(Path, "rename", rename)
        with pytest.raises((ConfigError, KeyboardInterrupt)):
            rig.rebuild()
    assert beside_pages(rig.tree()) == beside_pages(before)
    assert (rig.site / "packages/alpha/index.html").exists()
    rig.rebuild()
    assert len(rig.records()) == 2
    rig.assert_sound()


def test_without_an_exchange_of_folders_the_swap_still_works(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_exchange", lambda *_: False)
    rig.push(build("alpha"))
    rig.rebuild()
    rig.push(build("beta"))
    rig.rebuild()
    assert len(rig.records()) == 2
    assert sorted(path.name for path in rig.root.iterdir()) == [".site.lock", "site", "state"]


def test_an_index_that_fails_its_own_check_is_not_published(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    rig.push(build("beta"))
    findings = check.Findings([check.Problem("noarch/repodata.json", "made up")])
    monkeypatch.setattr("indexer.rebuild.site.check_channel", lambda *_: findings)

    with pytest.raises(CfIndexError, match="failed its own check"):
        rig.rebuild()

    assert rig.tree() == before
    assert not (rig.root / ".site.staged").exists()


@pytest.mark.parametrize("lock", [".site.lock", "state/lock"])
def test_two_runs_at_once_do_not_mix(rig: Rig, lock: str) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    with (rig.root / lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="Another run is using"):
            rig.rebuild()
    rig.rebuild()


def test_a_folder_that_is_not_ours_is_not_replaced(rig: Rig) -> None:
    rig.site.mkdir()
    (rig.site / "thesis.tex").write_text("the only copy")
    with pytest.raises(ConfigError, match="was not made by cf-index"):
        rig.rebuild()
    assert (rig.site / "thesis.tex").read_text() == "the only copy"


def test_the_current_folder_is_not_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = rig.site / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for output in (Path(), rig.site):
        with pytest.raises(ConfigError, match="current folder"):
            rig.rebuild(output=output)


def test_a_dry_run_writes_nothing_and_says_what_it_would_do(rig: Rig) -> None:
    rig.push(build("alpha"))
    report = rig.rebuild(dry_run=True)
    assert report.outcome == "dry run: would be published"
    assert [change["file_name"] for change in report.changes] == ["alpha-1.0-0.conda"]
    assert list(rig.root.iterdir()) == []

    rig.rebuild()
    rig.push(build("beta"))
    before = tree_of(rig.root)
    rig.rebuild(dry_run=True)
    assert tree_of(rig.root) == before


def test_superseded_shards_stay_for_a_week(rig: Rig) -> None:

    rig.push(build("alpha"))
    rig.rebuild()
    (old,) = (rig.site / "noarch/shards").iterdir()
    rig.push(build("alpha", "2.0"))
    rig.rebuild()
    assert old.exists()

    rig.now += timedelta(days=6)
    rig.push(build("alpha", "3.0"))
    rig.rebuild()
    assert old.exists()

    rig.now += timedelta(days=2)
    rig.push(build("alpha", "4.0"))
    rig.rebuild()
    assert not old.exists()
    rig.assert_sound()


def test_symbolic_links_of_the_operator_survive_a_publication(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (rig.root / "docs").mkdir()
    (rig.root / "docs/page.html").write_text("hello")
    (rig.site / "docs").symlink_to("../docs")
    (rig.site / "page.html").symlink_to("../docs/page.html")
    rig.push(build("beta"))

    rig.rebuild()

    assert (rig.site / "docs/page.html").read_text() == "hello"
    assert (rig.site / "page.html").is_symlink()


def test_a_folder_that_cannot_be_read_does_not_go_missing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    rig.push(build("beta"))
    real = os.scandir

    def scandir(path: Path) -> object:
        if str(path).endswith("site/history"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ConfigError, match="can't be written"):
        rig.rebuild()
    monkeypatch.undo()
    assert rig.tree() == before


def test_a_folder_of_the_site_that_is_a_link_is_not_written_through(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (rig.site / "noarch").rename(rig.root / "elsewhere")
    (rig.site / "noarch").symlink_to(rig.root / "elsewhere")
    before = tree_of(rig.root / "elsewhere")
    rig.push(build("beta"))
    with pytest.raises(ConfigError, match="noarch in the output is a symbolic link"):
        rig.rebuild()
    assert tree_of(rig.root / "elsewhere") == before
    rig.assert_sound()


def test_links_under_the_names_of_our_own_files_are_not_followed(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    victim = rig.root / "victim"
    victim.write_text("precious")
    (rig.site / ".status.json.new").symlink_to(victim)
    rig.rebuild()
    assert victim.read_text() == "precious"
    assert not (rig.site / "status.json").is_symlink()
    (rig.root / ".site.lock").unlink()
    (rig.root / ".site.lock").symlink_to(victim)
    with pytest.raises(ConfigError, match="lock"):
        rig.rebuild()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("where", ["indexer.rebuild.share.repodata.write_repodata", "os.link"])
def test_a_full_disk_is_told_as_one_and_leaves_the_site_as_it_was(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    before = rig.tree()
    rig.push(build("beta"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(where, full)
        with pytest.raises(ConfigError, match="No space left on device"):
            rig.rebuild()
    assert rig.tree() == before
    assert sorted(path.name for path in rig.root.iterdir()) == [".site.lock", "site", "state"]
    rig.rebuild()
    assert len(rig.records()) == 2


def test_an_output_whose_name_is_too_long_is_a_setting_to_mend(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="can't be written"):
        rig.rebuild(output=rig.root / ("x" * 300))


def test_state_and_output_that_meet_through_a_link_are_refused(rig: Rig) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (rig.root / "link").symlink_to(rig.site)
    with pytest.raises(ConfigError, match="within one another"):
        rig.rebuild(state=rig.root / "link/state")


class Bars:
    """Notes what would be shown."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, int | None, int]] = []

    def begin(self, what: str, total: int | None, unit: Unit = "items") -> None:
        del unit
        self.parts.append((what, total, 0))

    def step(self, count: int = 1) -> None:
        what, total, done = self.parts[-1]
        self.parts[-1] = (what, total, done + count)

    def end(self) -> None:
        pass


def test_every_long_part_shows_how_far_it_is(rig: Rig) -> None:
    for name in ("alpha", "beta"):
        rig.push(build(name), build(name, archive="tar.bz2"))
    bars = Bars()
    rebuild(rig.config(), Run(rig.now, {}, bars))
    assert bars.parts == [
        ("Reading noarch", 2, 2),
        ("Planning noarch", 2, 2),
        ("Writing noarch", 4, 4),
        ("Drawing pages", 2, 2),
        ("Checking noarch/repodata.json", None, 4),
        ("Checking the shards of noarch", 2, 2),
    ]
