"""Sizes and days as people read them, and templates that are noticed when they change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import jinja2
import pytest

from indexer.render import templates
from indexer.render.templates import day_text, draw, rfc3339_text, size_text, templates_digest

_CACHED = (templates.templates_digest, templates.static_files, templates._environment)  # noqa: SLF001  their caches


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (2, "2 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (90_349, "90.3 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_999, "1.0 MB"),
        (1_000_000, "1.0 MB"),
        (999_949_999, "999.9 MB"),
        (999_950_000, "1.0 GB"),
        (10**12, "1.0 TB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_read_in_the_step_that_fits(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (999, "1970-01-01T00:00:00Z"),
        (86_399_999, "1970-01-01T23:59:59Z"),
        (86_400_000, "1970-01-02T00:00:00Z"),
        (1_793_534_400_123, "2026-11-01T12:00:00Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59Z"),
    ],
)
def test_times_are_utc_and_never_later_than_they_are(milliseconds: int, text: str) -> None:
    assert rfc3339_text(milliseconds) == text
    assert day_text(milliseconds) == text[:10]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the templates, of which nothing is remembered."""
    copy = copytree(templates.templates_folder(), tmp_path / "templates")
    monkeypatch.setattr(templates, "templates_folder", lambda: copy)
    for cached in _CACHED:
        cached.cache_clear()
    yield copy
    for cached in _CACHED:
        cached.cache_clear()


@pytest.mark.parametrize("path", ["base.html.j2", "404.css", "assets/site.js", "new.j2"])
def test_a_changed_template_is_noticed(folder: Path, path: str) -> None:
    before = templates_digest()
    templates.templates_digest.cache_clear()
    assert templates_digest() == before
    with (folder / path).open("a", encoding="utf-8") as file:
        file.write(" ")
    templates.templates_digest.cache_clear()
    assert templates_digest() != before


def test_a_renamed_template_is_noticed(folder: Path) -> None:
    before = templates_digest()
    (folder / "assets" / "icon.svg").rename(folder / "assets" / "other.svg")
    templates.templates_digest.cache_clear()
    assert templates_digest() != before


def test_no_page_is_shown_with_the_style_of_another_version(folder: Path) -> None:
    (folder / "x.j2").write_text("{{ assets_version }}")
    before = draw("x.j2", {})
    with (folder / "assets" / "site.css").open("a", encoding="utf-8") as file:
        file.write("p { margin: 0 }\n")
    for cached in _CACHED:
        cached.cache_clear()
    assert draw("x.j2", {}) != before


def test_a_template_that_asks_for_what_is_not_there_is_no_empty_page(folder: Path) -> None:
    (folder / "x.j2").write_text("{{ misspelt }}")
    with pytest.raises(jinja2.UndefinedError, match="misspelt"):
        draw("x.j2", {})


@pytest.mark.parametrize("name", ["x.html.j2", "x.xml.j2", "x.css", "x"])
def test_text_is_escaped_whatever_a_template_is_called(folder: Path, name: str) -> None:
    (folder / name).write_text("{{ text }}")
    assert draw(name, {"text": "<&\"'>"}) == b"&lt;&amp;&#34;&#39;&gt;"


def test_plain_text_is_no_html(folder: Path) -> None:
    (folder / "x.txt.j2").write_text("{{ text }}")
    assert draw("x.txt.j2", {"text": "https://x.invalid/?a&b"}) == b"https://x.invalid/?a&b"
