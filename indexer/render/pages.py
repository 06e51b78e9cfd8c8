"""The page that people read, from ``site_templates/`` by Jinja; everything in it is hostile."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import jinja2

import indexer
from indexer.render.channeldata import by_name
from indexer.render.summary import NameSummary, newest_of

FILE_NAME = "index.html"
_NEWEST = 20

Installs = Literal["oci", "https", "none"]


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """What the page says of the channel besides its packages.

    ``installs`` tells by which way clients get packages: ``oci``, ``https`` or ``none``.
    """

    channel: str
    registry: str
    policy: str
    validated_only: bool
    site_url: str
    installs: Installs


@dataclass(frozen=True, slots=True)
class PackageRow:
    """One line of the list of packages."""

    name: str
    version: str
    builds: int
    subdirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewestRow:
    """One line of the newest builds: the one of a package that entered the index last."""

    name: str
    subdir: str
    file_name: str
    time: datetime


def templates_folder() -> Path:
    """Where the templates are: inside an installed package, or at the top of a checkout."""
    package = Path(indexer.__file__).parent
    installed = package / "site_templates"
    return installed if installed.is_dir() else package.parent / "site_templates"


def templates_digest() -> str:
    """Changes whenever a template does."""
    digest = hashlib.sha256()
    for path in sorted(templates_folder().iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def render_index(info: SiteInfo, subdirs: Mapping[str, Mapping[str, NameSummary]]) -> bytes:
    """The front page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    packages = [
        PackageRow(
            name,
            newest_of(found.values()).version,
            sum(item.builds for item in found.values()),
            tuple(found),
        )
        for name, found in by_name(subdirs).items()
    ]
    counts = {
        subdir: (sum(item.builds for item in names.values()), len(names))
        for subdir, names in sorted(subdirs.items())
    }
    page = environment.get_template("index.html.j2").render(
        info=info, packages=packages, counts=counts, newest=_newest(subdirs)
    )
    return page.encode()


def _newest(subdirs: Mapping[str, Mapping[str, NameSummary]]) -> list[NewestRow]:
    """From the records as they are, not from what happened: what was taken out isn't named."""
    # What entered together, as in a first run, is told by when it was built.
    entered = (
        (item.entered_at, item.timestamp, item.entered, name, subdir)
        for subdir, names in subdirs.items()
        for name, item in names.items()
    )
    return [
        NewestRow(name, subdir, file_name, datetime.fromtimestamp(at / 1000, UTC))
        for at, _, file_name, name, subdir in heapq.nlargest(_NEWEST, entered)
    ]
