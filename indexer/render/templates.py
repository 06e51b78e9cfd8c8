"""The templates and static files of the site, in ``site_templates/``, and how they are filled in.

Whatever is put into a template is hostile: everything is escaped, and no template says otherwise.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import jinja2

import indexer

_STEPS = ("kB", "MB", "GB", "TB")
# Copied into the site as they are, by their folder here and there.
_STATIC = {"assets": "assets", "schemas": "api/v1/schemas"}


def templates_folder() -> Path:
    """Where the templates are: inside an installed package, or at the top of a checkout."""
    package = Path(indexer.__file__).parent
    installed = package / "site_templates"
    return installed if installed.is_dir() else package.parent / "site_templates"


@functools.cache
def templates_digest() -> str:
    """Changes whenever a template or a static file does."""
    folder = templates_folder()
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def static_files() -> Mapping[str, bytes]:
    """The files that are copied into the site, by their paths there."""
    folder = templates_folder()
    return {
        f"{there}/{path.name}": path.read_bytes()
        for here, there in _STATIC.items()
        for path in sorted((folder / here).iterdir())
        if path.is_file()
    }


def draw(template: str, values: Mapping[str, object]) -> bytes:
    """A template filled in."""
    return _environment().get_template(template).render(values).encode()


def size_text(size: int) -> str:
    """A size in bytes as people read it, such as 90.3 kB; a kB has 1,000 bytes."""
    if size < 1000:
        return f"{size} bytes" if size != 1 else "1 byte"
    value = float(size)
    for step in _STEPS:
        value /= 1000
        # What would be written as 1000.0 is one of the next step.
        if value < 999.95 or step == _STEPS[-1]:
            return f"{value:.1f} {step}"
    raise AssertionError("unreachable")


def day_text(milliseconds: int) -> str:
    """The day of a time in milliseconds since 1970, in UTC."""
    return _time(milliseconds).date().isoformat()


def rfc3339_text(milliseconds: int) -> str:
    """A time in milliseconds since 1970 by RFC 3339, in UTC and to the second."""
    return f"{_time(milliseconds).replace(tzinfo=None).isoformat()}Z"


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


def _count_text(count: int) -> str:
    return f"{count:,}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        # In plain text it would say something else.
        autoescape=jinja2.select_autoescape(
            enabled_extensions=(), disabled_extensions=("txt.j2",), default=True
        ),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        size=size_text, day=day_text, rfc3339=rfc3339_text, count=_count_text
    )
    # Beside an asset's name, so that no page is shown with the style of another version.
    assets = hashlib.sha256(b"\0".join(static_files().values())).hexdigest()[:8]
    environment.globals["assets_version"] = assets
    return environment
