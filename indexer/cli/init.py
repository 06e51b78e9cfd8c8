"""``cf-index init``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

import indexer
from indexer.errors import ConfigError
from indexer.new_channel.content import (
    IGNORED,
    LEFTOVERS,
    SETTINGS,
    WORKFLOW,
    NewChannel,
    ignored_file,
    settings_file,
    workflow_file,
)
from indexer.new_channel.origin import Origin, origin_of
from indexer.new_channel.writing import write_all
from indexer.registry.address import RegistryAddress, is_repository
from indexer.settings import read_channel

_GHCR = "ghcr.io"


@click.command(short_help="Make what a repository needs to publish a channel.")
@click.argument("folder", type=click.Path(path_type=Path), default=".", metavar="[DIR]")
@click.option(
    "--registry",
    metavar="URL",
    help="Where the packages are, such as oci://ghcr.io/acme.  [default: ghcr.io, of the owner of "
    "the repository on GitHub]",
)
@click.option(
    "--channel",
    metavar="NAME",
    help="The channel's name.  [default: the name of the repository, or of the folder]",
)
@click.option("--force", is_flag=True, help="Replace the two files where they are there already.")
@click.option(
    "--upgrade",
    is_flag=True,
    help="Write the workflow alone, as this version of cf-index has it; the settings stay.",
)
def init(
    folder: Path, registry: str | None, channel: str | None, *, force: bool, upgrade: bool
) -> None:
    """Write cf-index.toml and .github/workflows/index.yml into a repository.

    DIR is the repository's folder, the current one unless said. What its remote "origin" tells is
    filled in; nothing is asked. A .gitignore is written where there is none. Files that are there
    already are refused, and nothing is written then.

    Prints the steps that are left. The workflow then publishes the channel to GitHub Pages every
    15 minutes.

    \b
    Example:
      cf-index init --registry oci://registry.example/acme
    """
    if upgrade:
        if registry is not None or channel is not None or force:
            raise ConfigError("--upgrade goes with no other option: it leaves the settings alone.")
        if not (folder / SETTINGS).is_file():
            raise ConfigError(f"There is no {SETTINGS} in {folder}: nothing to upgrade.")
        write_all(folder, {WORKFLOW: workflow_file()}, force=True)
        click.echo(f"Written into {folder}: {WORKFLOW}, for cf-index {indexer.__version__}")
        return
    origin = origin_of(folder)
    new = NewChannel(
        registry=_registry(registry, origin),
        channel=_channel(channel, origin, folder),
        site_url=origin.pages if origin is not None else "",
    )
    texts = {SETTINGS: settings_file(new), WORKFLOW: workflow_file()}
    ignored = os.path.lexists(folder / IGNORED)
    if not ignored:
        texts[IGNORED] = ignored_file()
    write_all(folder, texts, force=force)
    click.echo(f"Written into {folder}: {', '.join(texts)}")
    if ignored:
        click.echo(f"{IGNORED} stays as it is. It should have: {', '.join(LEFTOVERS)}")
    click.echo(f"Channel {new.channel}" + (f" of {origin.web}" if origin is not None else ""))
    click.echo("\nWhat is left to do:")
    for number, step in enumerate(_steps(new, origin), 1):
        click.echo(f"{number}. {step}")
    if new.site_url:
        click.echo(f"\nThe channel will be at {new.site_url}")


def _registry(given: str | None, origin: Origin | None) -> str:
    """The registry's address; empty where nobody knows it. Raises ConfigError."""
    if given is not None:
        return str(RegistryAddress.parse(given))
    if origin is not None and is_repository(origin.owner.lower()):
        return f"oci://{_GHCR}/{origin.owner.lower()}"
    return ""


def _channel(given: str | None, origin: Origin | None, folder: Path) -> str:
    """The channel's name. Raises ConfigError where none that is known will do."""
    if given is not None:
        return read_channel(given)
    name = (origin.name if origin is not None else folder.resolve().name).lower()
    if not is_repository(name):
        raise ConfigError(f"{name!r} can't be the name of a channel. Say --channel NAME.")
    return name


def _steps(new: NewChannel, origin: Origin | None) -> Iterator[str]:
    """What only the operator can do."""
    if new.registry:
        yield f"See that {SETTINGS} has the registry's address. Now it has {new.registry}"
    else:
        yield f'Put the registry\'s address into {SETTINGS}: registry = "oci://host/namespace"'
    if origin is None:
        yield "Commit these files to the default branch of a repository on GitHub, and push it."
    else:
        yield "Commit these files to the default branch, and push it."
    settings = f"{origin.web}/settings" if origin is not None else "the repository's settings"
    pages = f"{settings}/pages" if origin is not None else f"{settings}, under Pages"
    yield f'Switch Pages on: the source "GitHub Actions", in {pages}'
    if not new.registry or RegistryAddress.parse(new.registry).host == _GHCR:
        secrets = f"{settings}/secrets/actions" if origin is not None else settings
        yield (
            f"{'' if new.registry else 'For ghcr.io: '}Give it a token that may list packages "
            "(read:packages, from https://github.com/settings/tokens),\n   as the secret "
            f"CF_INDEX_GITHUB_TOKEN in {secrets}\n   Or name the packages in a file, and say "
            f'names = "FILE" in {SETTINGS}'
        )
