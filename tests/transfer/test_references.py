"""How builds are named on a command line, and what is told of what names none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.channel.artifact import Place
from indexer.errors import ConfigError
from indexer.registry.content import Digest
from indexer.transfer.references import Reference, parse_reference, read_references
from tests.registry.help import STEADY

DIGEST = Digest.of(b"a manifest")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("linux-64/zlib:1.3.1-h4ab18f5_1", Reference("linux-64", "zlib", "1.3.1-h4ab18f5_1")),
        ("noarch/_x:1.0-0", Reference("noarch", "zzz_x", "1.0-0")),
        ("noarch/zzz_x:1.0-0", Reference("noarch", "zzz_x", "1.0-0")),
        # As conda spells a version, and as a registry does.
        ("noarch/x:1!2.0+3-0", Reference("noarch", "x", "1__e__2.0__p__3-0")),
        ("noarch/x:1__e__2.0__p__3-0", Reference("noarch", "x", "1__e__2.0__p__3-0")),
        # A build may end like a file.
        ("noarch/x:1.0-a.conda", Reference("noarch", "x", "1.0-a.conda")),
        ("noarch/x:latest", Reference("noarch", "x", "latest")),
        (
            "zlib-1.3.1-0.conda",
            Reference(None, "zlib", "1.3.1-0", "zlib-1.3.1-0.conda"),
        ),
        (
            "noarch/a-b-1!2+3-0.tar.bz2",
            Reference("noarch", "a-b", "1__e__2__p__3-0", "a-b-1!2+3-0.tar.bz2"),
        ),
        (
            f"noarch/x:1.0-0@{DIGEST}",
            Reference("noarch", "x", "1.0-0", digest=DIGEST),
        ),
        (
            f" x-1.0-0.conda@{DIGEST}\n",
            Reference(None, "x", "1.0-0", "x-1.0-0.conda", DIGEST),
        ),
    ],
)
def test_a_build_is_named_by_its_tag_or_its_file(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


def test_where_it_is() -> None:
    assert parse_reference("x-1.0-0.conda").place("noarch") == Place("noarch", "x", "1.0-0")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no build"),
        ("zlib", "names no build"),
        ("linux-64/zlib", "names no build"),
        ("linux-64/zlib:", "names no build"),
        # Without a subdir a tag may be many builds.
        ("zlib:1.3.1-0", "names no build"),
        ("/zlib:1.3.1-0", "names no build"),
        ("linux-64/zlib-1.3.1-0", "names no build"),
        ("zlib.conda", "no package file's name"),
        ("zlib-1.0.conda", "no package file's name"),
        ("-1.0-0.conda", "no package file's name"),
        ("zlib--0.conda", "no package file's name"),
        ("zlib-1.0-.conda", "no package file's name"),
        ("zlib-1.0-.tar.bz2", "no package file's name"),
        ("Linux/zlib:1.0-0", "'Linux' is no subdir"),
        ("../zlib:1.0-0", "'..' is no subdir"),
        ("forge/linux-64/zlib:1.0-0", "'forge/linux-64' is no subdir"),
        ("../../etc/x-1-0.conda", "is no subdir"),
        ("linux-64/Zlib:1.0-0", "can't be in a registry"),
        ("linux-64/..:1.0-0", "can't be in a registry"),
        ("linux-64/:1.0-0", "can't be in a registry"),
        ("linux-64/zlib:.0", "can't be in a registry"),
        ("linux-64/zlib:1.0-0 x", "can't be in a registry"),
        ("linux-64/zlib:" + "1" * 129, "can't be in a registry"),
        ("linux-64/zlib:1+2", "can't be in a registry"),
        ("linux-64/zlib:1.0-0@", "'' is no digest"),
        ("linux-64/zlib:1.0-0@sha256:12", "'sha256:12' is no digest"),
        (f"linux-64/zlib:1.0-0@sha256:{'A' * 64}", "is no digest"),
        (f"linux-64/zlib:1.0-0@{DIGEST}@{DIGEST}", "is no digest"),
        (f"@{DIGEST}", "names no build"),
        ("https://host/linux-64/zlib:1.0-0", "is no subdir"),
    ],
)
def test_what_names_no_build_is_told_so(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_reference(text)


@given(st.text(max_size=60))
@example("\x1b[2J/x:1-0")
@example("noarch/\x1b:1-0")
@example("noarch/x:1-0@\x1b")
@STEADY
def test_no_text_does_anything_but_name_a_build_or_be_refused(text: str) -> None:
    told = ""
    try:
        found = parse_reference(text)
    except ConfigError as error:
        told = str(error)
    else:
        assert parse_reference(str(found)) == found
    assert not told or told.isprintable()


NAMES = st.from_regex(r"[a-z0-9_][a-z0-9]{0,8}(?:[._-][a-z0-9]{1,4})?", fullmatch=True)
PARTS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_.+]{0,8}", fullmatch=True)
ENDS = st.sampled_from([".conda", ".tar.bz2"])


@given(NAMES, PARTS, PARTS, ENDS, st.sampled_from(["", "noarch/"]), st.sampled_from([None, DIGEST]))
@STEADY
def test_what_is_shown_of_a_build_names_it(
    name: str, version: str, build: str, end: str, subdir: str, digest: Digest | None
) -> None:
    behind = f"@{digest}" if digest else ""
    for what in (f"{subdir}{name}-{version}-{build}{end}", f"noarch/{name}:{version}-{build}"):
        found = parse_reference(what + behind)
        assert parse_reference(str(found)) == found
        assert found.digest == digest


def test_a_dash_stands_for_lines_of_which_comments_are_no_part() -> None:
    lines = ["# what to mark\n", "\n", "  a-1-0.conda  # the first\n", f"noarch/b:1-0@{DIGEST}\n"]
    found, failures = read_references(["z-1-0.conda", "-", "y-1-0.conda"], lines)
    assert failures == []
    assert [str(item) for item in found] == [
        "z-1-0.conda",
        "a-1-0.conda",
        f"noarch/b:1-0@{DIGEST}",
        "y-1-0.conda",
    ]


def test_a_line_that_names_none_costs_itself_alone() -> None:
    lines = ["a-1-0.conda", "nonsense # what", "noarch/b:1-0@x", "c-1-0.conda"]
    found, failures = read_references(["-"], lines)
    assert [str(item) for item in found] == ["a-1-0.conda", "c-1-0.conda"]
    assert [failure.what for failure in failures] == ["nonsense", "noarch/b:1-0@x"]
    assert "'nonsense' names no build" in failures[0].reason


def test_an_argument_that_names_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'nonsense' names no build"):
        read_references(["a-1-0.conda", "nonsense", "-"], ["b-1-0.conda"])


def test_lines_are_read_where_a_dash_asks_for_them_alone() -> None:
    def nobody() -> str:
        raise AssertionError

    assert read_references([], iter(nobody, "")) == ([], [])
    assert len(read_references(["a-1-0.conda"], iter(nobody, ""))[0]) == 1
