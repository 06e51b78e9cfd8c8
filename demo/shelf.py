"""What the demonstration's registry holds: a dozen builds, most of them marked, one dishonest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.layers import VALIDATED, package_manifest
from demo.packages import build

if TYPE_CHECKING:
    from demo.layers import Image
    from demo.packages import Package

_LINUX = "linux-64"


@dataclass(frozen=True, slots=True)
class Shelved:
    """One tag of the registry: the archives of one build, and whether they are validated."""

    packages: tuple[Package, ...]
    validated: bool = True
    why: str = ""
    honest: bool = True

    @property
    def subdir(self) -> str:
        """The subdir it is kept under."""
        return self.packages[0].subdir

    @property
    def image(self) -> Image:
        """The image to push."""
        return package_manifest(self.packages, annotations=VALIDATED if self.validated else {})

    @property
    def published(self) -> tuple[Package, ...]:
        """The archives that the index is to have."""
        return self.packages if self.validated and self.honest else ()


def shelf() -> tuple[Shelved, ...]:
    """All that is pushed; the same bytes whenever it is asked for."""
    return (
        Shelved((build("hello-data"),)),
        Shelved(
            (build("hello-lib", subdir=_LINUX, depends=["hello-data >=1.0"]),),
            why="needs hello-data",
        ),
        Shelved(
            (build("hello-lib", "1.1", subdir=_LINUX, depends=["hello-data >=1.0"]),),
            validated=False,
        ),
        Shelved(
            (build("hello", subdir=_LINUX, depends=["hello-lib >=1.0,<2.0a0"]),),
            why="needs hello-lib",
        ),
        Shelved((build("hello", "1.1", subdir=_LINUX, depends=["hello-lib >=1.0,<2.0a0"]),)),
        Shelved(
            (
                build(
                    "hello",
                    "1.1",
                    "1",
                    subdir=_LINUX,
                    build_number=1,
                    depends=["hello-lib >=1.0,<2.0a0"],
                ),
            ),
            validated=False,
            why="a second build of one version",
        ),
        Shelved(
            (build("two-formats", "2.0", archive="tar.bz2"), build("two-formats", "2.0")),
            why="one tag, two archives",
        ),
        Shelved(
            (build("_switch", subdir=_LINUX, build="on"),),
            why="its repository may not begin with _",
        ),
        Shelved((build("renumbered", "1!0.9"),), why="an epoch"),
        Shelved((build("patched", "3.2+local.1"),), why="a local version"),
        Shelved((build("old-format", "0.5", archive="tar.bz2"),), validated=False),
        Shelved((build("untried", "0.1", subdir=_LINUX),), validated=False),
        Shelved(
            (build("pretender", "9.9", extra_index={"name": "hello"}),),
            why="dishonest: its index.json says hello",
            honest=False,
        ),
    )
