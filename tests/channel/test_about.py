"""What packages say of themselves: anybody may write it, and people click on it."""

from __future__ import annotations

import json

import pytest

from indexer.channel.about import NOTHING_KNOWN, About, about_of, annotations_of, remembered

OCI = "org.opencontainers.image."
WHOLE = About(
    summary="Numbers, in rows",
    home="https://numpy.org",
    source="https://github.com/numpy/numpy",
    documentation="https://numpy.org/doc/stable/",
)
ANNOTATIONS = {
    f"{OCI}description": WHOLE.summary,
    f"{OCI}url": WHOLE.home,
    f"{OCI}source": WHOLE.source,
    f"{OCI}documentation": WHOLE.documentation,
}


def summary_of(text: str) -> str:
    return about_of({f"{OCI}description": text}).summary


def home_of(text: str) -> str:
    return about_of({f"{OCI}url": text}).home


def test_each_annotation_is_the_field_it_stands_for() -> None:
    assert about_of(ANNOTATIONS | {"org.opencontainers.image.vendor": "x"}) == WHOLE


def test_what_is_not_said_is_not_known() -> None:
    assert about_of({}) == NOTHING_KNOWN
    assert not NOTHING_KNOWN
    assert NOTHING_KNOWN.as_dict() == {}


@pytest.mark.parametrize("field", ["summary", "home", "source", "documentation"])
def test_one_field_is_something(field: str) -> None:
    about = About(**{field: "https://example.org"})
    assert about
    assert about.as_dict() == {field: "https://example.org"}


# Breaks, control characters, bidi overrides, and what Unicode has for no characters at all.
NO_TEXT = (
    "\0 \x07 \x1b \x7f \x85 \u2028 \u2029 \u202e \u2066 \ud800 \ufdd0 \ufffe \uffff \U0001fffe"
)


@pytest.mark.parametrize("character", [*NO_TEXT.split(" "), "\U0010ffff", "\n", "\r\n", "\t"])
def test_a_summary_is_one_line_of_text(character: str) -> None:
    assert summary_of(f"{character}a{character}{character}b{character}") == "a b"


@pytest.mark.parametrize("text", ["naïve — 漢字 🐍", "<script>alert(1)</script>", "שלום"])
def test_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert summary_of(text) == text


def test_runs_of_blanks_are_one_blank() -> None:
    assert summary_of("  a \t \n  b\u3000c  ") == "a b c"
    assert summary_of(" \n ") == ""


def test_a_summary_without_an_end_is_cut() -> None:
    assert summary_of("x" * 300) == "x" * 300
    cut = summary_of("x" * 298 + " y" * 100_000)
    assert cut == "x" * 298 + "…"
    assert len(summary_of("x" * 301)) == 300


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "http://example.org/",
        "https://sub.example-1.org:8443/a/b%20c/@d~e?f=g&h=%2F#i/j?k",
        "https://example.org?x",
        "https://foo_bar.github.io/#",
        "https://xn--bcher-kva.example/(a)",
    ],
)
def test_addresses_of_websites_are_links(url: str) -> None:
    assert home_of(url) == url


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("HTTPS://Example.org/A", "https://Example.org/A"),
        ("hTTp://example.org", "http://example.org"),
        (" https://example.org/\n", "https://example.org/"),
    ],
)
def test_addresses_are_written_in_one_way(url: str, written: str) -> None:
    assert home_of(url) == written


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "/about",
        "//example.org",
        "javascript:alert(1)",
        "JavaScript:alert(1)//https://example.org",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.org",
        "https:example.org",
        "https:/example.org",
        "https:///example.org",
        "https://\\example.org",
        "https:\\\\example.org",
        "https://example.org\\@evil.org",
        "https://user@example.org",
        "https://user:password@example.org",
        "https://example.org:80@evil.org",
        "https://example.org:port/",
        "https://example.org:/",
        "https://example.org:123456/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://0x7f.1/",
        "https://.org/",
        "https://example..org/",
        "https://-example.org/",
        "https://example.org./",
        "https://exämple.org/",
        "https://example.org/ä",
        "https://example.org/a b",
        "https://example.org/a\nb",
        "https://example.org/\0",
        "https://example.org/\u202e",
        'https://example.org/"onclick="alert(1)',
        "https://example.org/'onclick='alert(1)",
        "https://example.org/<b>",
        "https://example.org/`",
        "https://example.org/[a]",
        "https://example.org/{a}",
        "https://example.org/%",
        "https://example.org/%zz",
        "https://example.org/#a#b",
        "https://example.org/" + "a" * 481,
        "https://" + "a." * 100_000 + "org",
    ],
)
def test_what_else_there_is_never_becomes_a_link(url: str) -> None:
    assert home_of(url) == ""


def test_the_longest_link_has_500_characters() -> None:
    url = "https://example.org/" + "a" * 480
    assert home_of(url) == url


def test_every_link_is_looked_at() -> None:
    bad = dict.fromkeys(ANNOTATIONS, "javascript:alert(1)")
    assert about_of(bad).as_dict() == {"summary": "javascript:alert(1)"}


def about_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_an_archive_says_the_same_by_its_own_names() -> None:
    data = about_json(
        summary=WHOLE.summary,
        home=WHOLE.home,
        dev_url=WHOLE.source,
        doc_url=WHOLE.documentation,
        description="longer",
        license="MIT",
    )
    assert annotations_of(data) == {
        key: value for key, value in ANNOTATIONS.items() if key != f"{OCI}source"
    }


def test_no_archive_decides_which_source_a_registry_links_it_to() -> None:
    assert annotations_of(about_json(dev_url="https://github.com/acme/secret")) == {}


def test_of_a_list_the_first_text_counts() -> None:
    data = about_json(home=[None, "https://one.org", "https://two.org"], doc_url=[1])
    assert annotations_of(data) == {f"{OCI}url": "https://one.org"}


@pytest.mark.parametrize("value", [None, 1, True, {}, {"a": "b"}, [[]], ""])
def test_a_field_of_another_type_is_passed_over(value: object) -> None:
    data = about_json(summary=value, home=value, doc_url="https://example.org")
    assert annotations_of(data) == {f"{OCI}documentation": "https://example.org"}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"summary": "\\ud800"}', b"[" * 100_000]
)
def test_what_is_no_about_json_says_nothing(data: bytes) -> None:
    assert annotations_of(data) == {}


def test_nothing_is_pushed_that_would_be_read_otherwise() -> None:
    data = about_json(
        summary="a\n\u202eb " + "x" * 400,
        home="HTTP://example.org ",
        doc_url="https://user@example.org",
    )
    pushed = annotations_of(data)
    assert pushed.keys() == {f"{OCI}description", f"{OCI}url"}
    about = about_of(pushed)
    assert [about.summary, about.home] == list(pushed.values())


@pytest.mark.parametrize("about", [WHOLE, NOTHING_KNOWN, About(summary="x")])
def test_what_is_remembered_is_what_was_known(about: About) -> None:
    assert remembered(about.as_dict()) == about


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        "x",
        {"summary": 1},
        {"summary": None},
        {"home": []},
        {"source": 0},
        {"documentation": ["https://example.org"]},
        {"vendor": "x"},
        {"home": "javascript:alert(1)"},
        {"documentation": "//example.org"},
    ],
)
def test_what_was_altered_is_not_remembered(fields: object) -> None:
    with pytest.raises(TypeError):
        remembered(fields)
