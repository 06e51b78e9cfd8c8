"""What packages say of themselves, in the index: what was said last, and nobody else's words."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from typing import Any

import orjson
import pytest

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.rebuild.look import RENDERING
from tests.support.rig import Rig

OCI = "org.opencontainers.image."
ALPHA = build("alpha", depends=["beta >=1", "__unix", "beta", "forge/noarch::Gamma[build=x]"])
SNAPSHOT = "history/snapshot.json"


def push(rig: Rig, package: Package, **said: str) -> None:
    """Push a package of which this is said."""
    annotations = VALIDATED | {f"{OCI}{key}": text for key, text in said.items()}
    image = package_manifest([package], annotations=annotations)
    rig.fake.add(rig.repository(package.subdir, package.name), image)


def summary(rig: Rig, subdir: str = "noarch", name: str = "alpha") -> dict[str, Any]:
    """A name in names.json."""
    names = orjson.loads((rig.site / f"history/{subdir}/names.json").read_bytes())
    found: dict[str, Any] = names[name]
    return found


def channeldata(rig: Rig, name: str = "alpha") -> dict[str, Any]:
    """A name in channeldata.json, as far as the package said it of itself."""
    packages = orjson.loads((rig.site / "channeldata.json").read_bytes())["packages"]
    kept = ("summary", "home", "dev_url", "doc_url")
    return {key: packages[name][key] for key in kept if key in packages[name]}


def test_the_index_says_of_a_package_what_its_manifest_does(rig: Rig) -> None:
    addresses = {f"{key}": f"https://{key}.org" for key in ("url", "source", "documentation")}
    push(rig, ALPHA, description="one", **addresses)
    rig.rebuild()
    assert channeldata(rig) == {
        "summary": "one",
        "home": "https://url.org",
        "dev_url": "https://source.org",
        "doc_url": "https://documentation.org",
    }
    assert summary(rig)["about"] == {
        "summary": "one",
        "home": "https://url.org",
        "source": "https://source.org",
        "documentation": "https://documentation.org",
    }
    assert summary(rig)["depends"] == ["beta"]
    rig.assert_sound()


def test_nothing_is_said_of_a_package_that_says_nothing(rig: Rig) -> None:
    push(rig, ALPHA, url="javascript:alert(1)")
    rig.rebuild()
    assert channeldata(rig) == {}
    assert "about" not in summary(rig)


def test_other_words_alone_change_the_index_once(rig: Rig) -> None:
    push(rig, ALPHA, description="one")
    push(rig, build("beta"))
    rig.rebuild()
    records, shards = rig.records(), sorted((rig.site / "noarch/shards").iterdir())
    push(rig, ALPHA, description="two")

    assert rig.rebuild(packages=("alpha",)).outcome == "published"

    assert channeldata(rig) == {"summary": "two"}
    assert (rig.records(), sorted((rig.site / "noarch/shards").iterdir())) == (records, shards)
    rig.assert_sound()
    after = rig.tree()
    assert rig.rebuild(packages=("alpha",)).outcome == "unchanged"
    assert rig.rebuild(full=True).outcome == "unchanged"
    assert rig.tree() == after


def test_other_words_alone_cost_what_a_change_costs(rig: Rig) -> None:
    def looked_whole() -> list[tuple[str]]:
        with closing(sqlite3.connect(rig.state_file)) as connection:
            rows = connection.execute("SELECT value FROM meta WHERE key = 'looked whole at noarch'")
            return rows.fetchall()

    push(rig, ALPHA, description="one")
    rig.rebuild()
    before = looked_whole()
    push(rig, ALPHA, description="two")
    rig.rebuild(packages=("alpha",))
    assert channeldata(rig) == {"summary": "two"}
    # What didn't change was not read again.
    assert looked_whole() == before != []


def test_words_that_are_taken_back_are_gone(rig: Rig) -> None:
    push(rig, ALPHA, description="one")
    rig.rebuild()
    push(rig, ALPHA)
    rig.rebuild(packages=("alpha",))
    assert channeldata(rig) == {}


def test_the_newest_build_speaks_for_a_package(rig: Rig) -> None:
    for version in ("1.10", "1.9"):
        push(rig, build("alpha", version), description=version)
    rig.rebuild()
    assert channeldata(rig) == {"summary": "1.10"}

    push(rig, build("alpha", "1.9"), description="other")
    assert rig.rebuild(packages=("alpha",)).outcome == "unchanged"

    rig.fake.remove_tag(rig.repository("noarch", "alpha"), "1.10-0")
    rig.rebuild(allow_drop=True)
    assert channeldata(rig) == {"summary": "other"}


def test_what_is_not_let_in_says_nothing(rig: Rig) -> None:
    push(rig, ALPHA, description="validated")
    image = package_manifest([build("alpha", "2.0")], annotations={f"{OCI}description": "waiting"})
    rig.fake.add(rig.repository("noarch", "alpha"), image)
    rig.rebuild()
    assert channeldata(rig) == {"summary": "validated"}


def test_a_run_of_other_packages_forgets_no_words(rig: Rig) -> None:
    push(rig, ALPHA, description="one")
    push(rig, build("beta"), description="two")
    rig.rebuild()
    shutil.rmtree(rig.root / "state")
    # All names are written anew, though one alone is read.
    (rig.site / "noarch/repodata.json").unlink()
    rig.rebuild(packages=("beta",))
    assert [channeldata(rig, name)["summary"] for name in ("alpha", "beta")] == ["one", "two"]


def test_a_lost_state_makes_the_same_bytes(rig: Rig) -> None:
    push(rig, ALPHA, description="one")
    rig.rebuild()
    before = rig.tree()
    shutil.rmtree(rig.root / "state")
    assert rig.rebuild().outcome == "unchanged"
    assert rig.tree() == before


def make_old(rig: Rig) -> None:
    """Turn site and state into what the version before this one made."""
    path = rig.site / SNAPSHOT
    snapshot = orjson.loads(path.read_bytes())
    for subdir, entry in snapshot["subdirs"].items():
        name = f"history/{subdir}/names.json"
        names = orjson.loads((rig.site / name).read_bytes())
        for item in names.values():
            item.pop("about", None)
            del item["depends"]
        data = orjson.dumps(names)
        (rig.site / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entry["files"][name] = {"sha256": digest, "size": len(data)}
        assert entry["rendering"].startswith(f"{RENDERING} ")
        entry["rendering"] = entry["rendering"].replace(f"{RENDERING} ", "2 ", 1)
    snapshot["rendering"] = "other"
    path.write_bytes(orjson.dumps(snapshot))
    with closing(sqlite3.connect(rig.state_file)) as connection:
        connection.execute("PRAGMA user_version = 4")
        connection.commit()


@pytest.mark.parametrize("settings", [{}, {"subdirs": ("linux-64",)}, {"packages": ("native",)}])
def test_a_site_of_the_version_before_is_written_whole(
    rig: Rig, settings: dict[str, tuple[str, ...]]
) -> None:
    push(rig, ALPHA, description="one")
    push(rig, build("native", subdir="linux-64", depends=["alpha"]), description="two")
    rig.rebuild()
    before, records = rig.tree(), rig.records()
    make_old(rig)

    rig.rebuild(**settings)

    assert summary(rig, "linux-64", "native")["about"] == {"summary": "two"}
    assert summary(rig)["depends"] == ["beta"]
    assert rig.records() == records
    rig.assert_sound()
    if settings:
        # What wasn't read is known once it is.
        assert rig.rebuild().outcome == "published"
    assert {path for path, digest in rig.tree().items() if before.get(path) != digest} == set()
    assert rig.rebuild().outcome == "unchanged"
