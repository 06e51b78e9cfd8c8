"""Everything on the page comes from uploaders, and none of it may act there."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pytest

from indexer.render.pages import (
    Installs,
    SiteInfo,
    render_index,
    templates_digest,
    templates_folder,
)
from indexer.render.summary import NameSummary
from tests.channel.samples import record
from tests.render.channels import summarize

VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</style></title></code></table><b>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; & <!--",
    "javascript:alert(1)",
]
INFO = SiteInfo(
    channel="forge",
    registry="oci://ghcr.io/acme",
    policy="annotation org.conda-forge.status=validated",
    validated_only=True,
    site_url="https://acme.invalid/forge",
    installs="oci",
)
SUBDIRS = {
    "noarch": {"alpha": summarize([record("alpha", "1.9")])},
    "linux-64": {
        "alpha": summarize([record("alpha", "1.10"), record("alpha", "1.8")]),
        "beta": summarize([record("beta")]),
    },
}


class Page(HTMLParser):
    """A page taken apart; fails where a tag isn't closed, or closed that wasn't open."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(data.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]


def page(
    info: SiteInfo = INFO,
    subdirs: dict[str, dict[str, NameSummary]] | None = None,
) -> Page:
    return Page(render_index(info, SUBDIRS if subdirs is None else subdirs))


CALM = page()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_never_acts(text: str) -> None:
    build = summarize([record("alpha", license=text)])
    hostile = page(
        SiteInfo(text, text, text, validated_only=True, site_url=text, installs="https"),
        {text: {text: dataclasses.replace(build, build=text, entered=text)}},
    )
    assert hostile.text.count(text) >= 5
    assert set(hostile.tags()) <= set(CALM.tags())
    for tag, attributes in hostile.elements:
        assert tag != "script"
        assert not any(name.startswith("on") or name in {"src", "style"} for name in attributes)
        assert not (attributes.get("href") or "").startswith("javascript:")
        assert set(attributes) <= {"href", "class", "id", "scope", "role", "lang", "datetime"} | {
            *("charset", "name", "content", "http-equiv", "aria-labelledby")
        }


@pytest.mark.parametrize("installs", ["oci", "https", "none"])
@pytest.mark.parametrize("validated_only", [True, False])
def test_the_browser_is_told_to_run_and_load_nothing(
    installs: Installs, *, validated_only: bool
) -> None:
    info = dataclasses.replace(INFO, installs=installs, validated_only=validated_only)
    shown = page(info)
    (policy,) = [
        attributes["content"]
        for tag, attributes in shown.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "script-src" not in rules
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    assert not {"script", "iframe", "object", "form", "img", "link"} & set(shown.tags())


def test_an_index_of_everything_says_that_nothing_was_validated() -> None:
    anything = page(dataclasses.replace(INFO, validated_only=False, policy="none"))
    assert "Nothing here has been validated" in anything.text
    assert "Nothing here has been validated" not in CALM.text


def test_names_have_their_newest_version_over_all_subdirs() -> None:
    assert ["alpha", "1.10", "3", "linux-64, noarch"] in CALM.rows
    assert ["beta", "1.0", "1", "linux-64"] in CALM.rows


def test_each_subdir_is_counted() -> None:
    assert ["linux-64", "2", "3", "repodata.json"] in CALM.rows
    assert ["noarch", "1", "1", "repodata.json"] in CALM.rows


def test_the_newest_builds_are_those_that_entered_last_wherever_they_are() -> None:
    def entered(name: str, minute: int) -> NameSummary:
        time = 1_790_000_000_000 + minute * 60_000
        return summarize([record(name, "1.0").indexed(time), record(name, "2.0").indexed(time - 1)])

    subdirs = {
        "linux-64": {f"linux-{n}": entered(f"linux-{n}", 2 * n) for n in range(30)},
        "noarch": {f"any-{n}": entered(f"any-{n}", 2 * n + 1) for n in range(30)},
    }
    rows = [row for row in page(subdirs=subdirs).rows if len(row) == 4 and row[1][:1] in "al"]
    assert [row[0] for row in rows] == [
        name for n in range(29, 19, -1) for name in (f"any-{n}", f"linux-{n}")
    ]
    assert rows[0] == ["any-29", "any-29-1.0-h1_0.conda", "noarch", "2026-09-21 15:12"]


def test_of_what_entered_together_the_newest_builds_come_first() -> None:
    built = {"a": 300, "b": 100, "c": 200}
    names = {
        name: summarize([record(name, timestamp=time * 10**10).indexed(10**12)])
        for name, time in built.items()
    }
    rows = [
        row[0] for row in page(subdirs={"noarch": names}).rows if row[1:2] and ".conda" in row[1]
    ]
    assert rows == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("installs", "told", "not_told"),
    [
        ("oci", "pixi add", "conda install"),
        ("https", "conda install", "takes a gateway"),
        ("none", "takes a gateway", "pixi add"),
    ],
)
def test_nobody_is_told_to_use_a_client_that_cannot_install(
    installs: Installs, told: str, not_told: str
) -> None:
    text = page(dataclasses.replace(INFO, installs=installs)).text
    assert told in text
    assert not_told not in text


def test_an_empty_channel_has_a_page() -> None:
    assert page(subdirs={"noarch": {}}).text.count("None yet") == 2


def test_the_same_channel_is_the_same_page_in_whatever_order() -> None:
    backwards = {
        subdir: dict(reversed(names.items())) for subdir, names in reversed(SUBDIRS.items())
    }
    assert render_index(INFO, backwards) == render_index(INFO, SUBDIRS)


def test_a_changed_template_is_noticed() -> None:
    assert templates_digest() == templates_digest()
    assert (templates_folder() / "index.html.j2").is_file()
