"""How names and versions are spelt in a registry, beside what conda-oci-mirror writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo import layers
from indexer.channel import codec

LOWER, UPPER, DIGITS = "abcxyz", "ABXYZ", "0129"
NAMES = st.text(f"{LOWER}{DIGITS}_", min_size=1, max_size=1).flatmap(
    lambda first: st.text(f"{LOWER}{DIGITS}_.-", max_size=20).map(lambda rest: first + rest)
)
VERSIONS = st.text(f"{LOWER}{UPPER}{DIGITS}_.+!", min_size=1, max_size=20)
BUILDS = st.text(f"{LOWER}{UPPER}{DIGITS}_.+=", min_size=1, max_size=20)


def test_a_leading_underscore_which_registries_refuse_is_spelt_out() -> None:
    assert codec.repository_name("_libgcc_mutex") == "zzz_libgcc_mutex"
    assert codec.repository_name("libgcc_") == "libgcc_"


@pytest.mark.parametrize(
    ("version", "build", "tag"),
    [
        ("1.2.3", "h1_0", "1.2.3-h1_0"),
        ("1!2.0", "0", "1__e__2.0-0"),
        ("2.0+cu12", "py_0", "2.0__p__cu12-py_0"),
        ("1.0", "a=b", "1.0-a__eq__b"),
        ("1!2+3", "4+5", "1__e__2__p__3-4__p__5"),
    ],
)
def test_characters_that_no_tag_may_hold_are_spelt_out(version: str, build: str, tag: str) -> None:
    assert codec.tag_name(version, build) == tag


def test_a_literal_escape_is_left_alone_so_tags_are_never_decoded() -> None:
    assert codec.tag_name("1.0__p__x", "0") == codec.tag_name("1.0+x", "0")


@given(name=NAMES, version=VERSIONS, build=BUILDS)
def test_what_the_peer_pushed_is_found_under_the_same_spelling(
    name: str, version: str, build: str
) -> None:
    # conda-oci-mirror 0.3.0: "zzz" before a leading underscore; the tag is name-version-build
    # without the name, each character escaped by itself.
    escapes = {"+": "__p__", "!": "__e__", "=": "__eq__"}
    stem = f"{name}-{version}-{build}"
    tag = "".join(escapes.get(character, character) for character in stem[len(name) + 1 :])
    assert codec.tag_name(version, build) == tag
    assert codec.repository_name(name) == ("zzz" if name[0] == "_" else "") + name


@given(name=NAMES, version=VERSIONS, build=BUILDS)
def test_what_the_demonstration_pushes_is_found(name: str, version: str, build: str) -> None:
    assert codec.repository_name(name) == layers.repository_name(name)
    assert codec.tag_name(version, build) == layers.tag_of(version, build)


@given(name=NAMES)
def test_no_name_is_lost_on_the_way_back_from_its_repository(name: str) -> None:
    assert name in codec.possible_names(codec.repository_name(name))


@given(repository=NAMES)
def test_a_repository_stands_for_no_name_that_is_spelt_otherwise(repository: str) -> None:
    if not repository.startswith("_"):
        for name in codec.possible_names(repository):
            assert codec.repository_name(name) == repository


@pytest.mark.parametrize(
    "tag",
    ["latest", f"sha256-{'a' * 64}", f"sha256-{'0' * 64}.sig", f"sha256-{'f' * 64}.verdict.json"],
)
def test_tags_of_referrers_and_latest_are_no_packages(tag: str) -> None:
    assert not codec.is_package_tag(tag)


@pytest.mark.parametrize(
    "tag",
    ["1.0-0", "latest-0", "sha256-abc", f"sha256-{'a' * 63}", f"sha256-{'A' * 64}", "Latest"],
)
def test_tags_that_only_look_like_them_are_read(tag: str) -> None:
    assert codec.is_package_tag(tag)
