"""How conda names and versions are spelt in a registry: the layout in use, "v0".

As conda-oci-mirror 0.3.0 writes it. All that knows this spelling is in this file, so that
the draft CEP's layout (conda/ceps PR 115) can be added without touching the rest.
"""

from __future__ import annotations

import re

# Written by conda-oci-mirror next to the packages: the channel's own index.
REPODATA_REPOSITORY = "repodata.json"

_ESCAPES = (("+", "__p__"), ("!", "__e__"), ("=", "__eq__"))
# The referrers tag schema of the OCI distribution spec 1.1, and verdicts beside it.
_REFERRER = re.compile(r"sha256-[0-9a-f]{64}(?:\..*)?")


def repository_name(name: str) -> str:
    """The last component of a package's repository: a name there may not begin with ``_``."""
    return f"zzz_{name[1:]}" if name.startswith("_") else name


def possible_names(repository: str) -> tuple[str, ...]:
    """The package names that are spelt as this last component; two where it begins with zzz_."""
    if repository.startswith("zzz_"):
        return (repository.removeprefix("zzz"), repository)
    return (repository,)


def tag_name(version: str, build: str) -> str:
    """The tag of a build. May be longer or odder than a tag can be: then it has none."""
    tag = f"{version}-{build}"
    for character, escape in _ESCAPES:
        tag = tag.replace(character, escape)
    return tag


def is_package_tag(tag: str) -> bool:
    """Whether a tag can be a package's; ``latest`` and the tags of referrers can't."""
    return tag != "latest" and _REFERRER.fullmatch(tag) is None
