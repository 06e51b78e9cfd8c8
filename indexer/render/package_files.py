"""The files of one package name: its page, its feed, its API file and its badge."""

from __future__ import annotations

from collections.abc import Mapping

from indexer.channel.record import encode
from indexer.render import feeds
from indexer.render.detail import Detail
from indexer.render.package import MAX_DEPENDENTS, MAX_VERSIONS, Build, Package
from indexer.render.site_info import SiteInfo
from indexer.render.templates import draw

PAGES = "packages"
API = "api/v1/packages"
BADGES = "api/v1/badges"
# They hold the files of single names, and nothing else.
FOLDERS = (PAGES, API, BADGES)


def folders(detail: Detail) -> dict[str, tuple[str, bool]]:
    """For each folder what ends the names there, and whether there is to be anything in it."""
    return {PAGES: ("", detail.pages), API: (".json", detail.api), BADGES: (".json", detail.api)}


def draw_package(package: Package, info: SiteInfo, detail: Detail) -> dict[str, bytes]:
    """All files of a package, by their paths."""
    files = {}
    if detail.pages:
        files[f"{PAGES}/{package.name}/index.html"] = _page(package, info, detail)
        files[f"{PAGES}/{package.name}/feed.xml"] = _feed(package, info, detail)
    if detail.api:
        files[f"{API}/{package.name}.json"] = _api(package, info, detail)
        files[f"{BADGES}/{package.name}.json"] = _badge(package, info)
    return files


def _page(package: Package, info: SiteInfo, detail: Detail) -> bytes:
    blobs = info.blobs
    return draw(
        "package.html.j2",
        {
            "info": info,
            "detail": detail,
            "root": "../../",
            "path": f"{PAGES}/{package.name}/",
            "package": package,
            "builds": [
                (build, blobs.of(build.subdir, package.name, build.sha256) if blobs else None)
                for build in package.builds[: detail.builds]
            ],
            "versions": package.versions[:MAX_VERSIONS],
            "dependents": package.dependents[:MAX_DEPENDENTS],
        },
    )


def _feed(package: Package, info: SiteInfo, detail: Detail) -> bytes:
    entered = sorted(package.builds, key=lambda build: (build.indexed, build.file_name))
    entries = [
        feeds.Entry(
            package.name, build.version, build.build, build.subdir, build.file_name, build.indexed
        )
        for build in reversed(entered[-detail.feed :])
    ]
    title = f"{package.name} in {info.channel}"
    return feeds.draw_feed(info, detail, title, f"{PAGES}/{package.name}/", entries)


def _api(package: Package, info: SiteInfo, detail: Detail) -> bytes:
    blob = None
    if info.blobs:
        oci, https = info.blobs.of("{subdir}", package.name, "{sha256}")
        blob = {"https": https, "oci": oci}
    about = package.about
    head = {
        "name": package.name,
        "version": package.latest.version,
        "license": package.license or None,
        "summary": about.summary or None,
        "home": about.home or None,
        "source": about.source or None,
        "documentation": about.documentation or None,
        "subdirs": package.subdirs,
        "dependents": package.dependents,
        "blob": blob,
    }
    lines = [
        encode(_build(build, whole=number < detail.records))
        for number, build in enumerate(package.builds)
    ]
    return encode(head)[:-1] + b',\n"builds":[\n' + b",\n".join(lines) + b"\n]}\n"


def _build(build: Build, *, whole: bool) -> Mapping[str, object]:
    fields: dict[str, object] = {
        "file": build.file_name,
        "subdir": build.subdir,
        "version": build.version,
        "build": build.build,
        "sha256": build.sha256,
        "size": build.size,
        "indexed_timestamp": build.indexed,
    }
    return fields | {"record": build.record} if whole else fields


def _badge(package: Package, info: SiteInfo) -> bytes:
    """The endpoint form of shields.io."""
    badge = {
        "schemaVersion": 1,
        "label": info.channel,
        "message": f"v{package.latest.version}",
        "color": "blue",
    }
    return encode(badge) + b"\n"
