"""Names of packages: every source says which it is, and none lets in what can't be a package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import responses

from indexer.errors import ConfigError, RegistryError, UnsupportedError
from indexer.registry import open_registry
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Content
from indexer.registry.feed import feed_of
from indexer.registry.layout import LayoutRegistry
from indexer.registry.names import (
    Channel,
    Listing,
    from_lines,
    from_previous,
    from_registry,
    from_repositories,
)
from tests.registry.help import remote
from tests.support import faults

if TYPE_CHECKING:
    from pathlib import Path

    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry

SUBDIR = re.compile(r"noarch|[a-z]+-[a-z0-9]+")
ANY = Channel("forge", (), SUBDIR, frozenset({"repodata.json"}))
BOTH = Channel("forge", ("linux-64", "noarch"), SUBDIR, frozenset({"repodata.json"}))


def spell(name: str) -> str:
    """How a name is spelled as a repository."""
    return f"zzz{name}" if name.startswith("_") else name


def read(text: str, channel: Channel = BOTH) -> dict[str, tuple[str, ...]]:
    return dict(from_lines(text.splitlines(keepends=True), channel, spell).repositories)


def test_a_name_alone_is_meant_for_every_subdir() -> None:
    assert read("zlib\n") == {"linux-64": ("zlib",), "noarch": ("zlib",)}


def test_a_name_with_a_subdir_is_meant_for_that_one() -> None:
    assert read("linux-64/zlib\nnoarch/tzdata") == {"linux-64": ("zlib",), "noarch": ("tzdata",)}


def test_comments_blanks_and_repetitions_are_no_names() -> None:
    text = "# all\n\n  noarch/b # why\r\n\t\nnoarch/a\nnoarch/b\n"
    assert read(text) == {"linux-64": (), "noarch": ("a", "b")}


def test_names_are_spelled_as_repositories() -> None:
    assert read("noarch/_x") == {"linux-64": (), "noarch": ("zzz_x",)}


def test_subdirs_that_nobody_asked_for_are_left_out() -> None:
    assert read("osx-64/zlib\nnoarch/a") == {"linux-64": (), "noarch": ("a",)}
    assert read("osx-64/zlib\nnoarch/a", ANY) == {"noarch": ("a",), "osx-64": ("zlib",)}


@pytest.mark.parametrize(
    ("line", "channel"),
    [
        ("/zlib", BOTH),
        ("Linux/zlib", BOTH),
        ("../zlib", BOTH),
        ("forge/linux-64/zlib", BOTH),
        ("linux-64/../zlib", BOTH),
        ("linux-64\\zlib/x", BOTH),
        ("linux-64/", BOTH),
        ("linux-64/ # nothing", ANY),
        ("zlib", ANY),
    ],
)
def test_a_line_that_names_nothing_is_an_error_with_its_number(line: str, channel: Channel) -> None:
    with pytest.raises(ConfigError, match="names file, line 3"):
        read(f"# first\nnoarch/a\n{line}\n", channel)


def test_a_name_without_a_subdir_is_answered_with_how_to_write_it() -> None:
    with pytest.raises(ConfigError, match="subdir/name, or say --subdir"):
        read("zlib", ANY)


def repositories(*names: str, channel: Channel = ANY, prefix: str = "acme/forge") -> Listing:
    return from_repositories("the catalog", names, prefix, channel)


def test_other_channels_and_other_owners_are_left_out() -> None:
    listing = repositories(
        "acme/forge/noarch/a",
        "acme/forge2/noarch/b",
        "acme/forge-noarch/c",
        "other/acme/forge/noarch/d",
        "forge/noarch/e",
        "acme/forge",
        "acme/forge/noarch",
    )
    assert listing.repositories == {"noarch": ("a",)}
    assert listing.source == "the catalog"
    assert listing.shows_new


def test_repodata_and_shards_are_no_packages_and_no_news() -> None:
    listing = repositories(
        "acme/forge/noarch/repodata.json",
        "acme/forge/noarch/repodata.json/shards",
        "acme/forge/noarch/repodata.jsonx",
    )
    assert listing.repositories == {"noarch": ("repodata.jsonx",)}
    assert listing.ignored == ()


def test_what_can_not_be_a_package_is_named() -> None:
    strange = ("acme/forge/noarch/a/b", "acme/forge/tools/x", "acme/forge/No/y")
    listing = repositories(*strange, "acme/forge/noarch/a")
    assert (listing.repositories, listing.ignored) == ({"noarch": ("a",)}, strange)


def test_a_subdir_that_was_asked_for_is_listed_even_if_empty() -> None:
    listing = repositories("acme/forge/noarch/a", "acme/forge/osx-64/b", channel=BOTH)
    assert listing.repositories == {"linux-64": (), "noarch": ("a",)}
    assert listing.ignored == ()


def test_the_catalog_is_asked_and_named(fake: FakeRegistry, transport: Transport) -> None:
    for name in ("acme/forge/noarch/a", "acme/other/noarch/b", "acme/forge/noarch/repodata.json"):
        fake.add_repository(name)
    listing = from_registry(remote(fake, transport), ANY, None)
    assert (listing.source, listing.repositories) == (
        "the registry's catalog",
        {"noarch": ("a",)},
    )


def test_folders_are_asked_and_named(tmp_path: Path) -> None:
    registry = LayoutRegistry(RegistryAddress.parse(f"ocidir://{tmp_path}"))
    registry.put_blob("forge/noarch/a", Content.of_bytes(b"x"))
    registry.put_blob("other/noarch/b", Content.of_bytes(b"x"))
    listing = from_registry(registry, ANY, None)
    assert (listing.source, listing.repositories) == ("the folders", {"noarch": ("a",)})


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(503, match=faults.is_catalog()),
        faults.status(404, match=faults.is_page_after(faults.is_catalog())),
        faults.replace_body(b"{}", match=faults.is_page_after(faults.is_catalog())),
    ],
    ids=["unavailable", "lost half way", "no list half way"],
)
def test_a_catalog_that_broke_off_names_nothing(
    fake: FakeRegistry, transport: Transport, fault: faults.Fault
) -> None:
    for name in "abc":
        fake.add_repository(f"acme/forge/noarch/{name}")
    fake.knobs.page_size = 2
    fake.knobs.faults = [fault]
    with pytest.raises(RegistryError) as caught:
        from_registry(remote(fake, transport), ANY, None)
    assert not isinstance(caught.value, UnsupportedError)


@responses.activate
@pytest.mark.parametrize(
    ("address", "channel", "owner", "package"),
    [
        ("oci://ghcr.io/acme", "forge", "acme", "forge/noarch/a"),
        ("oci://ghcr.io/acme/sub", "forge", "acme", "sub/forge/noarch/a"),
        ("oci://ghcr.io", "forge", "forge", "noarch/a"),
    ],
)
def test_ghcr_s_names_come_from_github(
    transport: Transport, address: str, channel: str, owner: str, package: str
) -> None:
    names = [{"name": package}, {"name": f"x/{package}"}]
    responses.get(f"https://api.github.com/orgs/{owner}/packages", json=names)
    registry = open_registry(RegistryAddress.parse(address), transport)
    wanted = Channel(channel, ("noarch",), SUBDIR)
    feed = feed_of(registry, channel, transport, "ghp_example")
    listing = from_registry(registry, wanted, feed)
    assert listing.source == "the GitHub Packages API"
    assert listing.repositories == {"noarch": ("a",)}
    assert registry.requests.as_dict() == {"github": 1}


@responses.activate
def test_ghcr_is_never_asked_for_a_catalog_that_it_lacks(transport: Transport) -> None:
    registry = open_registry(RegistryAddress.parse("oci://ghcr.io/acme"), transport)
    with pytest.raises(UnsupportedError, match=r"CF_INDEX_GITHUB_TOKEN.*--names FILE"):
        from_registry(registry, ANY, feed_of(registry, "forge", transport, None))
    assert len(responses.calls) == 0


def test_the_previous_index_says_that_it_can_not_show_what_is_new() -> None:
    listing = from_previous({"noarch": ["b", "a", "b"]}, ["why"])
    assert (listing.repositories, listing.notes) == ({"noarch": ("a", "b")}, ("why",))
    assert not listing.shows_new
    assert listing.source == "the previous index"


def test_a_byte_order_mark_within_a_name_is_an_error_and_no_other_name() -> None:
    with pytest.raises(ConfigError, match=r"line 1: .*can't be a package's name"):
        read("\ufeffnoarch/a\n".replace("noarch/", ""))
