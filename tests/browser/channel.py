"""Makes sites by the real job, from a registry in a folder, run after run at chosen times."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

from demo.layers import INDEX, VALIDATED, Image, digest_of, package_manifest
from demo.packages import build
from indexer.config import Config
from indexer.progress import Silence
from indexer.rebuild import pipeline
from indexer.rebuild.report import Report
from indexer.rebuild.run import Run
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Content, Digest
from indexer.registry.layout import LayoutRegistry
from tests.browser.shelf import ATTACK, ENEMIES, HOSTILE, KEPT, LINUX, Kept

CHANNEL = "forge"
SITE_URL = "https://conda.example.org/channel/"
LAST_CHANGE = datetime(2026, 11, 1, 12, 7, 41, tzinfo=UTC)
# It finds nothing new.
LAST_RUN = LAST_CHANGE + timedelta(minutes=45)
# A run each three days, so that there is something to plot.
RUNS = 12
_STEP = timedelta(days=3, hours=1)


@dataclass
class Channel:
    """A channel in a registry of image layouts, and the site made of it.

    The site names the registry by an address that clients could follow, as a real one does.
    """

    root: Path
    site_url: str = SITE_URL
    address: str = "oci://registry.example.org"
    now: datetime = LAST_CHANGE
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def layouts(self) -> LayoutRegistry:
        return LayoutRegistry(RegistryAddress.parse(f"ocidir://{self.root / 'registry'}"))

    def repository(self, subdir: str, name: str) -> str:
        return RegistryAddress.parse(self.address).repository(CHANNEL, subdir, name)

    def push(self, image: Image, subdir: str, repository: str | None = None) -> Digest:
        full = self.repository(subdir, repository or image.repository_name)
        for data in image.blobs.values():
            self.layouts.put_blob(full, Content.of_bytes(data))
        return self.layouts.put_manifest(full, image.tag, image.manifest, image.media_type)

    def rebuild(self, **changes: Any) -> Report:
        settings: dict[str, Any] = {
            "registry": RegistryAddress.parse(self.address),
            "channel": CHANNEL,
            "output": self.site,
            "state": self.root / "state",
            "site_url": self.site_url,
        }
        config = Config(**(settings | self.settings | changes))
        (self.root / "registry").mkdir(parents=True, exist_ok=True)
        with _read_from(self.layouts):
            return pipeline.rebuild(config, Run(self.now, {}, Silence()))


@contextmanager
def _read_from(layouts: LayoutRegistry) -> Iterator[None]:
    """Whatever registry the configuration names, its content is read from a folder."""
    with patch.object(pipeline, "open_registry", lambda *_, **__: layouts):
        yield


@dataclass(frozen=True, slots=True)
class Build:
    """What a build of a name is called, and its subdir."""

    version: str
    build: str
    subdir: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One build that is pushed: the image, its subdir, and the run that is to find it first."""

    image: Image
    subdir: str
    run: int


def shown(kept: Kept, *, validated: bool = True) -> Iterator[Shown]:
    """Every build of one name; its newest version comes last."""
    for age, version in enumerate(reversed(kept.versions)):
        for subdir in kept.subdirs:
            first = _first_run(kept, version, subdir, age)
            for number, start in enumerate(kept.builds):
                hashed = f"{start}{_hex(version, subdir)[:7]}_{number}"
                made = Build(version, start if len(start) > 6 else hashed, subdir)
                yield Shown(
                    image_of(kept, made, time_of(first), validated=validated), subdir, first
                )


def _first_run(kept: Kept, version: str, subdir: str, age: int) -> int:
    """The run that finds a version first: a channel grows bit by bit."""
    if age == len(kept.versions) - 1:
        return max(0, int(_hex(kept.name), 16) % RUNS - 4)
    return max(0, RUNS - 1 - 3 * age - int(_hex(kept.name, version, subdir), 16) % 3)


def time_of(run: int) -> datetime:
    """When a run of ``fill`` begins."""
    return LAST_CHANGE - (RUNS - 1 - run) * _STEP


def image_of(kept: Kept, made: Build, before: datetime, *, validated: bool) -> Image:
    """An image of one build, made in the week before a time."""
    age = int(_hex(kept.name, made.version, made.build, made.subdir)[:4], 16)
    built = before - timedelta(seconds=9 * age)
    index = {"timestamp": int(built.timestamp()) * 1000, "license": kept.license or None}
    package = build(
        kept.name,
        made.version,
        made.build,
        subdir=made.subdir,
        depends=kept.depends,
        extra_index=index | kept.index,
    )
    about = kept.about | (VALIDATED if validated else {})
    return _of_size(package_manifest([package], annotations=about), package.sha256)


def _of_size(image: Image, sha256: str) -> Image:
    """The same with an archive said to be as large as real ones, and index.json in the manifest.

    Nobody asks for the archive: who makes an index never reads one.
    """
    manifest = json.loads(image.manifest)
    for layer in manifest["layers"]:
        if layer["mediaType"] == INDEX:
            layer["data"] = base64.b64encode(image.blobs[layer["digest"]]).decode()
        elif layer["digest"].endswith(sha256):
            layer["size"] = int(sha256[:3], 16) ** 2 + int(sha256[3:7], 16)
    return replace(image, manifest=json.dumps(manifest).encode(), blobs={digest_of(b""): b""})


def _hex(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def fill(channel: Channel, kept: Iterable[Kept] = (*KEPT, *ENEMIES)) -> None:
    """A channel with a history: what came, what changed, what went, what waits, what is wrong."""
    builds = [item for one in kept for item in shown(one)]
    gone = push_more(channel)
    for run in range(RUNS):
        channel.now = time_of(run)
        for item in builds:
            if item.run == run:
                channel.push(item.image, item.subdir)
        if run == RUNS - 2:
            channel.layouts.delete_manifest(channel.repository("noarch", "withdrawn"), gone)
            for name in ("allowed", "held"):
                push_other(channel, name)
        # Everything is looked at again: a tag that was overwritten is noticed by that alone.
        report = channel.rebuild(allow_drop=True, allow_changed=("allowed-*",), recheck=Fraction(1))
    assert report.outcome == "published"
    channel.now = LAST_RUN
    assert channel.rebuild().outcome == "unchanged"


def push_other(channel: Channel, name: str) -> None:
    """Other bytes under a file name that was published already."""
    package = build(name, "2.0", message="other bytes")
    channel.push(package_manifest([package], annotations=VALIDATED), "noarch")


def push_more(channel: Channel) -> Digest:
    """What is there beside sound packages. Gives the digest of one that is to be withdrawn."""
    for name in ("arrow", "bokeh", "cmake", "dask"):
        waiting = Kept(name, ("1.0",), "Not validated yet", subdirs=(LINUX,))
        for item in shown(waiting, validated=False):
            channel.push(item.image, item.subdir)
    for name in ("allowed", "held"):
        package = build(name, "2.0")
        channel.push(package_manifest([package], annotations=VALIDATED), "noarch")
    wrong: Sequence[tuple[str, dict[str, Any]]] = (
        ("pretender", {"name": "openssl"}),
        ("misspelt", {"depends": [ATTACK.format("left-out", "left-out")]}),
        ("numberless", {"build_number": "first"}),
    )
    for name, index in wrong:
        package = build(name, "9.9", extra_index=index)
        channel.push(package_manifest([package], annotations=VALIDATED), "noarch")
    return channel.push(
        package_manifest([build("withdrawn", "0.1")], annotations=VALIDATED), "noarch"
    )


def crowd(channel: Channel, count: int = 230) -> None:
    """A channel where more waits, and more is left out, than any list shows."""
    for number in range(count):
        for item in shown(Kept(f"waiting{number}", ("1.0",), subdirs=("noarch",)), validated=False):
            channel.push(item.image, item.subdir)
        package = build(f"wrong{number}", extra_index={"depends": ["<b>", f"{number}"]})
        channel.push(package_manifest([package], annotations=VALIDATED), "noarch")
        for item in shown(Kept(f"good{number}", ("1.0",), subdirs=("noarch",))):
            channel.push(item.image, item.subdir)
    channel.rebuild()


def fill_with_one(channel: Channel) -> None:
    """A channel with a single build in it, the enemy's."""
    for item in list(shown(HOSTILE))[:1]:
        channel.push(item.image, item.subdir)
    channel.rebuild()
