"""``cf-index show``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import orjson

from indexer.channel.index_json import SUBDIR
from indexer.channel.selection import KNOWN_SUBDIRS
from indexer.cli import options
from indexer.cli.display import show_text
from indexer.errors import ConfigError, NotFoundError
from indexer.transfer.outcome import metered
from indexer.transfer.package import Package, PackageBuild, builds_of, tags_of


@click.command(short_help="Look at one package in the registry.")
@click.argument("name", metavar="[SUBDIR/]NAME[:TAG]")
@options.in_order(
    options.config_file,
    options.registry,
    options.channel,
    options.subdir("Look into this subdir; repeatable.  [default: all that are known]"),
    click.option("--index", is_flag=True, help="Print index.json."),
    click.option(
        "--info",
        is_flag=False,
        flag_value="",
        default=None,
        metavar="[MEMBER]",
        help="Print a file of the info folder, such as about.json; without MEMBER, their names.",
    ),
    click.option("--files", is_flag=True, help="Print the paths that the package installs."),
    click.option("--manifest", is_flag=True, help="Print the manifest."),
    click.option(
        "--save",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Save the archive (.conda where there is one) into this folder or file.",
    ),
    options.dry_run("With --save: say what would be saved, and save nothing."),
    options.jobs,
    options.retry_for,
)
def show(
    name: str,
    config_file: Path | None,
    *,
    index: bool,
    info: str | None,
    files: bool,
    manifest: bool,
    save: Path | None,
    **flags: Any,
) -> None:
    """Look at a package in the registry, whether it is in an index or not.

    Without TAG: the tags of the package. TAG is that of the registry, or VERSION-BUILD. Without
    SUBDIR, the package is looked for in all of them.

    \b
    Example:
      cf-index show zlib
      cf-index show linux-64/zlib:1.2.11-h7b6447c_3 --index
      cf-index show linux-64/zlib:1.2.11-h7b6447c_3 --save .
    """
    chosen = [index, info is not None, files, manifest, save is not None]
    if sum(chosen) > 1:
        raise ConfigError("Say one of --index, --info, --files, --manifest and --save.")
    config = options.read_config(flags, config_file)
    subdir, bare, tag = _parse(name)
    if any(chosen) and tag is None:
        raise ConfigError(f"Which build of {bare}? Say {bare}:TAG; without TAG its tags are shown.")
    subdirs = (subdir,) if subdir else config.subdirs
    where = ", ".join(subdirs) or "any known subdir"
    with options.session(config, writing=False) as session:
        packages = [
            Package(session.registry, config.channel, item, bare)
            for item in subdirs or KNOWN_SUBDIRS
        ]
        if tag is None:
            found = tags_of(packages, session.transport.close, jobs=config.jobs)
            if not found:
                raise NotFoundError(f"{session.registry.address} has no package {bare} in {where}.")
            _show_tags(bare, found)
            return
        builds = builds_of(packages, tag, session.transport.close, jobs=config.jobs)
        build = _only(bare, tag, builds, where)
        if save is not None:
            _save(session, build, save, dry_run=config.dry_run)
        elif manifest:
            show_text(_pretty(build.raw.body))
        elif info is not None:
            _show_info(build, info)
        elif files:
            show_text("".join(f"{path}\n" for path in build.files()).encode())
        elif index:
            show_text(_pretty(build.index_json_bytes))
        else:
            _show_build(build)


def _parse(text: str) -> tuple[str | None, str, str | None]:
    before, _, tag = text.partition(":")
    subdir, _, name = before.rpartition("/")
    if subdir and not SUBDIR.fullmatch(subdir):
        raise ConfigError(f"{subdir!r} is not a subdir, such as linux-64 or noarch.")
    if not name:
        raise ConfigError(f"{text!r} names no package.")
    return subdir or None, name, tag or None


def _save(session: options.Session, build: PackageBuild, path: Path, *, dry_run: bool) -> None:
    title, layer = next(iter(build.archives().items()))
    if dry_run:
        click.echo(f"{title} ({layer.size} bytes) would be saved.")
        return
    session.bars.begin(f"Saving {title}", layer.size, "bytes")
    saved = build.save(path, metered(session.bars))
    session.bars.end()
    click.echo(str(saved))


def _show_tags(name: str, found: list[tuple[Package, list[str]]]) -> None:
    for package, tags in found:
        show_text("".join(f"{package.subdir}/{name}:{tag}\n" for tag in tags).encode())


def _only(name: str, tag: str, builds: list[PackageBuild], where: str) -> PackageBuild:
    if not builds:
        raise NotFoundError(f"There is no {name}:{tag} in {where}.")
    if len(builds) > 1:
        several = ", ".join(build.package.subdir for build in builds)
        raise ConfigError(f"{name}:{tag} is in {several}: say which, as SUBDIR/{name}:{tag}.")
    return builds[0]


def _show_build(build: PackageBuild) -> None:
    lines = [str(build), f"manifest {build.raw.digest}"]
    for title, layer in build.archives().items():
        lines.append(f"{title} {layer.digest} {layer.size} bytes")
    lines += [f"{key}: {value}" for key, value in sorted(build.manifest.annotations.items())]
    show_text("".join(f"{line}\n" for line in lines).encode())


def _show_info(build: PackageBuild, member: str) -> None:
    if member:
        show_text(build.read_info(member))
        return
    lines = (f"{size:>10} {name}\n" for name, size in build.info().items())
    show_text("".join(lines).encode())


def _pretty(data: bytes) -> bytes:
    """JSON for people; as it is where a program reads it."""
    if not sys.stdout.isatty():
        return data
    try:
        return orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2) + b"\n"
    except orjson.JSONDecodeError:
        return data
