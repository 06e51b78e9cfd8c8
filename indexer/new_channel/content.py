"""What a new channel's files say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

import indexer
from indexer.errors import ConfigError

SETTINGS = "cf-index.toml"
WORKFLOW = ".github/workflows/index.yml"
IGNORED = ".gitignore"
# What runs on the operator's own machine leave behind.
LEFTOVERS = (".cf-index/", "site/", ".site.*")

_MARK = re.compile(r"@[A-Z-]+@")
_SITE_URL = "https://acme.github.io/forge/"


@dataclass(frozen=True, slots=True)
class NewChannel:
    """A channel to be. ``registry`` and ``site_url`` are empty where they aren't known."""

    registry: str
    channel: str
    site_url: str


def settings_file(new: NewChannel) -> str:
    """The settings. Raises ConfigError for a registry's folder that can't be written in a line."""
    site_url = f"site-url = {_quoted(new.site_url or _SITE_URL)}"
    return _filled(
        "cf-index.toml",
        {
            "@REGISTRY@": _quoted(new.registry),
            "@CHANNEL@": _quoted(new.channel),
            "@SITE-URL@": site_url if new.site_url else f"# {site_url}",
        },
    )


def workflow_file() -> str:
    """The workflow: of each version the same, for all channels."""
    return _filled("index.yml", {"@VERSION@": indexer.__version__})


def ignored_file() -> str:
    """What isn't to be committed."""
    return "".join(f"{name}\n" for name in LEFTOVERS)


def _filled(name: str, values: dict[str, str]) -> str:
    text = (files(__package__) / "templates" / name).read_text(encoding="utf-8")
    # In one go: a value may look like a mark.
    return _MARK.sub(lambda mark: values[mark[0]], text)


def _quoted(text: str) -> str:
    """A string for a TOML file."""
    if not text.isprintable():
        raise ConfigError(f"{text!r} has characters that no settings file can show.")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
