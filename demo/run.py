"""The demonstration: packages of its own making, from a registry in a folder to a channel.

`python -m demo.run` needs no network and no server. Everything it writes lies in one folder;
run again, it finds nothing new.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.shelf import Shelved, shelf
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Content
from indexer.registry.layout import LayoutRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHANNEL = "demo"
# Folders of the site with files for each package, which would fill the screen.
_MANY = {"packages", "browse", "api", "assets"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are, all in one folder."""

    root: Path

    @property
    def registry(self) -> Path:
        """The folder of image layouts."""
        return self.root / "registry"

    @property
    def site(self) -> Path:
        """The published channel."""
        return self.root / "site"

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / "cf-index.toml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; gives the exit code."""
    places = Places(_parse(arguments).output)
    shelved = shelf()
    places.root.mkdir(parents=True, exist_ok=True)
    fill(places.registry, shelved)
    _tell_registry(places, shelved)
    places.settings.write_text(settings(places), encoding="utf-8")
    _title(f"The settings: {places.settings}")
    print(settings(places))
    for command in (["rebuild", "--config", str(places.settings)], ["check", str(places.site)]):
        code = _cf_index(command)
        if code:
            return code
    _tell_site(places)
    return _compare(places, shelved)


def fill(registry: Path, shelved: Iterable[Shelved]) -> None:
    """Push everything into a registry of OCI image layouts."""
    address = RegistryAddress.parse(f"ocidir://{registry}")
    layouts = LayoutRegistry(address)
    for item in shelved:
        image = item.image
        repository = address.repository(CHANNEL, item.subdir, image.repository_name)
        for data in image.blobs.values():
            layouts.put_blob(repository, Content.of_bytes(data))
        layouts.put_manifest(repository, image.tag, image.manifest, image.media_type)


def settings(places: Places) -> str:
    """The settings file's text: what would otherwise be flags."""
    values = {
        "registry": f"ocidir://{places.registry}",
        "channel": CHANNEL,
        "output": str(places.site),
        "state": str(places.root / "state"),
    }
    # A JSON string is a TOML string, too.
    return "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in values.items())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.run", description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="the folder for all that the demonstration writes (default: demo-output)",
    )
    return parser.parse_args(arguments)


def _tell_registry(places: Places, shelved: Sequence[Shelved]) -> None:
    _title(f"The registry: {places.registry}")
    for item in shelved:
        image = item.image
        reference = f"{CHANNEL}/{item.subdir}/{image.repository_name}:{image.tag}"
        mark = "validated" if item.validated else "-"
        print(f"  {reference:<40} {mark:<10} {item.why}".rstrip())
    validated = sum(item.validated for item in shelved)
    print(f"{len(shelved)} tags, {validated} of them marked validated")


def _cf_index(arguments: Sequence[str]) -> int:
    """Run the real program; settings of the surroundings are none of the demonstration's."""
    _title("$ " + shlex.join(["cf-index", *arguments]))
    sys.stdout.flush()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CF_INDEX_")}
    command = [sys.executable, "-m", "indexer", *arguments]
    return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603  our own


def _tell_site(places: Places) -> None:
    _title(f"The site: {places.site}")
    for line in _tree(places.site, "  "):
        print(line)
    for subdir in _subdirs(places.site):
        records = _records(places.site, subdir)
        print(f"{subdir}: {len(records)} records")
        for file_name in sorted(records):
            print(f"  {file_name}  sha256:{records[file_name]['sha256'][:12]}...")
    print("\nTo look at it, serve it, and open http://127.0.0.1:8000 in a browser:")
    print(f"  python3 -m http.server --bind 127.0.0.1 --directory {shlex.quote(str(places.site))}")
    print("\nTo install from it, too: pip install '.[gateway]', and then")
    print(f"  cf-index serve {shlex.quote(str(places.site))}")


def _tree(folder: Path, indent: str) -> Iterable[str]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name in _MANY:
            count = sum(item.is_file() for item in path.rglob("*"))
            yield f"{indent}{path.name}/  ({count} files)"
        elif path.is_dir():
            yield f"{indent}{path.name}/"
            yield from _tree(path, indent + "  ")
        else:
            yield f"{indent}{path.name}  ({path.stat().st_size:,} bytes)"


def _subdirs(site: Path) -> list[str]:
    return sorted(path.parent.name for path in site.glob("*/repodata.json"))


def _records(site: Path, subdir: str) -> dict[str, dict[str, Any]]:
    document = json.loads((site / subdir / "repodata.json").read_bytes())
    return {**document["packages"], **document["packages.conda"]}


def _compare(places: Places, shelved: Iterable[Shelved]) -> int:
    """Whether the index has exactly what it should: a demonstration must not lie."""
    wanted = {(p.subdir, p.file_name, p.sha256) for item in shelved for p in item.published}
    found = {
        (subdir, file_name, record["sha256"])
        for subdir in _subdirs(places.site)
        for file_name, record in _records(places.site, subdir).items()
    }
    if found == wanted:
        print("The index has exactly the validated, honest packages.")
        return 0
    for title, items in (("missing", wanted - found), ("too much", found - wanted)):
        for subdir, file_name, sha256 in sorted(items):
            print(f"Error: {title}: {subdir}/{file_name} (sha256 {sha256})", file=sys.stderr)
    print(f"Error: delete {places.root} and run it again; or report this.", file=sys.stderr)
    return 1


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


if __name__ == "__main__":
    sys.exit(main())
